package main

import (
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of this file work on rows that lie anywhere in memory: lists of Go slices say where, of which only the pointers are read.
// While one row is worked on, the lines of the row rowsAhead places further on are asked for, so that cache misses overlap. A row is dim
// elements, whole vectors and a masked rest.
//
// Registers they have in common: CX rows left, R8 dim, R14 elements of the row left, R13 offset in the row, R12 and R15 scratch.
const (
	rowsAhead = 12
	sliceSize = 24
)

// rowFunction begins a function over rows, with the mask of a row's last vector made.
func (w *vector) rowFunction(name, doc, signature string, pointers map[string]reg.GPPhysical) {
	c := w.c
	c.Function(name + w.name)
	c.Attributes(attr.NOSPLIT)
	c.Pragma("noescape")
	c.Doc(name + w.name + " " + doc)
	c.SignatureExpr(signature)
	c.Load(c.Param("dim"), reg.R8)
	c.MOVQ(reg.R8, reg.RCX)
	c.ANDQ(operand.I32(int32(w.lanes-1)), reg.RCX)
	w.maskFrom(c, reg.RCX)
	for _, p := range []string{"dst", "rows", "w", "state", "grad", "counts", "scales"} {
		if r, ok := pointers[p]; ok {
			c.Load(c.Param(p), r)
		}
	}
	c.Load(c.Param("n"), reg.RCX)
}

// ask prefetches every line of the row of vectors·dim elements that list's entry rowsAhead from now points to.
func (w *vector) ask(label string, list reg.GPPhysical, vectors int) {
	c := w.c
	c.MOVQ(operand.Mem{Base: list, Disp: sliceSize * rowsAhead}, reg.R12)
	c.MOVQ(reg.R8, reg.R13)
	c.SHLQ(operand.U8(2), reg.R13)
	if vectors == 2 {
		c.ADDQ(reg.R13, reg.R13)
	}
	c.LEAQ(operand.Mem{Base: reg.R12, Index: reg.R13, Scale: 1, Disp: -4}, reg.R13)
	c.Label(label)
	c.PREFETCHT0(operand.Mem{Base: reg.R12})
	c.ADDQ(operand.I32(64), reg.R12)
	c.CMPQ(reg.R12, reg.R13)
	c.JLT(operand.LabelRef(label))
	c.PREFETCHT0(operand.Mem{Base: reg.R13})
}

// eachVector runs body over the vectors of a row, at offset R13 of it.
func (w *vector) eachVector(label string, body func(masked bool)) {
	c := w.c
	c.XORQ(reg.R13, reg.R13)
	c.MOVQ(reg.R8, reg.R14)
	c.SUBQ(operand.I32(int32(w.lanes)), reg.R14)
	c.JLT(operand.LabelRef(label + "Rest"))
	c.Label(label + "Vector")
	body(false)
	c.ADDQ(operand.I32(int32(4*w.lanes)), reg.R13)
	c.SUBQ(operand.I32(int32(w.lanes)), reg.R14)
	c.JGE(operand.LabelRef(label + "Vector"))
	c.Label(label + "Rest")
	c.ADDQ(operand.I32(int32(w.lanes)), reg.R14)
	c.JEQ(operand.LabelRef(label + "Done"))
	body(true)
	c.Label(label + "Done")
}

func offset(base reg.GPPhysical) operand.Mem {
	return operand.Mem{Base: base, Index: reg.R13, Scale: 1}
}

// copyRows writes the gather.
func (w *vector) copyRows() {
	w.rowFunction("copyRows", "copies n rows of dim elements to dst, stride bytes apart.", "func(dst *float32, stride int, rows *[]float32, n, dim int)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "rows": reg.RSI})
	c := w.c
	c.Load(c.Param("stride"), reg.RDX)
	c.Label("row")
	c.CMPQ(reg.RCX, operand.U8(rowsAhead))
	c.JLE(operand.LabelRef("near"))
	w.ask("ask", reg.RSI, 1)
	c.Label("near")
	c.MOVQ(at(reg.RSI), reg.R9)
	w.eachVector("copy", func(masked bool) {
		w.load(c, offset(reg.R9), w.v(0), masked)
		w.store(c, w.v(0), offset(reg.RDI), masked)
	})
	c.ADDQ(operand.I32(sliceSize), reg.RSI)
	c.ADDQ(reg.RDX, reg.RDI)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("row"))
	w.end()
}

// sumRows writes the scatter-add turned round: each sum is formed in registers and written once, its terms in their order.
func (w *vector) sumRows() {
	w.rowFunction("sumRows", "writes n sums of dim elements to dst, stride bytes apart: of as many rows, each times its scale, as counts says, at least one. With acc they are added to dst.",
		"func(dst *float32, stride int, counts *uint32, n int, rows *[]float32, scales *float32, all int, dim int, acc bool)",
		map[string]reg.GPPhysical{"dst": reg.RDI, "rows": reg.RSI, "scales": reg.RDX, "counts": reg.RBX})
	c := w.c
	c.Load(c.Param("all"), reg.R11)
	c.Label("sum")
	c.MOVL(at(reg.RBX), reg.R10L)
	// The lines of rows further on are asked for as many at a time as this sum has terms.
	c.MOVQ(reg.R10, reg.RAX)
	c.MOVQ(reg.RSI, reg.R9)
	c.Label("terms")
	c.CMPQ(reg.R11, operand.U8(rowsAhead))
	c.JLE(operand.LabelRef("near"))
	w.ask("ask", reg.R9, 1)
	c.Label("near")
	c.ADDQ(operand.I32(sliceSize), reg.R9)
	c.DECQ(reg.R11)
	c.DECQ(reg.RAX)
	c.JNE(operand.LabelRef("terms"))
	w.eachVector("add", func(masked bool) {
		name := "add"
		if masked {
			name = "addRest"
		}
		w.zero(c, w.v(0))
		c.Load(c.Param("acc"), reg.R15B)
		c.TESTB(reg.R15B, reg.R15B)
		c.JEQ(operand.LabelRef(name + "Fresh"))
		w.load(c, offset(reg.RDI), w.v(0), masked)
		c.Label(name + "Fresh")
		c.MOVQ(reg.RSI, reg.RAX)
		c.MOVQ(reg.RDX, reg.R15)
		c.MOVQ(reg.R10, reg.R12)
		c.Label(name + "Term")
		c.MOVQ(at(reg.RAX), reg.R9)
		c.VBROADCASTSS(at(reg.R15), w.v(1))
		w.load(c, offset(reg.R9), w.v(2), masked)
		c.VFMADD231PS(w.v(2), w.v(1), w.v(0))
		c.ADDQ(operand.I32(sliceSize), reg.RAX)
		c.ADDQ(operand.I32(4), reg.R15)
		c.DECQ(reg.R12)
		c.JNE(operand.LabelRef(name + "Term"))
		w.store(c, w.v(0), offset(reg.RDI), masked)
	})
	c.LEAQ(operand.Mem{Base: reg.RDX, Index: reg.R10, Scale: 4}, reg.RDX)
	c.LEAQ(operand.Mem{Base: reg.R10, Index: reg.R10, Scale: 2}, reg.R10)
	c.LEAQ(operand.Mem{Base: reg.RSI, Index: reg.R10, Scale: 8}, reg.RSI)
	stride, err := c.Param("stride").Resolve()
	if err != nil {
		panic(err)
	}
	c.ADDQ(stride.Addr, reg.RDI)
	c.ADDQ(operand.I32(4), reg.RBX)
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("sum"))
	w.end()
}

