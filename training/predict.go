package training

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Predict scores data files and writes one row an input row, in their order, files in the order they are named: row (the input row's number over all files, from 0, counting those that skipBad passes over), the user and group columns, labels as 0 or 1 where the data has
// them, and score, or score_LABEL for each of several labels. The name of out ends in .parquet or .csv; it is written aside and renamed. It returns the number of rows.
func Predict(ctx context.Context, c *models.Checkpoint, paths []string, out string, skipBad int64) (rows, badRows int64, err error) {
	var files []string
	for _, path := range paths {
		found, err := features.Expand([]string{path})
		if err != nil {
			return 0, 0, &RequestError{err}
		}
		files = append(files, found...)
	}
	ext := strings.ToLower(filepath.Ext(out))
	if ext != ".parquet" && ext != ".csv" {
		return 0, 0, refuse("%s: want a name that ends in .parquet or .csv", out)
	}
	aside := out + ".part"
	f, err := os.Create(aside)
	if err != nil {
		return 0, 0, &RequestError{fmt.Errorf("write the scores: %w", err)}
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(aside)
		}
	}()
	p := &predictor{checkpoint: c}
	if p.encoder, err = c.NewEncoder(); err != nil {
		return 0, 0, err
	}
	if p.scorer, err = c.Program.NewScorer(); err != nil {
		return 0, 0, err
	}
	if err := p.scan(ctx, files, skipBad, f, ext); err != nil {
		return 0, 0, err
	}
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return 0, 0, fmt.Errorf("write %s: %w", out, err)
	}
	if err := os.Rename(aside, out); err != nil {
		return 0, 0, fmt.Errorf("write %s: %w", out, err)
	}
	return p.rows, p.badRows, nil
}

type predictor struct {
	checkpoint *models.Checkpoint
	encoder    *features.Encoder
	scorer     *models.Scorer
	batch      features.Batch
	scores     [][]float32
	rows       int64
	input      int64 // number of the next input row
	passed     int   // rows passed over before it
	badRows    int64
	sink       scoreSink
	builder    *array.RecordBuilder
	copied     []string // columns taken over from the input
	labels     []int    // labels that the data has
}

// scoreSink writes records to a file.
type scoreSink interface {
	Write(rec arrow.Record) error
	Close() error
}

func (p *predictor) scan(ctx context.Context, files []string, skipBad int64, f *os.File, ext string) (err error) {
	reader, err := features.Open(p.checkpoint.Schema, files, features.ReadOptions{BatchRows: p.checkpoint.Spec.Settings.BatchSize, SkipBad: skipBad})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := reader.Close(); err == nil {
			err = cerr
		}
	}()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rec, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		err = p.record(rec, reader.BadAt(), f, ext)
		rec.Release()
		if err != nil {
			return err
		}
	}
	p.badRows = reader.BadRows()
	if p.sink == nil {
		return refuse("there are no rows to score")
	}
	p.builder.Release()
	return p.sink.Close()
}

// record scores one record and writes its rows; badAt are the places of the input rows passed over.
func (p *predictor) record(rec arrow.Record, badAt []int64, f *os.File, ext string) error {
	if err := p.encoder.EncodeInto(&p.batch, rec); err != nil {
		return fmt.Errorf("rows from %d on: %w", p.rows, err)
	}
	var err error
	if p.scores, err = p.scorer.Score(&p.batch, p.checkpoint.Weights, models.TableRows(p.checkpoint.Tables), p.scores); err != nil {
		return err
	}
	if p.sink == nil {
		if err := p.begin(rec, f, ext); err != nil {
			return err
		}
	}
	for range p.batch.Rows {
		for p.passed < len(badAt) && badAt[p.passed] == p.input {
			p.input, p.passed = p.input+1, p.passed+1
		}
		p.builder.Field(0).(*array.Int64Builder).Append(p.input)
		p.input++
	}
	k := 1
	for _, name := range p.copied {
		b := p.builder.Field(k).(*array.StringBuilder)
		k++
		column := columnOf(rec, name)
		for i := range p.batch.Rows {
			if column == nil || column.IsNull(i) {
				b.AppendNull()
			} else {
				b.Append(column.ValueStr(i))
			}
		}
	}
	for _, l := range p.labels {
		b := p.builder.Field(k).(*array.Float32Builder)
		k++
		for _, y := range p.batch.Labels[l][:p.batch.Rows] {
			if math.IsNaN(float64(y)) {
				b.AppendNull()
			} else {
				b.Append(y)
			}
		}
	}
	for _, s := range p.scores {
		p.builder.Field(k).(*array.Float32Builder).AppendValues(s, nil)
		k++
	}
	p.rows += int64(p.batch.Rows)
	out := p.builder.NewRecord()
	defer out.Release()
	if err := p.sink.Write(out); err != nil {
		return fmt.Errorf("write the scores: %w", err)
	}
	return nil
}

