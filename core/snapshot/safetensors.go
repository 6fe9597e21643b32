package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// The safetensors form: eight bytes of header length, a JSON header padded with spaces to a multiple of eight, then the tensors' data
// end to end. https://huggingface.co/docs/safetensors
const (
	metadataKey = "__metadata__"
	maxHeader   = 100_000_000 // the reference reader's limit
)

type tensorInfo struct {
	DType   string    `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets *[2]int64 `json:"data_offsets"`
}

// header encodes the length word and the header of tensors, checking that they can be read back.
func header(tensors []Tensor, meta map[string]string) ([]byte, error) {
	return headerOf(tensors, meta, Tensor.bytes)
}

// headerOf is header for tensors whose data has size bytes.
func headerOf(tensors []Tensor, meta map[string]string, size func(Tensor) int64) ([]byte, error) {
	h := make(map[string]any, len(tensors)+1)
	if len(meta) > 0 {
		for k, v := range meta {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %q is not UTF-8", k)
			}
		}
		h[metadataKey] = meta
	}
	var offset int64
	for _, t := range tensors {
		if _, ok := h[t.Name]; ok || t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("tensor name %q is used twice, reserved or not UTF-8", t.Name)
		}
		n := size(t)
		if err := checkShape(t.Name, t.DType, t.Shape, n); err != nil {
			return nil, err
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		h[t.Name] = tensorInfo{t.DType, shape, &[2]int64{offset, offset + n}}
		offset += n
	}
	j, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the header: %w", err)
	}
	for len(j)%8 != 0 {
		j = append(j, ' ')
	}
	if len(j) > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, cannot exceed %d", len(j), maxHeader)
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(j))), j...), nil
}

func checkShape(name, dtype string, shape []int, bytes int64) error {
	size, ok := dtypeSize(dtype)
	if !ok {
		return fmt.Errorf("tensor %s has type %q, want F32, F64, U64, I64, U32, F16, I8 or U8", name, dtype)
	}
	want := int64(size)
	for _, d := range shape {
		if d < 0 || d > 0 && want > math.MaxInt64/int64(d) {
			return fmt.Errorf("tensor %s has shape %v", name, shape)
		}
		want *= int64(d)
	}
	if want != bytes {
		return fmt.Errorf("tensor %s of type %s and shape %v has %d bytes, want %d", name, dtype, shape, bytes, want)
	}
	return nil
}

// EncodeTensors writes tensors in the safetensors form, in order, with optional metadata.
func EncodeTensors(w io.Writer, tensors []Tensor, meta map[string]string) error {
	h, err := header(tensors, meta)
	if err != nil {
		return err
	}
	if _, err := w.Write(h); err != nil {
		return err
	}
	for _, t := range tensors {
		for _, p := range t.pieces() {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// AppendTensors appends tensors to dst in the safetensors form.
func AppendTensors(dst []byte, tensors []Tensor, meta map[string]string) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	err := EncodeTensors(b, tensors, meta)
	return b.Bytes(), err
}

// ParseTensors reads the safetensors form: tensors in order of their data, which is not copied, and the metadata.
// Data must be covered without holes or overlap.
func ParseTensors(b []byte) ([]Tensor, map[string]string, error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("%d bytes, want at least 8", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader || n > uint64(len(b)-8) {
		return nil, nil, fmt.Errorf("header of %d bytes in %d", n, len(b))
	}
	data := b[8+n:]
	tensors, meta, err := parseHeader(b[8:8+n], int64(len(data)))
	if err != nil {
		return nil, nil, err
	}
	for i := range tensors {
		size := tensors[i].want()
		tensors[i].Data, data = data[:size:size], data[size:]
	}
	return tensors, meta, nil
}

// parseHeader reads the JSON header over size bytes of data: the tensors in order of their data, which they have not yet got but cover exactly, and the metadata.
func parseHeader(header []byte, size int64) ([]Tensor, map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return nil, nil, fmt.Errorf("decode the header: %w", err)
	}
	var meta map[string]string
	if m, ok := raw[metadataKey]; ok {
		if err := json.Unmarshal(m, &meta); err != nil {
			return nil, nil, fmt.Errorf("decode the metadata: %w", err)
		}
		delete(raw, metadataKey)
	}
	type placed struct {
		Tensor
		begin, end int64
	}
	list := make([]placed, 0, len(raw))
	for name, m := range raw {
		var i tensorInfo
		if err := json.Unmarshal(m, &i); err != nil {
			return nil, nil, fmt.Errorf("decode the header of tensor %s: %w", name, err)
		}
		if i.Offsets == nil || i.Offsets[0] < 0 || i.Offsets[1] < i.Offsets[0] || i.Offsets[1] > size {
			return nil, nil, fmt.Errorf("tensor %s lies outside the %d bytes of data", name, size)
		}
		begin, end := i.Offsets[0], i.Offsets[1]
		if err := checkShape(name, i.DType, i.Shape, end-begin); err != nil {
			return nil, nil, err
		}
		list = append(list, placed{Tensor{Name: name, DType: i.DType, Shape: i.Shape}, begin, end})
	}
	slices.SortFunc(list, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), strings.Compare(a.Name, b.Name))
	})
	tensors := make([]Tensor, len(list))
	var at int64
	for i, p := range list {
		if p.begin != at {
			return nil, nil, fmt.Errorf("tensor %s begins at byte %d, want %d", p.Name, p.begin, at)
		}
		at, tensors[i] = p.end, p.Tensor
	}
	if at != size {
		return nil, nil, fmt.Errorf("%d bytes of data, tensors cover %d", size, at)
	}
	return tensors, meta, nil
}

// want is how many bytes a tensor's type and shape ask for.
func (t Tensor) want() int64 {
	size, _ := dtypeSize(t.DType)
	n := int64(size)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// readTensors reads the safetensors form from a stream of size bytes, keeping each tensor's data in a slice of its own but for those in skip, which are read and dropped.
func readTensors(r io.Reader, size int64, skip []string) ([]Tensor, error) {
	var word [8]byte
	if _, err := io.ReadFull(r, word[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(word[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("header of %d bytes in %d", n, size)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	all, _, err := parseHeader(header, size-8-int64(n))
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, t := range all {
		if slices.Contains(skip, t.Name) {
			if _, err := io.CopyN(io.Discard, r, t.want()); err != nil {
				return nil, err
			}
			continue
		}
		t.Data = make([]byte, t.want())
		if _, err := io.ReadFull(r, t.Data); err != nil {
			return nil, err
		}
		kept = append(kept, t)
	}
	return kept, nil
}