// rule is an optimizer's step. Its body has the gradient, the weights and the states in registers 0, 3, 1 and 2 and leaves the new ones there; where
// it only finds the direction of a step, that is left in place of the gradient and the weights stay.
type rule struct {
	name      string
	formula   string
	states    int      // numbers for each weight
	constants []string // from register firstConstant on
	direction bool
	body      func()
}

func (r *rule) parameters() string { return strings.Join(r.constants, ", ") }

// firstConstant is the register of a rule's first constant; those before are the operands', the regulariser's factor and the gradient's scale.
const firstConstant = 6

// updateRows writes a rule over rows of weights whose states and gradients lie elsewhere; the gradient is taken with the regulariser's added and all scaled.
func (w *vector) updateRows(r *rule) {
	w.rowFunction(r.name+"Rows", r.formula+" grad stands for scale·(grad + l2·w).", "func(w, state, grad *[]float32, n, dim int, l2, scale, "+r.parameters()+" float32)",
		map[string]reg.GPPhysical{"w": reg.RDI, "state": reg.RSI, "grad": reg.RBX})
	c := w.c
	w.flushTiny()
	const l2, scale = 4, 5
	w.broadcast("l2", l2)
	w.broadcast("scale", scale)
	for i, p := range r.constants {
		w.broadcast(p, firstConstant+i)
	}
	c.Label("row")
	c.CMPQ(reg.RCX, operand.U8(rowsAhead))
	c.JLE(operand.LabelRef("near"))
	w.ask("askWeights", reg.RDI, 1)
	w.ask("askState", reg.RSI, r.states)
	w.ask("askGradient", reg.RBX, 1)
	c.Label("near")
	c.MOVQ(at(reg.RDI), reg.R9)
	c.MOVQ(at(reg.RSI), reg.R10)
	c.MOVQ(at(reg.RBX), reg.RDX)
	c.LEAQ(operand.Mem{Base: reg.R10, Index: reg.R8, Scale: 4}, reg.R11)
	w.eachVector("update", func(masked bool) {
		w.load(c, offset(reg.RDX), w.v(0), masked)
		w.load(c, offset(reg.R10), w.v(1), masked)
		if r.states == 2 {
			w.load(c, offset(reg.R11), w.v(2), masked)
		}
		w.load(c, offset(reg.R9), w.v(3), masked)
		c.VFMADD231PS(w.v(l2), w.v(3), w.v(0))
		c.VMULPS(w.v(scale), w.v(0), w.v(0))
		r.body()
		w.store(c, w.v(1), offset(reg.R10), masked)
		if r.states == 2 {
			w.store(c, w.v(2), offset(reg.R11), masked)
		}
		if r.direction {
			w.store(c, w.v(0), offset(reg.RDX), masked)
			return
		}
		w.store(c, w.v(3), offset(reg.R9), masked)
	})
	for _, list := range []reg.GPPhysical{reg.RDI, reg.RSI, reg.RBX} {
		c.ADDQ(operand.I32(sliceSize), list)
	}
	c.DECQ(reg.RCX)
	c.JNE(operand.LabelRef("row"))
	c.LDMXCSR(w.control)
	w.end()
}

