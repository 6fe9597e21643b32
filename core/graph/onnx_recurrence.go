package graph

import "github.com/millrace/millrace/core/onnx"

// A recurrent unit is a Scan over the places of the padded segments, whose body is one step of all segments. Where a segment has ended its state stays.
func (o gruOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s, h, wide := x.segments(o.r), in[1].rows, in[0].cols
	batch := x.op("Shape", s.lengths)
	zero := x.op("Expand", x.number(0), x.concat(0, batch, x.to.Ints(int64(h))))
	scanned := []onnx.Value{zero, x.pad(s, in[0].Value, wide), x.unsqueeze(s.mask, 2)}
	if o.kind != PlainGRU {
		scanned = append(scanned, x.pad(s, in[3].Value, 1))
	}
	axes := make([]int64, len(scanned)-1) // the place is the second axis
	for i := range axes {
		axes[i] = 1
	}
	attributes := []onnx.Attribute{
		onnx.Body("body", x.gruStep(o, in[1].Value, in[2].Value, h, wide)),
		onnx.Int("num_scan_inputs", int64(len(axes))), onnx.Ints("scan_input_axes", axes...), onnx.Ints("scan_output_axes", 1),
	}
	last, states := x.to.OpTwo("Scan", attributes, scanned...)
	if o.kind == PlainGRU {
		return x.flat(s, states, h)
	}
	return last
}

// gruStep is the body: the state [B, H], the gates' input [B, wide], whether there is a row [B, 1], the attention [B, 1] → the next state, twice.
func (x *ONNX) gruStep(o gruOp, w, bias onnx.Value, h, wide int) *onnx.Graph {
	body := x.to.Body("step of " + o.kind.String())
	b := &ONNX{to: body}
	rows := onnx.Dim{Name: "batch"}
	size := func(n int) onnx.Dim { return onnx.Dim{Size: int64(n)} }
	state := body.Input("state", "", onnx.Float32, rows, size(h))
	g := body.Input("gates", "", onnx.Float32, rows, size(wide))
	there := body.Input("there", "", onnx.Bool, rows, size(1))
	var a onnx.Value
	if o.kind != PlainGRU {
		a = body.Input("attention", "", onnx.Float32, rows, size(1))
	}
	if o.kind == AIGRU {
		g = b.mul(g, a)
	}
	g = b.add(g, b.slice(bias, 0, 0, 1))
	fromState := b.add(b.matmul(state, w), b.slice(bias, 0, 1, 2))
	both := b.add(g, fromState)
	gate := func(v onnx.Value, i int) onnx.Value { return b.columns(v, i*h, (i+1)*h) }
	reset := b.op("Sigmoid", gate(both, 0))
	last := o.kind.Gates() - 1
	candidate := b.op("Tanh", b.add(gate(g, last), b.mul(reset, gate(fromState, last))))
	update := a
	if o.kind != AGRU {
		update = b.op("Sigmoid", gate(both, 1))
	}
	if o.kind == AUGRU {
		update = b.mul(update, a)
	}
	next := b.add(state, b.mul(update, b.sub(candidate, state)))
	next = b.op("Where", there, next, state)
	body.Output("next", "", next, onnx.Float32, rows, size(h))
	body.Output("output", "", next, onnx.Float32, rows, size(h))
	return body
}
