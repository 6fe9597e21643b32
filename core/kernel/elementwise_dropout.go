package kernel

// DropoutBlock is how many elements Dropout draws at a time.
const DropoutBlock = 32

// Dropout writes to dst the elements of x times scale or 0, by the lanes of 16 bits of splitmix64's numbers after the states counter, counter+γ, …, the lowest
// lane first: 0 where a lane is below bound. It works on whole blocks and stops at the first with a lane that equals bound, which the caller decides;
// it returns how many elements it wrote, 0 where this machine has no kernel for it.
//
//go:noinline
func Dropout(dst, x []float32, counter uint64, bound uint16, scale float32) int {
	dst = dst[:len(x):len(dst)]
	done := 0
	for len(x)-done >= DropoutBlock {
		blocks := min(len(x)-done, chunk) / DropoutBlock
		n := dropoutKernel(&dst[done], &x[done], blocks, counter+uint64(done/4)*splitMix, bound, scale)
		done += n * DropoutBlock
		if n < blocks {
			break
		}
	}
	return done
}

// splitMix is splitmix64's γ, what its state goes up by.
const splitMix = 0x9e3779b97f4a7c15
