package din_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

type tensor = snapshot.Tensor

// pooled builds a model twice over equal weights, with attention and with another pooling, and returns both scores of a batch.
func pooled(t *testing.T, attention, pooling string, b *features.Batch, changes map[string]float32) (attended, plain []float32) {
	t.Helper()
	p := modeltest.Program(t, schema, small+attention)
	tr := modeltest.Trainer(t, p, 9)
	modeltest.Randomise(tr.Tables, 0.7)
	dense := tr.Step.Dense()
	for name, x := range changes {
		modeltest.Set(t, dense, name, func(int) float32 { return x })
	}
	q := modeltest.Program(t, schema, small+pooling)
	other := slices.Clone(dense)
	other = slices.DeleteFunc(other, func(x tensor) bool { return strings.HasPrefix(x.Name, "attention/") })
	return modeltest.Scores(t, p, dense, models.TableRows(tr.Tables), b), modeltest.Scores(t, q, other, models.TableRows(tr.Tables), b)
}

// TestPoolingIsAttentionWithEqualWeights: sum pooling is attention whose weights are all 1, mean pooling is the softmax of equal scores.
func TestPoolingIsAttentionWithEqualWeights(t *testing.T) {
	one := map[string]float32{"attention/out/weight": 0, "attention/out/bias": 1}
	b := batch([]uint64{1, 5, 7}, nil, []uint64{4}, []uint64{2, 2, 8, 1, 3, 9})
	for _, product := range []string{"", "din_target_product: true\n"} {
		attended, plain := pooled(t, product, product+"din_pooling: sum\n", b, one)
		if !slices.Equal(attended, plain) {
			t.Errorf("%ssum pooling scores %v, weights of 1 score %v", product, plain, attended)
		}
		attended, plain = pooled(t, product+"din_use_softmax: true\n", product+"din_pooling: mean\n", b, one)
		for i := range attended {
			near(t, product+"mean pooling and a softmax of equal scores", attended[i], plain[i])
		}
	}
}

// TestPoolingSize: the poolings differ in the attention unit alone, and start from the same weights.
func TestPoolingSize(t *testing.T) {
	attention := modeltest.Trainer(t, modeltest.Program(t, schema, small), 9).Step.Dense()
	attention = slices.DeleteFunc(attention, func(x tensor) bool { return strings.HasPrefix(x.Name, "attention/") })
	for _, pooling := range []string{"sum", "mean"} {
		got := modeltest.Trainer(t, modeltest.Program(t, schema, small+"din_pooling: "+pooling+"\n"), 9).Step.Dense()
		if len(got) != len(attention) {
			t.Fatalf("%s: %d tensors, want %d", pooling, len(got), len(attention))
		}
		for i, x := range got {
			if x.Name != attention[i].Name || !slices.Equal(x.Data, attention[i].Data) {
				t.Errorf("%s: tensor %d is %s and differs from attention's %s", pooling, i, x.Name, attention[i].Name)
			}
		}
	}
}

func TestPoolingGradients(t *testing.T) {
	for _, pooling := range []string{"sum", "mean"} {
		modeltest.CheckGradients(t, schema, small+"din_pooling: "+pooling+"\n")
		modeltest.CheckGradients(t, schema, small+"din_target_product: true\ndin_pooling: "+pooling+"\n")
	}
}

// TestPoolingSharedHistory: candidates of one history score as they do beside another.
func TestPoolingSharedHistory(t *testing.T) {
	for _, pooling := range []string{"sum", "mean"} {
		s := scorer(t, small+"din_pooling: "+pooling+"\n")
		h := []uint64{1, 5, 7}
		shared, apart := s(batch(h, h, h), nil), s(batch(h, h, []uint64{2}), nil)
		near(t, pooling+" of a shared history", shared[0], apart[0])
	}
}

func TestPoolingKey(t *testing.T) {
	if _, err := models.Parse([]byte(small+"din_pooling: max\n"), modeltest.Schema(t, schema)); err == nil || !strings.Contains(err.Error(), `din_pooling is "max"`) {
		t.Errorf("din_pooling: max gives %v", err)
	}
}
