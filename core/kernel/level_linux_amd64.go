//go:build !noasm

package kernel

import (
	"syscall"
	"unsafe"
)

// Tile registers are a state of 8 KB that Linux saves only for processes that asked for it (Documentation/arch/x86/xstate.rst).
const (
	archGetStates  = 0x1021 // ARCH_GET_XCOMP_SUPP
	archAllowState = 0x1023 // ARCH_REQ_XCOMP_PERM
	stateTiles     = 18     // the tiles' number in XCR0; 17 is their configuration
)

// allowTiles asks Linux for the use of tile registers, for all threads of the process, and reports whether they may be used.
func allowTiles() bool {
	var states uint64
	if _, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archGetStates, uintptr(unsafe.Pointer(&states)), 0); errno != 0 {
		return false
	}
	const both = 3 << (stateTiles - 1)
	if states&both != both {
		return false
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, archAllowState, stateTiles, 0)
	return errno == 0
}
