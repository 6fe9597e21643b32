package kernel

// instructions is a set of machine instructions that kernels are written for.
type instructions int

const (
	portable instructions = iota
	avx2
	avx512
)

func (s instructions) String() string { return [...]string{"portable", "avx2", "avx512"}[s] }

// doubles is the number of float64 in a vector.
func (s instructions) doubles() int { return [...]int{portable: 1, avx2: 4, avx512: 8}[s] }

// level is the set in use; tests lower it to compare the twins.
var level = detect()

// Instructions names the instruction set the float32 kernels use: "avx512", "avx2" or "portable".
func Instructions() string { return level.String() }
