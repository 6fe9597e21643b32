package optim

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/table"
)

// Optimizer applies steps. State of rows lies in the tables (StateSize floats a row); state of dense parameters lies here.
// It is for one goroutine; within a step it works on all of the kernel's threads, and its results do not depend on their number.
type Optimizer struct {
	c      Config
	lr     float64
	steps  uint64
	params []param
	fixed  bool // the set of parameters is known

	// Of the step under way. The work is cut into blocks of fixed size, whatever the threads; each block of the first pass leaves a partial sum.
	dense        []Dense
	rows         []Rows
	base         []int // where a full table's slots begin in at
	sums, moves  []block
	partial      []partial
	at           []int32   // of a full table's slot: 1 + its place in Slots, 0 where the batch has not got it
	zeros        []float32 // the gradient of a full table's row that the batch has not got
	scale        float64
	corr1, corr2 float64
	sumBody      func(lo, hi int)
	moveBody     func(lo, hi int)
	touchBody    func(lo, hi int)
	denseBlocks  int       // how many of moves, and of sums, are dense
	ratios       []float64 // of LAMB: how far each dense parameter goes along its direction
	goBody       func(lo, hi int)
}

type param struct {
	name  string
	state [2]*graph.Tensor
}

// block is a piece of the work: elements of a dense parameter, chunks of a table, or entries of a Rows.
type block struct {
	kind   blockKind
	i      int
	lo, hi int
}

type blockKind uint8

const (
	denseBlock blockKind = iota
	chunkBlock
	rowsBlock
)

const (
	denseGrain = 1 << 13 // elements
	rowsGrain  = 256     // rows
)

type partial struct {
	squares float64 // Σw² under the regulariser
	norm    float64 // Σg², the regulariser's gradient included
	bad     bool    // a slot is not in its table
}

// New returns an optimizer; the set of parameters is fixed by the first step or by Load.
func New(c Config) (*Optimizer, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("make an optimizer: %w", err)
	}
	o := &Optimizer{c: c, lr: c.LearningRate}
	o.sumBody, o.moveBody, o.touchBody, o.goBody = o.sumBlocks, o.moveBlocks, o.touchRows, o.goBlocks
	return o, nil
}

// LearningRate and SetLearningRate read and change the rate (schedules, reduce on plateau).
func (o *Optimizer) LearningRate() float64     { return o.lr }
func (o *Optimizer) SetLearningRate(x float64) { o.lr = x }

// Steps counts the steps taken.
func (o *Optimizer) Steps() uint64 { return o.steps }

// Step applies one update with gradients as they come from the loss; it adds the L2 terms, clips, and moves the weights. It touches the batch's rows (table.Touch),
// where the optimizer moves every row only in tables that keep ages, and returns the loss's L2 part and the gradient norm before clipping.
// Every table of the model is in rows at every step, once, even when the batch has no row of it. A gradient that is not finite is an error that moves nothing.
func (o *Optimizer) Step(dense []Dense, rows []Rows) (l2, norm float64, err error) {
	if err := o.begin(dense, rows); err != nil {
		return 0, 0, fmt.Errorf("optimizer step %d: %w", o.steps+1, err)
	}
	o.plan()
	kernel.Parallel(len(o.sums), 1, o.sumBody)
	var squares [2]float64 // under NetL2, EmbeddingL2
	var sum float64
	bad := false
	for i, b := range o.sums {
		p := &o.partial[i]
		if b.kind == denseBlock {
			squares[0] += p.squares
		} else {
			squares[1] += p.squares
		}
		sum += p.norm
		bad = bad || p.bad
	}
	l2, norm = o.c.NetL2/2*squares[0]+o.c.EmbeddingL2/2*squares[1], math.Sqrt(max(sum, 0))
	if bad || math.IsNaN(norm) || math.IsInf(norm, 0) {
		clear(o.at)
		if bad {
			return 0, 0, fmt.Errorf("optimizer step %d: a gradient's slot is not in its table", o.steps+1)
		}
		return l2, norm, fmt.Errorf("optimizer step %d: gradient norm %g", o.steps+1, norm)
	}
	o.steps++
	o.scale = 1
	if o.c.MaxNorm > 0 {
		o.scale = min(1, o.c.MaxNorm/(norm+1e-6)) // torch.nn.utils.clip_grad_norm_
	}
	o.corr1, o.corr2 = 1-math.Pow(o.c.Beta1, float64(o.steps)), 1-math.Pow(o.c.Beta2, float64(o.steps))
	kernel.Parallel(len(o.moves), 1, o.moveBody)
	if o.c.Optimizer == LAMBName {
		o.trust()
		kernel.Parallel(o.denseBlocks, 1, o.goBody)
	}
	kernel.Parallel(len(rows), 1, o.touchBody)
	o.dense, o.rows = nil, nil
	return l2, norm, nil
}

