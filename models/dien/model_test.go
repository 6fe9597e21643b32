package dien_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/dien"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hist, type: sequence, shares: item, max: 8}]\n"
	pairs  = "labels: [{name: y}]\nfields: [{name: item}, {name: cat}, {name: items, type: sequence, shares: item, max: 8}, {name: cats, type: sequence, shares: cat, max: 8}]\n"
	small  = "model: DIEN\nembedding_dim: 4\ndnn_hidden_units: []\nattention_hidden_units: [6]\nattention_activation: sigmoid\n"
)

// evolved is DIEN's last state for a row by plain loops, the attention being bilinear with softmax.
func evolved(f *modeltest.Fixture, kind string, ks [][]float64, q []float64) []float64 {
	const h = 4
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	run := func(name string, xs [][]float64, gates int, step func(t int, state, update, candidate []float64)) {
		wide := gates * h
		in, state, bias := f.Values(name+"/input/weight"), f.Values(name+"/state/weight"), f.Values(name+"/bias")
		s := make([]float64, h)
		for t, x := range xs {
			g, v := make([]float64, wide), make([]float64, wide)
			for c := range wide {
				g[c], v[c] = float64(bias[c]), float64(bias[wide+c])
				for i := range h {
					g[c] += x[i] * float64(in[i*wide+c])
					v[c] += s[i] * float64(state[i*wide+c])
				}
			}
			update, candidate := make([]float64, h), make([]float64, h)
			for c := range h {
				candidate[c] = math.Tanh(g[wide-h+c] + sigmoid(g[c]+v[c])*v[wide-h+c])
				update[c] = 1
				if gates == 3 {
					update[c] = sigmoid(g[h+c] + v[h+c])
				}
			}
			step(t, s, update, candidate)
		}
	}
	var states [][]float64
	run("interest/extraction", ks, 3, func(_ int, s, u, n []float64) {
		for c := range s {
			s[c] += u[c] * (n[c] - s[c])
		}
		states = append(states, slices.Clone(s))
	})
	w := f.Values("interest/attention/weight")
	a, sum := make([]float64, len(ks)), 0.
	for t, s := range states {
		for i := range h {
			for c := range h {
				a[t] += q[i] * float64(w[i*h+c]) * s[c]
			}
		}
		a[t] = math.Exp(a[t])
		sum += a[t]
	}
	for t := range a {
		a[t] /= sum
	}
	last, gates := make([]float64, h), 3
	if kind == "AIGRU" {
		for t := range states {
			for c := range h {
				states[t][c] *= a[t]
			}
		}
	}
	if kind == "AGRU" {
		gates = 2
	}
	run("interest/evolution", states, gates, func(t int, s, u, n []float64) {
		for c := range s {
			if kind == "AUGRU" || kind == "AGRU" {
				u[c] *= a[t]
			}
			s[c] += u[c] * (n[c] - s[c])
		}
		copy(last, s)
	})
	return last
}

// Each kind of recurrence by plain loops, with an empty history among the rows and biases and kernels drawn at random.
func TestByLoops(t *testing.T) {
	for _, kind := range []string{"AUGRU", "AGRU", "AIGRU"} {
		f := modeltest.NewFixture(t, schema, small+"gru_type: "+kind+"\n")
		for _, name := range []string{"interest/extraction/bias", "interest/evolution/bias", "interest/attention/weight"} {
			f.Set(name, func(i int) float32 { return float32(math.Sin(float64(3*i + len(name)))) })
		}
		out := f.Values("out/weight")
		var want []float64
		empty := false
		for r := range f.Batch.Rows {
			user, q := f.Vector("emb/user", 0, r), f.Vector("emb/item", 1, r)
			h := &f.Batch.Columns[2]
			var ks [][]float64
			for _, id := range h.IDs[h.Offsets[r]:h.Offsets[r+1]] {
				row := f.Tables["emb/item"].Row(f.Tables["emb/item"].Find(id))
				k := make([]float64, 4)
				for c := range k {
					k[c] = float64(row[c])
				}
				ks = append(ks, k)
			}
			empty = empty || len(ks) == 0
			z := 0.
			for i, v := range slices.Concat(user, q, evolved(f, kind, ks, q)) {
				z += v * float64(out[i])
			}
			want = append(want, z)
		}
		if !empty {
			t.Error("no row has an empty history")
		}
		modeltest.Near(t, f.Logits(), want)
	}
}

