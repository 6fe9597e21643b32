package all_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var blanks = regexp.MustCompile(" +")

// spaced makes runs of spaces one: gofmt sets them anew when a neighbour changes.
func spaced(text string) string { return blanks.ReplaceAllString(text, " ") }

var block = regexp.MustCompile("(?s)```\\w+ ([\\w./-]+)\n(.*?)```")

// TestDocumentedCodeIsTheCode: what docs/add-a-model.md shows of a file is in the file, but for the width of spaces.
func TestDocumentedCodeIsTheCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/add-a-model.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 6 {
		t.Fatalf("%d blocks of code, want at least 6", len(blocks))
	}
	for _, b := range blocks {
		code, err := os.ReadFile(filepath.Join("../..", b[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(spaced(string(code)), spaced(b[2])) {
			t.Errorf("%s does not have this:\n%s", b[1], b[2])
		}
	}
}
