package graph

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/onnx"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/internal/testkit"
)

// withoutONNX lists the forward operations without an ONNX form: losses and chance, which nobody scores with, and two that ONNX.use writes. A new operation gets its
// form in a file onnx_*.go.
var withoutONNX = []string{"concatOp", "sliceOp", "bceOp", "focalOp", "inBatchOp", "meanOp", "rankOp", "shuffleOp"}

// TestEveryOperationHasAnONNXForm: of its own, not one that an embedded operation lends it.
func TestEveryOperationHasAnONNXForm(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	operations, forms, gradients := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if spec, ok := s.(*ast.TypeSpec); ok && embeds(spec, "backward") && spec.Name.Name != "attentionUnitOp" {
						gradients[spec.Name.Name] = true
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil {
					continue
				}
				name, ok := d.Recv.List[0].Type.(*ast.Ident)
				if !ok {
					continue
				}
				switch d.Name.Name {
				case "runner":
					operations[name.Name] = true
				case "onnx":
					forms[name.Name] = true
				}
			}
		}
	}
	if len(operations) < 40 {
		t.Fatalf("%d operations found", len(operations))
	}
	for name := range operations {
		if missing := slices.Contains(withoutONNX, name); !gradients[name] && forms[name] == missing {
			t.Errorf("%s: has a form %v, is listed as without one %v", name, forms[name], missing)
		}
	}
}

// embeds tells whether a struct has the type embedded.
func embeds(spec *ast.TypeSpec, name string) bool {
	s, ok := spec.Type.(*ast.StructType)
	if !ok {
		return false
	}
	for _, f := range s.Fields.List {
		if id, ok := f.Type.(*ast.Ident); ok && len(f.Names) == 0 && id.Name == name {
			return true
		}
	}
	return false
}

// exported is a graph under test: rows of x [B, 6] and z [B, 6], behaviours k [T, 6] and weights a [T, 1] of segments r.
type exported struct {
	*Graph
	x, z, k, a *Node
	r          *Ragged
	params     map[*Node]*Tensor
	seed       uint64
}

// param adds a parameter of random values.
func (e *exported) param(rows, cols int) *Node {
	e.seed++
	n := e.Param("p"+string(rune('a'+e.seed)), rows, cols)
	e.params[n] = random32(e.seed, rows, cols)
	return n
}

func random32(seed uint64, rows, cols int) *Tensor {
	rng, t := rand.New(rand.NewPCG(seed, 1)), NewTensor(rows, cols)
	for i := range t.F32 {
		t.F32[i] = float32(rng.NormFloat64())
	}
	return t
}

