package features

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// parquetColumns reads chosen columns of a Parquet file, page by page.
type parquetColumns struct {
	path    string
	file    *file.Reader
	columns []*pqarrow.ColumnReader
	options *openOptions
	rows    int64
	done    int64
}

func openParquet(path string, l *layout, o *openOptions) (_ *columnFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, openError(path, err)
	}
	// The library returns its page buffers when the garbage collector finds them, so they are not counted against the caller's allocator.
	alloc := boundedFor(memory.NewGoAllocator(), info.Size())
	p := &parquetColumns{path: path, options: o}
	defer func() {
		if err != nil {
			p.close()
			f.Close()
		}
	}()
	defer recovered(path, &err)
	properties := parquet.NewReaderProperties(alloc)
	properties.BufferedStreamEnabled = true
	if p.file, err = file.NewParquetReader(f, file.WithReadProps(properties)); err != nil {
		return nil, &DataError{File: path, Reason: "not a whole Parquet file: " + err.Error()}
	}
	reader, err := pqarrow.NewFileReader(p.file, pqarrow.ArrowReadProperties{BatchSize: int64(o.BatchRows)}, alloc)
	if err != nil {
		return nil, &DataError{File: path, Reason: "not a whole Parquet file: " + err.Error()}
	}
	schema, err := reader.Schema()
	if err != nil {
		return nil, &DataError{File: path, Reason: "Parquet schema: " + err.Error()}
	}
	p.rows = p.file.NumRows()
	return newColumnFile(path, schema, l, o, func(columns []int) (arraySource, error) {
		groups := make([]int, p.file.NumRowGroups())
		for i := range groups {
			groups[i] = i
		}
		for _, c := range columns {
			leaves := map[int]bool{}
			leavesOf(&reader.Manifest.Fields[c], leaves)
			if err := p.checkEncodings(leaves); err != nil {
				return nil, &DataError{File: path, Reason: fmt.Sprintf("column %q: %v", schema.Field(c).Name, err)}
			}
			// One after another on this goroutine: a damaged page may make the library panic, which only this goroutine can recover.
			column, err := reader.GetFieldReader(context.Background(), c, leaves, groups)
			if err != nil {
				return nil, &DataError{File: path, Reason: fmt.Sprintf("column %q: %v", schema.Field(c).Name, err)}
			}
			p.columns = append(p.columns, column)
		}
		return p, nil
	})
}

// checkEncodings refuses what the library would read as no values at all.
func (p *parquetColumns) checkEncodings(leaves map[int]bool) error {
	for g := range p.file.NumRowGroups() {
		for leaf := range leaves {
			chunk, err := p.file.MetaData().RowGroup(g).ColumnChunk(leaf)
			if err != nil {
				return fmt.Errorf("row group %d: %w", g, err)
			}
			for _, e := range chunk.Encodings() {
				if name := e.String(); name == "BYTE_STREAM_SPLIT" {
					return fmt.Errorf("encoding %s is not read; write the file without it", name)
				}
			}
		}
	}
	return nil
}

func leavesOf(f *pqarrow.SchemaField, leaves map[int]bool) {
	if f.IsLeaf() {
		leaves[f.ColIndex] = true
	}
	for i := range f.Children {
		leavesOf(&f.Children[i], leaves)
	}
}

func (p *parquetColumns) next() (out []arrow.Array, err error) {
	if p.done >= p.rows {
		return nil, io.EOF
	}
	defer func() {
		if err != nil {
			releaseAll(out)
			out = nil
		}
	}()
	defer recovered(p.path, &err)
	rows := min(int64(p.options.BatchRows), p.rows-p.done)
	if len(p.columns) == 0 {
		p.done += rows
		return []arrow.Array{array.NewNull(int(rows))}, nil
	}
	for _, c := range p.columns {
		chunks, err := c.NextBatch(rows)
		if err != nil {
			return out, err
		}
		a, err := single(chunks, p.options)
		if err != nil {
			return out, err
		}
		out = append(out, a)
	}
	if out[0].Len() == 0 {
		return out, io.ErrUnexpectedEOF
	}
	p.done += int64(out[0].Len())
	return out, nil
}

func (p *parquetColumns) progress() float64 { return share(p.done, p.rows) }

func (p *parquetColumns) close() error {
	for _, c := range p.columns {
		c.Release()
	}
	p.columns = nil
	if p.file == nil {
		return nil
	}
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", p.path, err)
	}
	return nil
}
