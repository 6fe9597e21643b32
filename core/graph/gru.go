package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// GRUKind says what attention does in a recurrent unit (DIEN, AAAI 2019, the interest evolving layer).
type GRUKind int

const (
	PlainGRU GRUKind = iota // no attention
	AIGRU                   // the input is multiplied by it
	AGRU                    // it stands in place of the update gate
	AUGRU                   // the update gate is multiplied by it
)

// String returns the kind's name in the paper.
func (k GRUKind) String() string { return [...]string{"GRU", "AIGRU", "AGRU", "AUGRU"}[k] }

// Gates is how many gates a unit of the kind has, the candidate state among them: reset, update and candidate, or no update gate in AGRU.
func (k GRUKind) Gates() int {
	if k == AGRU {
		return 2
	}
	return 3
}

// GRU returns the states of a gated recurrent unit after every row of each segment, which starts from zero: g [T, 3H] is the input's part x·Wx of the gates, w [H, 3H] the state's
// weights, bias [2, 3H] one row for the input's part and one for the state's; gates are in the order reset, update, candidate. The result is [T, H].
//
//	r = σ(g_r + b_r + h·w_r + c_r),  u = σ(g_u + b_u + h·w_u + c_u),  n = tanh(g_n + b_n + r∘(h·w_n + c_n)),  h' = (1−u)∘h + u∘n
//
// It is DIEN's (the interest extractor layer); PyTorch's update gate is 1−u.
func GRU(g, w, bias *Node, r *Ragged) *Node {
	o := gruOp{r: r}
	h := o.check(g, w, bias)
	return apply(o, []shape{{g.rows, h, false}, free(h)}, g, w, bias)
}

// AttentionGRU returns the last state of each segment, [B, H], zeros where it is empty, of a unit that attention a [T, 1] takes part in. g and w are as in GRU; AGRU has no update gate, so that
// they have 2H columns.
//
//	AIGRU: a·g in place of g;  AGRU: h' = (1−a)·h + a·n;  AUGRU: h' = (1−a·u)∘h + a·u∘n
func AttentionGRU(g, a, w, bias *Node, r *Ragged, kind GRUKind) *Node {
	if kind == PlainGRU {
		fail("AttentionGRU: a plain GRU takes no attention")
	}
	if a.Cols != 1 {
		fail("AttentionGRU: weights have %d columns", a.Cols)
	}
	o := gruOp{r: r, kind: kind}
	h := o.check(g, w, bias)
	return apply(o, []shape{free(h), free(h)}, g, w, bias, a)
}

// gruOp: (g, w, bias, [a]) → states or last states, and for the gradient [5T, H]: reset and update gates, the state's part of the candidate, the candidate, the state before; of each the rows in
// the order in which they are computed (gruOrder).
type gruOp struct {
	r    *Ragged
	kind GRUKind
}

func (o gruOp) check(g, w, bias *Node) (h int) {
	h = g.Cols / o.kind.Gates()
	if h == 0 || g.Cols%o.kind.Gates() != 0 || w.rows != h || w.Cols != g.Cols || bias.rows != 2 || bias.Cols != g.Cols {
		fail("%v: gates of %d columns with w [%d, %d] and bias [%d, %d]", o.kind, g.Cols, w.rows, w.Cols, bias.rows, bias.Cols)
	}
	return h
}

func (o gruOp) String() string { return "recurrence " + o.kind.String() }

// gruKept is how many values the forward pass leaves of each row and unit.
const gruKept = 5

func (o gruOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0], out[1] = in[0].Rows, gruKept*in[0].Rows
	if err := s.fitsOnce(in[0]); err != nil {
		return err
	}
	if o.kind == PlainGRU {
		return nil
	}
	out[0] = len(s.offsets()) - 1
	return s.fits(nil, in[3])
}

func (o gruOp) differentiable(inputs int) []bool { return all(inputs) }

func (o gruOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(gruGrad{of: o}, d.in, append(append(gorgonia.Nodes{}, d.in...), d.aux(1), d.grad)...)
}

func (o gruOp) runner(e *env) runner {
	return pick(e, newGRU[float32](o, e).forward, newGRU[float64](o, e).forward)
}

// gru is the work of both passes for one plan.
type gru[T kernel.Float] struct {
	gruOp
	gruOrder
	e *env
	s *segments

	h, gates, wide         int
	g, w, bias, a, y, dy   []T
	r, u, v, n, before     []T // of the rows in the order of computing: gates, state's part of the candidate, candidate, state before
	keep                   bool
	own                    []T // where nothing is kept: of each part what one step needs
	first                  []T // biases of the gates, input's and state's together, but for the candidate
	state, spare           []T // [segments, H] in the order of gruOrder
	dr, du, dv, dn, dg, da []T
	pass, back             func(lo, hi int)
	sums                   *colSums[T]
}

func newGRU[T kernel.Float](o gruOp, e *env) *gru[T] {
	u := &gru[T]{gruOp: o, e: e, s: e.segments(o.r), gates: o.kind.Gates()}
	u.pass, u.back = u.forwardParts, u.backwardParts
	return u
}

