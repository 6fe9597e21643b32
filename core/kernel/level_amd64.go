//go:build !noasm

package kernel

import "golang.org/x/sys/cpu"

// detect returns the best instruction set of this processor, and of what the operating system allows, that there are kernels for.
func detect() instructions {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512VL && x.HasAVX512BW && x.HasAVX512DQ && x.HasBMI2 && x.HasFMA && x.HasAVX2:
		if x.HasAMXTile && x.HasAMXBF16 && allowTiles() {
			return amx
		}
		return avx512
	case x.HasAVX2 && x.HasFMA && x.HasBMI2:
		return avx2
	}
	return portable
}
