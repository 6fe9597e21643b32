package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// PReLU returns max(0,x) + alpha·min(0,x), alpha [1, cols] (models: one slope a unit).
func PReLU(x, alpha *Node) *Node {
	rowOf("PReLU", "alpha", alpha, x.Cols)
	return apply(preluOp{}, []shape{{x.rows, x.Cols, false}}, x, alpha)
}

type preluOp struct{}

func (preluOp) String() string { return "prelu" }

func (preluOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (preluOp) differentiable(int) []bool { return all(2) }

func (preluOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(preluGrad{}, d.in, d.in[0], d.in[1], d.grad)
}

func (preluOp) runner(e *env) runner {
	return pick(e, preluForward[float32](), preluForward[float64]())
}

func preluForward[T kernel.Float]() runner {
	var x, alpha, y []T
	part := func(lo, hi int) {
		cols := len(alpha)
		for r := lo; r < hi; r++ {
			preluRow(y[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], alpha)
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

const one32 = 0x3f800000 // the bits of float32(1)

// preluRow computes one row. On float32 the choice of the slope, 1 or alpha, is made on the bits: signs are random and a branch would
// be mispredicted half of the time.
func preluRow[T kernel.Float](y, x, alpha []T) {
	y, x = y[:len(alpha)], x[:len(alpha)]
	if alpha, ok := any(alpha).([]float32); ok {
		y, x := any(y).([]float32)[:len(alpha)], any(x).([]float32)[:len(alpha)]
		for c, a := range alpha {
			bits := math.Float32bits(x[c])
			low := uint32(int32(bits) >> 31) // all ones below 0
			y[c] = x[c] * math.Float32frombits(one32^(one32^math.Float32bits(a))&low)
		}
		return
	}
	for c, v := range x {
		y[c] = max(v, 0) + alpha[c]*min(v, 0)
	}
}

// preluGrad: (x, alpha, dy) → dx, dalpha.
type preluGrad struct{ backward }

func (preluGrad) String() string { return "prelu gradient" }

func (preluGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (preluGrad) runner(e *env) runner {
	return pick(e, preluBackward[float32](e), preluBackward[float64](e))
}

func preluBackward[T kernel.Float](e *env) runner {
	var x, alpha, dy, dx []T
	var sums chunkSums[T]
	part := func(first, last int) {
		cols := len(alpha)
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			for r := lo; r < hi; r++ {
				preluGradientRow(dx[r*cols:(r+1)*cols], sums.of(i), x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], alpha)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, dy, dx = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0])
		if dx == nil {
			dx = scratch[T](e, len(x))
		}
		sums.reset(in[0].Rows, in[0].Cols)
		kernel.Parallel(sums.n, 1, part)
		if out[1] != nil {
			copy(data[T](out[1]), sums.total())
		}
	}
}

// preluGradientRow sets dx and adds the gradient of alpha to sum; the slope at 0 is alpha.
func preluGradientRow[T kernel.Float](dx, sum, x, dy, alpha []T) {
	dx, sum, x, dy = dx[:len(alpha)], sum[:len(alpha)], x[:len(alpha)], dy[:len(alpha)]
	if alpha, ok := any(alpha).([]float32); ok {
		dx, sum := any(dx).([]float32)[:len(alpha)], any(sum).([]float32)[:len(alpha)]
		x, dy := any(x).([]float32)[:len(alpha)], any(dy).([]float32)[:len(alpha)]
		for c, a := range alpha {
			bits := math.Float32bits(x[c])
			low := uint32(int32(bits|(bits-1)) >> 31) // all ones at 0 and below
			sum[c] += dy[c] * math.Float32frombits(bits&low)
			dx[c] = dy[c] * math.Float32frombits(one32^(one32^math.Float32bits(a))&low)
		}
		return
	}
	for c, v := range x {
		if v > 0 {
			dx[c] = dy[c]
		} else {
			dx[c] = dy[c] * alpha[c]
			sum[c] += dy[c] * v
		}
	}
}
