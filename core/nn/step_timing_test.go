package nn

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/graph"
)

// steps times forward and backward; gathers, scatters and the optimizer are not in it.
func steps(b *testing.B, n *Net, loss *graph.Node, rows int, inputs map[*graph.Node]*graph.Tensor) {
	b.Helper()
	wrt := n.Trainable()
	for node := range inputs {
		for _, l := range n.Lookups {
			if l.Node == node && l.Col == 0 {
				wrt = append(wrt, node)
			}
		}
	}
	p, err := n.Graph.CompileTraining(loss, wrt)
	if err != nil {
		b.Fatal(err)
	}
	n.Bind(p)
	for node, x := range inputs {
		p.Bind(node, x)
	}
	if err := p.Run(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// benchDIN is DIN with user, item and category of 16, unit 80-40 sigmoid, tower 200-80 PReLU.
func benchDIN(scoring bool) (n *Net, user, item, history, z *graph.Node, r *graph.Ragged) {
	n = New(graph.Float32, 1)
	n.Scoring = scoring
	user = n.Embed("emb", []EmbedField{{Field: "user", Table: "user"}}, 16)
	item = n.Embed("emb", []EmbedField{{Field: "item", Table: "item"}, {Field: "category", Table: "category"}}, 16)
	history, r = n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}, {Field: "categories", Table: "category"}}, 16)
	v := n.AttentionUnit("attention", item, history, r, AttentionSpec{Hidden: []int{80, 40}, Activation: "sigmoid", Softmax: true})
	z = n.MLP("tower", graph.Concat(user, item, v), MLPSpec{Hidden: []int{200, 80}, Activation: "prelu", Out: 1})
	return n, user, item, history, z, r
}

// BenchmarkStepDIN is a step over ragged histories: lengths geometric with mean 10, cut at 100; batch 1024.
func BenchmarkStepDIN(b *testing.B) {
	const batch = 1024
	n, user, item, history, z, r := benchDIN(false)
	y := n.Graph.Input("y", 1)
	loss := graph.BCEWithLogits(z, y, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	r.Offsets = []int32{0}
	for range batch {
		length := int32(1)
		for length < 100 && rng.Float64() < 0.9 {
			length++
		}
		r.Offsets = append(r.Offsets, r.Offsets[len(r.Offsets)-1]+length)
	}
	rows := int(r.Offsets[batch])
	steps(b, n, loss, batch, map[*graph.Node]*graph.Tensor{
		user: fill(graph.Float32, 1, batch, 16), item: fill(graph.Float32, 2, batch, 32),
		history: fill(graph.Float32, 3, rows, 32), y: graph.NewTensor(batch, 1),
	})
}

// BenchmarkScoreDIN scores candidates of one user with a history of 100 and of 10.
func BenchmarkScoreDIN(b *testing.B) {
	for _, size := range [][2]int{{200, 100}, {200, 10}, {1, 100}} {
		candidates, length := size[0], size[1]
		b.Run(fmt.Sprintf("%dx%d", candidates, length), func(b *testing.B) {
			n, user, item, history, z, r := benchDIN(true)
			p, err := n.Graph.Compile(z)
			if err != nil {
				b.Fatal(err)
			}
			n.Bind(p)
			p.Bind(user, fill(graph.Float32, 1, candidates, 16))
			p.Bind(item, fill(graph.Float32, 2, candidates, 32))
			p.Bind(history, fill(graph.Float32, 3, length, 32))
			p.BindShared(r, candidates, length)
			if err := p.Run(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStepFinalMLP is FinalMLP with the published setting for Frappe: 10 fields of 10, gates of 400, streams of 400 and 100 with batch
// normalisation and dropout 0.4, 5 heads; batch 4096.
func BenchmarkStepFinalMLP(b *testing.B) {
	const batch = 4096
	n := New(graph.Float32, 1)
	fields := make([]EmbedField, 10)
	for i := range fields {
		fields[i] = EmbedField{Field: string(rune('a' + i)), Table: string(rune('a' + i))}
	}
	e := n.Embed("emb", fields, 10)
	inputs := map[*graph.Node]*graph.Tensor{e: fill(graph.Float32, 1, batch, 100)}
	var streams [2]*graph.Node
	for i, width := range []int{400, 100} {
		name := string(rune('1' + i))
		context := n.Embed("gate"+name, fields[i:i+1], 10)
		inputs[context] = fill(graph.Float32, uint64(i+2), batch, 10)
		gate := n.MLP("gate"+name, context, MLPSpec{Hidden: []int{400}, Activation: "relu", Out: 100})
		streams[i] = n.MLP("mlp"+name, graph.Gate(gate, e), MLPSpec{Hidden: []int{width}, Activation: "relu", Dropout: []float64{0.4}, BatchNorm: true})
	}
	w := n.Param("fusion/weight", 400*100/5, 1, XavierNormal())
	z := graph.Add(n.Linear("fusion/x", streams[0], 1, graph.Identity), n.Linear("fusion/y", streams[1], 1, graph.Identity))
	z = graph.Add(z, graph.BilinearFusion(streams[0], streams[1], w, 5))
	y := n.Graph.Input("y", 1)
	inputs[y] = graph.NewTensor(batch, 1)
	steps(b, n, graph.BCEWithLogits(z, y, nil), batch, inputs)
}
