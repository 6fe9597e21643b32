package streaming

import (
	"bytes"
	"unicode/utf8"

	"github.com/millrace/millrace/features"
)

// Timestamps outside these years are a producer's mistake (seconds for milliseconds, an unset clock).
const (
	firstTime = 946_684_800_000   // 2000-01-01
	lastTime  = 4_102_444_800_000 // 2100-01-01
)

// impression is an impression as the join keeps it. Its strings share one allocation.
type impression struct {
	id, user, item string
	context        string // the JSON object as written, or empty
	t              int64
}

// action is a decoded action.
type action struct {
	id, impression, user, kind string
	t                          int64
}

// entityEvent is a decoded message of items or users; features is the JSON object as written.
type entityEvent struct {
	id       string
	features string
	t        int64
	deleted  bool
}

// decoder checks messages strictly. Its methods return the reason of a dead letter, or "". It is not safe for concurrent use.
type decoder struct {
	maxBytes int
	latest   int64 // newest acceptable time, set from the clock
	context  shapes
	item     shapes
	user     shapes
	shown    shownAs
	check    *features.Assembler // without labels: what it refuses, no row could hold
	f        [11]span
}

// span is the value of a known key; kind 0 where the key is absent.
type span struct {
	kind  byte
	value []byte
}

// shapes says which JSON kinds the schema certainly accepts by the name of a value. What is neither certain nor unknown to the schema is put to the assembler.
type shapes struct {
	by map[string]shape
	of features.Source
}

type shape int

const (
	shapeCategory shape = iota // string, number or boolean
	shapeNumber                // number
	shapeList                  // list of categories
	shapeUnsure                // several fields read the value
)

func newDecoder(s *features.Schema, maxBytes int) *decoder {
	d := &decoder{maxBytes: maxBytes, latest: lastTime, shown: newShownAs(s), check: features.NewAssembler(s, false)}
	for _, m := range []struct {
		to *shapes
		of features.Source
	}{{&d.context, features.FromContext}, {&d.item, features.FromItem}, {&d.user, features.FromUser}} {
		*m.to = shapes{by: map[string]shape{}, of: m.of}
		if g := s.GroupColumn(); g != "" {
			m.to.add(g, shapeCategory)
		}
		for i := range s.Fields {
			if f := &s.Fields[i]; f.From == m.of {
				kind := shapeCategory
				switch f.Kind {
				case features.Numeric:
					kind = shapeNumber
				case features.Multi, features.Sequence:
					kind = shapeList
				}
				m.to.add(f.Name, kind)
				if f.Column != "" && f.Column != f.Name {
					m.to.add(f.Column, kind)
				}
			}
		}
	}
	return d
}

func (m *shapes) add(name string, s shape) {
	if old, ok := m.by[name]; ok && old != s {
		s = shapeUnsure
	}
	m.by[name] = s
}

// before checks what precedes the JSON.
func (d *decoder) before(value []byte) string {
	switch {
	case len(value) > d.maxBytes:
		return ReasonTooLarge
	case len(value) == 0:
		return ReasonEmptyValue
	case !utf8.Valid(value):
		return ReasonNotUTF8
	}
	return ""
}

// scan reads an object's members into d.f by the index that known gives to a key (negative: ignored). The last of equal keys counts.
func (d *decoder) scan(value []byte, known func(key []byte) int) string {
	clear(d.f[:])
	s := scanner{b: value}
	more, ok := s.open()
	for ok && more {
		var key, v []byte
		var kind byte
		if key, kind, v, more, ok = s.member(1); ok {
			if k := known(unescaped(key)); k >= 0 {
				d.f[k] = span{kind, v}
			}
		}
	}
	if !ok || !s.end() {
		return ReasonNotJSON
	}
	return ""
}

