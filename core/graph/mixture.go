package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Mixture is a mixture of experts: Σ_e softmax(gates)_e · x_e; x [B, experts·d], the experts' outputs side by side, gates [B, experts] → [B, d]
// (MMoE, KDD 2018, equations 5 and 6).
func Mixture(x, gates *Node) *Node {
	fieldWidth("Mixture", x, gates.Cols)
	rows := max(x.rows, gates.rows)
	return apply(mixtureOp{gates.Cols}, []shape{{rows, x.Cols / gates.Cols, false}, {rows, gates.Cols, false}}, x, gates)
}

// mixtureOp: (x, gates) → y, the gates' softmax.
type mixtureOp struct{ experts int }

func (o mixtureOp) String() string { return fmt.Sprintf("mixture of %d experts", o.experts) }

func (mixtureOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in...)
}

func (mixtureOp) differentiable(int) []bool { return all(2) }

func (o mixtureOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(mixtureGrad{of: o}, d.in, d.in[0], d.in[1], d.aux(1), d.grad)
}

func (o mixtureOp) runner(e *env) runner {
	return pick(e, mixture[float32](o.experts), mixture[float64](o.experts))
}

func mixture[T kernel.Float](n int) runner {
	var x, gates, y, w, own []T
	var d int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			wr := w[r*n : (r+1)*n]
			kernel.SoftmaxRow(wr, gates[r*n:(r+1)*n])
			if y == nil {
				continue
			}
			yr, xr := y[r*d:(r+1)*d], x[r*n*d:(r+1)*n*d]
			clear(yr)
			for e, v := range wr {
				kernel.Axpy(v, xr[e*d:(e+1)*d], yr)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, gates, y = data[T](in[0]), data[T](in[1]), dataOrNil[T](out[0])
		if w = dataOrNil[T](out[1]); w == nil {
			own = resized(own, len(gates))
			w = own
		}
		d = in[0].Cols / n
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// mixtureGrad: (x, gates, w, dy) → dx, dgates with dx_e = w_e·dy and dgates = w∘(g − Σ w·g), g_e = ⟨x_e, dy⟩.
type mixtureGrad struct {
	backward
	of mixtureOp
}

func (o mixtureGrad) String() string { return o.of.String() + " gradient" }

func (mixtureGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (o mixtureGrad) runner(e *env) runner {
	return pick(e, mixtureBackward[float32](o.of.experts), mixtureBackward[float64](o.of.experts))
}

func mixtureBackward[T kernel.Float](n int) runner {
	var x, w, dy, dx, dg []T
	var d int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			wr, dr := w[r*n:(r+1)*n], dy[r*d:(r+1)*d]
			if dx != nil {
				for e, v := range wr {
					to := dx[(r*n+e)*d : (r*n+e+1)*d]
					copy(to, dr)
					kernel.Scale(v, to)
				}
			}
			if dg == nil {
				continue
			}
			gr := dg[r*n : (r+1)*n]
			var dot T
			for e, v := range wr {
				gr[e] = kernel.Dot(x[(r*n+e)*d:(r*n+e+1)*d], dr)
				dot += v * gr[e]
			}
			for e, v := range wr {
				gr[e] = v * (gr[e] - dot)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, w, dy = data[T](in[0]), data[T](in[2]), data[T](in[3])
		dx, dg, d = dataOrNil[T](out[0]), dataOrNil[T](out[1]), in[3].Cols
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}
