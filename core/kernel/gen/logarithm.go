package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// logPolynomial is that of Cephes' logf: log(1+m) = m - m²/2 + m³·P(m) for 1+m between √½ and √2.
var logPolynomial = []float32{
	7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
}

func (w *vector) logConstants() {
	w.polynomialConstants("log", logPolynomial)
	w.constant("half", 0.5)
	w.constant("rootHalf", 0.707106781186547524)
	w.constant("zero", 0)
	w.constant("leastNormal", 1.17549435e-38)
	w.constant("scaleUp", 1<<23)
	w.constant("shift", 23)
	w.bits("mantissa", 0x007fffff)
	w.bits("logBias", 126)
	w.bits("plusInf", 0x7f800000)
	w.bits("minusInf", 0xff800000)
	w.bits("nan", 0x7fc00000)
}

// The comparisons of VCMPPS that are used here.
const (
	isEqual    = operand.U8(0)
	isLess     = operand.U8(1)
	isNotBelow = operand.U8(5) // not less than, or a NaN
)

// choose puts from where x compares with limit into into; AVX2 uses register t for it.
func (w *vector) choose(comparison operand.U8, x int, limit operand.Mem, from, into, t int) {
	if w.wide {
		w.c.VCMPPS(comparison, limit, w.v(x), reg.K2)
		w.c.VMOVAPS(w.v(from), reg.K2, w.v(into))
		return
	}
	w.c.VCMPPS(comparison, limit, w.v(x), w.v(t))
	w.c.VBLENDVPS(w.v(t), w.v(from), w.v(into), w.v(into))
}

// logNormal replaces register 0, positive and normal, by its logarithm plus ln 2 times register 1; it uses registers 2 to 5.
func (w *vector) logNormal() {
	c := w.c
	x, e, p, t, z := w.v(0), w.v(1), w.v(2), w.v(3), w.v(4)
	c.VPSRLD(operand.U8(23), x, p)
	c.VPSUBD(w.k("logBias"), p, p)
	c.VCVTDQ2PS(p, p)
	c.VADDPS(p, e, e)
	c.VANDPS(w.k("mantissa"), x, x)
	c.VORPS(w.k("half"), x, x)
	// Below √½ the mantissa is doubled and the exponent lowered.
	c.VADDPS(x, x, t)
	c.VSUBPS(w.k("one"), e, z)
	if w.wide {
		c.VCMPPS(isLess, w.k("rootHalf"), x, reg.K2)
		c.VMOVAPS(t, reg.K2, x)
		c.VMOVAPS(z, reg.K2, e)
	} else {
		c.VCMPPS(isLess, w.k("rootHalf"), x, w.v(5))
		c.VBLENDVPS(w.v(5), t, x, x)
		c.VBLENDVPS(w.v(5), z, e, e)
	}
	c.VSUBPS(w.k("one"), x, x)
	w.horner("log", len(logPolynomial)-1, 0, 2)
	c.VMULPS(x, x, z)
	c.VMULPS(x, z, t)
	c.VMULPS(t, p, p)
	c.VFMADD231PS(w.k("ln2Low"), e, p)
	c.VFNMADD231PS(w.k("half"), z, p)
	c.VADDPS(p, x, x)
	c.VFMADD231PS(w.k("ln2High"), e, x)
}

// log replaces register 0 by its logarithm; it uses registers 1 to 6.
func (w *vector) log() {
	c := w.c
	const x, e, saved, t = 0, 1, 6, 2
	c.VMOVAPS(w.v(x), w.v(saved))
	w.zero(c, w.v(e))
	// Denormals are scaled up first.
	c.VMULPS(w.k("scaleUp"), w.v(x), w.v(3))
	c.VSUBPS(w.k("shift"), w.v(e), w.v(4))
	w.choose(isLess, saved, w.k("leastNormal"), 3, x, t)
	w.choose(isLess, saved, w.k("leastNormal"), 4, e, t)
	w.logNormal()
	c.VMOVUPS(w.k("minusInf"), w.v(3))
	w.choose(isEqual, saved, w.k("zero"), 3, x, t)
	c.VMOVUPS(w.k("nan"), w.v(3))
	w.choose(isLess, saved, w.k("zero"), 3, x, t)
	w.choose(isNotBelow, saved, w.k("plusInf"), saved, x, t)
}

// softplus is max(x, 0) + log(1+z) with z = e^-|x|; what 1+z loses in rounding is added back to the first order.
func (w *vector) softplus() {
	c := w.c
	const x, z, rest = 6, 7, 8
	c.VMOVAPS(w.v(0), w.v(x))
	c.VORPS(w.k("signBit"), w.v(0), w.v(0))
	w.exp()
	c.VMOVAPS(w.v(0), w.v(z))
	c.VADDPS(w.k("one"), w.v(z), w.v(0))
	c.VSUBPS(w.k("one"), w.v(0), w.v(rest))
	c.VSUBPS(w.v(rest), w.v(z), w.v(rest))
	c.VDIVPS(w.v(0), w.v(rest), w.v(rest))
	w.zero(c, w.v(1))
	w.logNormal()
	c.VADDPS(w.v(rest), w.v(0), w.v(0))
	w.zero(c, w.v(1))
	c.VMAXPS(w.v(x), w.v(1), w.v(1))
	c.VADDPS(w.v(1), w.v(0), w.v(0))
}

// maximum writes the reduction by the greater of two; the last vector overlaps the one before it.
func (w *vector) maximum() {
	w.function("max", "returns the greatest of x, n elements, at least a vector; with a NaN among them it may be any of them.", "func(x *float32, n int) float32",
		map[string]reg.GPPhysical{"x": reg.RSI})
	c := w.c
	c.LEAQ(operand.Mem{Base: reg.RSI, Index: reg.RCX, Scale: 4, Disp: -4 * w.lanes}, reg.RDI)
	c.VMOVUPS(at(reg.RDI), w.v(0))
	c.Label("loop")
	c.VMAXPS(at(reg.RSI), w.v(0), w.v(0))
	c.ADDQ(operand.U8(4*w.lanes), reg.RSI)
	c.CMPQ(reg.RSI, reg.RDI)
	c.JLT(operand.LabelRef("loop"))
	if w.wide {
		c.VEXTRACTF64X4(operand.U8(1), reg.Z0, reg.Y1)
		c.VMAXPS(reg.Y1, reg.Y0, reg.Y0)
	}
	c.VEXTRACTF128(operand.U8(1), reg.Y0, reg.X1)
	c.VMAXPS(reg.X1, reg.X0, reg.X0)
	c.VPERMILPS(operand.U8(0b1110), reg.X0, reg.X1)
	c.VMAXPS(reg.X1, reg.X0, reg.X0)
	c.VPERMILPS(operand.U8(1), reg.X0, reg.X1)
	c.VMAXSS(reg.X1, reg.X0, reg.X0)
	c.VZEROUPPER()
	c.Store(reg.X0, c.ReturnIndex(0))
	c.RET()
}
