package onnx

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is a field of a message as it was written.
type field struct {
	number protowire.Number
	varint uint64
	bytes  []byte
}

// fields reads a message.
func fields(t *testing.T, b []byte) []field {
	t.Helper()
	var out []field
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatalf("a tag: %v", protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			t.Fatalf("field %d: %v", number, protowire.ParseError(n))
		}
		b = b[n:]
		out = append(out, f)
	}
	return out
}

// of returns the contents of a field each time it is there.
func of(all []field, number protowire.Number) [][]byte {
	var out [][]byte
	for _, f := range all {
		if f.number == number {
			out = append(out, f.bytes)
		}
	}
	return out
}

func encode(t *testing.T, g *Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	told := int64(-1)
	m := &Model{Graph: g, Producer: "test", Metadata: []Property{{"k", "v"}}}
	if err := m.Encode(&b, func(n int64) { told = n }); err != nil {
		t.Fatal(err)
	}
	if told != int64(b.Len()) {
		t.Errorf("told %d bytes, wrote %d", told, b.Len())
	}
	return b.Bytes()
}

// sample is a graph with one of everything.
func sample() *Graph {
	g := NewGraph("sample")
	x := g.Input("x", "numbers", Float32, Dim{Name: "batch"}, Dim{Size: 3})
	body := g.Body("inner")
	inner := body.Input("x", "", Float32, Dim{Size: 3})
	body.Output("y", "", body.Op("Add", inner, body.Floats([]float32{7})), Float32, Dim{Size: 3})
	_, y := g.OpTwo("Scan", []Attribute{Body("body", body), Int("num_scan_inputs", 1)}, x)
	rows := g.OpIn(ML, "LabelEncoder", []Attribute{Ints("keys_int64s", -1, 300), Ints("values_int64s", 0, 1)}, g.Ints(1, 2))
	big := g.Tensor("big", Float32, &Data{Size: 8, Write: func(w *bufio.Writer) error {
		_, err := w.Write(make([]byte, 8))
		return err
	}}, 2, 1)
	g.Scope("a/b")
	g.Output("y", "", g.Op("Sum", y, rows, big, g.Floats([]float32{7}), g.Ints(1, 2)), Float32)
	return g
}

func TestModel(t *testing.T) {
	model := fields(t, encode(t, sample()))
	if sets := of(model, modelOpset); len(sets) != 2 || !bytes.Contains(sets[1], []byte(ML)) {
		t.Errorf("opsets %q", sets)
	}
	graph := fields(t, of(model, modelGraph)[0])
	var ops []string
	for _, n := range of(graph, graphNode) {
		ops = append(ops, string(of(fields(t, n), nodeOp)[0]))
	}
	if got := strings.Join(ops, " "); got != "Scan LabelEncoder Sum Identity" {
		t.Errorf("nodes %s", got)
	}
	if got := of(graph, graphInitializer); len(got) != 3 { // 7 and (1, 2) are there once
		t.Errorf("%d constants, want 3", len(got))
	}
	last := fields(t, of(graph, graphNode)[2])
	if in := of(last, nodeInput); len(in) != 5 || string(in[2]) != "big" || string(of(last, nodeOutput)[0]) != "a/b/Sum" {
		t.Errorf("inputs %q", in)
	}
	names := map[string]bool{}
	for _, v := range append(of(graph, graphInput), of(graph, graphOutput)...) {
		names[string(of(fields(t, v), valueName)[0])] = true
	}
	scan := fields(t, of(graph, graphNode)[0])
	body := fields(t, of(fields(t, of(scan, nodeAttribute)[0]), attributeG)[0])
	for _, v := range append(of(body, graphInput), of(body, graphOutput)...) {
		if name := string(of(fields(t, v), valueName)[0]); names[name] {
			t.Errorf("the body's %s is the graph's as well", name)
		}
	}
	if len(of(body, graphInitializer)) > 0 {
		t.Error("the body has constants of its own")
	}
	keys := of(fields(t, of(fields(t, of(graph, graphNode)[1]), nodeAttribute)[0]), attributeInts)[0]
	if v, n := protowire.ConsumeVarint(keys); int64(v) != -1 || len(keys)-n != 2 {
		t.Errorf("keys are %x", keys)
	}
	if !bytes.Equal(encode(t, sample()), encode(t, sample())) {
		t.Error("the same graph gives other bytes")
	}
}

// TestTooLarge: nothing of a model past the limit is written or even made.
func TestTooLarge(t *testing.T) {
	g := NewGraph("large")
	g.Tensor("rows", Float32, &Data{Size: 3 << 30, Write: func(*bufio.Writer) error {
		t.Error("the data were asked for")
		return nil
	}}, 3<<28)
	m := &Model{Graph: g}
	if err := m.Encode(writes(func() { t.Error("something was written") }), nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

type writes func()

func (f writes) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

func TestErrors(t *testing.T) {
	f := func(want string, write func(w *bufio.Writer) error) {
		t.Helper()
		g := NewGraph("g")
		g.Tensor("rows", Int64, &Data{Size: 16, Write: write}, 2)
		m := &Model{Graph: g}
		if err := m.Encode(io.Discard, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("a constant came out as 15 bytes, want 16", func(w *bufio.Writer) error {
		_, err := w.Write(make([]byte, 15))
		return err
	})
	f("no rows", func(*bufio.Writer) error { return errors.New("no rows") })
	m := &Model{}
	if err := m.Encode(io.Discard, nil); err == nil {
		t.Error("a model without a graph was written")
	}
}
