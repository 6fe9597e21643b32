package streaming

import (
	"encoding/binary"
	"errors"
)

// packer writes the compact form of the checkpoint's parts: varints and length-prefixed texts.
type packer struct{ b []byte }

func (p *packer) uint(v uint64) { p.b = binary.AppendUvarint(p.b, v) }
func (p *packer) int(v int64)   { p.b = binary.AppendVarint(p.b, v) }
func (p *packer) text(s string) {
	p.uint(uint64(len(s)))
	p.b = append(p.b, s...)
}

var errPacked = errors.New("the part is cut short or not of this version")

// unpacker reads what packer wrote. The first error stays; after it every read gives zero.
type unpacker struct {
	b   []byte
	err error
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) int() int64 {
	v, n := binary.Varint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) text() string {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.fail()
		return ""
	}
	s := string(u.b[:n])
	u.b = u.b[n:]
	return s
}

// count reads the number of elements that follow, each of at least one byte.
func (u *unpacker) count() int {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.fail()
		return 0
	}
	return int(n)
}

func (u *unpacker) fail() {
	u.b = nil
	if u.err == nil {
		u.err = errPacked
	}
}

// done reports what went wrong, bytes left over included.
func (u *unpacker) done() error {
	if u.err == nil && len(u.b) > 0 {
		u.err = errPacked
	}
	return u.err
}
