package graph

import "github.com/millrace/millrace/core/onnx"

// onnxSegments are the boundaries of ragged rows in ONNX, made from their lengths. ONNX has no ragged tensors: what works on a whole segment sees
// its rows padded to the longest one, [B, L, …], and what works on each row stays flat, [T, …].
type onnxSegments struct {
	lengths onnx.Value // int64 [B]
	starts  onnx.Value // int64 [B]: where a segment's rows begin
	total   onnx.Value // int64 [1]: T
	longest onnx.Value // int64 [1]: L, at least 1
	mask    onnx.Value // bool [B, L]: where there is a row
	places  onnx.Value // int64 [B, L]: the row at each place, T where there is none
	segment onnx.Value // int64 [T]: the segment of each row
	place   onnx.Value // int64 [T]: the place of each row in its segment
	padded  onnx.Value // int64 [T]: where each row lies among the B·L padded ones
}

// segments returns the boundaries of r, written at first use.
func (x *ONNX) segments(r *Ragged) *onnxSegments {
	s := x.ragged[r]
	if s == nil {
		lengths, ok := x.lengths[r]
		if !ok {
			fail("no lengths are bound to the segments")
		}
		s = x.newSegments(lengths)
		x.ragged[r] = s
	}
	return s
}

func (x *ONNX) newSegments(lengths onnx.Value) *onnxSegments {
	g := x.to
	s := &onnxSegments{lengths: lengths}
	s.starts = g.OpWith("CumSum", []onnx.Attribute{onnx.Int("exclusive", 1)}, lengths, g.Int(0))
	s.total = x.reduce("ReduceSum", lengths, 0, true)
	s.longest = x.op("Max", x.reduce("ReduceMax", lengths, 0, true), g.Ints(1))
	places := x.unsqueeze(x.op("Range", g.Int(0), x.op("Squeeze", s.longest), g.Int(1)), 0) // [1, L]
	s.mask = x.op("Less", places, x.unsqueeze(lengths, 1))
	s.places = x.op("Where", s.mask, x.add(places, x.unsqueeze(s.starts, 1)), s.total)
	at := x.op("NonZero", s.mask) // [2, T], in the order of the rows
	s.segment, s.place = x.take(at, 0, g.Int(0)), x.take(at, 0, g.Int(1))
	s.padded = x.add(x.mul(s.segment, s.longest), s.place)
	return s
}

// pad turns rows [T, cols] into [B, L, cols], with zeros where there is no row.
func (x *ONNX) pad(s *onnxSegments, a onnx.Value, cols int) onnx.Value {
	return x.take(x.withZeros(a, cols), 0, s.places)
}

// withZeros appends a row of zeros, which stands for a row that is not there.
func (x *ONNX) withZeros(a onnx.Value, cols int) onnx.Value {
	return x.concat(0, a, x.row(make([]float32, cols)))
}

// flat is the way back of pad.
func (x *ONNX) flat(s *onnxSegments, a onnx.Value, cols int) onnx.Value {
	return x.take(x.reshape(a, -1, int64(cols)), 0, s.padded)
}

// masked sets a, [B, L] or a shape that mask broadcasts to, to a number whose exponential is 0 where there is no row.
func (x *ONNX) masked(mask, a onnx.Value) onnx.Value {
	return x.op("Where", mask, a, x.number(-1e30))
}

// Pool makes one row of each segment of the given lengths, int64 [B]: rows [T, cols] → [B, cols], zeros where a segment is empty.
func (x *ONNX) Pool(rows, lengths onnx.Value, cols int, kind Pooling) onnx.Value {
	for _, s := range x.ragged {
		if s.lengths == lengths {
			return x.pool(s, rows, cols, kind)
		}
	}
	s := x.newSegments(lengths)
	x.ragged[&Ragged{}] = s
	return x.pool(s, rows, cols, kind)
}

func (x *ONNX) pool(s *onnxSegments, rows onnx.Value, cols int, kind Pooling) onnx.Value {
	if kind == PoolLast {
		last := x.sub(x.add(s.starts, s.lengths), x.to.Ints(1))
		there := x.op("Greater", s.lengths, x.to.Ints(0))
		return x.take(x.withZeros(rows, cols), 0, x.op("Where", there, last, s.total))
	}
	sum := x.sum(x.pad(s, rows, cols), 1, false)
	if kind == PoolSum {
		return sum
	}
	count := x.cast(x.op("Max", s.lengths, x.to.Ints(1)), onnx.Float32)
	return x.op("Div", sum, x.unsqueeze(count, 1))
}

// weightedSum adds up rows k [T, cols] with weights a [T, 1] over each segment: [B, cols].
func (x *ONNX) weightedSum(s *onnxSegments, a, k onnx.Value, cols int) onnx.Value {
	weights := x.unsqueeze(x.reshape(x.pad(s, a, 1), 0, -1), 1) // [B, 1, L]
	return x.reshape(x.matmul(weights, x.pad(s, k, cols)), -1, int64(cols))
}

