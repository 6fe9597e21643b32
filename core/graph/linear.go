package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Linear returns act(x·w + b): x [B, in], w [in, out], b [1, out] or nil.
func Linear(x, w, b *Node, act Activation) *Node {
	return LinearWith(x, w, b, Epilogue{Act: act})
}

// Epilogue is what Linear does to a block of its product while it is in the cache: the bias is added, then the residual, then an activation is applied.
type Epilogue struct {
	Act      Activation
	Slopes   *Node // [1, out]: PReLU with these slopes in place of Act
	Residual *Node // [B, out]
}

// LinearWith returns f(x·w + b + residual), f being the epilogue's activation.
func LinearWith(x, w, b *Node, e Epilogue) *Node {
	if w.rows != x.Cols {
		fail("Linear: x has %d columns, w %d rows", x.Cols, w.rows)
	}
	o := linearOp{act: e.Act, bias: b != nil, prelu: e.Slopes != nil, residual: e.Residual != nil}
	outs, in := []shape{{x.rows, w.Cols, false}}, []*Node{x, w}
	if o.bias {
		rowOf("Linear", "b", b, w.Cols)
		in = append(in, b)
	}
	if o.prelu {
		if e.Act != Identity {
			fail("Linear: slopes and %v", e.Act)
		}
		rowOf("Linear", "slopes", e.Slopes, w.Cols)
		in = append(in, e.Slopes)
	}
	if o.residual {
		if e.Residual.Cols != w.Cols {
			fail("Linear: the residual has %d columns, w %d", e.Residual.Cols, w.Cols)
		}
		in = append(in, e.Residual)
	}
	if o.fromInput() {
		outs = append(outs, outs[0])
	}
	return apply(o, outs, in...)
}

// linearOp: (x, w, [b], [slopes], [residual]) → y, and where the derivative of the activation is taken from it, z = x·w + b + residual.
type linearOp struct {
	act                   Activation
	bias, prelu, residual bool
}

func (o linearOp) String() string {
	name := "linear " + o.act.String()
	if o.prelu {
		name = "linear prelu"
	}
	if o.residual {
		name += " with residual"
	}
	return name
}

func (o linearOp) fromInput() bool { return o.prelu || o.act.fromInput() }

// place returns where the bias, the slopes and the residual are among the inputs, 0 for none.
func (o linearOp) place() (bias, slopes, residual int) {
	next := 2
	for _, p := range []struct {
		there bool
		at    *int
	}{{o.bias, &bias}, {o.prelu, &slopes}, {o.residual, &residual}} {
		if p.there {
			*p.at = next
			next++
		}
	}
	return bias, slopes, residual
}

func (o linearOp) rows(_ *env, in []*Tensor, out []int) error {
	for i := range out {
		out[i] = in[0].Rows
	}
	if o.residual {
		return equalRows(in[0], in[len(in)-1])
	}
	return nil
}

func (o linearOp) differentiable(inputs int) []bool { return all(inputs) }

func (o linearOp) grads(d *derivation) []*gorgonia.Node {
	from := d.out
	if o.fromInput() {
		from = d.aux(1)
	}
	return d.apply(linearGrad{linearOp: o}, d.in, append(append(gorgonia.Nodes{}, d.in...), from, d.grad)...)
}

func (o linearOp) runner(e *env) runner {
	return pick(e, linearForward[float32](o), linearForward[float64](o))
}

// From chunkedRows rows up a layer is computed in chunks, each from the product to the activation while it is in the second-level cache, the
// chunks in parallel. Below, the product itself is parallel.
const (
	chunkRows   = 256
	chunkedRows = 256
)

// chunks returns into how many chunks so many rows are cut: of chunkRows, or half of that where it would leave few.
func chunks(rows int) int {
	switch {
	case rows < chunkedRows:
		return 1
	case rows < 8*chunkRows:
		return (rows + chunkRows/2 - 1) / (chunkRows / 2)
	default:
		return (rows + chunkRows - 1) / chunkRows
	}
}

// chunk returns the rows of chunk i of n.
func chunk(i, n, rows int) (lo, hi int) { return i * rows / n, (i + 1) * rows / n }

