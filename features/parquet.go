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
	pages   *pageGuard
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
	p := &parquetColumns{path: path, options: o, pages: newPageGuard(f, path, info.Size())}
	defer func() {
		if err != nil {
			p.close()
			f.Close()
		}
	}()
	defer recovered(path, &err)
	if err := p.pages.checkFooter(); err != nil {
		return nil, &DataError{File: path, Reason: "not a whole Parquet file: footer: " + err.Error()}
	}
	properties := parquet.NewReaderProperties(alloc)
	properties.BufferedStreamEnabled = true
	if p.file, err = file.NewParquetReader(p.pages, file.WithReadProps(properties)); err != nil {
		return nil, &DataError{File: path, Reason: "not a whole Parquet file: " + err.Error()}
	}
	if err := checkStoredSchema(p.file.MetaData()); err != nil {
		return nil, &DataError{File: path, Reason: "Parquet schema: " + err.Error()}
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
			for leaf := range leaves {
				if err := p.pages.add(schema.Field(c).Name, leaf, p.file); err != nil {
					return nil, &DataError{File: path, Reason: fmt.Sprintf("column %q: %v", schema.Field(c).Name, err)}
				}
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
		if p.pages.fault != nil {
			err = p.pages.fault
		}
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
