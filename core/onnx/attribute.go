package onnx

import (
	"bufio"

	"google.golang.org/protobuf/encoding/protowire"
)

// Attribute is a named constant of a node.
type Attribute struct{ m *message }

// The field numbers and type codes of AttributeProto (onnx.proto).
const (
	attributeName = 1
	attributeF    = 2
	attributeI    = 3
	attributeS    = 4
	attributeG    = 6
	attributeInts = 8
	attributeType = 20

	typeFloat  = 1
	typeInt    = 2
	typeString = 3
	typeGraph  = 5
	typeInts   = 7
)

func newAttribute(name string, code int64) Attribute {
	m := &message{}
	m.text(attributeName, name)
	m.int(attributeType, code)
	return Attribute{m}
}

// Int is an attribute of one integer.
func Int(name string, v int64) Attribute {
	a := newAttribute(name, typeInt)
	a.m.int(attributeI, v)
	return a
}

// Float is an attribute of one float32.
func Float(name string, v float32) Attribute {
	a := newAttribute(name, typeFloat)
	a.m.float(attributeF, v)
	return a
}

// Text is an attribute of one string.
func Text(name, v string) Attribute {
	a := newAttribute(name, typeString)
	a.m.text(attributeS, v)
	return a
}

// Body is an attribute of a graph that was made with Graph.Body and is complete.
func Body(name string, g *Graph) Attribute {
	a := newAttribute(name, typeGraph)
	a.m.add(attributeG, g.message())
	return a
}

// Ints is an attribute of several integers.
func Ints(name string, v ...int64) Attribute {
	return IntsAt(name, len(v), func(i int) int64 { return v[i] })
}

// IntsAt is an attribute of n integers, asked for twice: when the model is put together and when it is written.
func IntsAt(name string, n int, at func(i int) int64) Attribute {
	a := newAttribute(name, typeInts)
	d := &Data{}
	for i := range n {
		d.Size += int64(protowire.SizeVarint(uint64(at(i))))
	}
	d.Write = func(w *bufio.Writer) error {
		var b []byte
		for i := range n {
			b = protowire.AppendVarint(b[:0], uint64(at(i)))
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
	a.m.data(attributeInts, d) // packed
	return a
}
