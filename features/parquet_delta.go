package features

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// deltaBlock is the largest block of delta-encoded numbers that is read; writers use 128 to 2048.
const deltaBlock = 1 << 20

// checkDelta refuses values of one page, delta-encoded, that claim more than the page's header or unfold to more than most bytes: the library allocates by the claim.
func checkDelta(encoding int32, b []byte, values, most int64) error {
	if len(b) == 0 {
		return nil // nulls alone
	}
	d, err := readDelta(b, values)
	if err != nil || encoding != deltaBytes {
		return err
	}
	// A prefix length and a suffix length each value: the suffixes' header stands after the prefixes.
	var sum int64
	err = d.each(func(prefix int32) error {
		if sum += int64(prefix); prefix < 0 || sum > most {
			return fmt.Errorf("prefixes of %d bytes", sum)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if 4*values > most {
		return fmt.Errorf("%d values", values)
	}
	_, err = readDelta(d.b, values)
	return err
}

// deltaInts are numbers in DELTA_BINARY_PACKED.
type deltaInts struct {
	b            []byte // the blocks
	total        int64
	first        int64
	minis, count int // miniblocks a block, numbers a miniblock
}

func readDelta(b []byte, values int64) (d deltaInts, err error) {
	var head [4]uint64
	for i := range head {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return d, errors.New("no whole header of delta-encoded numbers")
		}
		head[i], b = v, b[n:]
	}
	block, minis, total := head[0], head[1], head[2]
	switch {
	case block == 0 || block > deltaBlock || block%128 != 0 || minis == 0 || block%minis != 0 || block/minis%32 != 0:
		return d, fmt.Errorf("delta-encoded blocks of %d in %d parts", block, minis)
	case total > uint64(values):
		return d, fmt.Errorf("%d delta-encoded numbers in a page of %d values", total, values)
	}
	return deltaInts{b, int64(total), int64(head[3]>>1) ^ -int64(head[3]&1), int(minis), int(block / minis)}, nil
}

// each gives every number to f and leaves in b what follows the last miniblock used, which is where the library goes on reading.
func (d *deltaInts) each(f func(int32) error) error {
	left, v := d.total, d.first
	if left == 0 {
		return nil
	}
	if err := f(int32(v)); err != nil {
		return err
	}
	for left--; left > 0; {
		u, n := binary.Uvarint(d.b)
		if n <= 0 || len(d.b)-n < d.minis {
			return errors.New("delta-encoded numbers end too early")
		}
		least := int64(u>>1) ^ -int64(u&1)
		widths := d.b[n : n+d.minis]
		d.b = d.b[n+d.minis:]
		for _, w := range widths {
			if left <= 0 {
				break
			}
			size := d.count / 8 * int(w)
			if w > 64 || size > len(d.b) {
				return errors.New("delta-encoded numbers end too early")
			}
			for i := range int(min(int64(d.count), left)) {
				v += least + int64(bitsAt(d.b, i*int(w), int(w)))
				if err := f(int32(v)); err != nil {
					return err
				}
			}
			d.b = d.b[size:]
			left -= int64(d.count)
		}
	}
	return nil
}

// bitsAt reads a number of a width from a place counted in bits, lowest first.
func bitsAt(b []byte, at, width int) (v uint64) {
	for k := 0; k < width; {
		shift := (at + k) % 8
		n := min(8-shift, width-k)
		v |= uint64(b[(at+k)/8]>>shift&(1<<n-1)) << k
		k += n
	}
	return v
}
