package graph

import "github.com/millrace/millrace/core/kernel"

// attentionShape is multi-head self-attention among the fields of each batch row (AutoInt, CIKM 2019, equations 5 to 7), of queries, keys and values side by side: p [B·fields, 3·width], a batch
// row's fields consecutive, or [B·fields, 4·width] with the residual as a fourth block. For each head, α = softmax over the fields of scale·⟨q_m, k_n⟩ and the result is Σ_n α_mn·v_n, heads side by
// side. rate is the dropout of α in training, position the stream that its masks come from.
type attentionShape struct {
	fields, heads, width int
	scale, rate          float64
	position             uint64
}

// attentionRows computes attention among fields and its gradient, block after block of a few batch rows, whose values and weights stay in the
// nearest caches. Weights of a block are held as α is, [rows·fields, heads·fields] with row (r, n) and column (h, m): what the softmax and its gradient add up over n are then
// whole vectors over (h, m), and a transposed product is a matter of strides.
type attentionRows[T kernel.Float] struct {
	attentionShape
	coins coins[T]
	key   uint64
	drops bool // this run drops weights
	ld    int  // columns of p
}

func newAttentionRows[T kernel.Float](o attentionShape) attentionRows[T] {
	return attentionRows[T]{attentionShape: o, coins: newCoins[T](o.rate)}
}

// attentionBlock is what belongs to some batch rows: p and dp [rows·fields, ld], x, y and dy [rows·fields, width], alpha [rows·fields, heads·fields]. What a pass does not use is nil.
type attentionBlock[T kernel.Float] struct {
	p, x, alpha, y, dy, dp []T
	ahead                  []T // the rows of p that follow, as far as it is worth asking for them early
	first, rows            int // the number of the first row in the batch, for its masks; how many there are
}

// cut returns rows lo to hi of b.
func (a *attentionRows[T]) cut(b *attentionBlock[T], lo, hi int) attentionBlock[T] {
	rows := func(x []T, cols int) []T {
		if x == nil {
			return nil
		}
		return x[lo*a.fields*cols : hi*a.fields*cols]
	}
	return attentionBlock[T]{
		p: rows(b.p, a.ld), x: rows(b.x, a.width), alpha: rows(b.alpha, a.heads*a.fields), y: rows(b.y, a.width), dy: rows(b.dy, a.width), dp: rows(b.dp, a.ld),
		first: b.first + lo, rows: hi - lo,
	}
}

// block returns how many batch rows are computed together: eight or sixteen, so that their fields fill vectors when they are transposed.
func (o attentionShape) block() int {
	if o.fields%2 == 0 {
		return 8
	}
	return 16
}

// attentionSpace is the scratch of one thread.
type attentionSpace[T kernel.Float] struct {
	turned         []T // [width, rows·fields]: queries or gradients of the result, transposed
	weights, other []T // [rows·fields, heads·fields]
	sums, tops     []T // [rows·heads·fields]
}

func (o attentionShape) spaceSize() int {
	lanes := o.block() * o.heads * o.fields
	return o.width*o.block()*o.fields + 2*lanes*o.fields + 2*lanes
}

// spaceOf cuts spaceSize elements.
func (a *attentionRows[T]) spaceOf(s []T) attentionSpace[T] {
	lanes := a.block() * a.heads * a.fields
	next := func(n int) []T {
		x := s[:n:n]
		s = s[n:]
		return x
	}
	return attentionSpace[T]{next(a.width * a.block() * a.fields), next(lanes * a.fields), next(lanes * a.fields), next(lanes), next(lanes)}
}

// forwardRows computes y and α from p and x; nil ones are left out.
func (a *attentionRows[T]) forwardRows(s *attentionSpace[T], b attentionBlock[T]) {
	for r := 0; r < b.rows; r += a.block() {
		block := a.cut(&b, r, min(r+a.block(), b.rows))
		a.forwardBlock(s, &block)
	}
}

// backwardRows computes dp from p, α and dy.
func (a *attentionRows[T]) backwardRows(s *attentionSpace[T], b attentionBlock[T]) {
	for r := 0; r < b.rows; r += a.block() {
		end := min(r+a.block(), b.rows)
		block := a.cut(&b, r, end)
		if block.ahead = b.ahead; end < b.rows {
			block.ahead = b.p[end*a.fields*a.ld:]
		}
		a.backwardBlock(s, &block)
	}
}

