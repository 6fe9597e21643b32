package main

import (
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/world"
	"github.com/millrace/millrace/streaming"
)

// narrator tells what happens in a world as events of the wire format.
type narrator struct{ w *world.World }

// entity is the value of the items and users topics.
type entity struct {
	V        int             `json:"v"`
	ID       string          `json:"id"`
	TimeMS   int64           `json:"ts_ms"`
	Features features.Values `json:"features"`
}

// entities returns the messages that announce every item and user, as of the world's start.
func (n narrator) entities() []streaming.Message {
	var ms []streaming.Message
	at := n.w.Config().StartMS
	for _, i := range n.w.Items() {
		e := entity{1, i.ID, at, features.Values{"category": i.Category, "brand": i.Brand, "price": i.Price}}
		ms = append(ms, streaming.Message{Topic: "items", Key: []byte(i.ID), Value: mustJSON(e)})
	}
	for _, u := range n.w.Users() {
		e := entity{1, u.ID, at, features.Values{"country": u.Country, "age": u.Age}}
		ms = append(ms, streaming.Message{Topic: "users", Key: []byte(u.ID), Value: mustJSON(e)})
	}
	return ms
}

// context is what a request tells of its circumstances.
func (n narrator) context(r *world.Request) features.Values {
	return features.Values{"hour": r.Visit.Hour(), "device": r.Visit.DeviceName()}
}

// impression is item shown at a position of a request; version is empty where no server ranked it.
func (n narrator) impression(r *world.Request, position, item int, score float64, version string) streaming.Impression {
	propensity := 1.0
	if r.Random {
		propensity = n.w.RandomPropensity()
	}
	return streaming.Impression{
		V: 1, ImpressionID: impressionID(r.Number, position), TimeMS: r.Visit.TimeMS,
		UserID: n.w.Users()[r.Visit.User].ID, ItemID: n.w.Items()[item].ID,
		RequestID: fmt.Sprintf("r%d", r.Number), Position: position, Propensity: propensity,
		Score: score, Version: version, Context: n.context(r),
	}
}

// action is a click on an impression.
func (n narrator) action(r *world.Request, c world.Click) streaming.Action {
	id := impressionID(r.Number, c.Position)
	return streaming.Action{
		V: 1, ActionID: id + "-click", ImpressionID: id, TimeMS: r.Visit.TimeMS + c.DelayMS,
		UserID: n.w.Users()[r.Visit.User].ID, Type: "click",
	}
}

func impressionID(request int64, position int) string {
	return fmt.Sprintf("r%d-%d", request, position)
}

// mustJSON encodes plain structs of our own, which cannot fail.
func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return data
}

// told is one event with its event time. An impression has its id, its true click probability at its position and averaged over positions, and whether
// it was ranked at random; an action has the impression it is of.
type told struct {
	streaming.Message
	timeMS         int64
	impression, of string
	truth, average float64
	random         bool
}

// history tells a world without a server: requests are ranked by popularity or at random, and events come in order of their times.
type history struct {
	narrator
	arrivals *world.Arrivals
	popular  *world.Popularity
	ready    []told // events of requests already played, by time
	now      int64  // time of the last request played
}

func newHistory(w *world.World) *history {
	return &history{narrator: narrator{w}, arrivals: w.Arrivals(0), popular: world.NewPopularity(len(w.Items()))}
}

// next returns the next event in order of event time.
func (h *history) next() told {
	for len(h.ready) == 0 || h.ready[0].timeMS > h.now {
		h.play()
	}
	e := h.ready[0]
	h.ready = h.ready[1:]
	return e
}

func (h *history) play() {
	r := h.arrivals.Next()
	h.now = r.Visit.TimeMS
	shown := h.rank(&r)
	clicks := h.w.React(&r, shown)
	clicked := map[int]bool{}
	for _, c := range clicks {
		clicked[c.Position] = true
		a := h.action(&r, c)
		h.insert(told{Message: streaming.Message{Topic: "actions", Key: []byte(a.UserID), Value: mustJSON(a)}, timeMS: a.TimeMS, of: a.ImpressionID})
	}
	for p, item := range shown {
		i := h.impression(&r, p, item, 0, "")
		h.insert(told{
			Message: streaming.Message{Topic: "impressions", Key: []byte(i.UserID), Value: mustJSON(i)}, timeMS: i.TimeMS,
			impression: i.ImpressionID, truth: h.w.Probability(r.Visit, item, p), average: h.w.Average(r.Visit, item), random: r.Random,
		})
		h.popular.Observe(item, clicked[p])
	}
}

// rank is the logging policy: at random where the request says so, else by popularity.
func (h *history) rank(r *world.Request) []int {
	if r.Random {
		return h.w.Shuffle(r)
	}
	return h.popular.Rank(r.Candidates)[:h.w.Config().Shown]
}

// insert keeps ready in order of time; events of the same time stay in the order they were told.
func (h *history) insert(e told) {
	i := len(h.ready)
	for i > 0 && h.ready[i-1].timeMS > e.timeMS {
		i--
	}
	h.ready = append(h.ready, told{})
	copy(h.ready[i+1:], h.ready[i:])
	h.ready[i] = e
}
