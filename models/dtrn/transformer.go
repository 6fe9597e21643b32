package dtrn

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// normEpsilon is ε of the conditional layer norms.
const normEpsilon = 1e-6

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
	t.condition(net, s)
	return t
}

// condition computes the layer norms of all pairs: u_ik = ReLU(W·[t_i; b_k] + b), γ = W_γ·u + b_γ, β = W_β·u + b_β (the hypernetwork). W_γ and W_β start at
// zero, b_γ at one and b_β at zero, so that training starts from the plain Transformer. The pairs do not depend on the rows: each is computed once a step.
func (t *transformer) condition(net *nn.Net, s *features.Schema) {
	m, d := t.m, t.m.EmbeddingDim
	n := 2 * m.Layers
	bias := make([][2]*graph.Node, n)
	for l := range n {
		name := fmt.Sprintf("tim/norm/%d/", l)
		bias[l] = [2]*graph.Node{net.Param(name+"gamma/bias", 1, d, nn.Constant(1)), net.Param(name+"beta/bias", 1, d, nn.Zeros())}
	}
	t.norms = make([][][]norm, len(s.Labels))
	if !m.Condition {
		plain := make([]norm, n)
		for l := range n {
			plain[l] = norm{bias[l][0], bias[l][1]}
		}
		for i := range s.Labels {
			for range m.types {
				t.norms[i] = append(t.norms[i], plain)
			}
		}
		return
	}
	w := net.Param("tim/hyper/weight", m.TaskDim+m.BehaviourDim, m.HyperDim, nn.XavierNormal())
	b := net.Param("tim/hyper/bias", 1, m.HyperDim, nn.Zeros())
	weights := make([][2]*graph.Node, n)
	for l := range n {
		name := fmt.Sprintf("tim/norm/%d/", l)
		weights[l] = [2]*graph.Node{net.Param(name+"gamma/weight", m.HyperDim, d, nn.Zeros()), net.Param(name+"beta/weight", m.HyperDim, d, nn.Zeros())}
	}
	types := make([]*graph.Node, len(m.types))
	for k := range types {
		types[k] = net.Param(fmt.Sprintf("tim/behaviour/%d", k), 1, m.BehaviourDim, nn.Normal(1))
	}
	for i, label := range s.Labels {
		task := net.Param("tim/task/"+label.Name, 1, m.TaskDim, nn.Normal(1))
		for k := range m.types {
			u := graph.Linear(graph.Concat(task, types[k]), w, b, graph.ReLU)
			pair := make([]norm, n)
			for l := range n {
				pair[l] = norm{graph.Linear(u, weights[l][0], bias[l][0], graph.Identity), graph.Linear(u, weights[l][1], bias[l][1], graph.Identity)}
			}
			t.norms[i] = append(t.norms[i], pair)
		}
	}
}

// attend returns x + MHA(x, x, x) of layer l, before its norm.
func (t *transformer) attend(l int, x *graph.Node, r *graph.Ragged) *graph.Node {
	w, heads := &t.layers[l], t.m.Heads
	q, k, v := graph.Linear(x, w.q, w.bq, graph.Identity), graph.Linear(x, w.k, w.bk, graph.Identity), graph.Linear(x, w.v, w.bv, graph.Identity)
	y := graph.SegmentAttention(q, k, v, r, heads, 1/math.Sqrt(float64(x.Cols/heads)))
	y = graph.Dropout(graph.Linear(y, w.out, w.o, graph.Identity), t.m.Dropout)
	return graph.Add(x, y)
}

// encode returns the behaviours of type k as task i sees them, [T, d], from what layer 0's attention gave.
func (t *transformer) encode(i, k int, attended *graph.Node, r *graph.Ragged) *graph.Node {
	norms := t.norms[i][k]
	x := attended
	for l := range t.layers {
		if l > 0 {
			x = t.attend(l, x, r)
		}
		w := &t.layers[l]
		z := graph.LayerNorm(x, norms[2*l].gamma, norms[2*l].beta, normEpsilon)
		y := graph.Linear(graph.Linear(z, w.a, w.ba, graph.ReLU), w.b, w.bb, graph.Identity)
		x = graph.LayerNorm(graph.Add(z, graph.Dropout(y, t.m.Dropout)), norms[2*l+1].gamma, norms[2*l+1].beta, normEpsilon)
	}
	return x
}

// readout turns a behaviour type's rows into one vector, with weights that all tasks share.
type readout struct{ w, b, wo, bo *graph.Node }

func (m *Model) newReadout(net *nn.Net, k int) *readout {
	r := &readout{}
	if m.Readout == "target" {
		name := fmt.Sprintf("tim/%d/readout/", k)
		d := m.EmbeddingDim
		r.w, r.b = net.Param(name+"0/weight", 4*d, d, nn.XavierNormal()), net.Param(name+"0/bias", 1, d, nn.Zeros())
		r.wo, r.bo = net.Param(name+"out/weight", d, 1, nn.XavierNormal()), net.Param(name+"out/bias", 1, 1, nn.Zeros())
	}
	return r
}

// vector returns Σ α_t·x_t, [B, d], zeros for an empty sequence: α by DIN's unit over [q; x; q−x; q∘x] and a softmax, or 1/L.
func (o *readout) vector(q, x *graph.Node, r *graph.Ragged) *graph.Node {
	if o.w == nil {
		return graph.SegmentPool(x, r, graph.PoolMean)
	}
	a := graph.Linear(graph.AttentionInputAct(q, x, o.w, o.b, r, graph.SigmoidAct), o.wo, o.bo, graph.Identity)
	return graph.SegmentWeightedSum(graph.SegmentSoftmax(a, r, 1), x, r)
}
