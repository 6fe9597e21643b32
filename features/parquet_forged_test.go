package features

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// compactInts writes a struct whose fields 1, 2, … are numbers of 32 bits, and whose further ones are given as bytes: field n → head with type, value.
func compactInts(numbers []int64, further ...[]byte) []byte {
	var b []byte
	for _, v := range numbers {
		b = binary.AppendVarint(append(b, 1<<4|compactI32), v)
	}
	return append(slices.Concat(append([][]byte{b}, further...)...), 0)
}

// pageOf writes a page of a kind: values, encoding (and for a dataPageV2 nulls, rows, encoding, levels' bytes).
func pageOf(kind, unpacked, packed int64, header []int64, body []byte) []byte {
	skip := map[int64]byte{dataPage: 2, dictionaryPage: 4, dataPageV2: 5}[kind] // field 5, 7, 8 after 3
	return append(compactInts([]int64{kind, unpacked, packed}, []byte{skip<<4 | compactStruct}, compactInts(header)), body...)
}

func deltaHead(block, minis, total uint64, first int64) []byte {
	b := binary.AppendUvarint(nil, block)
	b = binary.AppendUvarint(b, minis)
	b = binary.AppendUvarint(b, total)
	return binary.AppendVarint(b, first)
}

// TestForgedPages holds one column chunk of three strings against each thing a page header can claim.
func TestForgedPages(t *testing.T) {
	column := func(node *schema.PrimitiveNode, def, rep int16) *schema.Column {
		return schema.NewColumn(node, def, rep)
	}
	text := column(schema.NewByteArrayNode("a", parquet.Repetitions.Required, -1), 0, 0)
	optional := column(schema.NewByteArrayNode("a", parquet.Repetitions.Optional, -1), 1, 0)
	long := column(schema.NewInt64Node("a", parquet.Repetitions.Required, -1), 0, 0)
	plain := []byte("\x01\x00\x00\x00x\x01\x00\x00\x00y\x01\x00\x00\x00z")
	f := func(name string, c *schema.Column, codec compress.Compression, want string, pages ...[]byte) {
		t.Helper()
		b := slices.Concat(pages...)
		path := written(t, "f.parquet", append([]byte("PAR1"), b...))
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		g := newPageGuard(file, path, int64(len(b))+4)
		g.chunks[4] = []*guardedChunk{{column: "a", descr: c, codec: codec, start: 4, end: g.size, values: 3}}
		_, err = g.ReadAt(make([]byte, 1), 4)
		if want == "" && err != nil || want != "" && (err == nil || !IsInput(err) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
		if _, again := g.ReadAt(make([]byte, 1), 0); (again != nil) != (want != "") {
			t.Errorf("%s: then %v", name, again)
		}
	}
	none, snappy, gzip, zstd := compress.Codecs.Uncompressed, compress.Codecs.Snappy, compress.Codecs.Gzip, compress.Codecs.Zstd
	pack := func(c compress.Compression, b []byte) []byte {
		codec, err := compress.GetCodec(c)
		if err != nil {
			t.Fatal(err)
		}
		return codec.Encode(make([]byte, codec.CompressBound(int64(len(b)))), b)
	}
	data := func(kind, unpacked, values, encoding int64, body []byte) []byte {
		header := []int64{values, encoding, levelsRLE, levelsRLE}
		if kind == dataPageV2 {
			header = []int64{values, 0, values, encoding, 0, 0}
		}
		return pageOf(kind, unpacked, int64(len(body)), header, body)
	}
	for _, kind := range []int64{dataPage, dataPageV2} {
		f("whole", text, none, "", data(kind, 15, 3, 0, plain))
		f("two pages", text, none, "", data(kind, 5, 1, 0, plain[:5]), data(kind, 10, 2, 0, plain[5:]))
		f("one missing", text, none, "pages of 1 values for 3", data(kind, 5, 1, 0, plain[:5]))
		f("more values than the chunk's", text, none, "4 values where 3 are left", data(kind, 15, 4, 0, plain))
		f("no values, then more", text, none, "2147483647 values where 3 are left", data(kind, 0, 0, 0, nil), data(kind, 15, 1<<31-1, 0, plain))
		f("uncompressed, but longer", text, none, "15 bytes for 16", data(kind, 16, 3, 0, plain))
		f("stream split", text, none, "BYTE_STREAM_SPLIT", data(kind, 15, 3, byteStreamSplit, plain))
		f("unpacks to 2 GiB", text, gzip, "2147483647 bytes unpacked", data(kind, 1<<31-1, 3, 0, pack(gzip, plain)))
		for _, c := range []compress.Compression{snappy, gzip, zstd} {
			f("packed", text, c, "", data(kind, 15, 3, 0, pack(c, plain)))
		}
		f("snappy of other length", text, snappy, "snappy of 15 bytes for 14", data(kind, 14, 3, 0, pack(snappy, plain)))
		f("zstd of 60 GiB", text, zstd, "zstd of 64424509440 bytes for 15", data(kind, 15, 3, 0, append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, binary.LittleEndian.AppendUint64(nil, 60<<30)...)))
		repeated := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00}
		for range 9 {
			repeated = append(repeated, 0x02, 0x00, 0x10, 'x') // 128 KiB of x
		}
		f("zstd that repeats a byte", text, zstd, "zstd of 1179648 bytes", data(kind, 15, 3, 0, append(repeated, 1, 0, 0)))
		f("zstd of one block for more", text, zstd, "1 blocks for 1000000", data(kind, 1e6, 3, 0, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x05, 0, 0}))
		f("gzip for more", text, gzip, "for 1000000", data(kind, 1e6, 3, 0, pack(gzip, plain)))
		f("zstd cut", text, zstd, "too early", data(kind, 15, 3, 0, repeated))

		f("delta", long, none, "", data(kind, 5, 3, deltaBinaryPacked, deltaHead(128, 4, 0, 0)))
		f("delta packed", long, zstd, "", data(kind, 5, 3, deltaBinaryPacked, pack(zstd, deltaHead(128, 4, 0, 0))))
		for encoding := int64(deltaBinaryPacked); encoding <= deltaBytes; encoding++ {
			for _, c := range []compress.Compression{none, snappy, gzip, zstd} {
				forge := func(want string, block, minis, total uint64) {
					t.Helper()
					b := deltaHead(block, minis, total, 0)
					body := b
					if c != none {
						body = pack(c, b)
					}
					f("delta", text, c, want, data(kind, int64(len(b)), 3, encoding, body))
				}
				forge("4 delta-encoded numbers in a page of 3", 128, 4, 4)
				forge("18446744073709551615 delta-encoded numbers", 128, 4, 1<<64-1)
				forge("blocks of 1099511627776 in 1 parts", 1<<40, 1, 1)
				forge("blocks of 128 in 0 parts", 128, 0, 1)
				forge("blocks of 128 in 128 parts", 128, 128, 1)
				forge("blocks of 0 in 4 parts", 0, 4, 1)
			}
		}
		second := append(deltaHead(128, 4, 1, 0), deltaHead(128, 4, 1<<40, 0)...)
		f("the suffixes' count", text, none, "1099511627776 delta-encoded numbers", data(kind, int64(len(second)), 3, deltaBytes, second))
		negative := append(deltaHead(128, 4, 1, -1), deltaHead(128, 4, 1, 0)...)
		f("negative prefix", text, none, "prefixes of -1 bytes", data(kind, int64(len(negative)), 3, deltaBytes, negative))
	}
	b := append([]byte{2, 0, 0, 0, 6, 1}, deltaHead(128, 4, 1<<40, 0)...)
	f("after levels", optional, none, "1099511627776 delta-encoded", pageOf(dataPage, int64(len(b)), int64(len(b)), []int64{3, deltaLengthBytes, levelsRLE, levelsRLE}, b))
	b[0] = 200
	f("levels too long", optional, none, "no whole levels", pageOf(dataPage, int64(len(b)), int64(len(b)), []int64{3, deltaLengthBytes, levelsRLE, levelsRLE}, b))
	f("levels longer than the page", text, none, "levels in a page of 15", pageOf(dataPageV2, 15, 15, []int64{3, 0, 3, 0, 9, 7}, plain))
	f("longer than the chunk", text, none, "where 15 are left", pageOf(dataPage, 16, 16, []int64{3, 0, levelsRLE, levelsRLE}, plain))
	f("dictionary", text, none, "a dictionary of 2147483647 values in 15 bytes", pageOf(dictionaryPage, 15, 15, []int64{1<<31 - 1, 0}, plain))
	f("dictionary of longs", long, none, "a dictionary of 3 values in 16 bytes", pageOf(dictionaryPage, 16, 16, []int64{3, 0}, append(plain, 0)))
	f("index page", text, none, "kind 1", pageOf(1, 15, 15, []int64{3, 0, levelsRLE, levelsRLE}, plain))
	f("negative", text, none, "negative length", pageOf(dataPage, 15, -15, []int64{3, 0, levelsRLE, levelsRLE}, plain))
	f("zeros", text, none, "without its header", make([]byte, 300))
	f("nothing but a list", text, none, "too early", []byte{0x99, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f})
}

