package streaming

import (
	"container/heap"
	"fmt"
	"sort"
	"strings"

	"github.com/millrace/millrace/features"
)

// join matches impressions with later actions on event time. A row waits until the watermark passes the end of its window and then leaves, rows in order of
// impression time and id. It belongs to one goroutine.
type join struct {
	window, late int64
	schema       *features.Schema
	kinds        map[string]kind // what each type of action does; others are ignored
	labels       []string        // names, by the bits of kind.labels

	rows     map[string]*row
	order    rowQueue
	early    map[string][]held // by impression id
	earlyOut heldQueue
	gone     *seen // impressions whose rows have left
	acted    *seen // actions
	past     *histories
	items    *entities
	users    *entities
	touched  func(user string) // after a history changed; may be nil
	n        joinCounts
	at       int64 // the watermark as of the last advance
}

// kind says what a type of action does.
type kind struct {
	labels  uint64
	history bool
	name    string
}

// joinCounts are events that became no row or label, by what happened to them.
type joinCounts struct {
	late, duplicates, unmatched, ignored int64
}

// row is an impression that waits for its window's end, with the features as they were when it was read.
type row struct {
	impression
	item, user *entity
	labels     uint64
}

// held is an action whose impression has not come yet. Seq is its offset.
type held struct {
	action
	seq int64
}

// newJoin checks the labels against the schema.
func newJoin(s *features.Schema, c *JoinConfig, limitUsers int) (*join, error) {
	j := &join{
		window: c.Window.milliseconds(), late: c.Late.milliseconds(), schema: s, kinds: map[string]kind{},
		rows: map[string]*row{}, early: map[string][]held{},
		past: newHistories(historyLength(s), limitUsers), items: newEntities(true), users: newEntities(false),
	}
	j.gone, j.acted = newSeen(j.window+j.late), newSeen(j.window+j.late)
	known := map[string]bool{}
	for _, l := range s.Labels {
		known[l.Name] = true
		j.labels = append(j.labels, l.Name)
	}
	for name := range c.Labels {
		if !known[name] {
			return nil, fmt.Errorf("join.labels: the schema has no label %q, it has %s", name, strings.Join(j.labels, ", "))
		}
	}
	if len(j.labels) == 0 || len(j.labels) > 64 {
		return nil, fmt.Errorf("the schema has %d labels; the join needs 1 to 64", len(j.labels))
	}
	for bit, name := range j.labels {
		from := []string{name}
		if rule, ok := c.Labels[name]; ok {
			from = rule.From
		} else if len(c.Labels) > 0 {
			return nil, fmt.Errorf("join.labels: which actions make the schema's label %q is missing", name)
		}
		for _, t := range from {
			k := j.kinds[t]
			k.labels |= 1 << bit
			j.kinds[t] = k
		}
	}
	actions := s.History.Actions
	if len(actions) == 0 {
		actions = []string{"click"}
	}
	for _, t := range actions {
		k := j.kinds[t]
		k.history = true
		j.kinds[t] = k
	}
	for t, k := range j.kinds {
		k.name = t
		j.kinds[t] = k
	}
	return j, nil
}

// historyLength is how many behaviours a history keeps.
func historyLength(s *features.Schema) int {
	n := s.History.Max
	if n == 0 {
		for _, f := range s.Fields {
			if f.Kind == features.Sequence && f.From == features.FromHistory {
				n = max(n, f.Max)
			}
		}
	}
	if n == 0 {
		n = 50
	}
	return n
}

// impression takes an impression in.
func (j *join) impression(i *impression) {
	if i.t+j.window <= j.at {
		j.n.late++
		return
	}
	if j.rows[i.id] != nil || j.gone.has(i.id) {
		j.n.duplicates++
		return
	}
	r := &row{impression: *i, item: j.items.by[i.item], user: j.users.by[i.user]}
	j.rows[r.id] = r
	heap.Push(&j.order, r)
	if hs, ok := j.early[r.id]; ok {
		delete(j.early, r.id)
		for k := range hs {
			j.match(r, &hs[k].action, hs[k].seq)
		}
	}
}

