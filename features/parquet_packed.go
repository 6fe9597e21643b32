package features

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// zstdBlock is the most bytes a compressed block of Zstandard unfolds to, deflateRatio the most a byte of gzip does.
const (
	zstdBlock    = 128 << 10
	deflateRatio = 1032
)

// checkPacked refuses n compressed bytes that cannot unfold to want bytes, or to more than most: the library allocates by the one, some codecs by the other.
func (w *window) checkPacked(codec compress.Compression, at, n, want, most int64) error {
	if n == 0 {
		return nil
	}
	switch codec {
	case compress.Codecs.Snappy:
		b, err := w.bytes(at, int(min(n, binary.MaxVarintLen64)))
		if err != nil {
			return err
		}
		if size, k := binary.Uvarint(b); k <= 0 || size != uint64(want) {
			return fmt.Errorf("snappy of %d bytes for %d", size, want)
		}
	case compress.Codecs.Gzip:
		if want > n*deflateRatio {
			return fmt.Errorf("gzip of %d bytes for %d", n, want)
		}
	case compress.Codecs.Zstd:
		return w.checkZstd(at, at+n, want, most)
	}
	return nil
}

// checkZstd walks the frames and blocks without unpacking them.
func (w *window) checkZstd(at, end, want, most int64) error {
	var promised, stored, packed int64 // bytes by the frames' headers, by blocks that say their size, and blocks that do not
	for at < end {
		b, err := w.bytes(at, int(min(end-at, zstd.HeaderMaxSize)))
		if err != nil {
			return err
		}
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		at += int64(h.HeaderSize)
		if h.Skippable {
			at += int64(h.SkippableSize)
			continue
		}
		if h.HasFCS {
			if h.FrameContentSize > uint64(want-promised) {
				return fmt.Errorf("zstd of %d bytes for %d", h.FrameContentSize, want)
			}
			promised += int64(h.FrameContentSize)
		}
		for last := false; !last; {
			b, err := w.bytes(at, int(min(end-at, 3)))
			if err != nil {
				return err
			}
			if len(b) < 3 {
				return errors.New("zstd that ends too early")
			}
			head := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
			size := int64(head >> 3)
			last = head&1 == 1
			at += 3
			switch head >> 1 & 3 {
			case 0:
				stored += size
				at += size
			case 1: // one byte, repeated
				stored += size
				at++
			case 2:
				packed++
				at += size
			default:
				return errors.New("zstd with a block of unknown kind")
			}
		}
		if h.HasCheckSum {
			at += 4
		}
	}
	if stored > want || stored+packed*zstdBlock < want || packed*zstdBlock > most {
		return fmt.Errorf("zstd of %d bytes and %d blocks for %d", stored, packed, want)
	}
	return nil
}
