package graph

import "fmt"

// Plan is a graph flattened to steps. It owns its buffers and runs on one goroutine; make one plan a goroutine.
type Plan struct {
	env    *env
	steps  []step
	slots  []*Tensor
	leaves []leaf
	slotOf map[*Node]int
	gradOf map[*Node]int
	leafOf map[*Node]int
}

// leaf is an input or parameter the plan reads.
type leaf struct {
	node *Node
	slot int
}

// step is one use of an operation with its buffers.
type step struct {
	op       operation
	run      runner
	inSlots  []int
	in       []*Tensor
	outSlots []int
	out      []*Tensor // nil: nobody reads it
	memory   []*memory // of the outputs
	cols     []int
	free     []bool // outputs whose rows change from run to run
	rows     []int  // scratch for the numbers of rows
}

// memory is a buffer that values whose lives do not overlap take turns in.
type memory struct {
	f32 []float32
	f64 []float64
}

// hold gives t the shape and the memory.
func (m *memory) hold(t *Tensor, rows, cols int) {
	t.Rows, t.Cols = rows, cols
	if t.F64 != nil {
		m.f64 = resized(m.f64, rows*cols)
		t.F64 = m.f64
	} else {
		m.f32 = resized(m.f32, rows*cols)
		t.F32 = m.f32
	}
}

// Bind gives an input or parameter its tensor; the plan reads it at every run until bound anew. Several plans may share a parameter's tensor.
// A node that the plan does not need is ignored.
func (p *Plan) Bind(n *Node, t *Tensor) {
	if slot, ok := p.leafOf[n]; ok {
		p.slots[slot] = t
	}
}

// BindOffsets gives the plan its own boundaries for r, in place of r.Offsets, so that plans of one graph can run at the same time.
func (p *Plan) BindOffsets(r *Ragged, offsets []int32) {
	s := p.env.segments(r)
	s.own, s.bound, s.shared = offsets, true, false
}

// BindShared gives all batch rows one and the same segment of length rows: one user's history for many candidates. The flattened inputs are
// then bound once, [length, cols], where they go into AttentionInput, SegmentWeightedSum or operations on each row; what is computed for each pair has batch·length rows. For inference:
// gradients want the rows repeated, and so does an operation that meets both kinds, which Run refuses. BindOffsets ends it.
func (p *Plan) BindShared(r *Ragged, batch, length int) {
	p.env.segments(r).share(batch, length)
}

// SetStep fixes the seed and step number from which dropout masks are drawn.
func (p *Plan) SetStep(seed, step uint64) { p.env.seed, p.env.step = seed, step }

// Run executes the plan. It returns an error for shapes that do not fit or inputs that are not bound.
func (p *Plan) Run() error {
	for i := range p.leaves {
		if err := p.checkLeaf(&p.leaves[i]); err != nil {
			return err
		}
	}
	for _, s := range p.env.ragged {
		if err := s.check(); err != nil {
			return err
		}
	}
	for i := range p.steps {
		s := &p.steps[i]
		for j, slot := range s.inSlots {
			s.in[j] = p.slots[slot]
		}
		if err := s.op.rows(p.env, s.in, s.rows); err != nil {
			return fmt.Errorf("run step %d, %v: %w", i, s.op, err)
		}
		for j, out := range s.out {
			if out != nil {
				s.memory[j].hold(out, s.rows[j], s.cols[j])
			}
		}
		s.run(s.in, s.out)
	}
	return nil
}

func (p *Plan) checkLeaf(l *leaf) error {
	t, n := p.slots[l.slot], l.node
	switch {
	case t == nil:
		return fmt.Errorf("run: %q: %w", n.name, errUnbound)
	case t.Cols != n.Cols || n.rows != 0 && t.Rows != n.rows:
		return fmt.Errorf("run: %q is [%d, %d], want %v", n.name, t.Rows, t.Cols, shape{rows: n.rows, cols: n.Cols})
	case p.env.dtype == Float32 && len(t.F32) != t.Rows*t.Cols, p.env.dtype == Float64 && len(t.F64) != t.Rows*t.Cols:
		return fmt.Errorf("run: %q does not hold %d·%d elements of the graph's type", n.name, t.Rows, t.Cols)
	}
	return nil
}

// String returns the shape as [rows, cols], free rows as "any".
func (s shape) String() string {
	if s.rows == 0 {
		return fmt.Sprintf("[any, %d]", s.cols)
	}
	return fmt.Sprintf("[%d, %d]", s.rows, s.cols)
}

// Value returns the tensor of the last run of an output, the loss or a bound node; nil for any other node, whose memory later steps may have taken.
func (p *Plan) Value(n *Node) *Tensor {
	if slot, ok := p.slotOf[n]; ok {
		return p.slots[slot]
	}
	return nil
}

// Grad returns the gradient of the loss with respect to n, which must be in wrt; nil otherwise.
func (p *Plan) Grad(n *Node) *Tensor {
	if slot, ok := p.gradOf[n]; ok {
		return p.slots[slot]
	}
	return nil
}
