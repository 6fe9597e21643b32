package graph

import "github.com/millrace/millrace/core/kernel"

// gruGrad: (g, w, bias, [a], kept, dy) → dg, dw, dbias, [da].
//
// With dh the gradient of the state after a step, and a = 1 where there is no attention or it is elsewhere:
//
//	dn = a·dh∘u∘(1−n²),  dr = dn∘v∘r∘(1−r),  du = a·dh∘(n−h)∘u∘(1−u),  dv = dn∘r        v = h·w_n + c_n, the state's part of the candidate
//	dh ← dh − a·dh∘u + dr·w_rᵀ + du·w_uᵀ + dv·w_nᵀ
//
// in which AGRU has 1 for u and no du. dg is [dr du dn], times a in AIGRU; da is ⟨dh, u∘(n−h)⟩, in AIGRU ⟨g, [dr du dn]⟩; dw is hᵀ·[dr du dv].
type gruGrad struct {
	backward
	of gruOp
}

func (o gruGrad) String() string { return o.of.String() + " gradient" }

func (o gruGrad) rows(e *env, in []*Tensor, out []int) error {
	for i := range out {
		out[i] = in[i].Rows
	}
	return e.segments(o.of.r).differentiable()
}

func (o gruGrad) runner(e *env) runner {
	return pick(e, newGRUBackward[float32](o.of, e), newGRUBackward[float64](o.of, e))
}

func newGRUBackward[T kernel.Float](o gruOp, e *env) runner {
	u := newGRU[T](o, e)
	u.sums = newColSums[T]()
	return u.backward
}

func (u *gru[T]) backward(in, out []*Tensor) {
	u.bind(in)
	rows, h := in[0].Rows, u.h
	u.divide(data[T](in[len(in)-2]), rows)
	u.dy, u.dg, u.da = data[T](in[len(in)-1]), dataOrNil[T](out[0]), nil
	if u.kind != PlainGRU {
		u.da = dataOrNil[T](out[3])
	}
	n := rows * h
	space := scratch[T](u.e, 4*n)
	u.dr, u.du, u.dv, u.dn = space[:n], space[n:2*n], space[2*n:3*n], space[3*n:4*n]
	kernel.Parallel(u.parts, 1, u.back)

	if dw := dataOrNil[T](out[1]); dw != nil {
		u.weights(dw, u.dr, rows)
		u.weights(dw[u.wide-h:], u.dv, rows)
		if u.gates == 3 {
			u.weights(dw[h:], u.du, rows)
		}
	}
	if db := dataOrNil[T](out[2]); db != nil {
		u.sums.run(db[:h], u.dr, rows, h)
		if u.gates == 3 {
			u.sums.run(db[h:2*h], u.du, rows, h)
		}
		copy(db[u.wide:], db[:u.wide-h])
		u.sums.run(db[u.wide-h:u.wide], u.dn, rows, h)
		u.sums.run(db[2*u.wide-h:], u.dv, rows, h)
	}
}

// weights sets the columns of dw that belong to one gate.
func (u *gru[T]) weights(dw, dz []T, rows int) {
	kernel.Gemm(true, false, u.h, u.h, rows, u.before, u.h, dz, u.h, false, dw, u.wide)
}

func (u *gru[T]) backwardParts(from, to int) {
	for p := from; p < to; p++ {
		u.backwardPart(p)
	}
}

// backwardPart goes back through the steps of part p.
func (u *gru[T]) backwardPart(p int) {
	lo, hi := u.ranks(p)
	h, at := u.h, u.bases[p+1]
	state, spare := u.state[lo*h:hi*h], u.spare[lo*h:hi*h]
	if u.kind == PlainGRU {
		clear(state)
	} else {
		for i := lo; i < hi; i++ {
			copy(state[(i-lo)*h:], u.dy[int(u.order[i])*h:][:h])
		}
	}
	steps := 0
	if hi > lo {
		steps = u.length(lo)
	}
	active := 0
	for t := steps - 1; t >= 0; t-- {
		for lo+active < hi && u.length(lo+active) > t {
			active++
		}
		at -= active
		m := active * h
		u.backwardStep(lo, active, t, at*h, state[:m], spare[:m])
	}
}