// Indices of known keys in decoder.f: the version and time, then up to four required texts, then optional keys.
const (
	keyV = iota
	keyTime
	keyA
	keyB
	keyC
	keyD
	keyPosition
	keyPropensity
	keyScore
	keyText
	keyObject
)

func impressionKey(key []byte) int {
	switch string(key) {
	case "v":
		return keyV
	case "ts_ms":
		return keyTime
	case "impression_id":
		return keyA
	case "user_id":
		return keyB
	case "item_id":
		return keyC
	case "position":
		return keyPosition
	case "propensity":
		return keyPropensity
	case "score":
		return keyScore
	case "version":
		return keyText
	case "request_id":
		return keyD
	case "context":
		return keyObject
	}
	return -1
}

func actionKey(key []byte) int {
	switch string(key) {
	case "v":
		return keyV
	case "ts_ms":
		return keyTime
	case "action_id":
		return keyA
	case "user_id":
		return keyB
	case "impression_id":
		return keyC
	case "type":
		return keyD
	}
	return -1
}

func entityKey(key []byte) int {
	switch string(key) {
	case "v":
		return keyV
	case "ts_ms":
		return keyTime
	case "id":
		return keyA
	case "features":
		return keyObject
	}
	return -1
}

// frame checks the version, the time and the first n texts, whose bytes it returns without quotes.
func (d *decoder) frame(n int) (t int64, texts [4][]byte, reason string) {
	v := d.f[keyV]
	if v.kind == kindNumber && string(v.value) != "1" {
		return 0, texts, ReasonUnsupportedVersion
	}
	for k := keyV; k < keyA+n; k++ {
		if d.f[k].kind == 0 || d.f[k].kind == kindNull {
			return 0, texts, ReasonMissingField
		}
	}
	if v.kind != kindNumber || d.f[keyTime].kind != kindNumber {
		return 0, texts, ReasonWrongType
	}
	for k := range n {
		if d.f[keyA+k].kind != kindString {
			return 0, texts, ReasonWrongType
		}
		texts[k] = text(d.f[keyA+k].value)
	}
	t, ok, big := integer(d.f[keyTime].value)
	if !ok {
		return 0, texts, ReasonWrongType
	}
	if big || t < firstTime || t > lastTime || t > d.latest {
		return 0, texts, ReasonBadTimestamp
	}
	for k := range n {
		if len(texts[k]) == 0 {
			return 0, texts, ReasonEmptyID
		}
	}
	return t, texts, ""
}

// optional reports whether a key is absent, null or of the kind.
func (d *decoder) optional(key int, kind byte) bool {
	return d.f[key].kind == 0 || d.f[key].kind == kindNull || d.f[key].kind == kind
}

func (d *decoder) impression(key, value []byte) (*impression, string) {
	if r := d.before(value); r != "" {
		return nil, r
	}
	if r := d.scan(value, impressionKey); r != "" {
		return nil, r
	}
	t, texts, reason := d.frame(3)
	if reason != "" {
		return nil, reason
	}
	if p := d.f[keyPosition]; p.kind == kindNumber {
		if _, ok, _ := integer(p.value); !ok {
			return nil, ReasonWrongType
		}
	}
	if !d.optional(keyPosition, kindNumber) || !d.optional(keyPropensity, kindNumber) || !d.optional(keyScore, kindNumber) ||
		!d.optional(keyText, kindString) || !d.optional(keyD, kindString) || !d.optional(keyObject, kindObject) {
		return nil, ReasonWrongType
	}
	var context []byte
	if d.f[keyObject].kind == kindObject {
		context = d.f[keyObject].value
		if !d.fits(&d.context, context) {
			return nil, ReasonWrongType
		}
	}
	if !bytes.Equal(key, texts[1]) {
		return nil, ReasonKeyMismatch
	}
	if context, reason = d.shown.add(d.f[keyPosition], d.f[keyPropensity], context); reason != "" {
		return nil, reason
	}
	a, b, c := len(texts[0]), len(texts[0])+len(texts[1]), len(texts[0])+len(texts[1])+len(texts[2])
	buf := make([]byte, 0, c+len(context))
	buf = append(append(append(append(buf, texts[0]...), texts[1]...), texts[2]...), context...)
	all := string(buf)
	return &impression{id: all[:a], user: all[a:b], item: all[b:c], context: all[c:], t: t}, ""
}

