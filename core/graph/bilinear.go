package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// BilinearPairs returns (v_f·W)∘v_g for all pairs f < g of fields, [B, fields·(fields−1)/2·d], in the order of PairDots: x [B, fields·d].
// w holds d×d matrices one below the other: [d, d] one for all fields, [(fields−1)·d, d] one for each field that is the first of a pair, or
// [fields·(fields−1)/2·d, d] one for each pair (FiBiNET, RecSys 2019: field-all, field-each, field-interaction).
func BilinearPairs(x, w *Node, fields int) *Node {
	d := fieldWidth("BilinearPairs", x, fields)
	if fields < 2 {
		fail("BilinearPairs: one field has no pairs")
	}
	o := bilinearPairsOp{fields: fields}
	switch {
	case w.Cols != d:
		fail("BilinearPairs: w has %d columns, want %d", w.Cols, d)
	case w.rows == d:
	case w.rows == (fields-1)*d:
		o.each = true
	case w.rows == pairs(fields)*d:
		o.pair = true
	default:
		fail("BilinearPairs: w has %d rows, want %d for one matrix, %d for one a field or %d for one a pair", w.rows, d, (fields-1)*d, pairs(fields)*d)
	}
	return apply(o, []shape{{x.rows, pairs(fields) * d, false}}, x, w)
}

type bilinearPairsOp struct {
	fields     int
	each, pair bool // a matrix for each first field, for each pair
}

func (o bilinearPairsOp) String() string {
	return fmt.Sprintf("bilinear products of %d fields", o.fields)
}

func (o bilinearPairsOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o bilinearPairsOp) differentiable(int) []bool { return all(2) }

func (o bilinearPairsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(bilinearPairsGrad{of: o}, d.in, d.in[0], d.in[1], d.grad)
}

func (o bilinearPairsOp) runner(e *env) runner {
	return pick(e, newBilinearPairs[float32](o).forward(), newBilinearPairs[float64](o).forward())
}

// product is one product v_first·W_matrix and the pairs it is a factor of: with the fields from second up to end, in columns from pair·d.
type product struct{ first, matrix, second, end, pair int }

// products lists what has to be multiplied by matrices, each product once.
func (o bilinearPairsOp) products() []product {
	var list []product
	pair := 0
	for f := range o.fields - 1 {
		if !o.pair {
			p := product{first: f, second: f + 1, end: o.fields, pair: pair}
			if o.each {
				p.matrix = f
			}
			list = append(list, p)
			pair += o.fields - 1 - f
			continue
		}
		for g := f + 1; g < o.fields; g++ {
			list = append(list, product{f, pair, g, g + 1, pair})
			pair++
		}
	}
	return list
}

// bilinearPairs is the work of both passes, in chunks of the batch with scratch of their own.
type bilinearPairs[T kernel.Float] struct {
	bilinearPairsOp
	list                []product
	x, w, y, dy, dx     []T
	n, rows, d, in, out int // chunks, rows of the batch, widths of a field, of x and of y
	space               []T // [chunks, 2, longest chunk, d]
	sums                chunkSums[T]
}

func newBilinearPairs[T kernel.Float](o bilinearPairsOp) *bilinearPairs[T] {
	return &bilinearPairs[T]{bilinearPairsOp: o, list: o.products()}
}

func (p *bilinearPairs[T]) run(rows, d int, part func(lo, hi int)) {
	p.n, p.rows, p.d, p.in, p.out = chunks(rows), rows, d, p.fields*d, pairs(p.fields)*d
	p.space = resized(p.space, p.n*2*p.longest()*d)
	kernel.Parallel(p.n, 1, part)
}

func (p *bilinearPairs[T]) longest() int { return p.rows/p.n + 1 }

// scratch returns two blocks of rows·d for chunk i.
func (p *bilinearPairs[T]) scratch(i, rows int) (u, du []T) {
	size := p.longest() * p.d
	return p.space[2*i*size:][:rows*p.d], p.space[(2*i+1)*size:][:rows*p.d]
}

// multiply sets u [rows, d] to v_first·W of the rows from lo.
func (p *bilinearPairs[T]) multiply(u []T, q product, lo, rows int) {
	d := p.d
	kernel.Gemm(false, false, rows, d, d, p.x[lo*p.in+q.first*d:], p.in, p.w[q.matrix*d*d:], d, false, u, d)
}

func (p *bilinearPairs[T]) forward() runner {
	part := func(first, last int) {
		d := p.d
		for i := first; i < last; i++ {
			lo, hi := chunk(i, p.n, p.rows)
			u, _ := p.scratch(i, hi-lo)
			for _, q := range p.list {
				p.multiply(u, q, lo, hi-lo)
				for r := lo; r < hi; r++ {
					ur := u[(r-lo)*d : (r-lo+1)*d]
					for g := q.second; g < q.end; g++ {
						at, to := r*p.in+g*d, r*p.out+(q.pair+g-q.second)*d
						kernel.Mul(p.y[to:to+d], ur, p.x[at:at+d])
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		p.x, p.w, p.y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		if in[0].Rows > 0 {
			p.run(in[0].Rows, in[1].Cols, part)
		}
	}
}

// bilinearPairsGrad: (x, w, dy) → dx, dw.
type bilinearPairsGrad struct {
	backward
	of bilinearPairsOp
}

func (o bilinearPairsGrad) String() string { return o.of.String() + " gradient" }

func (o bilinearPairsGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1)
}

func (o bilinearPairsGrad) runner(e *env) runner {
	return pick(e, newBilinearPairs[float32](o.of).backward(), newBilinearPairs[float64](o.of).backward())
}

// With u = v_f·W: dv_g += dy_fg∘u, du = Σ_g dy_fg∘v_g, dv_f += du·Wᵀ, dW = Σ v_fᵀ·du over the rows.
func (p *bilinearPairs[T]) backward() runner {
	part := func(first, last int) {
		d := p.d
		for i := first; i < last; i++ {
			lo, hi := chunk(i, p.n, p.rows)
			u, du := p.scratch(i, hi-lo)
			if p.dx != nil {
				clear(p.dx[lo*p.in : hi*p.in])
			}
			for _, q := range p.list {
				clear(du)
				if p.dx != nil {
					p.multiply(u, q, lo, hi-lo)
				}
				for r := lo; r < hi; r++ {
					k := (r - lo) * d
					for g := q.second; g < q.end; g++ {
						at, from := r*p.in+g*d, r*p.out+(q.pair+g-q.second)*d
						kernel.MulAdd(du[k:k+d], p.dy[from:from+d], p.x[at:at+d])
						if p.dx != nil {
							kernel.MulAdd(p.dx[at:at+d], p.dy[from:from+d], u[k:k+d])
						}
					}
				}
				at := lo*p.in + q.first*d
				if p.dx != nil {
					kernel.Gemm(false, true, hi-lo, d, d, du, d, p.w[q.matrix*d*d:], d, true, p.dx[at:], p.in)
				}
				kernel.Gemm(true, false, d, d, hi-lo, p.x[at:], p.in, du, d, true, p.sums.of(i)[q.matrix*d*d:], d)
			}
		}
	}
	return func(in, out []*Tensor) {
		p.x, p.w, p.dy, p.dx = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0])
		p.sums.reset(in[0].Rows, len(p.w))
		if in[0].Rows > 0 {
			p.run(in[0].Rows, in[1].Cols, part)
		}
		if out[1] != nil {
			copy(data[T](out[1]), p.sums.total())
		}
	}
}
