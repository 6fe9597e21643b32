package strict

import (
	"fmt"
	"math"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the known name at the smallest edit distance, letter case aside, the first by name of equals; "" when there is none.
func Nearest(name string, known []string) string {
	best, distance := "", math.MaxInt
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(k)); d < distance || d == distance && k < best {
			best, distance = k, d
		}
	}
	return best
}

// Meant is the end of a message about an unknown name: the nearest known one, and all of them where it is too far off to be a slip and they are few.
func Meant(name string, known []string) string {
	n := Nearest(name, known)
	if n == "" {
		return ""
	}
	far := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(n)) > max(2, len(name)/2)
	if far && len(known) <= 40 {
		return fmt.Sprintf("; the nearest known is %q of %s", n, strings.Join(known, ", "))
	}
	return fmt.Sprintf("; did you mean %q?", n)
}
