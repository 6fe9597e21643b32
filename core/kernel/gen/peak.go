package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakChains is the number of independent chains of multiply-adds: latency 4 × 2 units, with room.
const peakChains = 12

// peak writes the loop whose speed is the machine's peak: multiply-adds between registers and nothing else.
func peak(c *build.Context, s isa) {
	c.Function("fmaLoop" + s.name)
	c.Attributes(attr.NOSPLIT)
	c.Doc("fmaLoop" + s.name + " runs rounds rounds of 12 independent multiply-adds between registers.")
	c.SignatureExpr("func(rounds int)")
	c.Load(c.Param("rounds"), reg.RCX)
	for i := range peakChains + 2 {
		s.zero(c, s.v(i))
	}
	c.Label("loop")
	for i := range peakChains {
		c.VFMADD231PS(s.v(peakChains), s.v(peakChains+1), s.v(i))
	}
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("loop"))
	c.VZEROUPPER()
	c.RET()
}