// bind reads the inputs that both passes have.
func (u *gru[T]) bind(in []*Tensor) {
	u.g, u.w, u.bias, u.h, u.wide = data[T](in[0]), data[T](in[1]), data[T](in[2]), in[1].Rows, in[1].Cols
	u.a = nil
	offsets := u.s.once()
	if u.kind != PlainGRU {
		u.a, offsets = data[T](in[3]), u.s.offsets()
	}
	u.gruOrder.sort(offsets)
	u.state, u.spare = resized(u.state, len(u.order)*u.h), resized(u.spare, len(u.order)*u.h)
}

// divide gives the five values of kept rows their places.
func (u *gru[T]) divide(kept []T, rows int) {
	n := rows * u.h
	u.r, u.u, u.v, u.n, u.before = kept[:n], kept[n:2*n], kept[2*n:3*n], kept[3*n:4*n], kept[4*n:5*n]
}

func (u *gru[T]) forward(in, out []*Tensor) {
	u.bind(in)
	if u.y = dataOrNil[T](out[0]); u.y == nil { // Gorgonia's machine asks for one output at a time
		u.own = resized(u.own, max(in[0].Rows, len(u.order))*u.h)
		u.y = u.own
	}
	if u.keep = out[1] != nil; u.keep {
		u.divide(data[T](out[1]), in[0].Rows)
	} else {
		u.divide(scratch[T](u.e, gruKept*len(u.order)*u.h), len(u.order))
	}
	u.first = resized(u.first, u.wide)
	kernel.Add(u.first, u.bias[:u.wide], u.bias[u.wide:])
	copy(u.first[u.wide-u.h:], u.bias[u.wide-u.h:u.wide])
	clear(u.state)
	kernel.Parallel(u.parts, 1, u.pass)
}

func (u *gru[T]) forwardParts(from, to int) {
	for p := from; p < to; p++ {
		u.forwardPart(p)
	}
}

// forwardPart runs the recurrences of the segments of part p side by side, the longest first, so that those that go on are always the first rows.
func (u *gru[T]) forwardPart(p int) {
	lo, hi := u.ranks(p)
	h, at := u.h, u.base(p)
	if !u.keep {
		at = lo
	}
	state, delta := u.state[lo*h:hi*h], u.spare[lo*h:hi*h]
	active := hi - lo
	for t := 0; ; t++ {
		if active = u.active(lo, active, t); active == 0 {
			break
		}
		m := active * h
		s, d := state[:m], delta[:m]
		r, v, n := u.r[at*h:][:m], u.v[at*h:][:m], u.n[at*h:][:m]
		var z []T
		if u.gates == 3 {
			z = u.u[at*h:][:m]
		}
		u.gather(lo, active, t, r, z, n)
		fillRows(v, u.bias[2*u.wide-h:])
		kernel.AddBias(r, u.first, active, h, h)
		kernel.AddBias(n, u.first[u.wide-h:], active, h, h)
		if z != nil {
			kernel.AddBias(z, u.first[h:], active, h, h)
		}
		if t > 0 {
			kernel.Gemm(false, false, active, h, h, s, h, u.w, u.wide, true, r, h)
			kernel.Gemm(false, false, active, h, h, s, h, u.w[u.wide-h:], u.wide, true, v, h)
			if z != nil {
				kernel.Gemm(false, false, active, h, h, s, h, u.w[h:], u.wide, true, z, h)
			}
		}
		kernel.Sigmoid(r, r)
		kernel.MulAdd(n, r, v)
		kernel.Tanh(n, n)
		if u.keep {
			copy(u.before[at*h:], s)
		}
		kernel.Sub(d, n, s)
		if z != nil {
			kernel.Sigmoid(z, z)
			kernel.Mul(d, d, z)
		}
		if u.a != nil && u.kind != AIGRU {
			for i := range active {
				kernel.Scale(u.a[u.pair(lo+i, t)], d[i*h:(i+1)*h])
			}
		}
		kernel.Add(s, s, d)
		if u.kind == PlainGRU {
			for i := range active {
				copy(u.y[u.pair(lo+i, t)*h:], s[i*h:(i+1)*h])
			}
		}
		if u.keep {
			at += active
		}
	}
	if u.kind != PlainGRU {
		for i := lo; i < hi; i++ {
			copy(u.y[int(u.order[i])*h:], state[(i-lo)*h:(i-lo+1)*h])
		}
	}
}

// gather copies the input's parts of the gates at step t, z being nil where there is no update gate.
func (u *gru[T]) gather(lo, active, t int, r, z, n []T) {
	h := u.h
	for i := range active {
		row := u.g[u.row(lo+i, t)*u.wide:][:u.wide]
		copy(r[i*h:], row[:h])
		copy(n[i*h:], row[u.wide-h:])
		if z != nil {
			copy(z[i*h:], row[h:2*h])
		}
		if u.kind != AIGRU {
			continue
		}
		a := u.a[u.pair(lo+i, t)]
		kernel.Scale(a, r[i*h:(i+1)*h])
		kernel.Scale(a, z[i*h:(i+1)*h])
		kernel.Scale(a, n[i*h:(i+1)*h])
	}
}

// pair is the flattened row of the segment of the given rank at step t, row the row of its input, which is there once where segments are shared.
func (u *gru[T]) pair(rank, t int) int { return int(u.offsets[u.order[rank]]) + t }

func (u *gru[T]) row(rank, t int) int {
	if u.s.shared {
		return t
	}
	return u.pair(rank, t)
}