// A zero kernel weighs all behaviours alike whatever the candidate, dots are the kernel 1, and a candidate that the evolution does not hear of changes nothing in a plain GRU.
func TestAttentions(t *testing.T) {
	dot := modeltest.NewFixture(t, schema, small+"attention_type: dot_attention\n")
	bilinear := modeltest.NewFixture(t, schema, small)
	modeltest.Near(t, bilinear.Logits(), dot.Logits())

	heard := func(keys string, change func(f *modeltest.Fixture)) bool {
		f := modeltest.NewFixture(t, schema, small+keys)
		change(f)
		w := f.Values("out/weight")
		f.Set("out/weight", func(i int) float32 { // the evolved interest alone
			if i < 8 {
				return 0
			}
			return w[i]
		})
		before := f.Logits()
		for r := range f.Batch.Columns[1].IDs {
			f.Batch.Columns[1].IDs[r] = 1 + f.Batch.Columns[1].IDs[r]%9
		}
		for r, z := range f.Logits() {
			if math.Abs(z-before[r]) > 1e-4 {
				return true
			}
		}
		return false
	}
	none := func(*modeltest.Fixture) {}
	for keys, want := range map[string]bool{
		"gru_type: GRU\n": false, "gru_type: AUGRU\n": true, "gru_type: AGRU\n": true, "gru_type: AIGRU\n": true,
		"attention_type: din_attention\n": true, "attention_type: din_attention\nuse_attention_softmax: false\n": true,
	} {
		if got := heard(keys, none); got != want {
			t.Errorf("%q: the candidate moves the interest: %v, want %v", keys, got, want)
		}
	}
	if heard("", func(f *modeltest.Fixture) { f.Zero("interest/attention/") }) {
		t.Error("a zero kernel hears the candidate")
	}
}

// TestAuxiliaryLoss: with the guess's output layer zero each pair costs log 2, twice; it is in the loss with its weight and changes no score.
func TestAuxiliaryLoss(t *testing.T) {
	f := func(alpha string) (losses []models.AuxiliaryLoss, loss float64, scores []float64) {
		t.Helper()
		x := modeltest.NewFixture(t, schema, small+"aux_hidden_units: [5]\naux_loss_alpha: "+alpha+"\n")
		s, err := x.Program.NewStep(x.Tables, false)
		if err != nil {
			t.Fatal(err)
		}
		dense := s.Dense()
		for _, d := range dense {
			if strings.HasPrefix(d.Name, "interest/next/out/") {
				modeltest.Set(t, dense, d.Name, func(int) float32 { return 0 })
			}
		}
		if err := s.SetDense(dense); err != nil {
			t.Fatal(err)
		}
		if loss, err = s.Run(x.Batch, 1); err != nil {
			t.Fatal(err)
		}
		return s.Auxiliaries(nil), loss, x.Logits()
	}
	with, loss, scores := f("0.5")
	without, plain, same := f("0")
	if len(without) != 0 || len(with) != 1 || with[0].Name != "interest/next" || math.Abs(with[0].Value-2*math.Ln2) > 1e-6 {
		t.Errorf("auxiliary losses %+v and %+v", with, without)
	}
	if math.Abs(loss-plain-0.5*with[0].Value) > 1e-6 {
		t.Errorf("loss %g, %g without the auxiliary one of %g", loss, plain, with[0].Value)
	}
	modeltest.Near(t, scores, same)
}

