package nn

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/graph"
)

func TestInitialValuesDependOnSeedNameAndShapeOnly(t *testing.T) {
	draw := func(seed uint64, name string, rows, cols int, before int) []float32 {
		n := New(graph.Float32, seed)
		for i := range before {
			n.Param(strings.Repeat("x", i+1), 3, 3, Normal(1))
		}
		n.Param(name, rows, cols, XavierNormal())
		return n.Params[before].Value.F32
	}
	first := draw(1, "a", 4, 6, 0)
	if !slices.Equal(first, draw(1, "a", 4, 6, 5)) {
		t.Error("parameters added before change a parameter's values")
	}
	for what, other := range map[string][]float32{"seed": draw(2, "a", 4, 6, 0), "name": draw(1, "b", 4, 6, 0), "shape": draw(1, "a", 6, 4, 0)} {
		if first[0] == other[0] || first[5] == other[5] {
			t.Errorf("another %s draws the same values", what)
		}
	}
	n := New(graph.Float64, 1)
	n.Param("a", 4, 6, XavierNormal())
	for i, v := range n.Params[0].Value.F64 {
		if v != float64(first[i]) {
			t.Fatalf("float64 draws %g, float32 %g", v, first[i])
		}
	}
}

func TestSpreadOfInitialisers(t *testing.T) {
	f := func(init Init, rows, cols int, want float64) {
		t.Helper()
		x := make([]float32, rows*cols)
		init(normals(1, "w", rows, cols), rows, cols, x)
		var sum, squares float64
		for _, v := range x {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		n := float64(len(x))
		if std := math.Sqrt(squares / n); math.Abs(std-want) > 5*want/math.Sqrt(2*n) || math.Abs(sum/n) > 5*want/math.Sqrt(n) {
			t.Errorf("mean %g and std %g, want 0 and %g", sum/n, std, want)
		}
	}
	f(XavierNormal(), 300, 100, math.Sqrt(2./400))
	f(XavierNormal(), 8501, 1, math.Sqrt(2./8502))
	f(Normal(1e-4), 100, 100, 1e-4)
	f(Zeros(), 10, 10, 0)
}

// names lists the parameters with their shapes.
func names(n *Net) string {
	var out []string
	for _, p := range n.Params {
		kind := ""
		if p.Buffer {
			kind = "*"
		}
		out = append(out, p.Name+kind)
	}
	return strings.Join(out, " ")
}

func TestNamesOfTowers(t *testing.T) {
	f := func(s MLPSpec, want string) {
		t.Helper()
		n := New(graph.Float32, 1)
		if err := graph.Build(func() { n.MLP("m", n.Graph.Input("x", 3), s) }); err != nil {
			t.Fatal(err)
		}
		if got := names(n); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(MLPSpec{Hidden: []int{2}, Activation: "ReLU", Out: 1}, "m/0/weight m/0/bias m/out/weight m/out/bias")
	f(MLPSpec{Hidden: []int{2}, Activation: "prelu", BatchNorm: true},
		"m/0/weight m/0/bias m/0/bn/gamma m/0/bn/beta m/0/bn/mean* m/0/bn/var* m/0/act/alpha")
	f(MLPSpec{Hidden: []int{2, 2}, Activation: "Dice", Dropout: []float64{0.1, 0.2}},
		"m/0/weight m/0/bias m/0/act/alpha m/0/act/mean* m/0/act/var* m/1/weight m/1/bias m/1/act/alpha m/1/act/mean* m/1/act/var*")
	f(MLPSpec{Out: 1}, "m/out/weight m/out/bias")
}

func TestBuildErrors(t *testing.T) {
	f := func(want string, build func(n *Net)) {
		t.Helper()
		if err := graph.Build(func() { build(New(graph.Float32, 1)) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(`unknown activation "gelo"; known: relu, sigmoid, tanh, gelu, silu, prelu, dice, identity`, func(n *Net) {
		n.MLP("m", n.Graph.Input("x", 3), MLPSpec{Hidden: []int{2}, Activation: "gelo"})
	})
	f("2 dropout rates for 3 hidden layers", func(n *Net) {
		n.MLP("m", n.Graph.Input("x", 3), MLPSpec{Hidden: []int{2, 2, 2}, Dropout: []float64{0.1, 0.2}})
	})
}

// infer runs out on the given inputs.
func infer(t *testing.T, n *Net, out *graph.Node, inputs map[*graph.Node]*graph.Tensor) []float64 {
	t.Helper()
	p, err := n.Graph.Compile(out)
	if err != nil {
		t.Fatal(err)
	}
	n.Bind(p)
	for node, x := range inputs {
		p.Bind(node, x)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	return p.Value(out).F64
}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*max(1, math.Abs(want[i]))) {
			t.Fatalf("%s: element %d is %.15g, want %.15g", what, i, got[i], want[i])
		}
	}
}

func TestPReLUSlopeIsSettable(t *testing.T) {
	f := func(slope, x, want float64) {
		t.Helper()
		n := New(graph.Float64, 1)
		if slope >= 0 {
			n.PReLUSlope = slope
		}
		in := n.Graph.Input("x", 1)
		got := infer(t, n, n.PReLU("act", in), map[*graph.Node]*graph.Tensor{in: {Rows: 1, Cols: 1, F64: []float64{x}}})
		near(t, "PReLU", got, []float64{want}, 1e-7)
	}
	f(-1, -2, -0.2)
	f(0, -2, 0)
	f(0.25, -2, -0.5)
	f(0.25, 3, 3)
}

func TestNumericIsValueTimesVectorAndMissingTimesVector(t *testing.T) {
	n := New(graph.Float64, 1)
	e := n.Numeric("emb", []string{"age", "income"}, 3)
	if got := n.Dense[0].Fields; len(got) != 2 || got[1] != "income" {
		t.Errorf("fields %v", got)
	}
	w := n.Params[0].Value
	for c := range 3 { // u starts at zero
		if w.F64[3+c] != 0 || w.F64[9+c] != 0 || w.F64[c] == 0 || w.F64[6+c] == 0 {
			t.Errorf("initial values %v", w.F64)
		}
		w.F64[3+c], w.F64[9+c] = float64(c), -float64(c)
	}
	x := &graph.Tensor{Rows: 2, Cols: 4, F64: []float64{2, 0, 0.5, 1, 0, 1, -3, 0}}
	var want []float64
	for r := range 2 {
		for f := range 2 {
			for c := range 3 {
				want = append(want, x.F64[r*4+2*f]*w.F64[2*f*3+c]+x.F64[r*4+2*f+1]*w.F64[(2*f+1)*3+c])
			}
		}
	}
	near(t, "e", infer(t, n, e, map[*graph.Node]*graph.Tensor{n.Dense[0].Node: x}), want, 1e-15)
}

func TestLookups(t *testing.T) {
	n := New(graph.Float32, 1)
	x := n.Embed("emb", []EmbedField{{Field: "user", Table: "user"}, {Field: "genres", Table: "genre", Pool: PoolMean}}, 8)
	h, r := n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}, {Field: "ratings", Table: "rating"}}, 8)
	want := []Lookup{
		{"emb/user", 8, "user", PoolOne, x, 0, nil, 0},
		{"emb/genre", 8, "genres", PoolMean, x, 8, nil, 0},
		{"emb/item", 8, "items", PoolRagged, h, 0, r, 0},
		{"emb/rating", 8, "ratings", PoolRagged, h, 8, r, 0},
	}
	for i, w := range want {
		if *n.Lookups[i] != w {
			t.Errorf("lookup %d is %+v, want %+v", i, *n.Lookups[i], w)
		}
	}
	if again := n.Embed("emb", []EmbedField{{Field: "user", Table: "user"}, {Field: "genres", Table: "genre"}}, 8); again == x {
		t.Error("the same fields looked up again share an input")
	}
	if x.Cols != 16 || h.Cols != 16 {
		t.Errorf("widths %d and %d, want 16", x.Cols, h.Cols)
	}
}

