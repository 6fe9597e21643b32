package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The versions that models are written for.
const (
	Opset     = 18 // of the standard operators
	OpsetML   = 2  // of the domain ai.onnx.ml
	irVersion = 8
)

// MaxSize is how large a protobuf message, and so a model, may be.
const MaxSize = math.MaxInt32

// ErrTooLarge is wrapped by the error about a model that no reader would accept.
var ErrTooLarge = errors.New("larger than the 2 GiB that a protobuf message may have")

// Model is a graph with what is said about it.
type Model struct {
	Graph    *Graph
	Producer string
	Version  string // of the producer
	Doc      string
	Metadata []Property
}

// Property is a key of a model's metadata.
type Property struct{ Key, Value string }

// The field numbers of ModelProto.
const (
	modelIR              = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelDoc             = 6
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14
)

func (m *Model) message() *message {
	out := &message{}
	out.int(modelIR, irVersion)
	out.text(modelProducer, m.Producer)
	out.text(modelProducerVersion, m.Version)
	out.text(modelDoc, m.Doc)
	for _, domain := range []string{"", ML} {
		if !m.Graph.domains[domain] {
			continue
		}
		version := int64(Opset)
		if domain == ML {
			version = OpsetML
		}
		set := &message{}
		set.text(1, domain)
		set.int(2, version)
		out.add(modelOpset, set)
	}
	for _, p := range m.Metadata {
		entry := &message{}
		entry.text(1, p.Key)
		entry.text(2, p.Value)
		out.add(modelMetadata, entry)
	}
	out.add(modelGraph, m.Graph.message())
	return out
}

// Encode writes the model. A model of more than MaxSize bytes is ErrTooLarge, before anything is written. start hears, before anything is written, how
// many bytes it will be; it may be nil.
func (m *Model) Encode(w io.Writer, start func(bytes int64)) error {
	if m.Graph == nil {
		return errors.New("write an ONNX model: it has no graph")
	}
	out := m.message()
	if out.size > MaxSize {
		return fmt.Errorf("write an ONNX model of %d bytes: %w", out.size, ErrTooLarge)
	}
	if start != nil {
		start(out.size)
	}
	b := bufio.NewWriterSize(w, 1<<18)
	if err := out.write(b); err != nil {
		return fmt.Errorf("write an ONNX model: %w", err)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write an ONNX model: %w", err)
	}
	return nil
}

// join appends the fields of another message.
func (m *message) join(o *message) {
	m.pieces = append(slices.Clip(m.pieces), o.pieces...)
	m.size += o.size
}

func errSize(got, want int64) error {
	return fmt.Errorf("a constant came out as %d bytes, want %d", got, want)
}
