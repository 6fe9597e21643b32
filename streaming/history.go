package streaming

import (
	"container/list"
	"slices"
	"strings"

	"github.com/millrace/millrace/features"
)

// histories keeps every user's behaviours, in time order, ties in the order of their partition: what features.History.Push makes of them. It keeps more than a
// history's length, so that an impression whose window closes later still finds the newest before it.
type histories struct {
	max    int // behaviours of a history
	limit  int // users kept, 0: all
	users  map[string]*userPast
	recent list.List // of *userPast, least recently active first; used only under a limit
	things map[string]*thing
	evicts int64
}

// userPast is one user's behaviours, oldest first.
type userPast struct {
	user string
	past []past
	at   *list.Element
}

// past is one behaviour. Seq orders those of the same time.
type past struct {
	what   *thing
	t, seq int64
	action string
}

// thing is what behaviours on an item have in common; one for all behaviours that remember the same of it.
type thing struct {
	item       string
	attributes features.Values
}

// mostKept bounds a user's behaviours within one window, against clients that click without end.
func (h *histories) mostKept() int { return 8*h.max + 256 }

func newHistories(max, limit int) *histories {
	return &histories{max: max, limit: limit, users: map[string]*userPast{}, things: map[string]*thing{}}
}

// push adds a behaviour. Rows still to come are all later than cut.
func (h *histories) push(user string, b features.Behaviour, seq, cut int64) {
	u := h.users[user]
	if u == nil {
		u = &userPast{user: strings.Clone(user)}
		h.add(u)
	} else if h.limit > 0 {
		h.recent.MoveToBack(u.at)
	}
	p := past{what: h.thing(b.Item, b.Attributes), t: b.TimeMS, seq: seq, action: b.Action}
	at := len(u.past)
	for at > 0 && (u.past[at-1].t > p.t || u.past[at-1].t == p.t && u.past[at-1].seq > seq) {
		at--
	}
	u.past = slices.Insert(u.past, at, p)

	done := 0 // behaviours that no row to come has after the newest max
	for done < len(u.past) && u.past[done].t <= cut {
		done++
	}
	drop := max(done-h.max, len(u.past)-h.mostKept(), 0)
	if drop > 0 {
		kept := copy(u.past, u.past[drop:])
		clear(u.past[kept:])
		u.past = u.past[:kept]
	}
}

func (h *histories) add(u *userPast) {
	h.users[u.user] = u
	if h.limit == 0 {
		return
	}
	u.at = h.recent.PushBack(u)
	for len(h.users) > h.limit {
		oldest := h.recent.Remove(h.recent.Front()).(*userPast)
		delete(h.users, oldest.user)
		h.evicts++
	}
}

// thing finds or makes the shared part of behaviours on an item.
func (h *histories) thing(item string, attributes features.Values) *thing {
	if t := h.things[item]; t != nil && equalValues(t.attributes, attributes) {
		return t
	}
	t := &thing{item: strings.Clone(item), attributes: attributes}
	h.things[t.item] = t
	return t
}

// before appends to dst the newest behaviours of the user that are strictly earlier than t.
func (h *histories) before(dst features.History, user string, t int64) features.History {
	u := h.users[user]
	if u == nil {
		return dst
	}
	end := len(u.past)
	for end > 0 && u.past[end-1].t >= t {
		end--
	}
	return appendPast(dst, u.past[max(end-h.max, 0):end])
}

// newest is the user's history as the store should hold it.
func (h *histories) newest(user string) features.History {
	u := h.users[user]
	if u == nil {
		return nil
	}
	kept := u.past[max(len(u.past)-h.max, 0):]
	return appendPast(make(features.History, 0, len(kept)), kept)
}

func appendPast(dst features.History, ps []past) features.History {
	for _, p := range ps {
		dst = append(dst, features.Behaviour{Item: p.what.item, TimeMS: p.t, Action: p.action, Attributes: p.what.attributes})
	}
	return dst
}

func equalValues(a, b features.Values) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		w, ok := b[k]
		if !ok || !equalValue(v, w) {
			return false
		}
	}
	return true
}

func equalValue(a, b any) bool {
	la, isList := a.([]any)
	lb, isOther := b.([]any)
	if !isList && !isOther {
		_, am := a.(map[string]any)
		_, bm := b.(map[string]any)
		return !am && !bm && a == b
	}
	return isList && isOther && slices.EqualFunc(la, lb, equalValue)
}
