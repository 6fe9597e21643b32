package models_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/features/prepare"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
	"github.com/millrace/millrace/models/modeltest"
)

// exportSchema has a field of every kind, two histories of the same behaviours and one of others.
const exportSchema = `
user: user
item: item
labels: [{name: click}, {name: buy}]
fields:
  - {name: user, type: categorical, from: user}
  - {name: item, type: categorical, from: item}
  - {name: category, type: categorical, from: item, unknown: zero}
  - {name: tags, type: multi, from: item}
  - {name: price, type: numeric, from: item, log: true, standardise: true}
  - {name: hour, type: numeric, from: context}
  - {name: slot, type: categorical, from: context}
  - {name: age, type: numeric, from: user, buckets: [18, 30.5, 60]}
  - {name: items, type: sequence, from: history, shares: item, max: 20}
  - {name: categories, type: sequence, from: history, shares: category, max: 20}
`

// oneLabel is exportSchema with one label.
var oneLabel = strings.Replace(exportSchema, ", {name: buy}", "", 1)

// withoutONNX lists registered models that cannot be exported yet. It is to stay empty.
var withoutONNX = []string{}

// exportCase is a model on a schema.
type exportCase struct{ name, schema, model string }

// exportCases are all registered models on one and on two labels, variants of their layers, and the model files of the examples; all models once with -short.
func exportCases(t *testing.T) []exportCase {
	var cases []exportCase
	accepted := map[string]bool{}
	add := func(name, schema, model string) bool {
		s := modeltest.Schema(t, schema)
		if _, err := models.Parse([]byte(model), s); err != nil {
			return false
		}
		cases = append(cases, exportCase{name, schema, model})
		return true
	}
	for _, name := range models.Names() {
		for labels, schema := range []string{oneLabel, exportSchema} {
			if testing.Short() && accepted[name] {
				break
			}
			if add(fmt.Sprintf("%s with %d labels", name, labels+1), schema, "model: "+name) {
				accepted[name] = true
			}
		}
		if !accepted[name] {
			t.Errorf("model %s takes neither one nor two labels", name)
		}
	}
	for _, v := range []string{
		"model: dnn\nhidden_activations: dice\nhidden_units: [8, 4]\nbatch_norm: true",
		"model: dnn\nhidden_activations: prelu\nhidden_units: [8]",
		"model: dnn\nhidden_activations: tanh\nhidden_units: [8]\nbatch_norm: true",
		"model: din\nattention_hidden_activations: dice\nattention_hidden_units: [8, 4]\ndin_use_softmax: true\ndnn_activations: dice",
		"model: din\nattention_hidden_activations: prelu\nattention_hidden_units: [8]",
		"model: din\nattention_hidden_activations: sigmoid\nattention_hidden_units: [8, 4]\ndin_use_softmax: true",
		"model: din\nattention_hidden_activations: relu\nattention_hidden_units: [4]",
		"model: autoint\nlayer_norm: true\nuse_residual: true\nuse_scale: true\nattention_layers: 2\nnum_heads: 2",
		"model: autoint\nuse_residual: false\nnum_heads: 1",
		"model: dnn\nposition_bias: {field: slot, score_at: \"1\"}",
		"model: din\nposition_bias: slot",
		"model: lr\nposition_bias: {field: [slot, hour], combine: multiply}",
	} {
		if !add(strings.ReplaceAll(v, "\n", ", "), oneLabel, v) {
			_, err := models.Parse([]byte(v), modeltest.Schema(t, oneLabel))
			t.Errorf("%q: %v", v, err)
		}
	}
	paths, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		return cases
	}
	for _, path := range paths {
		text := read(t, path)
		if !strings.Contains("\n"+text, "\nmodel:") {
			continue
		}
		dir, file := filepath.Split(path)
		if !add(filepath.Base(dir)+"/"+file, read(t, dir+"schema.yaml"), text) {
			t.Errorf("%s cannot be read", path)
		}
	}
	return cases
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exportIDs is up to which id tables have rows; batches have some above.
const exportIDs = 12

// bucketed is what a bucketed number's id is of.
func bucketed(f *features.Field) bool { return f.Kind == features.Numeric && len(f.Buckets) > 0 }