// backwardStep takes dh, the gradient of the states after step t, to that of the states before it; rows are kept from element from on, f is scratch.
func (u *gru[T]) backwardStep(lo, active, t, from int, dh, f []T) {
	h, m := u.h, len(dh)
	kept := func(x []T) []T { return x[from:][:m] }
	r, v, n, before := kept(u.r), kept(u.v), kept(u.n), kept(u.before)
	dr, du, dv, dn := kept(u.dr), kept(u.du), kept(u.dv), kept(u.dn)
	if u.kind == PlainGRU {
		for i := range active {
			kernel.Add(dh[i*h:(i+1)*h], dh[i*h:(i+1)*h], u.dy[u.pair(lo+i, t)*h:][:h])
		}
	}
	kernel.Sub(dv, n, before)
	copy(f, dh)
	if u.a != nil && u.kind != AIGRU {
		if u.da != nil {
			u.attention(lo, active, t, from, dh, dv, du)
		}
		for i := range active {
			kernel.Scale(u.a[u.pair(lo+i, t)], f[i*h:(i+1)*h])
		}
	}
	if u.gates == 3 {
		z := kept(u.u)
		kernel.Mul(du, f, dv)
		kernel.SigmoidGrad(du, du, z)
		kernel.Mul(f, f, z)
	}
	kernel.Sub(dh, dh, f)
	kernel.TanhGrad(dn, f, n)
	kernel.Mul(dr, dn, v)
	kernel.SigmoidGrad(dr, dr, r)
	kernel.Mul(dv, dn, r)
	if t > 0 {
		kernel.Gemm(false, true, active, h, h, dr, h, u.w, u.wide, true, dh, h)
		kernel.Gemm(false, true, active, h, h, dv, h, u.w[u.wide-h:], u.wide, true, dh, h)
		if u.gates == 3 {
			kernel.Gemm(false, true, active, h, h, du, h, u.w[h:], u.wide, true, dh, h)
		}
	}
	u.scatter(lo, active, t, dr, du, dn)
}

// attention sets da of step t to ⟨dh, u∘(n−h)⟩; difference is n−h, space is scratch.
func (u *gru[T]) attention(lo, active, t, from int, dh, difference, space []T) {
	h := u.h
	if u.gates == 3 {
		kernel.Mul(space, difference, u.u[from:][:len(dh)])
		difference = space
	}
	for i := range active {
		u.da[u.pair(lo+i, t)] = kernel.Dot(dh[i*h:(i+1)*h], difference[i*h:(i+1)*h])
	}
}

// scatter writes the gradients of the input's parts of step t, and those of AIGRU's attention.
func (u *gru[T]) scatter(lo, active, t int, dr, du, dn []T) {
	h := u.h
	for i := range active {
		pair := u.pair(lo+i, t)
		ri, ni := dr[i*h:(i+1)*h], dn[i*h:(i+1)*h]
		if u.kind == AIGRU && u.da != nil {
			g := u.g[pair*u.wide:][:u.wide]
			u.da[pair] = kernel.Dot(g[:h], ri) + kernel.Dot(g[h:2*h], du[i*h:(i+1)*h]) + kernel.Dot(g[2*h:], ni)
		}
		if u.dg == nil {
			continue
		}
		row := u.dg[pair*u.wide:][:u.wide]
		copy(row, ri)
		copy(row[u.wide-h:], ni)
		if u.gates == 3 {
			copy(row[h:2*h], du[i*h:(i+1)*h])
		}
		if u.kind == AIGRU {
			kernel.Scale(u.a[pair], row)
		}
	}
}
