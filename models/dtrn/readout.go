package dtrn

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// readouts turn a behaviour type's rows into one vector a task.
type readouts struct {
	m    *Model
	net  *nn.Net
	s    *features.Schema
	unit map[string]unit
}

// unit is DIN's over [q; x; q−x; q∘x] with one hidden layer.
type unit struct{ w, b, wo, bo *graph.Node }

// of returns the unit of a pair.
func (o *readouts) of(i, k int) unit {
	name := "tim/readout/"
	switch o.m.ReadoutWeights {
	case "behaviour":
		name = fmt.Sprintf("tim/%d/readout/", k)
	case "pair":
		name = models.ForLabel(o.s, fmt.Sprintf("tim/%d/readout", k), i) + "/"
	}
	if u, ok := o.unit[name]; ok {
		return u
	}
	d, hidden := o.m.EmbeddingDim, o.m.ReadoutHidden
	if hidden == 0 {
		hidden = d
	}
	u := unit{
		o.net.Param(name+"0/weight", 4*d, hidden, nn.XavierNormal()), o.net.Param(name+"0/bias", 1, hidden, nn.Zeros()),
		o.net.Param(name+"out/weight", hidden, 1, nn.XavierNormal()), o.net.Param(name+"out/bias", 1, 1, nn.Zeros()),
	}
	o.unit[name] = u
	return u
}

// vector returns v_ik [B, d] of the behaviours x of type k as task i sees them, zeros for an empty sequence: Σ α_t·x_t with α by the unit and a softmax; the mean; or
// the row of the candidate, the last one of x in the segments longer.
func (o *readouts) vector(i, k int, q, x *graph.Node, r, longer *graph.Ragged) *graph.Node {
	switch o.m.Readout {
	case "mean":
		return graph.SegmentPool(x, r, graph.PoolMean)
	case "append":
		return graph.SegmentPool(x, longer, graph.PoolLast)
	}
	u := o.of(i, k)
	a := graph.Linear(graph.AttentionInputAct(q, x, u.w, u.b, r, graph.SigmoidAct), u.wo, u.bo, graph.Identity)
	return graph.SegmentWeightedSum(graph.SegmentSoftmax(a, r, 1), x, r)
}

// occupied returns 1 for each row with behaviours k and 0 for an empty sequence, [B, 1].
func occupied(k *graph.Node, r *graph.Ragged) *graph.Node {
	one := graph.Shift(graph.Scale(graph.Slice(k, 0, 1), 0), 1) // a column of constants: no gradient comes through the factor 0
	return graph.SegmentPool(one, r, graph.PoolMean)
}
