package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Vectors computes one of a model's vectors, as an item's, for each row of batches. It belongs to one goroutine.
type Vectors struct {
	scorer Scorer
	node   *graph.Node
}

// VectorNames lists the vectors that may be asked of the model: none but for one with two towers.
func (p *Program) VectorNames() []string { return slices.Clone(p.vectors) }

// NewVectors returns what computes the named vector, with plans and buffers of its own.
func (p *Program) NewVectors(name string) (*Vectors, error) {
	if !slices.Contains(p.vectors, name) {
		if len(p.vectors) == 0 {
			return nil, fmt.Errorf("model %s has no vectors of users and items: twotower is one that has", p.spec.Name)
		}
		return nil, fmt.Errorf("model %s has no vector %q, only %s", p.spec.Name, name, strings.Join(p.vectors, ", "))
	}
	net := nn.New(graph.Float32, p.seed)
	net.Scoring = true
	a, err := p.assembleIn(net)
	if err != nil {
		return nil, err
	}
	v := &Vectors{scorer: Scorer{program: p, net: a.net, feed: newFeed(p, a.net)}}
	v.node = a.net.Vectors[slices.IndexFunc(a.net.Vectors, func(x nn.Vector) bool { return x.Name == name })].Node
	if v.scorer.plan, err = a.net.Graph.Compile(v.node); err != nil {
		return nil, fmt.Errorf("compile vector %s of model %s: %w", name, p.spec.Name, err)
	}
	v.scorer.feed.bind(v.scorer.plan)
	return v, nil
}

// Dim is the vector's width.
func (v *Vectors) Dim() int { return v.node.Cols }

// Append adds the vectors of a batch's rows to dst, one after another. It reads rows and w only.
func (v *Vectors) Append(dst []float32, b *features.Batch, w *Weights, rows Rows) ([]float32, error) {
	if b.Rows == 0 {
		return dst, nil
	}
	if err := v.scorer.run(b, w, rows); err != nil {
		return dst, fmt.Errorf("compute vectors: %w", err)
	}
	return append(dst, v.scorer.plan.Value(v.node).F32...), nil
}