// checkpoint trains a model for two steps and moves everything away from where it starts.
func checkpoint(t testing.TB, schema, model string) *models.Checkpoint {
	t.Helper()
	p := modeltest.Program(t, schema, model)
	s := p.Schema()
	v := features.Vocabulary{}
	for i := range s.Fields {
		f := &s.Fields[i]
		if v[f.Table()] == nil {
			for id := range uint64(exportIDs) {
				v[f.Table()] = append(v[f.Table()], id+1)
			}
			v[f.Table()] = append(v[f.Table()], features.ID(f.Table(), "1"))
		}
		if bucketed(f) {
			v[f.Table()] = append(v[f.Table()], features.ID(f.Table(), "2"), features.MissingID(f.Table()))
		}
	}
	tr, err := p.NewTrainer(v, false)
	if err != nil {
		t.Fatal(err)
	}
	c := &models.Checkpoint{Schema: s, Spec: p.Spec(), Program: p, Tables: tr.Tables, Stats: &features.Stats{Numeric: map[string]features.NumericStats{}}}
	for i := range s.Fields {
		if f := &s.Fields[i]; models.IsNumber(f) {
			c.Stats.Numeric[f.Name] = features.NumericStats{Mean: 0.4, Std: 1.7, Count: 9}
		}
	}
	modeltest.Randomise(tr.Tables, 0.3)
	for name, tab := range tr.Tables {
		for _, spec := range p.Tables() {
			if spec.Name == name && spec.Zero {
				clear(tab.Row(0))
			}
		}
	}
	b, _ := exportBatch(c, 32, 1)
	for range 2 {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for _, d := range tr.Step.Dense() {
		values, err := snapshot.Values[float32](d)
		if err != nil {
			t.Fatal(err)
		}
		values = slices.Clone(values)
		for i := range values {
			values[i] += float32(0.1 * math.Abs(rng.NormFloat64()))
		}
		c.Dense = append(c.Dense, snapshot.NewTensor(d.Name, values, d.Shape...))
	}
	if c.Weights, err = p.NewWeights("v1", c.Dense); err != nil {
		t.Fatal(err)
	}
	return c
}

// exportBatch is a random batch and, for each numeric field, the numbers as they stood in the data.
func exportBatch(c *models.Checkpoint, rows int, seed uint64) (*features.Batch, map[string][]float64) {
	b, numbers := modeltest.Batch(c.Schema, rows, exportIDs+4, seed), map[string][]float64{}
	rng := rand.New(rand.NewPCG(seed, 9))
	for i := range c.Schema.Fields {
		f, column := &c.Schema.Fields[i], &b.Columns[i]
		if f.Kind != features.Numeric {
			continue
		}
		raw, spread := make([]float64, rows), 60.0
		if !bucketed(f) && !f.Standardise { // float32 has 1e-5 of a score only where logits stay in the tens
			spread = 2
		}
		for r := range raw {
			if rng.IntN(5) == 0 {
				raw[r] = math.NaN()
			} else {
				raw[r] = spread * rng.NormFloat64()
			}
		}
		if bucketed(f) && rows > 1 { // on a bound
			raw[1] = f.Buckets[0]
		}
		numbers[f.Name] = raw
		encodeNumbers(c, f, column, raw)
	}
	return b, numbers
}

// encodeNumbers fills a column as features.Encoder does.
func encodeNumbers(c *models.Checkpoint, f *features.Field, column *features.Column, raw []float64) {
	for r, v := range raw {
		if bucketed(f) {
			column.IDs[r] = features.MissingID(f.Table())
			if v == v {
				n, _ := slices.BinarySearchFunc(f.Buckets, v, func(bound, v float64) int {
					if bound <= v {
						return -1
					}
					return 1
				})
				column.IDs[r] = features.ID(f.Table(), fmt.Sprint(n))
			}
			continue
		}
		s := c.Stats.Numeric[f.Name]
		column.Missing[r] = 0
		if v != v {
			column.Missing[r], column.Values[r] = 1, float32(s.Mean)
			if f.Standardise {
				column.Values[r] = 0
			}
			continue
		}
		if f.Log {
			v = math.Copysign(math.Log1p(math.Abs(v)), v)
		}
		if f.Standardise {
			v = (v - s.Mean) / s.Std
		}
		column.Values[r] = float32(v)
	}
}

// withoutHistories empties every list of a batch.
func withoutHistories(b *features.Batch) {
	for i := range b.Columns {
		if c := &b.Columns[i]; len(c.Offsets) > 0 {
			clear(c.Offsets)
			c.IDs = c.IDs[:0]
		}
	}
}

// inputsOf are the tensors that an exported model's inputs want for a batch.
func inputsOf(t testing.TB, c *models.Checkpoint, e *models.Exported, b *features.Batch, numbers map[string][]float64) []snapshot.Tensor {
	t.Helper()
	var out []snapshot.Tensor
	for _, in := range e.Inputs {
		column := &b.Columns[c.Schema.Field(in.Field)]
		switch in.Role {
		case "ids":
			ids := make([]int64, len(column.IDs))
			for i, id := range column.IDs {
				ids[i] = int64(id)
			}
			out = append(out, snapshot.NewTensor(in.Name, ids))
		case "lengths":
			lengths := make([]int64, b.Rows)
			for r := range lengths {
				lengths[r] = int64(column.Offsets[r+1] - column.Offsets[r])
			}
			out = append(out, snapshot.NewTensor(in.Name, lengths))
		case "number":
			out = append(out, snapshot.NewTensor(in.Name, numbers[in.Field]))
		case "rows":
			tab := c.Tables[in.Table]
			rows := make([]float32, len(column.IDs)*tab.Dim())
			if err := models.TableRows(c.Tables).Gather(in.Table, rows, tab.Dim(), column.IDs); err != nil {
				t.Fatal(err)
			}
			out = append(out, snapshot.NewTensor(in.Name, rows, len(column.IDs), tab.Dim()))
		default:
			t.Fatalf("input %s has the role %q", in.Name, in.Role)
		}
	}
	return out
}

// feeds are inputsOf and, under expected/, what the scorer gives.
func feeds(t testing.TB, c *models.Checkpoint, e *models.Exported, b *features.Batch, numbers map[string][]float64) []snapshot.Tensor {
	t.Helper()
	out := inputsOf(t, c, e, b, numbers)
	s, err := c.Program.NewScorer()
	if err != nil {
		t.Fatal(err)
	}
	scores, err := s.Score(b, c.Weights, models.TableRows(c.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range e.Outputs {
		out = append(out, snapshot.NewTensor("expected/"+name, slices.Clone(scores[i])))
	}
	return out
}

// addExport exports a model and adds batches of several sizes to the cases.
func addExport(t testing.TB, o *testkit.ONNXCases, name string, c *models.Checkpoint, outside bool, sizes ...int) {
	t.Helper()
	model, e := exportTo(t, o, name, c, outside)
	for i, rows := range sizes {
		b, numbers := exportBatch(c, rows, uint64(i+5))
		addRows(t, o, fmt.Sprintf("%s, %d rows", name, rows), model, feeds(t, c, e, b, numbers))
	}
	b, numbers := exportBatch(c, 3, 8)
	withoutHistories(b)
	addRows(t, o, name+", no histories", model, feeds(t, c, e, b, numbers))
}

// addBatch exports a model and adds one batch.
func addBatch(t testing.TB, o *testkit.ONNXCases, name string, c *models.Checkpoint, outside bool, b *features.Batch, numbers map[string][]float64) {
	t.Helper()
	model, e := exportTo(t, o, name, c, outside)
	addRows(t, o, name, model, feeds(t, c, e, b, numbers))
}

func exportTo(t testing.TB, o *testkit.ONNXCases, name string, c *models.Checkpoint, outside bool) (string, *models.Exported) {
	t.Helper()
	var file bytes.Buffer
	e, err := c.ExportONNX(&file, models.ONNXOptions{Outside: outside})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if e.Bytes != int64(file.Len()) {
		t.Errorf("%s: %d bytes told, %d written", name, e.Bytes, file.Len())
	}
	return o.Model(t, file.Bytes()), e
}

func addRows(t testing.TB, o *testkit.ONNXCases, name, model string, rows []snapshot.Tensor) {
	t.Helper()
	b, err := snapshot.AppendTensors(nil, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Rows(t, name, model, b)
}

// TestExportedModelsScoreAlike: ONNX Runtime gives the scorer's scores for every model, on batches of several sizes, with empty histories and unknown ids.
func TestExportedModelsScoreAlike(t *testing.T) {
	o := testkit.NewONNXCases(t)
	for _, c := range exportCases(t) {
		cp := checkpoint(t, c.schema, c.model)
		if slices.Contains(withoutONNX, cp.Spec.Name) {
			if _, err := cp.ExportONNX(io.Discard, models.ONNXOptions{}); err == nil {
				t.Errorf("%s is listed as a model without export and has one", cp.Spec.Name)
			}
			continue
		}
		addExport(t, o, c.name, cp, false, 1, 37)
		if c.schema == oneLabel && !testing.Short() {
			addExport(t, o, c.name+", tables outside", cp, true, 5)
		}
	}
	o.Check(t, 1e-5)
}

// TestExportedVectors: a tower alone gives the model's vectors, and wants its own fields only.
func TestExportedVectors(t *testing.T) {
	o := testkit.NewONNXCases(t)
	c := checkpoint(t, oneLabel, "model: twotower")
	names := c.Program.VectorNames()
	if len(names) != 2 {
		t.Fatalf("vectors %v", names)
	}
	b, numbers := exportBatch(c, 9, 4)
	inputs := map[string]bool{}
	for _, name := range names {
		var file bytes.Buffer
		e, err := c.ExportONNX(&file, models.ONNXOptions{Vector: name})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range e.Inputs {
			if inputs[in.Name] {
				t.Errorf("both towers want %s", in.Name)
			}
			inputs[in.Name] = true
		}
		v, err := c.Program.NewVectors(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := v.Append(nil, b, c.Weights, models.TableRows(c.Tables))
		if err != nil {
			t.Fatal(err)
		}
		rows := append(inputsOf(t, c, e, b, numbers), snapshot.NewTensor("expected/vector", want, b.Rows, v.Dim()))
		addRows(t, o, name, o.Model(t, file.Bytes()), rows)
	}
	o.Check(t, 1e-5)
	if _, err := c.ExportONNX(io.Discard, models.ONNXOptions{Vector: "query"}); err == nil || !strings.Contains(err.Error(), `no vector "query", only`) {
		t.Errorf("got %v", err)
	}
}

// TestRealRowsScoreAlike does it with rows of real data after some steps of training: categories, numbers and buckets, histories.
func TestRealRowsScoreAlike(t *testing.T) {
	if testing.Short() {
		t.Skip("prepares and reads data sets")
	}
	o := testkit.NewONNXCases(t)
	census := testkit.RequireData(t, "census-income/census-income.test.gz")
	realRows(t, o, "../examples/census-income/schema.yaml", census, "model: dlrm", "model: xdeepfm", "model: autoint+")
	frappe := testkit.RequireData(t, "frappe/x1_test.csv.gz")
	realRows(t, o, "../examples/frappe/schema.yaml", frappe, read(t, "../examples/frappe/finalmlp.yaml"), read(t, "../examples/frappe/autoint-plus.yaml"))
	recipe, err := prepare.ParseRecipe([]byte(read(t, "../examples/taobao-userbehavior/prepare.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := recipe.Run(t.Context(), testkit.RequireData(t, "taobao-userbehavior"), out, nil); err != nil {
		t.Fatal(err)
	}
	realRows(t, o, "../examples/taobao-userbehavior/schema.yaml", filepath.Join(out, "test.parquet"), "model: din", "model: bst", "model: dtrn")
	o.Check(t, 1e-5)
}

func realRows(t *testing.T, o *testkit.ONNXCases, schema, data string, texts ...string) {
	t.Helper()
	s := modeltest.Schema(t, read(t, schema))
	stats, vocabulary, err := features.Fit(s, []string{data}, nil, features.ReadOptions{Labels: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := features.NewEncoder(s, stats)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		loader, err := features.NewLoader(encoder, []string{data}, features.LoaderOptions{BatchSize: 512, BufferRows: -1, Read: features.ReadOptions{Labels: true}})
		if err != nil {
			t.Fatal(err)
		}
		p := modeltest.Program(t, read(t, schema), text)
		tr, err := p.NewTrainer(vocabulary, false)
		if err != nil {
			t.Fatal(err)
		}
		c := &models.Checkpoint{Schema: s, Spec: p.Spec(), Program: p, Tables: tr.Tables, Stats: stats}
		modeltest.Randomise(tr.Tables, 0.1)
		rows, err := loader.Epoch(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for step := 0; ; step++ {
			b, err := rows.Next()
			if err != nil || b == nil {
				t.Fatalf("after %d batches: %v", step, err)
			}
			if step < 8 {
				if _, _, err := tr.Train(b); err != nil {
					t.Fatal(err)
				}
				continue
			}
			c.Dense = tr.Step.Dense()
			if c.Weights, err = p.NewWeights("v1", c.Dense); err != nil {
				t.Fatal(err)
			}
			addBatch(t, o, p.Spec().Name+" on "+data, c, false, b, decodeNumbers(c, b))
			break
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// decodeNumbers finds numbers that a batch's columns may be the encoding of.
func decodeNumbers(c *models.Checkpoint, b *features.Batch) map[string][]float64 {
	numbers := map[string][]float64{}
	for i := range c.Schema.Fields {
		f, column := &c.Schema.Fields[i], &b.Columns[i]
		if f.Kind != features.Numeric {
			continue
		}
		s, raw := c.Stats.Numeric[f.Name], make([]float64, b.Rows)
		for r := range raw {
			switch {
			case bucketed(f):
				raw[r] = numberOfBucket(f, column.IDs[r])
				continue
			case column.Missing[r] != 0:
				raw[r] = math.NaN()
				continue
			}
			v := float64(column.Values[r])
			if f.Standardise {
				v = v*s.Std + s.Mean
			}
			if f.Log {
				v = math.Copysign(math.Expm1(math.Abs(v)), v)
			}
			raw[r] = v
		}
		numbers[f.Name] = raw
	}
	return numbers
}

// numberOfBucket is the least number of a bucket.
func numberOfBucket(f *features.Field, id uint64) float64 {
	for k := range len(f.Buckets) + 1 {
		if id != features.ID(f.Table(), fmt.Sprint(k)) {
			continue
		}
		if k == 0 {
			return f.Buckets[0] - 1
		}
		return f.Buckets[k-1]
	}
	return math.NaN()
}
