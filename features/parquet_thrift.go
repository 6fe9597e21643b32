package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Types of the compact protocol of Thrift, in which Parquet writes its footer and its page headers.
const (
	compactTrue   = 1
	compactFalse  = 2
	compactByte   = 3
	compactI16    = 4
	compactI32    = 5
	compactI64    = 6
	compactDouble = 7
	compactBinary = 8
	compactList   = 9
	compactSet    = 10
	compactMap    = 11
	compactStruct = 12
)

// compactDepth is how deep structs and lists may lie within each other; the format's own go to 6.
const compactDepth = 32

var errCompactShort = errors.New("it ends too early")

// compact reads the compact protocol. Its first fault stays in err, and what is read after that is 0.
type compact struct {
	b   []byte
	at  int
	err error
}

func (c *compact) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *compact) take(n uint64) []byte {
	if c.err != nil || n > uint64(len(c.b)-c.at) {
		c.fail(errCompactShort)
		return nil
	}
	b := c.b[c.at : c.at+int(n)]
	c.at += int(n)
	return b
}

func (c *compact) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *compact) uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.b[c.at:])
	switch {
	case n == 0:
		c.fail(errCompactShort)
	case n < 0:
		c.fail(errors.New("a number of more than 64 bits"))
	default:
		c.at += n
		return v
	}
	return 0
}

func (c *compact) int() int64 {
	u := c.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (c *compact) int32() int32 {
	v := c.int()
	if v != int64(int32(v)) {
		c.fail(fmt.Errorf("%d where a number of 32 bits stands", v))
		return 0
	}
	return int32(v)
}

// list reads the head of a list or set. Every element takes a byte or more, so a longer one than the bytes at hand is refused before anything is allocated for it.
func (c *compact) list() (size int, kind byte) {
	head := c.byte()
	n := uint64(head >> 4)
	if n == 15 {
		n = c.uvarint()
	}
	if n > uint64(len(c.b)-c.at) {
		c.fail(errCompactShort)
	}
	if c.err != nil {
		return 0, 0
	}
	return int(n), head & 15
}

// fields calls do for every field of a struct; do reads the value and returns true, or returns false to have it skipped.
func (c *compact) fields(depth int, do func(id int64, kind byte) bool) {
	if depth == 0 {
		c.fail(errors.New("structs too deep within each other"))
	}
	for id := int64(0); c.err == nil; {
		head := c.byte()
		kind := head & 15
		if head == 0 || c.err != nil {
			return
		}
		if delta := int64(head >> 4); delta > 0 {
			id += delta
		} else {
			id = c.int()
		}
		if id < math.MinInt16 || id > math.MaxInt16 {
			c.fail(fmt.Errorf("a field numbered %d", id))
			return
		}
		if !do(id, kind) {
			c.skip(kind, false, depth)
		}
	}
}

// skip passes over a value. A flag takes a byte within a list and none as a field.
func (c *compact) skip(kind byte, listed bool, depth int) {
	switch kind {
	case compactTrue, compactFalse:
		if listed {
			c.byte()
		}
	case compactByte:
		c.byte()
	case compactI16, compactI32, compactI64:
		c.uvarint()
	case compactDouble:
		c.take(8)
	case compactBinary:
		c.take(c.uvarint())
	case compactList, compactSet:
		n, of := c.list()
		c.elements(n, depth, of)
	case compactMap:
		n := c.uvarint()
		if n > uint64(len(c.b)-c.at) {
			c.fail(errCompactShort)
		}
		if n > 0 && c.err == nil {
			of := c.byte()
			c.elements(int(n), depth, of>>4, of&15)
		}
	case compactStruct:
		c.fields(depth-1, func(int64, byte) bool { return false })
	default:
		c.fail(fmt.Errorf("a value of unknown type %d", kind))
	}
}

func (c *compact) elements(n, depth int, kinds ...byte) {
	if depth == 0 {
		c.fail(errors.New("lists too deep within each other"))
	}
	for ; n > 0 && c.err == nil; n-- {
		for _, k := range kinds {
			c.skip(k, true, depth-1)
		}
	}
}

// schemaDepth is how deep groups of a Parquet schema may lie within each other.
const schemaDepth = 64

// checkFooter refuses a Parquet footer whose lists or groups claim more elements than it holds: the library allocates by the claim.
func checkFooter(b []byte) error {
	c := &compact{b: b}
	c.fields(compactDepth, func(id int64, kind byte) bool {
		if id != 2 || kind != compactList {
			return false
		}
		n, of := c.list()
		if of != compactStruct {
			c.fail(errors.New("a schema that is no list of elements"))
			return true
		}
		c.schema(n)
		return true
	})
	return c.err
}

// schema reads a tree of n elements, written parents first, each with the count of its children.
func (c *compact) schema(n int) {
	var open []int32 // children still to come, of each group that encloses the next element
	total := 0
	for i := 0; i < n && c.err == nil; i++ {
		children := int32(0)
		c.fields(compactDepth-1, func(id int64, kind byte) bool {
			if id != 5 || kind != compactI32 {
				return false
			}
			children = c.int32()
			return true
		})
		if children < 0 || int(children) > n-1-total {
			c.fail(fmt.Errorf("a schema of %d elements with a group of %d", n, children))
			return
		}
		total += int(children)
		if len(open) > 0 {
			open[len(open)-1]--
		}
		open = append(open, children)
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
		if len(open) > schemaDepth {
			c.fail(errors.New("a schema of too many levels"))
		}
	}
}

// Kinds of pages and their encodings, by the format's numbers.
const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3

	levelsRLE         = 3
	levelsBitPacked   = 4
	deltaBinaryPacked = 5
	deltaLengthBytes  = 6
	deltaBytes        = 7
	byteStreamSplit   = 9
)

