package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// CIN is a layer of the compressed interaction network (xDeepFM, KDD 2018, equation 6): with the feature maps x [B, maps·d] and the fields x0 [B, fields·d],
// map h of the result is Σ_{i,j} w[h, i·fields+j]·(x_i ∘ x0_j) + b_h, the same weights for each of the d columns. w [H, maps·fields], b [1, H] → [B, H·d].
func CIN(x, x0, w, b *Node, fields int) *Node {
	d := fieldWidth("CIN", x0, fields)
	if x.Cols%d != 0 {
		fail("CIN: x has %d columns, not those of maps of width %d", x.Cols, d)
	}
	maps := x.Cols / d
	if w.Cols != maps*fields || w.rows < 1 {
		fail("CIN: w is [%d, %d], want %d columns for %d maps and %d fields", w.rows, w.Cols, maps*fields, maps, fields)
	}
	rowOf("CIN", "b", b, w.rows)
	return apply(cinOp{fields: fields, maps: maps, out: w.rows, d: d}, []shape{{max(x.rows, x0.rows), w.rows * d, false}}, x, x0, w, b)
}

type cinOp struct{ fields, maps, out, d int }

func (o cinOp) String() string { return fmt.Sprintf("CIN of %d maps from %d", o.out, o.maps) }

func (o cinOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in[:2]...)
}

func (o cinOp) differentiable(int) []bool { return all(4) }

func (o cinOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(cinGrad{of: o}, d.in, d.in[0], d.in[1], d.in[2], d.in[3], d.grad)
}

func (o cinOp) runner(e *env) runner {
	return pick(e, newCIN[float32](o).forward(), newCIN[float64](o).forward())
}

const (
	cinSpace = 1 << 15 // elements of a block's products: they stay in the second-level cache
	cinParts = 8       // into how many ranges the batch is cut at most; each has sums of the weights' gradients
)

// cin is the work of both passes. A block of rows is transposed, so that each field or map is one run of n·d elements; then the products
// z [maps·fields, n·d] of all maps and fields meet the weights in one matrix product.
type cin[T kernel.Float] struct {
	cinOp
	x, x0, w, b, y, dy, dx, dx0 []T
	rows, parts, block          int // rows of the batch, its ranges, rows of a block
	space                       []T // for each part: see buffers
	weights, biases             []T // for each part: sums of the gradients of w and b
}

func newCIN[T kernel.Float](o cinOp) *cin[T] { return &cin[T]{cinOp: o} }

// buffers are the transposed values of a block and what is computed of them.
type buffers[T kernel.Float] struct{ x, x0, z, y, dx, dx0 []T }

func (c *cin[T]) buffers(part, n int) buffers[T] {
	size := c.block * c.d
	s := c.space[part*c.perRow()*size:]
	take := func(maps int) []T {
		b := s[: maps*n*c.d : maps*size]
		s = s[maps*size:]
		return b
	}
	return buffers[T]{take(c.maps), take(c.fields), take(c.maps * c.fields), take(c.out), take(c.maps), take(c.fields)}
}

func (c *cin[T]) perRow() int { return 2*c.maps + 2*c.fields + c.maps*c.fields + c.out }

func (c *cin[T]) run(rows int, part func(lo, hi int)) {
	c.rows = rows
	c.block = min(max(cinSpace/(c.maps*c.fields*c.d), 1), rows)
	c.parts = max(min((rows+c.block-1)/c.block, cinParts), 1)
	c.space = resized(c.space, c.parts*c.perRow()*c.block*c.d)
	kernel.Parallel(c.parts, 1, part)
}

// blocks calls f for each block of rows [lo, hi) of a part.
func (c *cin[T]) blocks(part int, f func(lo, hi int)) {
	first, last := chunk(part, c.parts, c.rows)
	for lo := first; lo < last; lo += c.block {
		f(lo, min(lo+c.block, last))
	}
}

// transposed sets dst [maps, n·d] to the maps of the n rows of x [n, maps·d].
func transposed[T kernel.Float](dst, x []T, n, maps, d int) {
	for r := range n {
		for m := range maps {
			copy(dst[(m*n+r)*d:(m*n+r+1)*d], x[(r*maps+m)*d:(r*maps+m+1)*d])
		}
	}
}

// restored is the way back, to x [n, maps·d].
func restored[T kernel.Float](x, src []T, n, maps, d int) {
	for r := range n {
		for m := range maps {
			copy(x[(r*maps+m)*d:(r*maps+m+1)*d], src[(m*n+r)*d:(m*n+r+1)*d])
		}
	}
}

