package streaming

import "github.com/zeebo/xxh3"

// seen remembers ids for a horizon of event time, as 64-bit hashes: with ten million ids held, a wrong match comes once in a trillion events.
type seen struct {
	width   int64
	buckets map[int64]map[uint64]struct{} // by event time / width
}

func newSeen(width int64) *seen { return &seen{width: width, buckets: map[int64]map[uint64]struct{}{}} }

func (s *seen) has(id string) bool { return s.hasHash(xxh3.HashString(id)) }

func (s *seen) hasHash(h uint64) bool {
	for _, b := range s.buckets {
		if _, ok := b[h]; ok {
			return true
		}
	}
	return false
}

func (s *seen) add(id string, t int64) { s.addHash(xxh3.HashString(id), t/s.width) }

func (s *seen) addHash(h uint64, bucket int64) {
	b := s.buckets[bucket]
	if b == nil {
		b = map[uint64]struct{}{}
		s.buckets[bucket] = b
	}
	b[h] = struct{}{}
}

// expire forgets ids whose event time is two widths and more behind the watermark.
func (s *seen) expire(watermark int64) {
	for b := range s.buckets {
		if (b+3)*s.width <= watermark {
			delete(s.buckets, b)
		}
	}
}
