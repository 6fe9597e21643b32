package features

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const deltaSchema = "fields: [{name: b}, {name: l}, {name: i, type: numeric}, {name: j, type: numeric}, {name: m, type: multi}, {name: o}]"

// TestDelta reads what testdata/delta.py wrote: every delta encoding, both versions of pages, nulls, lists, several pages and row groups.
func TestDelta(t *testing.T) {
	var want []string
	for k := range 1000 {
		l, i := strings.Repeat(fmt.Sprintf("v%d", k%50), k%4), fmt.Sprint(k*k-7*k)
		if k%7 == 3 || l == "" {
			l = "~"
		}
		if k%5 == 1 {
			i = "~"
		}
		m := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("t%d|", k%9), k%3), "|")
		want = append(want, fmt.Sprintf("/shop/%d/item-%d %s %s %d %s ~", k/10, k*k, l, i, k*37%101-50, m))
	}
	for _, path := range deltaFiles(t) {
		got, _, err := rowsOf(t, mustSchema(t, deltaSchema), ReadOptions{}, path)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %d rows, %v", path, len(got), err)
			continue
		}
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%s row %d: %q, want %q", path, k, got[k], want[k])
				break
			}
		}
	}
}

func deltaFiles(t testing.TB) []string {
	files, err := filepath.Glob("testdata/delta_*_v?.parquet")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	return files
}

// TestForgedDelta wants an error where the library would ask for 4 TiB and end the process: one page's header claims 2^40 strings.
func TestForgedDelta(t *testing.T) {
	path := "testdata/delta_forged.parquet"
	_, _, err := rowsOf(t, mustSchema(t, "fields: [{name: a}]"), ReadOptions{SkipBad: 1 << 40}, path)
	var e *DataError
	if !errors.As(err, &e) || e.File != path || !strings.Contains(e.Reason, `column "a", row group 0`) || !strings.Contains(e.Reason, "1099511627776 delta-encoded numbers in a page of 3 values") {
		t.Error(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(mustSchema(t, "fields: [{name: z}]"), []string{written(t, "f.parquet", b)}, ReadOptions{}); err == nil || !strings.Contains(err.Error(), `no column "z"`) {
		t.Error(err)
	}
}