// No pair of behaviours in the batch: the auxiliary loss is 0 and the step goes on.
func TestBatchWithoutPairs(t *testing.T) {
	x := modeltest.NewFixture(t, schema, small+"aux_loss_alpha: 1\n")
	s, err := x.Program.NewStep(x.Tables, false)
	if err != nil {
		t.Fatal(err)
	}
	h := &x.Batch.Columns[2]
	h.IDs = h.IDs[:1]
	for r := range h.Offsets {
		h.Offsets[r] = int32(min(r, 1))
	}
	for range 2 {
		if loss, err := s.Run(x.Batch, 1); err != nil || !(loss > 0) || math.IsInf(loss, 0) {
			t.Fatalf("loss %g, error %v", loss, err)
		}
		if got := s.Auxiliaries(nil)[0].Value; got != 0 {
			t.Errorf("auxiliary loss %g without pairs", got)
		}
		h.IDs, h.Offsets = h.IDs[:0], make([]int32, x.Batch.Rows+1) // then no behaviour at all
	}
}

// Two trainings with the same seed are the same to the bit, whatever the threads; the negatives of another step are others.
func TestReproducible(t *testing.T) {
	defer kernel.SetThreads(0)
	train := func(threads int) ([]float64, []float32) {
		kernel.SetThreads(threads)
		p := modeltest.Program(t, pairs, "model: DIEN\nembedding_dim: 4\ndnn_hidden_units: [8]\naux_loss_alpha: 1\nlearning_rate: 0.0000001\n")
		tr := modeltest.Trainer(t, p, 50)
		modeltest.Randomise(tr.Tables, 0.5)
		b := modeltest.Batch(p.Schema(), 300, 50, 1)
		var aux []float64
		for range 3 {
			if _, _, err := tr.Train(b); err != nil {
				t.Fatal(err)
			}
			aux = append(aux, tr.Step.Auxiliaries(nil)[0].Value)
		}
		return aux, modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
	}
	aux, scores := train(2)
	again, same := train(2)
	if !slices.Equal(aux, again) || !slices.Equal(scores, same) {
		t.Error("two trainings with one seed differ")
	}
	if _, one := train(1); !slices.Equal(scores, one) {
		t.Error("one thread and two differ in bits")
	}
	if math.Abs(aux[0]-aux[1]) < 1e-6 {
		t.Errorf("two steps of a hardly moving model have the same negatives: %v", aux)
	}
}

// planted makes histories that are walks around a ring of items, a click where the candidate is the next item of the walk.
func planted(s *features.Schema, rows int, seed uint64) *features.Batch {
	const ring = 12
	rng := rand.New(rand.NewPCG(seed, 1))
	b := modeltest.Batch(s, rows, ring, seed)
	h := &b.Columns[2]
	for r := range rows {
		lo, hi := h.Offsets[r], h.Offsets[r+1]
		at := rng.Uint64N(ring)
		for i := lo; i < hi; i++ {
			at = (at + 1) % ring
			h.IDs[i] = 1 + at
		}
		next := (at + 1) % ring
		b.Labels[0][r] = float32(rng.IntN(2))
		if b.Labels[0][r] == 0 {
			next = (next + 1 + rng.Uint64N(ring-1)) % ring
		}
		if hi == lo {
			b.Labels[0][r] = 0
		}
		b.Columns[1].IDs[r] = 1 + next
	}
	return b
}