// unit is an attention unit over segments of 3, 0, 1 and 2 behaviours.
func unit(s AttentionSpec) (n *Net, k, scores, v *graph.Node, inputs map[*graph.Node]*graph.Tensor) {
	n = New(graph.Float64, 3)
	q := n.Graph.Input("q", 4)
	k, r := n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}}, 4)
	r.Offsets = []int32{0, 3, 3, 4, 6}
	scores = n.AttentionScores("a", q, k, r, s)
	v = graph.SegmentWeightedSum(scores, k, r)
	return n, k, scores, v, map[*graph.Node]*graph.Tensor{q: fill(graph.Float64, 1, 4, 4), k: fill(graph.Float64, 2, 6, 4)}
}

func TestAttentionUnitOfConstantOutputIsSumPooling(t *testing.T) {
	for _, softmax := range []bool{false, true} {
		n, k, scores, v, inputs := unit(AttentionSpec{Hidden: []int{5, 3}, Activation: "sigmoid", Softmax: softmax})
		for _, p := range n.Params {
			switch p.Name {
			case "a/out/weight":
				clear(p.Value.F64)
			case "a/out/bias":
				p.Value.F64[0] = 1
			}
		}
		x := inputs[k].F64
		want := make([]float64, 16)
		for c := range 4 {
			want[c], want[8+c], want[12+c] = x[c]+x[4+c]+x[8+c], x[12+c], x[16+c]+x[20+c]
			if softmax {
				want[c] /= 3
				want[12+c] /= 2
			}
		}
		near(t, "v", infer(t, n, v, inputs), want, 1e-12)
		if got := len(infer(t, n, scores, inputs)); got != 6 {
			t.Errorf("%d scores", got)
		}
	}
}