func (d *decoder) action(key, value []byte, out *action) string {
	if r := d.before(value); r != "" {
		return r
	}
	if r := d.scan(value, actionKey); r != "" {
		return r
	}
	t, texts, reason := d.frame(4)
	if reason != "" {
		return reason
	}
	if !bytes.Equal(key, texts[1]) {
		return ReasonKeyMismatch
	}
	out.t = t
	out.id, out.user, out.impression, out.kind = string(texts[0]), string(texts[1]), string(texts[2]), string(texts[3])
	return ""
}

// entity decodes a message of items or users. A null value deletes; its time is the message's.
func (d *decoder) entity(key, value []byte, of *shapes) (entityEvent, string) {
	if value == nil {
		if len(key) == 0 {
			return entityEvent{}, ReasonEmptyID
		}
		if !utf8.Valid(key) {
			return entityEvent{}, ReasonNotUTF8
		}
		return entityEvent{id: string(key), deleted: true}, ""
	}
	if r := d.before(value); r != "" {
		return entityEvent{}, r
	}
	if r := d.scan(value, entityKey); r != "" {
		return entityEvent{}, r
	}
	t, texts, reason := d.frame(1)
	if reason != "" {
		return entityEvent{}, reason
	}
	switch f := d.f[keyObject]; {
	case f.kind == 0 || f.kind == kindNull:
		return entityEvent{}, ReasonMissingField
	case f.kind != kindObject || !d.fits(of, f.value):
		return entityEvent{}, ReasonWrongType
	}
	if !bytes.Equal(key, texts[0]) {
		return entityEvent{}, ReasonKeyMismatch
	}
	return entityEvent{id: string(texts[0]), features: string(d.f[keyObject].value), t: t}, ""
}

// fits reports whether a row can hold an object's values where the schema reads them.
func (d *decoder) fits(m *shapes, object []byte) bool {
	if m.certain(object) {
		return true
	}
	r := features.Row{}
	switch v := values(string(object)); m.of {
	case features.FromContext:
		r.Context = v
	case features.FromItem:
		r.ItemFeatures = v
	default:
		r.UserFeatures = v
	}
	if d.check.Append(&r) != nil {
		return false
	}
	d.check.Record().Release()
	return true
}

// certain reports whether the members that the schema reads are all of the kind that it names. Null is a missing value and fits.
func (m *shapes) certain(object []byte) bool {
	s := scanner{b: object}
	more, ok := s.open()
	for ok && more {
		var key, v []byte
		var kind byte
		if key, kind, v, more, ok = s.member(1); !ok {
			return false
		}
		want, known := m.by[string(unescaped(key))]
		if !known || kind == kindNull {
			continue
		}
		switch {
		case want == shapeNumber && kind == kindNumber && len(v) < 18 && bytes.IndexByte(v, 'e') < 0 && bytes.IndexByte(v, 'E') < 0:
		case want == shapeCategory && kind != kindArray && kind != kindObject:
		case want == shapeList && kind == kindArray && scalars(v):
		default:
			return false
		}
	}
	return ok
}

// scalars reports whether a scanned list holds texts, numbers and booleans only.
func scalars(list []byte) bool {
	s := scanner{b: list, i: 1}
	for {
		s.space()
		if s.i >= len(s.b) {
			return false
		}
		if s.b[s.i] == ']' {
			return true
		}
		kind, _, ok := s.value(1)
		if !ok || kind == kindArray || kind == kindObject || kind == kindNull {
			return false
		}
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ',' {
			s.i++
		}
	}
}
