package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The product's tile is rows × vectors of C, held in registers while k runs. Each step of k loads one row of the tile of B, and
// for every row broadcasts one element of A and multiplies it in.
//
//	          tile     sums  B  broadcasts      loads : FMAs a step
//	AVX-512   8 × 48   24    3  4 of 32         11 : 24
//	          12 × 32  24    2  4 of 32         14 : 24     (the products of attention, a few rows and columns each)
//	AVX2      6 × 16   12    2  1 of 16         8 : 12     (Y15 is the lane mask)
//
// Both keep two multiply-add units busy: enough independent sums for a latency of four, fewer loads than multiply-adds. A is
// read through two strides, so A and its transpose are the same code; B through a row stride, so it may lie in place or in a
// packed panel. A masked load takes a slot of a multiply-add unit on Intel, so full panels have their own code. The sums of one element run in the order of k and start from C when acc is set: cutting k changes no bit.
//
// Registers: CX steps left, SI a and R14 its ninth row, R8 R9 R10 R11 its row stride × 1 3 5 7, R12 stepA, DI b, R13 stepB, DX c, BX rowC, AX and R15 scratch.
type tile struct {
	isa
	vectors int
	masked  bool // the last vector has only lanes lanes
}

const unroll = 4

func gemm(c *build.Context, s isa) {
	s.maskTable(c)
	if s.wide {
		for _, t := range []struct{ vectors, rows int }{{3, 8}, {2, 12}, {1, 12}} {
			tile{s, t.vectors, false}.function(c, t.rows)
			tile{s, t.vectors, true}.function(c, t.rows)
		}
		return
	}
	tile{s, 2, false}.function(c, 6)
	tile{s, 2, true}.function(c, 6)
	tile{s, 1, true}.function(c, 6)
}

// function writes gemm<columns>[Masked]<ISA>, which does any number of rows up to maxRows.
func (t tile) function(c *build.Context, maxRows int) {
	name := fmt.Sprintf("gemm%d%s", t.vectors*t.lanes, t.name)
	if t.masked {
		name = fmt.Sprintf("gemm%dMasked%s", t.vectors*t.lanes, t.name)
	}
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	doc := fmt.Sprintf("%s computes a tile of C of %d columns and rows rows, 1 to %d. Strides are in bytes.", name, t.vectors*t.lanes, maxRows)
	if t.masked {
		doc += fmt.Sprintf(" Of the last %d columns only the first lanes are touched.", t.lanes)
	}
	c.Doc(doc)
	c.SignatureExpr("func(rows, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool, lanes int)")
	if t.masked {
		t.setMask(c, reg.RAX)
	}
	c.Load(c.Param("k"), reg.RCX)
	c.Load(c.Param("a"), reg.RSI)
	c.Load(c.Param("rowA"), reg.R8)
	c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 2}, reg.R9)
	c.LEAQ(operand.Mem{Base: reg.R8, Index: reg.R8, Scale: 4}, reg.R10)
	c.LEAQ(operand.Mem{Base: reg.R9, Index: reg.R8, Scale: 4}, reg.R11)
	c.Load(c.Param("stepA"), reg.R12)
	c.Load(c.Param("b"), reg.RDI)
	c.Load(c.Param("stepB"), reg.R13)
	c.Load(c.Param("c"), reg.RDX)
	c.Load(c.Param("rowC"), reg.RBX)
	c.Load(c.Param("rows"), reg.RAX)
	for rows := maxRows; rows > 1; rows-- {
		c.CMPQ(reg.RAX, operand.U8(rows))
		c.JE(operand.LabelRef(label(rows, "start")))
	}
	for rows := 1; rows <= maxRows; rows++ {
		t.rows(c, rows)
	}
}

func label(rows int, what string) string { return fmt.Sprintf("rows%d_%s", rows, what) }

// rows writes the code for one number of rows.
func (t tile) rows(c *build.Context, rows int) {
	c.Label(label(rows, "start"))
	if rows > 8 {
		c.LEAQ(operand.Mem{Base: reg.RSI, Index: reg.R8, Scale: 8}, reg.R14)
	}
	c.Load(c.Param("acc"), reg.AL)
	c.TESTB(reg.AL, reg.AL)
	c.JNE(operand.LabelRef(label(rows, "load")))
	for i := range rows * t.vectors {
		t.zero(c, t.v(i))
	}
	c.JMP(operand.LabelRef(label(rows, "sum")))
	c.Label(label(rows, "load"))
	t.eachC(c, rows, func(r, j int, m operand.Mem, masked bool) { t.load(c, m, t.v(r*t.vectors+j), masked) })

	c.Label(label(rows, "sum"))
	c.SUBQ(operand.U8(unroll), reg.RCX)
	c.JLT(operand.LabelRef(label(rows, "rest")))
	c.Label(label(rows, "loop"))
	for range unroll {
		t.step(c, rows)
	}
	c.SUBQ(operand.U8(unroll), reg.RCX)
	c.JGE(operand.LabelRef(label(rows, "loop")))
	c.Label(label(rows, "rest"))
	c.ADDQ(operand.U8(unroll), reg.RCX)
	c.JEQ(operand.LabelRef(label(rows, "store")))
	c.Label(label(rows, "single"))
	t.step(c, rows)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef(label(rows, "single")))

	c.Label(label(rows, "store"))
	t.eachC(c, rows, func(r, j int, m operand.Mem, masked bool) { t.store(c, t.v(r*t.vectors+j), m, masked) })
	c.VZEROUPPER()
	c.RET()
}

// eachC visits the vectors of the tile of C in memory, row by row.
func (t tile) eachC(c *build.Context, rows int, visit func(r, j int, m operand.Mem, masked bool)) {
	c.MOVQ(reg.RDX, reg.RAX)
	for r := range rows {
		for j := range t.vectors {
			visit(r, j, operand.Mem{Base: reg.RAX, Disp: j * t.lanes * 4}, t.masked && j == t.vectors-1)
		}
		if r < rows-1 {
			c.ADDQ(reg.RBX, reg.RAX)
		}
	}
}

// step is one step of k.
func (t tile) step(c *build.Context, rows int) {
	b := 12
	if t.wide {
		b = 24
	}
	for j := range t.vectors {
		t.load(c, operand.Mem{Base: reg.RDI, Disp: j * t.lanes * 4}, t.v(b+j), t.masked && j == t.vectors-1)
	}
	c.ADDQ(reg.R13, reg.RDI)
	for r := range rows {
		x := t.v(14)
		if t.wide {
			x = t.v(28 + r%4)
		}
		c.VBROADCASTSS(rowAddress(r), x)
		for j := range t.vectors {
			c.VFMADD231PS(t.v(b+j), x, t.v(r*t.vectors+j))
		}
	}
	c.ADDQ(reg.R12, reg.RSI)
	if rows > 8 {
		c.ADDQ(reg.R12, reg.R14)
	}
}

// rowAddress is the address of row r of A, 0 to 15, from two bases and the multiples of the row stride.
func rowAddress(r int) operand.Mem {
	m := operand.Mem{Base: reg.RSI, Scale: 1}
	if r >= 8 {
		m.Base, r = reg.R14, r-8
	}
	switch r {
	case 0:
		return operand.Mem{Base: m.Base}
	case 1, 2, 4:
		m.Index, m.Scale = reg.R8, uint8(r)
	case 3, 6:
		m.Index, m.Scale = reg.R9, uint8(r/3)
	case 5:
		m.Index = reg.R10
	case 7:
		m.Index = reg.R11
	}
	return m
}