// TestPrefixes: a page whose strings each repeat all of the one before is refused where they come to more than most.
func TestPrefixes(t *testing.T) {
	b := deltaHead(128, 4, 129, 0)
	b = append(binary.AppendVarint(b, 1000), 0, 0, 0, 0) // each prefix is 1000 longer than the last
	b = append(b, deltaHead(128, 4, 129, 1)...)
	const sum = 1000 * 128 * 129 / 2
	if err := checkDelta(deltaBytes, b, 129, sum); err != nil {
		t.Error(err)
	}
	if err := checkDelta(deltaBytes, b, 129, sum-1); err == nil || !strings.Contains(err.Error(), "prefixes of") {
		t.Error(err)
	}
	if err := checkDelta(deltaBytes, b[:len(b)-12], 129, sum); err == nil {
		t.Error("no error for a page cut")
	}
}

func TestForgedFooter(t *testing.T) {
	// element writes a schema element: name, children.
	element := func(children int64) []byte {
		return binary.AppendVarint([]byte{4<<4 | compactBinary, 1, 'a', 1<<4 | compactI32}, children)
	}
	f := func(want string, size int, elements ...int64) {
		t.Helper()
		b := []byte{1<<4 | compactI32, 4, 1<<4 | compactList, 0xf0 | compactStruct}
		b = binary.AppendUvarint(b, uint64(size))
		for _, e := range elements {
			b = append(append(b, element(e)...), 0)
		}
		b = append(b, 0)
		err := checkFooter(b)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d elements %v: %v; want %q", size, elements, err, want)
		}
		path := written(t, "f.parquet", append(binary.LittleEndian.AppendUint32(append([]byte("PAR1"), b...), uint32(len(b))), "PAR1"...))
		if _, err := Open(mustSchema(t, "fields: [{name: a}]"), []string{path}, ReadOptions{}); err == nil || !IsInput(err) {
			t.Error(err)
		}
	}
	f("", 3, 2, 0, 0)
	f("", 4, 1, 2, 0, 0)
	f("too early", 1<<27, 2, 0, 0)
	f("a schema of 3 elements with a group of 2147483647", 3, 1<<31-1, 0, 0)
	f("a schema of 3 elements with a group of 2", 3, 1, 2, 0)
	f("a schema of 3 elements with a group of -1", 3, -1, 0, 0)
	deep := slices.Repeat([]int64{1}, 1000)
	f("too many levels", 1001, append(deep, 0)...)
	if err := checkFooter(append(slices.Repeat([]byte{1<<4 | compactStruct}, 1<<20), 0)); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Error(err)
	}
	if err := checkFooter(append([]byte{9<<4 | compactList}, slices.Repeat([]byte{1<<4 | compactList}, 1<<20)...)); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Error(err)
	}
}

