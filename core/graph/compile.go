package graph

import (
	"fmt"

	"gonum.org/v1/gonum/graph"
	"gorgonia.org/gorgonia"
)

// Compile flattens what is needed for the outputs into an inference plan (running statistics, no dropout).
func (g *Graph) Compile(outputs ...*Node) (*Plan, error) {
	if len(outputs) == 0 {
		return nil, fmt.Errorf("compile: no outputs")
	}
	g.compiling.Lock()
	defer g.compiling.Unlock()
	c, err := g.replay(&env{dtype: g.dtype}, outputs)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return c.plan(outputs, nil, nil)
}

// CompileTraining flattens loss, the gradients of loss with respect to wrt, and any further outputs.
func (g *Graph) CompileTraining(loss *Node, wrt []*Node, outputs ...*Node) (*Plan, error) {
	g.compiling.Lock()
	defer g.compiling.Unlock()
	outputs = append([]*Node{loss}, outputs...)
	c, err := g.replay(&env{dtype: g.dtype, training: true}, outputs)
	if err != nil {
		return nil, fmt.Errorf("compile for training: %w", err)
	}
	if !loss.scalar {
		return nil, fmt.Errorf("compile for training: the loss is [%d, %d], not a scalar", loss.rows, loss.Cols)
	}
	var exprs gorgonia.Nodes
	for _, n := range wrt {
		if n.name == "" {
			return nil, fmt.Errorf("compile for training: gradients are given of inputs and parameters only")
		}
		if c.node[n.expr] == nil {
			return nil, fmt.Errorf("compile for training: the loss does not depend on %q", n.name)
		}
		exprs = append(exprs, c.node[n.expr])
	}
	var grads gorgonia.Nodes
	if len(exprs) > 0 {
		if grads, err = gorgonia.Grad(c.node[loss.expr], exprs...); err != nil {
			return nil, fmt.Errorf("compile for training: differentiate: %w", err)
		}
	}
	return c.plan(outputs, wrt, grads)
}

// compilation is a copy of a graph for one plan. Gorgonia's Grad writes into the graph it differentiates and can do so once, so each plan has its own.
type compilation struct {
	g    *Graph
	env  *env
	expr *gorgonia.ExprGraph
	node map[*gorgonia.Node]*gorgonia.Node // from the graph's nodes to the copy's
}

// replay copies what the outputs need into a new expression graph.
func (g *Graph) replay(e *env, outputs []*Node) (c *compilation, err error) {
	defer recoverError(&err)
	var wanted gorgonia.Nodes
	for _, n := range outputs {
		if n.g != g {
			return nil, fmt.Errorf("an output belongs to another graph")
		}
		wanted = append(wanted, n.expr)
	}
	c = &compilation{g: g, env: e, expr: gorgonia.NewGraph(), node: map[*gorgonia.Node]*gorgonia.Node{}}
	needed := reachable(g.expr, wanted)
	for _, n := range g.expr.AllNodes() {
		if !needed[n] {
			continue
		}
		if l := g.leaves[n]; l != nil {
			c.node[n] = newLeaf(c.expr, g.dtype, l.name, l.rows, l.Cols)
			continue
		}
		o := n.Op().(*output)
		var inputs gorgonia.Nodes
		for _, child := range children(g.expr, n) {
			inputs = append(inputs, c.node[child])
		}
		c.node[n] = o.node(o.index, e, inputs)
	}
	return c, nil
}

// children returns the inputs of n in order, duplicates kept.
func children(expr *gorgonia.ExprGraph, n *gorgonia.Node) gorgonia.Nodes {
	var out gorgonia.Nodes
	for _, c := range graph.NodesOf(expr.From(n.ID())) {
		out = append(out, c.(*gorgonia.Node))
	}
	return out
}

// reachable returns the nodes that the wanted ones are computed from, themselves included.
func reachable(expr *gorgonia.ExprGraph, wanted gorgonia.Nodes) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{}
	stack := append(gorgonia.Nodes{}, wanted...)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !seen[n] {
			seen[n] = true
			stack = append(stack, children(expr, n)...)
		}
	}
	return seen
}

