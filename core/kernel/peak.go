package kernel

// MultiplyAdds runs rounds rounds of independent float32 multiply-adds between registers with the instruction set in use and
// returns how many floating-point operations that was (two a multiply-add). Timing it gives the peak of one thread that shares
// of peak are counted against.
func MultiplyAdds(rounds int) float64 {
	const batch = 4096 // keeps each stay in assembly short
	var flops float64
	for rounds > 0 {
		n := min(rounds, batch)
		flops += multiplyAdds(n)
		rounds -= n
	}
	return flops
}

//go:noinline
func multiplyAdds(rounds int) float64 {
	if lanes := fmaLoop(rounds); lanes > 0 {
		return 2 * 12 * float64(lanes) * float64(rounds)
	}
	x, y := peakOperand, peakOperand
	var s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11 float32
	for range rounds {
		s0 += x * y
		s1 += x * y
		s2 += x * y
		s3 += x * y
		s4 += x * y
		s5 += x * y
		s6 += x * y
		s7 += x * y
		s8 += x * y
		s9 += x * y
		s10 += x * y
		s11 += x * y
		x = -x
	}
	if s0+s1+s2+s3+s4+s5+s6+s7+s8+s9+s10+s11 > 1e9 { // never so: it keeps the loop alive
		return 0
	}
	return 2 * 12 * float64(rounds)
}

var peakOperand float32 = 1
