package architecture

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDependenciesAreExplained keeps docs/dependencies.md and go.mod to the same direct dependencies.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := 0
	for _, line := range strings.Split(string(mod), "\n") {
		m := regexp.MustCompile(`^\t(\S+) v\S+$`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		direct++
		if !strings.Contains(string(doc), "`"+m[1]+"`") {
			t.Errorf("docs/dependencies.md does not say why %s is there", m[1])
		}
	}
	if direct < 10 {
		t.Errorf("found %d direct dependencies in go.mod; want them all", direct)
	}
}
