package main

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector writes the element-wise functions of one instruction set. Each runs over n elements by whole vectors and ends with a
// masked one, so that an element's result does not depend on where it lies. Constants are repeated to a vector's width in
// memory and used as operands from there.
type vector struct {
	isa
	c         *build.Context
	constants map[string]operand.Mem
	control   operand.Mem // where flushTiny keeps the control word
}

func vectors(c *build.Context, s isa) {
	s.maskTable(c)
	w := &vector{isa: s, c: c, constants: map[string]operand.Mem{}}
	w.constant("one", 1)
	w.bits("signBit", 0x80000000)
	w.bits("allButSign", 0x7fffffff)
	w.expConstants()
	w.tanhConstants()
	w.logConstants()
	w.gaussConstants()
	w.unary("exp", "e^x", w.exp)
	w.unary("sigmoid", "1/(1+e^-x)", w.sigmoid)
	w.unary("tanh", "tanh(x)", w.tanh)
	w.unary("log", "ln(x)", w.log)
	w.unary("softplus", "ln(1+e^x)", w.softplus)
	w.unary("erf", "erf(x)", w.erf)
	w.unary("gelu", "x·Φ(x)", w.gelu)
	w.unary("silu", "x/(1+e^-x)", w.silu)
	w.binary("geluGrad", "x·(Φ(y) + y·φ(y))", w.geluGrad)
	w.binary("siluGrad", "x·σ(y)·(1 + y·(1-σ(y)))", w.siluGrad)
	w.binary("prelu", "max(x, 0) + y·min(x, 0)", w.prelu)
	w.preluGrad()
	w.expShift()
	w.maximum()
	w.binary("add", "x + y", func() { c.VADDPS(w.v(1), w.v(0), w.v(0)) })
	w.binary("sub", "x - y", func() { c.VSUBPS(w.v(1), w.v(0), w.v(0)) })
	w.binary("mul", "x · y", func() { c.VMULPS(w.v(1), w.v(0), w.v(0)) })
	w.unary("relu", "max(x, 0)", func() {
		w.zero(c, w.v(1))
		c.VMAXPS(w.v(0), w.v(1), w.v(0))
	})
	w.binary("reluGrad", "x where y is not ≤ 0, else 0,", w.reluGrad)
	w.binary("sigmoidGrad", "x · y · (1-y)", func() {
		c.VMOVUPS(w.k("one"), w.v(2))
		c.VSUBPS(w.v(1), w.v(2), w.v(2))
		c.VMULPS(w.v(1), w.v(2), w.v(2))
		c.VMULPS(w.v(2), w.v(0), w.v(0))
	})
	w.binary("tanhGrad", "x · (1-y²)", func() {
		c.VMOVUPS(w.k("one"), w.v(2))
		c.VFNMADD231PS(w.v(1), w.v(1), w.v(2))
		c.VMULPS(w.v(2), w.v(0), w.v(0))
	})
	w.mulAdd()
	w.scale()
	w.axpy()
	w.dot()
	w.norms()
	w.addRows()
	w.optimizers()
	w.copyRows()
	w.sumRows()
	doubles(c, s)
	if s.wide {
		dropout(c)
	}
}

// constant lays down a value repeated over a vector, to be named in w.k.
func (w *vector) constant(name string, value float32) { w.bits(name, math.Float32bits(value)) }

func (w *vector) bits(name string, value uint32) {
	m := w.c.StaticGlobal(name + w.name)
	w.c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range w.lanes {
		w.c.AddDatum(4*i, operand.U32(value))
	}
	w.constants[name] = m
}

// k is the constant of that name as an operand.
func (w *vector) k(name string) operand.Mem {
	m, ok := w.constants[name]
	if !ok {
		panic("no constant " + name)
	}
	return m
}

