package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Cross returns x0∘u + x element by element, all [B, cols]: a layer of DCN-v2 with u = x·W + b (WWW 2021, equation 1).
func Cross(x0, u, x *Node) *Node {
	s := equalShapes("Cross", x0, u)
	equalShapes("Cross", x0, x)
	return apply(crossOp{}, []shape{s}, x0, u, x)
}

type crossOp struct{}

func (crossOp) String() string { return "cross" }

func (crossOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (crossOp) differentiable(int) []bool { return all(3) }

func (crossOp) grads(d *derivation) []*gorgonia.Node {
	both := d.apply(crossGrad{}, d.in[:2], d.in[0], d.in[1], d.grad)
	return gorgonia.Nodes{both[0], both[1], d.grad}
}

func (crossOp) runner(e *env) runner { return pick(e, cross[float32](), cross[float64]()) }

func cross[T kernel.Float]() runner {
	var x0, u, x, y []T
	part := func(lo, hi int) {
		copy(y[lo:hi], x[lo:hi])
		kernel.MulAdd(y[lo:hi], x0[lo:hi], u[lo:hi])
	}
	return func(in, out []*Tensor) {
		x0, u, x, y = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0])
		kernel.Parallel(len(y), elementGrain, part)
	}
}

// crossGrad: (x0, u, dy) → dx0 = dy∘u, du = dy∘x0.
type crossGrad struct{ backward }

func (crossGrad) String() string { return "cross gradient" }

func (crossGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (crossGrad) runner(e *env) runner {
	return pick(e, crossBackward[float32](), crossBackward[float64]())
}

func crossBackward[T kernel.Float]() runner {
	var x0, u, dy, dx0, du []T
	part := func(lo, hi int) {
		if dx0 != nil {
			kernel.Mul(dx0[lo:hi], dy[lo:hi], u[lo:hi])
		}
		if du != nil {
			kernel.Mul(du[lo:hi], dy[lo:hi], x0[lo:hi])
		}
	}
	return func(in, out []*Tensor) {
		x0, u, dy, dx0, du = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(len(dy), elementGrain, part)
	}
}

// CrossVector returns x0·⟨x, w⟩ + b + x: a layer of DCN, x0 and x [B, cols], w [cols, 1], b [1, cols] (ADKDD 2017, equation 3).
func CrossVector(x0, x, w, b *Node) *Node {
	s := equalShapes("CrossVector", x0, x)
	if w.rows != x.Cols || w.Cols != 1 {
		fail("CrossVector: w is [%d, %d], want [%d, 1]", w.rows, w.Cols, x.Cols)
	}
	rowOf("CrossVector", "b", b, x.Cols)
	return apply(crossVectorOp{}, []shape{s, {s.rows, 1, false}}, x0, x, w, b)
}

// crossVectorOp: (x0, x, w, b) → y, s with s = ⟨x, w⟩.
type crossVectorOp struct{}

func (crossVectorOp) String() string { return "cross by a vector" }

func (crossVectorOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in[:2]...)
}

func (crossVectorOp) differentiable(int) []bool { return all(4) }

func (crossVectorOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(crossVectorGrad{}, d.in, d.in[0], d.in[1], d.in[2], d.in[3], d.aux(1), d.grad)
}

func (crossVectorOp) runner(e *env) runner {
	return pick(e, crossVector[float32](), crossVector[float64]())
}

func crossVector[T kernel.Float]() runner {
	var x0, x, w, b, y, s []T
	part := func(lo, hi int) {
		cols := len(w)
		for r := lo; r < hi; r++ {
			xr := x[r*cols : (r+1)*cols]
			s[r] = kernel.Dot(xr, w)
			if y != nil {
				yr := y[r*cols : (r+1)*cols]
				kernel.Add(yr, xr, b)
				kernel.Axpy(s[r], x0[r*cols:(r+1)*cols], yr)
			}
		}
	}
	return func(in, out []*Tensor) {
		x0, x, w, b, y = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), dataOrNil[T](out[0])
		s = own(s, out[1], in[0].Rows)
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// crossVectorGrad: (x0, x, w, b, s, dy) → dx0, dx, dw, db.
type crossVectorGrad struct{ backward }

func (crossVectorGrad) String() string { return "cross by a vector gradient" }

func (crossVectorGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2, 3)
}

func (crossVectorGrad) runner(e *env) runner {
	return pick(e, crossVectorBackward[float32](), crossVectorBackward[float64]())
}

// With ds = ⟨dy, x0⟩ of each row: dx0 = s·dy, dx = dy + ds·w, dw = Σ ds·x, db = Σ dy over the rows.
func crossVectorBackward[T kernel.Float]() runner {
	var x0, x, w, s, dy, dx0, dx []T
	var sums chunkSums[T]
	part := func(first, last int) {
		cols := len(w)
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			dw, db := sums.of(i)[:cols], sums.of(i)[cols:]
			for r := lo; r < hi; r++ {
				dr := dy[r*cols : (r+1)*cols]
				ds := kernel.Dot(dr, x0[r*cols:(r+1)*cols])
				kernel.Axpy(ds, x[r*cols:(r+1)*cols], dw)
				kernel.Add(db, db, dr)
				if dx0 != nil {
					to := dx0[r*cols : (r+1)*cols]
					copy(to, dr)
					kernel.Scale(s[r], to)
				}
				if dx != nil {
					to := dx[r*cols : (r+1)*cols]
					copy(to, dr)
					kernel.Axpy(ds, w, to)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x0, x, w, s, dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[4]), data[T](in[5])
		dx0, dx = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		sums.reset(in[0].Rows, 2*len(w))
		kernel.Parallel(sums.n, 1, part)
		total := sums.total()
		if out[2] != nil {
			copy(data[T](out[2]), total)
		}
		if out[3] != nil {
			copy(data[T](out[3]), total[len(w):])
		}
	}
}