// FuzzPageHeader reads a page header, what follows as a delta-encoded page, and the whole as a footer; nothing may panic or run past its bytes.
func FuzzPageHeader(f *testing.F) {
	for _, path := range append(deltaFiles(f), "testdata/delta_forged.parquet") {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[4:min(len(b), 2000)])
		if size := int(binary.LittleEndian.Uint32(b[len(b)-8:])); strings.Contains(filepath.Base(path), "forged") {
			f.Add(b[len(b)-8-size : len(b)-8])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkFooter(b)
		h, n, err := readPageHeader(b)
		if err != nil {
			return
		}
		if n <= 0 || n > len(b) || min(h.unpacked, h.packed, h.values, h.defLevels, h.repLevels) < 0 {
			t.Fatalf("header %+v of %d bytes of %d", h, n, len(b))
		}
		if same, m, err := readPageHeader(b[:n]); err != nil || m != n || same != h {
			t.Fatalf("header %+v, then %+v of %d bytes, %v", h, same, m, err)
		}
		if _, _, err := readPageHeader(b[:n-1]); err == nil {
			t.Fatal("no error for a header cut")
		}
		checkDelta(h.encoding, b[n:], int64(h.values), 1<<20)
	})
}

// FuzzDelta wants from the walk over delta-encoded numbers an error or every one of them.
func FuzzDelta(f *testing.F) {
	f.Add(append(deltaHead(128, 4, 1, 0), deltaHead(128, 4, 1, 1)...), int64(3))
	f.Add(append(deltaHead(128, 4, 0, 0), deltaHead(128, 4, 0, 0)...), int64(126609))
	f.Fuzz(func(t *testing.T, b []byte, values int64) {
		if values < 0 || values > 1<<20 {
			return
		}
		d, err := readDelta(b, values)
		if err != nil {
			return
		}
		count := int64(0)
		if err := d.each(func(int32) error { count++; return nil }); err == nil && count != d.total {
			t.Fatalf("%d of %d numbers", count, d.total)
		}
		checkDelta(deltaBytes, b, values, 1<<30)
	})
}