func linearForward[T kernel.Float](o linearOp) runner {
	biasAt, slopesAt, residualAt := o.place()
	var x, w, y, z, b, slopes, residual []T // z is y where nobody asks for it
	var rows, inner, cols, n int
	var packed *kernel.Packed
	var repacked kernel.Packed // of weights that are not frozen
	product := func(lo, hi int) {
		if o.residual {
			copy(z[lo*cols:hi*cols], residual[lo*cols:hi*cols])
		}
		if packed != nil {
			kernel.GemmPacked(hi-lo, any(x).([]float32)[lo*inner:], inner, packed, o.residual, any(z).([]float32)[lo*cols:], cols)
			return
		}
		kernel.Gemm(false, false, hi-lo, cols, inner, x[lo*inner:], inner, w, cols, o.residual, z[lo*cols:], cols)
	}
	finish := func(lo, hi int) {
		if b != nil {
			kernel.AddBias(z[lo*cols:], b, hi-lo, cols, cols)
		}
		switch {
		case o.prelu:
			for r := lo; r < hi; r++ {
				kernel.Prelu(y[r*cols:(r+1)*cols], z[r*cols:(r+1)*cols], slopes)
			}
		case o.act != Identity:
			activate(o.act, y[lo*cols:hi*cols], z[lo*cols:hi*cols])
		}
	}
	part := func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := chunk(i, n, rows)
			product(lo, hi)
			finish(lo, hi)
		}
	}
	input := func(in []*Tensor, at int) []T {
		if at == 0 {
			return nil
		}
		return data[T](in[at])
	}
	return func(in, out []*Tensor) {
		rows, inner, cols = in[0].Rows, in[0].Cols, in[1].Cols
		x, w = data[T](in[0]), data[T](in[1])
		b, slopes, residual = input(in, biasAt), input(in, slopesAt), input(in, residualAt)
		y = own(y, out[0], rows*cols)
		z = y
		if len(out) > 1 && out[1] != nil {
			z = data[T](out[1])
		}
		packed = in[1].packed
		if n = chunks(rows); n > 1 {
			if w, ok := any(w).([]float32); ok && packed == nil && repacked.Repack(false, rows/n, inner, cols, w, cols) {
				packed = &repacked
			}
			kernel.Parallel(n, 1, part)
			return
		}
		product(0, rows)
		if b != nil || o.prelu || o.act != Identity {
			kernel.Parallel(rows, rowGrain(cols), finish)
		}
	}
}

// linearGrad: (x, w, [b], [slopes], [residual], y or z, dy) → dx, dw, [db], [dslopes], [dresidual], in one pass over dy.
type linearGrad struct {
	backward
	linearOp
}

func (o linearGrad) String() string { return o.linearOp.String() + " gradient" }

func (o linearGrad) rows(_ *env, in []*Tensor, out []int) error {
	for i := range out {
		out[i] = in[i].Rows
	}
	return nil
}

func (o linearGrad) differentiable(inputs int) []bool     { return o.backward.differentiable(inputs) }
func (o linearGrad) grads(d *derivation) []*gorgonia.Node { return o.backward.grads(d) }

func (o linearGrad) runner(e *env) runner {
	return pick(e, linearBackward[float32](o.linearOp, e), linearBackward[float64](o.linearOp, e))
}

func linearBackward[T kernel.Float](o linearOp, e *env) runner {
	biasAt, slopesAt, residualAt := o.place()
	var w, y, dy, dz, dx, sums, slopes, slopeSums []T // sums and slopeSums [chunks, out]: column sums of dz and of the slopes' gradients
	var rows, inner, cols, n int
	var bias bool
	var packed *kernel.Packed // wᵀ, where the chunks are worth it
	var repacked kernel.Packed
	part := func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := chunk(i, n, rows)
			switch {
			case o.prelu:
				sum := slopeSums[i*cols : (i+1)*cols]
				clear(sum)
				for r := lo; r < hi; r++ {
					kernel.PreluGrad(dz[r*cols:(r+1)*cols], sum, dy[r*cols:(r+1)*cols], y[r*cols:(r+1)*cols], slopes)
				}
			case o.act != Identity:
				deactivate(o.act, dz[lo*cols:hi*cols], y[lo*cols:hi*cols], dy[lo*cols:hi*cols])
			case len(dz) > 0 && &dz[0] != &dy[0]:
				copy(dz[lo*cols:hi*cols], dy[lo*cols:hi*cols])
			}
			if bias {
				kernel.ColSums(sums[i*cols:(i+1)*cols], dz[lo*cols:], hi-lo, cols, cols, false)
			}
			switch {
			case dx == nil:
			case packed != nil:
				kernel.GemmPacked(hi-lo, any(dz).([]float32)[lo*cols:], cols, packed, false, any(dx).([]float32)[lo*inner:], inner)
			default:
				kernel.Gemm(false, true, hi-lo, inner, cols, dz[lo*cols:], cols, w, cols, false, dx[lo*inner:], inner)
			}
		}
	}
	return func(in, out []*Tensor) {
		rows, inner, cols = in[0].Rows, in[0].Cols, in[1].Cols
		x := data[T](in[0])
		w, y, dy, dx = data[T](in[1]), data[T](in[len(in)-2]), data[T](in[len(in)-1]), dataOrNil[T](out[0])
		bias = biasAt > 0 && out[biasAt] != nil
		dz = dy
		switch {
		case residualAt > 0 && out[residualAt] != nil && len(dy) > 0:
			dz = data[T](out[residualAt])
		case o.prelu || o.act != Identity:
			dz = scratch[T](e, len(dy))
		}
		n = chunks(rows)
		sums = resized(sums, n*cols)
		if o.prelu {
			slopes, slopeSums = data[T](in[slopesAt]), resized(slopeSums, n*cols)
		}
		packed = nil
		if w, ok := any(w).([]float32); ok && dx != nil && n > 1 && repacked.Repack(true, rows/n, cols, inner, w, cols) {
			packed = &repacked
		}
		kernel.Parallel(n, 1, part)
		if dw := out[1]; dw != nil {
			kernel.Gemm(true, false, inner, cols, rows, x, inner, dz, cols, false, data[T](dw), cols)
		}
		if bias {
			kernel.ColSums(data[T](out[biasAt]), sums, n, cols, cols, false)
		}
		if o.prelu && out[slopesAt] != nil {
			kernel.ColSums(data[T](out[slopesAt]), slopeSums, n, cols, cols, false)
		}
	}
}
