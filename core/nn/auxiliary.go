package nn

import "github.com/millrace/millrace/core/graph"

// Auxiliary is a term of a model's own in the training's loss: DIEN's guess of the next behaviour, AITM's order of the tasks.
type Auxiliary struct {
	Name   string
	Weight float64
	Loss   *graph.Node // a scalar
}

// Auxiliary adds weight·loss to what training minimises; scores do not depend on it. The parameters that the loss reads are the model's in scoring too, so that a
// checkpoint has them and training can go on from it: a model adds the loss whether the net is for scoring or not.
func (n *Net) Auxiliary(name string, weight float64, loss *graph.Node) {
	n.Auxiliaries = append(n.Auxiliaries, Auxiliary{name, weight, loss})
}
