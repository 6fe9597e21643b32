package features

import (
	"bytes"
	"io"
)

// maxRow is the longest row of a text file, in bytes.
const maxRow = 64 << 20

// lines cuts a stream into rows, keeping a buffer no longer than the longest row needs.
type lines struct {
	r          io.Reader
	buf        []byte
	start, end int // unread bytes are buf[start:end]
	eof        bool
	line       int64 // number of the line at start, from 1
}

func newLines(r io.Reader) *lines { return &lines{r: r, buf: make([]byte, 1<<16), line: 1} }

// fill reads more bytes behind the unread ones; it returns false at the end of the stream.
func (l *lines) fill() (bool, error) {
	if l.eof {
		return false, nil
	}
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	if l.end == len(l.buf) {
		grown := make([]byte, 2*len(l.buf))
		copy(grown, l.buf)
		l.buf = grown
	}
	for tries := 0; ; tries++ {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		if err == io.EOF {
			l.eof = true
			return n > 0, nil
		}
		if err != nil {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
		if tries > 100 {
			return false, io.ErrNoProgress
		}
	}
}

// peek returns the line that starts at skip unread bytes, without its end, and how many bytes it and its end take; 0 bytes at the end of the stream.
// The line stays valid until the next fill.
func (l *lines) peek(skip int) (line []byte, size int, err error) {
	searched := skip
	for {
		unread := l.buf[l.start:l.end]
		if searched < len(unread) {
			if i := bytes.IndexByte(unread[searched:], '\n'); i >= 0 {
				end := searched + i
				return trimEnd(unread[skip:end]), end + 1 - skip, nil
			}
			searched = len(unread)
		}
		if searched-skip > maxRow {
			return nil, 0, errRowTooLong
		}
		more, err := l.fill()
		if err != nil {
			return nil, 0, err
		}
		if !more {
			unread = l.buf[l.start:l.end]
			if skip >= len(unread) {
				return nil, 0, nil
			}
			return trimEnd(unread[skip:]), len(unread) - skip, nil
		}
	}
}

// take passes over size bytes that hold count lines.
func (l *lines) take(size int, count int64) {
	l.start += size
	l.line += count
}

func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}
