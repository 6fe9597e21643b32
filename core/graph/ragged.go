package graph

import "fmt"

// Ragged holds the boundaries of ragged rows: segment b covers rows Offsets[b] to Offsets[b+1] of a flattened [T, cols] value.
// It is shared by the operations built on it; set Offsets before each run. len(Offsets) is batch rows + 1.
// Plans that run at the same time must not share Offsets: give each its own with Plan.BindOffsets.
type Ragged struct{ Offsets []int32 }

// segments is a plan's view of a Ragged.
type segments struct {
	of    *Ragged
	own   []int32
	bound bool

	// Shared segments: all of the batch's rows have the same length rows, which the input holds once.
	shared        bool
	batch, length int
}

// share makes batch segments of one run of rows.
func (s *segments) share(batch, length int) {
	if !s.shared { // own belongs to the caller
		s.own = nil
	}
	s.shared, s.bound, s.batch, s.length = true, true, batch, length
	s.own = resized(s.own, batch+1)
	for b := range s.own {
		s.own[b] = int32(b * length)
	}
}

// total returns the number of flattened rows.
func (s *segments) total() int {
	if offsets := s.offsets(); len(offsets) > 0 {
		return int(offsets[len(offsets)-1])
	}
	return 0
}

// fitsOnce is fits for flattened rows that are given once when the segments are shared.
func (s *segments) fitsOnce(flat *Tensor) error {
	if s.shared {
		if flat.Rows != s.length {
			return fmt.Errorf("%d rows where the shared segment has %d", flat.Rows, s.length)
		}
		return nil
	}
	return s.fits(nil, flat)
}

// segments returns the plan's view of r, made at first use.
func (e *env) segments(r *Ragged) *segments {
	s := e.ragged[r]
	if s == nil {
		s = &segments{of: r}
		if e.ragged == nil {
			e.ragged = map[*Ragged]*segments{}
		}
		e.ragged[r] = s
	}
	return s
}

func (s *segments) offsets() []int32 {
	if s.bound {
		return s.own
	}
	return s.of.Offsets
}

// check refuses offsets that do not start at zero or that fall.
func (s *segments) check() error {
	offsets := s.offsets()
	if len(offsets) == 0 || offsets[0] != 0 {
		return fmt.Errorf("ragged offsets must start with 0: %d given", len(offsets))
	}
	for b := 1; b < len(offsets); b++ {
		if offsets[b] < offsets[b-1] {
			return fmt.Errorf("ragged offset %d is %d after %d", b, offsets[b], offsets[b-1])
		}
	}
	return nil
}

// fits refuses values whose rows are not the segments (batch) and the flattened rows (flat); nil is not checked.
func (s *segments) fits(batch, flat *Tensor) error {
	offsets := s.offsets()
	if len(offsets) == 0 {
		return fmt.Errorf("no ragged offsets are set")
	}
	if batch != nil && batch.Rows != len(offsets)-1 {
		return fmt.Errorf("%d rows for %d ragged segments", batch.Rows, len(offsets)-1)
	}
	if flat != nil && flat.Rows != int(offsets[len(offsets)-1]) {
		return fmt.Errorf("%d ragged rows where the offsets end at %d", flat.Rows, offsets[len(offsets)-1])
	}
	return nil
}

// differentiable refuses shared segments: their forward pass leaves nothing for gradients.
func (s *segments) differentiable() error {
	if s.shared {
		return fmt.Errorf("shared segments have no gradients")
	}
	return nil
}
