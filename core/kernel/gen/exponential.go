package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The exponential: x = n·ln 2 + r with |r| ≤ ln 2 / 2, ln 2 in two parts, and the polynomial of Cephes' expf for e^r. Beyond
// ±the bounds the result is 0 or +Inf anyway; the minimum and maximum keep a NaN because x is their second operand.
const (
	expHigh = 89
	expLow  = -104
)

var expPolynomial = []float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// tanhPolynomial is that of Cephes' tanhf: tanh x = x + x·x²·P(x²) for |x| below tanhSmall.
var tanhPolynomial = []float32{-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1}

const tanhSmall = 0.625

func (w *vector) expConstants() {
	w.constant("expHigh", expHigh)
	w.constant("expLow", expLow)
	w.constant("log2e", 1.44269504088896341)
	w.constant("ln2High", 0.693359375)
	w.constant("ln2Low", -2.12194440e-4)
	w.polynomialConstants("exp", expPolynomial)
	if !w.wide {
		w.bits("exponentBias", 127)
	}
}

func (w *vector) tanhConstants() {
	w.constant("minusTwo", -2)
	w.constant("tanhSmall", tanhSmall)
	w.polynomialConstants("tanh", tanhPolynomial)
}

func (w *vector) polynomialConstants(name string, p []float32) {
	for i, a := range p {
		w.constant(fmt.Sprintf("%s%d", name, i), a)
	}
}

// horner leaves in register p the polynomial of that name at register x, highest coefficient first.
func (w *vector) horner(name string, degree, x, p int) {
	w.c.VMOVUPS(w.k(name+"0"), w.v(p))
	for i := 1; i <= degree; i++ {
		w.c.VFMADD213PS(w.k(fmt.Sprintf("%s%d", name, i)), w.v(x), w.v(p))
	}
}

// exp replaces register 0 by its exponential; it uses registers 1 to 3.
func (w *vector) exp() {
	c := w.c
	x, n, p, t := w.v(0), w.v(1), w.v(2), w.v(3)
	c.VMOVUPS(w.k("expHigh"), t)
	c.VMINPS(x, t, x)
	c.VMOVUPS(w.k("expLow"), t)
	c.VMAXPS(x, t, x)
	c.VMULPS(w.k("log2e"), x, n)
	const nearest = operand.U8(8)
	if w.wide {
		c.VRNDSCALEPS(nearest, n, n)
	} else {
		c.VROUNDPS(nearest, n, n)
	}
	c.VFNMADD231PS(w.k("ln2High"), n, x)
	c.VFNMADD231PS(w.k("ln2Low"), n, x)
	w.horner("exp", len(expPolynomial)-1, 0, 2)
	c.VMULPS(x, x, t)
	c.VFMADD213PS(x, t, p)
	c.VADDPS(w.k("one"), p, p)
	if w.wide {
		c.VSCALEFPS(n, p, x)
		return
	}
	// 2^n in two factors, since n runs from -150 to 128.
	c.VCVTPS2DQ(n, n)
	c.VPSRAD(operand.U8(1), n, t)
	c.VPSUBD(t, n, n)
	for _, half := range []int{1, 3} {
		c.VPADDD(w.k("exponentBias"), w.v(half), w.v(half))
		c.VPSLLD(operand.U8(23), w.v(half), w.v(half))
		c.VMULPS(w.v(half), p, p)
	}
	c.VMOVAPS(p, x)
}

// sigmoid is z/(1+z) for negative x and 1/(1+z) otherwise, with z = e^-|x|: nothing overflows and tiny results keep their digits.
func (w *vector) sigmoid() {
	c := w.c
	c.VMOVAPS(w.v(0), w.v(4))
	c.VORPS(w.k("signBit"), w.v(0), w.v(0))
	w.exp()
	c.VMOVUPS(w.k("one"), w.v(1))
	c.VADDPS(w.v(0), w.v(1), w.v(2))
	if w.wide {
		c.VPMOVD2M(reg.Z4, reg.K2)
		c.VMOVAPS(w.v(0), reg.K2, w.v(1))
	} else {
		c.VBLENDVPS(w.v(4), w.v(0), w.v(1), w.v(1))
	}
	c.VDIVPS(w.v(2), w.v(1), w.v(0))
}

// tanh is (1-z)/(1+z) with z = e^-2|x| and the sign of x, and a polynomial where that would cancel.
func (w *vector) tanh() {
	c := w.c
	x, size, small := w.v(4), w.v(5), w.v(6)
	c.VMOVAPS(w.v(0), x)
	c.VANDPS(w.k("allButSign"), x, size)
	c.VMULPS(w.k("minusTwo"), size, w.v(0))
	w.exp()
	c.VMOVUPS(w.k("one"), w.v(1))
	c.VADDPS(w.v(0), w.v(1), w.v(2))
	c.VSUBPS(w.v(0), w.v(1), w.v(1))
	c.VDIVPS(w.v(2), w.v(1), w.v(0))
	c.VANDPS(w.k("signBit"), x, w.v(1))
	c.VORPS(w.v(1), w.v(0), w.v(0))

	c.VMULPS(x, x, w.v(1))
	w.horner("tanh", len(tanhPolynomial)-1, 1, 6)
	c.VMULPS(w.v(1), small, small)
	c.VFMADD213PS(x, x, small)
	w.choose(isLess, 5, w.k("tanhSmall"), 6, 0, 1)
}