// begin checks the arguments and, in the first step, makes the dense state.
func (o *Optimizer) begin(dense []Dense, rows []Rows) error {
	for _, d := range dense {
		if d.Value == nil || d.Grad == nil || len(d.Value.F32) != len(d.Grad.F32) || len(d.Value.F32) != d.Value.Rows*d.Value.Cols {
			return fmt.Errorf("parameter %s: value and gradient are not float32 of one size", d.Name)
		}
	}
	if !o.fixed {
		o.params = make([]param, len(dense))
		for i, d := range dense {
			p := param{name: d.Name}
			for j := range stateCount(o.c.Optimizer) {
				p.state[j] = graph.NewTensor(d.Value.Rows, d.Value.Cols)
			}
			o.params[i] = p
		}
		o.fixed = true
	}
	if len(dense) != len(o.params) {
		return fmt.Errorf("%d parameters, want %d as before", len(dense), len(o.params))
	}
	for i, d := range dense {
		if o.params[i].name != d.Name && !o.order(i, d.Name) {
			return fmt.Errorf("parameter %s was not there before", d.Name)
		}
		for _, s := range o.params[i].state[:stateCount(o.c.Optimizer)] {
			if s.Rows != d.Value.Rows || s.Cols != d.Value.Cols {
				return fmt.Errorf("parameter %s is [%d, %d], its state [%d, %d]", d.Name, d.Value.Rows, d.Value.Cols, s.Rows, s.Cols)
			}
		}
	}
	for i, r := range rows {
		if len(r.Grads) != len(r.Slots)*r.Table.Dim() {
			return fmt.Errorf("table %s: %d floats of gradient for %d rows of %d", r.Table.Name(), len(r.Grads), len(r.Slots), r.Table.Dim())
		}
		if want := o.c.StateSize(r.Table.Dim()); r.Table.StateSize() != want {
			return fmt.Errorf("table %s keeps %d floats of state a row, %s needs %d", r.Table.Name(), r.Table.StateSize(), o.c.EmbeddingOptimizer, want)
		}
		for _, q := range rows[:i] {
			if q.Table == r.Table {
				return fmt.Errorf("table %s is there twice", r.Table.Name())
			}
		}
	}
	o.dense, o.rows = dense, rows
	return nil
}

// order brings the state of a parameter to place i and reports whether there is one.
func (o *Optimizer) order(i int, name string) bool {
	for j := i + 1; j < len(o.params); j++ {
		if o.params[j].name == name {
			o.params[i], o.params[j] = o.params[j], o.params[i]
			return true
		}
	}
	return false
}

// plan cuts the step's work into blocks: sums for the norms, moves for the update.
func (o *Optimizer) plan() {
	o.sums, o.moves, o.base = o.sums[:0], o.moves[:0], o.base[:0]
	for i, d := range o.dense {
		n := len(d.Value.F32)
		for lo := 0; lo < n; lo += denseGrain {
			o.sums = append(o.sums, block{denseBlock, i, lo, min(lo+denseGrain, n)})
		}
	}
	o.moves, o.denseBlocks = append(o.moves, o.sums...), len(o.sums)
	full := o.c.EmbeddingOptimizer == AdamName
	slots := 0
	for i, r := range o.rows {
		o.base = append(o.base, slots)
		for lo := 0; lo < len(r.Slots); lo += rowsGrain {
			b := block{rowsBlock, i, lo, min(lo+rowsGrain, len(r.Slots))}
			o.sums = append(o.sums, b)
			if !full {
				o.moves = append(o.moves, b)
			}
		}
		if !full {
			continue
		}
		slots += r.Table.Len()
		o.zeros = resize(o.zeros, max(len(o.zeros), r.Table.Dim()))
		for c := range r.Table.Chunks() {
			b := block{chunkBlock, i, c, c + 1}
			if o.c.EmbeddingL2 > 0 {
				o.sums = append(o.sums, b)
			}
			o.moves = append(o.moves, b)
		}
	}
	o.partial = resize(o.partial, len(o.sums))
	if full {
		o.at = resize(o.at, slots)
	}
}

// resize returns s with n elements, the old ones kept and new ones zero, growing by half at least.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	t := make([]T, n, n+n/2)
	copy(t, s)
	return t
}

