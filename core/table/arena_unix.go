//go:build unix

package table

import "golang.org/x/sys/unix"

// mapMemory returns n bytes of zeros from the system, a multiple of a page.
func mapMemory(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

// unmapMemory gives memory of mapMemory back. It fails for other memory alone.
func unmapMemory(b []byte) { _ = unix.Munmap(b) }
