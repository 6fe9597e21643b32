package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FieldAttention is multi-head self-attention among the fields of each batch row (AutoInt, CIKM 2019, equations 5 to 7): q, k, v [B·fields, heads·d],
// a batch row's fields consecutive. For each head, α = softmax over the fields of scale·⟨q_m, k_n⟩ and the result is Σ_n α_mn·v_n, heads side by side.
// rate is the dropout of α in training.
func FieldAttention(q, k, v *Node, fields, heads int, scale, rate float64) *Node {
	sameCols("FieldAttention", q, k)
	sameCols("FieldAttention", q, v)
	y, _ := FieldAttentionOf(Concat(q, k, v), nil, q.Cols, fields, heads, scale, rate)
	return y
}

// FieldAttentionOf is FieldAttention of queries, keys and values side by side, as one product gives them, plus a residual: p [B·fields, 3·width] or, with the
// residual as a fourth block, [B·fields, 4·width]; or the residual is x [B·fields, width]; or x is nil and there is none. It also returns α [B·fields, heads·fields]
// before dropout, row (b, n) and column (h, m) the weight of field n for field m: to be read, it has no gradient.
func FieldAttentionOf(p, x *Node, width, fields, heads int, scale, rate float64) (y, alpha *Node) {
	if fields < 1 || heads < 1 || width < 1 || width%heads != 0 {
		fail("FieldAttention: %d fields, %d heads, %d columns", fields, heads, width)
	}
	if p.Cols != 3*width && (p.Cols != 4*width || x != nil) {
		fail("FieldAttention: %d columns are not the blocks of width %d", p.Cols, width)
	}
	if rate < 0 || rate >= 1 {
		fail("FieldAttention: dropout rate %g is not in [0, 1)", rate)
	}
	o := fieldAttentionOp{fields: fields, heads: heads, width: width, scale: scale, rate: rate}
	if rate > 0 {
		p.g.dropouts++
		o.position = p.g.dropouts
	}
	inputs := []*Node{p}
	if x != nil {
		if x.Cols != width {
			fail("FieldAttention: a residual of %d columns, want %d", x.Cols, width)
		}
		inputs = append(inputs, x)
	}
	return applyTwo(o, []shape{{p.rows, width, false}, {p.rows, heads * fields, false}}, inputs...)
}

// fieldAttentionOp: (p, [x]) → result, α [B·fields, heads·fields] before dropout.
type fieldAttentionOp struct {
	fields, heads, width int
	scale, rate          float64
	position             uint64
}

func (o fieldAttentionOp) String() string {
	return fmt.Sprintf("attention among %d fields", o.fields)
}

func (o fieldAttentionOp) rows(_ *env, in []*Tensor, out []int) error {
	if in[0].Rows%o.fields != 0 {
		return fmt.Errorf("%d rows are not rows of %d fields", in[0].Rows, o.fields)
	}
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in...)
}

func (o fieldAttentionOp) differentiable(inputs int) []bool { return all(inputs) }

func (o fieldAttentionOp) grads(d *derivation) []*gorgonia.Node {
	grads := d.apply(fieldAttentionGrad{of: o}, d.in[:1], d.in[0], d.aux(1), d.grad)
	if len(d.in) > 1 {
		grads = append(grads, d.grad)
	}
	return grads
}

func (o fieldAttentionOp) runner(e *env) runner {
	return pick(e, newFieldAttention[float32](o, e).forward(), newFieldAttention[float64](o, e).forward())
}

// fieldAttention is the work of both passes. A batch is cut into parts for the threads and these into blocks of a few batch rows, whose values and weights stay in the
// nearest caches. Weights of a block are held as α is, [rows·fields, heads·fields] with row (r, n) and column (h, m): what the softmax and its gradient add up over n are then
// whole vectors over (h, m), and a transposed product is a matter of strides.
type fieldAttention[T kernel.Float] struct {
	fieldAttentionOp
	env   *env
	coins coins[T]
	key   uint64

	p, x, alpha, y, dy, dp []T
	rows, ld, parts        int // rows of the batch, columns of p
	space                  []T // [parts, spaceOf()]
}

func newFieldAttention[T kernel.Float](o fieldAttentionOp, e *env) *fieldAttention[T] {
	return &fieldAttention[T]{fieldAttentionOp: o, env: e, coins: newCoins[T](o.rate)}
}

// attentionParts is into how many ranges the batch is cut at most.
const attentionParts = 32

// block returns how many batch rows are computed together: eight or sixteen, so that their fields fill vectors when they are transposed.
func (o fieldAttentionOp) block() int {
	if o.fields%2 == 0 {
		return 8
	}
	return 16
}

// attentionSpace is the scratch of one part.
type attentionSpace[T kernel.Float] struct {
	turned         []T // [width, rows·fields]: queries or gradients of the result, transposed
	weights, other []T // [rows·fields, heads·fields]
	sums, tops     []T // [rows·heads·fields]
}

