package features

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// pageGuard is a Parquet file that shows the library no byte of a column chunk before the chunk's page headers agree with the file. The library allocates by what they claim,
// partly where neither its allocator nor recover can step in, so a damaged count would end the process.
type pageGuard struct {
	*os.File
	path   string
	size   int64
	most   int64                     // bytes, of one allocation and of all pages held at once
	chunks map[int64][]*guardedChunk // not yet checked, by where they begin
	pages  map[int]int64             // leaf → bytes of its dictionary and largest page so far
	held   int64                     // sum of pages
	fault  error
}

// guardedChunk is a column's part of a row group.
type guardedChunk struct {
	column     string
	group      int
	leaf       int
	descr      *schema.Column
	codec      compress.Compression
	start, end int64 // in the file
	values     int64
}

func newPageGuard(f *os.File, path string, size int64) *pageGuard {
	return &pageGuard{File: f, path: path, size: size, most: int64(boundedFor(nil, size).most), chunks: map[int64][]*guardedChunk{}, pages: map[int]int64{}}
}

// ReadAt checks a chunk when its first byte is asked for, which every reader of a chunk asks for first.
func (g *pageGuard) ReadAt(b []byte, at int64) (int, error) {
	if g.fault != nil {
		return 0, g.fault
	}
	for _, c := range g.chunks[at] {
		if err := g.check(c); err != nil {
			g.fault = &DataError{File: g.path, Reason: fmt.Sprintf("corrupt: column %q, row group %d: %v", c.column, c.group, err)}
			return 0, g.fault
		}
	}
	delete(g.chunks, at)
	return g.File.ReadAt(b, at)
}

// checkFooter is to be called before the library reads the footer.
func (g *pageGuard) checkFooter() error {
	const tail = 8 // the footer's length and the magic
	if g.size < tail {
		return errors.New("it ends too early")
	}
	b := make([]byte, tail)
	if _, err := g.File.ReadAt(b, g.size-tail); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if string(b[4:]) != "PAR1" || n > g.size-tail {
		return nil // the library refuses it
	}
	b = make([]byte, n)
	if _, err := g.File.ReadAt(b, g.size-tail-n); err != nil {
		return err
	}
	return checkFooter(b)
}

// checkStoredSchema refuses the Arrow schema that a footer may carry as the first message of a stream, where the library could not read it safely.
func checkStoredSchema(m *metadata.FileMetaData) error {
	text := m.KeyValueMetadata().FindValue("ARROW:schema")
	if text == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if len(b) == 0 || err != nil {
		if b, err = base64.RawStdEncoding.DecodeString(*text); err != nil {
			return err
		}
	}
	messages := &ipcMessages{r: bytes.NewReader(b), left: int64(len(b)), alloc: memory.NewGoAllocator()}
	defer messages.Release()
	_, err = messages.Message()
	return err
}

// add has a column's chunks checked when they are first read.
func (g *pageGuard) add(column string, leaf int, f *file.Reader) error {
	for i := range f.NumRowGroups() {
		group := f.MetaData().RowGroup(i)
		chunk, err := group.ColumnChunk(leaf)
		if err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
		for _, e := range chunk.Encodings() {
			if e == parquet.Encoding(byteStreamSplit) {
				return errStreamSplit
			}
		}
		c := &guardedChunk{column: column, group: i, leaf: leaf, descr: f.MetaData().Schema.Column(leaf), codec: chunk.Compression(), values: chunk.NumValues(), start: chunk.DataPageOffset()}
		if at := chunk.DictionaryPageOffset(); chunk.HasDictionaryPage() && at > 0 && at < c.start {
			c.start = at
		}
		size := chunk.TotalCompressedSize()
		if c.start < 0 || size < 0 || size > g.size-c.start {
			return fmt.Errorf("row group %d: %d bytes at %d of a file of %d", i, size, c.start, g.size)
		}
		c.end = c.start + size
		if f.WriterVersion().LessThan(metadata.Parquet816FixedVersion) {
			c.end = min(c.end+100, g.size) // the sizes of these writers leave out a dictionary's header; so does the library's allowance
		}
		if rows := group.NumRows(); c.values < 0 || c.descr.MaxRepetitionLevel() == 0 && c.values > rows {
			return fmt.Errorf("row group %d: %d values in %d rows", i, c.values, rows)
		}
		g.chunks[c.start] = append(g.chunks[c.start], c)
	}
	return nil
}

// errStreamSplit refuses what the library would read as no values at all.
var errStreamSplit = errors.New("encoding BYTE_STREAM_SPLIT is not read; write the file without it")

// check walks the headers of a chunk's pages as the library will; a fault of a codec is a panic.
func (g *pageGuard) check(c *guardedChunk) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	w := &window{file: g.File, end: c.end}
	var dictionary, largest int64
	for at, seen := c.start, int64(0); seen < c.values; {
		if at >= c.end {
			return fmt.Errorf("pages of %d values for %d", seen, c.values)
		}
		h, n, err := w.pageHeader(at)
		if err != nil {
			return fmt.Errorf("page header at %d: %w", at, err)
		}
		at += int64(n)
		if err := g.checkPage(c, w, h, at, c.values-seen); err != nil {
			return fmt.Errorf("page at %d: %w", at, err)
		}
		at += int64(h.packed)
		if h.kind == dictionaryPage {
			dictionary = max(dictionary, int64(h.unpacked))
			continue
		}
		largest = max(largest, int64(h.unpacked))
		seen += int64(h.values)
	}
	if size := dictionary + largest; size > g.pages[c.leaf] {
		g.held += size - g.pages[c.leaf]
		g.pages[c.leaf] = size
	}
	if g.held > g.most {
		return fmt.Errorf("pages of %d bytes to be held at once, of a file of %d", g.held, g.size)
	}
	return nil
}

