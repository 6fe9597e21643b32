package bst

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is BST; equations and sizes are in README.md. Labels share all but the output layer.
type Model struct {
	Config
	groups []models.BehaviourGroup
}

// Build adds the fields' vectors, a transformer for each group of sequences, and the tower over all of them.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.groups), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x := []*graph.Node{in.Node}
	for i, g := range m.groups {
		x = append(x, m.interest(net, models.Numbered("transformer", i, len(m.groups)), g, in, s))
	}
	return models.Heads(net, "out", net.MLP("dnn", graph.Concat(x...), m.tower().Spec()), s), nil
}

// width returns H, what a behaviour of so many sequences is wide: their vectors and that of its place.
func (c *Config) width(sequences int) int {
	if c.UsePositionEmb {
		sequences++
	}
	return sequences * c.EmbeddingDim
}

// sinusoids starts the vectors of places at the sines and cosines of Vaswani and others (NeurIPS 2017, section 3.5).
func sinusoids(_ func() float64, rows, cols int, dst []float32) {
	for place := range rows {
		for c := range cols {
			angle := float64(place) * math.Pow(10000, -float64(c&^1)/float64(cols))
			if c%2 == 0 {
				dst[place*cols+c] = float32(math.Sin(angle))
			} else {
				dst[place*cols+c] = float32(math.Cos(angle))
			}
		}
	}
}

// interest returns one row of width H for the behaviours and the candidate that follows them, [B, H].
func (m *Model) interest(net *nn.Net, name string, g models.BehaviourGroup, in *models.Inputs, s *features.Schema) *graph.Node {
	k, r, q := g.Inputs(net, s, in, name, m.EmbeddingDim)
	x, r := graph.AppendRows(k, q, r)
	if m.UsePositionEmb {
		places := net.Param(name+"/position", g.Longest(s)+1, m.EmbeddingDim, sinusoids)
		x = graph.Concat(x, graph.AddPositions(graph.Scale(graph.Slice(x, 0, m.EmbeddingDim), 0), places, r))
	}
	for l := range m.Layers {
		x = m.block(net, fmt.Sprintf("%s/%d", name, l), x, r)
	}
	return graph.SegmentPool(x, r, poolings[m.SeqPoolingType])
}

// block is one encoder layer: attention among the rows of a segment, then two layers on each row.
func (m *Model) block(net *nn.Net, name string, x *graph.Node, r *graph.Ragged) *graph.Node {
	width := x.Cols
	q, k, v := net.Linear(name+"/q", x, width, graph.Identity), net.Linear(name+"/k", x, width, graph.Identity), net.Linear(name+"/v", x, width, graph.Identity)
	a := graph.SegmentAttention(q, k, v, r, m.NumHeads, 1/math.Sqrt(float64(width/m.NumHeads)))
	x = m.join(net, name+"/norm1", x, net.Linear(name+"/o", a, width, graph.Identity))
	f := net.Linear(name+"/ffn/1", leaky(net.Linear(name+"/ffn/0", x, width, graph.Identity)), width, graph.Identity)
	return m.join(net, name+"/norm2", x, f)
}

// join returns LN(x + drop(y)), each part where it is on.
func (m *Model) join(net *nn.Net, norm string, x, y *graph.Node) *graph.Node {
	y = graph.Dropout(y, m.AttentionDropout)
	if m.UseResidual {
		y = graph.Add(x, y)
	}
	if m.LayerNorm {
		y = net.LayerNorm(norm, y)
	}
	return y
}

// leaky is LeakyReLU with slope 0.01: 0.01·x + 0.99·ReLU(x).
func leaky(x *graph.Node) *graph.Node {
	return graph.Add(graph.Scale(x, 0.01), graph.Scale(graph.Apply(x, graph.ReLU), 0.99))
}
