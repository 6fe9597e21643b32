package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/graph"
)

// fill returns a [rows, cols] tensor of standard normal numbers.
func fill(dtype graph.DType, seed uint64, rows, cols int) *graph.Tensor {
	rng := rand.New(rand.NewPCG(seed, 0))
	t := graph.NewTensorOf(dtype, rows, cols)
	for i := range rows * cols {
		if dtype == graph.Float64 {
			t.F64[i] = rng.NormFloat64()
		} else {
			t.F32[i] = float32(rng.NormFloat64())
		}
	}
	return t
}

// din is a small DIN: user and item vectors, a history, a numeric field.
type din struct {
	net    *Net
	loss   *graph.Node
	logits *graph.Node
	labels *graph.Node
	r      *graph.Ragged
	train  *graph.Plan
	inputs []*graph.Node
}

func newDIN(t testing.TB, dtype graph.DType, activation string, batchNorm bool) *din {
	d := &din{net: New(dtype, 7)}
	n := d.net
	err := graph.Build(func() {
		user := n.Embed("emb", []EmbedField{{Field: "user", Table: "user"}}, 4)
		item := n.Embed("emb", []EmbedField{{Field: "item", Table: "item"}, {Field: "category", Table: "category"}}, 4)
		history, r := n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}, {Field: "categories", Table: "category"}}, 4)
		age := n.Numeric("emb", []string{"age"}, 4)
		interest := n.AttentionUnit("attention", item, history, r, AttentionSpec{Hidden: []int{8, 4}, Activation: activation, Softmax: true})
		x := graph.Concat(user, item, interest, age)
		d.logits = n.MLP("tower", x, MLPSpec{Hidden: []int{16, 8}, Activation: activation, Dropout: []float64{0.1}, BatchNorm: batchNorm, Out: 1})
		d.labels = n.Graph.Input("label", 1)
		d.loss = graph.BCEWithLogits(d.logits, d.labels, nil)
		d.r, d.inputs = r, []*graph.Node{user, item, history}
	})
	if err != nil {
		t.Fatal(err)
	}
	d.train, err = n.Graph.CompileTraining(d.loss, append(n.Trainable(), d.inputs...), d.logits)
	if err != nil {
		t.Fatal(err)
	}
	n.Bind(d.train)
	return d
}

// bind gives a plan a batch drawn from seed with the given history lengths.
func (d *din) bind(p *graph.Plan, seed uint64, lengths ...int) {
	dtype := d.net.Graph.DType()
	offsets := []int32{0}
	for _, l := range lengths {
		offsets = append(offsets, offsets[len(offsets)-1]+int32(l))
	}
	d.r.Offsets = offsets
	b := len(lengths)
	p.Bind(d.inputs[0], fill(dtype, seed, b, 4))
	p.Bind(d.inputs[1], fill(dtype, seed+1, b, 8))
	p.Bind(d.inputs[2], fill(dtype, seed+2, int(offsets[b]), 8))
	p.Bind(d.net.Dense[0].Node, fill(dtype, seed+3, b, 2))
	y := graph.NewTensorOf(dtype, b, 1)
	for i := range b {
		if dtype == graph.Float64 {
			y.F64[i] = float64(i % 2)
		} else {
			y.F32[i] = float32(i % 2)
		}
	}
	p.Bind(d.labels, y)
}

func TestTrainingLowersTheLoss(t *testing.T) {
	for _, activation := range Activations() {
		for _, batchNorm := range []bool{false, true} {
			d := newDIN(t, graph.Float32, activation, batchNorm)
			d.bind(d.train, 1, 3, 0, 5, 1, 1, 0, 7, 2)
			var first, last float32
			for step := range 300 {
				d.train.SetStep(1, uint64(step))
				if err := d.train.Run(); err != nil {
					t.Fatal(err)
				}
				last = d.train.Value(d.loss).F32[0]
				if step == 0 {
					first = last
				}
				for _, p := range d.net.Params {
					if p.Buffer {
						continue
					}
					for i, g := range d.train.Grad(p.Node).F32 {
						p.Value.F32[i] -= 0.3 * g
					}
				}
			}
			if !(last < 0.9*first) || math.IsNaN(float64(last)) {
				t.Errorf("%s, batch norm %v: loss %g after 300 steps, %g at first", activation, batchNorm, last, first)
			}
		}
	}
}
