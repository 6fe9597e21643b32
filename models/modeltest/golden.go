package modeltest

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// goldenTolerance is the greatest difference from a golden value, relative to it or to the root mean square of its tensor, whichever is more: a float32 has
// 6e-8 of rounding, a value is the sum of some hundred such products through a few layers, and one near zero is the difference of ones that are not.
const goldenTolerance = 1e-5

// Golden compares a model with values computed by an independent writing of it in PyTorch (bench/peers/golden.py): scores, loss, gradients of all weights and rows, and
// running statistics after a step.
func Golden(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tensors, meta, err := snapshot.ParseTensors(text)
	if err != nil {
		t.Fatal(err)
	}
	g := golden{t: t, tensors: map[string]snapshot.Tensor{}}
	for _, x := range tensors {
		g.tensors[x.Name] = x
	}
	p := Program(t, meta["schema"], meta["model"])
	tr := Trainer(t, p, 9)
	dense := tr.Step.Dense()
	for i, d := range dense {
		dense[i] = snapshot.NewTensor(d.Name, g.values("weight/"+d.Name), d.Shape...)
	}
	if err := tr.Step.SetDense(dense); err != nil {
		t.Fatal(err)
	}
	for name, tab := range tr.Tables {
		rows := g.values("table/" + name)
		for id := range uint64(10) {
			slot := uint32(0)
			if id > 0 {
				slot = tab.Find(id)
			}
			copy(tab.Row(slot)[:tab.Dim()], rows[int(id)*tab.Dim():])
		}
	}
	b := g.batch(p.Schema())

	for i, scores := range allScores(t, p, dense, models.TableRows(tr.Tables), b) {
		var logits []float32
		for _, s := range scores {
			logits = append(logits, float32(math.Log(float64(s)/(1-float64(s)))))
		}
		g.near(models.ForLabel(p.Schema(), "logit", i), logits)
	}
	loss, err := tr.Step.Run(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	g.near("loss", []float32{float32(loss)})
	grads, rows := tr.Step.Gradients()
	for _, d := range grads {
		g.near("grad/"+d.Name, d.Grad.F32)
	}
	for _, r := range rows {
		for name, tab := range tr.Tables {
			if tab != r.Table {
				continue
			}
			got := make([]float32, 10*tab.Dim())
			place := map[uint32]int{}
			for id := 1; id < 10; id++ {
				place[tab.Find(uint64(id))] = id
			}
			for i, slot := range r.Slots {
				copy(got[place[slot]*tab.Dim():][:tab.Dim()], r.Grads[i*tab.Dim():])
			}
			g.near("tablegrad/"+name, got)
		}
	}
	for _, d := range tr.Step.Dense() {
		if _, ok := g.tensors["after/"+d.Name]; ok {
			values, err := snapshot.Values[float32](d)
			if err != nil {
				t.Fatal(err)
			}
			g.near("after/"+d.Name, values)
		}
	}
	for name := range g.tensors {
		if !g.used[name] {
			t.Errorf("%s: %s is not compared with anything", file, name)
		}
	}
}

// golden is a file of golden values.
type golden struct {
	t       *testing.T
	tensors map[string]snapshot.Tensor
	used    map[string]bool
}

// values returns a tensor of the file.
func (g *golden) values(name string) []float32 { return valuesOf[float32](g, name) }

func valuesOf[T snapshot.Element](g *golden, name string) []T {
	g.t.Helper()
	x, ok := g.tensors[name]
	if !ok {
		g.t.Fatalf("there is no golden %s", name)
	}
	v, err := snapshot.Values[T](x)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.used == nil {
		g.used = map[string]bool{}
	}
	g.used[name] = true
	return v
}

// batch returns the inputs of the file.
func (g *golden) batch(s *features.Schema) *features.Batch {
	g.t.Helper()
	b := &features.Batch{Columns: make([]features.Column, len(s.Fields))}
	for i := range s.Labels {
		b.Labels = append(b.Labels, g.values(models.ForLabel(s, "label", i)))
		b.Rows = len(b.Labels[i])
	}
	for i := range s.Fields {
		c, name := &b.Columns[i], s.Fields[i].Name
		if models.IsNumber(&s.Fields[i]) {
			c.Values, c.Missing = g.values("value/"+name), g.values("missing/"+name)
			continue
		}
		for _, id := range valuesOf[int64](g, "ids/"+name) {
			c.IDs = append(c.IDs, uint64(id))
		}
		if _, list := g.tensors["offsets/"+name]; list {
			for _, o := range valuesOf[int64](g, "offsets/"+name) {
				c.Offsets = append(c.Offsets, int32(o))
			}
		}
	}
	return b
}

// near compares with a tensor of the file. A bias in front of a batch norm has no gradient: what rounding leaves of it is held against its layer's weights.
func (g *golden) near(name string, got []float32) {
	g.t.Helper()
	want := g.values(name)
	if len(got) != len(want) {
		g.t.Errorf("%s has %d elements, want %d", name, len(got), len(want))
		return
	}
	size := rms(want)
	if layer, bias := strings.CutSuffix(name, "/bias"); bias && size == 0 {
		size = rms(g.values(layer + "/weight"))
	}
	worst, at := 0.0, 0
	for i := range want {
		if d := math.Abs(float64(got[i])-float64(want[i])) / math.Max(math.Abs(float64(want[i])), size); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= goldenTolerance) {
		g.t.Errorf("%s[%d] is %.8g, want %.8g: off by %.2g of max(value, rms %.3g)", name, at, got[at], want[at], worst, size)
	}
}

func rms(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(len(x), 1)))
}