func (a *fieldAttention[T]) run(rows, cols int, part func(lo, hi int)) {
	a.rows, a.ld, a.key = rows/a.fields, cols, a.env.key(a.position)
	a.parts = max(min(a.rows*a.fields*cols/elementGrain, attentionParts), 1)
	a.space = resized(a.space, a.parts*a.spaceSize())
	kernel.Parallel(a.parts, 1, part)
}

func (a *fieldAttention[T]) spaceSize() int {
	lanes := a.block() * a.heads * a.fields
	return a.width*a.block()*a.fields + 2*lanes*a.fields + 2*lanes
}

func (a *fieldAttention[T]) spaceOf(part int) attentionSpace[T] {
	lanes := a.block() * a.heads * a.fields
	s := a.space[part*a.spaceSize() : (part+1)*a.spaceSize()]
	next := func(n int) []T {
		x := s[:n:n]
		s = s[n:]
		return x
	}
	return attentionSpace[T]{next(a.width * a.block() * a.fields), next(lanes * a.fields), next(lanes * a.fields), next(lanes), next(lanes)}
}

// drop writes x∘mask to dst, the mask that of the elements of α from the given one.
func (a *fieldAttention[T]) drop(dst, x []T, from int) {
	for i := 0; i < len(x); {
		if (from+i)%4 == 0 && i+4 <= len(x) && a.coins.four(a.key, uint64(from+i)/4, dst[i:i+4], x[i:i+4]) {
			i += 4
			continue
		}
		dst[i] = x[i] * a.coins.factor(a.key, from+i)
		i++
	}
}

// four does elements [4q, 4q+4) of the stream as quads does, or returns false where a second draw is needed.
func (c *coins[T]) four(key, q uint64, y, x []T) bool {
	bits := mix(key + q*weyl)
	v0, v1, v2, v3 := bits&0xffff, bits>>16&0xffff, bits>>32&0xffff, bits>>48
	if v0 == c.whole || v1 == c.whole || v2 == c.whole || v3 == c.whole {
		return false
	}
	x, y = x[:4:4], y[:4:4]
	y[0] = x[0] * c.scale[(v0-c.whole)>>63]
	y[1] = x[1] * c.scale[(v1-c.whole)>>63]
	y[2] = x[2] * c.scale[(v2-c.whole)>>63]
	y[3] = x[3] * c.scale[(v3-c.whole)>>63]
	return true
}

