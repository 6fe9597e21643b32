package features

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// rowGroup is how many rows a row group of a written Parquet file holds.
const rowGroup = 1 << 17

// Write writes records to a file by its name, .parquet or .csv: next returns one after another, then io.EOF, and Write releases them. The file is written aside, synced and renamed; the same records give the same bytes.
func Write(path string, schema *arrow.Schema, next func() (arrow.Record, error)) (rows int64, err error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".parquet":
		return WriteParquet(path, schema, next)
	case ".csv":
		return WriteCSV(path, schema, next)
	}
	return 0, &DataError{File: path, Reason: "unknown kind of file to write; want .parquet or .csv"}
}

// WriteParquet writes records as a Parquet file with zstd pages, as Write does.
func WriteParquet(path string, schema *arrow.Schema, next func() (arrow.Record, error)) (rows int64, err error) {
	err = aside(path, func(w io.Writer) error {
		// Pages of version 2: under version 1 Arrow regrows the buffer of list levels by 64 bytes a run, quadratic in a page's values.
		properties := parquet.NewWriterProperties(parquet.WithDataPageVersion(parquet.DataPageV2), parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(rowGroup), parquet.WithCreatedBy("millrace"))
		pw, err := pqarrow.NewFileWriter(schema, w, properties, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
		if err != nil {
			return err
		}
		rows, err = drain(next, pw.WriteBuffered)
		if err != nil {
			return err
		}
		return pw.Close()
	})
	return rows, err
}

// WriteCSV writes records as comma-separated text with a header, as Write does: missing values are empty, lists are joined by "|".
func WriteCSV(path string, schema *arrow.Schema, next func() (arrow.Record, error)) (rows int64, err error) {
	err = aside(path, func(w io.Writer) error {
		cw := csv.NewWriter(w)
		line := make([]string, schema.NumFields())
		for i := range line {
			line[i] = schema.Field(i).Name
		}
		if err := cw.Write(line); err != nil {
			return err
		}
		rows, err = drain(next, func(rec arrow.Record) error {
			for r := range int(rec.NumRows()) {
				for c := range line {
					line[c] = csvText(rec.Column(c), r)
				}
				if err := cw.Write(line); err != nil {
					return err
				}
			}
			return nil
		})
		cw.Flush()
		return errors.Join(err, cw.Error())
	})
	return rows, err
}

func csvText(arr arrow.Array, r int) string {
	if arr.IsNull(r) {
		return ""
	}
	if list, ok := arr.(array.ListLike); ok {
		from, to := list.ValueOffsets(r)
		var parts []string
		for i := int(from); i < int(to); i++ {
			parts = append(parts, csvText(list.ListValues(), i))
		}
		return strings.Join(parts, "|")
	}
	if _, _, kind := numberOf(arr, r); kind != noNumber {
		return string(appendCanonical(nil, arr, r))
	}
	if s, ok := textOf(arr, r); ok {
		return s
	}
	return arr.ValueStr(r)
}

func drain(next func() (arrow.Record, error), write func(arrow.Record) error) (rows int64, err error) {
	for {
		rec, err := next()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		err = write(rec)
		rows += rec.NumRows()
		rec.Release()
		if err != nil {
			return rows, err
		}
	}
}

// aside writes a file beside path, syncs it and gives it its name.
func aside(path string, write func(io.Writer) error) (err error) {
	partial := path + ".partial"
	f, err := os.Create(partial)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(partial)
			if !IsInput(err) {
				err = fmt.Errorf("write %s: %w", path, err)
			}
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	// The Parquet writer closes what it writes to where it can; it must not.
	if err := write(struct{ io.Writer }{w}); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(partial, path)
}
