package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The error function after N. Juffa: a + a·P(a²) below erfSmall, 1 - e^Q(|a|) from there on, where Q approximates ln(erfc |a|) well beyond
// the point at which erf rounds to one, so that the tails of the normal distribution come from it too.
var (
	erfNear = []float32{-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1}
	erfFar  = []float32{-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1}
)

const erfSmall = 0.92773444

func (w *vector) gaussConstants() {
	w.polynomialConstants("erfNear", erfNear)
	w.polynomialConstants("erfFar", erfFar)
	w.constant("erfSmall", erfSmall)
	w.constant("rootHalfUp", 0.707106781186547524)
	w.constant("minusHalf", -0.5)
	w.constant("density", 0.398942280401432678) // 1/√2π
}

// erfParts leaves of a in register 0: erfc|a| in 0, good from erfSmall on; erf a in 8, good below; a in 5, |a| in 6. It uses registers to 8.
func (w *vector) erfParts() {
	c := w.c
	r, u, a, t, s, near := w.v(0), w.v(1), w.v(5), w.v(6), w.v(7), w.v(8)
	c.VMOVAPS(r, a)
	c.VANDPS(w.k("allButSign"), a, t)
	c.VMULPS(a, a, s)
	w.horner("erfNear", len(erfNear)-1, 7, 8)
	c.VFMADD213PS(a, a, near)
	c.VMOVUPS(w.k("erfFar0"), r)
	c.VFMADD213PS(w.k("erfFar1"), t, r)
	c.VMOVUPS(w.k("erfFar2"), u)
	c.VFMADD213PS(w.k("erfFar3"), t, u)
	c.VFMADD213PS(u, s, r)
	for _, k := range []string{"erfFar4", "erfFar5", "erfFar6"} {
		c.VFMADD213PS(w.k(k), t, r)
	}
	c.VFMSUB213PS(t, t, r)
	w.exp()
}

// erf replaces register 0 by its error function.
func (w *vector) erf() {
	c := w.c
	w.erfParts()
	c.VMOVUPS(w.k("one"), w.v(1))
	c.VSUBPS(w.v(0), w.v(1), w.v(0))
	c.VANDPS(w.k("signBit"), w.v(5), w.v(1))
	c.VORPS(w.v(1), w.v(0), w.v(0))
	w.choose(isLess, 6, w.k("erfSmall"), 8, 0, 1)
}

// normal replaces register 0 by the normal distribution's Φ of it; it uses registers to 8.
func (w *vector) normal() {
	c := w.c
	c.VMULPS(w.k("rootHalfUp"), w.v(0), w.v(0))
	w.erfParts()
	c.VMULPS(w.k("half"), w.v(0), w.v(0))
	c.VMOVUPS(w.k("one"), w.v(1))
	c.VSUBPS(w.v(0), w.v(1), w.v(1))
	w.whereNegative(5, 0, 1)
	c.VMOVUPS(w.k("half"), w.v(0))
	c.VFMADD231PS(w.k("half"), w.v(8), w.v(0))
	c.VMOVAPS(w.v(0), w.v(8))
	c.VMOVAPS(w.v(1), w.v(0))
	w.choose(isLess, 6, w.k("erfSmall"), 8, 0, 1)
}

// whereNegative puts from into into where x has its sign bit set.
func (w *vector) whereNegative(x, from, into int) {
	if w.wide {
		w.c.VPMOVD2M(zmm[x], reg.K2)
		w.c.VMOVAPS(w.v(from), reg.K2, w.v(into))
		return
	}
	w.c.VBLENDVPS(w.v(x), w.v(from), w.v(into), w.v(into))
}

// gelu is x·Φ(x), silu x·σ(x).
func (w *vector) gelu() {
	w.c.VMOVAPS(w.v(0), w.v(9))
	w.normal()
	w.c.VMULPS(w.v(9), w.v(0), w.v(0))
}

func (w *vector) silu() {
	w.c.VMOVAPS(w.v(0), w.v(9))
	w.sigmoid()
	w.c.VMULPS(w.v(9), w.v(0), w.v(0))
}