// products transposes the rows [lo, hi) and multiplies their maps by their fields.
func (c *cin[T]) products(b buffers[T], lo, hi int) {
	n := hi - lo
	transposed(b.x, c.x[lo*c.maps*c.d:], n, c.maps, c.d)
	transposed(b.x0, c.x0[lo*c.fields*c.d:], n, c.fields, c.d)
	long := n * c.d
	for i := range c.maps {
		for j := range c.fields {
			k := i*c.fields + j
			kernel.Mul(b.z[k*long:(k+1)*long], b.x[i*long:(i+1)*long], b.x0[j*long:(j+1)*long])
		}
	}
}

func (c *cin[T]) forward() runner {
	part := func(first, last int) {
		for i := first; i < last; i++ {
			c.blocks(i, func(lo, hi int) {
				n := hi - lo
				b, long := c.buffers(i, n), n*c.d
				c.products(b, lo, hi)
				for h := range c.out {
					row := b.y[h*long : (h+1)*long]
					for k := range row {
						row[k] = c.b[h]
					}
				}
				kernel.Gemm(false, false, c.out, long, c.maps*c.fields, c.w, c.maps*c.fields, b.z, long, true, b.y, long)
				restored(c.y[lo*c.out*c.d:], b.y, n, c.out, c.d)
			})
		}
	}
	return func(in, out []*Tensor) {
		c.x, c.x0, c.w, c.b, c.y = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](out[0])
		if in[0].Rows > 0 {
			c.run(in[0].Rows, part)
		}
	}
}

// cinGrad: (x, x0, w, b, dy) → dx, dx0, dw, db.
type cinGrad struct {
	backward
	of cinOp
}

func (o cinGrad) String() string { return o.of.String() + " gradient" }

func (o cinGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1, 2, 3) }

func (o cinGrad) runner(e *env) runner {
	return pick(e, newCIN[float32](o.of).backward(), newCIN[float64](o.of).backward())
}

// With z = x∘x0 of all pairs: dw = Σ dy·zᵀ, db = Σ dy, dz = wᵀ·dy, dx_i = Σ_j dz_ij∘x0_j, dx0_j = Σ_i dz_ij∘x_i.
func (c *cin[T]) backward() runner {
	part := func(first, last int) {
		inner := c.maps * c.fields
		for i := first; i < last; i++ {
			dw, db := c.weights[i*c.out*inner:(i+1)*c.out*inner], c.biases[i*c.out:(i+1)*c.out]
			c.blocks(i, func(lo, hi int) {
				n := hi - lo
				b, long := c.buffers(i, n), n*c.d
				c.products(b, lo, hi)
				transposed(b.y, c.dy[lo*c.out*c.d:], n, c.out, c.d)
				for h := range db {
					db[h] += T(kernel.Sum(b.y[h*long : (h+1)*long]))
				}
				kernel.Gemm(false, true, c.out, inner, long, b.y, long, b.z, long, true, dw, inner)
				if c.dx == nil && c.dx0 == nil {
					return
				}
				kernel.Gemm(true, false, inner, long, c.out, c.w, inner, b.y, long, false, b.z, long)
				clear(b.dx)
				clear(b.dx0)
				for m := range c.maps {
					for f := range c.fields {
						dz := b.z[(m*c.fields+f)*long : (m*c.fields+f+1)*long]
						kernel.MulAdd(b.dx[m*long:(m+1)*long], dz, b.x0[f*long:(f+1)*long])
						kernel.MulAdd(b.dx0[f*long:(f+1)*long], dz, b.x[m*long:(m+1)*long])
					}
				}
				if c.dx != nil {
					restored(c.dx[lo*c.maps*c.d:], b.dx, n, c.maps, c.d)
				}
				if c.dx0 != nil {
					restored(c.dx0[lo*c.fields*c.d:], b.dx0, n, c.fields, c.d)
				}
			})
		}
	}
	return func(in, out []*Tensor) {
		c.x, c.x0, c.w, c.b, c.dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](in[4])
		c.dx, c.dx0 = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		c.weights, c.biases = resized(c.weights, cinParts*len(c.w)), resized(c.biases, cinParts*len(c.b))
		clear(c.weights)
		clear(c.biases)
		if in[0].Rows > 0 {
			c.run(in[0].Rows, part)
		}
		gather(out[2], c.weights, cinParts)
		gather(out[3], c.biases, cinParts)
	}
}

// gather sets dst to the sum of the parts, added up in their order.
func gather[T kernel.Float](dst *Tensor, parts []T, n int) {
	if dst == nil {
		return
	}
	sum := data[T](dst)
	copy(sum, parts)
	for i := 1; i < n; i++ {
		kernel.Add(sum, sum, parts[i*len(sum):(i+1)*len(sum)])
	}
}
