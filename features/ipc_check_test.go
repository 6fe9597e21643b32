package features

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// dictionarySeed is a record with a dictionary, a time zone and a union: all that metadata may hold lists and text of.
func dictionarySeed(t testing.TB) arrow.Record {
	words := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	zone := &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Asia/Tokyo"}
	meta := arrow.NewMetadata([]string{"k"}, []string{"v"})
	return recordOf(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: words, Nullable: true, Metadata: meta}, {Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "l", Type: textList, Nullable: true}, {Name: "s", Type: arrow.StructOf(arrow.Field{Name: "z", Type: zone})}}, &meta),
		`[{"a": "x", "n": 1, "l": ["p"], "s": {"z": "2020-01-02 03:04:05"}}, {"a": "y", "n": 2, "l": null, "s": {"z": "2020-01-02 03:04:05"}}, {"a": "x", "n": 3, "l": ["q", "p"], "s": {"z": "2020-01-02 03:04:05"}}]`)
}

// ipcSeeds writes a record as an Arrow file and as a stream, packed by each codec and not at all.
func ipcSeeds(t testing.TB, rec arrow.Record) [][]byte {
	t.Helper()
	var seeds [][]byte
	for _, o := range [][]ipc.Option{nil, {ipc.WithZstd()}, {ipc.WithLZ4()}} {
		path := filepath.Join(t.TempDir(), "f")
		o = append(o, ipc.WithSchema(rec.Schema()))
		for _, file := range []bool{true, false} {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w := interface {
				Write(arrow.Record) error
				Close() error
			}(ipc.NewWriter(f, o...))
			if file {
				if w, err = ipc.NewFileWriter(f, o...); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := w.Write(rec); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f.Close()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seeds = append(seeds, b)
		}
	}
	return seeds
}

func TestIPCDictionaries(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	rec := dictionarySeed(t)
	defer rec.Release()
	for _, b := range ipcSeeds(t, rec) {
		rows, _, err := rowsOf(t, mustSchema(t, "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]"), ReadOptions{Allocator: alloc}, written(t, "f.arrow", b))
		if want := "x 1 p;y 2 ~;x 3 q|p"; err != nil || strings.Join(rows, ";") != want+";"+want {
			t.Errorf("%q, %v", rows, err)
		}
	}
}

// must is the value of a step that cannot fail on a file just written.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestForgedIPC overwrites one length of a file or a stream after the other.
func TestForgedIPC(t *testing.T) {
	rec := dictionarySeed(t)
	defer rec.Release()
	seeds := ipcSeeds(t, rec)
	s := mustSchema(t, "fields: [{name: a}]")
	f := func(name, want string, b []byte, at, size int, value uint64) {
		t.Helper()
		b = slices.Clone(b)
		if at < 0 {
			t.Fatal(name)
		}
		copy(b[at:at+size], binary.LittleEndian.AppendUint64(nil, value))
		_, _, err := rowsOf(t, s, ReadOptions{SkipBad: 1 << 40}, written(t, "f.arrow", b))
		if err == nil || !IsInput(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
	place := must[int](t)

	stream := seeds[1]
	size := int(binary.LittleEndian.Uint32(stream[4:]))
	f("a schema of 2 GiB", "a message of 2147483647 bytes where", stream, 4, 4, 1<<31-1)
	f("a schema of more than 2 GiB", "a message of 4294967294 bytes where", stream, 4, 4, 1<<32-2)
	f("an old stream's", "a message of 2147483647 bytes where", stream, 0, 4, 1<<31-1)
	second := 8 + size // the dictionary
	f("the second message", "a message of 2147483647 bytes where", stream, second+4, 4, 1<<31-1)
	for _, start := range []int{0, second} {
		m := newFlat(stream[start+8:][:binary.LittleEndian.Uint32(stream[start+4:])])
		table := must[flatTable](t)(m.table(place(m.follow(0))))
		if at, ok := m.field(table, messageBody); ok {
			f("a body of 1 TiB", "a body of 1099511627776 bytes where", stream, start+8+at, 8, 1<<40)
			f("a negative body", "a body of -1 bytes", stream, start+8+at, 8, 1<<64-1)
		} else if start > 0 {
			t.Error("no body's length to forge")
		}
	}
	whole := seeds[0]
	footer := len(whole) - 10 - int(binary.LittleEndian.Uint32(whole[len(whole)-10:]))
	for _, c := range []struct {
		name  string
		from  int
		root  int // the field that leads to the schema
		bytes []byte
	}{{"stream", 8, messageHeader, stream[:8+size]}, {"file", footer, footerSchema, whole[:len(whole)-10]}} {
		b := map[bool][]byte{true: stream, false: whole}[c.name == "stream"]
		m := newFlat(c.bytes[c.from:])
		root := must[flatTable](t)(m.table(place(m.follow(0))))
		err := m.within(root, c.root, func(schema flatTable) error {
			forge := func(name, want string, at int) {
				t.Helper()
				for _, count := range []uint64{1<<32 - 1, 1 << 27} {
					f(c.name+" "+name, want, b, c.from+at, 4, count)
				}
			}
			fields, n, err := m.vector(schema, schemaFields, 4)
			if err != nil || n != 4 {
				t.Fatal(n, err)
			}
			forge("fields", errFlat.Error(), fields-4)
			forge("a field's place", errFlat.Error(), fields)
			at, _ := m.field(schema, schemaMetadata)
			forge("metadata", errFlat.Error(), place(m.follow(at)))
			a := must[flatTable](t)(m.table(place(m.follow(fields))))
			for _, n := range []int{fieldName, fieldMetadata} {
				at, _ := m.field(a, n)
				forge("a field's", errFlat.Error(), place(m.follow(at)))
			}
			l := must[flatTable](t)(m.table(place(m.follow(fields + 8))))
			at, _ = m.field(l, fieldChildren)
			forge("children", errFlat.Error(), place(m.follow(at)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	m := newFlat(whole[footer : len(whole)-10])
	root := must[flatTable](t)(m.table(place(m.follow(0))))
	for _, list := range []int{footerDictionaries, footerRecords} {
		at, n, err := m.vector(root, list, blockBytes)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		f("blocks", errFlat.Error(), whole, footer+at-4, 4, 1<<32-1)
		f("a block's place", "of a file of", whole, footer+at, 8, 1<<40)
		f("a negative place", "of a file of", whole, footer+at, 8, 1<<63)
		f("a block's metadata", "of a file of", whole, footer+at+8, 4, 1<<31-8)
		f("a block's body", "of a file of", whole, footer+at+16, 8, 1<<40)
		f("a block's negative body", "of a file of", whole, footer+at+16, 8, 1<<64-8)
	}
	f("the footer", "not a whole Arrow file", whole, len(whole)-10, 4, 1<<32-1)
}

// TestSharedFields: a schema whose fields all name the same children twice, level by level, would unfold to 2^40 fields.
func TestSharedFields(t *testing.T) {
	// Written from the end: a table's list of fields, the table, its list of children; places are relative, so each level is laid before the one it names.
	const levels = 40
	var b []byte
	u32 := func(v int) { b = binary.LittleEndian.AppendUint32(b, uint32(v)) }
	// Each level: vtable of 7 fields where only children (5) is set, table of 8 bytes, vector of two places.
	for i := range levels {
		vtable := len(b)
		for _, v := range []uint16{18, 8, 0, 0, 0, 0, 0, 4, 0, 0} { // size, table's size, fields 0 to 6, padding
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		table := len(b)
		u32(table - vtable)
		u32(4) // to the vector
		if i == levels-1 {
			u32(0)
			break
		}
		u32(2)
		next := len(b) + 8 + 20 // the next level's table, after both places
		u32(next - len(b))
		u32(next - len(b))
	}
	m := newFlat(b)
	table, err := m.table(20)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.schemaField(table, schemaDepth); err == nil || !strings.Contains(err.Error(), "more tables than it holds") {
		t.Error(err)
	}
	if m = newFlat(b); m.schemaField(table, levels-1) == nil {
		t.Error("no error for fields too deep")
	}
}

// TestStoredSchema: the Arrow schema within a Parquet file is a message too.
func TestStoredSchema(t *testing.T) {
	rec := columnarSeed(t)
	defer rec.Release()
	for _, forged := range []bool{false, true} {
		b := ipcSeeds(t, rec)[1]
		if forged {
			b = binary.LittleEndian.AppendUint32([]byte("\xff\xff\xff\xff"), 1<<31-1)
		}
		path := filepath.Join(t.TempDir(), "f.parquet")
		file := must[*os.File](t)(os.Create(path))
		w := must[*pqarrow.FileWriter](t)(pqarrow.NewFileWriter(rec.Schema(), file, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps()))
		if err := w.AppendKeyValueMetadata("ARROW:schema", base64.StdEncoding.EncodeToString(b)); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		_, _, err := rowsOf(t, mustSchema(t, "fields: [{name: a}]"), ReadOptions{}, path)
		if forged && (err == nil || !IsInput(err) || !strings.Contains(err.Error(), "a message of 2147483647 bytes")) || !forged && err != nil {
			t.Error(err)
		}
	}
}

// TestBoundedSum: what is freed counts no longer. A file's dictionaries, read when it is opened, stay.
func TestBoundedSum(t *testing.T) {
	rec := dictionarySeed(t)
	defer rec.Release()
	for k, b := range ipcSeeds(t, rec) {
		r := must[Reader](t)(Open(mustSchema(t, "fields: [{name: a}]"), []string{written(t, "f.arrow", b)}, ReadOptions{}))
		live := &r.(*reader).current.(*columnFile).source.(*ipcColumns).live
		opened := live.Load()
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			rec.Release()
		}
		if err := r.Close(); err != nil || live.Load() != opened || (opened == 0) != (k%2 == 1) {
			t.Error(live.Load(), opened, err)
		}
	}
	held := bounded{Allocator: memory.NewGoAllocator(), most: 100, live: new(atomic.Int64)}
	a := held.Allocate(50)
	a = held.Reallocate(100, a)
	if n := held.live.Load(); n != 100 {
		t.Error(n)
	}
	var err error
	func() {
		defer recovered("f", &err)
		held.Allocate(1)
	}()
	if err == nil || held.live.Load() != 100 {
		t.Error(err, held.live.Load())
	}
	held.Free(a)
	if n := held.live.Load(); n != 0 {
		t.Error(n)
	}
}

func FuzzIPC(f *testing.F) {
	s := mustSchema(f, "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]")
	for _, seed := range []func(testing.TB) arrow.Record{columnarSeed, dictionarySeed} {
		rec := seed(f)
		defer rec.Release()
		for _, b := range ipcSeeds(f, rec) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { readDamaged(t, s, written(t, "f.arrow", b)) })
}