// action takes an action in; seq is its offset in its partition.
func (j *join) action(a *action, seq int64) {
	if _, known := j.kinds[a.kind]; !known {
		j.n.ignored++
		return
	}
	if a.t+j.hold() <= j.at {
		j.n.late++
		return
	}
	if j.acted.has(a.id) {
		j.n.duplicates++
		return
	}
	r := j.rows[a.impression]
	if r == nil && j.gone.has(a.impression) {
		j.n.late++
		return
	}
	j.acted.add(a.id, a.t)
	if r != nil {
		j.match(r, a, seq)
		return
	}
	hs := append(j.early[a.impression], held{action: *a, seq: seq})
	sort.SliceStable(hs, func(x, y int) bool { return hs[x].seq < hs[y].seq })
	j.early[a.impression] = hs
	heap.Push(&j.earlyOut, waiting{a.t, a.impression})
}

// hold is how long after its time an action waits for its impression, in event time: none that is still to come can be older.
func (j *join) hold() int64 { return j.window + j.late }

func (j *join) match(r *row, a *action, seq int64) {
	// An action may seem to come a little before its impression, when two machines' clocks tell their times.
	if a.user != r.impression.user || a.t < r.t-j.late || a.t > r.t+j.window {
		j.n.unmatched++
		return
	}
	k := j.kinds[a.kind]
	r.labels |= k.labels
	if k.history {
		// Never before the impression: its own row must not see it.
		b := j.schema.BehaviourOf(r.impression.item, j.items.values(r.item), values(r.context), max(a.t, r.t), k.name)
		j.past.push(r.impression.user, b, seq, j.at-j.window)
		if j.touched != nil {
			j.touched(r.impression.user)
		}
	}
}

// advance moves event time on and hands over the rows whose windows have closed.
func (j *join) advance(watermark int64, leave func(*row) error) error {
	if watermark <= j.at {
		return nil
	}
	j.at = watermark
	for len(j.order) > 0 && j.order[0].t+j.window <= watermark {
		r := heap.Pop(&j.order).(*row)
		delete(j.rows, r.id)
		j.gone.add(r.id, r.t)
		if err := leave(r); err != nil {
			return err
		}
	}
	for len(j.earlyOut) > 0 && j.earlyOut[0].t+j.hold() <= watermark {
		w := heap.Pop(&j.earlyOut).(waiting)
		hs := j.early[w.impression]
		kept := hs[:0]
		for _, h := range hs {
			if h.t+j.hold() <= watermark {
				j.n.unmatched++
				continue
			}
			kept = append(kept, h)
		}
		if len(kept) == 0 {
			delete(j.early, w.impression)
		} else {
			j.early[w.impression] = kept
		}
	}
	j.gone.expire(watermark)
	j.acted.expire(watermark)
	return nil
}

// fill makes the training row of an impression; dst's history and labels are reused.
func (j *join) fill(dst *features.Row, r *row) {
	labels := dst.Labels
	if labels == nil {
		labels = map[string]float64{}
	}
	for bit, name := range j.labels {
		labels[name] = float64(r.labels >> bit & 1)
	}
	*dst = features.Row{
		User: r.impression.user, Item: r.impression.item,
		UserFeatures: j.users.values(r.user), ItemFeatures: j.items.values(r.item), Context: values(r.context),
		History: j.past.before(dst.History[:0], r.impression.user, r.t),
		TimeMS:  r.t, Labels: labels,
	}
}

// rowQueue is a heap of rows by impression time and id.
type rowQueue []*row

func (q rowQueue) Len() int { return len(q) }
func (q rowQueue) Less(a, b int) bool {
	return q[a].t < q[b].t || q[a].t == q[b].t && q[a].id < q[b].id
}
func (q rowQueue) Swap(a, b int) { q[a], q[b] = q[b], q[a] }
func (q *rowQueue) Push(x any)   { *q = append(*q, x.(*row)) }
func (q *rowQueue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return r
}

// waiting says that an action of time t waits for an impression.
type waiting struct {
	t          int64
	impression string
}

// heldQueue is a heap of waiting actions by time.
type heldQueue []waiting

func (q heldQueue) Len() int           { return len(q) }
func (q heldQueue) Less(a, b int) bool { return q[a].t < q[b].t }
func (q heldQueue) Swap(a, b int)      { q[a], q[b] = q[b], q[a] }
func (q *heldQueue) Push(x any)        { *q = append(*q, x.(waiting)) }
func (q *heldQueue) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = waiting{}
	*q = (*q)[:last]
	return w
}