// function begins a function with its element count in CX; pointers are loaded into the registers of the same order.
func (w *vector) function(name, doc, signature string, pointers map[string]reg.GPPhysical) {
	c := w.c
	c.Function(name + w.name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(name + w.name + " " + doc)
	c.SignatureExpr(signature)
	for _, p := range []string{"dst", "w", "m", "v", "grad", "x", "y"} {
		if r, ok := pointers[p]; ok {
			c.Load(c.Param(p), r)
		}
	}
	c.Load(c.Param("n"), reg.RCX)
}

// sweep runs body over all whole vectors and once more, masked, over the rest; body reads and writes through w.in and w.out.
func (w *vector) sweep(pointers []reg.GPPhysical, body func(masked bool)) {
	c := w.c
	c.SUBQ(operand.U8(w.lanes), reg.RCX)
	c.JLT(operand.LabelRef("rest"))
	c.Label("loop")
	body(false)
	for _, p := range pointers {
		c.ADDQ(operand.U8(4*w.lanes), p)
	}
	c.SUBQ(operand.U8(w.lanes), reg.RCX)
	c.JGE(operand.LabelRef("loop"))
	c.Label("rest")
	c.ADDQ(operand.U8(w.lanes), reg.RCX)
	c.JEQ(operand.LabelRef("done"))
	w.maskFrom(c, reg.RCX)
	body(true)
	c.Label("done")
}

func at(p reg.GPPhysical) operand.Mem { return operand.Mem{Base: p} }

func (w *vector) unary(name, formula string, f func()) {
	w.function(name, "writes "+formula+" to dst, n elements.", "func(dst, x *float32, n int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI})
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		f()
		w.store(w.c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}

func (w *vector) binary(name, formula string, f func()) {
	w.function(name, "writes "+formula+" to dst, n elements.", "func(dst, x, y *float32, n int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI, "y": reg.RDX})
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI, reg.RDX}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		w.load(w.c, at(reg.RDX), w.v(1), masked)
		f()
		w.store(w.c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}

func (w *vector) end() {
	w.c.VZEROUPPER()
	w.c.RET()
}

// broadcast fills vector register i with the scalar parameter of that name.
func (w *vector) broadcast(name string, i int) {
	a, err := w.c.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	w.c.VBROADCASTSS(a.Addr, w.v(i))
}

func (w *vector) scale() {
	w.function("scale", "multiplies x by alpha, n elements.", "func(alpha float32, x *float32, n int)", map[string]reg.GPPhysical{"x": reg.RSI})
	w.broadcast("alpha", 2)
	w.sweep([]reg.GPPhysical{reg.RSI}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		w.c.VMULPS(w.v(2), w.v(0), w.v(0))
		w.store(w.c, w.v(0), at(reg.RSI), masked)
	})
	w.end()
}

func (w *vector) axpy() {
	w.function("axpy", "adds alpha · x to y, n elements.", "func(alpha float32, x, y *float32, n int)",
		map[string]reg.GPPhysical{"x": reg.RSI, "y": reg.RDI})
	w.broadcast("alpha", 2)
	w.sweep([]reg.GPPhysical{reg.RSI, reg.RDI}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		w.load(w.c, at(reg.RDI), w.v(1), masked)
		w.c.VFMADD231PS(w.v(2), w.v(0), w.v(1))
		w.store(w.c, w.v(1), at(reg.RDI), masked)
	})
	w.end()
}

func (w *vector) reluGrad() {
	c := w.c
	w.zero(c, w.v(2))
	if w.wide {
		c.VCMPPS(notAtMost, w.v(2), w.v(1), reg.K2)
		c.VMOVAPS_Z(w.v(0), reg.K2, w.v(0))
		return
	}
	c.VCMPPS(notAtMost, w.v(2), w.v(1), w.v(1))
	c.VANDPS(w.v(1), w.v(0), w.v(0))
}

func (w *vector) mulAdd() {
	w.function("mulAdd", "adds x · y to dst, n elements.", "func(dst, x, y *float32, n int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI, "y": reg.RDX})
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI, reg.RDX}, func(masked bool) {
		w.load(w.c, at(reg.RSI), w.v(0), masked)
		w.load(w.c, at(reg.RDX), w.v(1), masked)
		w.load(w.c, at(reg.RDI), w.v(2), masked)
		w.c.VFMADD231PS(w.v(1), w.v(0), w.v(2))
		w.store(w.c, w.v(2), at(reg.RDI), masked)
	})
	w.end()
}

// addRows adds four rows to a vector, one after the other: one load and store of dst for four of x.
func (w *vector) addRows() {
	w.function("addRows", "adds four rows of x, row bytes apart, to dst in their order, n elements.", "func(dst, x *float32, row int, n int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "x": reg.RSI})
	c := w.c
	c.Load(c.Param("row"), reg.R8)
	c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 2}, reg.R9)
	w.sweep([]reg.GPPhysical{reg.RDI, reg.RSI}, func(masked bool) {
		w.load(c, at(reg.RDI), w.v(0), masked)
		for r := range 4 {
			w.load(c, rowAddress(r), w.v(1), masked)
			c.VADDPS(w.v(1), w.v(0), w.v(0))
		}
		w.store(c, w.v(0), at(reg.RDI), masked)
	})
	w.end()
}

