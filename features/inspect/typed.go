package inspect

import (
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/millrace/millrace/features"
)

// typedColumns lists the columns of a Parquet or Arrow file and which of them hold lists; notes tell of columns left out. A damaged file may make the library panic; that is an error of the file.
func typedColumns(path string, kind features.FileKind) (names []string, lists map[string]bool, notes []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &features.DataError{File: path, Reason: fmt.Sprintf("damaged: %v", p)}
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, nil, &features.DataError{File: path, Reason: err.Error()}
	}
	defer f.Close()
	schema, err := typedSchema(f, kind)
	if err != nil {
		return nil, nil, nil, &features.DataError{File: path, Reason: err.Error()}
	}
	lists = map[string]bool{}
	for _, c := range schema.Fields() {
		if !features.Readable(c.Type) {
			notes = append(notes, fmt.Sprintf("column %s holds %s, which no field can be, and is left out", c.Name, c.Type))
			continue
		}
		names = append(names, c.Name)
		switch c.Type.ID() {
		case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST:
			lists[c.Name] = true
		}
	}
	return names, lists, notes, nil
}

func typedSchema(f *os.File, kind features.FileKind) (*arrow.Schema, error) {
	if kind == features.ParquetFile {
		r, err := file.NewParquetReader(f)
		if err != nil {
			return nil, fmt.Errorf("not a whole Parquet file: %w", err)
		}
		return pqarrow.FromParquet(r.MetaData().Schema, nil, r.MetaData().KeyValueMetadata())
	}
	if r, err := ipc.NewFileReader(f); err == nil {
		return r.Schema(), nil
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	r, err := ipc.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("not an Arrow file: %w", err)
	}
	defer r.Release()
	return r.Schema(), nil
}
