package prepare

import (
	"fmt"
	"regexp"
)

// matchText gives each text what the pattern's first group, or the pattern where it has none, finds in it first; missing where that is nothing.
func matchText(c *column, pattern string) (*column, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	d := newDictionary()
	out := &column{kind: textKind, dict: d, code: make([]uint32, c.rows())}
	known := map[string]uint32{}
	for r := range out.code {
		out.code[r] = missingCode
		if c.absent(r) {
			continue
		}
		text := c.text(r)
		code, ok := known[text]
		if !ok {
			code = missingCode
			if m := re.FindStringSubmatch(text); m != nil {
				if found := m[min(1, len(m)-1)]; found != "" {
					code = d.of(found)
				}
			}
			known[text] = code
		}
		out.code[r] = code
	}
	return out, nil
}
