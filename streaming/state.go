package streaming

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
)

// stateKey is the daemon's entry in a checkpoint's state; its parts are named by partNames.
const stateKey = "stream"

// partNames are the checkpoint's parts of the daemon, in order.
var partNames = []string{"stream-items", "stream-users", "stream-histories", "stream-join", "stream-seen"}

// formatVersion is of the parts' contents.
const formatVersion = 1

// position is what a checkpoint says of where the daemon stood: everything before it went into the weights beside it, nothing after.
type position struct {
	Format int `json:"format"`
	// Offsets are the next ones to read, by topic and partition.
	Offsets map[string][]int64 `json:"offsets"`
	// Newest are the newest event times seen, by topic and partition.
	Newest      map[string][]int64 `json:"newest"`
	WatermarkMS int64              `json:"watermark_ms"`
	// DeadLetters are the ends of the dead-letter topic's partitions: letters of events after this position can only lie behind them.
	DeadLetters []int64 `json:"dead_letters"`
	Counts      counts  `json:"counts"`
}

// counts of a daemon's life, restarts included.
type counts struct {
	Events      map[string]int64 `json:"events"`  // by topic
	Letters     map[string]int64 `json:"letters"` // by reason
	RowsTrained int64            `json:"rows_trained"`
	Rejected    int64            `json:"rejected"` // rows whose values did not fit after all
	Late        int64            `json:"late"`
	Duplicates  int64            `json:"duplicates"`
	Unmatched   int64            `json:"unmatched"`
	Ignored     int64            `json:"ignored"` // actions of types that are neither labels nor histories
	Lost        int64            `json:"lost"`    // events that the broker's retention removed before they were read
	Evicted     int64            `json:"evicted"` // users' histories
}

// parts packs everything the join holds. Equal contents give equal bytes, whatever the order in which they came.
func (j *join) parts() []snapshot.Part {
	blob := func(name string, b []byte) snapshot.Part {
		return snapshot.Part{Name: name, Tensors: []snapshot.Tensor{{Name: "packed", DType: "U8", Shape: []int{len(b)}, Data: b}}}
	}
	return []snapshot.Part{
		blob(partNames[0], j.items.pack()),
		blob(partNames[1], j.users.pack()),
		blob(partNames[2], j.past.pack()),
		blob(partNames[3], j.pack()),
		blob(partNames[4], packSeen(j.gone, j.acted)),
	}
}

// restore takes the parts of a checkpoint in; the join must be new.
func (j *join) restore(s *snapshot.Snapshot) error {
	for _, load := range []struct {
		name   string
		unpack func(*unpacker)
	}{
		{partNames[0], j.items.unpack},
		{partNames[1], j.users.unpack},
		{partNames[2], j.past.unpack},
		{partNames[3], j.unpack},
		{partNames[4], func(u *unpacker) { unpackSeen(u, j.gone, j.acted) }},
	} {
		p, err := s.Part(load.name)
		if err != nil {
			return fmt.Errorf("read %s of the checkpoint in %s: %w", load.name, s.Dir, err)
		}
		if len(p.Tensors) != 1 {
			return fmt.Errorf("read %s of the checkpoint in %s: %d tensors where there is one", load.name, s.Dir, len(p.Tensors))
		}
		u := &unpacker{b: p.Tensors[0].Data}
		load.unpack(u)
		if err := u.done(); err != nil {
			return fmt.Errorf("read %s of the checkpoint in %s: %w", load.name, s.Dir, err)
		}
	}
	return nil
}

// readPosition returns the daemon's position in a checkpoint, or nil where it has none (a train run's).
func readPosition(s *snapshot.Snapshot) (*position, error) {
	raw, ok := s.Manifest.State[stateKey]
	if !ok {
		return nil, nil
	}
	p := &position{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("read the daemon's state of the checkpoint in %s: %w", s.Dir, err)
	}
	if p.Format != formatVersion {
		return nil, fmt.Errorf("the daemon's state of the checkpoint in %s has format %d; this version reads %d", s.Dir, p.Format, formatVersion)
	}
	return p, nil
}

func (s *entities) pack() []byte {
	p := &packer{}
	p.uint(uint64(len(s.by)))
	for _, id := range slices.Sorted(maps.Keys(s.by)) {
		e := s.by[id]
		p.text(id)
		p.int(e.t)
		p.text(e.features)
	}
	return p.b
}

func (s *entities) unpack(u *unpacker) {
	for range u.count() {
		id := u.text()
		t := u.int()
		s.by[id] = &entity{t: t, features: u.text()}
	}
}

