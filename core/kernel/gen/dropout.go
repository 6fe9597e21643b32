package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// weyl is what splitmix64's counter goes up by.
const weyl = 0x9e3779b97f4a7c15

// dropout writes masks of splitmix64's numbers: eight numbers at a time are the 32 lanes of 16 bits that decide 32 elements, in their order. It needs
// AVX-512's 64-bit products; elsewhere the mask is drawn in Go.
//
// Registers: Z0 counter, Z1 bits, Z2 scratch, Z3 bound, Z4 scale, Z5 counter's step.
func dropout(c *build.Context) {
	quads := func(name string, value func(i int) uint64) operand.Mem {
		m := c.StaticGlobal(name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range 8 {
			c.AddDatum(8*i, operand.U64(value(i)))
		}
		return m
	}
	steps := quads("dropoutSteps", func(i int) uint64 { w := uint64(weyl); return uint64(i) * w })
	stride := quads("dropoutStride", func(int) uint64 { w := uint64(weyl); return 8 * w })
	first := quads("dropoutFirst", func(int) uint64 { return 0xbf58476d1ce4e5b9 })
	second := quads("dropoutSecond", func(int) uint64 { return 0x94d049bb133111eb })

	c.Function("dropoutAVX512")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc("dropoutAVX512 multiplies blocks of 32 elements of x by scale where their lanes are above bound and by 0 where they are below, and returns how many " +
		"blocks that was: it stops at one with a lane that equals bound. counter is that of the first lane.")
	c.SignatureExpr("func(dst, x *float32, blocks int, counter uint64, bound uint16, scale float32) int")
	c.Load(c.Param("dst"), reg.RDI)
	c.Load(c.Param("x"), reg.RSI)
	c.Load(c.Param("blocks"), reg.RCX)
	c.Load(c.Param("counter"), reg.RAX)
	c.Load(c.Param("bound"), reg.BX)
	scale, err := c.Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	c.VPBROADCASTQ(reg.RAX, reg.Z0)
	c.VPADDQ(steps, reg.Z0, reg.Z0)
	c.VPBROADCASTW(reg.EBX, reg.Z3)
	c.VBROADCASTSS(scale.Addr, reg.Z4)
	c.VMOVDQU64(stride, reg.Z5)
	c.XORQ(reg.RDX, reg.RDX)
	c.Label("block")
	c.CMPQ(reg.RDX, reg.RCX)
	c.JGE(operand.LabelRef("done"))
	c.VPSRLQ(operand.U8(30), reg.Z0, reg.Z1)
	c.VPXORQ(reg.Z0, reg.Z1, reg.Z1)
	c.VPMULLQ(first, reg.Z1, reg.Z1)
	c.VPSRLQ(operand.U8(27), reg.Z1, reg.Z2)
	c.VPXORQ(reg.Z2, reg.Z1, reg.Z1)
	c.VPMULLQ(second, reg.Z1, reg.Z1)
	c.VPSRLQ(operand.U8(31), reg.Z1, reg.Z2)
	c.VPXORQ(reg.Z2, reg.Z1, reg.Z1)
	c.VPCMPUW(operand.U8(0), reg.Z3, reg.Z1, reg.K2)
	c.KORTESTD(reg.K2, reg.K2)
	c.JNE(operand.LabelRef("done"))
	c.VPCMPUW(operand.U8(5), reg.Z3, reg.Z1, reg.K2)
	c.KSHIFTRD(operand.U8(16), reg.K2, reg.K3)
	c.VMOVAPS_Z(reg.Z4, reg.K2, reg.Z1)
	c.VMOVAPS_Z(reg.Z4, reg.K3, reg.Z2)
	c.VMULPS(operand.Mem{Base: reg.RSI}, reg.Z1, reg.Z1)
	c.VMULPS(operand.Mem{Base: reg.RSI, Disp: 64}, reg.Z2, reg.Z2)
	c.VMOVUPS(reg.Z1, operand.Mem{Base: reg.RDI})
	c.VMOVUPS(reg.Z2, operand.Mem{Base: reg.RDI, Disp: 64})
	c.VPADDQ(reg.Z5, reg.Z0, reg.Z0)
	c.ADDQ(operand.I32(128), reg.RSI)
	c.ADDQ(operand.I32(128), reg.RDI)
	c.INCQ(reg.RDX)
	c.JMP(operand.LabelRef("block"))
	c.Label("done")
	c.VZEROUPPER()
	c.Store(reg.RDX, c.ReturnIndex(0))
	c.RET()
}
