package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose writes transpose<lanes><ISA>: blocks of lanes × lanes elements are loaded by rows, interleaved in registers first by
// elements, then by pairs, then by 128-bit quarters, and stored by columns.
//
// Registers: CX blocks left, SI src, R8 R9 R10 R11 its row stride × 1 3 5 7, DI src + 8 rows, DX dst, BX dstRow.
func transpose(c *build.Context, s isa) {
	name := fmt.Sprintf("transpose%d%s", s.lanes, s.name)
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(fmt.Sprintf("%s writes the transpose of src, %d rows of %d·blocks elements, to dst. Strides are in bytes.", name, s.lanes, s.lanes))
	c.SignatureExpr("func(dst *float32, dstRow int, src *float32, srcRow int, blocks int)")
	c.Load(c.Param("blocks"), reg.RCX)
	c.Load(c.Param("src"), reg.RSI)
	c.Load(c.Param("srcRow"), reg.R8)
	c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 2}, reg.R9)
	c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 4}, reg.R10)
	c.LEAQ(operand.Mem{Base: reg.R9, Index: reg.R8, Scale: 4}, reg.R11)
	if s.wide {
		c.LEAQ(operand.Mem{Base: reg.RSI, Index: reg.R8, Scale: 8}, reg.RDI)
	}
	c.Load(c.Param("dst"), reg.RDX)
	c.Load(c.Param("dstRow"), reg.RBX)
	c.Label("block")
	for r := range s.lanes {
		m := rowAddress(r % 8)
		if r >= 8 {
			m.Base = reg.RDI
		}
		c.VMOVUPS(m, s.v(r))
	}
	for _, r := range s.interleave(c) {
		c.VMOVUPS(s.v(r), operand.Mem{Base: reg.RDX})
		c.ADDQ(reg.RBX, reg.RDX)
	}
	c.ADDQ(operand.U8(4*s.lanes), reg.RSI)
	if s.wide {
		c.ADDQ(operand.U8(4*s.lanes), reg.RDI)
	}
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// interleave transposes the rows in the lower half of the registers and returns where the columns are.
func (s isa) interleave(c *build.Context) []int {
	n := s.lanes
	for i := 0; i < n; i += 2 {
		c.VUNPCKLPS(s.v(i+1), s.v(i), s.v(n+i))
		c.VUNPCKHPS(s.v(i+1), s.v(i), s.v(n+i+1))
	}
	for i := 0; i < n; i += 4 {
		for j := range 2 {
			c.VUNPCKLPD(s.v(n+i+j+2), s.v(n+i+j), s.v(i+2*j))
			c.VUNPCKHPD(s.v(n+i+j+2), s.v(n+i+j), s.v(i+2*j+1))
		}
	}
	out := make([]int, n)
	for i := range 4 {
		if !s.wide {
			c.VPERM2F128(operand.U8(0x20), s.v(4+i), s.v(i), s.v(8+i))
			c.VPERM2F128(operand.U8(0x31), s.v(4+i), s.v(i), s.v(12+i))
			out[i], out[4+i] = 8+i, 12+i
			continue
		}
		const even, odd = operand.U8(0x88), operand.U8(0xdd)
		t := 16 + 4*i
		c.VSHUFF32X4(even, s.v(4+i), s.v(i), s.v(t))
		c.VSHUFF32X4(odd, s.v(4+i), s.v(i), s.v(t+1))
		c.VSHUFF32X4(even, s.v(12+i), s.v(8+i), s.v(t+2))
		c.VSHUFF32X4(odd, s.v(12+i), s.v(8+i), s.v(t+3))
		c.VSHUFF32X4(even, s.v(t+2), s.v(t), s.v(i))
		c.VSHUFF32X4(odd, s.v(t+2), s.v(t), s.v(8+i))
		c.VSHUFF32X4(even, s.v(t+3), s.v(t+1), s.v(4+i))
		c.VSHUFF32X4(odd, s.v(t+3), s.v(t+1), s.v(12+i))
		out[i], out[4+i], out[8+i], out[12+i] = i, 4+i, 8+i, 12+i
	}
	return out
}
