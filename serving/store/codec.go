package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/millrace/millrace/features"
)

// Histories and features lie in Redis in a compact form of their own: a version byte, then lengths as varints and texts as they are. Reading one makes no
// copies: texts are parts of the reply.
const codecVersion = 1

const (
	tagNil byte = iota
	tagFalse
	tagTrue
	tagText
	tagNumber
	tagList
)

// maxDepth bounds lists within lists.
const maxDepth = 8

var errTruncated = errors.New("it ends too early")

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendValue(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, tagNil), nil
	case bool:
		if v {
			return append(dst, tagTrue), nil
		}
		return append(dst, tagFalse), nil
	case string:
		return appendText(append(dst, tagText), v), nil
	case json.Number:
		return appendText(append(dst, tagNumber), string(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return dst, fmt.Errorf("the number %v has no JSON form", v)
		}
		return appendText(append(dst, tagNumber), strconv.FormatFloat(v, 'g', -1, 64)), nil
	case float32:
		return appendValue(dst, float64(v), depth)
	case int:
		return appendText(append(dst, tagNumber), strconv.Itoa(v)), nil
	case int64:
		return appendText(append(dst, tagNumber), strconv.FormatInt(v, 10)), nil
	case uint64:
		return appendText(append(dst, tagNumber), strconv.FormatUint(v, 10)), nil
	case []any:
		if depth == maxDepth {
			return dst, fmt.Errorf("lists within lists deeper than %d", maxDepth)
		}
		dst = binary.AppendUvarint(append(dst, tagList), uint64(len(v)))
		var err error
		for _, e := range v {
			if dst, err = appendValue(dst, e, depth+1); err != nil {
				return dst, err
			}
		}
		return dst, nil
	case []string:
		dst = binary.AppendUvarint(append(dst, tagList), uint64(len(v)))
		for _, e := range v {
			dst = appendText(append(dst, tagText), e)
		}
		return dst, nil
	}
	return dst, fmt.Errorf("a value of type %T is no feature", v)
}

func appendValues(dst []byte, vs features.Values) ([]byte, error) {
	dst = binary.AppendUvarint(dst, uint64(len(vs)))
	var err error
	for name, v := range vs {
		dst = appendText(dst, name)
		if dst, err = appendValue(dst, v, 0); err != nil {
			return dst, fmt.Errorf("feature %s: %w", name, err)
		}
	}
	return dst, nil
}

// encodeValues is the form of an entity's features.
func encodeValues(vs features.Values) ([]byte, error) {
	return appendValues([]byte{codecVersion}, vs)
}

// encodeHistory is the form of a history: each behaviour's time is written as the difference to the one before.
func encodeHistory(h features.History) ([]byte, error) {
	dst := binary.AppendUvarint([]byte{codecVersion}, uint64(len(h)))
	var before int64
	var err error
	for i := range h {
		b := &h[i]
		dst = binary.AppendVarint(dst, b.TimeMS-before)
		before = b.TimeMS
		dst = appendText(appendText(dst, b.Item), b.Action)
		if dst, err = appendValues(dst, b.Attributes); err != nil {
			return nil, fmt.Errorf("behaviour %d: %w", i, err)
		}
	}
	return dst, nil
}

// decoder reads the form from a text and remembers the first error.
type decoder struct {
	s   string
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.s = ""
}

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail(errTruncated)
		return 0
	}
	b := d.s[0]
	d.s = d.s[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	var x uint64
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		x |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return x
		}
	}
	d.fail(errors.New("a number is too long"))
	return 0
}

func (d *decoder) varint() int64 {
	x := d.uvarint()
	return int64(x>>1) ^ -int64(x&1)
}

// count reads the length of a list whose elements take at least one byte each.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.count()
	t := d.s[:n]
	d.s = d.s[n:]
	return t
}

func (d *decoder) value(depth int) any {
	switch tag := d.byte(); tag {
	case tagNil:
		return nil
	case tagFalse:
		return false
	case tagTrue:
		return true
	case tagText:
		return d.text()
	case tagNumber:
		return json.Number(d.text())
	case tagList:
		n := d.count()
		if depth == maxDepth {
			d.fail(fmt.Errorf("lists within lists deeper than %d", maxDepth))
			return nil
		}
		list := make([]any, n)
		for i := range list {
			list[i] = d.value(depth + 1)
		}
		return list
	default:
		d.fail(fmt.Errorf("a value of unknown kind %d", tag))
		return nil
	}
}

func (d *decoder) values() features.Values {
	n := d.count()
	if n == 0 {
		return nil
	}
	vs := make(features.Values, n)
	for range n {
		name := d.text()
		vs[name] = d.value(0)
	}
	return vs
}

func (d *decoder) begin() {
	if v := d.byte(); d.err == nil && v != codecVersion {
		d.fail(fmt.Errorf("it has form %d, this program reads %d", v, codecVersion))
	}
}

func (d *decoder) end() error {
	if d.err == nil && d.s != "" {
		return fmt.Errorf("%d bytes too many", len(d.s))
	}
	return d.err
}

// decodeValues reads what encodeValues wrote.
func decodeValues(s string) (features.Values, error) {
	d := decoder{s: s}
	d.begin()
	vs := d.values()
	if err := d.end(); err != nil {
		return nil, err
	}
	return vs, nil
}

// decodeHistory reads what encodeHistory wrote.
func decodeHistory(s string) (features.History, error) {
	d := decoder{s: s}
	d.begin()
	n := d.count()
	if n == 0 {
		return nil, d.end()
	}
	h := make(features.History, n)
	var at int64
	for i := range h {
		at += d.varint()
		h[i] = features.Behaviour{TimeMS: at, Item: d.text(), Action: d.text(), Attributes: d.values()}
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return h, nil
}
