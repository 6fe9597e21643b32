package features

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// source is a file's bytes, decompressed where their first bytes say so. read counts stored bytes.
type source struct {
	path string
	file *os.File
	size int64
	read atomic.Int64
	io.Reader
	close func()
}

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// errCompression marks a compressed file that is cut short or damaged.
type errCompression struct {
	kind  string
	cause error
}

func (e *errCompression) Error() string {
	if errors.Is(e.cause, io.ErrUnexpectedEOF) {
		return "truncated " + e.kind + " data"
	}
	return "corrupt " + e.kind + " data: " + e.cause.Error()
}

func (e *errCompression) Unwrap() error { return e.cause }

// inflating gives the errors of a decompressor their name.
type inflating struct {
	io.Reader
	kind string
}

func (d inflating) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	var path *os.PathError
	if err != nil && err != io.EOF && !errors.As(err, &path) {
		err = &errCompression{d.kind, err}
	}
	return n, err
}

func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("is a folder")
	}
	if err != nil {
		f.Close()
		return nil, openError(path, err)
	}
	s := &source{path: path, file: f, size: info.Size(), close: func() {}}
	raw := bufio.NewReaderSize(counted{f, &s.read}, 1<<16)
	s.Reader = raw
	magic, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		z, err := gzip.NewReader(raw)
		if err != nil {
			f.Close()
			return nil, &DataError{File: path, Reason: (&errCompression{"gzip", err}).Error()}
		}
		s.Reader = inflating{z, "gzip"}
		s.close = func() { z.Close() }
	case bytes.HasPrefix(magic, zstdMagic):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1))
		if err != nil {
			f.Close()
			return nil, &DataError{File: path, Reason: (&errCompression{"zstd", err}).Error()}
		}
		s.Reader = inflating{z, "zstd"}
		s.close = z.Close
	}
	return s, nil
}

// openError is the request's fault where the file is absent or barred.
func openError(path string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &DataError{File: path, Reason: err.Error()}
}

// failure turns a read error into the error that callers see.
func (s *source) failure(err error, line int64) error {
	var c *errCompression
	if errors.As(err, &c) {
		return &DataError{File: s.path, Line: line, Reason: c.Error()}
	}
	return fmt.Errorf("read %s line %d: %w", s.path, line, err)
}

func (s *source) Close() error {
	s.close()
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}
