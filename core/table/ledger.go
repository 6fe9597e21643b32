package table

import "slices"

// Reason is why a row came or went.
type Reason uint8

// The reasons. Checkpoints hold them by number.
const (
	FirstSeen       Reason = iota // admitted when first seen: there is no minimum count
	ReachedMinCount               // admitted when it had been seen often enough
	Entered                       // put in with its weights: from another checkpoint
	EvictedByAge                  // not touched for too many steps
	EvictedBySize                 // made room for others
	TableFull                     // not admitted: there was no room
	reasons
)

var reasonTexts = [reasons]string{
	"admitted: first seen", "admitted: reached the minimum count", "admitted: put in with its weights", "evicted by age", "evicted by size", "not admitted: table full",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonTexts[r]
	}
	return "unknown"
}

// Name is the reason as a word for machines.
func (r Reason) Name() string {
	if r < reasons {
		return [reasons]string{"first_seen", "min_count", "put", "evicted_age", "evicted_size", "table_full"}[r]
	}
	return "unknown"
}

// Event is an entry of the ledger. Count is how often the id had been seen when it was admitted or refused, or touched when it was evicted; Last is the step of the
// last touch of an evicted row.
type Event struct {
	ID                uint64
	Step, Count, Last uint32
	Reason            Reason
}

// LedgerEvents is how many of its last events a table's ledger keeps.
const LedgerEvents = 1 << 16

// eventWords is what an event takes: id, step and count, last and reason.
const eventWords = 3

// ledger is a ring of the last events.
type ledger struct {
	words []uint64
	next  int // event to be overwritten once the ring is full
	total uint64
}

func (l *ledger) add(e Event) {
	l.total++
	w := [eventWords]uint64{e.ID, uint64(e.Step)<<32 | uint64(e.Count), uint64(e.Last)<<32 | uint64(e.Reason)}
	if len(l.words) < LedgerEvents*eventWords {
		l.words = append(l.words, w[:]...)
		return
	}
	copy(l.words[l.next*eventWords:], w[:])
	l.next = (l.next + 1) % LedgerEvents
}

// ordered returns the events' words, oldest first.
func (l *ledger) ordered() []uint64 {
	at := l.next * eventWords
	return slices.Concat(l.words[at:], l.words[:at])
}

func (l *ledger) bytes() int64 { return int64(cap(l.words)) * 8 }

func eventOf(w []uint64) Event {
	return Event{w[0], uint32(w[1] >> 32), uint32(w[1]), uint32(w[2] >> 32), Reason(w[2])}
}

// Ledger appends to dst the kept events of an id, oldest first, and reports whether older events of any id have been dropped.
func (t *Table) Ledger(dst []Event, id uint64) (events []Event, dropped bool) {
	l := &t.life.ledger
	w := l.ordered()
	for ; len(w) > 0; w = w[eventWords:] {
		if w[0] == id {
			dst = append(dst, eventOf(w))
		}
	}
	return dst, l.total*eventWords > uint64(len(l.words))
}

// LedgerSince appends to dst the events after the first seen of all that ever were, as far as they are kept, and returns how many there have been.
func (t *Table) LedgerSince(dst []Event, seen uint64) (events []Event, total uint64) {
	l := &t.life.ledger
	kept := uint64(len(l.words) / eventWords)
	first := l.total - kept
	for i := max(seen, first); i < l.total; i++ {
		at := (uint64(l.next) + i - first) % kept * eventWords
		dst = append(dst, eventOf(l.words[at:]))
	}
	return dst, l.total
}
