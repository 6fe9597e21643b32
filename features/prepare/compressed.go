package prepare

import "os"

// compressedForms are the endings that the readers unpack.
var compressedForms = []string{".gz", ".zst"}

// packed is the path of a file, or of its compressed form where only that is there: a recipe names files as they are published.
func packed(path string) string {
	if _, err := os.Stat(path); err == nil {
		return path
	}
	for _, ending := range compressedForms {
		if _, err := os.Stat(path + ending); err == nil {
			return path + ending
		}
	}
	return path
}