// begin decides on the columns from the first record.
func (p *predictor) begin(rec arrow.Record, f *os.File, ext string) error {
	s := p.checkpoint.Schema
	columns := []arrow.Field{{Name: "row", Type: arrow.PrimitiveTypes.Int64}}
	for _, name := range []string{s.User, s.Group} {
		if name != "" && !slices.Contains(p.copied, name) && columnOf(rec, name) != nil {
			p.copied = append(p.copied, name)
			columns = append(columns, arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true})
		}
	}
	for i, l := range s.Labels {
		if i < len(p.batch.Labels) && len(p.batch.Labels[i]) == p.batch.Rows && (columnOf(rec, l.Column) != nil || columnOf(rec, l.Name) != nil) {
			p.labels = append(p.labels, i)
			columns = append(columns, arrow.Field{Name: l.Name, Type: arrow.PrimitiveTypes.Float32, Nullable: true})
		}
	}
	for _, l := range s.Labels {
		name := "score"
		if len(s.Labels) > 1 {
			name += "_" + l.Name
		}
		columns = append(columns, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float32})
	}
	schema := arrow.NewSchema(columns, nil)
	p.builder = array.NewRecordBuilder(memory.DefaultAllocator, schema)
	if ext == ".csv" {
		p.sink = newCSVSink(f, columns)
		return nil
	}
	properties := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy))
	w, err := pqarrow.NewFileWriter(schema, f, properties, pqarrow.DefaultWriterProps())
	if err != nil {
		return fmt.Errorf("write the scores: %w", err)
	}
	p.sink = w
	return nil
}

func columnOf(rec arrow.Record, name string) arrow.Array {
	if i := rec.Schema().FieldIndices(name); len(i) > 0 {
		return rec.Column(i[0])
	}
	return nil
}

// csvSink writes records as CSV with a header. Scores have as many digits as tell two float32 apart.
type csvSink struct {
	buffer *bufio.Writer
	w      *csv.Writer
	line   []string
	err    error
}

func newCSVSink(f io.Writer, columns []arrow.Field) *csvSink {
	s := &csvSink{buffer: bufio.NewWriterSize(f, 1<<20)}
	s.w = csv.NewWriter(s.buffer)
	for _, c := range columns {
		s.line = append(s.line, c.Name)
	}
	s.err = s.w.Write(s.line)
	return s
}

func (s *csvSink) Write(rec arrow.Record) error {
	for r := range int(rec.NumRows()) {
		for c, column := range rec.Columns() {
			s.line[c] = ""
			if column.IsNull(r) {
				continue
			}
			if x, ok := column.(*array.Float32); ok {
				s.line[c] = strconv.FormatFloat(float64(x.Value(r)), 'g', -1, 32)
			} else {
				s.line[c] = column.ValueStr(r)
			}
		}
		if err := s.w.Write(s.line); err != nil {
			return err
		}
	}
	return s.err
}

func (s *csvSink) Close() error {
	s.w.Flush()
	if err := s.w.Error(); err != nil {
		return err
	}
	return s.buffer.Flush()
}
