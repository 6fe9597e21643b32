package onnx

import (
	"bufio"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Data is a run of bytes that is made when the model is written: Size bytes by Write. It keeps large tables from being copied.
type Data struct {
	Size  int64
	Write func(w *bufio.Writer) error
}

// message is a protobuf message under construction: bytes and data end to end, of a length known before any of it is written.
type message struct {
	pieces []piece
	size   int64
}

// piece is either bytes or data.
type piece struct {
	bytes []byte
	data  *Data
}

// tail returns the bytes to append to, which the next call of put replaces.
func (m *message) tail() []byte {
	if n := len(m.pieces); n > 0 && m.pieces[n-1].data == nil {
		return m.pieces[n-1].bytes
	}
	m.pieces = append(m.pieces, piece{})
	return nil
}

func (m *message) put(b []byte) {
	last := &m.pieces[len(m.pieces)-1]
	m.size += int64(len(b) - len(last.bytes))
	last.bytes = b
}

func (m *message) int(field protowire.Number, v int64) {
	b := protowire.AppendTag(m.tail(), field, protowire.VarintType)
	m.put(protowire.AppendVarint(b, uint64(v)))
}

func (m *message) float(field protowire.Number, v float32) {
	b := protowire.AppendTag(m.tail(), field, protowire.Fixed32Type)
	m.put(protowire.AppendFixed32(b, math.Float32bits(v)))
}

func (m *message) text(field protowire.Number, v string) {
	b := protowire.AppendTag(m.tail(), field, protowire.BytesType)
	m.put(protowire.AppendString(b, v))
}

// data adds a field of bytes, or of packed numbers, whose contents are made later.
func (m *message) data(field protowire.Number, d *Data) {
	b := protowire.AppendTag(m.tail(), field, protowire.BytesType)
	m.put(protowire.AppendVarint(b, uint64(d.Size)))
	if d.Size > 0 {
		m.pieces = append(m.pieces, piece{data: d})
		m.size += d.Size
	}
}

// add adds a message as a field.
func (m *message) add(field protowire.Number, sub *message) {
	b := protowire.AppendTag(m.tail(), field, protowire.BytesType)
	m.put(protowire.AppendVarint(b, uint64(sub.size)))
	for _, p := range sub.pieces {
		if p.data == nil {
			m.put(append(m.tail(), p.bytes...))
			continue
		}
		m.pieces = append(m.pieces, p)
		m.size += p.data.Size
	}
}

func (m *message) write(w *bufio.Writer) error {
	for _, p := range m.pieces {
		if p.data == nil {
			if _, err := w.Write(p.bytes); err != nil {
				return err
			}
			continue
		}
		counted := &counter{w: w}
		b := bufio.NewWriterSize(counted, 1<<16)
		if err := p.data.Write(b); err != nil {
			return err
		}
		if err := b.Flush(); err != nil {
			return err
		}
		if counted.n != p.data.Size {
			return errSize(counted.n, p.data.Size)
		}
	}
	return nil
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
