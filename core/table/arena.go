package table

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"
)

// arena hands out zeroed, pointer-free memory outside the Go heap, which the collector neither scans nor counts when it sets its pace. Pieces never move
// and are given back all at once. It belongs to the writer; its pieces to whoever the writer shows them to.
type arena struct {
	blocks [][]byte  // as the system gave them
	free   [2][]byte // of each region's last block
	mapped int64     // address space; pages not yet written to take no memory
}

// region tells memory that look-ups read from memory that only the writer does: apart, what is read lies in a few pages, of which the processor knows only so many.
type region int

const (
	read    region = iota // the index, ids and weights
	written               // optimizer state, marks, ages
)

const (
	firstBlock = 64 << 10
	// lastBlock bounds how much address space is asked for at a time: ten gigabytes are a couple of hundred mappings.
	lastBlock = 64 << 20
	// hugeBlock is the least block for which huge pages are asked, before it is written to. At 5e7 rows that was measured (bench table) at 10.0 million look-ups a second
	// against 6.6 where the system joined small pages later, with as many inserts; a page costs its 2 MB of zeros when it is first written to, more where memory is fragmented.
	hugeBlock = 32 << 20
	lineBytes = 64
)

// alloc returns n bytes of zeros of a region that begin a cache line.
func (a *arena) alloc(n int, of region) (unsafe.Pointer, error) {
	n = roundUp(n, lineBytes)
	if n > len(a.free[of]) {
		size := roundUp(max(n, min(max(int(a.mapped/2), firstBlock), lastBlock)), os.Getpagesize())
		b, err := mapMemory(size)
		if err != nil {
			return nil, fmt.Errorf("get %d bytes for a table that has %d: %w", size, a.mapped, err)
		}
		if size >= hugeBlock {
			preferHugePages(b)
		}
		a.blocks, a.free[of], a.mapped = append(a.blocks, b), b, a.mapped+int64(len(b))
	}
	p := unsafe.Pointer(unsafe.SliceData(a.free[of]))
	a.free[of] = a.free[of][n:]
	return p, nil
}

// release gives all memory back.
func (a *arena) release() {
	for _, b := range a.blocks {
		unmapMemory(b)
	}
	*a = arena{}
}

// retire releases the arena after one more cycle of the collector: a function that was interrupted between taking a row of a table that nobody holds any more
// and copying it is long done by then.
func (a *arena) retire() {
	type grave struct{ _ [16]byte } // not so small that it shares its memory with other objects
	runtime.AddCleanup(new(grave), (*arena).release, a)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }
