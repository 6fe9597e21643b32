package prepare

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The file itself comes before its compressed form, so that rows are not read twice.
func TestCompressedFormOfAFile(t *testing.T) {
	const recipe = "sources: {e: {file: e.csv}}\ncut: {by: order, shares: [1, 0]}\n"
	f := func(dir, row string) {
		t.Helper()
		out, err := run(t, recipe, dir)
		if err != nil {
			t.Fatal(err)
		}
		want(t, out+"/train.parquet", row)
	}
	dir := folder(t, "e.csv.gz", gzipped(t, "a,b\n1,packed\n"))
	f(dir, "1 packed")
	if err := os.WriteFile(filepath.Join(dir, "e.csv"), []byte("a,b\n1,plain\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	f(dir, "1 plain")
	if _, err := run(t, recipe, t.TempDir()); err == nil || !IsInput(err) {
		t.Errorf("no file: %v", err)
	}
}
