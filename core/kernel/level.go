package kernel

// instructions is a set of machine instructions that kernels are written for.
type instructions int

const (
	portable instructions = iota
	avx2
	avx512
)

func (s instructions) String() string { return [...]string{"portable", "avx2", "avx512"}[s] }

// level is the set in use; tests lower it to compare the twins.
var level = detect()

// Instructions names the instruction set the float32 kernels use: "avx512", "avx2" or "portable".
func Instructions() string { return level.String() }
