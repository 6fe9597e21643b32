package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// split writes splitTileAMX, which writes float32 as tiles of three bfloat16 parts: x = h + m + l, exactly unless x is so small
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
// Registers: DI dst, SI src, R8 row, R9 second, R10 row count, R11 src of the row, R12 dst of the row, CX steps left, AX scratch; K1 and K2 the lanes
// of the two vectors, Z30 and Z31 half of the last place and the bits kept.
func split(c *build.Context) {
	c.Function("splitTileAMX")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc("splitTileAMX writes steps tiles of both + first + zero rows. A row is made of lanes0 elements at src and lanes1 at src + second;",
		"the rows after the first both have nothing at src + second, and the last zero rows nothing at all. Strides are in bytes.")
	c.SignatureExpr("func(dst *byte, dstStep int, src *float32, row, second, step, steps, both, first, zero, lanes0, lanes1 int)")
	for i, name := range []string{"lanes0", "lanes1"} {
		c.Load(c.Param(name), reg.RAX)
		c.MOVQ(operand.I32(-1), reg.R11)
		c.BZHIQ(reg.RAX, reg.R11, reg.R11)
		c.KMOVW(reg.R11L, []reg.OpmaskPhysical{reg.K1, reg.K2}[i])
	}
	c.MOVL(operand.U32(0x8000), reg.EAX)
	c.VPBROADCASTD(reg.EAX, reg.Z30)
	c.MOVL(operand.U32(0xffff0000), reg.EAX)
	c.VPBROADCASTD(reg.EAX, reg.Z31)
	c.Load(c.Param("dst"), reg.RDI)
	c.Load(c.Param("src"), reg.RSI)
	c.Load(c.Param("row"), reg.R8)
	c.Load(c.Param("second"), reg.R9)
	c.Load(c.Param("steps"), reg.RCX)

	c.Label("step")
	c.MOVQ(reg.RSI, reg.R11)
	c.MOVQ(reg.RDI, reg.R12)
	splitRows(c, "both", 2)
	splitRows(c, "first", 1)
	splitRows(c, "zero", 0)
	c.Load(c.Param("dstStep"), reg.RAX)
	c.ADDQ(reg.RAX, reg.RDI)
	c.Load(c.Param("step"), reg.RAX)
	c.ADDQ(reg.RAX, reg.RSI)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("step"))
	c.VZEROUPPER()
	c.RET()
}

// splitRows writes the loop over the rows that have so many vectors.
func splitRows(c *build.Context, param string, vectors int) {
	c.Load(c.Param(param), reg.R10)
	c.TESTQ(reg.R10, reg.R10)
	c.JEQ(operand.LabelRef(param + "_end"))
	c.Label(param + "_loop")
	x := func(part, v int) reg.VecPhysical { return zmm[6*v+part] }
	for v := range vectors {
		at := operand.Mem{Base: reg.R11}
		if v == 1 {
			at.Index, at.Scale = reg.R9, 1
		}
		c.VMOVUPS_Z(at, []reg.OpmaskPhysical{reg.K1, reg.K2}[v], x(0, v))
	}
	for v := range vectors {
		c.VPADDD(reg.Z30, x(0, v), x(1, v))
		c.VPANDD(reg.Z31, x(1, v), x(1, v))
		c.VSUBPS(x(1, v), x(0, v), x(0, v))
		c.VPADDD(reg.Z30, x(0, v), x(2, v))
		c.VPANDD(reg.Z31, x(2, v), x(2, v))
		c.VSUBPS(x(2, v), x(0, v), x(3, v))
	}
	for part := 1; part <= 3; part++ {
		low := x(part, 0)
		switch vectors {
		case 0:
			c.VPXORD(low, low, low)
		case 1:
			c.VPSRLD(operand.U8(16), low, low)
		case 2:
			c.VPSRLD(operand.U8(16), low, low)
			c.VPORD(x(part, 1), low, low)
		}
		c.VMOVDQU32(low, operand.Mem{Base: reg.R12, Disp: (part - 1) * planeBytes})
	}
	c.ADDQ(reg.R8, reg.R11)
	c.ADDQ(operand.U8(64), reg.R12)
	c.DECQ(reg.R10)
	c.JNE(operand.LabelRef(param + "_loop"))
	c.Label(param + "_end")
}