// dot sums four vectors at a time in four registers, so that the multiply-adds do not wait for each other.
func (w *vector) dot() {
	w.function("dot", "returns the inner product of x and y, n elements.", "func(x, y *float32, n int) float32",
		map[string]reg.GPPhysical{"x": reg.RSI, "y": reg.RDI})
	c := w.c
	for i := range 4 {
		w.zero(c, w.v(i))
	}
	c.SUBQ(operand.Imm(uint64(4*w.lanes)), reg.RCX)
	c.JLT(operand.LabelRef("few"))
	c.Label("four")
	for i := range 4 {
		m := operand.Mem{Base: reg.RSI, Disp: 4 * w.lanes * i}
		c.VMOVUPS(m, w.v(4+i))
		m.Base = reg.RDI
		c.VFMADD231PS(m, w.v(4+i), w.v(i))
	}
	c.ADDQ(operand.I32(16*w.lanes), reg.RSI)
	c.ADDQ(operand.I32(16*w.lanes), reg.RDI)
	c.SUBQ(operand.Imm(uint64(4*w.lanes)), reg.RCX)
	c.JGE(operand.LabelRef("four"))
	c.Label("few")
	c.ADDQ(operand.Imm(uint64(4*w.lanes)), reg.RCX)
	w.sweep([]reg.GPPhysical{reg.RSI, reg.RDI}, func(masked bool) {
		w.load(c, at(reg.RSI), w.v(4), masked)
		w.load(c, at(reg.RDI), w.v(5), masked)
		c.VFMADD231PS(w.v(5), w.v(4), w.v(0))
	})
	c.VADDPS(w.v(1), w.v(0), w.v(0))
	c.VADDPS(w.v(3), w.v(2), w.v(2))
	c.VADDPS(w.v(2), w.v(0), w.v(0))
	w.addLanes(0, 1)
	c.VZEROUPPER()
	c.Store(reg.X0, c.ReturnIndex(0))
	c.RET()
}

// flushTiny makes denormal operands and results zero until LDMXCSR(w.control). Moments of weights whose gradient stays zero decay
// into denormals, and each vector that meets one would cost a microcode assist.
func (w *vector) flushTiny() {
	c := w.c
	w.control = c.AllocLocal(8)
	changed := w.control.Offset(4)
	c.STMXCSR(w.control)
	c.MOVL(w.control, reg.EAX)
	c.ORL(operand.U32(1<<15|1<<6), reg.EAX)
	c.MOVL(reg.EAX, changed)
	c.LDMXCSR(changed)
}
