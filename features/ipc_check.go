package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// flat reads tables of a flatbuffer, in which Arrow writes its metadata. The library allocates by the lengths they claim and follows the same table as often as it is named,
// so the whole schema is walked first: places must lie within b, and tables and text may not come to more than b could hold.
type flat struct {
	b      []byte
	tables int // still allowed
	text   int // bytes still allowed
}

var errFlat = errors.New("metadata that points outside itself")

func newFlat(b []byte) *flat { return &flat{b, len(b)/4 + 1, 16*len(b) + 1<<16} }

func (f *flat) uint32(at int) (int, error) {
	if at < 0 || at > len(f.b)-4 {
		return 0, errFlat
	}
	return int(binary.LittleEndian.Uint32(f.b[at:])), nil
}

// follow returns where the offset at a place leads.
func (f *flat) follow(at int) (int, error) {
	n, err := f.uint32(at)
	if err != nil || n > len(f.b)-4-at {
		return 0, errFlat
	}
	return at + n, nil
}

// flatTable is a table of a flatbuffer, by where it and the list of its fields lie.
type flatTable struct{ at, fields, count int }

func (f *flat) table(at int) (t flatTable, err error) {
	if f.tables--; f.tables < 0 {
		return t, errors.New("metadata of more tables than it holds")
	}
	back, err := f.uint32(at)
	if err != nil {
		return t, err
	}
	fields := at - int(int32(back))
	if fields < 0 || fields > len(f.b)-4 {
		return t, errFlat
	}
	size := int(binary.LittleEndian.Uint16(f.b[fields:]))
	if size < 4 || size > len(f.b)-fields {
		return t, errFlat
	}
	return flatTable{at, fields, (size - 4) / 2}, nil
}

// field returns where a table's n-th field lies; false where it is left out.
func (f *flat) field(t flatTable, n int) (int, bool) {
	if n >= t.count {
		return 0, false
	}
	off := int(binary.LittleEndian.Uint16(f.b[t.fields+4+2*n:]))
	return t.at + off, off != 0
}

// within calls do with the table a field leads to, where there is one.
func (f *flat) within(t flatTable, n int, do func(flatTable) error) error {
	at, ok := f.field(t, n)
	if !ok {
		return nil
	}
	at, err := f.follow(at)
	if err != nil {
		return err
	}
	sub, err := f.table(at)
	if err != nil {
		return err
	}
	return do(sub)
}

// vector returns where a field's elements begin and how many there are, each of a size.
func (f *flat) vector(t flatTable, n, size int) (at, count int, err error) {
	at, ok := f.field(t, n)
	if !ok {
		return 0, 0, nil
	}
	if at, err = f.follow(at); err != nil {
		return 0, 0, err
	}
	if count, err = f.uint32(at); err != nil || count > (len(f.b)-at-4)/size {
		return 0, 0, errFlat
	}
	return at + 4, count, nil
}

func (f *flat) string(t flatTable, n int) error {
	_, count, err := f.vector(t, n, 1)
	if f.text -= count; f.text < 0 {
		return errors.New("metadata of more text than it holds")
	}
	return err
}

// all calls do with every table of a field that is a list of tables. The list counts against the tables before one of them is looked at.
func (f *flat) all(t flatTable, n int, do func(flatTable) error) error {
	at, count, err := f.vector(t, n, 4)
	if err != nil {
		return err
	}
	if count > f.tables {
		return errors.New("metadata of more tables than it holds")
	}
	for i := range count {
		at, err := f.follow(at + 4*i)
		if err != nil {
			return err
		}
		sub, err := f.table(at)
		if err != nil {
			return err
		}
		if err := do(sub); err != nil {
			return err
		}
	}
	return nil
}

// The fields of Arrow's tables, by their place in Message.fbs, Schema.fbs and File.fbs.
const (
	messageKind, messageHeader, messageBody         = 1, 2, 3
	footerSchema, footerDictionaries, footerRecords = 1, 2, 3
	schemaFields, schemaMetadata                    = 1, 2
	fieldName, fieldKind, fieldType                 = 0, 2, 3
	fieldDictionary, fieldChildren, fieldMetadata   = 4, 5, 6
	schemaMessage                                   = 1
	timestampType, timestampZone                    = 10, 1
	unionType, unionIDs                             = 14, 1
	blockBytes                                      = 24
)

func (f *flat) schema(t flatTable) error {
	if err := f.all(t, schemaFields, func(sub flatTable) error { return f.schemaField(sub, schemaDepth) }); err != nil {
		return err
	}
	return f.all(t, schemaMetadata, f.keyValue)
}

func (f *flat) keyValue(t flatTable) error {
	return errors.Join(f.string(t, 0), f.string(t, 1))
}

