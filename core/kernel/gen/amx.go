package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The product by matrix tiles (AMX). A tile register holds 16 rows of 64 bytes; TDPBF16PS multiplies 16 × 32 bfloat16 of A by
// 32 × 16 of B into 16 × 16 float32. A float32 is the sum of three bfloat16 of 8 bits each, h + m + l (split.go), and its
// product the sum of nine, of which six count: hh, hm, mh, mm, hl, lh; the others are below 2⁻²⁵ of it.
//
//	             tiles of C   A       B       loads : products a step of 32
//	full         2 × 2: 0–3   4, 5    6, 7    14 : 24
//	16 rows      1 × 2: 0–1   4       6, 7    10 : 12
//	16 columns   2 × 1: 0, 2  4, 5    6       10 : 12
//
// The order lh mh mm hm hl hh changes one side at a time, the small ones first. Both operands come from the second-level cache,
// at about as many bytes a cycle as it gives: the next step of B is fetched ahead, some lines after each product.
//
// A split row tile of A, or column tile of B, is contiguous: for each step of 32 its h, m and l tile of 1 KB. Tiles that follow
// each other in a panel follow each other in memory. One call multiplies a panel of A by any number of column blocks of B and
// leaves the tile registers released, for their state is large and Go's scheduler knows nothing of it. The configuration
// says how many rows and columns of the tiles there are, so that edges need no code of their own.
//
// Registers: SI R8 row tiles of A, DI R9 column tiles of B, R10 64 (bytes from row to row of them), DX R11 row tiles of C, BX its
// row stride, CX steps left, R12 bytes of a row tile, R13 blocks left, AX scratch.
type matrixTile struct{ rows, cols int } // row tiles and column tiles

const (
	planeBytes = 1024           // a tile of one of the three parts
	stepBytes  = 3 * planeBytes // a tile of 32 steps of k, all three
)

func matrix(c *build.Context) {
	split(c)
	for _, t := range []matrixTile{{2, 2}, {2, 1}, {1, 2}, {1, 1}} {
		t.function(c)
	}
}

// function writes gemmTiles<rows>x<cols>AMX.
func (t matrixTile) function(c *build.Context) {
	name := fmt.Sprintf("gemmTiles%dx%dAMX", t.rows, t.cols)
	c.Function(name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(fmt.Sprintf("%s multiplies %d row tiles of A, split, by blocks blocks of %d column tiles of B, steps steps of 32 each.", name, t.rows, t.cols))
	c.SignatureExpr("func(config *byte, steps, blocks int, a, b *byte, c *float32, rowC int, acc bool)")
	c.Load(c.Param("config"), reg.RAX)
	loadTileConfig(c, reg.RAX)
	c.Load(c.Param("steps"), reg.R12)
	c.IMUL3Q(operand.U32(stepBytes), reg.R12, reg.R12)
	c.Load(c.Param("blocks"), reg.R13)
	c.Load(c.Param("b"), reg.RDI)
	c.Load(c.Param("c"), reg.RDX)
	c.Load(c.Param("rowC"), reg.RBX)
	c.MOVQ(operand.U32(64), reg.R10)

	c.Label("block")
	c.Load(c.Param("a"), reg.RSI)
	if t.rows > 1 {
		c.LEAQ(operand.Mem{Base: reg.RSI, Index: reg.R12, Scale: 1}, reg.R8)
		c.MOVQ(reg.RBX, reg.R11)
		c.SHLQ(operand.U8(4), reg.R11)
		c.ADDQ(reg.RDX, reg.R11)
	}
	if t.cols > 1 {
		c.LEAQ(operand.Mem{Base: reg.RDI, Index: reg.R12, Scale: 1}, reg.R9)
	}
	c.Load(c.Param("acc"), reg.AL)
	c.TESTB(reg.AL, reg.AL)
	c.JNE(operand.LabelRef("load"))
	t.eachSum(func(tile int, _ reg.GPPhysical, _ int) { tileZero(c, tile) })
	c.JMP(operand.LabelRef("sum"))
	c.Label("load")
	t.eachSum(func(tile int, base reg.GPPhysical, disp int) { tileLoad(c, tile, base, reg.RBX, disp) })

	c.Label("sum")
	c.Load(c.Param("steps"), reg.RCX)
	c.Label("loop")
	t.step(c)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("loop"))

	t.eachSum(func(tile int, base reg.GPPhysical, disp int) { tileStore(c, tile, base, reg.RBX, disp) })
	c.ADDQ(operand.U32(64*t.cols), reg.RDX)
	if t.cols > 1 {
		c.MOVQ(reg.R9, reg.RDI) // the end of the second column tile is the start of the next block
	}
	c.DECQ(reg.R13)
	c.JNE(operand.LabelRef("block"))
	tileRelease(c)
	c.VZEROUPPER()
	c.RET()
}

// eachSum visits the tiles of C: their register and where they lie.
func (t matrixTile) eachSum(visit func(tile int, base reg.GPPhysical, disp int)) {
	for r := range t.rows {
		for j := range t.cols {
			visit(2*r+j, []reg.GPPhysical{reg.RDX, reg.R11}[r], 64*j)
		}
	}
}

// step is 32 steps of k: the six products.
func (t matrixTile) step(c *build.Context) {
	const h, m, l = 0, planeBytes, 2 * planeBytes
	fetch := prefetcher{c: c, of: []reg.GPPhysical{reg.RDI, reg.R9}[:t.cols], each: (48*t.cols + 6*t.rows*t.cols - 1) / (6 * t.rows * t.cols)}
	loadedA, loadedB := -1, -1
	for _, p := range [][2]int{{l, h}, {m, h}, {m, m}, {h, m}, {h, l}, {h, h}} {
		if p[1] != loadedB {
			loadedB = p[1]
			for j := range t.cols {
				tileLoad(c, 6+j, []reg.GPPhysical{reg.RDI, reg.R9}[j], reg.R10, loadedB)
			}
		}
		if p[0] != loadedA {
			loadedA = p[0]
			for r := range t.rows {
				tileLoad(c, 4+r, []reg.GPPhysical{reg.RSI, reg.R8}[r], reg.R10, loadedA)
			}
		}
		for r := range t.rows {
			for j := range t.cols {
				tileMultiply(c, 2*r+j, 4+r, 6+j)
				fetch.some()
			}
		}
	}
	for _, r := range append([]reg.GPPhysical{reg.RSI, reg.R8}[:t.rows], []reg.GPPhysical{reg.RDI, reg.R9}[:t.cols]...) {
		c.ADDQ(operand.U32(stepBytes), r)
	}
}

// prefetcher spreads the cache lines of the next step of B over this one's products.
type prefetcher struct {
	c          *build.Context
	of         []reg.GPPhysical
	each, next int
}

func (p *prefetcher) some() {
	const lines = stepBytes / 64
	for range p.each {
		if p.next == lines*len(p.of) {
			return
		}
		p.c.PREFETCHT0(operand.Mem{Base: p.of[p.next/lines], Disp: stepBytes + p.next%lines*64})
		p.next++
	}
}
