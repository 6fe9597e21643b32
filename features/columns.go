package features

import (
	"io"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// OpenBytes opens a file's bytes, decompressed where they are gzip or zstd. A read of damaged compression fails with an error that says so.
func OpenBytes(path string) (io.ReadCloser, error) { return openSource(path) }

// Columns lists the names of a text file's columns: those in its header, or the dialect's.
func Columns(path string, d Dialect) ([]string, error) {
	s := &Schema{CSV: d}
	if err := s.CSV.complete(); err != nil {
		return nil, err
	}
	f, err := openText(path, newLayout(s), &openOptions{alloc: memory.NewGoAllocator()})
	if err != nil {
		return nil, err
	}
	if f.libfm {
		f.close()
		return nil, &DataError{File: path, Reason: "libfm has no column names"}
	}
	return f.names, f.close()
}
