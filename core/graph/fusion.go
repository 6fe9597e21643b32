package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Gate returns 2·sigmoid(g)·e element by element: FinalMLP's stream-specific gate (AAAI 2023, equations 5 and 6).
func Gate(g, e *Node) *Node {
	s := equalShapes("Gate", g, e)
	return apply(gateOp{}, []shape{s, s}, g, e)
}

// gateOp: (g, e) → h, s with s = 2·sigmoid(g).
type gateOp struct{}

func (gateOp) String() string { return "gate" }

func (gateOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in...)
}

func (gateOp) differentiable(int) []bool { return all(2) }

func (gateOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(gateGrad{}, d.in, d.in[1], d.aux(1), d.grad)
}

func (gateOp) runner(e *env) runner { return pick(e, gate[float32](), gate[float64]()) }

func gate[T kernel.Float]() runner {
	var g, e, h, s []T
	part := func(lo, hi int) {
		to := h
		if s != nil {
			to = s
		}
		kernel.Sigmoid(to[lo:hi], g[lo:hi])
		kernel.Scale(2, to[lo:hi])
		if h != nil {
			kernel.Mul(h[lo:hi], to[lo:hi], e[lo:hi])
		}
	}
	return func(in, out []*Tensor) {
		g, e, h, s = data[T](in[0]), data[T](in[1]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(len(g), elementGrain, part)
	}
}

// gateGrad: (e, s, dh) → dg = dh·e·s·(1−s/2), de = dh·s.
type gateGrad struct{ backward }

func (gateGrad) String() string { return "gate gradient" }

func (gateGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 0) }

func (gateGrad) runner(e *env) runner {
	return pick(e, gateBackward[float32](), gateBackward[float64]())
}

func gateBackward[T kernel.Float]() runner {
	var e, s, dh, dg, de []T
	part := func(lo, hi int) {
		if dg != nil {
			for i := lo; i < hi; i++ {
				dg[i] = dh[i] * e[i] * s[i] * (1 - s[i]/2)
			}
		}
		if de != nil {
			kernel.Mul(de[lo:hi], dh[lo:hi], s[lo:hi])
		}
	}
	return func(in, out []*Tensor) {
		e, s, dh = data[T](in[0]), data[T](in[1]), data[T](in[2])
		dg, de = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(len(e), elementGrain, part)
	}
}

// BilinearFusion returns Σ_j x^(j)T·W^(j)·y^(j), [B, 1]: x [B, p], y [B, q], k contiguous heads, w [k·(p/k)·(q/k), 1] flat in order (j, a, b)
// (FinalMLP, AAAI 2023, equation 9, without the linear terms).
func BilinearFusion(x, y, w *Node, heads int) *Node {
	if heads < 1 || x.Cols%heads != 0 || y.Cols%heads != 0 {
		fail("BilinearFusion: %d heads do not divide %d and %d columns", heads, x.Cols, y.Cols)
	}
	if want := x.Cols / heads * y.Cols; w.rows != want || w.Cols != 1 {
		fail("BilinearFusion: w is %v, want [%d, 1]", shape{rows: w.rows, cols: w.Cols}, want)
	}
	rows := max(x.rows, y.rows)
	return apply(bilinearOp{heads}, []shape{{rows, 1, false}, {rows, y.Cols, false}}, x, y, w)
}

// bilinearOp: (x, y, w) → z, t with t^(j) = x^(j)·W^(j) side by side.
type bilinearOp struct{ heads int }

func (o bilinearOp) String() string { return fmt.Sprintf("bilinear fusion of %d heads", o.heads) }

func (o bilinearOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in[:2]...)
}

func (o bilinearOp) differentiable(int) []bool { return all(3) }

func (o bilinearOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(bilinearGrad{heads: o.heads}, d.in, d.in[0], d.in[1], d.in[2], d.aux(1), d.grad)
}

func (o bilinearOp) runner(e *env) runner {
	return pick(e, bilinear[float32](o.heads), bilinear[float64](o.heads))
}

func bilinear[T kernel.Float](heads int) runner {
	var y, z, t []T
	var q int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			z[r] = kernel.Dot(t[r*q:(r+1)*q], y[r*q:(r+1)*q])
		}
	}
	return func(in, out []*Tensor) {
		rows, p := in[0].Rows, in[0].Cols
		q = in[1].Cols
		x, w := data[T](in[0]), data[T](in[2])
		y, z = data[T](in[1]), dataOrNil[T](out[0])
		t = own(t, out[1], rows*q)
		a, b := p/heads, q/heads
		for j := range heads {
			kernel.Gemm(false, false, rows, b, a, x[min(j*a, len(x)):], p, w[j*a*b:], b, false, t[min(j*b, len(t)):], q)
		}
		if z != nil {
			kernel.Parallel(rows, rowGrain(q), part)
		}
	}
}

// bilinearGrad: (x, y, w, t, dz) → dx, dy, dw.
type bilinearGrad struct {
	backward
	heads int
}

func (bilinearGrad) String() string { return "bilinear fusion gradient" }

func (o bilinearGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2)
}

func (o bilinearGrad) runner(e *env) runner {
	return pick(e, bilinearBackward[float32](o.heads), bilinearBackward[float64](o.heads))
}

// With u = dz·y (each row): dx^(j) = u^(j)·W^(j)T, dW^(j) = x^(j)T·u^(j), dy = dz·t.
func bilinearBackward[T kernel.Float](heads int) runner {
	var y, t, dz, u, dy []T
	var q int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			ur := u[r*q : (r+1)*q]
			copy(ur, y[r*q:(r+1)*q])
			kernel.Scale(dz[r], ur)
			if dy != nil {
				dr := dy[r*q : (r+1)*q]
				copy(dr, t[r*q:(r+1)*q])
				kernel.Scale(dz[r], dr)
			}
		}
	}
	return func(in, out []*Tensor) {
		rows, p := in[0].Rows, in[0].Cols
		q = in[1].Cols
		x, w := data[T](in[0]), data[T](in[2])
		y, t, dz = data[T](in[1]), data[T](in[3]), data[T](in[4])
		dx, dw := dataOrNil[T](out[0]), dataOrNil[T](out[2])
		dy = dataOrNil[T](out[1])
		u = resized(u, rows*q)
		kernel.Parallel(rows, rowGrain(q), part)
		a, b := p/heads, q/heads
		for j := range heads {
			uj := u[min(j*b, len(u)):]
			if dx != nil {
				kernel.Gemm(false, true, rows, a, b, uj, q, w[j*a*b:], b, false, dx[min(j*a, len(dx)):], p)
			}
			if dw != nil {
				kernel.Gemm(true, false, a, b, rows, x[min(j*a, len(x)):], p, uj, q, false, dw[j*a*b:], b)
			}
		}
	}
}
