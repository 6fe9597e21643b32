package kernel

// Fetch asks the machine to have x in the second-level cache soon, and returns at once. It is for what will be read by pieces, which no
// hardware guesses.
func Fetch[T Float](x []T) {
	if len(x) > 0 && vectored[T]() {
		fetchLines(&f32(x)[0], (len(x)*float32Size+63)/64)
	}
}