// pageHeader holds what decides how much memory a page takes.
type pageHeader struct {
	kind                 int32
	unpacked, packed     int32 // bytes, without the header
	values               int32 // nulls among them
	encoding             int32
	defEncoding          int32 // of a dataPage's levels
	repEncoding          int32
	defLevels, repLevels int32 // bytes, of a dataPageV2, never packed
	isPacked             bool  // a dataPageV2's values
}

// readPageHeader reads a page header and returns its length; errCompactShort where b ends within it. Later fields of a number replace earlier ones, as in the library.
func readPageHeader(b []byte) (h pageHeader, n int, err error) {
	c := &compact{b: b}
	// number reads one 32-bit field; another type there is an error.
	number := func(v *int32, kind byte) bool {
		if kind != compactI32 {
			c.fail(fmt.Errorf("a field of type %d where a number stands", kind))
			return true
		}
		*v = c.int32()
		return true
	}
	var own pageHeader
	var parts [9]*pageHeader // by field number
	c.fields(compactDepth, func(id int64, kind byte) bool {
		switch id {
		case 1:
			return number(&own.kind, kind)
		case 2:
			return number(&own.unpacked, kind)
		case 3:
			return number(&own.packed, kind)
		case 5, 7, 8:
		default:
			return false
		}
		if kind != compactStruct {
			c.fail(fmt.Errorf("a field of type %d where a page's header stands", kind))
			return true
		}
		part := &pageHeader{isPacked: true}
		c.fields(compactDepth-1, func(field int64, kind byte) bool {
			switch {
			case field == 1:
				return number(&part.values, kind)
			case field == 2 && id != 8, field == 4 && id == 8:
				return number(&part.encoding, kind)
			case field == 3 && id == 5:
				return number(&part.defEncoding, kind)
			case field == 4 && id == 5:
				return number(&part.repEncoding, kind)
			case field == 5 && id == 8:
				return number(&part.defLevels, kind)
			case field == 6 && id == 8:
				return number(&part.repLevels, kind)
			case field == 7 && id == 8 && (kind == compactTrue || kind == compactFalse):
				part.isPacked = kind == compactTrue
				return true
			}
			return false
		})
		parts[id] = part
		return true
	})
	if c.err != nil {
		return pageHeader{}, 0, c.err
	}
	var part *pageHeader
	switch own.kind {
	case dataPage:
		part = parts[5]
	case dictionaryPage:
		part = parts[7]
	case dataPageV2:
		part = parts[8]
	default:
		return pageHeader{}, 0, fmt.Errorf("a page of kind %d, which is not read", own.kind)
	}
	if part == nil {
		return pageHeader{}, 0, fmt.Errorf("a page of kind %d without its header", own.kind)
	}
	h = *part
	h.kind, h.unpacked, h.packed = own.kind, own.unpacked, own.packed
	if min(h.unpacked, h.packed, h.values, h.defLevels, h.repLevels) < 0 {
		return pageHeader{}, 0, errors.New("a page of negative length")
	}
	return h, c.at, nil
}
