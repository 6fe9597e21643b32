package features

import (
	"bytes"
	"errors"
)

var errRowTooLong = errors.New("a row longer than 64 MiB")

// maxQuoted is how far a quoted value may run on over lines before its quote counts as never closed.
const maxQuoted = 4 << 20

const (
	neverClosed = "a quote is never closed"
	afterQuote  = "text after a closing quote"
)

// span is a value's place in a row, counted from the row's first byte; doubled says that it holds doubled quotes.
type span struct {
	from, to int
	doubled  bool
}

// rowSplitter cuts rows of delimited text into values.
type rowSplitter struct {
	lines   *lines
	delim   []byte
	quotes  bool
	trim    bool
	spans   []span
	values  [][]byte
	scratch []byte
}

// next cuts the next row that is not blank. The values and raw bytes stay valid until the following call; size and count are what take needs to pass over it.
// A row with a reason could not be cut: only its first line is passed over, so that a stray quote costs one row. A size of 0 is the end.
func (s *rowSplitter) next() (row textRow, err error) {
	for {
		line, size, err := s.lines.peek(0)
		if err != nil || size == 0 {
			return textRow{}, err
		}
		if len(line) == 0 {
			s.lines.take(size, 1)
			continue
		}
		row = textRow{line: s.lines.line, raw: line}
		count := int64(1)
		if s.quotes && bytes.IndexByte(line, '"') >= 0 {
			whole, n, reason, err := s.quoted(len(line), size)
			if err != nil {
				return textRow{}, err
			}
			if row.reason = reason; reason == "" {
				size, count = whole, n
				row.raw = s.lines.buf[s.lines.start:][:size]
			} else {
				row.raw = s.lines.buf[s.lines.start:][:len(line)]
			}
		} else {
			s.plain(line)
		}
		row.values = s.values
		row.size, row.count = size, count
		return row, nil
	}
}

// textRow is one row of a text file as cut.
type textRow struct {
	line   int64 // of its first line
	raw    []byte
	values [][]byte
	reason string // why it could not be cut
	size   int
	count  int64
}

func (s *rowSplitter) plain(line []byte) {
	v := s.values[:0]
	if len(s.delim) == 1 {
		d := s.delim[0]
		for {
			i := bytes.IndexByte(line, d)
			if i < 0 {
				break
			}
			v, line = append(v, line[:i]), line[i+1:]
		}
	} else {
		for {
			i := bytes.Index(line, s.delim)
			if i < 0 {
				break
			}
			v, line = append(v, line[:i]), line[i+len(s.delim):]
		}
	}
	s.values = append(v, line)
	if s.trim {
		for i, b := range s.values {
			s.values[i] = trimBlanks(b)
		}
	}
}

// quoted cuts a row that holds quotes (RFC 4180): a value that begins with one runs to its closing one, over line ends too; a quote elsewhere is plain text.
func (s *rowSplitter) quoted(end, size int) (whole int, count int64, reason string, err error) {
	s.spans = s.spans[:0]
	count = 1
	raw := s.lines.buf[s.lines.start:][:size]
	pos := 0
	for {
		p := pos
		if s.trim {
			p = skipBlanks(raw, p, end)
		}
		if p >= end || raw[p] != '"' {
			at := bytes.Index(raw[pos:end], s.delim)
			if at < 0 {
				s.spans = append(s.spans, span{pos, end, false})
				break
			}
			s.spans = append(s.spans, span{pos, pos + at, false})
			pos += at + len(s.delim)
			continue
		}
		q, doubled := p+1, false
		for {
			i := bytes.IndexByte(raw[q:], '"')
			if i >= 0 {
				if q += i; q+1 < len(raw) && raw[q+1] == '"' {
					q, doubled = q+2, true
					continue
				}
				break
			}
			if size > maxQuoted {
				return 0, 0, neverClosed, nil
			}
			more, moreSize, err := s.lines.peek(size)
			if err != nil {
				return 0, 0, "", err
			}
			if moreSize == 0 {
				return 0, 0, neverClosed, nil
			}
			q = size
			end, size = size+len(more), size+moreSize
			raw = s.lines.buf[s.lines.start:][:size]
			count++
		}
		s.spans = append(s.spans, span{p + 1, q, doubled})
		p = q + 1
		if s.trim {
			p = skipBlanks(raw, p, end)
		}
		if p >= end {
			break
		}
		if !bytes.HasPrefix(raw[p:end], s.delim) {
			return 0, 0, afterQuote, nil
		}
		pos = p + len(s.delim)
	}
	s.resolve(raw)
	return size, count, "", nil
}

func skipBlanks(b []byte, p, end int) int {
	for p < end && (b[p] == ' ' || b[p] == '\t') {
		p++
	}
	return p
}

// resolve turns spans into values.
func (s *rowSplitter) resolve(raw []byte) {
	s.values, s.scratch = s.values[:0], s.scratch[:0]
	if cap(s.scratch) < len(raw) {
		s.scratch = make([]byte, 0, 2*len(raw))
	}
	for _, sp := range s.spans {
		v := raw[sp.from:sp.to]
		if sp.doubled {
			from := len(s.scratch)
			for i := 0; i < len(v); i++ {
				s.scratch = append(s.scratch, v[i])
				if v[i] == '"' {
					i++
				}
			}
			v = s.scratch[from:]
		}
		if s.trim {
			v = trimBlanks(v)
		}
		s.values = append(s.values, v)
	}
}

// take passes over the row.
func (s *rowSplitter) take(row *textRow) { s.lines.take(row.size, row.count) }
