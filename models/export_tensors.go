package models

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
)

// TensorsOptions say how tables are written.
type TensorsOptions struct {
	Rows     table.Encoding // of the tables' rows; float32 where it is empty
	Progress func(written, total int64)
}

// The names of a table's tensors follow its own.
const (
	keysSuffix   = ".keys"   // U64 [n]: the ids, rising; the first, 0, is the row of every id that is not there
	rowsSuffix   = ".rows"   // [n, dim]: F32, F16 or I8
	scalesSuffix = ".scales" // F32 [n], of I8 alone: what a row's integers are multiples of
)

// ExportTensors writes the dense weights under their names and every table as its keys and rows, in the safetensors form, straight from the tables' memory.
func (c *Checkpoint) ExportTensors(w io.Writer, o TensorsOptions) (*Exported, error) {
	done, err := c.exportTensors(w, o)
	if err != nil {
		return nil, fmt.Errorf("export the tensors of model %s: %w", c.Spec.Name, err)
	}
	return done, nil
}

func (c *Checkpoint) exportTensors(w io.Writer, o TensorsOptions) (*Exported, error) {
	var streams []snapshot.Stream
	for _, t := range c.Dense {
		streams = append(streams, snapshot.StreamOf(t))
	}
	for _, spec := range c.Program.tables {
		t := c.Tables[spec.Name]
		if t == nil {
			return nil, fmt.Errorf("there is no table %s", spec.Name)
		}
		of, err := sortTable(t).streams(o.Rows)
		if err != nil {
			return nil, err
		}
		streams = append(streams, of...)
	}
	done := &Exported{Tables: c.exportedTables(func(string) bool { return true })}
	props, err := c.metadata(&Exported{})
	if err != nil {
		return nil, err
	}
	meta := map[string]string{}
	for _, p := range props {
		meta[p.Key] = p.Value
	}
	out := &progressWriter{w: w, tell: o.Progress}
	err = snapshot.EncodeStreams(out, streams, meta, out.start)
	done.Bytes = out.written
	return done, err
}

// streams are a table's tensors.
func (s *sortedTable) streams(rows table.Encoding) ([]snapshot.Stream, error) {
	name, n, dim := s.t.Name(), len(s.ids), s.t.Dim()
	out := []snapshot.Stream{
		{Name: name + keysSuffix, DType: "U64", Shape: []int{n}, Write: s.writeKeys},
		{Name: name + rowsSuffix, DType: "F32", Shape: []int{n, dim}, Write: s.writeRows},
	}
	switch rows {
	case "", table.Float32:
	case table.Float16:
		out[1].DType, out[1].Write = "F16", s.writeHalves
	case table.Int8:
		out[1].DType, out[1].Write = "I8", s.writeInts
		out = append(out, snapshot.Stream{Name: name + scalesSuffix, DType: "F32", Shape: []int{n}, Write: s.writeScales})
	default:
		return nil, fmt.Errorf("rows as %q, want float32, float16 or int8", rows)
	}
	return out, nil
}

func (s *sortedTable) writeKeys(w *bufio.Writer) error {
	var b [8]byte
	for _, id := range s.ids {
		binary.LittleEndian.PutUint64(b[:], id)
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sortedTable) writeHalves(w *bufio.Writer) error {
	var halves []uint16
	var b []byte
	return s.each(func(row []float32) error {
		halves, b = table.AppendHalf(halves[:0], row), b[:0]
		for i, h := range halves {
			if h&0x7fff == 0x7c00 {
				return fmt.Errorf("table %s: the value %g is past float16's range", s.t.Name(), row[i])
			}
			b = binary.LittleEndian.AppendUint16(b, h)
		}
		_, err := w.Write(b)
		return err
	})
}

func (s *sortedTable) writeInts(w *bufio.Writer) error {
	var ints []int8
	var b []byte
	return s.each(func(row []float32) error {
		ints, _ = table.AppendInt8(ints[:0], row)
		b = b[:0]
		for _, q := range ints {
			b = append(b, byte(q))
		}
		_, err := w.Write(b)
		return err
	})
}

func (s *sortedTable) writeScales(w *bufio.Writer) error {
	var ints []int8
	var b [4]byte
	return s.each(func(row []float32) error {
		var scale float32
		ints, scale = table.AppendInt8(ints[:0], row)
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(scale))
		_, err := w.Write(b[:])
		return err
	})
}

// progressWriter counts what goes through it and tells now and then.
type progressWriter struct {
	w                    io.Writer
	tell                 func(written, total int64)
	written, total, told int64
}

// tellBytes is how many bytes are written between two tellings.
const tellBytes = 1 << 22

func (p *progressWriter) start(total int64) { p.total = total }

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.written += int64(n)
	if p.tell != nil && (p.written-p.told >= tellBytes || p.written == p.total) {
		p.told = p.written
		p.tell(p.written, p.total)
	}
	return n, err
}
