package graph

import "github.com/millrace/millrace/core/kernel"

// interactingParts is into how many ranges of chunks the batch is cut at most, each with sums of its own for the gradients of the weights: their number does not
// depend on the threads, so the sums do not either.
const interactingParts = 16

// interacting is the work of both passes of an interacting layer. The batch is cut into chunks, and a part takes its chunks in turn, so that one chunk's values are in the
// second-level cache from the projections to the end.
type interacting[T kernel.Float] struct {
	op        interactingOp
	attention attentionRows[T]
	norm      normRows[T]
	env       *env

	x, w, z, dz, dx []T
	bias            []T
	all             attentionBlock[T] // of the whole batch; y is what the norm is of
	inner, cols     int               // x [B·fields, inner], w [inner, cols]
	chunks, parts   int
	packed          *kernel.Packed // w or its transpose
	repacked        kernel.Packed
	space           []T // [parts, …] scratch
	dw              []T // [parts, inner·cols]
	sums            []T // [parts, 3·width + cols]: the norm's gradients and its scratch, the bias's
	wantsW          bool
}

func newInteracting[T kernel.Float](o interactingOp, e *env) *interacting[T] {
	l := &interacting[T]{op: o, attention: newAttentionRows[T](o.attentionShape), env: e}
	l.norm.layerNormOp = layerNormOp{o.eps, o.act()}
	return l
}

// start takes the inputs that both passes have, and cuts the batch.
func (l *interacting[T]) start(in []*Tensor) {
	l.x, l.w, l.inner, l.cols = data[T](in[0]), data[T](in[1]), in[0].Cols, in[1].Cols
	l.all = attentionBlock[T]{rows: in[0].Rows / l.op.fields}
	l.chunks = min(chunks(in[0].Rows), l.all.rows)
	l.parts = min(l.chunks, interactingParts)
	l.attention.ld, l.attention.key, l.attention.drops = l.cols, l.env.key(l.op.position), l.op.rate > 0 && l.env.training
	if l.op.bias {
		l.bias = data[T](in[2])
	}
	if l.op.normed {
		l.norm.gamma, l.norm.beta = data[T](in[l.op.norm()]), data[T](in[l.op.norm()+1])
	}
}

// chunkRows is the most rows of x that a chunk has.
func (l *interacting[T]) chunkRows() int {
	n := max(l.chunks, 1)
	return (l.all.rows + n - 1) / n * l.op.fields
}

// pack lays w or its transpose out for the products of the chunks, where that pays.
func (l *interacting[T]) pack(trans bool, frozen *kernel.Packed) {
	l.packed = frozen
	w, single := any(l.w).([]float32)
	if frozen != nil || !single || l.chunks < 2 {
		return
	}
	k, n := l.inner, l.cols
	if trans {
		k, n = n, k
	}
	if l.repacked.Repack(trans, l.all.rows*l.op.fields/l.chunks, k, n, w, l.cols) {
		l.packed = &l.repacked
	}
}

// eachChunk calls body for the chunks of part i with their first row and the one after their last.
func (l *interacting[T]) eachChunk(i int, body func(lo, hi int)) {
	first, last := chunk(i, l.parts, l.chunks)
	for c := first; c < last; c++ {
		lo, hi := chunk(c, l.chunks, l.all.rows)
		body(lo, hi)
	}
}

// rows returns batch rows lo to hi of x, which has so many columns; nil of nil.
func (l *interacting[T]) rows(x []T, cols, lo, hi int) []T {
	if x == nil {
		return nil
	}
	return x[lo*l.op.fields*cols : hi*l.op.fields*cols]
}

func (l *interacting[T]) forward() runner {
	part := func(first, last int) {
		for i := first; i < last; i++ {
			l.forwardPart(i)
		}
	}
	return func(in, out []*Tensor) {
		l.start(in)
		l.z = dataOrNil[T](out[0])
		l.all.alpha, l.all.p, l.all.y, l.norm.stats = dataOrNil[T](out[1]), dataOrNil[T](out[2]), l.z, nil
		if l.op.normed {
			l.all.y, l.norm.stats = dataOrNil[T](out[3]), dataOrNil[T](out[4])
		}
		if l.op.residual {
			l.all.x = l.x
		}
		l.pack(false, in[1].packed)
		l.space = resized(l.space, l.parts*(l.op.spaceSize()+l.chunkRows()*(l.cols+l.op.width)))
		kernel.Parallel(l.parts, 1, part)
	}
}

