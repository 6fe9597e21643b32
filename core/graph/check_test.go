package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// bench is a float64 graph with random values, on which an operation's gradients are checked.
type bench struct {
	t     *testing.T
	g     *Graph
	rng   *rand.Rand
	value map[*Node]*Tensor
	wrt   []*Node
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, g: New(Float64), rng: rand.New(rand.NewPCG(1, 2)), value: map[*Node]*Tensor{}}
}

func (b *bench) random(rows, cols int) *Tensor {
	x := NewTensorOf(Float64, rows, cols)
	for i := range x.F64 {
		x.F64[i] = b.rng.NormFloat64()
	}
	return x
}

// input adds a random [rows, cols] input whose gradient is checked, param a parameter, constant an input without gradient.
func (b *bench) input(rows, cols int) *Node {
	n := b.g.Input(fmt.Sprint("x", len(b.value)), cols)
	b.value[n] = b.random(rows, cols)
	b.wrt = append(b.wrt, n)
	return n
}

func (b *bench) param(rows, cols int) *Node {
	n := b.g.Param(fmt.Sprint("p", len(b.value)), rows, cols)
	b.value[n] = b.random(rows, cols)
	b.wrt = append(b.wrt, n)
	return n
}

func (b *bench) constant(x *Tensor) *Node {
	n := b.g.Input(fmt.Sprint("c", len(b.value)), x.Cols)
	b.value[n] = x
	return n
}

func (b *bench) bind(p *Plan) {
	for n, x := range b.value {
		p.Bind(n, x)
	}
}

// infer returns the value of out in inference.
func (b *bench) infer(out *Node) []float64 {
	b.t.Helper()
	p, err := b.g.Compile(out)
	if err != nil {
		b.t.Fatal(err)
	}
	b.bind(p)
	if err := p.Run(); err != nil {
		b.t.Fatal(err)
	}
	return p.Value(out).F64
}

// check compares the gradients of a random linear function of out, [rows, cols], with central differences and with Gorgonia's TapeMachine.
func (b *bench) check(out *Node, rows int) {
	b.t.Helper()
	b.checkLoss(total(out, b.constant(b.random(rows, out.Cols))))
}

func (b *bench) checkLoss(loss *Node) {
	b.t.Helper()
	p, err := b.g.CompileTraining(loss, b.wrt)
	if err != nil {
		b.t.Fatal(err)
	}
	p.SetStep(7, 3)
	b.bind(p)
	run := func() float64 {
		b.t.Helper()
		if err := p.Run(); err != nil {
			b.t.Fatal(err)
		}
		return p.Value(loss).F64[0]
	}
	first := run()
	var grads [][]float64
	for _, n := range b.wrt {
		grads = append(grads, append([]float64{}, p.Grad(n).F64...))
	}
	b.tape(loss, first, grads)
	for i, n := range b.wrt {
		x := b.value[n].F64
		if len(grads[i]) != len(x) {
			b.t.Fatalf("gradient of %s has %d elements, want %d", n.name, len(grads[i]), len(x))
		}
		for j := 0; j < len(x); j += 1 + len(x)/64 {
			const h = 1e-5
			keep := x[j]
			x[j] = keep + h
			up := run()
			x[j] = keep - h
			down := run()
			x[j] = keep
			if want := (up - down) / (2 * h); math.Abs(grads[i][j]-want) > 1e-6*(math.Abs(want)+1e-2) {
				b.t.Errorf("gradient of %s[%d] is %.10g, central differences give %.10g", n.name, j, grads[i][j], want)
			}
		}
	}
}

// tape runs the same graph on Gorgonia's TapeMachine and compares.
func (b *bench) tape(loss *Node, want float64, grads [][]float64) {
	b.t.Helper()
	c, err := b.g.replay(&env{dtype: Float64, training: true, seed: 7, step: 3}, []*Node{loss})
	if err != nil {
		b.t.Fatal(err)
	}
	var wrt gorgonia.Nodes
	for _, n := range b.wrt {
		wrt = append(wrt, c.node[n.expr])
	}
	got, err := gorgonia.Grad(c.node[loss.expr], wrt...)
	if err != nil {
		b.t.Fatal(err)
	}
	values := make([]gorgonia.Value, len(got)+1)
	for i, n := range append(append(gorgonia.Nodes{}, got...), c.node[loss.expr]) {
		gorgonia.Read(n, &values[i])
	}
	for n, x := range b.value {
		if to := c.node[n.expr]; to != nil {
			gorgonia.WithValue(toValue(x, false))(to)
		}
	}
	vm := gorgonia.NewTapeMachine(c.expr)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		b.t.Fatalf("TapeMachine: %v", err)
	}
	for i, g := range grads {
		x, err := fromValue(values[i])
		if err != nil {
			b.t.Fatal(err)
		}
		near(b.t, fmt.Sprintf("TapeMachine's gradient of %s", b.wrt[i].name), g, x.F64, 1e-12)
	}
	x, err := fromValue(values[len(got)])
	if err != nil {
		b.t.Fatal(err)
	}
	near(b.t, "TapeMachine's loss", []float64{want}, x.F64, 1e-12)
}

// near compares element by element, relative to 1 and the larger.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(1, math.Abs(want[i]))) {
			t.Errorf("%s: element %d is %.15g, want %.15g", what, i, got[i], want[i])
			return
		}
	}
}

// total is the scalar Σ x∘r, the loss of the checks.
func total(x, r *Node) *Node { return apply(totalOp{}, []shape{scalar}, x, r) }

type totalOp struct{}

func (totalOp) String() string { return "total" }

func (totalOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = 1
	return equalRows(in...)
}

func (totalOp) differentiable(int) []bool { return []bool{true, false} }

func (totalOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.apply(timesOp{}, d.in[:1], d.in[1], d.grad)[0], nil}
}

func (totalOp) runner(e *env) runner {
	return pick(e, totalOf[float32], totalOf[float64])
}

func totalOf[T kernel.Float](in, out []*Tensor) {
	var sum T
	for i, v := range data[T](in[0]) {
		sum += v * data[T](in[1])[i]
	}
	data[T](out[0])[0] = sum
}

type timesOp struct{ backward }

func (timesOp) String() string { return "times" }

func (timesOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (timesOp) runner(e *env) runner { return pick(e, timesOf[float32], timesOf[float64]) }

func timesOf[T kernel.Float](in, out []*Tensor) {
	for i, v := range data[T](in[0]) {
		data[T](out[0])[i] = v * data[T](in[1])[0]
	}
}