// sumBlocks computes the partial sums of blocks and adds the regulariser to dense gradients.
func (o *Optimizer) sumBlocks(lo, hi int) {
	for i := lo; i < hi; i++ {
		b := o.sums[i]
		var p partial
		switch b.kind {
		case denseBlock:
			w, g := o.dense[b.i].Value.F32[b.lo:b.hi], o.dense[b.i].Grad.F32[b.lo:b.hi]
			if o.c.NetL2 > 0 {
				p.squares = kernel.SumSquares(w)
				kernel.Axpy(float32(o.c.NetL2), w, g)
			}
			p.norm = kernel.SumSquares(g)
		case chunkBlock:
			w, _ := o.rows[b.i].Table.Chunk(b.lo)
			p.squares = kernel.SumSquares(w)
			p.norm = o.c.EmbeddingL2 * o.c.EmbeddingL2 * p.squares
		case rowsBlock:
			p = o.sumRows(b)
		}
		o.partial[i] = p
	}
}

// sumRows sums over rows of the batch. ‖g+λw‖² = ‖g‖² + 2λ·g·w + λ²‖w‖²: of a full table the chunks give the last term and Σw², for all rows.
func (o *Optimizer) sumRows(b block) (p partial) {
	r := &o.rows[b.i]
	n, dim, l2 := uint32(r.Table.Len()), r.Table.Dim(), o.c.EmbeddingL2
	full := o.c.EmbeddingOptimizer == AdamName
	for i, s := range r.Slots[b.lo:b.hi] {
		if s >= n {
			p.bad = true
			return p
		}
		if full {
			o.at[o.base[b.i]+int(s)] = int32(b.lo + i + 1)
		}
	}
	if l2 == 0 {
		p.norm = kernel.SumSquares(r.Grads[b.lo*dim : b.hi*dim])
		return p
	}
	for i := b.lo; i < b.hi; i++ {
		s := r.Slots[i]
		g := r.Grads[i*dim:][:dim]
		w := r.Table.Row(s)[:len(g)]
		var gg, gw float64
		for j, x := range g {
			gg += float64(x) * float64(x)
			gw += float64(x) * float64(w[j])
		}
		p.norm += gg + 2*l2*gw
		if !full {
			ww := kernel.SumSquares(w)
			p.squares += ww
			p.norm += l2 * l2 * ww
		}
	}
	return p
}

// moveBlocks updates the weights of blocks.
func (o *Optimizer) moveBlocks(lo, hi int) {
	for i := lo; i < hi; i++ {
		b := o.moves[i]
		switch b.kind {
		case denseBlock:
			w, g := o.dense[b.i].Value.F32[b.lo:b.hi], o.dense[b.i].Grad.F32[b.lo:b.hi]
			if o.scale != 1 {
				kernel.Scale(float32(o.scale), g)
			}
			var s [2][]float32
			for j, t := range o.params[b.i].state[:stateCount(o.c.Optimizer)] {
				s[j] = t.F32[b.lo:b.hi]
			}
			o.move(w, g, s[0], s[1])
			if o.c.Optimizer == LAMBName {
				o.partial[i] = partial{squares: kernel.SumSquares(w), norm: kernel.SumSquares(g)}
			}
		case chunkBlock:
			o.moveChunk(b)
		case rowsBlock:
			o.moveRows(b)
		}
	}
}

// rowsListed is how many rows are moved in one call of a kernel.
const rowsListed = 128

// moveChunk moves every row of a full table's chunk: those of the batch by their gradient, the others by the regulariser's alone.
func (o *Optimizer) moveChunk(b block) {
	var w, state, grads [rowsListed][]float32
	r := &o.rows[b.i]
	t := r.Table
	dim, zeros := t.Dim(), o.zeros[:t.Dim()]
	first := b.lo * table.ChunkRows
	at := o.at[o.base[b.i]+first:][:min(table.ChunkRows, t.Len()-first)]
	for slot := first; len(at) > 0; slot += rowsListed {
		n := min(rowsListed, len(at))
		for i, k := range at[:n] {
			s := uint32(slot + i)
			w[i], state[i], grads[i] = t.Row(s), t.State(s), zeros
			if k > 0 {
				grads[i] = r.Grads[int(k-1)*dim:][:dim]
			}
		}
		clear(at[:n])
		o.moveListed(w[:n], state[:n], grads[:n], dim)
		at = at[n:]
	}
}

