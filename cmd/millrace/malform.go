package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/millrace/millrace/streaming"
)

// malformer spoils events in ten ways, each with the reason that a consumer should give. The spoilt event is one more, with ids of its own: the event it
// was made from stays good.
type malformer struct{ rng *rand.Rand }

// ways lists the ten; each takes a good event's value as a map, in JSON's own types, and returns the bytes of a bad one.
var ways = []struct {
	reason string
	spoil  func(m map[string]any, k int64) []byte
}{
	{streaming.ReasonNotJSON, func(m map[string]any, _ int64) []byte {
		return []byte("not json at all: " + fmt.Sprint(m["impression_id"]))
	}},
	{streaming.ReasonNotJSON, func(m map[string]any, _ int64) []byte { v := mustJSON(m); return v[:len(v)/2] }},
	{streaming.ReasonNotUTF8, func(m map[string]any, _ int64) []byte {
		return bytes.Replace(mustJSON(m), []byte(`"user_id":"`), []byte("\"user_id\":\"\xff\xfe"), 1)
	}},
	{streaming.ReasonMissingField, func(m map[string]any, _ int64) []byte { delete(m, "impression_id"); return mustJSON(m) }},
	{streaming.ReasonMissingField, func(m map[string]any, _ int64) []byte { delete(m, "ts_ms"); return mustJSON(m) }},
	{streaming.ReasonWrongType, func(m map[string]any, _ int64) []byte { m["ts_ms"] = fmt.Sprint(m["ts_ms"]); return mustJSON(m) }},
	{streaming.ReasonBadTimestamp, func(m map[string]any, _ int64) []byte { m["ts_ms"] = -5; return mustJSON(m) }},
	{streaming.ReasonUnsupportedVersion, func(m map[string]any, _ int64) []byte { m["v"] = 99; return mustJSON(m) }},
	{streaming.ReasonEmptyID, func(m map[string]any, _ int64) []byte { m["impression_id"] = ""; return mustJSON(m) }},
	{streaming.ReasonKeyMismatch, func(m map[string]any, k int64) []byte {
		m["user_id"] = fmt.Sprintf("stranger%d", k)
		return mustJSON(m)
	}},
}

// make spoils a copy of a good event; k tells copies apart.
func (b malformer) make(good told, k int64) (streaming.Message, string) {
	way := ways[b.rng.IntN(len(ways))]
	m := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(good.Value))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		panic("BUG: a told event is not JSON: " + err.Error())
	}
	for _, id := range []string{"impression_id", "action_id"} {
		if s, ok := m[id].(string); ok {
			m[id] = strings.Join([]string{"bad", fmt.Sprint(k), s}, "-")
		}
	}
	return streaming.Message{Topic: good.Topic, Key: good.Key, Value: way.spoil(m, k)}, way.reason
}
