package testkit

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RequireONNX returns a Python that has ONNX Runtime, NumPy and the modules named: that of bench/peers, or else python3. Its part is called onnx.
func RequireONNX(t testing.TB, modules ...string) string {
	t.Helper()
	root, err := projectRoot()
	if err != nil {
		t.Fatal(err)
	}
	imports := "import onnxruntime, numpy"
	for _, m := range modules {
		imports += ", " + m
	}
	for _, python := range []string{filepath.Join(root, "bench", "peers", ".venv", "bin", "python"), "python3"} {
		if exec.Command(python, "-c", imports).Run() == nil {
			return python
		}
	}
	absent(t, "onnx", "no Python does %q", imports)
	return ""
}

//go:embed onnx_check.py
var onnxCheck string

// ONNXCases collects models and batches that one ONNX Runtime checks: starting it anew for each would cost more than running them.
type ONNXCases struct {
	python, dir string
	cases       []onnxCase
	models      int
}

type onnxCase struct {
	Name  string `json:"name"`
	Model string `json:"model"`
	Rows  string `json:"rows"`
}

// NewONNXCases returns an empty collection, or ends the test as RequireONNX does.
func NewONNXCases(t testing.TB) *ONNXCases {
	t.Helper()
	return &ONNXCases{python: RequireONNX(t, "safetensors"), dir: t.TempDir()}
}

// Model adds a model and returns the name that Rows takes.
func (o *ONNXCases) Model(t testing.TB, model []byte) string {
	t.Helper()
	o.models++
	name := fmt.Sprintf("model%d.onnx", o.models)
	o.write(t, name, model)
	return name
}

// Rows adds a case: a batch for a model in the safetensors form, each input under its name and what the output NAME must be under "expected/NAME".
func (o *ONNXCases) Rows(t testing.TB, name, model string, rows []byte) {
	t.Helper()
	file := fmt.Sprintf("rows%d.safetensors", len(o.cases))
	o.write(t, file, rows)
	o.cases = append(o.cases, onnxCase{name, model, file})
}

func (o *ONNXCases) write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(o.dir, name), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Check runs the cases and fails the test for each whose outputs differ by more than the tolerance.
func (o *ONNXCases) Check(t testing.TB, tolerance float64) {
	t.Helper()
	list, err := json.Marshal(o.cases)
	if err != nil {
		t.Fatal(err)
	}
	o.write(t, "cases.json", list)
	o.write(t, "check.py", []byte(onnxCheck))
	cmd := exec.Command(o.python, filepath.Join(o.dir, "check.py"), o.dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("check with ONNX Runtime: %v\n%s", err, stderr.String())
	}
	var results map[string]struct {
		Difference *float64
		Error      string
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("ONNX Runtime's check printed %q: %v", out, err)
	}
	worst, of := 0.0, ""
	for _, c := range o.cases {
		switch r := results[c.Name]; {
		case r.Difference == nil:
			t.Errorf("%s: %s", c.Name, r.Error)
		case !(*r.Difference <= tolerance):
			t.Errorf("%s: outputs differ by %g", c.Name, *r.Difference)
		case *r.Difference > worst:
			worst, of = *r.Difference, c.Name
		}
	}
	t.Logf("%d cases, the largest difference is %.2g, of %s", len(o.cases), worst, of)
}
