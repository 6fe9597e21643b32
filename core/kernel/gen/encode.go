package main

import (
	"encoding/binary"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Neither avo nor Go's assembler knows the tile instructions, so their bytes are written out. All have a three-byte VEX prefix
// (Intel's Software Developer's Manual, volume 2, 2.3.5) in the opcode map 0F38, W0, 128 bits:
//
//	C4 | R̄ X̄ B̄ 00010 | 0 v̄v̄v̄v̄ 0 pp | opcode | ModRM | SIB and disp32 where there is memory
//
// R, X and B are the fourth bits of the ModRM register, the index and the base, inverted as v is; pp stands for a prefix 66, F3 or F2.
const (
	ppNone = iota
	pp66
	ppF3
	ppF2
)

func vex(opcode, pp byte, v, index, base int) []byte {
	second := byte(0xc2) // R̄ and X̄, and the opcode map
	if index >= 8 {
		second &^= 0x40
	}
	if base < 8 {
		second |= 0x20
	}
	return []byte{0xc4, second, byte(^v&15)<<3 | pp, opcode}
}

// registers encodes an instruction of tile registers: r in ModRM's reg, m in its rm, and v.
func registers(opcode, pp byte, r, m, v int) []byte {
	return append(vex(opcode, pp, v, 0, 0), 0xc0|byte(r)<<3|byte(m))
}

// memory encodes an instruction with tile r and the rows at base + disp, base + disp + index, base + disp + 2·index …
func memory(opcode, pp byte, r, base, index, disp int) []byte {
	b := append(vex(opcode, pp, 0, index, base), 0x80|byte(r)<<3|4, byte(index&7)<<3|byte(base&7))
	return binary.LittleEndian.AppendUint32(b, uint32(disp))
}

func loadConfigBytes(base int) []byte {
	return append(vex(0x49, ppNone, 0, 0, base), 0x80|byte(base&7), 0, 0, 0, 0)
}

func loadBytes(tile, base, stride, disp int) []byte {
	return memory(0x4b, ppF2, tile, base, stride, disp)
}

func storeBytes(tile, base, stride, disp int) []byte {
	return memory(0x4b, ppF3, tile, base, stride, disp)
}

func zeroBytes(tile int) []byte { return registers(0x49, ppF2, tile, 0, 0) }

func multiplyBytes(sum, a, b int) []byte { return registers(0x5c, ppF3, sum, a, b) }

func releaseBytes() []byte { return registers(0x49, ppNone, 0, 0, 0) }

// number is the number of a register in an encoding.
func number(r reg.GPPhysical) int { return int(r.PhysicalIndex()) }

func loadTileConfig(c *build.Context, base reg.GPPhysical) {
	emit(c, "LDTILECFG (%s)", loadConfigBytes(number(base)), base.Asm())
}

func tileRelease(c *build.Context) { emit(c, "TILERELEASE", releaseBytes()) }

func tileZero(c *build.Context, tile int) {
	emit(c, "TILEZERO TMM%d", zeroBytes(tile), tile)
}

// tileLoad reads tile from rows stride bytes apart.
func tileLoad(c *build.Context, tile int, base, stride reg.GPPhysical, disp int) {
	emit(c, "TILELOADD %d(%s)(%s*1), TMM%d", loadBytes(tile, number(base), number(stride), disp), disp, base.Asm(), stride.Asm(), tile)
}

// tileStore writes tile to rows stride bytes apart.
func tileStore(c *build.Context, tile int, base, stride reg.GPPhysical, disp int) {
	emit(c, "TILESTORED TMM%d, %d(%s)(%s*1)", storeBytes(tile, number(base), number(stride), disp), tile, disp, base.Asm(), stride.Asm())
}

// tileMultiply adds the product of the bfloat16 tiles a and b to the float32 tile sum.
func tileMultiply(c *build.Context, sum, a, b int) {
	emit(c, "TDPBF16PS TMM%d, TMM%d, TMM%d", multiplyBytes(sum, a, b), b, a, sum)
}

// emit writes the bytes of an instruction below a comment that names it.
func emit(c *build.Context, format string, code []byte, operands ...any) {
	c.Commentf(format, operands...)
	for len(code) >= 4 {
		c.Instruction(&ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(binary.LittleEndian.Uint32(code))}})
		code = code[4:]
	}
	for _, b := range code {
		c.Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(b)}})
	}
}
