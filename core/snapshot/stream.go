package snapshot

import (
	"bufio"
	"fmt"
	"io"
)

// Stream is a tensor whose data is made as it is written: Write gives exactly the little-endian bytes that DType and Shape ask for.
type Stream struct {
	Name  string
	DType string
	Shape []int
	Write func(w *bufio.Writer) error
}

// StreamOf is a tensor that is there already, as a stream.
func StreamOf(t Tensor) Stream {
	return Stream{Name: t.Name, DType: t.DType, Shape: t.Shape, Write: func(w *bufio.Writer) error {
		for _, p := range t.pieces() {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		return nil
	}}
}

// EncodeStreams is EncodeTensors for data that is made as it is written. start hears, before anything is written, how many bytes it will be; it may be nil.
func EncodeStreams(w io.Writer, streams []Stream, meta map[string]string, start func(bytes int64)) error {
	tensors := make([]Tensor, len(streams))
	for i, s := range streams {
		tensors[i] = Tensor{Name: s.Name, DType: s.DType, Shape: s.Shape}
	}
	h, err := headerOf(tensors, meta, Tensor.want)
	if err != nil {
		return err
	}
	total := int64(len(h))
	for _, t := range tensors {
		total += t.want()
	}
	if start != nil {
		start(total)
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	c := &counted{w: w}
	b := bufio.NewWriterSize(c, 1<<18)
	for i, s := range streams {
		c.n = 0
		if err := s.Write(b); err != nil {
			return fmt.Errorf("write tensor %s: %w", s.Name, err)
		}
		if err := b.Flush(); err != nil {
			return fmt.Errorf("write tensor %s: %w", s.Name, err)
		}
		if want := tensors[i].want(); c.n != want {
			return fmt.Errorf("write tensor %s: %d bytes, want %d", s.Name, c.n, want)
		}
	}
	return nil
}

// counted counts what is written through it.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