// plan flattens the copy: one step for each use of which an output is needed, in an order in which inputs come first.
func (c *compilation) plan(outputs, wrt []*Node, grads gorgonia.Nodes) (*Plan, error) {
	p := &Plan{env: c.env, slotOf: map[*Node]int{}, gradOf: map[*Node]int{}, leafOf: map[*Node]int{}}
	wanted := append(gorgonia.Nodes{}, grads...)
	for _, n := range outputs {
		wanted = append(wanted, c.node[n.expr])
	}
	needed := reachable(c.expr, wanted)
	leaves := map[*gorgonia.Node]*Node{}
	for from, to := range c.node {
		if l := c.g.leaves[from]; l != nil {
			leaves[to] = l
		}
	}
	slot := map[*gorgonia.Node]int{}
	newSlot := func(n *gorgonia.Node, t *Tensor) int {
		slot[n] = len(p.slots)
		p.slots = append(p.slots, t)
		return slot[n]
	}
	stepOf := map[*use]int{}
	for _, n := range c.expr.AllNodes() {
		if !needed[n] {
			continue
		}
		if l := leaves[n]; l != nil {
			p.leafOf[l] = newSlot(n, nil)
			p.leaves = append(p.leaves, leaf{l, slot[n]})
			continue
		}
		if n.Value() != nil && len(children(c.expr, n)) == 0 { // the 1 that differentiation starts from
			t, err := fromValue(n.Value())
			if err != nil {
				return nil, fmt.Errorf("compile: constant: %w", err)
			}
			newSlot(n, t)
			continue
		}
		inputs := children(c.expr, n)
		if o, ok := n.Op().(*output); ok && !c.env.training {
			if _, ok := o.op.(dropoutOp); ok { // nothing in inference: the value is the input's
				slot[n] = slot[inputs[0]]
				continue
			}
		}
		u, index, err := c.useOf(n, inputs)
		if err != nil {
			return nil, fmt.Errorf("compile: %w", err)
		}
		i, ok := stepOf[u]
		if !ok {
			i = len(p.steps)
			stepOf[u] = i
			s := step{op: u.op, run: u.op.runner(c.env), in: make([]*Tensor, len(inputs)),
				out: make([]*Tensor, len(u.outs)), rows: make([]int, len(u.outs))}
			for _, in := range inputs {
				s.inSlots = append(s.inSlots, slot[in])
			}
			for _, o := range u.outs {
				s.cols = append(s.cols, o.cols)
				s.free = append(s.free, o.rows == 0 || o.rows == nominalRows)
				s.outSlots = append(s.outSlots, -1)
			}
			p.steps = append(p.steps, s)
		}
		out := NewTensorOf(c.env.dtype, 0, u.outs[index].cols)
		p.steps[i].out[index] = out
		p.steps[i].outSlots[index] = newSlot(n, out)
	}
	pinned := map[int]bool{}
	for _, n := range outputs {
		p.slotOf[n] = slot[c.node[n.expr]]
		pinned[p.slotOf[n]] = true
	}
	for _, l := range p.leaves {
		p.slotOf[l.node] = l.slot
	}
	taken := map[int]bool{}
	for i, n := range wrt {
		s := slot[grads[i]]
		if taken[s] || p.isLeaf(s) { // the same node is the gradient of two: who scales one in place must not scale both
			s = p.copyOf(s, grads[i])
		}
		taken[s], pinned[s] = true, true
		p.gradOf[n] = s
	}
	p.allot(pinned)
	return p, nil
}

// isLeaf tells whether a slot is bound from outside or constant.
func (p *Plan) isLeaf(slot int) bool {
	for i := range p.steps {
		for _, out := range p.steps[i].outSlots {
			if out == slot {
				return false
			}
		}
	}
	return true
}

// allot gives every output its memory. A value that nobody reads any more hands its memory to the next one of free rows, the last given back first: it
// is the likeliest to be in the cache. Pinned slots and values of few rows keep theirs.
func (p *Plan) allot(pinned map[int]bool) {
	last := map[int]int{}
	for i := range p.steps {
		for _, slot := range p.steps[i].inSlots {
			last[slot] = i
		}
	}
	held := map[int]*memory{} // by slots to be given back
	var idle []*memory
	for i := range p.steps {
		s := &p.steps[i]
		s.memory = make([]*memory, len(s.out))
		for j, out := range s.out {
			if out == nil {
				continue
			}
			slot := s.outSlots[j]
			m := &memory{}
			if !pinned[slot] && s.free[j] {
				if n := len(idle); n > 0 {
					m, idle = idle[n-1], idle[:n-1]
				}
				held[slot] = m
			}
			s.memory[j] = m
		}
		for _, slot := range s.inSlots {
			if m := held[slot]; m != nil && last[slot] == i {
				idle = append(idle, m)
				delete(held, slot)
			}
		}
	}
}

// useOf returns the use that computes n. Where a value feeds several others, Gorgonia adds their gradients up with an addition of its own, which
// allocates: it is exchanged for ours.
func (c *compilation) useOf(n *gorgonia.Node, inputs gorgonia.Nodes) (*use, int, error) {
	switch o := n.Op().(type) {
	case *output:
		return o.use, o.index, nil
	case gorgonia.BinaryOp:
		if o.String() != "+ false" {
			break
		}
		out := scalar
		if !n.IsScalar() {
			out = fixed(n.Shape()[0], n.Shape()[1])
		}
		return c.g.use(addOp{}, []shape{out}, inputs), 0, nil
	}
	return nil, 0, fmt.Errorf("unknown operation %v", n.Op())
}

// copyOf appends a step that copies a slot.
func (p *Plan) copyOf(slot int, n *gorgonia.Node) int {
	cols := 1
	if !n.IsScalar() {
		cols = n.Shape()[1]
	}
	out := NewTensorOf(p.env.dtype, 0, cols)
	op := scaleOp{1}
	p.steps = append(p.steps, step{op: op, run: op.runner(p.env), inSlots: []int{slot}, in: make([]*Tensor, 1),
		out: []*Tensor{out}, outSlots: []int{len(p.slots)}, cols: []int{cols}, free: []bool{false}, rows: make([]int, 1)})
	p.slots = append(p.slots, out)
	return len(p.slots) - 1
}
