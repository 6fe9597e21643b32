package features

import (
	"io"
	"math/rand/v2"
	"sync"
)

// Epoch iterates one pass.
type Epoch struct {
	ready   chan *Batch
	free    chan *Batch
	stop    chan struct{}
	done    sync.WaitGroup
	stopped sync.Once
	current *Batch
	err     error // written before ready is closed
	close   func() error
}

// producer fills batches one after another; false is the end.
type producer interface {
	fill(b *Batch) (bool, error)
	close() error
}

// ahead is how many batches are prepared before they are asked for.
const ahead = 2

func (l *Loader) start(p producer) *Epoch {
	e := &Epoch{ready: make(chan *Batch, ahead), free: make(chan *Batch, ahead+1), stop: make(chan struct{}), close: p.close}
	for range ahead + 1 {
		e.free <- &Batch{}
	}
	e.done.Add(1)
	go e.run(p)
	return e
}

func (e *Epoch) run(p producer) {
	defer e.done.Done()
	defer close(e.ready)
	for {
		var b *Batch
		select {
		case b = <-e.free:
		case <-e.stop:
			return
		}
		more, err := p.fill(b)
		if err != nil || !more {
			e.err = err
			return
		}
		select {
		case e.ready <- b:
		case <-e.stop:
			return
		}
	}
}

// Next returns the next batch, valid until the following call, or io.EOF.
func (e *Epoch) Next() (*Batch, error) {
	if e.current != nil {
		e.free <- e.current
		e.current = nil
	}
	b, ok := <-e.ready
	if !ok {
		if e.err != nil {
			return nil, e.err
		}
		return nil, io.EOF
	}
	e.current = b
	return b, nil
}

// Close stops the pass and its goroutine.
func (e *Epoch) Close() error {
	var err error
	e.stopped.Do(func() {
		close(e.stop)
		e.done.Wait()
		err = e.close()
	})
	return err
}

// memoryPass serves kept rows.
type memoryPass struct {
	loader *Loader
	order  []uint32 // nil: as read
	next   int
}

func (l *Loader) fromMemory(random *rand.Rand, skip int) *memoryPass {
	m := &memoryPass{loader: l, next: skip * l.options.BatchSize}
	if l.options.Shuffle {
		m.order = make([]uint32, len(l.kept.at))
		for i := range m.order {
			m.order[i] = uint32(i)
		}
		random.Shuffle(len(m.order), func(i, j int) { m.order[i], m.order[j] = m.order[j], m.order[i] })
	}
	return m
}

func (m *memoryPass) fill(b *Batch) (bool, error) {
	l := m.loader
	if m.next >= len(l.kept.at) {
		return false, nil
	}
	l.packing.empty(b, len(l.encoder.schema.Labels))
	for end := min(m.next+l.options.BatchSize, len(l.kept.at)); m.next < end; m.next++ {
		row := m.next
		if m.order != nil {
			row = int(m.order[m.next])
		}
		l.packing.unpack(l.kept.row(row), b)
	}
	return true, nil
}

func (m *memoryPass) close() error { return nil }

// passer serves rows as they are read, through a shuffle buffer where slots are given: each row served is drawn from the full buffer and replaced by the next row read.
type passer struct {
	loader  *Loader
	stream  *stream
	random  *rand.Rand
	slots   [][]byte
	packing *packing
	skip    int
	at      int // of the stream's batch
	rows    int64
	ended   bool
}

func (p *passer) fill(b *Batch) (bool, error) {
	for ; p.skip > 0; p.skip-- {
		if more, err := p.one(b); err != nil || !more {
			return false, err
		}
	}
	return p.one(b)
}

// one fills the next batch.
func (p *passer) one(b *Batch) (bool, error) {
	for first := true; b.Rows < p.loader.options.BatchSize || first; {
		ok, err := p.advance()
		if err != nil {
			return false, err
		}
		if first {
			if p.packing != nil {
				p.packing.empty(b, len(p.loader.encoder.schema.Labels))
			} else {
				b.Reset()
			}
			first = false
		}
		switch {
		case ok && p.slots == nil:
			b.Append(&p.stream.batch, p.at)
			p.at++
		case ok && len(p.slots) < cap(p.slots):
			p.slots = append(p.slots, p.packing.pack(nil, &p.stream.batch, p.at))
			p.at++
		case ok:
			k := p.random.IntN(len(p.slots))
			p.packing.unpack(p.slots[k], b)
			p.slots[k] = p.packing.pack(p.slots[k][:0], &p.stream.batch, p.at)
			p.at++
		case len(p.slots) == 0:
			return b.Rows > 0, p.end()
		default:
			k, last := p.random.IntN(len(p.slots)), len(p.slots)-1
			p.packing.unpack(p.slots[k], b)
			p.slots[k] = p.slots[last]
			p.slots = p.slots[:last]
		}
	}
	return true, nil
}

// advance makes sure that a row is at hand; false at the end of the files.
func (p *passer) advance() (bool, error) {
	for p.at >= p.stream.batch.Rows && !p.ended {
		p.rows += int64(p.at)
		p.at = 0
		err := p.stream.next()
		if err == io.EOF {
			p.ended = true
			p.stream.batch.Rows = 0
			break
		}
		if err != nil {
			return false, err
		}
		if p.packing == nil && p.slots != nil {
			p.packing = newPacking(p.loader.encoder.schema, &p.stream.batch)
		}
	}
	return !p.ended, nil
}

// end tells the loader what a whole pass has learned.
func (p *passer) end() error {
	if p.rows == 0 {
		return emptyPart(p.loader.options.Part, p.loader.files)
	}
	p.loader.learn(p.rows, p.stream.reader.BadRows())
	return nil
}

func (p *passer) close() error { return p.stream.reader.Close() }
