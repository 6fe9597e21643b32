package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is one of the two instruction sets kernels are written for: its vector registers and how the last, partial vector of a
// row is loaded and stored.
type isa struct {
	name  string
	lanes int // float32 in a vector
	wide  bool
}

var (
	avx512 = isa{name: "AVX512", lanes: 16, wide: true}
	avx2   = isa{name: "AVX2", lanes: 8}
)

// v returns vector register i.
func (s isa) v(i int) reg.VecPhysical {
	if s.wide {
		return zmm[i]
	}
	return ymm[i]
}

// maskVector is the register that holds AVX2's lane mask; AVX-512 uses K1 and leaves all vector registers free.
func (s isa) maskVector() reg.VecPhysical { return ymm[15] }

// setMask makes the mask of the first lanes lanes from the parameter of that name; it uses tmp.
func (s isa) setMask(c *build.Context, tmp reg.GPPhysical) {
	c.Load(c.Param("lanes"), tmp)
	s.maskFrom(c, tmp)
}

// maskFrom makes the mask of the first n lanes; it spoils n and R15.
func (s isa) maskFrom(c *build.Context, n reg.GPPhysical) {
	if s.wide {
		c.MOVQ(operand.I32(-1), reg.R15)
		c.BZHIQ(n, reg.R15, reg.R15)
		c.KMOVW(reg.R15L, reg.K1)
		return
	}
	c.NEGQ(n)
	c.LEAQ(operand.NewDataAddr(operand.NewStaticSymbol("laneMask"), 0), reg.R15)
	c.VMOVUPS(operand.Mem{Base: reg.R15, Index: n, Scale: 4, Disp: 32}, s.maskVector())
}

// maskTable emits the table setMask reads: eight lanes on, then eight off.
func (s isa) maskTable(c *build.Context) {
	if s.wide {
		return
	}
	c.StaticGlobal("laneMask")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		v := operand.U32(0xffffffff)
		if i >= 8 {
			v = 0
		}
		c.AddDatum(4*i, v)
	}
}

// load reads a vector, only the mask's lanes when masked (the others become zero and are not touched in memory).
func (s isa) load(c *build.Context, from operand.Mem, to reg.VecPhysical, masked bool) {
	switch {
	case !masked:
		c.VMOVUPS(from, to)
	case s.wide:
		c.VMOVUPS_Z(from, reg.K1, to)
	default:
		c.VMASKMOVPS(from, s.maskVector(), to)
	}
}

// store writes a vector, only the mask's lanes when masked.
func (s isa) store(c *build.Context, from reg.VecPhysical, to operand.Mem, masked bool) {
	switch {
	case !masked:
		c.VMOVUPS(from, to)
	case s.wide:
		c.VMOVUPS(from, reg.K1, to)
	default:
		c.VMASKMOVPS(from, s.maskVector(), to)
	}
}

// zero clears a vector.
func (s isa) zero(c *build.Context, v reg.VecPhysical) {
	if s.wide {
		c.VPXORD(v, v, v)
		return
	}
	c.VXORPS(v, v, v)
}

var (
	zmm = [...]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	ymm = [...]reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	xmm = [...]reg.VecPhysical{
		reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
	}
)
