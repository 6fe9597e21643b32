package streaming

import (
	"encoding/json"

	"github.com/millrace/millrace/features"
)

// maxDepth is how deep JSON values may nest.
const maxDepth = 200

// Kinds of JSON values, by their first byte; numbers are kindNumber.
const (
	kindString = '"'
	kindObject = '{'
	kindArray  = '['
	kindTrue   = 't'
	kindFalse  = 'f'
	kindNull   = 'n'
	kindNumber = '0'
)

// A scanner walks strict JSON (RFC 8259) without building values: an event's keys are looked at once, and only what is kept is copied. Invalid UTF-8 is not its
// concern. Methods report false on a syntax error.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// open steps into an object and reports whether it has members.
func (s *scanner) open() (members, ok bool) {
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != '{' {
		return false, false
	}
	s.i++
	s.space()
	if s.i < len(s.b) && s.b[s.i] == '}' {
		s.i++
		return false, true
	}
	return true, true
}

// member reads one member of an object: its key without quotes but with escapes as written, the value's kind and its bytes. More says that another follows.
func (s *scanner) member(depth int) (key []byte, kind byte, value []byte, more, ok bool) {
	s.space()
	start := s.i
	if !s.str() {
		return nil, 0, nil, false, false
	}
	key = s.b[start+1 : s.i-1]
	s.space()
	if s.i >= len(s.b) || s.b[s.i] != ':' {
		return nil, 0, nil, false, false
	}
	s.i++
	if kind, value, ok = s.value(depth); !ok {
		return nil, 0, nil, false, false
	}
	s.space()
	if s.i >= len(s.b) {
		return nil, 0, nil, false, false
	}
	c := s.b[s.i]
	s.i++
	return key, kind, value, c == ',', c == ',' || c == '}'
}

// value reads one value of any kind.
func (s *scanner) value(depth int) (kind byte, value []byte, ok bool) {
	s.space()
	if s.i >= len(s.b) || depth > maxDepth {
		return 0, nil, false
	}
	start := s.i
	switch kind = s.b[s.i]; kind {
	case kindString:
		ok = s.str()
	case kindObject:
		more, good := s.open()
		for ok = good; more && ok; {
			_, _, _, more, ok = s.member(depth + 1)
		}
	case kindArray:
		ok = s.array(depth + 1)
	case kindTrue:
		ok = s.word("true")
	case kindFalse:
		ok = s.word("false")
	case kindNull:
		ok = s.word("null")
	default:
		kind, ok = kindNumber, s.number()
	}
	return kind, s.b[start:s.i], ok
}

func (s *scanner) array(depth int) bool {
	s.i++
	s.space()
	if s.i < len(s.b) && s.b[s.i] == ']' {
		s.i++
		return true
	}
	for {
		if _, _, ok := s.value(depth); !ok {
			return false
		}
		s.space()
		if s.i >= len(s.b) {
			return false
		}
		c := s.b[s.i]
		s.i++
		if c == ']' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) str() bool {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return false
	}
	for i := s.i + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			i++
			if i >= len(s.b) {
				return false
			}
			switch s.b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(s.b)-i < 5 {
					return false
				}
				for _, h := range s.b[i+1 : i+5] {
					if !(h >= '0' && h <= '9' || h >= 'a' && h <= 'f' || h >= 'A' && h <= 'F') {
						return false
					}
				}
				i += 4
			default:
				return false
			}
		}
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) number() bool {
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.digits() {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			return false
		}
	}
	return true
}

// end reports whether nothing but space is left.
func (s *scanner) end() bool {
	s.space()
	return s.i == len(s.b)
}

// text returns the characters of a string value as scanned; only strings with escapes are copied.
func text(value []byte) []byte {
	in := value[1 : len(value)-1]
	for _, c := range in {
		if c == '\\' {
			var s string
			// A string that was scanned is one that the library decodes.
			if err := json.Unmarshal(value, &s); err != nil {
				return in
			}
			return []byte(s)
		}
	}
	return in
}

// integer reads a number written as a plain integer. Big says that it is one but does not fit 64 bits.
func integer(value []byte) (n int64, ok, big bool) {
	digits := value
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false, false
		}
	}
	if len(digits) == 0 {
		return 0, false, false
	}
	if len(digits) > 18 {
		return 0, true, true
	}
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(value) {
		n = -n
	}
	return n, true, false
}

// values decodes an object that was scanned before, as features.Values are written; nil for an empty text.
func values(object string) features.Values {
	if object == "" {
		return nil
	}
	s := scanner{b: []byte(object)}
	out := features.Values{}
	more, _ := s.open()
	for more {
		var key, value []byte
		var kind byte
		var ok bool
		if key, kind, value, more, ok = s.member(1); !ok {
			return out
		}
		out[string(unescaped(key))] = decoded(kind, value)
	}
	return out
}

// unescaped decodes a key as member returns it.
func unescaped(key []byte) []byte {
	for _, c := range key {
		if c == '\\' {
			return text([]byte(`"` + string(key) + `"`))
		}
	}
	return key
}

func decoded(kind byte, value []byte) any {
	switch kind {
	case kindString:
		return string(text(value))
	case kindTrue:
		return true
	case kindFalse:
		return false
	case kindNull:
		return nil
	case kindNumber:
		return json.Number(value)
	case kindObject:
		return map[string]any(values(string(value)))
	}
	s := scanner{b: value, i: 1}
	out := []any{}
	for {
		s.space()
		if s.i >= len(s.b) || s.b[s.i] == ']' {
			return out
		}
		kind, v, ok := s.value(1)
		if !ok {
			return out
		}
		out = append(out, decoded(kind, v))
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ',' {
			s.i++
		}
	}
}
