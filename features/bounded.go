package features

import (
	"fmt"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// bounded is an allocator that refuses, by a panic which recovered turns into an error, sizes that no whole file of its size asks for:
// a damaged length must not end the process for lack of memory.
type bounded struct {
	memory.Allocator
	most int
	live *atomic.Int64 // bytes allocated and not yet freed, where their sum is bounded too
}

// boundedFor returns an allocator for reading a file of a size: pages may be packed 64-fold and more, but not without end.
func boundedFor(alloc memory.Allocator, fileSize int64) bounded {
	return bounded{Allocator: alloc, most: 1<<30 + 64*int(min(fileSize, 1<<48))}
}

func (b bounded) Allocate(size int) []byte {
	b.check(size, 0)
	return b.Allocator.Allocate(size)
}

func (b bounded) Reallocate(size int, v []byte) []byte {
	b.check(size, len(v))
	return b.Allocator.Reallocate(size, v)
}

func (b bounded) Free(v []byte) {
	if b.live != nil {
		b.live.Add(-int64(len(v)))
	}
	b.Allocator.Free(v)
}

// check admits a size in place of another.
func (b bounded) check(size, before int) {
	if size < 0 || size > b.most {
		panic(fmt.Sprintf("a length of %d bytes", size))
	}
	if b.live == nil {
		return
	}
	grown := int64(size - before)
	if sum := b.live.Add(grown); sum > int64(b.most) {
		b.live.Add(-grown)
		panic(fmt.Sprintf("lengths of %d bytes", sum))
	}
}
