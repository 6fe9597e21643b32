package features

import (
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	f := func(name, content string, want FileKind) {
		t.Helper()
		if got, err := KindOf(written(t, name, []byte(content))); got != want || err != nil {
			t.Errorf("%s with %q: kind %d, %v; want %d", name, content, got, err, want)
		}
	}
	f("a.csv", "x,y\n1,2\n", TextFile)
	f("a.csv", "", TextFile)
	f("a.csv", "x", TextFile)
	f("a.csv", "PAR1....", ParquetFile)
	f("a.arrow", "PAR1....", ParquetFile)
	f("a.dat", "ARROW1\x00\x00", ArrowFile)
	f("a.parquet", "ARROW1\x00\x00", ArrowFile)
	f("a.PARQUET", "x,y\n", ParquetFile)
	f("a.ipc", "\xff\xff\xff\xff", ArrowFile)
	f("a.csv.gz", "\x1f\x8b", TextFile)
	for _, name := range []string{"a.parquet.gz", "a.arrow.zst"} {
		if _, err := KindOf(written(t, name, nil)); err == nil || !strings.Contains(err.Error(), "compressed within") || !IsInput(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := KindOf(written(t, "a.csv", []byte("\xff\xfea\x00"))); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
	if _, err := KindOf("nowhere.csv"); !IsInput(err) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := KindOf(t.TempDir()); !IsInput(err) {
		t.Errorf("a folder: %v", err)
	}
}
