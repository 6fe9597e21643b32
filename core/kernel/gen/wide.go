package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wide is the product's tile for one or two rows: a tile as wide as the others' would have too few sums to hide the latency of a
// multiply-add, so it is as wide as the registers allow, and as fast as B arrives from the second-level cache.
//
//	          tile                sums       B  broadcasts
//	AVX-512   1 × 240, 2 × 192    15 or 24   1  1 or 2 of 32
//	AVX2      1 × 80              10         1  1 of 16        (Y15 is the lane mask)
//
// Registers: CX steps left, SI a, R8 rowA, R12 stepA, DI b, R13 stepB, DX c, BX rowC, AX scratch.
type wide struct {
	isa
	rows    int
	vectors int // at most
}

func wides(c *build.Context, s isa) {
	if s.wide {
		wide{s, 1, 15}.function(c)
		wide{s, 2, 12}.function(c)
		return
	}
	wide{s, 1, 10}.function(c)
}

func (t wide) function(c *build.Context) {
	name := fmt.Sprintf("gemmWide%d%s", t.rows, t.name)
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(fmt.Sprintf("%s computes a tile of C of %d rows and vectors vectors, 1 to %d, of the last of which only the first lanes columns are touched. "+
		"Strides are in bytes.", name, t.rows, t.vectors))
	c.SignatureExpr("func(vectors, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool, lanes int)")
	t.setMask(c, reg.RAX)
	c.Load(c.Param("k"), reg.RCX)
	c.Load(c.Param("a"), reg.RSI)
	c.Load(c.Param("rowA"), reg.R8)
	c.Load(c.Param("stepA"), reg.R12)
	c.Load(c.Param("b"), reg.RDI)
	c.Load(c.Param("stepB"), reg.R13)
	c.Load(c.Param("c"), reg.RDX)
	c.Load(c.Param("rowC"), reg.RBX)
	c.Load(c.Param("vectors"), reg.RAX)
	for v := t.vectors; v > 1; v-- {
		c.CMPQ(reg.RAX, operand.U8(v))
		c.JE(operand.LabelRef(fmt.Sprintf("vectors%d", v)))
	}
	for v := 1; v <= t.vectors; v++ {
		t.body(c, v)
	}
}

// body writes the code for one number of vectors.
func (t wide) body(c *build.Context, vectors int) {
	label := func(what string) string { return fmt.Sprintf("vectors%d%s", vectors, what) }
	eachC := func(visit func(i int, m operand.Mem, masked bool)) {
		for r := range t.rows {
			for j := range vectors {
				m := operand.Mem{Base: reg.RDX, Disp: 4 * t.lanes * j}
				if r == 1 {
					m.Index, m.Scale = reg.RBX, 1
				}
				visit(r*vectors+j, m, j == vectors-1)
			}
		}
	}
	c.Label(label(""))
	c.Load(c.Param("acc"), reg.AL)
	c.TESTB(reg.AL, reg.AL)
	c.JNE(operand.LabelRef(label("load")))
	for i := range t.rows * vectors {
		t.zero(c, t.v(i))
	}
	c.JMP(operand.LabelRef(label("loop")))
	c.Label(label("load"))
	eachC(func(i int, m operand.Mem, masked bool) { t.load(c, m, t.v(i), masked) })
	c.Label(label("loop"))
	b, x := t.v(t.rows*t.vectors), t.rows*t.vectors+1
	for r := range t.rows {
		c.VBROADCASTSS(rowAddress(r), t.v(x+r))
	}
	for j := range vectors {
		t.load(c, operand.Mem{Base: reg.RDI, Disp: 4 * t.lanes * j}, b, j == vectors-1)
		for r := range t.rows {
			c.VFMADD231PS(b, t.v(x+r), t.v(r*vectors+j))
		}
	}
	c.ADDQ(reg.R12, reg.RSI)
	c.ADDQ(reg.R13, reg.RDI)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef(label("loop")))
	eachC(func(i int, m operand.Mem, masked bool) { t.store(c, t.v(i), m, masked) })
	c.VZEROUPPER()
	c.RET()
}
