package graph

import (
	"math/bits"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Shuffle returns the rows in an order drawn from the plan's seed, its step and the operation's position, in which no row is in its own place: each gets another one of the batch, and
// each is given once. A single row stays.
func Shuffle(x *Node) *Node {
	x.g.dropouts++
	return apply(shuffleOp{x.g.dropouts}, []shape{{x.rows, x.Cols, false}}, x)
}

type shuffleOp struct{ position uint64 }

func (shuffleOp) String() string { return "shuffle" }

func (shuffleOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (shuffleOp) differentiable(int) []bool { return all(1) }

func (o shuffleOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(shuffleGrad{of: o}, d.in, d.grad)
}

func (o shuffleOp) runner(e *env) runner {
	return pick(e, shuffle[float32](e, o.position, false), shuffle[float64](e, o.position, false))
}

// shuffleGrad: dy → dx, the rows put back.
type shuffleGrad struct {
	backward
	of shuffleOp
}

func (shuffleGrad) String() string { return "shuffle gradient" }

func (shuffleGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o shuffleGrad) runner(e *env) runner {
	return pick(e, shuffle[float32](e, o.of.position, true), shuffle[float64](e, o.of.position, true))
}

// cycle fills order with a random permutation that is one cycle (Sattolo's algorithm), so that none is in its own place.
func cycle(order []int32, key uint64) {
	for i := range order {
		order[i] = int32(i)
	}
	for i := len(order) - 1; i > 0; i-- {
		j, _ := bits.Mul64(mix(key+uint64(i)*weyl), uint64(i))
		order[i], order[j] = order[j], order[i]
	}
}

func shuffle[T kernel.Float](e *env, position uint64, back bool) runner {
	var order []int32
	var x, y []T
	var cols int
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := int(order[i]), i
			if back {
				from, to = to, from
			}
			copy(y[to*cols:(to+1)*cols], x[from*cols:(from+1)*cols])
		}
	}
	return func(in, out []*Tensor) {
		x, y, cols = data[T](in[0]), data[T](out[0]), in[0].Cols
		order = resized(order, in[0].Rows)
		cycle(order, e.key(position))
		kernel.Parallel(len(order), rowGrain(cols), part)
	}
}
