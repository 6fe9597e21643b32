package features

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow/memory"
)

// bounded is an allocator that refuses, by a panic which recovered turns into an error, sizes that no whole file of its size asks for:
// a damaged length must not end the process for lack of memory.
type bounded struct {
	memory.Allocator
	most int
}

// boundedFor returns an allocator for reading a file of a size: pages may be packed 64-fold and more, but not without end.
func boundedFor(alloc memory.Allocator, fileSize int64) bounded {
	return bounded{alloc, 1<<30 + 64*int(min(fileSize, 1<<48))}
}

func (b bounded) Allocate(size int) []byte {
	b.check(size)
	return b.Allocator.Allocate(size)
}

func (b bounded) Reallocate(size int, v []byte) []byte {
	b.check(size)
	return b.Allocator.Reallocate(size, v)
}

func (b bounded) check(size int) {
	if size < 0 || size > b.most {
		panic(fmt.Sprintf("a length of %d bytes", size))
	}
}
