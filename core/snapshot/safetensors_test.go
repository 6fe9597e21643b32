package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestForm(t *testing.T) {
	b, err := AppendTensors([]byte("x"), []Tensor{NewTensor("b", []float32{1, 2}, 1, 2), NewTensor("a", []uint8{7})}, map[string]string{"k": "v"})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := "x" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + "\x00\x00\x80\x3f\x00\x00\x00\x40\x07"
	if string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
}

func TestValuesOfAnyAlignment(t *testing.T) {
	raw := append([]byte{0}, Bytes([]uint64{1, 1 << 60})...)
	for i := range 2 {
		v, err := Values[uint64](Tensor{DType: "U64", Data: append(make([]byte, i), raw[1:]...)[i:]})
		if err != nil || !slices.Equal(v, []uint64{1, 1 << 60}) {
			t.Errorf("shifted by %d: %v %v", i, v, err)
		}
	}
	if _, err := Values[uint64](Tensor{DType: "U64", Data: raw}); err == nil {
		t.Error("nine bytes were taken for uint64")
	}
	b := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
	if swap(b, 4); !bytes.Equal(b, []byte{4, 3, 2, 1, 8, 7, 6, 5, 9}) {
		t.Errorf("swapped %v", b)
	}
}

// form builds a file of a header and n bytes of data.
func form(header string, n int) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, n)...)
}

