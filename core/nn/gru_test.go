package nn_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
)

// TestGRUParameters: names and shapes are what checkpoints hold; AGRU has no update gate.
func TestGRUParameters(t *testing.T) {
	f := func(build func(n *nn.Net, x, a *graph.Node, r *graph.Ragged) *graph.Node, want ...string) {
		t.Helper()
		n := nn.New(graph.Float64, 1)
		if err := graph.Build(func() {
			if y := build(n, n.Graph.Input("x", 5), n.Graph.Input("a", 1), &graph.Ragged{}); y.Cols != 3 {
				t.Errorf("states of width %d, want 3", y.Cols)
			}
		}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range n.Params {
			got = append(got, fmt.Sprint(p.Name, p.Value.Rows, p.Value.Cols))
		}
		if !slices.Equal(got, want) {
			t.Errorf("parameters %v, want %v", got, want)
		}
	}
	f(func(n *nn.Net, x, _ *graph.Node, r *graph.Ragged) *graph.Node { return n.GRU("g", x, r, 3) },
		"g/input/weight5 9", "g/state/weight3 9", "g/bias2 9")
	f(func(n *nn.Net, x, a *graph.Node, r *graph.Ragged) *graph.Node {
		return n.AttentionGRU("g", x, a, r, 3, graph.AUGRU)
	}, "g/input/weight5 9", "g/state/weight3 9", "g/bias2 9")
	f(func(n *nn.Net, x, a *graph.Node, r *graph.Ragged) *graph.Node {
		return n.AttentionGRU("g", x, a, r, 3, graph.AGRU)
	}, "g/input/weight5 6", "g/state/weight3 6", "g/bias2 6")
}

func TestEye(t *testing.T) {
	dst := make([]float32, 6)
	nn.Eye()(nil, 2, 3, dst)
	if !slices.Equal(dst, []float32{1, 0, 0, 0, 1, 0}) {
		t.Errorf("got %v", dst)
	}
}

// TestAuxiliary: the losses are kept in the order they were added, with their weights.
func TestAuxiliary(t *testing.T) {
	n := nn.New(graph.Float64, 1)
	x := n.Graph.Input("x", 2)
	n.Auxiliary("one", 0.5, graph.Mean(x))
	n.Auxiliary("two", 2, graph.Mean(graph.Softplus(x)))
	if a := n.Auxiliaries; len(a) != 2 || a[0].Name != "one" || a[0].Weight != 0.5 || a[1].Name != "two" || a[1].Weight != 2 {
		t.Errorf("auxiliary losses %+v", a)
	}
}
