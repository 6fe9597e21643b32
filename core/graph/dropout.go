package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Dropout zeroes elements with probability rate in training and scales the rest by 1/(1−rate); identity in inference. The mask depends only on the plan's seed, its step and the operation's position.
func Dropout(x *Node, rate float64) *Node {
	if rate < 0 || rate >= 1 {
		fail("Dropout: rate %g is not in [0, 1)", rate)
	}
	if rate == 0 {
		return x
	}
	x.g.dropouts++
	return apply(dropoutOp{rate, x.g.dropouts}, []shape{{x.rows, x.Cols, false}}, x)
}

// dropoutOp draws its mask anew for the gradient: that costs no more than keeping it.
type dropoutOp struct {
	rate     float64
	position uint64
}

func (o dropoutOp) String() string { return fmt.Sprintf("dropout %g", o.rate) }

func (o dropoutOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o dropoutOp) differentiable(int) []bool { return all(1) }

func (o dropoutOp) grads(d *derivation) []*gorgonia.Node { return d.apply(o, d.in, d.grad) }

func (o dropoutOp) runner(e *env) runner {
	if !e.training {
		return pick(e, scaled[float32](1), scaled[float64](1))
	}
	return pick(e, dropout[float32](o, e), dropout[float64](o, e))
}

// lane is the number of bits that decide one element; a 64-bit draw serves four.
const lane = 16

// coins draws masks: an element is kept when its lane, a number in [0, 2^16), is at least rate·2^16. Where the lane equals the whole part of that
// bound, a second draw decides with its fraction, so that the probability is rate and not rate cut to 16 bits.
type coins[T kernel.Float] struct {
	whole, fraction uint64
	scale           [2]T // by whether the lane is below the bound: a branch on a coin would be mispredicted
}

func newCoins[T kernel.Float](rate float64) coins[T] {
	bound := rate * (1 << lane)
	whole := uint64(bound)
	return coins[T]{whole, uint64((bound - float64(whole)) * (1 << 53)), [2]T{T(1 / (1 - rate)), 0}}
}

// key returns the stream of the operation at the given position in the plan's step.
func (e *env) key(position uint64) uint64 { return mix(mix(mix(e.seed)+e.step) + position) }

// factor returns 0 or 1/(1−rate) for element i of the stream.
func (c *coins[T]) factor(key uint64, i int) T {
	v := mix(key+uint64(i/4)*weyl) >> (lane * (i % 4)) & 0xffff
	if v == c.whole && mix(key^uint64(i))>>11 < c.fraction {
		return 0
	}
	return c.scale[(v-c.whole)>>63]
}

// mask writes y = x∘mask, the mask that of the elements of the stream from the given one on. y may be x.
func (c *coins[T]) mask(key uint64, from int, y, x []T) {
	for ; from%4 != 0 && len(x) > 0; from, y, x = from+1, y[1:], x[1:] {
		y[0] = x[0] * c.factor(key, from)
	}
	c.quads(key, uint64(from/4), y, x)
}

// quads is mask from element 4q on, by the vector kernel all but the blocks that need a second draw.
func (c *coins[T]) quads(key, q uint64, y, x []T) {
	to, ok := any(y).([]float32)
	if !ok {
		c.drawn(key, q, y, x)
		return
	}
	from := any(x).([]float32)
	for i := 0; i < len(x); {
		n := kernel.Dropout(to[i:], from[i:], key+(q+uint64(i/4)+1)*weyl, uint16(c.whole), float32(c.scale[0]))
		i += n
		rest := min(kernel.DropoutBlock, len(x)-i)
		if n == 0 {
			rest = min(16*kernel.DropoutBlock, len(x)-i)
		}
		c.drawn(key, q+uint64(i/4), y[i:i+rest], x[i:i+rest])
		i += rest
	}
}

// drawn is quads without the vector kernel.
func (c *coins[T]) drawn(key, q uint64, y, x []T) {
	for ; len(x) > 0; q++ {
		bits := mix(key + q*weyl)
		v0, v1, v2, v3 := bits&0xffff, bits>>16&0xffff, bits>>32&0xffff, bits>>48
		if len(x) < 4 || v0 == c.whole || v1 == c.whole || v2 == c.whole || v3 == c.whole {
			n := min(4, len(x))
			for i := range n {
				y[i] = x[i] * c.factor(key, int(q)*4+i)
			}
			x, y = x[n:], y[n:]
			continue
		}
		to := y[:4:4]
		to[0] = x[0] * c.scale[(v0-c.whole)>>63]
		to[1] = x[1] * c.scale[(v1-c.whole)>>63]
		to[2] = x[2] * c.scale[(v2-c.whole)>>63]
		to[3] = x[3] * c.scale[(v3-c.whole)>>63]
		x, y = x[4:], y[4:]
	}
}

func dropout[T kernel.Float](o dropoutOp, e *env) runner {
	coins := newCoins[T](o.rate)
	var x, y []T
	var key uint64
	part := func(lo, hi int) {
		from, to := 4*lo, min(4*hi, len(y))
		coins.quads(key, uint64(lo), y[from:to], x[from:to])
	}
	return func(in, out []*Tensor) {
		x, y, key = data[T](in[0]), data[T](out[0]), e.key(o.position)
		kernel.Parallel((len(y)+3)/4, elementGrain/4, part)
	}
}

const weyl = 0x9e3779b97f4a7c15

// mix is the output function of splitmix64: it turns a counter into a number that looks random.
func mix(x uint64) uint64 {
	x += weyl
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
