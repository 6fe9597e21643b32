//go:build !unix

package table

import "unsafe"

// mapMemory returns n bytes of zeros of the Go heap, without pointers, so that the collector does not scan them; they begin a cache line.
func mapMemory(n int) ([]byte, error) {
	words := make([]uint64, (n+lineBytes)/8)
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	skip := -uintptr(unsafe.Pointer(&b[0])) & (lineBytes - 1)
	return b[skip:][:n:n], nil
}

// unmapMemory leaves memory of the Go heap to the collector.
func unmapMemory([]byte) {}