// update writes a rule over weights and states that lie side by side.
func (w *vector) update(r *rule) {
	pointers := map[string]reg.GPPhysical{"w": reg.RDI, "m": reg.RSI, "grad": reg.RBX}
	list, moving := "w, m, grad", []reg.GPPhysical{reg.RDI, reg.RSI, reg.RBX}
	if r.states == 2 {
		pointers["v"], list = reg.RDX, "w, m, v, grad"
		moving = append(moving, reg.RDX)
	}
	w.function(r.name, r.formula, "func("+list+" *float32, n int, "+r.parameters()+" float32)", pointers)
	c := w.c
	w.flushTiny()
	for i, p := range r.constants {
		w.broadcast(p, firstConstant+i)
	}
	w.sweep(moving, func(masked bool) {
		w.load(c, at(reg.RBX), w.v(0), masked)
		w.load(c, at(reg.RSI), w.v(1), masked)
		if r.states == 2 {
			w.load(c, at(reg.RDX), w.v(2), masked)
		}
		w.load(c, at(reg.RDI), w.v(3), masked)
		r.body()
		w.store(c, w.v(1), at(reg.RSI), masked)
		if r.states == 2 {
			w.store(c, w.v(2), at(reg.RDX), masked)
		}
		if r.direction {
			w.store(c, w.v(0), at(reg.RBX), masked)
			return
		}
		w.store(c, w.v(3), at(reg.RDI), masked)
	})
	c.LDMXCSR(w.control)
	w.end()
}

