package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/models"
)

// documented returns the n-th Python program of docs/export.md.
func documented(t testing.TB, n int) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/export.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) <= n {
		t.Fatalf("docs/export.md has %d Python programs", len(blocks))
	}
	return blocks[n][1]
}

// python runs a program in a folder and returns what it prints.
func python(t testing.TB, interpreter, dir, program string) []byte {
	t.Helper()
	cmd := exec.Command(interpreter, "-c", program)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return out
}

// predicted scores rows of CSV with a checkpoint.
func (s shop) predicted(t testing.TB, rows string) []float64 {
	t.Helper()
	out := s.out("scores.csv")
	done(t, "predict", "--checkpoint", s.out("run"), "--data", write(t, s.dir, "rows.csv", shopHeader+rows), "--out", out)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var scores []float64
	for _, r := range records[1:] {
		x, err := strconv.ParseFloat(r[len(r)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		scores = append(scores, x)
	}
	return scores
}

// TestExportONNX: the program of docs/export.md gives the scores of predict, and the tables may lie outside.
func TestExportONNX(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	o := done(t, "export", "--checkpoint", s.out("run"), "--format", "onnx", "--out", s.out("model.onnx"), "--json")
	m := o.figures(t)
	info, err := os.Stat(s.out("model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if number(t, m, "bytes") != float64(info.Size()) || m["model"] != "dnn" || len(m["inputs"].([]any)) != 5 || len(m["tables"].([]any)) != 2 {
		t.Errorf("figures %v of %d bytes", m, info.Size())
	}
	again := s.out("again.onnx")
	done(t, "export", "--checkpoint", s.out("run"), "--format", "onnx", "--out", again)
	sameBytes(t, s.out("model.onnx"), again)
	outside := done(t, "export", "--checkpoint", s.out("run"), "--format", "onnx", "--tables", "outside", "--out", s.out("outside.onnx"), "--json").figures(t)
	if number(t, outside, "bytes") >= number(t, m, "bytes") {
		t.Errorf("%v bytes without tables, %v with", outside["bytes"], m["bytes"])
	}
	refused(t, []string{"export", "--checkpoint", s.out("run"), "--format", "onnx", "--vector", "item", "--out", again}, `--vector is "item"; model dnn`)
	left, err := filepath.Glob(s.out(".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	interpreter := testkit.RequireONNX(t, "xxhash")
	var got []float64
	if err := json.Unmarshal(python(t, interpreter, s.dir, documented(t, 0)), &got); err != nil {
		t.Fatal(err)
	}
	want := s.predicted(t, "u1,i3,21,i7|i9|i9,1700000000,0\nsomeone new,i14,,,1700000001,0\n")
	for i := range want {
		if len(got) != len(want) || !(math.Abs(got[i]-want[i]) <= 1e-5) {
			t.Fatalf("ONNX Runtime gives %v, predict %v", got, want)
		}
	}
}

// TestExportSafetensors: keys rise, rows are the table's, and the program of docs/export.md finds them.
func TestExportSafetensors(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	cp, err := models.LoadScoring(s.out("run"))
	if err != nil {
		t.Fatal(err)
	}
	tab := cp.Tables["emb/item"]
	f := func(rows string) (keys []uint64, tensors map[string]snapshot.Tensor) {
		t.Helper()
		done(t, "export", "--checkpoint", s.out("run"), "--format", "safetensors", "--rows", rows, "--out", s.out("model.safetensors"))
		b, err := os.ReadFile(s.out("model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		list, meta, err := snapshot.ParseTensors(b)
		if err != nil {
			t.Fatal(err)
		}
		if meta[models.MetaVersion] != cp.Weights.Version || !strings.Contains(meta[models.MetaSchema], "min_count") {
			t.Errorf("metadata %v", meta)
		}
		tensors = map[string]snapshot.Tensor{}
		for _, x := range list {
			tensors[x.Name] = x
		}
		for _, d := range cp.Dense {
			if got := tensors[d.Name]; !bytes.Equal(got.Data, d.Data) {
				t.Errorf("tensor %s differs", d.Name)
			}
		}
		if keys, err = snapshot.Values[uint64](tensors["emb/item.keys"]); err != nil {
			t.Fatal(err)
		}
		if len(keys) != tab.Rows() || keys[0] != 0 {
			t.Fatalf("%d keys, the first %d, of %d rows", len(keys), keys[0], tab.Rows())
		}
		for i := range keys[1:] {
			if keys[i] >= keys[i+1] {
				t.Errorf("key %d is %d after %d", i+1, keys[i+1], keys[i])
			}
		}
		return keys, tensors
	}
	keys, tensors := f("float16")
	if x := tensors["emb/item.rows"]; x.DType != "F16" || len(x.Data) != 2*tab.Dim()*len(keys) {
		t.Errorf("float16 rows are %s %v", x.DType, x.Shape)
	}
	_, tensors = f("int8")
	scales, err := snapshot.Values[float32](tensors["emb/item.scales"])
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range tensors["emb/item.rows"].Data[:tab.Dim()*len(keys)] {
		want := tab.Row(tab.Find(keys[i/tab.Dim()]))[i%tab.Dim()]
		if scale := scales[i/tab.Dim()]; math.Abs(float64(scale*float32(int8(q))-want)) > 0.51*float64(scale) {
			t.Fatalf("int8 row %d has %d·%g, want %g", i/tab.Dim(), int8(q), scale, want)
		}
	}
	keys, tensors = f("float32")
	values, err := snapshot.Values[float32](tensors["emb/item.rows"])
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range keys {
		for k, want := range tab.Row(tab.Find(id)) {
			if got := values[i*tab.Dim()+k]; got != want {
				t.Fatalf("row %d has %g, want %g", i, got, want)
			}
		}
	}

	interpreter := testkit.RequireONNX(t, "safetensors")
	id := strconv.FormatUint(keys[3], 10)
	var rows [][]float32
	program := documented(t, 1) + "\nimport json\nprint(json.dumps(look_up([" + id + ", 12345]).tolist()))\n"
	if err := json.Unmarshal(python(t, interpreter, s.dir, program), &rows); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float32{tab.Row(tab.Find(keys[3])), tab.Row(0)} {
		for k := range want {
			if rows[i][k] != want[k] {
				t.Fatalf("Python finds %v, want %v", rows[i], want)
			}
		}
	}
}

func sameBytes(t testing.TB, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ", a, b)
	}
}

func TestExportRefusals(t *testing.T) {
	s := newShop(t)
	f := func(want string, args ...string) {
		t.Helper()
		refused(t, append([]string{"export", "--checkpoint", s.out("run"), "--out", s.out("x")}, args...), want)
	}
	f(`--format is "pickle"`, "--format", "pickle")
	f(`--tables is "beside"`, "--format", "onnx", "--tables", "beside")
	f("--rows is of --format safetensors", "--format", "onnx", "--rows", "int8")
	f("--tables is of --format onnx", "--format", "safetensors", "--tables", "outside")
	f(`--rows is "int4"`, "--format", "safetensors", "--rows", "int4")
	f("find a checkpoint", "--format", "onnx")
	f("there is no folder", "--format", "onnx", "--out", s.out("nowhere/x"))
	f("is a folder", "--format", "onnx", "--out", s.dir)
	refused(t, []string{"export", "--checkpoint", s.out("run")}, "required flag")
}

// TestWriteAside: a file is there whole or as it was.
func TestWriteAside(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "model", "old")
	f := func(want string, ctx context.Context, write func(io.Writer) error) {
		t.Helper()
		err := writeAside(ctx, path, write)
		text, _ := os.ReadFile(path)
		list, _ := os.ReadDir(dir)
		if string(text) != want || len(list) != 1 || (err == nil) != (want == "new") {
			t.Errorf("%q is there, among %d files, want %q: %v", text, len(list), want, err)
		}
	}
	half := func(w io.Writer) error {
		io.WriteString(w, "ne")
		return errors.New("no more rows")
	}
	whole := func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	f("old", t.Context(), half)
	f("old", cancelled, whole)
	f("new", t.Context(), whole)
}