func (o repeatSegmentsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.take(in[0].Value, 0, x.segments(o.r).segment)
}

func (o segmentSumOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.pool(x.segments(o.r), in[0].Value, in[0].cols, PoolSum)
}

func (o segmentPoolOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.pool(x.segments(o.r), in[0].Value, in[0].cols, o.kind)
}

func (o weightedSumOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.weightedSum(x.segments(o.r), in[0].Value, in[1].Value, in[1].cols)
}

func (o segmentDotsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	q := x.take(in[0].Value, 0, x.segments(o.r).segment)
	return x.sum(x.mul(q, in[1].Value), 1, true)
}

func (o segmentCutOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s := x.segments(o.r)
	kept := x.op("Greater", s.place, x.to.Ints(0))
	if o.from == 0 {
		kept = x.op("Less", x.add(s.place, x.to.Ints(1)), x.take(s.lengths, 0, s.segment))
	}
	return x.to.OpWith("Compress", []onnx.Attribute{onnx.Int("axis", 0)}, in[0].Value, kept)
}

func (o segmentSoftmaxOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.segmentSoftmax(x.segments(o.r), in[0].Value, o.scale)
}

func (x *ONNX) segmentSoftmax(s *onnxSegments, a onnx.Value, scale float64) onnx.Value {
	scores := x.reshape(x.pad(s, x.scaled(a, scale), 1), 0, -1) // [B, L]
	return x.flat(s, x.softmax(x.masked(s.mask, scores), 1), 1)
}

func (o appendRowsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s := x.segments(o.r)
	x.BindLengths(o.longer, x.add(s.lengths, x.to.Ints(1)))
	longer := x.segments(o.longer)
	// A row of the longer segments is the row at the same place of the shorter ones, or where these have ended, the appended one.
	there := x.op("Less", longer.place, x.take(s.lengths, 0, longer.segment))
	row := x.add(x.take(s.starts, 0, longer.segment), longer.place)
	appended := x.add(longer.segment, s.total)
	return x.take(x.concat(0, in[0].Value, in[1].Value), 0, x.op("Where", there, row, appended))
}

func (o addPositionsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s := x.segments(o.r)
	age := x.sub(x.sub(x.take(s.lengths, 0, s.segment), x.to.Ints(1)), s.place)
	at := x.op("Min", age, x.to.Ints(int64(in[1].rows-1)))
	return x.add(in[0].Value, x.take(in[1].Value, 0, at))
}

func (o segmentAttentionOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s, cols := x.segments(o.r), in[0].cols
	width := int64(cols / o.heads)
	heads := func(v onnx.Value, perm ...int64) onnx.Value { // of [B, L, heads, width]
		length := x.concat(0, x.to.Ints(-1), s.longest, x.to.Ints(int64(o.heads), width))
		return x.transpose(x.op("Reshape", x.pad(s, v, cols), length), perm...)
	}
	scores := x.scaled(x.matmul(heads(in[0].Value, 0, 2, 1, 3), heads(in[1].Value, 0, 2, 3, 1)), o.scale) // [B, heads, L, L]
	weights := x.softmax(x.masked(x.unsqueeze(s.mask, 1, 2), scores), 3)
	return x.flat(s, x.transpose(x.matmul(weights, heads(in[2].Value, 0, 2, 1, 3)), 0, 2, 1, 3), cols)
}

// attentionInput is the first layer of DIN's unit over flat rows: q·(Wq+Wd) + b once a candidate, k·(Wk−Wd) and (q∘k)·Wp once a row.
func (x *ONNX) attentionInput(s *onnxSegments, q, k, w, b onnx.Value, h int, act Activation) onnx.Value {
	part := func(i int) onnx.Value { return x.slice(w, 0, i*h, (i+1)*h) }
	first := x.take(x.dense(q, x.add(part(0), part(2)), b), 0, s.segment)
	rows := x.matmul(k, x.sub(part(1), part(2)))
	both := x.matmul(x.mul(x.take(q, 0, s.segment), k), part(3))
	return x.activate(act, x.add(first, x.add(rows, both)))
}

func (o attentionInputOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	return x.attentionInput(x.segments(o.r), in[0].Value, in[1].Value, in[2].Value, in[3].Value, in[0].cols, o.act)
}

func (o attentionUnitOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s, q, k := x.segments(o.r), in[0], in[1]
	a := x.attentionInput(s, q.Value, k.Value, in[2].Value, in[3].Value, q.cols, o.acts[0])
	for i := 1; i < o.layers; i++ {
		a = x.activate(o.acts[i], x.dense(a, in[2+2*i].Value, in[3+2*i].Value))
	}
	if o.softmax {
		a = x.segmentSoftmax(s, a, o.scale)
	}
	return x.weightedSum(s, a, k.Value, k.cols)
}
