package optim

import "math"

// reference is the same rules over whole float64 matrices, written after PyTorch's documentation and FuxiCTR's regulariser:
// the loss gets (λ/2)·Σw², gradients are clipped together, then each parameter moves by its optimizer.
type reference struct {
	c      Config
	t      int
	params []*refParam
}

type refParam struct {
	w, g, a, b []float64
	table      bool
	dim        int
	batch      map[int]bool // rows of a table in the batch
}

func (r *reference) step() (l2, norm float64) {
	r.t++
	active := func(p *refParam, i int) bool {
		return !p.table || r.c.EmbeddingOptimizer == AdamName || p.batch[i/p.dim]
	}
	for _, p := range r.params {
		λ := r.c.NetL2
		if p.table {
			λ = r.c.EmbeddingL2
		}
		for i := range p.w {
			if active(p, i) {
				l2 += λ / 2 * p.w[i] * p.w[i]
				p.g[i] += λ * p.w[i]
				norm += p.g[i] * p.g[i]
			}
		}
	}
	norm = math.Sqrt(norm)
	scale := 1.0
	if r.c.MaxNorm > 0 {
		scale = math.Min(1, r.c.MaxNorm/(norm+1e-6))
	}
	eps, adagradEps := 1e-8, 1e-10
	if r.c.Eps != 0 {
		eps, adagradEps = r.c.Eps, r.c.Eps
	}
	lambEps := 1e-6
	if r.c.Eps != 0 {
		lambEps = r.c.Eps
	}
	c1, c2 := 1-math.Pow(r.c.Beta1, float64(r.t)), 1-math.Pow(r.c.Beta2, float64(r.t))
	for _, p := range r.params {
		optimizer := r.c.Optimizer
		if p.table {
			optimizer = r.c.EmbeddingOptimizer
		}
		for i := range p.w {
			if !active(p, i) {
				continue
			}
			g := scale * p.g[i]
			switch optimizer {
			case SGDName:
				p.w[i] -= r.c.LearningRate * g
			case FTRLName: // the closed form after the sums: the minimiser of z·w + (β+√n)/(2α)·w² + λ1·|w| + λ2/2·w²
				sigma := (math.Sqrt(p.b[i]+g*g) - math.Sqrt(p.b[i])) / r.c.LearningRate
				p.a[i] += g - sigma*p.w[i]
				p.b[i] += g * g
				p.w[i] = 0
				if math.Abs(p.a[i]) > r.c.FTRLL1 {
					p.w[i] = (math.Copysign(r.c.FTRLL1, p.a[i]) - p.a[i]) / ((r.c.FTRLBeta+math.Sqrt(p.b[i]))/r.c.LearningRate + r.c.FTRLL2)
				}
			case LAMBName: // here the direction only: it takes the whole layer to move
				p.a[i] = r.c.Beta1*p.a[i] + (1-r.c.Beta1)*g
				p.b[i] = r.c.Beta2*p.b[i] + (1-r.c.Beta2)*g*g
				p.g[i] = p.a[i]/c1/(math.Sqrt(p.b[i]/c2)+lambEps) + r.c.WeightDecay*p.w[i]
			case AdagradName:
				p.a[i] += g * g
				p.w[i] -= r.c.LearningRate * g / (math.Sqrt(p.a[i]) + adagradEps)
			default:
				p.a[i] = r.c.Beta1*p.a[i] + (1-r.c.Beta1)*g
				p.b[i] = r.c.Beta2*p.b[i] + (1-r.c.Beta2)*g*g
				if optimizer == SparseAdamName {
					p.w[i] -= r.c.LearningRate * math.Sqrt(c2) / c1 * p.a[i] / (math.Sqrt(p.b[i]) + eps)
				} else {
					p.w[i] -= r.c.LearningRate / c1 * p.a[i] / (math.Sqrt(p.b[i])/math.Sqrt(c2) + eps)
				}
			}
		}
		if optimizer == LAMBName {
			p.lamb(r.c.LearningRate)
		}
	}
	return l2, norm
}

// lamb moves the weights along the direction in g, layer by layer: the whole of a dense parameter, each row of a table in the batch.
func (p *refParam) lamb(lr float64) {
	dim := p.dim
	if !p.table {
		dim = len(p.w)
	}
	for at := 0; at < len(p.w); at += dim {
		if p.table && !p.batch[at/dim] {
			continue
		}
		var w, u float64
		for i := at; i < at+dim; i++ {
			w += p.w[i] * p.w[i]
			u += p.g[i] * p.g[i]
		}
		ratio := 1.0
		if w > 0 && u > 0 {
			ratio = math.Sqrt(w) / math.Sqrt(u)
		}
		for i := at; i < at+dim; i++ {
			p.w[i] -= lr * ratio * p.g[i]
		}
	}
}