// optimizers writes the rules in both forms.
func (w *vector) optimizers() {
	for _, r := range []rule{
		{
			name:      "adam",
			formula:   "is one step of Adam over n, with its factors worked out: m = b1·m + a1·grad, v = b2·v + a2·grad², w -= step·m/(√v·root + eps).",
			states:    2,
			constants: []string{"b1", "a1", "b2", "a2", "step", "root", "eps"},
			body:      w.adam,
		},
		{
			name:      "lamb",
			formula:   "is the direction of one step of LAMB over n, put in place of grad: m = b1·m + a1·grad, v = b2·v + a2·grad², grad = step·m/(√v·root + eps) + decay·w.",
			states:    2,
			constants: []string{"b1", "a1", "b2", "a2", "step", "root", "eps", "decay"},
			direction: true,
			body:      w.lamb,
		},
		{
			name:      "adagrad",
			formula:   "is one step of Adagrad over n: m += grad², w -= rate·grad/(√m + eps).",
			states:    1,
			constants: []string{"rate", "eps"},
			body:      w.adagrad,
		},
		{
			name: "ftrl",
			formula: "is one step of FTRL-proximal over n: m += grad - (√(v+grad²) - √v)·inverse·w, v += grad², " +
				"w = -sign(m)·max(|m| - l1, 0)/(√v·inverse + base).",
			states:    2,
			constants: []string{"inverse", "base", "l1"},
			body:      w.ftrl,
		},
	} {
		w.update(&r)
		w.updateRows(&r)
	}
}

// moments leaves the new moments in registers 1 and 2 and step·m/(√v·root + eps) in register 0; it uses register 14 besides.
func (w *vector) moments() {
	const b1, a1, b2, a2, step, root, eps = 6, 7, 8, 9, 10, 11, 12
	c := w.c
	g, m, v, t := w.v(0), w.v(1), w.v(2), w.v(14)
	c.VMULPS(w.v(b1), m, m)
	c.VFMADD231PS(w.v(a1), g, m)
	c.VMULPS(g, g, g)
	c.VMULPS(w.v(b2), v, v)
	c.VFMADD231PS(w.v(a2), g, v)
	c.VSQRTPS(v, t)
	c.VFMADD213PS(w.v(eps), w.v(root), t)
	c.VMULPS(w.v(step), m, g)
	c.VDIVPS(t, g, g)
}

func (w *vector) adam() {
	w.moments()
	w.c.VSUBPS(w.v(0), w.v(3), w.v(3))
}

func (w *vector) lamb() {
	const decay = 13
	w.moments()
	w.c.VFMADD231PS(w.v(decay), w.v(3), w.v(0))
}

func (w *vector) adagrad() {
	const rate, eps = 6, 7
	c := w.c
	g, m, x, t := w.v(0), w.v(1), w.v(3), w.v(14)
	c.VFMADD231PS(g, g, m)
	c.VSQRTPS(m, t)
	c.VADDPS(w.v(eps), t, t)
	c.VMULPS(w.v(rate), g, g)
	c.VDIVPS(t, g, g)
	c.VSUBPS(g, x, x)
}

func (w *vector) ftrl() {
	const inverse, base, l1 = 6, 7, 8
	c := w.c
	g, z, n, x, root, sign := w.v(0), w.v(1), w.v(2), w.v(3), w.v(14), w.v(13)
	c.VSQRTPS(n, w.v(12))
	c.VFMADD231PS(g, g, n)
	c.VSQRTPS(n, root)
	c.VSUBPS(w.v(12), root, w.v(12))
	c.VMULPS(w.v(inverse), w.v(12), w.v(12))
	c.VADDPS(g, z, z)
	c.VFNMADD231PS(x, w.v(12), z)
	c.VFMADD213PS(w.v(base), w.v(inverse), root)
	// The sign of w is that of -z, its size what |z| exceeds l1 by.
	c.VXORPS(w.k("signBit"), z, sign)
	c.VANDPS(w.k("signBit"), sign, sign)
	c.VANDPS(w.k("allButSign"), z, x)
	c.VSUBPS(w.v(l1), x, x)
	w.zero(c, w.v(12))
	c.VMAXPS(w.v(12), x, x)
	c.VDIVPS(root, x, x)
	c.VORPS(sign, x, x)
}
