// Package graph is the bridge to Gorgonia: a graph of coarse, fused operations with their own gradients, and a plan of our own
// that runs it without allocations.
//
// Gorgonia keeps the expression graph and the symbolic differentiation; the operations here implement its Op and SDOp
// interfaces, and Plan flattens the graph once into steps over preallocated buffers. Every value is a row-major matrix
// [rows, cols]: cols are fixed when the graph is built, rows may differ from run to run (the batch, the ragged behaviours).
// Building panics on a programmer's mistake and is recovered at one boundary (Build); running returns errors.
package graph

// Node is a value in a graph: an input, a parameter or the output of an operation. Cols is its width.
type Node struct {
	Cols int
	// the rest is private to the package
}

// Graph is under construction until it is compiled to a Plan. It is not safe for concurrent use.
type Graph struct{}

// New returns an empty graph of the given element type.
func New(dtype DType) *Graph { panic("contract") }

// Build runs f and turns the panics of graph construction into an error.
func Build(f func()) (err error) { panic("contract") }

// Input adds a value given at each run: [rows, cols] with rows free. Names are unique within a graph.
func (g *Graph) Input(name string, cols int) *Node { panic("contract") }

// Param adds a trainable value [rows, cols] bound once.
func (g *Graph) Param(name string, rows, cols int) *Node { panic("contract") }

// Ragged holds the boundaries of ragged rows: segment b covers rows Offsets[b] to Offsets[b+1] of a flattened [T, cols] value.
// It is shared by the operations built on it; set Offsets before each run. len(Offsets) is batch rows + 1.
type Ragged struct{ Offsets []int32 }

// Activation names a fused element-wise function.
type Activation int

const (
	Identity Activation = iota
	ReLU                // derivative 0 at 0
	SigmoidAct
	TanhAct
)

// Linear returns act(x·w + b): x [B, in], w [in, out], b [1, out] or nil.
func Linear(x, w, b *Node, act Activation) *Node { panic("contract") }

// Apply returns act(x) element by element.
func Apply(x *Node, act Activation) *Node { panic("contract") }

// PReLU returns max(0,x) + alpha·min(0,x), alpha [1, cols] (models: one slope a unit).
func PReLU(x, alpha *Node) *Node { panic("contract") }

// Stats are the running statistics of a normalisation: float buffers that training updates and inference reads. Mean starts 0, Var 1; [1, cols].
type Stats struct{ Mean, Var *Tensor }

// BatchNorm normalises each column over the rows: gamma·(x−mean)/sqrt(var+eps) + beta. In training it uses the batch's mean and biased variance and moves the running
// statistics by momentum (new = (1−momentum)·old + momentum·batch, the batch variance unbiased, n/(n−1)); in inference it uses the running ones. gamma and beta [1, cols], or both nil for no affine part.
func BatchNorm(x, gamma, beta *Node, s *Stats, eps, momentum float64) *Node { panic("contract") }

// Dice is DIN's activation p·x + (1−p)·alpha·x with p = sigmoid((x−mean)/sqrt(var+eps)); statistics as in BatchNorm (din.md section 4). alpha [1, cols].
func Dice(x, alpha *Node, s *Stats, eps, momentum float64) *Node { panic("contract") }

// Dropout zeroes elements with probability rate in training and scales the rest by 1/(1−rate); identity in inference. The mask depends only on the plan's seed, its step and the operation's position.
func Dropout(x *Node, rate float64) *Node { panic("contract") }

// Add, Sub and Mul are element-wise over equal shapes; AddRow adds a [1, cols] row to every row; Scale multiplies by a constant.
func Add(a, b *Node) *Node               { panic("contract") }
func Sub(a, b *Node) *Node               { panic("contract") }
func Mul(a, b *Node) *Node               { panic("contract") }
func AddRow(x, row *Node) *Node          { panic("contract") }
func Scale(x *Node, alpha float64) *Node { panic("contract") }