// checkPage holds a page whose content begins at a place against its chunk, which has so many values left.
func (g *pageGuard) checkPage(c *guardedChunk, w *window, h pageHeader, at, left int64) error {
	packed, unpacked := int64(h.packed), int64(h.unpacked)
	switch {
	case packed > c.end-at:
		return fmt.Errorf("%d bytes where %d are left", packed, c.end-at)
	case unpacked > g.most:
		return fmt.Errorf("%d bytes unpacked, of a file of %d", unpacked, g.size)
	case h.encoding == byteStreamSplit && h.kind != dictionaryPage:
		return errStreamSplit
	case h.kind == dictionaryPage:
		if size := valueBytes(c.descr); int64(h.values) > unpacked/size {
			return fmt.Errorf("a dictionary of %d values in %d bytes", h.values, unpacked)
		}
	case int64(h.values) > left:
		return fmt.Errorf("%d values where %d are left", h.values, left)
	}
	levels := int64(0)
	whole := c.codec == compress.Codecs.Uncompressed
	if h.kind == dataPageV2 {
		levels = int64(h.defLevels) + int64(h.repLevels)
		whole = whole || !h.isPacked
	}
	switch {
	case levels > min(packed, unpacked):
		return fmt.Errorf("%d bytes of levels in a page of %d", levels, unpacked)
	case whole && packed != unpacked:
		return fmt.Errorf("%d bytes for %d, with nothing compressed", packed, unpacked)
	case !whole:
		if err := w.checkPacked(c.codec, at+levels, packed-levels, unpacked-levels, g.most); err != nil {
			return err
		}
	}
	if h.kind == dictionaryPage || h.encoding < deltaBinaryPacked || h.encoding > deltaBytes {
		return nil
	}
	b := make([]byte, packed)
	if _, err := g.File.ReadAt(b, at); err != nil {
		return err
	}
	b = b[levels:]
	if !whole {
		codec, err := compress.GetCodec(c.codec)
		if err != nil {
			return err
		}
		b = codec.Decode(make([]byte, unpacked-levels), b)
	}
	if h.kind == dataPage {
		var err error
		if b, err = withoutLevels(b, c.descr, h); err != nil {
			return err
		}
	}
	return checkDelta(h.encoding, b, int64(h.values), g.most)
}

// withoutLevels returns a dataPage's values.
func withoutLevels(b []byte, descr *schema.Column, h pageHeader) ([]byte, error) {
	for _, l := range []struct {
		most     int16
		encoding int32
	}{{descr.MaxRepetitionLevel(), h.repEncoding}, {descr.MaxDefinitionLevel(), h.defEncoding}} {
		if l.most <= 0 {
			continue
		}
		size := int64(math.MaxInt64)
		switch {
		case l.encoding == levelsRLE && len(b) >= 4:
			size = 4 + int64(binary.LittleEndian.Uint32(b))
		case l.encoding == levelsBitPacked:
			size = (int64(h.values)*int64(bitLength(l.most)) + 7) / 8
		}
		if size > int64(len(b)) {
			return nil, errors.New("no whole levels")
		}
		b = b[size:]
	}
	return b, nil
}

func bitLength(v int16) (n int) {
	for ; v > 0; v >>= 1 {
		n++
	}
	return n
}

// valueBytes is the least a value takes in a dictionary.
func valueBytes(c *schema.Column) int64 {
	switch c.PhysicalType() {
	case parquet.Types.Int32, parquet.Types.Float, parquet.Types.ByteArray:
		return 4
	case parquet.Types.Int64, parquet.Types.Double:
		return 8
	case parquet.Types.Int96:
		return 12
	case parquet.Types.FixedLenByteArray:
		return max(1, int64(c.TypeLength()))
	}
	return 1
}

// window reads small pieces of a file in rising order, a few kilobytes at a time.
type window struct {
	file io.ReaderAt
	end  int64 // nothing is read from there on
	at   int64 // of b in the file
	b    []byte
}

// windowBytes holds a page header with its statistics and, in most files, the next few as well; headerBytes is the longest header the library reads.
const (
	windowBytes = 4 << 10
	headerBytes = 4 << 20
)

// bytes returns n bytes from a place, fewer at the end.
func (w *window) bytes(at int64, n int) ([]byte, error) {
	n = int(max(0, min(int64(n), w.end-at)))
	if at < w.at || at+int64(n) > w.at+int64(len(w.b)) {
		size := int(max(0, min(int64(max(n, windowBytes)), w.end-at)))
		if cap(w.b) < size {
			w.b = make([]byte, size)
		}
		w.at, w.b = at, w.b[:size]
		if _, err := w.file.ReadAt(w.b, at); err != nil {
			w.b = w.b[:0]
			return nil, err
		}
	}
	return w.b[at-w.at:][:n], nil
}

func (w *window) pageHeader(at int64) (pageHeader, int, error) {
	for size := 256; ; size *= 4 {
		b, err := w.bytes(at, size)
		if err != nil {
			return pageHeader{}, 0, err
		}
		h, n, err := readPageHeader(b)
		if errors.Is(err, errCompactShort) && len(b) == size && size < headerBytes {
			continue
		}
		return h, n, err
	}
}
