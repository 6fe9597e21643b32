package dtrn

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// transformer is the conditional Transformer: its attention and feed-forward weights are shared by all pairs of a task and a behaviour type, the scale and
// shift of its layer norms are the pair's own.
type transformer struct {
	m      *Model
	layers []layer
	norms  [][][]norm // [task][behaviour type][2 a layer]
}

// layer holds the shared weights of one layer.
type layer struct {
	q, k, v, out  *graph.Node // [d, d]
	a, ba, b, bb  *graph.Node // feed-forward: [d, f·d], [f·d, d] with their biases
	bq, bk, bv, o *graph.Node
}

// norm is the scale and shift of one layer norm for one pair, [1, d].
type norm struct{ gamma, beta *graph.Node }

func (m *Model) newTransformer(net *nn.Net, s *features.Schema) *transformer {
	t := &transformer{m: m}
	d := m.EmbeddingDim
	for l := range m.Layers {
		name := fmt.Sprintf("tim/transformer/%d/", l)
		w := func(what string, in, out int) *graph.Node {
			return net.Param(name+what+"/weight", in, out, nn.XavierNormal())
		}
		b := func(what string, out int) *graph.Node { return net.Param(name+what+"/bias", 1, out, nn.Zeros()) }
		t.layers = append(t.layers, layer{
			q: w("query", d, d), bq: b("query", d), k: w("key", d, d), bk: b("key", d), v: w("value", d, d), bv: b("value", d), out: w("out", d, d), o: b("out", d),
			a: w("feed_forward/0", d, m.FeedForward*d), ba: b("feed_forward/0", m.FeedForward*d),
			b: w("feed_forward/1", m.FeedForward*d, d), bb: b("feed_forward/1", d),
		})
	}
	t.norms = make([][][]norm, len(s.Labels))
	if m.Condition == "pair" {
		t.hypernetwork(net, s)
		return t
	}
	plain := t.plainNorms(net)
	for i := range s.Labels {
		for range m.types {
			t.norms[i] = append(t.norms[i], plain)
		}
	}
	return t
}

// plainNorms are norms that know neither task nor behaviour type: learned ones, or γ = 1 and β = 0.
func (t *transformer) plainNorms(net *nn.Net) []norm {
	plain := make([]norm, 2*t.m.Layers)
	for l := range plain {
		if t.m.Condition == "shared" {
			plain[l] = t.startingNorm(net, l)
			continue
		}
		zero := graph.Scale(t.layers[0].bq, 0) // a row of constants: no gradient comes through the factor 0
		plain[l] = norm{graph.Shift(zero, 1), zero}
	}
	return plain
}

// startingNorm adds learned rows that start at γ = 1 and β = 0.
func (t *transformer) startingNorm(net *nn.Net, l int) norm {
	name, d := fmt.Sprintf("tim/norm/%d/", l), t.m.EmbeddingDim
	return norm{net.Param(name+"gamma/bias", 1, d, nn.Constant(1)), net.Param(name+"beta/bias", 1, d, nn.Zeros())}
}

// hypernetwork computes the layer norms of all pairs: u_ik = ReLU(W·[t_i; b_k] + b), γ = W_γ·u + b_γ, β = W_β·u + b_β. W_γ and W_β start at zero, b_γ at one and b_β at
// zero, so that training starts from the plain Transformer. The pairs do not depend on the rows: each is computed once a step.
func (t *transformer) hypernetwork(net *nn.Net, s *features.Schema) {
	m, d := t.m, t.m.EmbeddingDim
	w := net.Param("tim/hyper/weight", m.TaskDim+m.BehaviourDim, m.HyperDim, nn.XavierNormal())
	b := net.Param("tim/hyper/bias", 1, m.HyperDim, nn.Zeros())
	start := nn.Normal(m.HyperInitStd)
	bias, weights := make([]norm, 2*m.Layers), make([]norm, 2*m.Layers)
	for l := range weights {
		name := fmt.Sprintf("tim/norm/%d/", l)
		bias[l] = t.startingNorm(net, l)
		weights[l] = norm{net.Param(name+"gamma/weight", m.HyperDim, d, start), net.Param(name+"beta/weight", m.HyperDim, d, start)}
	}
	types := make([]*graph.Node, len(m.types))
	for k := range types {
		types[k] = net.Param(fmt.Sprintf("tim/behaviour/%d", k), 1, m.BehaviourDim, nn.Normal(1))
	}
	for i, label := range s.Labels {
		task := net.Param("tim/task/"+label.Name, 1, m.TaskDim, nn.Normal(1))
		for k := range m.types {
			u := graph.Linear(graph.Concat(task, types[k]), w, b, graph.ReLU)
			pair := make([]norm, len(weights))
			for l := range pair {
				pair[l] = norm{graph.Linear(u, weights[l].gamma, bias[l].gamma, graph.Identity), graph.Linear(u, weights[l].beta, bias[l].beta, graph.Identity)}
			}
			t.norms[i] = append(t.norms[i], pair)
		}
	}
}

// layerNorm is cLN: γ ∘ (x − mean)/√(var + ε) + β.
func (t *transformer) layerNorm(x *graph.Node, n norm) *graph.Node {
	return graph.LayerNorm(x, n.gamma, n.beta, t.m.NormEpsilon)
}

// attended returns MHA(x, x, x) of layer l, with dropout.
func (t *transformer) attended(l int, x *graph.Node, r *graph.Ragged) *graph.Node {
	w, heads := &t.layers[l], t.m.Heads
	q, k, v := graph.Linear(x, w.q, w.bq, graph.Identity), graph.Linear(x, w.k, w.bk, graph.Identity), graph.Linear(x, w.v, w.bv, graph.Identity)
	y := graph.SegmentAttention(q, k, v, r, heads, 1/math.Sqrt(float64(x.Cols/heads)))
	return graph.Dropout(graph.Linear(y, w.out, w.o, graph.Identity), t.m.Dropout)
}

// fed returns W_b·ReLU(W_a·z + b_a) + b_b of layer l, with dropout.
func (t *transformer) fed(l int, z *graph.Node) *graph.Node {
	w := &t.layers[l]
	return graph.Dropout(graph.Linear(graph.Linear(z, w.a, w.ba, graph.ReLU), w.b, w.bb, graph.Identity), t.m.Dropout)
}

// encoder returns a function that gives the behaviours x of type k as task i sees them, [T, d]. After attention (post) the condition comes late enough for all tasks to
// share the first layer's; before it (pre) nothing is shared.
func (t *transformer) encoder(k int, x *graph.Node, r *graph.Ragged) func(i int) *graph.Node {
	if t.m.Norm == "pre" {
		return func(i int) *graph.Node {
			norms, x := t.norms[i][k], x
			for l := range t.layers {
				x = graph.Add(x, t.attended(l, t.layerNorm(x, norms[2*l]), r))
				x = graph.Add(x, t.fed(l, t.layerNorm(x, norms[2*l+1])))
			}
			return x
		}
	}
	first := graph.Add(x, t.attended(0, x, r))
	return func(i int) *graph.Node {
		norms, x := t.norms[i][k], first
		for l := range t.layers {
			if l > 0 {
				x = graph.Add(x, t.attended(l, x, r))
			}
			z := t.layerNorm(x, norms[2*l])
			x = t.layerNorm(graph.Add(z, t.fed(l, z)), norms[2*l+1])
		}
		return x
	}
}