// TestONNXForms: ONNX Runtime computes what a plan computes, with empty segments and with none that is not.
func TestONNXForms(t *testing.T) {
	cases := testkit.NewONNXCases(t)
	f := func(name string, build func(e *exported) *Node) {
		t.Helper()
		e := &exported{Graph: New(Float32), r: &Ragged{}, params: map[*Node]*Tensor{}}
		e.x, e.z, e.k, e.a = e.Input("x", 6), e.Input("z", 6), e.Input("k", 6), e.Input("a", 1)
		var out *Node
		if err := Build(func() { out = build(e) }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		model, err := e.model(out)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file := cases.Model(t, model)
		for what, lengths := range map[string][]int64{"ragged": {3, 0, 1, 5, 2}, "one": {4}, "no rows": {0, 0}} {
			cases.Rows(t, name+", "+what, file, e.run(t, out, lengths))
		}
	}
	for kind := PlainGRU; kind <= AUGRU; kind++ {
		f(kind.String(), func(e *exported) *Node {
			wide := 4 * kind.Gates()
			g, w, bias := Linear(e.k, e.param(6, wide), nil, Identity), e.param(4, wide), e.param(2, wide)
			if kind == PlainGRU {
				return GRU(g, w, bias, e.r)
			}
			return AttentionGRU(g, e.a, w, bias, e.r, kind)
		})
	}
	f("two GRUs", func(e *exported) *Node {
		states := GRU(Linear(e.k, e.param(6, 9), nil, Identity), e.param(3, 9), e.param(2, 9), e.r)
		return AttentionGRU(Linear(states, e.param(3, 9), nil, Identity), e.a, e.param(3, 9), e.param(2, 9), e.r, AUGRU)
	})
	for _, act := range []Activation{ReLU, SigmoidAct, TanhAct, GELU, SiLU} {
		f(act.String(), func(e *exported) *Node { return Apply(e.x, act) })
	}
	f("linear with everything", func(e *exported) *Node {
		return LinearWith(e.x, e.param(6, 6), e.param(1, 6), Epilogue{Slopes: e.param(1, 6), Residual: e.z})
	})
	f("segment softmax", func(e *exported) *Node { return SegmentSoftmax(e.a, e.r, 0.7) })
	f("weighted sum", func(e *exported) *Node { return SegmentWeightedSum(e.a, e.k, e.r) })
	f("sum", func(e *exported) *Node { return SegmentWeightedSum(nil, e.k, e.r) })
	for _, kind := range []Pooling{PoolLast, PoolMean, PoolSum} {
		f(segmentPoolOp{kind: kind}.String(), func(e *exported) *Node { return SegmentPool(e.k, e.r, kind) })
	}
	f("dots", func(e *exported) *Node { return SegmentDots(e.x, e.k, e.r) })
	f("but first", func(e *exported) *Node { return ButFirst(e.k, e.r) })
	f("but last", func(e *exported) *Node { return ButLast(e.k, e.r) })
	f("repeat", func(e *exported) *Node { return Add(RepeatSegments(e.x, e.r), e.k) })
	f("repeat a row", func(e *exported) *Node { return Repeat(e.param(1, 5), e.x) })
	f("positions", func(e *exported) *Node { return AddPositions(e.k, e.param(3, 6), e.r) })
	f("attention", func(e *exported) *Node { return SegmentAttention(e.k, Scale(e.k, -0.5), e.k, e.r, 3, 0.4) })
	f("appended candidate", func(e *exported) *Node {
		rows, longer := AppendRows(e.k, e.x, e.r)
		return SegmentPool(SegmentAttention(rows, rows, rows, longer, 2, 1), longer, PoolLast)
	})
	f("appended rows", func(e *exported) *Node {
		rows, _ := AppendRows(e.k, e.x, e.r)
		return rows
	})
	f("unit", func(e *exported) *Node {
		layers := []UnitLayer{{e.param(24, 5), e.param(1, 5), SigmoidAct}, {e.param(5, 1), e.param(1, 1), Identity}}
		return AttentionUnit(e.x, e.k, layers, e.r, true, 0.5)
	})
	f("logit of a product", func(e *exported) *Node { return ProductLogit(Scale(e.x, 30), Scale(e.z, -20)) })
	f("softplus", func(e *exported) *Node { return Shift(Softplus(e.x), -1.5) })
	f("bilinear pairs, one", func(e *exported) *Node { return BilinearPairs(e.x, e.param(2, 2), 3) })
	f("bilinear pairs, each", func(e *exported) *Node { return BilinearPairs(e.x, e.param(4, 2), 3) })
	f("bilinear pairs, all", func(e *exported) *Node { return BilinearPairs(e.x, e.param(6, 2), 3) })
	f("fusion", func(e *exported) *Node { return BilinearFusion(e.x, Gate(e.x, e.z), e.param(12, 1), 3) })
	f("CIN", func(e *exported) *Node { return CIN(e.x, e.z, e.param(4, 9), e.param(1, 4), 3) })
	f("mixture", func(e *exported) *Node { return Mixture(e.x, Slice(e.z, 1, 4)) })
	f("interaction", func(e *exported) *Node {
		rows := SplitRows(e.x, 3)
		y, _ := InteractingLayer(rows, e.param(2, 16), Interacting{Fields: 3, Heads: 2, Width: 4, Scale: 0.5, Gamma: e.param(1, 4), Beta: e.param(1, 4), Eps: 1e-5})
		z, _ := InteractingLayer(y, e.param(4, 12), Interacting{Fields: 3, Heads: 1, Width: 4, Scale: 1, Residual: true})
		return JoinRows(z, 3)
	})
	cases.Check(t, 1e-5)
}

// model writes the graph.
func (e *exported) model(out *Node) ([]byte, error) {
	g := onnx.NewGraph("test")
	x := NewONNX(g)
	batch, rows := onnx.Dim{Name: "batch"}, onnx.Dim{Name: "rows"}
	lengths := g.Input("lengths", "", onnx.Int64, batch)
	for _, n := range []*Node{e.x, e.z, e.k, e.a} {
		first := batch
		if n == e.k || n == e.a {
			first = rows
		}
		x.Bind(n, g.Input(n.name, "", onnx.Float32, first, onnx.Dim{Size: int64(n.Cols)}))
	}
	for n, v := range e.params {
		x.Bind(n, g.Floats(v.F32, int64(v.Rows), int64(v.Cols)))
	}
	x.BindLengths(e.r, lengths)
	values, err := x.Write(out)
	if err != nil {
		return nil, err
	}
	g.Output("y", "", values[0], onnx.Float32, onnx.Dim{Name: "out"}, onnx.Dim{Size: int64(out.Cols)})
	var b bytes.Buffer
	m := onnx.Model{Graph: g, Producer: "test"}
	err = m.Encode(&b, nil)
	return b.Bytes(), err
}

// run computes the graph for segments of the given lengths.
func (e *exported) run(t *testing.T, out *Node, lengths []int64) []byte {
	t.Helper()
	p, err := e.Compile(out)
	if err != nil {
		t.Fatal(err)
	}
	offsets := []int32{0}
	for _, n := range lengths {
		offsets = append(offsets, offsets[len(offsets)-1]+int32(n))
	}
	batch, rows := len(lengths), int(offsets[len(lengths)])
	p.BindOffsets(e.r, offsets)
	tensors := []snapshot.Tensor{snapshot.NewTensor("lengths", lengths)}
	for i, n := range []*Node{e.x, e.z, e.k, e.a} {
		count := batch
		if n == e.k || n == e.a {
			count = rows
		}
		v := random32(uint64(40+i), count, n.Cols)
		p.Bind(n, v)
		tensors = append(tensors, snapshot.NewTensor(n.name, v.F32, v.Rows, v.Cols))
	}
	for n, v := range e.params {
		p.Bind(n, v)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	y := p.Value(out)
	tensors = append(tensors, snapshot.NewTensor("expected/y", y.F32, y.Rows, y.Cols))
	b, err := snapshot.AppendTensors(nil, tensors, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestONNXColumns: a slice reads only the columns it needs, whatever they were joined from, and the others need not be there.
func TestONNXColumns(t *testing.T) {
	f := func(want string, build func(x, z, w *Node) *Node) {
		t.Helper()
		g := New(Float32)
		x, z, w := g.Input("x", 6), g.Input("z", 4), g.Param("w", 4, 3)
		var out *Node
		if err := Build(func() { out = build(x, z, w) }); err != nil {
			t.Fatal(err)
		}
		leaves := Leaves(out)
		var got strings.Builder
		for _, n := range []*Node{x, z, w} {
			for _, used := range leaves[n] {
				got.WriteByte("-+"[map[bool]int{true: 1}[used]])
			}
			got.WriteByte(' ')
		}
		if strings.TrimSpace(got.String()) != strings.TrimSpace(want) {
			t.Errorf("columns %s, want %s", got.String(), want)
		}
		to := onnx.NewGraph("test")
		writer := NewONNX(to)
		rows := onnx.Dim{Name: "batch"}
		for _, n := range []*Node{x, z} {
			var columns []Columns
			for c := 0; c < n.Cols; c += 2 {
				part := Columns{Cols: 2}
				if used := leaves[n]; used != nil && (used[c] || used[c+1]) {
					part.Value = to.Input(n.name, "", onnx.Float32, rows, onnx.Dim{Size: 2})
				}
				columns = append(columns, part)
			}
			writer.BindColumns(n, columns)
		}
		writer.Bind(w, to.Floats(make([]float32, 12), 4, 3))
		if _, err := writer.Write(out); err != nil {
			t.Error(err)
		}
	}
	f("++++++", func(x, z, w *Node) *Node { return Apply(x, ReLU) })
	f("--++--", func(x, z, w *Node) *Node { return Apply(Slice(Concat(x, z), 2, 4), ReLU) })
	f("-----+ +---", func(x, z, w *Node) *Node { return RowSum(Slice(Concat(x, z), 5, 7)) })
	f(" --++ +++", func(x, z, w *Node) *Node { return Apply(Slice(Concat(x, FieldLinear(z, w, 2)), 9, 12), ReLU) })
	f("++---- ++-- +++", func(x, z, w *Node) *Node {
		all := Concat(x, FieldLinear(z, w, 2))
		return Concat(Slice(all, 6, 9), Slice(all, 0, 2))
	})
}
