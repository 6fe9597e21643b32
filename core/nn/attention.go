package nn

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
)

// AttentionSpec: hidden sizes and activations of the unit; Softmax with Scale multiplies scores before it (1: none).
type AttentionSpec struct {
	Hidden     []int
	Activation string
	Dropout    float64
	Softmax    bool
	Scale      float64 // 0 counts as 1
}

// AttentionUnit adds DIN's attention pooling over behaviours: candidate q [B, H], behaviours k [T, H] → [B, H] (KDD 2018, section 4.3).
// The scores are a tower over [q; k; q−k; q∘k] that ends in one unit, called name/out; hidden layer i is name/i, the first computed by graph.AttentionInput.
// In a net for scoring all of it is one operation where the activations allow.
func (n *Net) AttentionUnit(name string, q, k *graph.Node, r *graph.Ragged, s AttentionSpec) *graph.Node {
	if act, ok := fused(s.Activation); ok && n.Scoring && len(s.Hidden) < graph.MaxUnitLayers {
		return n.fusedUnit(name, q, k, r, s, act)
	}
	scores := n.AttentionScores(name, q, k, r, s)
	return graph.SegmentWeightedSum(scores, k, r)
}

// AttentionScores adds the weights α of AttentionUnit, [T, 1]: after the softmax where there is one.
func (n *Net) AttentionScores(name string, q, k *graph.Node, r *graph.Ragged, s AttentionSpec) *graph.Node {
	var x *graph.Node
	for i, out := range s.Hidden {
		layer := fmt.Sprintf("%s/%d", name, i)
		if i == 0 {
			act, ok := fused(s.Activation)
			x = n.attentionInput(layer, q, k, r, out, act)
			if !ok {
				x = n.activation(layer+"/act", x, s.Activation)
			}
		} else {
			x = n.activatedLinear(layer, x, out, s.Activation)
		}
		x = graph.Dropout(x, s.Dropout)
	}
	if x == nil {
		x = n.attentionInput(name+"/out", q, k, r, 1, graph.Identity)
	} else {
		x = n.Linear(name+"/out", x, 1, graph.Identity)
	}
	if !s.Softmax {
		return x
	}
	scale := s.Scale
	if scale == 0 {
		scale = 1
	}
	return graph.SegmentSoftmax(x, r, scale)
}

// attentionInput is Linear over [q; k; q−k; q∘k].
func (n *Net) attentionInput(name string, q, k *graph.Node, r *graph.Ragged, out int, act graph.Activation) *graph.Node {
	w := n.Param(name+"/weight", 4*q.Cols, out, XavierNormal())
	b := n.Param(name+"/bias", 1, out, Zeros())
	return graph.AttentionInputAct(q, k, w, b, r, act)
}

// fusedUnit is AttentionUnit in one operation, over the same parameters.
func (n *Net) fusedUnit(name string, q, k *graph.Node, r *graph.Ragged, s AttentionSpec, act graph.Activation) *graph.Node {
	var layers []graph.UnitLayer
	in := 4 * q.Cols
	add := func(layer string, out int, act graph.Activation) {
		layers = append(layers, graph.UnitLayer{W: n.Param(layer+"/weight", in, out, XavierNormal()), B: n.Param(layer+"/bias", 1, out, Zeros()), Act: act})
		in = out
	}
	for i, out := range s.Hidden {
		add(fmt.Sprintf("%s/%d", name, i), out, act)
	}
	add(name+"/out", 1, graph.Identity)
	scale := s.Scale
	if scale == 0 {
		scale = 1
	}
	return graph.AttentionUnit(q, k, layers, r, s.Softmax, scale)
}
