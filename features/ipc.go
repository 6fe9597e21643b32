package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// ipcColumns reads chosen columns of an Arrow IPC file or stream.
type ipcColumns struct {
	path    string
	file    *os.File
	random  *ipc.FileReader // a file with a footer
	stream  *ipc.Reader     // a stream
	at      int             // of the file's records
	size    int64
	columns []int
	rest    arrow.Record // of the record at hand, not yet served
	options *openOptions
	live    atomic.Int64 // bytes the library holds
}

func openIPC(path string, l *layout, o *openOptions) (_ *columnFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	p := &ipcColumns{path: path, file: f, options: o}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	defer recovered(path, &err)
	info, err := f.Stat()
	if err != nil {
		return nil, openError(path, err)
	}
	p.size = info.Size()
	alloc := boundedFor(o.alloc, p.size)
	alloc.live = &p.live
	magic := make([]byte, 8)
	if _, err := f.ReadAt(magic, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var schema *arrow.Schema
	if bytes.HasPrefix(magic, ipc.Magic) {
		// The library leaves a file's dictionaries to the garbage collector, so they are not counted against the caller's allocator.
		alloc.Allocator = memory.NewGoAllocator()
		if err := checkIPCFooter(f, p.size); err != nil {
			return nil, &DataError{File: path, Reason: "not a whole Arrow file: footer: " + err.Error()}
		}
		if p.random, err = ipc.NewFileReader(f, ipc.WithAllocator(alloc)); err != nil {
			return nil, &DataError{File: path, Reason: "not a whole Arrow file: " + err.Error()}
		}
		schema = p.random.Schema()
	} else {
		if p.stream, err = ipc.NewReaderFromMessageReader(&ipcMessages{r: f, left: p.size, alloc: alloc}, ipc.WithAllocator(alloc)); err != nil {
			return nil, &DataError{File: path, Reason: "not an Arrow stream: " + err.Error()}
		}
		schema = p.stream.Schema()
	}
	return newColumnFile(path, schema, l, o, func(columns []int) (arraySource, error) {
		p.columns = columns
		return p, nil
	})
}

func (p *ipcColumns) next() (out []arrow.Array, err error) {
	defer recovered(p.path, &err)
	for p.rest == nil {
		rec, err := p.record()
		if err != nil {
			return nil, err
		}
		if rec.NumRows() == 0 {
			rec.Release()
			continue
		}
		p.rest = rec
	}
	whole := p.rest
	n := min(int64(p.options.BatchRows), whole.NumRows())
	part := whole.NewSlice(0, n)
	defer part.Release()
	p.rest = nil
	if n < whole.NumRows() {
		p.rest = whole.NewSlice(n, whole.NumRows())
	}
	whole.Release()
	for _, c := range p.columns {
		a := part.Column(c)
		a.Retain()
		out = append(out, a)
	}
	return out, nil
}

// record returns the file's next record, which the caller releases.
func (p *ipcColumns) record() (arrow.Record, error) {
	if p.random != nil {
		if p.at >= p.random.NumRecords() {
			return nil, io.EOF
		}
		rec, err := p.random.Record(p.at)
		if err != nil {
			return nil, err
		}
		p.at++
		rec.Retain()
		return rec, nil
	}
	rec, err := p.stream.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, err
	}
	rec.Retain()
	return rec, nil
}

func (p *ipcColumns) progress() float64 {
	if p.random != nil {
		return share(int64(p.at), int64(p.random.NumRecords()))
	}
	at, err := p.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return share(at, p.size)
}

func (p *ipcColumns) close() error {
	if p.rest != nil {
		p.rest.Release()
		p.rest = nil
	}
	if p.stream != nil {
		p.stream.Release()
		p.stream = nil
	}
	if p.random != nil {
		p.random.Close()
		p.random = nil
	}
	if err := p.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close %s: %w", p.path, err)
	}
	return nil
}
