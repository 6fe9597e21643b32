package snapshot

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sampleManifest() Manifest {
	return Manifest{
		Model: "din",
		Files: map[string]string{"schema.yaml": "fields: <a> & ü\n", "model.yaml": "model: din\n"},
		State: map[string]json.RawMessage{"offsets": json.RawMessage(`{"p0": 12, "s":"<x>"}`)},
	}
}

// sampleParts are a dense part and a table's, the latter in pieces; x changes the table's content.
func sampleParts(x float32) []Part {
	rows := []float32{1, 2, 3, 4, 5, x}
	return []Part{
		{Name: "table/user id", Tensors: []Tensor{
			NewTensor("ids", []uint64{0, 1 << 63, 7}),
			{Name: "rows", DType: "F32", Shape: []int{3, 2}, Pieces: [][]byte{Bytes(rows[:2]), nil, Bytes(rows[2:])}},
		}},
		{Name: "dense", Tensors: []Tensor{NewTensor("w", []float32{x, 1}, 2, 1), NewTensor("n", []int64{-1}), NewTensor("none", []float64{})}},
	}
}

func mustWrite(t testing.TB, dir string, m Manifest, parts []Part) *Manifest {
	t.Helper()
	out, err := Write(dir, m, parts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// files maps every file under dir to its content.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// load opens a checkpoint and reads all of it.
func load(dir string) (*Snapshot, map[string]*Part, error) {
	s, err := Open(dir)
	if err != nil {
		return nil, nil, err
	}
	parts := map[string]*Part{}
	for _, i := range s.Manifest.Parts {
		if parts[i.Name], err = s.Part(i.Name); err != nil {
			return nil, nil, err
		}
	}
	return s, parts, nil
}

func TestWriteAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "checkpoint")
	w := mustWrite(t, dir, sampleManifest(), sampleParts(6))
	s, parts, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Manifest
	if m.Version != w.Version || len(m.Version) != 16 || m.Model != "din" || m.Files["schema.yaml"] != "fields: <a> & ü\n" {
		t.Errorf("manifest %+v", m)
	}
	var offsets struct {
		P0 int
		S  string
	}
	if err := json.Unmarshal(m.State["offsets"], &offsets); err != nil || offsets.P0 != 12 || offsets.S != "<x>" {
		t.Errorf("state %s: %v", m.State["offsets"], err)
	}
	ids, _ := parts["table/user id"].Tensor("ids")
	rows, _ := parts["table/user id"].Tensor("rows")
	if v, err := Values[uint64](ids); err != nil || !slices.Equal(v, []uint64{0, 1 << 63, 7}) {
		t.Errorf("ids %v: %v", v, err)
	}
	if v, err := Values[float32](rows); err != nil || !slices.Equal(v, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(rows.Shape, []int{3, 2}) {
		t.Errorf("rows %v %v: %v", v, rows.Shape, err)
	}
	if _, err := Values[float64](rows); err == nil || !strings.Contains(err.Error(), "tensor rows is F32, want F64") {
		t.Errorf("float64 values of F32: %v", err)
	}
	if names := parts["dense"].Tensors; len(names) != 3 || names[0].Name != "w" || names[1].Name != "n" || names[2].Name != "none" {
		t.Errorf("tensors out of order: %v", names)
	}
	if p, err := s.Part("dense", "n"); err != nil || len(p.Tensors) != 2 || p.Tensors[1].Name != "none" || string(p.Tensors[0].Data) != string(parts["dense"].Tensors[0].Data) {
		t.Errorf("without a tensor: %+v %v", p, err)
	}
	if _, err := s.Part("other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part that is not there: %v", err)
	}
}

func TestSameContentSameBytes(t *testing.T) {
	a, b := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	mustWrite(t, a, sampleManifest(), sampleParts(1)) // another one before
	first := mustWrite(t, a, sampleManifest(), sampleParts(6))
	parts := sampleParts(6)
	slices.Reverse(parts)
	second := mustWrite(t, b, sampleManifest(), parts)
	fa, fb := files(t, a), files(t, b)
	if first.Version != second.Version || len(fa) != 3 || len(fb) != 3 {
		t.Fatalf("versions %s, %s; %d and %d files", first.Version, second.Version, len(fa), len(fb))
	}
	for name, text := range fa {
		if fb[name] != text {
			t.Errorf("%s differs", name)
		}
	}
	if other := mustWrite(t, b, sampleManifest(), sampleParts(7)); other.Version == first.Version {
		t.Error("another content has the same version")
	}
}

func TestUnchangedPartIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	first := mustWrite(t, dir, sampleManifest(), sampleParts(6))
	w := writer{dir: dir, hook: func(op, path string, _ *os.File, _ []byte) error {
		if op == "create" && strings.Contains(path, "table") {
			t.Errorf("%s %s", op, path)
		}
		return nil
	}}
	parts := sampleParts(6)
	parts[1] = sampleParts(8)[1]
	second, err := w.write(sampleManifest(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if first.Parts[1] != second.Parts[1] || first.Parts[0] == second.Parts[0] {
		t.Errorf("parts %v, then %v", first.Parts, second.Parts)
	}
}

func TestSweepLeavesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, sampleManifest(), sampleParts(6))
	foreign := []string{"README", "parts/notes.txt", "parts/mine.safetensors", "best-" + strings.Repeat("0", 32) + ".safetensors"}
	ours := []string{"parts/.aside-x.safetensors", "parts/x-" + strings.Repeat("0", 32) + ".safetensors"}
	for _, name := range append(foreign, ours...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, dir, sampleManifest(), sampleParts(7))
	got := files(t, dir)
	for _, name := range foreign {
		if got[name] != "x" {
			t.Errorf("%s is gone", name)
		}
	}
	if len(got) != 3+len(foreign) {
		t.Errorf("%d files, want the manifest, two parts and %d foreign ones", len(got), len(foreign))
	}
}

func TestLocate(t *testing.T) {
	run := t.TempDir()
	inner := filepath.Join(run, "checkpoint")
	if _, err := Locate(run); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), run) || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("nothing there: %v", err)
	}
	mustWrite(t, inner, sampleManifest(), sampleParts(1))
	for _, dir := range []string{run, inner} {
		if got, err := Locate(dir); err != nil || got != inner {
			t.Errorf("Locate(%s) = %s, %v", dir, got, err)
		}
	}
	if _, err := Locate(filepath.Join(run, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such folder: %v", err)
	}
	if _, err := Locate(filepath.Join(inner, "manifest.json")); err == nil {
		t.Error("a file was taken for a checkpoint's folder")
	}
}

func TestReplaced(t *testing.T) {
	dir := t.TempDir()
	mustWrite(t, dir, sampleManifest(), sampleParts(6))
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, dir, sampleManifest(), sampleParts(7))
	if _, err := s.Part("dense"); !errors.Is(err, ErrReplaced) {
		t.Errorf("%v, want ErrReplaced", err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	f := func(file string, damage func(b []byte) []byte, want string) {
		t.Helper()
		dir := t.TempDir()
		m := mustWrite(t, dir, sampleManifest(), sampleParts(6))
		if file == "part" {
			file = m.Parts[0].File
		}
		path := filepath.Join(dir, filepath.FromSlash(file))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b = damage(b); b == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = load(dir)
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want damage of %s: %q", err, path, want)
		}
	}
	f("part", func(b []byte) []byte { return b[:len(b)-1] }, "bytes, its manifest says")
	f("part", func(b []byte) []byte { return append(b, 0) }, "bytes, its manifest says")
	f("part", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "SHA-256")
	f("part", func(b []byte) []byte { b[9] ^= 1; return b }, "SHA-256")
	f("part", func(b []byte) []byte { return nil }, "no such file")
	f("manifest.json", func(b []byte) []byte { return b[:len(b)/2] }, "unexpected end")
	f("manifest.json", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"p0": 12`, `"p0": 13`, 1)) }, "its content has")
	f("manifest.json", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"din"`, `"dim"`, 1)) }, "its content has")
}

func TestManifestOfAnotherFormat(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"format": 2, "novel": true}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "format 2, this program reads up to 1") {
		t.Errorf("%v", err)
	}
}

func TestWriteRejects(t *testing.T) {
	f := func(m Manifest, parts []Part, want string) {
		t.Helper()
		dir := t.TempDir()
		if _, err := Write(dir, m, parts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %q there is a checkpoint: %v", want, err)
		}
	}
	x := NewTensor("x", []float32{1, 2})
	f(Manifest{Files: map[string]string{"a": "\xff"}}, nil, `file "a" is not UTF-8`)
	f(Manifest{State: map[string]json.RawMessage{"a": json.RawMessage("{")}}, nil, "encode the manifest")
	f(Manifest{}, []Part{{Name: "a"}, {Name: "a"}}, `part name "a"`)
	f(Manifest{}, []Part{{}}, `part name ""`)
	f(Manifest{}, []Part{{"a", []Tensor{x, x}}}, `part a: tensor name "x" is used twice`)
	f(Manifest{}, []Part{{"a", []Tensor{{Name: "__metadata__", DType: "U8"}}}}, "reserved")
	f(Manifest{}, []Part{{"a", []Tensor{NewTensor("x", []float32{1, 2}, 3)}}}, "shape [3] has 8 bytes, want 12")
	f(Manifest{}, []Part{{"a", []Tensor{NewTensor("x", []float32{1, 2}, -2)}}}, "shape [-2]")
	f(Manifest{}, []Part{{"a", []Tensor{{Name: "x", DType: "BF16", Shape: []int{0}}}}}, `type "BF16"`)
}

func TestPartNamesBecomeFiles(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("ü/", 300)
	m := mustWrite(t, dir, Manifest{}, []Part{{Name: "../../up"}, {Name: "a/b"}, {Name: "a b"}, {Name: long}})
	s, parts, err := load(dir)
	if err != nil || len(parts) != 4 || s.Manifest.Version != m.Version {
		t.Fatalf("%d parts: %v", len(parts), err)
	}
	for _, p := range m.Parts {
		if strings.Count(p.File, "/") != 1 || len(p.File) > 200 {
			t.Errorf("part %s is file %s", p.Name, p.File)
		}
	}
}