func (a *fieldAttention[T]) forward() runner {
	part := func(first, last int) {
		for i := first; i < last; i++ {
			s := a.spaceOf(i)
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r += a.block() {
				a.forwardBlock(&s, r, min(r+a.block(), hi))
			}
		}
	}
	return func(in, out []*Tensor) {
		a.p, a.x = data[T](in[0]), nil
		if len(in) > 1 {
			a.x = data[T](in[1])
		}
		a.y, a.alpha = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

func (a *fieldAttention[T]) forwardBlock(s *attentionSpace[T], lo, hi int) {
	m, w, d, wide, n := a.fields, a.width, a.width/a.heads, a.heads*a.fields, hi-lo
	lanes := n * wide // scores lie as [fields, rows·heads·fields] until they are weights
	scores, weights := s.other[:m*lanes], s.weights[:n*m*wide]
	if a.alpha != nil {
		weights = a.alpha[lo*m*wide : hi*m*wide]
	}
	kernel.Transpose(s.turned, n*m, a.p[lo*m*a.ld:], a.ld, n*m, w)
	for r := range n {
		for h := range a.heads {
			kernel.GemmInPlace(m, m, d, a.p[(lo+r)*m*a.ld+w+h*d:], a.ld, 1, s.turned[h*d*n*m+r*m:], n*m, false, scores[r*wide+h*m:], lanes)
		}
	}
	if a.scale != 1 {
		kernel.Scale(T(a.scale), scores)
	}
	a.softmax(s, scores, weights, lanes)
	if a.y == nil {
		return
	}
	if a.rate > 0 && a.env.training {
		dropped := s.other[:n*m*wide]
		a.drop(dropped, weights, lo*m*wide)
		weights = dropped
	}
	for r := range n {
		a.addResidual(lo + r)
		for h := range a.heads {
			kernel.GemmInPlace(m, d, m, weights[r*m*wide+h*m:], 1, wide, a.p[(lo+r)*m*a.ld+2*w+h*d:], a.ld, true, a.y[(lo+r)*m*w+h*d:], w)
		}
	}
}

// softmax over the rows of scores [fields, lanes]; the weights go to their places. A top that is rounded serves as well: it only keeps the exponentials in range.
func (a *fieldAttention[T]) softmax(s *attentionSpace[T], scores, weights []T, lanes int) {
	m, wide := a.fields, a.heads*a.fields
	tops, sums := s.tops[:lanes], s.sums[:lanes]
	copy(tops, scores)
	for f := 1; f < m; f++ {
		kernel.Sub(sums, scores[f*lanes:(f+1)*lanes], tops)
		kernel.Relu(sums, sums)
		kernel.Add(tops, tops, sums)
	}
	for f := range m {
		kernel.Sub(scores[f*lanes:(f+1)*lanes], scores[f*lanes:(f+1)*lanes], tops)
	}
	kernel.Exp(scores, scores)
	kernel.ColSums(sums, scores, m, lanes, lanes, false)
	for i, v := range sums {
		sums[i] = 1 / v
	}
	for r := range lanes / wide {
		for f := range m {
			kernel.Mul(weights[(r*m+f)*wide:(r*m+f+1)*wide], scores[f*lanes+r*wide:f*lanes+(r+1)*wide], sums[r*wide:(r+1)*wide])
		}
	}
}

// addResidual starts the result of a batch row with its residual.
func (a *fieldAttention[T]) addResidual(r int) {
	m, w := a.fields, a.width
	y := a.y[r*m*w : (r+1)*m*w]
	switch {
	case a.x != nil:
		copy(y, a.x[r*m*w:])
	case a.ld == 4*w:
		for f := range m {
			copy(y[f*w:(f+1)*w], a.p[(r*m+f)*a.ld+3*w:])
		}
	default:
		clear(y)
	}
}

// fieldAttentionGrad: (p, α, dy) → dp.
type fieldAttentionGrad struct {
	backward
	of fieldAttentionOp
}

func (o fieldAttentionGrad) String() string { return o.of.String() + " gradient" }

func (o fieldAttentionGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0)
}

func (o fieldAttentionGrad) runner(e *env) runner {
	return pick(e, newFieldAttention[float32](o.of, e).backward(), newFieldAttention[float64](o.of, e).backward())
}

// With α' the weights after dropout: dv = α'T·dy, dα = mask∘(dy·vT), ds = scale·α∘(dα − Σ α∘dα), dq = ds·k, dk = dsT·q; the residual's is dy.
func (a *fieldAttention[T]) backward() runner {
	part := func(first, last int) {
		for i := first; i < last; i++ {
			s := a.spaceOf(i)
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r += a.block() {
				a.backwardBlock(&s, r, min(r+a.block(), hi))
			}
		}
	}
	return func(in, out []*Tensor) {
		a.p, a.alpha, a.dy, a.dp = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

func (a *fieldAttention[T]) backwardBlock(s *attentionSpace[T], lo, hi int) {
	m, w, d, wide, n := a.fields, a.width, a.width/a.heads, a.heads*a.fields, hi-lo
	alpha, ds := a.alpha[lo*m*wide:hi*m*wide], s.weights[:n*m*wide]
	dropped := alpha
	kernel.Transpose(s.turned, n*m, a.dy[lo*m*w:], w, n*m, w)
	for r := range n {
		for h := range a.heads {
			kernel.GemmInPlace(m, m, d, a.p[(lo+r)*m*a.ld+2*w+h*d:], a.ld, 1, s.turned[h*d*n*m+r*m:], n*m, false, ds[r*m*wide+h*m:], wide)
		}
	}
	if a.rate > 0 {
		dropped = s.other[:n*m*wide]
		a.drop(ds, ds, lo*m*wide)
		a.drop(dropped, alpha, lo*m*wide)
	}
	for r := range n {
		for h := range a.heads {
			kernel.GemmInPlace(m, d, m, dropped[r*m*wide+h*m:], wide, 1, a.dy[(lo+r)*m*w+h*d:], w, false, a.dp[(lo+r)*m*a.ld+2*w+h*d:], a.ld)
		}
	}
	sums := s.sums[:wide]
	for r := range n {
		clear(sums)
		for i := r * m * wide; i < (r+1)*m*wide; i += wide {
			kernel.MulAdd(sums, alpha[i:i+wide], ds[i:i+wide])
		}
		for i := r * m * wide; i < (r+1)*m*wide; i += wide {
			kernel.Sub(ds[i:i+wide], ds[i:i+wide], sums)
		}
	}
	kernel.Mul(ds, ds, alpha)
	if a.scale != 1 {
		kernel.Scale(T(a.scale), ds)
	}
	for r := range n {
		for h := range a.heads {
			at, weights := (lo+r)*m*a.ld+h*d, ds[r*m*wide+h*m:]
			kernel.GemmInPlace(m, d, m, weights, 1, wide, a.p[at+w:], a.ld, false, a.dp[at:], a.ld)
			kernel.GemmInPlace(m, d, m, weights, wide, 1, a.p[at:], a.ld, false, a.dp[at+w:], a.ld)
		}
		if a.ld == 4*w {
			for f := (lo + r) * m; f < (lo+r+1)*m; f++ {
				copy(a.dp[f*a.ld+3*w:(f+1)*a.ld], a.dy[f*w:])
			}
		}
	}
}

// applyTwo adds one use of op and returns its first two outputs.
func applyTwo(op operation, outs []shape, inputs ...*Node) (*Node, *Node) {
	first := apply(op, outs, inputs...)
	o := first.expr.Op().(*output)
	exprs := make([]*gorgonia.Node, len(inputs))
	for i, n := range inputs {
		exprs[i] = n.expr
	}
	second := &Node{Cols: outs[1].cols, g: first.g, expr: o.node(1, first.g.forward, exprs), rows: outs[1].rows, scalar: outs[1].scalar}
	first.g.nodes = append(first.g.nodes, second)
	return first, second
}
