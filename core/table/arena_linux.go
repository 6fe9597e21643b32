package table

import "golang.org/x/sys/unix"

// preferHugePages asks for pages of 2 MB: a random row then costs one miss of the memory, not a second one for the page table. A system without them says no, which is no harm.
func preferHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
