package main

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/mmcloughlin/avo/reg"
)

// The bytes are those of GNU as 2.40 for the same instructions, with .disp32 where it would take a shorter displacement.
func TestTileEncodings(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		if b, err := hex.DecodeString(want); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%x, want %s", got, want)
		}
	}
	ax, dx, bx, si, di := number(reg.RAX), number(reg.RDX), number(reg.RBX), number(reg.RSI), number(reg.RDI)
	r8, r9, r10, r11, r13 := number(reg.R8), number(reg.R9), number(reg.R10), number(reg.R11), number(reg.R13)
	f(loadConfigBytes(ax), "c4e278498000000000")
	f(loadConfigBytes(r9), "c4c278498100000000")
	f(releaseBytes(), "c4e27849c0")
	f(zeroBytes(0), "c4e27b49c0")
	f(zeroBytes(7), "c4e27b49f8")
	f(loadBytes(4, si, r10, 0), "c4a27b4ba41600000000")
	f(loadBytes(5, r8, r10, 1024), "c4827b4bac1000040000")
	f(loadBytes(6, di, bx, 2048), "c4e27b4bb41f00080000")
	f(loadBytes(3, r11, r13, 64), "c4827b4b9c2b40000000")
	f(storeBytes(0, dx, bx, 0), "c4e27a4b841a00000000")
	f(storeBytes(3, r11, bx, 64), "c4c27a4b9c1b40000000")
	f(multiplyBytes(0, 4, 6), "c4e24a5cc4")
	f(multiplyBytes(3, 5, 7), "c4e2425cdd")
	f(multiplyBytes(1, 7, 0), "c4e27a5ccf")
}