// Concat joins values with equal rows side by side; Slice takes columns [from, to).
func Concat(xs ...*Node) *Node          { panic("contract") }
func Slice(x *Node, from, to int) *Node { panic("contract") }

// RowSum returns the sum over the columns, [B, 1].
func RowSum(x *Node) *Node { panic("contract") }

// Repeat turns a row [1, cols] into [B, cols], with B the rows of like: a learned vector shared by the batch.
func Repeat(row, like *Node) *Node { panic("contract") }

// RepeatSegments copies row b of x [B, cols] to each row of segment b: [T, cols].
func RepeatSegments(x *Node, r *Ragged) *Node { panic("contract") }

// Gate returns 2·sigmoid(g)·e element by element: FinalMLP's stream-specific gate (finalmlp.md section 2).
func Gate(g, e *Node) *Node { panic("contract") }

// BilinearFusion returns Σ_j x^(j)T·W^(j)·y^(j), [B, 1]: x [B, p], y [B, q], k contiguous heads, w [k·(p/k)·(q/k), 1] flat in order (j, a, b) (finalmlp.md section 4, without the linear terms).
func BilinearFusion(x, y, w *Node, heads int) *Node { panic("contract") }

// AttentionInput is the first layer of DIN's unit, linear(concat[q; k; q−k; q∘k]) + b without building the concatenation: q [B, H] repeated over its segment, k [T, H], w [4H, out], b [1, out] → [T, out].
// Computed as q·(Wq+Wd) once a candidate, k·(Wk−Wd) once a behaviour and (q∘k)·Wp (din.md section 2).
func AttentionInput(q, k, w, b *Node, r *Ragged) *Node { panic("contract") }

// SegmentSoftmax is the softmax of a [T, 1] over each segment, after multiplying by scale; an empty segment yields nothing.
func SegmentSoftmax(a *Node, r *Ragged, scale float64) *Node { panic("contract") }

// SegmentWeightedSum returns v_b = Σ_{t in b} a_t·k_t: a [T, 1] (nil: all ones), k [T, H] → [B, H]; an empty segment gives zeros.
func SegmentWeightedSum(a, k *Node, r *Ragged) *Node { panic("contract") }

// BCEWithLogits returns the mean of weight·(softplus(z) − y·z) as a scalar: logits, labels [B, 1], weights [B, 1] or nil; the mean divides by the sum of weights. The loss is accumulated in float64.
// A label that is NaN is a missing label and does not count.
func BCEWithLogits(logits, labels, weights *Node) *Node { panic("contract") }

// SumScalars adds scalar losses (several tasks).
func SumScalars(xs ...*Node) *Node { panic("contract") }

// Plan is a graph flattened to steps. It owns its buffers and runs on one goroutine; make one plan a goroutine.
type Plan struct{}

// Compile flattens what is needed for the outputs into an inference plan (running statistics, no dropout).
func (g *Graph) Compile(outputs ...*Node) (*Plan, error) { panic("contract") }

// CompileTraining flattens loss, the gradients of loss with respect to wrt, and any further outputs.
func (g *Graph) CompileTraining(loss *Node, wrt []*Node, outputs ...*Node) (*Plan, error) {
	panic("contract")
}

// Bind gives an input or parameter its tensor; the plan reads it at every run until bound anew. Several plans may share a parameter's tensor.
func (p *Plan) Bind(n *Node, t *Tensor) { panic("contract") }

// SetStep fixes the seed and step number from which dropout masks are drawn.
func (p *Plan) SetStep(seed, step uint64) { panic("contract") }

// Run executes the plan. It returns an error for shapes that do not fit or inputs that are not bound.
func (p *Plan) Run() error { panic("contract") }

// Value returns a node's tensor of the last run; Grad the gradient of the loss with respect to n, which must be in wrt.
func (p *Plan) Value(n *Node) *Tensor { panic("contract") }
func (p *Plan) Grad(n *Node) *Tensor  { panic("contract") }
