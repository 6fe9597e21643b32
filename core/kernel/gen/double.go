package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// doubles writes the reductions of float32 that accumulate in float64: half as many lanes, whole vectors only (the caller does
// the rest). Multiplications and additions are not fused, so that a column's moments have the bits of the plain loop.
func doubles(c *build.Context, s isa) {
	half := s.lanes / 2
	begin := func(name, doc, signature string) {
		c.Function(name + s.name)
		c.Attributes(attr.NOSPLIT)
		c.Pragma("noescape")
		c.Doc(name + s.name + " " + doc)
		c.SignatureExpr(signature)
		c.Load(c.Param("vectors"), reg.RCX)
	}
	widen := func(m operand.Mem, i int) { c.VCVTPS2PD(m, s.v(i)) }

	total := func(name, what string, add func(i int)) {
		begin(name, "returns the "+what+" of x, vectors vectors of "+digits(half)+" elements.", "func(x *float32, vectors int) float64")
		c.Load(c.Param("x"), reg.RSI)
		for i := range 4 {
			s.zero(c, s.v(i))
		}
		c.SUBQ(operand.U8(4), reg.RCX)
		c.JLT(operand.LabelRef("few"))
		c.Label("four")
		for i := range 4 {
			widen(operand.Mem{Base: reg.RSI, Disp: 4 * half * i}, 4+i)
			add(i)
		}
		c.ADDQ(operand.Imm(uint64(16*half)), reg.RSI)
		c.SUBQ(operand.U8(4), reg.RCX)
		c.JGE(operand.LabelRef("four"))
		c.Label("few")
		c.ADDQ(operand.U8(4), reg.RCX)
		c.JEQ(operand.LabelRef("done"))
		c.Label("one")
		widen(operand.Mem{Base: reg.RSI}, 4)
		add(0)
		c.ADDQ(operand.U8(4*half), reg.RSI)
		c.DECQ(reg.RCX)
		c.JNE(operand.LabelRef("one"))
		c.Label("done")
		c.VADDPD(s.v(1), s.v(0), s.v(0))
		c.VADDPD(s.v(3), s.v(2), s.v(2))
		c.VADDPD(s.v(2), s.v(0), s.v(0))
		if s.wide {
			c.VEXTRACTF64X4(operand.U8(1), reg.Z0, reg.Y1)
			c.VADDPD(reg.Y1, reg.Y0, reg.Y0)
		}
		c.VEXTRACTF128(operand.U8(1), reg.Y0, reg.X1)
		c.VADDPD(reg.X1, reg.X0, reg.X0)
		c.VPERMILPD(operand.U8(1), reg.X0, reg.X1)
		c.VADDSD(reg.X1, reg.X0, reg.X0)
		c.VZEROUPPER()
		c.Store(reg.X0, c.ReturnIndex(0))
		c.RET()
	}
	total("sum", "sum", func(i int) { c.VADDPD(s.v(4+i), s.v(i), s.v(i)) })
	total("sumSquares", "sum of the squares", func(i int) {
		c.VMULPD(s.v(4+i), s.v(4+i), s.v(4+i))
		c.VADDPD(s.v(4+i), s.v(i), s.v(i))
	})

	columns := func(name, doc, signature string, add func(pointer operand.Mem)) {
		begin(name, doc, signature)
		c.Load(c.Param("dst"), reg.RDI)
		c.Load(c.Param("x"), reg.RSI)
		c.Load(c.Param("row"), reg.R8)
		c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 2}, reg.R9)
		if name == "addDeviations" {
			c.Load(c.Param("mean"), reg.RDX)
		}
		c.Label("loop")
		c.VMOVUPS(at(reg.RDI), s.v(0))
		if name == "addDeviations" {
			c.VMOVUPS(at(reg.RDX), s.v(2))
			c.ADDQ(operand.U8(8*half), reg.RDX)
		}
		for r := range 4 {
			add(rowAddress(r))
		}
		c.VMOVUPS(s.v(0), at(reg.RDI))
		c.ADDQ(operand.U8(8*half), reg.RDI)
		c.ADDQ(operand.U8(4*half), reg.RSI)
		c.DECQ(reg.RCX)
		c.JNE(operand.LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
	columns("addDoubles", "adds four rows of x, row bytes apart, to dst in their order, vectors vectors of "+digits(half)+" elements.",
		"func(dst *float64, x *float32, row int, vectors int)", func(m operand.Mem) {
			widen(m, 1)
			c.VADDPD(s.v(1), s.v(0), s.v(0))
		})
	columns("addDeviations", "adds the squares of what four rows of x, row bytes apart, are from mean to dst in their order, vectors vectors of "+digits(half)+" elements.",
		"func(dst, mean *float64, x *float32, row int, vectors int)", func(m operand.Mem) {
			widen(m, 1)
			c.VSUBPD(s.v(2), s.v(1), s.v(1))
			c.VMULPD(s.v(1), s.v(1), s.v(1))
			c.VADDPD(s.v(1), s.v(0), s.v(0))
		})
}

func digits(n int) string { return string(rune('0' + n)) }
