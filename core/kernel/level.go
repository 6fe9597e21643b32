package kernel

import "os"

// instructions is a set of machine instructions that kernels are written for; each has those before it.
type instructions int

const (
	portable instructions = iota
	avx2
	avx512
	amx // matrix tiles for products, avx512 for the rest
)

var instructionNames = [...]string{"portable", "avx2", "avx512", "amx"}

func (s instructions) String() string { return instructionNames[s] }

// doubles is the number of float64 in a vector.
func (s instructions) doubles() int { return [...]int{portable: 1, avx2: 4, avx512: 8}[s] }

// levelVariable is the environment variable that lowers the instruction set, to one of the names of Instructions. It is read once; a set that
// the processor lacks or an unknown name leaves the best there is.
const levelVariable = "MILLRACE_KERNEL"

// level is the set of the vector kernels, up to avx512, and tiles says that large products use matrix tiles beside it; tests lower
// them to compare the twins.
var level, tiles = chosen(os.Getenv(levelVariable), detect())

func chosen(name string, best instructions) (vectors instructions, tiles bool) {
	for s, n := range instructionNames {
		if n == name {
			best = min(best, instructions(s))
		}
	}
	return min(best, avx512), best == amx
}

// Instructions names the instruction set the float32 kernels use: "amx", "avx512", "avx2" or "portable".
func Instructions() string {
	if tiles && level == avx512 {
		return amx.String()
	}
	return level.String()
}