func (h *histories) pack() []byte {
	var order []*userPast
	if h.limit > 0 {
		for e := h.recent.Front(); e != nil; e = e.Next() {
			order = append(order, e.Value.(*userPast))
		}
	} else {
		for _, user := range slices.Sorted(maps.Keys(h.users)) {
			order = append(order, h.users[user])
		}
	}
	things := &packer{}
	number := map[*thing]uint64{}
	actions := map[string]uint64{}
	var names []string
	users := &packer{}
	users.uint(uint64(len(order)))
	for _, u := range order {
		users.text(u.user)
		users.uint(uint64(len(u.past)))
		last := int64(0)
		for _, p := range u.past {
			n, ok := number[p.what]
			if !ok {
				n = uint64(len(number))
				number[p.what] = n
				things.text(p.what.item)
				things.text(packValues(p.what.attributes))
			}
			a, ok := actions[p.action]
			if !ok {
				a = uint64(len(names))
				actions[p.action] = a
				names = append(names, p.action)
			}
			users.uint(n)
			users.int(p.t - last)
			users.int(p.seq)
			users.uint(a)
			last = p.t
		}
	}
	// Things that no history holds any more need not be remembered.
	for item, t := range h.things {
		if _, used := number[t]; !used {
			delete(h.things, item)
		}
	}
	out := &packer{}
	out.uint(uint64(len(names)))
	for _, n := range names {
		out.text(n)
	}
	out.uint(uint64(len(number)))
	out.b = append(append(out.b, things.b...), users.b...)
	return out.b
}

func (h *histories) unpack(u *unpacker) {
	names := make([]string, u.count())
	for i := range names {
		names[i] = u.text()
	}
	things := make([]*thing, u.count())
	for i := range things {
		item := u.text()
		things[i] = &thing{item: item, attributes: unpackValues(u.text())}
		h.things[item] = things[i]
	}
	for range u.count() {
		user := &userPast{user: u.text(), past: make([]past, u.count())}
		last := int64(0)
		for i := range user.past {
			n := u.uint()
			last += u.int()
			seq := u.int()
			a := u.uint()
			if n >= uint64(len(things)) || a >= uint64(len(names)) {
				u.fail()
				return
			}
			user.past[i] = past{what: things[n], t: last, seq: seq, action: names[a]}
		}
		h.add(user)
	}
}

// packValues writes attributes as JSON; an empty text stands for none.
func packValues(v features.Values) string {
	if v == nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		// They came out of JSON.
		return ""
	}
	return string(b)
}

func unpackValues(s string) features.Values { return values(s) }

// pack writes the rows that wait and the actions that are early. A row's features are written out only where they are not the newest.
func (j *join) pack() []byte {
	p := &packer{}
	p.int(j.at)
	rows := slices.Clone(j.order)
	sort.Sort(rows)
	p.uint(uint64(len(rows)))
	version := func(e, newest *entity) {
		switch {
		case e == nil:
			p.uint(0)
		case e == newest:
			p.uint(1)
		default:
			p.uint(2)
			p.int(e.t)
			p.text(e.features)
		}
	}
	for _, r := range rows {
		p.text(r.id)
		p.text(r.impression.user)
		p.text(r.impression.item)
		p.text(r.context)
		p.int(r.t)
		version(r.item, j.items.by[r.impression.item])
		version(r.user, j.users.by[r.impression.user])
		p.uint(r.labels)
	}
	p.uint(uint64(len(j.early)))
	for _, id := range slices.Sorted(maps.Keys(j.early)) {
		p.text(id)
		p.uint(uint64(len(j.early[id])))
		for _, h := range j.early[id] {
			p.text(h.id)
			p.text(h.user)
			p.text(h.kind)
			p.int(h.t)
			p.int(h.seq)
		}
	}
	return p.b
}

func (j *join) unpack(u *unpacker) {
	j.at = u.int()
	version := func(newest *entity) *entity {
		switch u.uint() {
		case 0:
			return nil
		case 1:
			return newest
		}
		return &entity{t: u.int(), features: u.text()}
	}
	for range u.count() {
		r := &row{}
		r.id, r.impression.user, r.impression.item, r.context, r.t = u.text(), u.text(), u.text(), u.text(), u.int()
		r.item = version(j.items.by[r.impression.item])
		r.user = version(j.users.by[r.impression.user])
		r.labels = u.uint()
		j.rows[r.id] = r
		j.order = append(j.order, r)
	}
	heap.Init(&j.order)
	for range u.count() {
		id := u.text()
		hs := make([]held, u.count())
		for i := range hs {
			h := &hs[i]
			h.impression = id
			h.id, h.user, h.kind, h.t, h.seq = u.text(), u.text(), u.text(), u.int(), u.int()
			j.earlyOut = append(j.earlyOut, waiting{h.t, id})
		}
		j.early[id] = hs
	}
	heap.Init(&j.earlyOut)
}

func packSeen(sets ...*seen) []byte {
	p := &packer{}
	for _, s := range sets {
		p.int(s.width)
		p.uint(uint64(len(s.buckets)))
		for _, b := range slices.Sorted(maps.Keys(s.buckets)) {
			p.int(b)
			p.uint(uint64(len(s.buckets[b])))
			last := uint64(0)
			for _, h := range slices.Sorted(maps.Keys(s.buckets[b])) {
				p.uint(h - last)
				last = h
			}
		}
	}
	return p.b
}

// unpackSeen keeps the ids even where the configured widths have changed since.
func unpackSeen(u *unpacker, sets ...*seen) {
	for _, s := range sets {
		width := u.int()
		if width <= 0 {
			u.fail()
			return
		}
		for range u.count() {
			b := u.int()
			last := uint64(0)
			for range u.count() {
				last += u.uint()
				s.addHash(last, b*width/s.width)
			}
		}
	}
}
