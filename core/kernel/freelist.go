package kernel

import "sync"

// freeList keeps work areas for reuse: it holds as many as were ever in use at once.
type freeList[E any] struct {
	mu   sync.Mutex
	free []*E
}

// take returns an idle one, or nil when there is none.
func (l *freeList[E]) take() *E {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free)
	if n == 0 {
		return nil
	}
	e := l.free[n-1]
	l.free = l.free[:n-1]
	return e
}

func (l *freeList[E]) give(e *E) {
	l.mu.Lock()
	l.free = append(l.free, e)
	l.mu.Unlock()
}
