package graph_test

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
)

// A logistic regression: build once, compile once, run on batches of any size.
func Example() {
	g := graph.New(graph.Float32)
	x, y := g.Input("x", 2), g.Input("y", 1)
	w, b := g.Param("w", 2, 1), g.Param("b", 1, 1)
	z := graph.Linear(x, w, b, graph.Identity)
	loss := graph.BCEWithLogits(z, y, nil)

	plan, err := g.CompileTraining(loss, []*graph.Node{w, b}, z)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan.Bind(w, graph.NewTensor(2, 1))
	plan.Bind(b, graph.NewTensor(1, 1))
	plan.Bind(x, &graph.Tensor{Rows: 2, Cols: 2, F32: []float32{1, 0, 0, 4}})
	plan.Bind(y, &graph.Tensor{Rows: 2, Cols: 1, F32: []float32{1, 0}})
	if err := plan.Run(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("loss %.4f, gradients %v and %v\n", plan.Value(loss).F32[0], plan.Grad(w).F32, plan.Grad(b).F32)
	// Output: loss 0.6931, gradients [-0.25 1] and [0]
}
