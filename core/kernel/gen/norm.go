package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const notAtMost = operand.U8(6) // the predicate "not less or equal", which a NaN fulfils

// norms writes the passes of layer normalisation over one row. x̂ is x·scale + shift; an element of the result counts where it is above floor: 0 for a
// ReLU, −∞ for none.
func (w *vector) norms() {
	w.normalise()
	w.normGrad()
	w.normGradEnd()
}

func (w *vector) normalise() {
	c := w.c
	w.function("normalise", "writes max(w·(x·scale + shift) + y, floor) to dst, n elements.", "func(dst, w, x, y *float32, n int, scale, shift, floor float32)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "w": reg.R8, "x": reg.RSI, "y": reg.RDX})
	w.broadcast("scale", 4)
	w.broadcast("shift", 5)
	w.broadcast("floor", 6)
	w.sweep([]reg.GPPhysical{reg.RDI, reg.R8, reg.RSI, reg.RDX}, func(masked bool) {
		w.load(c, at(reg.RSI), w.v(0), masked)
		w.load(c, at(reg.R8), w.v(1), masked)
		w.load(c, at(reg.RDX), w.v(2), masked)
		c.VFMADD213PS(w.v(5), w.v(4), w.v(0))
		c.VFMADD213PS(w.v(2), w.v(1), w.v(0))
		c.VMAXPS(w.v(0), w.v(6), w.v(0))
		w.store(c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}

// normGrad is the pass of the gradient that takes sums: with dz the gradient where the result is above floor and g = dz·w, it adds dz·x̂ to m and dz to v, writes g, and
// returns Σ g and Σ g·x̂.
func (w *vector) normGrad() {
	c := w.c
	w.function("normGrad", "adds the gradients of a norm's weights w and of what is added to m and v, and writes that of x̂ to dst; it returns its sum and its inner product with x̂.",
		"func(dst, w, m, v, grad, x, y *float32, n int, scale, shift, floor float32) (sum, dot float32)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "w": reg.R8, "m": reg.R9, "v": reg.R10, "grad": reg.R11, "x": reg.RSI, "y": reg.RDX})
	w.broadcast("scale", 10)
	w.broadcast("shift", 11)
	w.broadcast("floor", 12)
	const sum, dot = 8, 9
	w.zero(c, w.v(sum))
	w.zero(c, w.v(dot))
	w.sweep([]reg.GPPhysical{reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.RSI, reg.RDX}, func(masked bool) {
		w.load(c, at(reg.R11), w.v(0), masked)
		w.load(c, at(reg.RDX), w.v(1), masked)
		w.load(c, at(reg.RSI), w.v(2), masked)
		w.load(c, at(reg.R8), w.v(3), masked)
		w.load(c, at(reg.R9), w.v(4), masked)
		w.load(c, at(reg.R10), w.v(5), masked)
		if w.wide {
			c.VCMPPS(notAtMost, w.v(12), w.v(1), reg.K2)
			c.VMOVAPS_Z(w.v(0), reg.K2, w.v(0))
		} else {
			c.VCMPPS(notAtMost, w.v(12), w.v(1), w.v(1))
			c.VANDPS(w.v(1), w.v(0), w.v(0))
		}
		c.VFMADD213PS(w.v(11), w.v(10), w.v(2))
		c.VFMADD231PS(w.v(2), w.v(0), w.v(4))
		w.store(c, w.v(4), at(reg.R9), masked)
		c.VADDPS(w.v(0), w.v(5), w.v(5))
		w.store(c, w.v(5), at(reg.R10), masked)
		c.VMULPS(w.v(3), w.v(0), w.v(0))
		c.VADDPS(w.v(0), w.v(sum), w.v(sum))
		c.VFMADD231PS(w.v(2), w.v(0), w.v(dot))
		w.store(c, w.v(0), at(reg.RDI), masked)
	})
	for i, v := range []int{sum, dot} {
		w.addLanes(v, 0)
		c.Store(xmm[v], c.ReturnIndex(i))
	}
	w.end()
}

func (w *vector) normGradEnd() {
	c := w.c
	w.function("normGradEnd", "writes dst·a + x·b + shift to dst, n elements.", "func(dst, x *float32, n int, a, b, shift float32)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI})
	w.broadcast("a", 4)
	w.broadcast("b", 5)
	w.broadcast("shift", 6)
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI}, func(masked bool) {
		w.load(c, at(reg.RDI), w.v(0), masked)
		w.load(c, at(reg.RSI), w.v(1), masked)
		c.VFMADD213PS(w.v(6), w.v(4), w.v(0))
		c.VFMADD231PS(w.v(5), w.v(1), w.v(0))
		w.store(c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}

// addLanes adds up the lanes of vector v into its first; it uses vector tmp.
func (w *vector) addLanes(v, tmp int) {
	c := w.c
	if w.wide {
		c.VEXTRACTF64X4(operand.U8(1), zmm[v], ymm[tmp])
		c.VADDPS(ymm[tmp], ymm[v], ymm[v])
	}
	c.VEXTRACTF128(operand.U8(1), ymm[v], xmm[tmp])
	c.VADDPS(xmm[tmp], xmm[v], xmm[v])
	c.VPERMILPS(operand.U8(0b1110), xmm[v], xmm[tmp])
	c.VADDPS(xmm[tmp], xmm[v], xmm[v])
	c.VPERMILPS(operand.U8(1), xmm[v], xmm[tmp])
	c.VADDSS(xmm[tmp], xmm[v], xmm[v])
}
