package table

import (
	"fmt"

	"github.com/millrace/millrace/core/snapshot"
)

// Story is what a table's part of a checkpoint knows of one id.
type Story struct {
	ID      uint64
	Present bool
	Slot    uint32
	Tracked bool   // ages and a ledger are kept
	Step    uint32 // of the table
	Last    uint32 // step of the row's last touch
	Count   uint32 // its touches, and how often the id had been seen when it was admitted
	Events  []Event
	Total   uint64 // events of all ids, of which the ledger keeps the last Kept
	Kept    int
}

// StoryTensors are the tensors of a table's part that StoryOf does not need: they can be left out when the part is read.
var StoryTensors = []string{rowsTensor, StateTensor}

// StoryOf tells what a table's part knows of an id.
func StoryOf(p *snapshot.Part, id uint64) (*Story, error) {
	s := &Story{ID: id}
	if err := s.read(p); err != nil {
		return nil, fmt.Errorf("read what part %s tells of id %d: %w", p.Name, id, err)
	}
	return s, nil
}

func (s *Story) read(p *snapshot.Part) error {
	it, _ := p.Tensor(idsTensor)
	ids, err := snapshot.Values[uint64](it)
	if err != nil {
		return err
	}
	for slot, id := range ids {
		if id == s.ID {
			s.Present, s.Slot = true, uint32(slot)
			break
		}
	}
	lt, tracked := p.Tensor(lifeTensor)
	st, seen := p.Tensor(seenTensor)
	if !tracked || !seen {
		return nil
	}
	s.Tracked = true
	life, values, events, err := lifeValues(p, lt, st)
	if err != nil {
		return err
	}
	if len(life) != lifeWords || len(values) != 2*len(ids) || len(events)%eventWords != 0 {
		return fmt.Errorf("%d, %d and %d numbers in its tensors for %d ids", len(life), len(values), len(events), len(ids))
	}
	s.Step, s.Total, s.Kept = uint32(life[0]), life[6], len(events)/eventWords
	if s.Present {
		s.Last, s.Count = values[2*s.Slot], values[2*s.Slot+1]
	}
	for ; len(events) > 0; events = events[eventWords:] {
		if events[0] == s.ID {
			s.Events = append(s.Events, eventOf(events))
		}
	}
	return nil
}
