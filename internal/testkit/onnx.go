package testkit

import (
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
