package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fetch writes the loop that asks for cache lines.
func fetch(c *build.Context) {
	c.Function("fetchLines")
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc("fetchLines asks for lines cache lines from x on, for the second-level cache.")
	c.SignatureExpr("func(x *float32, lines int)")
	c.Load(c.Param("x"), reg.RSI)
	c.Load(c.Param("lines"), reg.RCX)
	c.Label("loop")
	c.PREFETCHT1(operand.Mem{Base: reg.RSI})
	c.ADDQ(operand.U8(64), reg.RSI)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("loop"))
	c.RET()
}