// moveRows moves rows of the batch.
func (o *Optimizer) moveRows(b block) {
	var w, state, grads [rowsListed][]float32
	r := &o.rows[b.i]
	t, dim := r.Table, r.Table.Dim()
	for lo := b.lo; lo < b.hi; lo += rowsListed {
		n := min(rowsListed, b.hi-lo)
		for i, s := range r.Slots[lo : lo+n] {
			w[i], state[i], grads[i] = t.Row(s), t.State(s), r.Grads[(lo+i)*dim:][:dim]
		}
		o.moveListed(w[:n], state[:n], grads[:n], dim)
	}
}

// touchRows marks the rows of whole tables as changed: marks of one table share words.
func (o *Optimizer) touchRows(lo, hi int) {
	for _, r := range o.rows[lo:hi] {
		if o.c.EmbeddingOptimizer == AdamName && !r.Table.Tracks() {
			continue
		}
		for _, s := range r.Slots {
			r.Table.Touch(s)
		}
	}
}

// moveListed applies the rule of the rows to their weights, states and gradients, to which the regulariser's is still to be added.
func (o *Optimizer) moveListed(w, state, grads [][]float32, dim int) {
	l2, scale, eps := float32(o.c.EmbeddingL2), float32(o.scale), o.c.eps(o.c.EmbeddingOptimizer)
	switch o.c.EmbeddingOptimizer {
	case SparseAdamName: // torch.optim.SparseAdam adds ε before the second moment's correction, so it is corrected with it
		eps /= math.Sqrt(o.corr2)
		fallthrough
	case AdamName:
		kernel.AdamRows(w, state, grads, dim, l2, scale, o.lr, o.c.Beta1, o.c.Beta2, eps, o.corr1, o.corr2)
	case AdagradName:
		kernel.AdagradRows(w, state, grads, dim, l2, scale, o.lr, eps)
	case FTRLName:
		kernel.FTRLRows(w, state, grads, dim, l2, scale, o.lr, o.c.FTRLBeta, o.c.FTRLL1, o.c.FTRLL2)
	case LAMBName: // a row is a layer of its own
		kernel.LambRows(w, state, grads, dim, l2, scale, o.c.Beta1, o.c.Beta2, eps, o.corr1, o.corr2, o.c.WeightDecay)
		for i, g := range grads {
			kernel.Axpy(float32(-o.lr*trustRatio(kernel.SumSquares(w[i]), kernel.SumSquares(g))), g, w[i])
		}
	default:
		for i, g := range grads {
			kernel.Axpy(l2, w[i], g)
			kernel.Axpy(-scale*float32(o.lr), g, w[i])
		}
	}
}

// trustRatio is LAMB's ‖w‖/‖direction‖ of a layer from the squares, 1 where either is zero.
func trustRatio(w, direction float64) float64 {
	if w == 0 || direction == 0 {
		return 1
	}
	return math.Sqrt(w / direction)
}

// trust finds the ratio of each dense parameter from what its blocks left.
func (o *Optimizer) trust() {
	o.ratios = resize(o.ratios, len(o.dense))
	for first := 0; first < o.denseBlocks; {
		i, sum := o.moves[first].i, partial{}
		for ; first < o.denseBlocks && o.moves[first].i == i; first++ {
			sum.squares += o.partial[first].squares
			sum.norm += o.partial[first].norm
		}
		o.ratios[i] = trustRatio(sum.squares, sum.norm)
	}
}

// goBlocks takes the steps along the directions that LAMB found.
func (o *Optimizer) goBlocks(lo, hi int) {
	for _, b := range o.moves[lo:hi] {
		d := &o.dense[b.i]
		kernel.Axpy(float32(-o.lr*o.ratios[b.i]), d.Grad.F32[b.lo:b.hi], d.Value.F32[b.lo:b.hi])
	}
}

// move applies the dense rule to weights w with gradient g and states a and b; LAMB's leaves the weights and puts its direction in g.
func (o *Optimizer) move(w, g, a, b []float32) {
	eps := o.c.eps(o.c.Optimizer)
	switch o.c.Optimizer {
	case SGDName:
		kernel.Axpy(float32(-o.lr), g, w)
	case AdagradName:
		kernel.Adagrad(w, a, g, o.lr, eps)
	case FTRLName:
		kernel.FTRL(w, a, b, g, o.lr, o.c.FTRLBeta, o.c.FTRLL1, o.c.FTRLL2)
	case LAMBName:
		kernel.LambDirection(w, a, b, g, o.c.Beta1, o.c.Beta2, eps, o.corr1, o.corr2, o.c.WeightDecay)
	default:
		kernel.Adam(w, a, b, g, o.lr, o.c.Beta1, o.c.Beta2, eps, o.corr1, o.corr2)
	}
}
