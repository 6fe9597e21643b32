package models

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Explanation is a value inside a model that says why scores are what they are: the attention of AutoInt's layers, the gates of FinalMLP, the weights of DIN's behaviours.
type Explanation struct {
	Name   string
	Kind   nn.ExplanationKind
	Fields []string // the fields it is about, in the order of its rows or columns
	// Rows and Cols are the shape: of behaviours a row each, else a batch row has Rows/B consecutive rows. Values [Rows, Cols] are the explainer's until it scores again.
	Rows, Cols int
	Values     []float32
}

// Explainer is a scorer that also returns what the model has to say about its scores. It belongs to one goroutine.
type Explainer struct {
	Scorer
	explanations []nn.Explanation
}

// NewExplainer returns an explainer with plans and buffers of its own; a model without explanations returns none.
func (p *Program) NewExplainer() (*Explainer, error) {
	a, err := p.assembleIn(nn.New(graph.Float32, p.seed))
	if err != nil {
		return nil, err
	}
	e := &Explainer{Scorer{program: p, net: a.net, logits: a.logits, feed: newFeed(p, a.net)}, a.net.Explanations}
	nodes := append([]*graph.Node{}, a.logits...)
	for _, x := range e.explanations {
		nodes = append(nodes, x.Node)
	}
	if e.plan, err = a.net.Graph.Compile(nodes...); err != nil {
		return nil, fmt.Errorf("compile model %s for explanations: %w", p.spec.Name, err)
	}
	e.feed.bind(e.plan)
	return e, nil
}

// Explain scores a batch as Scorer.Score does and returns the explanations of it.
func (e *Explainer) Explain(b *features.Batch, w *Weights, rows Rows, out [][]float32) ([][]float32, []Explanation, error) {
	out, err := e.Score(b, w, rows, out)
	if err != nil || b.Rows == 0 {
		return out, nil, err
	}
	var found []Explanation
	for _, x := range e.explanations {
		v := e.plan.Value(x.Node)
		found = append(found, Explanation{Name: x.Name, Kind: x.Kind, Fields: x.Fields, Rows: v.Rows, Cols: v.Cols, Values: v.F32})
	}
	return out, found, nil
}

// Logits returns the logits of a label for the rows of the last Explain. They are the explainer's until it scores again.
func (e *Explainer) Logits(label int) []float32 { return e.plan.Value(e.logits[label]).F32 }