func TestParseRejects(t *testing.T) {
	f := func(b []byte, want string) {
		t.Helper()
		if _, _, err := ParseTensors(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(nil, "0 bytes, want at least 8")
	f(form("{}", 0)[:9], "header of 2 bytes in 9")
	f(slices.Repeat([]byte{255}, 20), "header of 18446744073709551615 bytes")
	f(form("[]", 0), "decode the header")
	f(form("{}", 1), "1 bytes of data, tensors cover 0")
	f(form(`{"__metadata__":{"a":1}}`, 0), "decode the metadata")
	f(form(`{"a":{"dtype":"F32","shape":[1]}}`, 4), "tensor a lies outside")
	f(form(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 3), "tensor a lies outside the 3 bytes")
	f(form(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "tensor a lies outside")
	f(form(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, 4), "tensor a lies outside")
	f(form(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "has 4 bytes, want 8")
	f(form(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "has shape")
	f(form(`{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}}`, 4), `type "Q4"`)
	f(form(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "tensor a begins at byte 1, want 0")
	f(form(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "tensor b begins at byte 1, want 2")
}

func TestUpdate(t *testing.T) {
	u := &Update{
		Model: "din", Version: "abc", Seq: 1 << 63, Full: true,
		Dense: []Tensor{NewTensor("w", []float32{1, 2}, 2, 1)},
		Rows: []Rows{
			{Table: "item", Dim: 2, IDs: []uint64{9, 1 << 63}, Values: []float32{1, 2, 3, 4}}, {Table: "user", Dim: 3},
			{Table: "a/b", Dim: 1, IDs: []uint64{4}, Values: []float32{5}},
		},
	}
	b, err := MarshalUpdate(nil, u)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnmarshalUpdate(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Model != "din" || got.Version != "abc" || got.Seq != 1<<63 || !got.Full || len(got.Rows) != 3 || len(got.Dense) != 1 {
		t.Fatalf("%+v", got)
	}
	for i, r := range got.Rows {
		w := u.Rows[i]
		if r.Table != w.Table || r.Dim != w.Dim || !slices.Equal(r.IDs, w.IDs) || !slices.Equal(r.Values, w.Values) {
			t.Errorf("%+v, want %+v", r, w)
		}
	}
	if w, err := Values[float32](got.Dense[0]); err != nil || got.Dense[0].Name != "w" || !slices.Equal(w, []float32{1, 2}) || !slices.Equal(got.Dense[0].Shape, []int{2, 1}) {
		t.Errorf("%+v: %v", got.Dense[0], err)
	}
	u.Rows[0].Values = u.Rows[0].Values[1:]
	if _, err := MarshalUpdate(nil, u); err == nil || !strings.Contains(err.Error(), "encode update abc of model din") {
		t.Errorf("rows that do not fit their ids: %v", err)
	}
}

func TestUnmarshalUpdateRejects(t *testing.T) {
	f := func(meta map[string]string, want string, tensors ...Tensor) {
		t.Helper()
		b, err := AppendTensors(nil, tensors, meta)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := UnmarshalUpdate(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good := map[string]string{"seq": "1", "full": "false"}
	rows := NewTensor("rows/x", []float32{1, 2}, 2, 1)
	f(nil, "sequence number")
	f(map[string]string{"seq": "1"}, "kind")
	f(good, "table x has 0 ids for rows of shape [2 1]", rows)
	f(good, "table x has 1 ids for rows of shape [2 1]", rows, NewTensor("ids/x", []uint64{1}))
	f(good, "tensor ids/x is U8, want U64", NewTensor("ids/x", []uint8{1}))
	f(good, "tensor rows/x is F64, want F32", NewTensor("rows/x", []float64{1}, 1, 1), NewTensor("ids/x", []uint64{1}))
}

func FuzzParseTensors(f *testing.F) {
	for _, p := range sampleParts(1) {
		b, err := AppendTensors(nil, p.Tensors, map[string]string{"a": "b"})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(form(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[],"data_offsets":[2,3]}}`, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, meta, err := ParseTensors(b)
		if err != nil {
			return
		}
		// What was read can be written, and reads the same.
		again, err := AppendTensors(nil, tensors, meta)
		if err != nil {
			t.Fatal(err)
		}
		second, meta2, err := ParseTensors(again)
		if err != nil || len(second) != len(tensors) || len(meta) != len(meta2) {
			t.Fatalf("%d tensors of %d: %v", len(second), len(tensors), err)
		}
		for _, x := range tensors {
			i := slices.IndexFunc(second, func(y Tensor) bool { return y.Name == x.Name })
			if i < 0 || !bytes.Equal(second[i].Data, x.Data) || !slices.Equal(second[i].Shape, x.Shape) {
				t.Fatalf("tensor %q is not what it was", x.Name)
			}
		}
	})
}

func FuzzUnmarshalUpdate(f *testing.F) {
	b, err := MarshalUpdate(nil, &Update{Model: "m", Rows: []Rows{{"t", 1, []uint64{1}, []float32{2}, []uint64{9}}}, Dense: sampleParts(1)[1].Tensors})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := UnmarshalUpdate(b)
		if err != nil {
			return
		}
		for _, r := range u.Rows {
			if len(r.Values) != len(r.IDs)*r.Dim {
				t.Fatalf("table %s: %d values for %d rows of %d", r.Table, len(r.Values), len(r.IDs), r.Dim)
			}
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	dir := f.TempDir()
	mustWrite(f, dir, sampleManifest(), sampleParts(1))
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"parts":[{"file":"parts/../../x","bytes":9}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseManifest(b); err != nil {
			// Give it the version of its content, so that what lies behind that check is reached.
			var m Manifest
			if json.Unmarshal(b, &m) != nil {
				return
			}
			if m.Version, err = m.version(); err != nil {
				return
			}
			if b, err = json.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		for _, p := range m.Parts {
			if path := filepath.Join(dir, p.File); filepath.Dir(path) != filepath.Join(dir, partsFolder) {
				t.Fatalf("part file %q leads to %s", p.File, path)
			}
		}
	})
}

// TestPythonReads has the reference reader read a checkpoint's parts.
func TestPythonReads(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python; not with -short")
	}
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import safetensors, numpy").Run()
	}
	if err != nil {
		t.Skipf("Python with safetensors and numpy is not here: %v", err)
	}
	dir := t.TempDir()
	m := mustWrite(t, dir, sampleManifest(), sampleParts(6))
	out, err := exec.Command(python, "-c", `
import sys
from safetensors import safe_open
for path in sys.argv[1:]:
    with safe_open(path, framework="numpy") as f:
        for k in sorted(f.keys()):
            x = f.get_tensor(k)
            print(k, x.dtype, list(x.shape), x.ravel().tolist())
`, filepath.Join(dir, m.Parts[0].File), filepath.Join(dir, m.Parts[1].File)).CombinedOutput()
	want := `n int64 [1] [-1]
none float64 [0] []
w float32 [2, 1] [6.0, 1.0]
ids uint64 [3] [0, 9223372036854775808, 7]
rows float32 [3, 2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
`
	if err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}