func (l *interacting[T]) forwardPart(i int) {
	size := len(l.space) / l.parts
	space := l.space[i*size : (i+1)*size]
	s, rest := l.attention.spaceOf(space), space[l.op.spaceSize():]
	l.eachChunk(i, func(lo, hi int) {
		b, n := l.attention.cut(&l.all, lo, hi), (hi-lo)*l.op.fields
		if b.p == nil {
			b.p = rest[:n*l.cols]
		}
		if b.y == nil && (l.z != nil || l.norm.stats != nil) {
			b.y = rest[len(rest)-n*l.op.width:]
		}
		if l.packed != nil {
			kernel.GemmPacked(n, any(l.x).([]float32)[lo*l.op.fields*l.inner:], l.inner, l.packed, false, any(b.p).([]float32), l.cols)
		} else {
			kernel.Gemm(false, false, n, l.cols, l.inner, l.x[lo*l.op.fields*l.inner:], l.inner, l.w, l.cols, false, b.p, l.cols)
		}
		if l.op.bias {
			kernel.AddBias(b.p, l.bias, n, l.cols, l.cols)
			kernel.Relu(b.p, b.p)
		}
		l.attention.forwardRows(&s, b)
		if l.op.last && b.y != nil {
			kernel.Relu(b.y, b.y)
		}
		switch {
		case b.y == nil:
		case l.op.normed:
			norm := l.norm
			norm.x, norm.y, norm.stats = b.y, l.rows(l.z, l.op.width, lo, hi), l.rows(l.norm.stats, 2, lo, hi)
			norm.forward(0, n)
		default:
			kernel.Relu(b.y, b.y)
		}
	})
}

func (l *interacting[T]) backward() runner {
	part := func(first, last int) {
		for i := first; i < last; i++ {
			l.backwardPart(i)
		}
	}
	total := newColSums[T]()
	return func(in, out []*Tensor) {
		l.start(in)
		values := in[l.op.norm():]
		if l.op.normed {
			values = values[2:]
		}
		l.z, l.all.alpha, l.all.p, l.dz = data[T](values[0]), data[T](values[1]), data[T](values[2]), data[T](in[len(in)-1])
		if l.op.normed {
			l.all.y, l.norm.stats = data[T](values[3]), data[T](values[4])
		}
		l.dx, l.wantsW = dataOrNil[T](out[0]), out[1] != nil
		l.pack(true, nil)
		l.space = resized(l.space, l.parts*(l.op.spaceSize()+l.chunkRows()*(l.cols+l.op.width)))
		sums := 3*l.op.width + l.cols
		l.dw, l.sums = resized(l.dw, l.parts*l.inner*l.cols), resized(l.sums, l.parts*sums)
		clear(l.sums)
		kernel.Parallel(l.parts, 1, part)
		if l.wantsW {
			total.run(data[T](out[1]), l.dw, l.parts, l.inner*l.cols)
		}
		if l.op.bias && out[2] != nil {
			kernel.ColSums(data[T](out[2]), l.sums[3*l.op.width:], l.parts, l.cols, sums, false)
		}
		for i := l.op.norm(); i < len(out); i++ { // gamma and beta
			if out[i] != nil {
				kernel.ColSums(data[T](out[i]), l.sums[(i-l.op.norm())*l.op.width:], l.parts, l.op.width, sums, false)
			}
		}
	}
}

func (l *interacting[T]) backwardPart(i int) {
	size, sizeW, sizeSums := len(l.space)/l.parts, l.inner*l.cols, len(l.sums)/l.parts
	space, dw, started := l.space[i*size:(i+1)*size], l.dw[i*sizeW:(i+1)*sizeW], false
	sums := l.sums[i*sizeSums : (i+1)*sizeSums]
	s, rest := l.attention.spaceOf(space), space[l.op.spaceSize():]
	l.eachChunk(i, func(lo, hi int) {
		b, n := l.attention.cut(&l.all, lo, hi), (hi-lo)*l.op.fields
		dx, z, dz := l.rows(l.dx, l.inner, lo, hi), l.rows(l.z, l.op.width, lo, hi), l.rows(l.dz, l.op.width, lo, hi)
		b.dp, b.dy = rest[:n*l.cols], rest[len(rest)-n*l.op.width:]
		intoX := l.op.residual && dx != nil // the gradient of the sum is that of the residual, to which the projections' is added
		if intoX {
			b.dy = dx
		}
		if l.op.normed {
			norm := l.norm
			norm.x, norm.y, norm.stats, norm.dy, norm.dx = b.y, z, l.rows(l.norm.stats, 2, lo, hi), dz, b.dy
			norm.backward(sums, 0, n)
		} else {
			kernel.ReluGrad(b.dy, dz, z)
		}
		if l.op.last {
			kernel.ReluGrad(b.dy, b.dy, b.y)
		}
		b.ahead = l.all.p[hi*l.op.fields*l.cols:]
		l.attention.backwardRows(&s, b)
		if l.op.bias {
			kernel.ReluGrad(b.dp, b.dp, b.p)
			kernel.ColSums(sums[3*l.op.width:], b.dp, n, l.cols, l.cols, true)
		}
		if l.wantsW {
			kernel.Gemm(true, false, l.inner, l.cols, n, l.x[lo*l.op.fields*l.inner:], l.inner, b.dp, l.cols, started, dw, l.cols)
			started = true
		}
		switch {
		case dx == nil:
		case l.packed != nil:
			kernel.GemmPacked(n, any(b.dp).([]float32), l.cols, l.packed, intoX, any(dx).([]float32), l.inner)
		default:
			kernel.Gemm(false, true, n, l.inner, l.cols, b.dp, l.cols, l.w, l.cols, intoX, dx, l.inner)
		}
	})
}