// What follows in a walk is learned, which needs the order of the history; and the auxiliary loss, which sees it directly, falls.
func TestLearnsAnOrder(t *testing.T) {
	p := modeltest.Program(t, schema, "model: DIEN\nembedding_dim: 8\ndnn_hidden_units: [32]\ndnn_activations: relu\naux_loss_alpha: 1\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\n")
	tr := modeltest.Trainer(t, p, 12)
	var first, last float64
	for i := range uint64(300) {
		if _, _, err := tr.Train(planted(p.Schema(), 128, i)); err != nil {
			t.Fatal(err)
		}
		last = tr.Step.Auxiliaries(nil)[0].Value
		if i == 0 {
			first = last
		}
	}
	b := planted(p.Schema(), 1000, 9999)
	wrong := 0
	for r, s := range modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b) {
		if (s > 0.5) != (b.Labels[0][r] == 1) {
			wrong++
		}
	}
	if wrong > 50 || !(last < 0.6*first) {
		t.Errorf("%d of 1000 labels wrong; the auxiliary loss went from %.3f to %.3f", wrong, first, last)
	}
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: user}, {name: item}, {name: cat}, {name: n, type: numeric}, {name: items, type: sequence, shares: item, max: 6}, {name: cats, type: sequence, shares: cat, max: 6}]\n"
	base := "model: DIEN\nembedding_dim: 3\ndnn_hidden_units: [6]\nattention_hidden_units: [5]\naux_hidden_units: [4]\n"
	for _, keys := range []string{
		"gru_type: AUGRU\naux_loss_alpha: 0.7\n",
		"gru_type: AGRU\nattention_type: din_attention\naux_loss_alpha: 1\naux_activation: sigmoid\n",
		"gru_type: AIGRU\nattention_type: dot_attention\nuse_attention_softmax: false\nenable_sum_pooling: true\n",
		"gru_type: GRU\ndnn_activations: prelu\n",
		"dien_sequence_field: [items, cats]\ndien_target_field: [item, cat]\naux_loss_alpha: 0.5\n",
	} {
		modeltest.CheckGradients(t, two, base+keys)
	}
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, pairs, "model: DIEN\nembedding_dim: 4\ndnn_hidden_units: [16]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\n"), 500)
}

// TestParameterCount: the published AmazonElectronics_x1 setting, alpha 0, AUGRU over DIN's attention.
func TestParameterCount(t *testing.T) {
	got, padding := modeltest.Parameters(t, pairs, `
model: DIEN
embedding_dim: 64
dnn_hidden_units: [1024, 512, 256]
dnn_activations: relu
attention_type: din_attention
attention_hidden_units: [256, 128]
attention_activation: Dice
use_attention_softmax: true
gru_type: AUGRU
aux_hidden_units: [100, 50]
aux_loss_alpha: 0
enable_sum_pooling: False
batch_norm: true
net_dropout: 0.1
dien_target_field: [[item, cat]]
dien_sequence_field: [[items, cats]]
`, map[string]int{"item": 63001, "cat": 801})
	if want := 5369602; got+padding != want {
		t.Errorf("%d parameters and %d of padding rows, want %d together", got, padding, want)
	}
}

