package nn

import "github.com/millrace/millrace/core/graph"

// GRU adds a gated recurrent unit over each segment of x [T, in] and returns its states, [T, width]. Its tensors are name/input/weight, name/state/weight (xavier-normal) and name/bias (zeros),
// whose rows belong to the input's and the state's part.
func (n *Net) GRU(name string, x *graph.Node, r *graph.Ragged, width int) *graph.Node {
	g, w, bias := n.recurrent(name, x, width, graph.PlainGRU.Gates())
	return graph.GRU(g, w, bias, r)
}

// AttentionGRU adds a unit that attention a [T, 1] takes part in, as its kind says, and returns its last states, [B, width]. Its tensors are called as GRU's.
func (n *Net) AttentionGRU(name string, x, a *graph.Node, r *graph.Ragged, width int, kind graph.GRUKind) *graph.Node {
	g, w, bias := n.recurrent(name, x, width, kind.Gates())
	return graph.AttentionGRU(g, a, w, bias, r, kind)
}

// recurrent adds a unit's parameters and the product of all rows with the input's.
func (n *Net) recurrent(name string, x *graph.Node, width, gates int) (g, w, bias *graph.Node) {
	in := n.Param(name+"/input/weight", x.Cols, gates*width, XavierNormal())
	w = n.Param(name+"/state/weight", width, gates*width, XavierNormal())
	bias = n.Param(name+"/bias", 2, gates*width, Zeros())
	return graph.Linear(x, in, nil, graph.Identity), w, bias
}

// Eye is the identity matrix.
func Eye() Init {
	return func(_ func() float64, rows, cols int, dst []float32) {
		for i := range min(rows, cols) {
			dst[i*cols+i] = 1
		}
	}
}
