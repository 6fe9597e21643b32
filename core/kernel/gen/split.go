package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// split writes splitRowsAMX, which writes float32 as tiles of three bfloat16 parts: x = h + m + l, exactly unless x is so small
// that a part is denormal.
//
//	h = x rounded to 8 bits, m = x − h rounded to 8 bits, l = x − h − m, which has no more than 8
//
// Rounding is to the nearest, by adding half of the last place and cutting; the subtractions are exact. Infinity, NaN and what
// rounds to infinity come out with a part NaN, since infinity less infinity is.
//
// TDPBF16PS takes steps of k by pairs, one in each half of a double word. Which steps pair is free as long as A and B agree: here k
// and k + 16. So a row of a tile is made of two vectors as they lie in memory: of A, 16 steps of a row and the 16 after them; of B,
// 16 columns of a row and of the sixteenth row after it.
//
// Registers: DI dst, SI src, R8 srcInner, R9 second, R10 dstInner, R11 src and R12 dst of the row, R13 inner count, CX outer count, AX scratch; K1 and K2 the lanes
// of the two vectors, Z30 and Z31 half of the last place and the bits kept.
func split(c *build.Context) {
	c.Function("splitRowsAMX")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc("splitRowsAMX writes outer times inner rows of tiles. A row is made of lanes0 elements at src and lanes1 at src + second, and",
		"zeros. Strides are in bytes.")
	c.SignatureExpr("func(dst *byte, dstOuter, dstInner int, src *float32, srcOuter, srcInner, second, outer, inner, lanes0, lanes1 int)")
	lanes := []reg.OpmaskPhysical{reg.K1, reg.K2}
	for i, name := range []string{"lanes0", "lanes1"} {
		c.Load(c.Param(name), reg.RAX)
		c.MOVQ(operand.I32(-1), reg.R11)
		c.BZHIQ(reg.RAX, reg.R11, reg.R11)
		c.KMOVW(reg.R11L, lanes[i])
	}
	c.MOVL(operand.U32(0x8000), reg.EAX)
	c.VPBROADCASTD(reg.EAX, reg.Z30)
	c.MOVL(operand.U32(0xffff0000), reg.EAX)
	c.VPBROADCASTD(reg.EAX, reg.Z31)
	c.Load(c.Param("dst"), reg.RDI)
	c.Load(c.Param("src"), reg.RSI)
	c.Load(c.Param("srcInner"), reg.R8)
	c.Load(c.Param("second"), reg.R9)
	c.Load(c.Param("dstInner"), reg.R10)
	c.Load(c.Param("outer"), reg.RCX)

	c.Label("outer")
	c.MOVQ(reg.RSI, reg.R11)
	c.MOVQ(reg.RDI, reg.R12)
	c.Load(c.Param("inner"), reg.R13)
	c.Label("inner")
	splitRow(c, lanes)
	c.ADDQ(reg.R8, reg.R11)
	c.ADDQ(reg.R10, reg.R12)
	c.DECQ(reg.R13)
	c.JNE(operand.LabelRef("inner"))
	for _, next := range []struct {
		stride  string
		pointer reg.GPPhysical
	}{{"dstOuter", reg.RDI}, {"srcOuter", reg.RSI}} {
		c.Load(c.Param(next.stride), reg.RAX)
		c.ADDQ(reg.RAX, next.pointer)
	}
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("outer"))
	c.VZEROUPPER()
	c.RET()
}

// splitRow splits two vectors at R11 and R11 + R9 to the three parts of a row at R12.
func splitRow(c *build.Context, lanes []reg.OpmaskPhysical) {
	x := func(part, v int) reg.VecPhysical { return zmm[4*v+part] } // part 0 is what is left
	c.VMOVUPS_Z(operand.Mem{Base: reg.R11}, lanes[0], x(0, 0))
	c.VMOVUPS_Z(operand.Mem{Base: reg.R11, Index: reg.R9, Scale: 1}, lanes[1], x(0, 1))
	for part := 1; part <= 2; part++ {
		for v := range 2 {
			c.VPADDD(reg.Z30, x(0, v), x(part, v))
			c.VPANDD(reg.Z31, x(part, v), x(part, v))
			c.VSUBPS(x(part, v), x(0, v), x(0, v))
		}
	}
	c.VPANDD(reg.Z31, x(0, 1), x(0, 1)) // a denormal rest has more bits than a part, which would end up in the other half
	for i, part := range []int{1, 2, 0} {
		c.VPSRLD(operand.U8(16), x(part, 0), x(part, 0))
		c.VPORD(x(part, 1), x(part, 0), x(part, 0))
		c.VMOVDQU32(x(part, 0), operand.Mem{Base: reg.R12, Disp: i * planeBytes})
	}
}
