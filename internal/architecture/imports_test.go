// Package architecture holds no code: its test keeps the project's imports pointing one way.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace"

// layers says which top-level folders of the project a folder may import.
var layers = map[string][]string{
	"cmd":       {"cmd", "training", "streaming", "serving", "models", "features", "core", "internal", "examples"},
	"training":  {"training", "models", "features", "core", "internal"},
	"streaming": {"streaming", "models", "features", "core", "internal"},
	"serving":   {"serving", "models", "features", "core", "internal"},
	"models":    {"models", "features", "core", "internal"},
	"features":  {"features", "internal"},
	"core":      {"core", "internal"},
	"internal":  {"internal"},
	"bench":     {"bench", "training", "streaming", "serving", "models", "features", "core", "internal"},
	"examples":  {},
}

// homes says where each foreign package may be imported: the folder itself and what lies under it.
var homes = map[string][]string{
	"github.com/segmentio/kafka-go":  {"streaming"},
	"github.com/redis/go-redis/v9":   {"serving/store"},
	"github.com/gin-gonic/gin":       {"serving"},
	"gorgonia.org/gorgonia":          {"core/graph"},
	"github.com/chewxy/hm":           {"core/graph"},
	"gonum.org/v1/gonum":             {"core/graph"},
	"gorgonia.org/tensor":            {"core"},
	"github.com/apache/arrow/go/v15": {"features", "streaming", "training", "serving"},
	"github.com/twmb/franz-go":       {},
	"github.com/alicebob/miniredis":  {},
	"github.com/mmcloughlin/avo":     {"core/kernel"},
	"github.com/spf13/cobra":         {"cmd"},
}

// anyClient lists folders that may use any foreign client: the servers under test and the peers.
var anyClient = []string{"internal/testkit", "internal/embedded", "bench"}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func within(path string, folders []string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

// forbidden returns why the package at rel (its path in the project) may not import path, or "".
func forbidden(rel, path string, test bool) string {
	if in, ok := strings.CutPrefix(path, module+"/"); ok {
		top, _, _ := strings.Cut(rel, "/")
		allowed, known := layers[top]
		if !known {
			return "the folder " + top + " has no layer"
		}
		if test && within(in, []string{"internal"}) {
			return ""
		}
		if !within(in, allowed) {
			return "imports point cmd → {training, streaming, serving} → models → {features, core} → internal"
		}
		return ""
	}
	for foreign, folders := range homes {
		if !within(path, []string{foreign}) {
			continue
		}
		if !within(rel, folders) && !within(rel, anyClient) {
			return foreign + " has its home in " + strings.Join(append(folders, anyClient...), ", ")
		}
	}
	return ""
}

func TestForbidden(t *testing.T) {
	f := func(rel, path string, want bool) {
		t.Helper()
		if got := forbidden(rel, path, false) != ""; got != want {
			t.Errorf("forbidden(%s, %s) = %v; want %v", rel, path, got, want)
		}
	}
	f("cmd/millrace", module+"/training", false)
	f("training", module+"/streaming", true)
	f("serving/store", module+"/models", false)
	f("core/nn", module+"/features", true)
	f("internal/world", module+"/streaming", true)
	f("streaming", "github.com/segmentio/kafka-go", false)
	f("serving", "github.com/segmentio/kafka-go/compress", true)
	f("serving", "github.com/redis/go-redis/v9", true)
	f("core/graph", "gorgonia.org/gorgonia", false)
	f("core/nn", "gorgonia.org/gorgonia", true)
	f("models/din", "github.com/apache/arrow/go/v15/arrow", true)
	f("somewhere", module+"/core/nn", true)
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; packages++ {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rel := strings.TrimPrefix(p.ImportPath, module+"/")
		check := func(imports []string, test bool) {
			for _, path := range imports {
				if why := forbidden(rel, path, test); why != "" {
					t.Errorf("%s imports %s: %s", rel, path, why)
				}
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
	}
	if packages < 10 {
		t.Errorf("go list found %d packages; want the whole project", packages)
	}
}