// geluGrad is x·(Φ(y) + y·φ(y)).
func (w *vector) geluGrad() {
	c := w.c
	const z, dy, cdf = 9, 10, 11
	c.VMOVAPS(w.v(0), w.v(dy))
	c.VMOVAPS(w.v(1), w.v(z))
	c.VMOVAPS(w.v(1), w.v(0))
	w.normal()
	c.VMOVAPS(w.v(0), w.v(cdf))
	c.VMULPS(w.v(z), w.v(z), w.v(0))
	c.VMULPS(w.k("minusHalf"), w.v(0), w.v(0))
	w.exp()
	c.VMULPS(w.k("density"), w.v(0), w.v(0))
	c.VFMADD213PS(w.v(cdf), w.v(z), w.v(0))
	c.VMULPS(w.v(dy), w.v(0), w.v(0))
}

// siluGrad is x·σ(y)·(1 + y·(1-σ(y))).
func (w *vector) siluGrad() {
	c := w.c
	const z, dy = 9, 10
	c.VMOVAPS(w.v(0), w.v(dy))
	c.VMOVAPS(w.v(1), w.v(z))
	c.VMOVAPS(w.v(1), w.v(0))
	w.sigmoid()
	c.VMOVUPS(w.k("one"), w.v(1))
	c.VSUBPS(w.v(0), w.v(1), w.v(2))
	c.VFMADD213PS(w.v(1), w.v(z), w.v(2))
	c.VMULPS(w.v(2), w.v(0), w.v(0))
	c.VMULPS(w.v(dy), w.v(0), w.v(0))
}

// prelu is max(x, 0) + y·min(x, 0), y being the slopes.
func (w *vector) prelu() {
	c := w.c
	w.zero(c, w.v(2))
	c.VMINPS(w.v(0), w.v(2), w.v(3))
	c.VMAXPS(w.v(0), w.v(2), w.v(0))
	c.VFMADD231PS(w.v(3), w.v(1), w.v(0))
}

// preluGrad writes the gradient of a row of prelu and adds that of the slopes to sum.
func (w *vector) preluGrad() {
	w.function("preluGrad", "writes to dst the gradient grad where x is above zero and grad·y elsewhere, and adds grad·x to m there, n elements.",
		"func(dst, m, grad, x, y *float32, n int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "m": reg.RAX, "grad": reg.RBX, "x": reg.RSI, "y": reg.RDX})
	c := w.c
	const isAbove = operand.U8(14) // greater, no NaN
	w.zero(c, w.v(4))
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RAX, reg.RBX, reg.RSI, reg.RDX}, func(masked bool) {
		w.load(c, at(reg.RSI), w.v(0), masked)
		w.load(c, at(reg.RDX), w.v(1), masked)
		w.load(c, at(reg.RBX), w.v(2), masked)
		w.load(c, at(reg.RAX), w.v(3), masked)
		c.VMULPS(w.v(2), w.v(1), w.v(1)) // grad·slope
		if w.wide {
			c.VCMPPS(isAbove, w.v(4), w.v(0), reg.K2)
			c.VMOVAPS(w.v(2), reg.K2, w.v(1))
			c.VMOVAPS(w.v(4), reg.K2, w.v(0))
		} else {
			c.VCMPPS(isAbove, w.v(4), w.v(0), w.v(5))
			c.VBLENDVPS(w.v(5), w.v(2), w.v(1), w.v(1))
			c.VANDNPS(w.v(0), w.v(5), w.v(0))
		}
		c.VFMADD231PS(w.v(2), w.v(0), w.v(3))
		w.store(c, w.v(1), at(reg.RDI), masked)
		w.store(c, w.v(3), at(reg.RAX), masked)
	})
	w.end()
}

// expShift writes e^(x-shift).
func (w *vector) expShift() {
	w.function("expShift", "writes e^(x-shift) to dst, n elements.", "func(dst, x *float32, n int, shift float32)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI})
	w.broadcast("shift", 4)
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		w.c.VSUBPS(w.v(4), w.v(0), w.v(0))
		w.exp()
		w.store(w.c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}