func (a *attentionRows[T]) forwardBlock(s *attentionSpace[T], b *attentionBlock[T]) {
	m, w, d, wide, n := a.fields, a.width, a.width/a.heads, a.heads*a.fields, b.rows
	lanes := n * wide // scores lie as [fields, rows·heads·fields] until they are weights
	scores, weights := s.other[:m*lanes], s.weights[:n*m*wide]
	if b.alpha != nil {
		weights = b.alpha
	}
	kernel.Transpose(s.turned, n*m, b.p, a.ld, n*m, w)
	for r := range n {
		for h := range a.heads {
			kernel.GemmInPlace(m, m, d, b.p[r*m*a.ld+w+h*d:], a.ld, 1, s.turned[h*d*n*m+r*m:], n*m, false, scores[r*wide+h*m:], lanes)
		}
	}
	if a.scale != 1 {
		kernel.Scale(T(a.scale), scores)
	}
	a.softmax(s, scores, weights, lanes)
	if b.y == nil {
		return
	}
	if a.drops {
		dropped := s.other[:n*m*wide]
		a.coins.mask(a.key, b.first*m*wide, dropped, weights)
		weights = dropped
	}
	for r := range n {
		a.addResidual(b, r)
		for h := range a.heads {
			kernel.GemmInPlace(m, d, m, weights[r*m*wide+h*m:], 1, wide, b.p[r*m*a.ld+2*w+h*d:], a.ld, true, b.y[r*m*w+h*d:], w)
		}
	}
}

// softmax over the rows of scores [fields, lanes]; the weights go to their places. A top that is rounded serves as well: it only keeps the exponentials in range.
func (a *attentionRows[T]) softmax(s *attentionSpace[T], scores, weights []T, lanes int) {
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

// addResidual starts the result of batch row r of the block with its residual.
func (a *attentionRows[T]) addResidual(b *attentionBlock[T], r int) {
	m, w := a.fields, a.width
	y := b.y[r*m*w : (r+1)*m*w]
	switch {
	case b.x != nil:
		copy(y, b.x[r*m*w:])
	case a.ld == 4*w:
		for f := range m {
			copy(y[f*w:(f+1)*w], b.p[(r*m+f)*a.ld+3*w:])
		}
	default:
		clear(y)
	}
}

// With α' the weights after dropout: dv = α'T·dy, dα = mask∘(dy·vT), ds = scale·α∘(dα − Σ α∘dα), dq = ds·k, dk = dsT·q; the residual's is dy.
func (a *attentionRows[T]) backwardBlock(s *attentionSpace[T], b *attentionBlock[T]) {
	m, w, d, wide, n := a.fields, a.width, a.width/a.heads, a.heads*a.fields, b.rows
	ds, dropped := s.weights[:n*m*wide], b.alpha
	kernel.Transpose(s.turned, n*m, b.dy, w, n*m, w)
	for r := range n {
		if at := r * m * a.ld; at < len(b.ahead) {
			kernel.Fetch(b.ahead[at:min(at+m*a.ld, len(b.ahead))])
		}
		for h := range a.heads {
			kernel.GemmInPlace(m, m, d, b.p[r*m*a.ld+2*w+h*d:], a.ld, 1, s.turned[h*d*n*m+r*m:], n*m, false, ds[r*m*wide+h*m:], wide)
		}
	}
	if a.drops {
		dropped = s.other[:n*m*wide]
		a.coins.mask(a.key, b.first*m*wide, ds, ds)
		a.coins.mask(a.key, b.first*m*wide, dropped, b.alpha)
	}
	for r := range n {
		for h := range a.heads {
			kernel.GemmInPlace(m, d, m, dropped[r*m*wide+h*m:], wide, 1, b.dy[r*m*w+h*d:], w, false, b.dp[r*m*a.ld+2*w+h*d:], a.ld)
		}
	}
	sums := s.sums[:wide]
	for r := range n {
		clear(sums)
		for i := r * m * wide; i < (r+1)*m*wide; i += wide {
			kernel.MulAdd(sums, b.alpha[i:i+wide], ds[i:i+wide])
		}
		for i := r * m * wide; i < (r+1)*m*wide; i += wide {
			kernel.Sub(ds[i:i+wide], ds[i:i+wide], sums)
		}
	}
	kernel.Mul(ds, ds, b.alpha)
	if a.scale != 1 {
		kernel.Scale(T(a.scale), ds)
	}
	for r := range n {
		for h := range a.heads {
			at, weights := r*m*a.ld+h*d, ds[r*m*wide+h*m:]
			kernel.GemmInPlace(m, d, m, weights, 1, wide, b.p[at+w:], a.ld, false, b.dp[at:], a.ld)
			kernel.GemmInPlace(m, d, m, weights, wide, 1, b.p[at:], a.ld, false, b.dp[at+w:], a.ld)
		}
		if a.ld == 4*w {
			for f := r * m; f < (r+1)*m; f++ {
				copy(b.dp[f*a.ld+3*w:(f+1)*a.ld], b.dy[f*w:(f+1)*w])
			}
		}
	}
}
