package features

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/bmatcuk/doublestar/v4"
)

// Reader yields records in file order, then io.EOF. The caller releases each record.
type Reader interface {
	Next() (arrow.Record, error)
	Close() error
	// BadRows counts rows skipped so far.
	BadRows() int64
	// BadAt returns the places of the rows skipped so far, counted over all files from 0, ascending.
	BadAt() []int64
	// Progress returns the share of the input's bytes consumed, 0 to 1.
	Progress() float64
}

// ReadOptions tune Open. SkipBad is how many unusable rows over all files are tolerated; beyond that the error is *DataError.
type ReadOptions struct {
	BatchRows int // default 4096
	SkipBad   int64
	Labels    bool             // labels required (training, eval) or optional (predict)
	Allocator memory.Allocator // of the records; default: the Go heap
	Context   context.Context  // its end is an error of the next read; nil: none
}

type openOptions struct {
	ReadOptions
	budget *budget
	alloc  memory.Allocator
}

// fileReader reads one file.
type fileReader interface {
	next() (arrow.Record, error)
	progress() float64
	close() error
}

// Expand resolves files, folders and globs to a sorted list of data files; nothing found is an error. In folders, hidden files and those beginning with _ are passed over.
func Expand(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		found, err := expand(p)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return nil, &DataError{Reason: "no data files are named"}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func expand(p string) ([]string, error) {
	info, err := os.Stat(p)
	switch {
	case err == nil && !info.IsDir():
		return []string{filepath.Clean(p)}, nil
	case err == nil:
		return expandFolder(p)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, openError(p, err)
	case !strings.ContainsAny(p, "*?[{"):
		return nil, &DataError{File: p, Reason: "no such file or folder"}
	}
	found, err := doublestar.FilepathGlob(p, doublestar.WithFilesOnly())
	if err != nil {
		return nil, &DataError{File: p, Reason: "glob: " + err.Error()}
	}
	if len(found) == 0 {
		return nil, &DataError{File: p, Reason: "no file matches"}
	}
	return found, nil
}

func expandFolder(dir string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != dir && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_"))
		switch {
		case hidden && d.IsDir():
			return fs.SkipDir
		case hidden || d.IsDir():
			return nil
		}
		out = append(out, path)
		return nil
	})
	if err != nil {
		return nil, openError(dir, err)
	}
	if len(out) == 0 {
		return nil, &DataError{File: dir, Reason: "the folder holds no files"}
	}
	return out, nil
}

// Open reads files by their names: .csv .tsv .txt .dat .libfm .libsvm … with .gz or .zst, .parquet, .arrow/.feather/.ipc. Validity of every row (numbers, UTF-8, column count) is checked here.
// Every file's columns are checked before the first row is read; an absent one is a *DataError.
func Open(s *Schema, files []string, o ReadOptions) (Reader, error) {
	if o.BatchRows <= 0 {
		o.BatchRows = 4096
	}
	r := &reader{layout: newLayout(s), files: files, options: openOptions{ReadOptions: o, budget: &budget{allowed: o.SkipBad}, alloc: o.Allocator}}
	if r.options.alloc == nil {
		r.options.alloc = memory.NewGoAllocator()
	}
	if len(files) == 0 {
		return nil, &DataError{Reason: "no data files are named"}
	}
	for i, f := range files {
		file, err := r.open(f)
		if err != nil {
			r.Close()
			return nil, err
		}
		if i == 0 {
			r.current = file
		} else if err := file.close(); err != nil {
			r.Close()
			return nil, err
		}
		info, err := os.Stat(f)
		if err != nil {
			r.Close()
			return nil, fmt.Errorf("open %s: %w", f, err)
		}
		r.sizes = append(r.sizes, info.Size())
		r.total += info.Size()
	}
	return r, nil
}

// reader reads files one after another.
type reader struct {
	layout  *layout
	options openOptions
	files   []string
	sizes   []int64
	total   int64
	at      int
	before  int64 // bytes of the files done
	current fileReader
}

func (r *reader) open(path string) (fileReader, error) {
	kind, err := KindOf(path)
	switch {
	case err != nil:
		return nil, err
	case kind == ParquetFile:
		return openParquet(path, r.layout, &r.options)
	case kind == ArrowFile:
		return openIPC(path, r.layout, &r.options)
	}
	return openText(path, r.layout, &r.options)
}

func (r *reader) Next() (arrow.Record, error) {
	if c := r.options.Context; c != nil && c.Err() != nil {
		return nil, c.Err()
	}
	for r.at < len(r.files) {
		if r.current == nil {
			f, err := r.open(r.files[r.at])
			if err != nil {
				return nil, err
			}
			r.current = f
		}
		rec, err := r.current.next()
		if err == nil {
			r.options.budget.good += rec.NumRows()
			return rec, nil
		}
		if err != io.EOF {
			return nil, err
		}
		err = r.current.close()
		r.current = nil
		r.before += r.sizes[r.at]
		r.at++
		if err != nil {
			return nil, err
		}
	}
	return nil, io.EOF
}

func (r *reader) BadRows() int64 { return r.options.budget.bad }

func (r *reader) BadAt() []int64 { return r.options.budget.at }

func (r *reader) Progress() float64 {
	if r.total == 0 {
		return 1
	}
	done := float64(r.before)
	if r.current != nil && r.at < len(r.sizes) {
		done += r.current.progress() * float64(r.sizes[r.at])
	}
	return done / float64(r.total)
}

func (r *reader) Close() error {
	if r.current == nil {
		return nil
	}
	f := r.current
	r.current, r.at = nil, len(r.files)
	return f.close()
}