// TestPublishedKeys: FuxiCTR's own file for DIEN is read as it is.
func TestPublishedKeys(t *testing.T) {
	schema := "labels: [{name: y}]\nfields: [{name: adgroup_id}, {name: click_sequence, type: sequence, shares: adgroup_id, max: 8}]\n"
	p := modeltest.Program(t, schema, `
model: DIEN
dataset_id: TBD
loss: 'binary_crossentropy'
metrics: ['logloss', 'AUC']
task: binary_classification
optimizer: adam
learning_rate: 1.0e-3
embedding_regularizer: 0
net_regularizer: 0
batch_size: 10000
embedding_dim: 16
dnn_hidden_units: [1024, 512, 256]
dnn_activations: Dice
net_dropout: 0
dien_target_field: adgroup_id
dien_sequence_field: click_sequence
dien_neg_seq_field: []
gru_type: AUGRU
enable_sum_pooling: False
attention_type: bilinear_attention
attention_hidden_units: [80, 40]
attention_activation: "ReLU"
attention_dropout: 0
use_attention_softmax: True
aux_hidden_units: [100, 50]
aux_activation: "ReLU"
aux_loss_alpha: 0
batch_norm: True
epochs: 100
shuffle: True
seed: 20222023
monitor: {'AUC': 1, 'logloss': -1}
monitor_mode: 'max'
`)
	if n := len(p.Tables()); n != 1 {
		t.Errorf("%d tables, want that of the items", n)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: dien\ngru_type: LSTM":                                            `gru_type is "LSTM", want GRU, AIGRU, AGRU or AUGRU`,
		"model: dien\nattention_type: cosine":                                    `attention_type is "cosine"`,
		"model: dien\naux_loss_alpha: -0.5":                                      "aux_loss_alpha is -0.5",
		"model: dien\naux_hidden_units: [0]":                                     "aux_hidden_units",
		"model: dien\nattention_dropout: 1":                                      "attention_dropout is 1",
		"model: dien\ndien_sequence_field: item":                                 "want a sequence",
		"model: dien\naux_activation: gelo":                                      "gelo",
		"model: dien\nembedding_dim: 0":                                          "embedding_dim",
		"model: dien\ndien_neg_seq_field: negative":                              "dien_neg_seq_field is [[negative]]: negatives are drawn from the batch",
		"model: dien\nattention_type: din_attention\nattention_hidden_units: []": "attention_hidden_units is empty",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{"model: dien": "DIEN needs a history"})
}

// One user's candidates, whose history goes in once, score as each of them does alone.
func TestCandidatesOfOneUser(t *testing.T) {
	for _, keys := range []string{"", "gru_type: GRU\n", "gru_type: AGRU\nattention_type: dot_attention\n", "gru_type: AIGRU\nattention_type: din_attention\nenable_sum_pooling: true\n"} {
		for _, history := range [][]uint64{{3, 1, 4, 1, 5}, {2}, nil} {
			f := modeltest.NewFixture(t, schema, small+keys)
			b, h := f.Batch, &f.Batch.Columns[2]
			h.IDs, h.Offsets = nil, []int32{0}
			for range b.Rows {
				h.IDs = append(h.IDs, history...)
				h.Offsets = append(h.Offsets, int32(len(h.IDs)))
			}
			together := f.Logits()
			var alone []float64
			for r := range b.Rows {
				f.Batch = &features.Batch{Rows: 1, Columns: []features.Column{
					{IDs: b.Columns[0].IDs[r : r+1]}, {IDs: b.Columns[1].IDs[r : r+1]}, {IDs: history, Offsets: []int32{0, int32(len(history))}},
				}}
				alone = append(alone, f.Logits()...)
			}
			modeltest.Near(t, together, alone)
		}
	}
}

// TestExplanation: the weights of a row's behaviours are told, and with softmax they sum to 1.
func TestExplanation(t *testing.T) {
	f := modeltest.NewFixture(t, schema, small)
	w, err := f.Program.NewWeights("v", f.Dense)
	if err != nil {
		t.Fatal(err)
	}
	e, err := f.Program.NewExplainer()
	if err != nil {
		t.Fatal(err)
	}
	_, found, err := e.Explain(f.Batch, w, models.TableRows(f.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Kind != nn.BehaviourWeights || !slices.Equal(found[0].Fields, []string{"hist"}) {
		t.Fatalf("explanations %+v", found)
	}
	offsets := f.Batch.Columns[2].Offsets
	if found[0].Rows != int(offsets[f.Batch.Rows]) {
		t.Fatalf("%d weights for %d behaviours", found[0].Rows, offsets[f.Batch.Rows])
	}
	for r := range f.Batch.Rows {
		sum := 0.
		for _, v := range found[0].Values[offsets[r]:offsets[r+1]] {
			sum += float64(v)
		}
		if offsets[r+1] > offsets[r] && math.Abs(sum-1) > 1e-5 {
			t.Errorf("row %d: the weights sum to %g", r, sum)
		}
	}
}
