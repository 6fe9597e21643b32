// Package modeltest helps the tests of models: programs from texts, random batches, gradients by central differences.
package modeltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Schema reads a schema and fails the test where it cannot.
func Schema(t testing.TB, text string) *features.Schema {
	t.Helper()
	s, err := features.ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Program builds a model from the texts of a schema and a model file.
func Program(t testing.TB, schema, model string) *models.Program {
	t.Helper()
	s := Schema(t, schema)
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		t.Fatal(err)
	}
	p, err := models.NewProgram(spec, s, 7)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Batch makes a random batch: ids 1 to ids, lists of 0 to 6 ids (behaviours of one row all of one length), numbers, labels, and where the schema has groups four rows of each.
func Batch(s *features.Schema, rows, ids int, seed uint64) *features.Batch {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := &features.Batch{Rows: rows, Columns: make([]features.Column, len(s.Fields)), Labels: make([][]float32, len(s.Labels))}
	lengths := make([]int, rows)
	for r := range lengths {
		lengths[r] = rng.IntN(7)
	}
	id := func() uint64 { return 1 + rng.Uint64N(uint64(ids)) }
	for i := range s.Fields {
		c, f := &b.Columns[i], &s.Fields[i]
		switch {
		case models.IsNumber(f):
			for range rows {
				missing := float32(rng.IntN(5) / 4)
				c.Values, c.Missing = append(c.Values, (1-missing)*float32(rng.NormFloat64())), append(c.Missing, missing)
			}
		case f.Kind == features.Sequence, f.Kind == features.Multi:
			c.Offsets = append(c.Offsets, 0)
			for r := range rows {
				for range lengths[r] {
					c.IDs = append(c.IDs, id())
				}
				c.Offsets = append(c.Offsets, int32(len(c.IDs)))
			}
		default:
			for range rows {
				c.IDs = append(c.IDs, id())
			}
		}
	}
	for i := range b.Labels {
		for range rows {
			b.Labels[i] = append(b.Labels[i], float32(rng.IntN(2)))
		}
	}
	if s.GroupColumn() != "" {
		for r := range rows {
			b.Groups = append(b.Groups, uint64(1+r/4))
		}
	}
	return b
}

// Trainer returns a trainer whose tables have the ids 1 to n in every vocabulary.
func Trainer(t testing.TB, p *models.Program, n int) *models.Trainer {
	t.Helper()
	v := features.Vocabulary{}
	for _, s := range p.Tables() {
		v[s.Vocabulary] = nil
		for id := range uint64(n) {
			v[s.Vocabulary] = append(v[s.Vocabulary], id+1)
		}
	}
	tr, err := p.NewTrainer(v, false)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Scores returns the probabilities of the first label.
func Scores(t testing.TB, p *models.Program, dense []snapshot.Tensor, rows models.Rows, b *features.Batch) []float32 {
	t.Helper()
	return allScores(t, p, dense, rows, b)[0]
}

// allScores returns the probabilities of every label.
func allScores(t testing.TB, p *models.Program, dense []snapshot.Tensor, rows models.Rows, b *features.Batch) [][]float32 {
	t.Helper()
	w, err := p.NewWeights("test", dense)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewScorer()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Score(b, w, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Randomise draws every row of the tables anew with the given deviation, so that a test does not look at vanishing embeddings.
func Randomise(tables map[string]*table.Table, std float64) {
	rng := rand.New(rand.NewPCG(5, 5))
	names := models.SortedNames(tables)
	for _, name := range names {
		for slot := range uint32(tables[name].Len()) {
			for k := range tables[name].Row(slot) {
				tables[name].Row(slot)[k] = float32(std * rng.NormFloat64())
			}
		}
	}
}

// Set overwrites a dense tensor by name.
func Set(t testing.TB, dense []snapshot.Tensor, name string, value func(i int) float32) {
	t.Helper()
	for k := range dense {
		if dense[k].Name != name {
			continue
		}
		n := 1
		for _, d := range dense[k].Shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = value(i)
		}
		dense[k] = snapshot.NewTensor(name, values, dense[k].Shape...)
		return
	}
	t.Fatalf("there is no tensor %s", name)
}

// Values returns a dense tensor by name.
func Values(t testing.TB, dense []snapshot.Tensor, name string) []float32 {
	t.Helper()
	for _, d := range dense {
		if d.Name == name {
			v, err := snapshot.Values[float32](d)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no tensor %s", name)
	return nil
}

// CheckGradients compares the gradients of the loss with respect to every parameter and input with central differences, in float64.
func CheckGradients(t *testing.T, schema, model string) {
	t.Helper()
	const rows, step, tolerance = 4, 1e-5, 1e-6
	s := Schema(t, schema)
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		t.Fatal(err)
	}
	net := nn.New(graph.Float64, 3)
	var loss *graph.Node
	var labels []*graph.Node
	if err := graph.Build(func() {
		logits, err := spec.Model.Build(net, s)
		if err != nil {
			t.Error(err)
			return
		}
		var parts []*graph.Node
		for i, z := range logits {
			labels = append(labels, net.Graph.Input("label/"+s.Labels[i].Name, 1))
			if net.Objective != nil {
				parts = append(parts, net.Objective(i, labels[i], nil))
			} else {
				parts = append(parts, graph.BCEWithLogits(z, labels[i], nil))
			}
		}
		for _, h := range net.Heads {
			parts = append(parts, graph.Scale(graph.BCEWithLogits(h.Logit, labels[h.Label], nil), h.Weight))
		}
		for _, x := range net.Auxiliaries {
			parts = append(parts, graph.Scale(x.Loss, x.Weight))
		}
		loss = parts[0]
		if len(parts) > 1 {
			loss = graph.SumScalars(parts...)
		}
	}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 0))
	offsets := []int32{0, 2, 2, 5, 6}
	values := map[*graph.Node]*graph.Tensor{}
	var order []*graph.Node
	var names []string
	add := func(n *graph.Node, name string, v *graph.Tensor) {
		if values[n] == nil {
			values[n] = v
			order, names = append(order, n), append(names, name)
		}
	}
	random := func(r, c int) *graph.Tensor {
		v := graph.NewTensorOf(graph.Float64, r, c)
		for i := range v.F64 {
			v.F64[i] = rng.NormFloat64()
		}
		return v
	}
	for _, p := range net.Params {
		if p.Node != nil {
			for i := range p.Value.F64 { // no unit sits on the kink of its activation
				p.Value.F64[i] += 0.1 * rng.NormFloat64()
			}
			add(p.Node, p.Name, p.Value)
		}
	}
	for _, l := range net.Lookups {
		n := rows
		if l.Pool == nn.PoolRagged {
			l.Ragged.Offsets = offsets
			n = int(offsets[rows])
		}
		add(l.Node, "input of "+l.Field, random(n, l.Node.Cols))
	}
	for _, d := range net.Dense {
		add(d.Node, "numbers", random(rows, d.Node.Cols))
	}
	plan, err := net.Graph.CompileTraining(loss, order)
	if err != nil {
		t.Fatal(err)
	}
	for n, v := range values {
		plan.Bind(n, v)
	}
	for _, c := range net.Codes {
		n := rows
		if c.Ragged != nil {
			n = int(offsets[rows])
		}
		v := graph.NewTensorOf(graph.Float64, n, 1)
		for i := range v.F64 {
			v.F64[i] = float64(rng.IntN(2))
		}
		plan.Bind(c.Node, v)
	}
	for _, y := range labels {
		v := graph.NewTensorOf(graph.Float64, rows, 1)
		for i := range v.F64 {
			v.F64[i] = float64(rng.IntN(2))
		}
		plan.Bind(y, v)
	}
	buffers := map[*nn.Param][]float64{}
	for _, p := range net.Params {
		if p.Buffer {
			buffers[p] = append([]float64{}, p.Value.F64...)
		}
	}
	run := func() float64 {
		for p, v := range buffers { // what a step leaves is not to be seen by the next
			copy(p.Value.F64, v)
		}
		plan.SetStep(1, 1)
		if err := plan.Run(); err != nil {
			t.Fatal(err)
		}
		return plan.Value(loss).F64[0]
	}
	run()
	grads := map[*graph.Node][]float64{}
	for _, n := range order {
		grads[n] = append([]float64{}, plan.Grad(n).F64...)
	}
	for k, n := range order {
		v := values[n].F64
		for trial := 0; trial < 6; trial++ {
			i := rng.IntN(len(v))
			x := v[i]
			v[i] = x + step
			up := run()
			v[i] = x - step
			down := run()
			v[i] = x
			want := (up - down) / (2 * step)
			if d := math.Abs(grads[n][i] - want); d > tolerance*math.Max(1, math.Abs(want)) {
				t.Errorf("%s[%d]: gradient %.9g, central difference %.9g", names[k], i, grads[n][i], want)
			}
		}
	}
}

// Overfit trains on 64 rows until the loss is below 0.01, in at most the given number of steps.
func Overfit(t *testing.T, p *models.Program, steps int) {
	t.Helper()
	tr := Trainer(t, p, 64)
	b := Batch(p.Schema(), 64, 64, 1)
	for i := range b.Columns[0].IDs {
		b.Columns[0].IDs[i] = uint64(i + 1)
	}
	var loss float64
	var err error
	for range steps {
		if loss, _, err = tr.Train(b); err != nil {
			t.Fatal(err)
		}
		if loss < 0.01 {
			return
		}
	}
	t.Errorf("loss %.4f after %d steps on 64 rows, want less than 0.01", loss, steps)
}