func (f *flat) schemaField(t flatTable, depth int) error {
	if depth == 0 {
		return errors.New("fields too deep within each other")
	}
	if err := f.string(t, fieldName); err != nil {
		return err
	}
	kind := byte(0)
	if at, ok := f.field(t, fieldKind); ok && at < len(f.b) {
		kind = f.b[at]
	}
	err := f.within(t, fieldType, func(sub flatTable) error {
		switch kind {
		case timestampType:
			return f.string(sub, timestampZone)
		case unionType:
			_, _, err := f.vector(sub, unionIDs, 4)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = f.within(t, fieldDictionary, func(sub flatTable) error {
		return f.within(sub, 1, func(flatTable) error { return nil })
	})
	if err != nil {
		return err
	}
	if err := f.all(t, fieldChildren, func(sub flatTable) error { return f.schemaField(sub, depth-1) }); err != nil {
		return err
	}
	return f.all(t, fieldMetadata, f.keyValue)
}

// checkMessage refuses a message's metadata that the library could not read safely, and returns the length of the body that follows it.
func checkMessage(b []byte) (body int64, err error) {
	f := newFlat(b)
	at, err := f.follow(0)
	if err != nil {
		return 0, err
	}
	t, err := f.table(at)
	if err != nil {
		return 0, err
	}
	if at, ok := f.field(t, messageBody); ok {
		if at > len(b)-8 {
			return 0, errFlat
		}
		if body = int64(binary.LittleEndian.Uint64(b[at:])); body < 0 {
			return 0, fmt.Errorf("a body of %d bytes", body)
		}
	}
	if at, ok := f.field(t, messageKind); ok && at < len(b) && b[at] == schemaMessage {
		return body, f.within(t, messageHeader, f.schema)
	}
	return body, nil
}

// checkIPCFooter refuses the footer of an Arrow file of a size whose blocks lie outside it or come to more than it.
func checkIPCFooter(r io.ReaderAt, size int64) error {
	const tail = 10 // the footer's length and the magic
	if size < tail {
		return errors.New("it ends too early")
	}
	b := make([]byte, tail)
	if _, err := r.ReadAt(b, size-tail); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if string(b[4:]) != string(ipc.Magic) || n > size-tail {
		return nil // the library refuses it
	}
	b = make([]byte, n)
	if _, err := r.ReadAt(b, size-tail-n); err != nil {
		return err
	}
	f := newFlat(b)
	at, err := f.follow(0)
	if err != nil {
		return err
	}
	t, err := f.table(at)
	if err != nil {
		return err
	}
	if err := f.within(t, footerSchema, f.schema); err != nil {
		return err
	}
	var sum int64
	for _, list := range []int{footerDictionaries, footerRecords} {
		at, count, err := f.vector(t, list, blockBytes)
		if err != nil {
			return err
		}
		for i := range count {
			block := b[at+blockBytes*i:]
			start, meta, body := int64(binary.LittleEndian.Uint64(block)), int64(int32(binary.LittleEndian.Uint32(block[8:]))), int64(binary.LittleEndian.Uint64(block[16:]))
			if start < 0 || meta < 8 || body < 0 || start > size || meta > size-start || body > size-start-meta {
				return fmt.Errorf("block %d of %d and %d bytes at %d, of a file of %d", i, meta, body, start, size)
			}
			if sum += meta + body; sum > size {
				return fmt.Errorf("blocks of more than the file's %d bytes", size)
			}
		}
	}
	return nil
}

// ipcMessages reads the messages of an Arrow stream of a known size; lengths beyond it are refused before anything is allocated for them.
type ipcMessages struct {
	r     io.Reader
	left  int64 // bytes not yet read
	alloc memory.Allocator
	held  *ipc.Message // valid until the next
}

// Retain and Release are for sharing, which this reader is not.
func (m *ipcMessages) Retain() {}

func (m *ipcMessages) Release() {
	if m.held != nil {
		m.held.Release()
		m.held = nil
	}
}

// Message returns the next message, io.EOF at the end of the stream.
func (m *ipcMessages) Message() (*ipc.Message, error) {
	const continuation = 1<<32 - 1 // before a length, since format 0.15
	n, err := m.length()
	if err == nil && n == continuation {
		if n, err = m.length(); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		return nil, fmt.Errorf("message's length: %w", err)
	}
	if n == 0 {
		return nil, io.EOF
	}
	if n > m.left {
		return nil, fmt.Errorf("a message of %d bytes where %d are left", n, m.left)
	}
	meta := make([]byte, n)
	if err := m.read(meta); err != nil {
		return nil, fmt.Errorf("message's metadata: %w", err)
	}
	size, err := checkMessage(meta)
	if err != nil {
		return nil, err
	}
	if size > m.left {
		return nil, fmt.Errorf("a body of %d bytes where %d are left", size, m.left)
	}
	body := memory.NewResizableBuffer(m.alloc)
	defer body.Release()
	body.Resize(int(size))
	if err := m.read(body.Bytes()); err != nil {
		return nil, fmt.Errorf("message's body: %w", err)
	}
	m.Release()
	m.held = ipc.NewMessage(memory.NewBufferBytes(meta), body)
	return m.held, nil
}

func (m *ipcMessages) length() (int64, error) {
	b := make([]byte, 4)
	n, err := io.ReadFull(m.r, b)
	m.left -= int64(n)
	return int64(binary.LittleEndian.Uint32(b)), err
}

// read fills b; an end before that is never the stream's.
func (m *ipcMessages) read(b []byte) error {
	n, err := io.ReadFull(m.r, b)
	m.left -= int64(n)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