func TestAttentionUnitParameters(t *testing.T) {
	f := func(s AttentionSpec, h, want int) {
		t.Helper()
		n := New(graph.Float32, 1)
		q := n.Graph.Input("q", h)
		k, r := n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}}, h)
		n.AttentionUnit("a", q, k, r, s)
		got := 0
		for _, p := range n.Params {
			if !p.Buffer {
				got += len(p.Value.F32)
			}
		}
		if got != want {
			t.Errorf("%d parameters, want %d", got, want)
		}
	}
	// The published DIN on AmazonElectronics: 395,009 in the unit.
	f(AttentionSpec{Hidden: []int{512, 256}, Activation: "Dice", Softmax: true}, 128, 395009)
	f(AttentionSpec{Hidden: []int{80, 40}, Activation: "sigmoid"}, 32, 4*32*80+80+80*40+40+40+1)
	f(AttentionSpec{}, 3, 13)
}

func TestStepOfDINAllocatesNothing(t *testing.T) {
	d := newDIN(t, graph.Float32, "dice", true)
	d.bind(d.train, 1, 30, 0, 50, 1, 1, 0, 7, 2)
	run := func() {
		if err := d.train.Run(); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if allocs := testing.AllocsPerRun(20, run); allocs != 0 {
		t.Errorf("%v allocations a step", allocs)
	}
}

// The unit that scores in one operation gives what the unit that trains gives, over ragged and over shared behaviours.
func TestScoringUnitIsTheTrainingUnit(t *testing.T) {
	f := func(s AttentionSpec, shared bool, offsets []int32) {
		t.Helper()
		batch, rows := len(offsets)-1, int(offsets[len(offsets)-1])
		if shared {
			batch = 5
		}
		pooled := func(scoring bool) []float64 {
			n := New(graph.Float64, 3)
			n.Scoring = scoring
			q := n.Graph.Input("q", 4)
			k, r := n.EmbedSequence("emb", []EmbedField{{Field: "items", Table: "item"}}, 4)
			v := n.AttentionUnit("a", q, k, r, s)
			p, err := n.Graph.Compile(v)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range n.Params {
				for i := range x.Value.F64 {
					x.Value.F64[i] += 0.1 * float64(i%7)
				}
			}
			n.Bind(p)
			p.Bind(q, fill(graph.Float64, 1, batch, 4))
			p.Bind(k, fill(graph.Float64, 2, rows, 4))
			if shared {
				p.BindShared(r, batch, rows)
			} else {
				p.BindOffsets(r, offsets)
			}
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			return p.Value(v).F64
		}
		near(t, fmt.Sprintf("%+v, shared %v", s, shared), pooled(true), pooled(false), 1e-12)
	}
	ragged, one := []int32{0, 3, 3, 4, 40, 46}, []int32{0, 17}
	for _, softmax := range []bool{false, true} {
		for _, hidden := range [][]int{nil, {5}, {5, 3}, {20, 15, 3}} {
			for _, act := range []string{"sigmoid", "relu", "tanh"} {
				f(AttentionSpec{Hidden: hidden, Activation: act, Softmax: softmax, Scale: 0.5}, false, ragged)
				f(AttentionSpec{Hidden: hidden, Activation: act, Softmax: softmax}, true, one)
			}
		}
	}
	f(AttentionSpec{Hidden: []int{5}, Activation: "dice"}, false, ragged)
	f(AttentionSpec{Hidden: []int{5}, Activation: "sigmoid"}, true, []int32{0, 0})
}
