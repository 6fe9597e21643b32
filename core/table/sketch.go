package table

import (
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/core/snapshot"
)

// Sketch counts ids that have no row yet, in bounded memory: a count-min sketch with conservative update (Cormode and Muthukrishnan 2005; Estan and Varghese 2002),
// all counters of an id in one cache line. A count may be too high when ids share counters. Forgetting an id takes its count out again, which may lower
// counts of ids that share its counters: both move the time of an admission a little, and the same ids in the same order always give the same counts. When
// more than half of its counters are in use it doubles, up to 64 MB, and all counts are halved, a little at each call, so that ids seen once in a long while make room. It belongs to one goroutine.
type Sketch struct {
	blocks []sketchBlock
	used   int // counters that are not zero
	hand   int // block that is halved next, −1 when no halving is under way
}

// sketchBlock is a cache line of counters.
type sketchBlock [sketchCounters]uint16

const (
	sketchCounters  = 32
	sketchHashes    = 4
	minSketchBlocks = 1 << 15 // 2 MB: about 130,000 ids wait undisturbed
	maxSketchBlocks = 1 << 20
	// halvedAtOnce is how many blocks a call halves while a halving is under way.
	halvedAtOnce = 4
)

// MaxSketchCount is the highest count; it stays there.
const MaxSketchCount = math.MaxUint16

// NewSketch returns an empty sketch.
func NewSketch() *Sketch { return &Sketch{blocks: make([]sketchBlock, minSketchBlocks), hand: -1} }

// counters returns the block of an id and the numbers of its counters in it, which are distinct.
func (s *Sketch) counters(id uint64) (b *sketchBlock, at [sketchHashes]uint8) {
	h := mix(id ^ 0x5bd1e9955bd1e995)
	b = &s.blocks[h>>32&uint64(len(s.blocks)-1)]
	for i := range at {
		at[i] = uint8(8*i) + uint8(h>>(3*i))&7
	}
	return b, at
}

// Add counts an id and returns its count, this time included.
func (s *Sketch) Add(id uint64) uint32 {
	s.age()
	b, at := s.counters(id)
	n := uint16(MaxSketchCount)
	for _, c := range at {
		n = min(n, b[c])
	}
	if n == MaxSketchCount {
		return MaxSketchCount
	}
	n++
	for _, c := range at {
		if b[c] == 0 {
			s.used++
		}
		b[c] = max(b[c], n)
	}
	return uint32(n)
}

// Count returns an id's count.
func (s *Sketch) Count(id uint64) uint32 {
	b, at := s.counters(id)
	n := uint16(MaxSketchCount)
	for _, c := range at {
		n = min(n, b[c])
	}
	return uint32(n)
}

// Forget takes an id's count out.
func (s *Sketch) Forget(id uint64) {
	b, at := s.counters(id)
	n := uint16(s.Count(id))
	if n == 0 {
		return
	}
	for _, c := range at {
		if b[c] -= n; b[c] == 0 {
			s.used--
		}
	}
}

// age makes the sketch larger or its counts smaller when it is too full.
func (s *Sketch) age() {
	if s.hand < 0 {
		switch {
		case s.used <= len(s.blocks)*sketchCounters/2:
			return
		case len(s.blocks) < maxSketchBlocks: // an id's block is either the one it was or its copy: no count gets lower
			blocks := make([]sketchBlock, 2*len(s.blocks))
			copy(blocks, s.blocks)
			copy(blocks[len(s.blocks):], s.blocks)
			s.blocks, s.used = blocks, 2*s.used
			// The copies are as full as what they are copies of: halving empties the half of each that is nobody's.
			s.hand = 0
			return
		default:
			s.hand = 0
		}
	}
	for range halvedAtOnce {
		b := &s.blocks[s.hand]
		for i, n := range b {
			if n == 1 {
				s.used--
			}
			b[i] = n / 2
		}
		if s.hand++; s.hand == len(s.blocks) {
			s.hand = -1
			return
		}
	}
}

// Bytes is the memory of the counters.
func (s *Sketch) Bytes() int64 { return int64(len(s.blocks)) * lineBytes }

// Tensors returns the sketch as tensors of a checkpoint: counters U8 [blocks, 64], two bytes each with the lower first, and hand I64 [1].
func (s *Sketch) Tensors(suffix string) []snapshot.Tensor {
	data := make([]byte, 0, len(s.blocks)*lineBytes)
	for i := range s.blocks {
		for _, n := range s.blocks[i] {
			data = append(data, byte(n), byte(n>>8))
		}
	}
	return []snapshot.Tensor{
		snapshot.NewTensor("sketch/"+suffix, data, len(s.blocks), lineBytes),
		snapshot.NewTensor("hand/"+suffix, []int64{int64(s.hand)}),
	}
}

// SketchFrom reads what Tensors wrote, nil where the part has no sketch of that name.
func SketchFrom(p *snapshot.Part, suffix string) (*Sketch, error) {
	t, ok := p.Tensor("sketch/" + suffix)
	if !ok {
		return nil, nil
	}
	s, err := sketchFrom(p, t, suffix)
	if err != nil {
		return nil, fmt.Errorf("read the sketch of %s from part %s: %w", suffix, p.Name, err)
	}
	return s, nil
}

func sketchFrom(p *snapshot.Part, t snapshot.Tensor, suffix string) (*Sketch, error) {
	data, err := snapshot.Values[uint8](t)
	if err != nil {
		return nil, err
	}
	n := len(data) / lineBytes
	if n < minSketchBlocks || n > maxSketchBlocks || n&(n-1) != 0 || len(data)%lineBytes != 0 {
		return nil, fmt.Errorf("%d bytes of counters", len(data))
	}
	ht, _ := p.Tensor("hand/" + suffix)
	hand, err := snapshot.Values[int64](ht)
	if err != nil {
		return nil, err
	}
	if len(hand) != 1 || hand[0] < -1 || hand[0] >= int64(n) {
		return nil, errors.New("the place where halving goes on is wrong")
	}
	s := &Sketch{blocks: make([]sketchBlock, n), hand: int(hand[0])}
	for i := range s.blocks {
		for j := range s.blocks[i] {
			at := i*lineBytes + 2*j
			c := uint16(data[at]) | uint16(data[at+1])<<8
			s.blocks[i][j] = c
			if c != 0 {
				s.used++
			}
		}
	}
	return s, nil
}
