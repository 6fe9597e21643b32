package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var errKilled = errors.New("killed")

// TestKilledAtEveryStep cuts a write short before each change of the disk, a file's write in its middle too. What is loaded then is the old
// checkpoint or the new one, whole; and the next write succeeds and leaves nothing behind.
func TestKilledAtEveryStep(t *testing.T) {
	clean := filepath.Join(t.TempDir(), "c")
	before := mustWrite(t, clean, sampleManifest(), sampleParts(1))
	after := mustWrite(t, clean, sampleManifest(), sampleParts(2))
	want := files(t, clean)

	for _, fresh := range []bool{false, true} {
		steps, published := 0, false
		for kill := 0; ; kill++ {
			dir := filepath.Join(t.TempDir(), "c")
			if !fresh {
				mustWrite(t, dir, sampleManifest(), sampleParts(1))
			}
			step := 0
			w := writer{dir: dir, hook: func(op, path string, f *os.File, data []byte) error {
				if step++; step <= kill {
					return nil
				}
				if op == "write" {
					if _, err := f.Write(data[:len(data)/2]); err != nil {
						t.Fatal(err)
					}
				}
				return errKilled
			}}
			_, err := w.write(sampleManifest(), sampleParts(2))
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			s, parts, lerr := load(dir)
			switch {
			case lerr != nil && (!fresh || published || !errors.Is(lerr, os.ErrNotExist)):
				t.Fatalf("killed at step %d: %v", kill, lerr)
			case lerr != nil: // the first checkpoint is not there yet
			case s.Manifest.Version == after.Version:
				published = true
			case s.Manifest.Version != before.Version || published || fresh:
				t.Fatalf("killed at step %d: version %s", kill, s.Manifest.Version)
			}
			if lerr == nil {
				x, _ := parts["dense"].Tensor("w")
				v, err := Values[float32](x)
				if err != nil || v[0] != map[bool]float32{true: 2, false: 1}[published] {
					t.Fatalf("killed at step %d: weights %v: %v", kill, v, err)
				}
			}
			mustWrite(t, dir, sampleManifest(), sampleParts(2))
			if got := fmt.Sprint(files(t, dir)); got != fmt.Sprint(want) {
				t.Fatalf("written again after a kill at step %d: %s", kill, got)
			}
			if err == nil {
				steps = kill
				break
			}
		}
		if steps < 12 || !published {
			t.Errorf("only %d steps, published %v", steps, published)
		}
	}
}

// TestSyncedBeforeNamed checks the order that makes a power failure harmless: a file is synced before it gets its name, and parts with their
// folder before the manifest.
func TestSyncedBeforeNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "c")
	synced := map[string]bool{}
	var ops []string
	w := writer{dir: dir, hook: func(op, path string, _ *os.File, data []byte) error {
		switch op {
		case "write":
			synced[path] = false
		case "sync", "sync folder":
			synced[path] = true
		case "rename":
			folder, name := filepath.Split(path)
			if !synced[filepath.Join(folder, asidePrefix+name)] {
				t.Errorf("%s renamed before it was synced", path)
			}
			if name == manifestFile && !synced[filepath.Join(dir, partsFolder)] {
				t.Error("the manifest renamed before the parts' folder was synced")
			}
			synced[filepath.Clean(folder)] = false
		case "mkdir":
			synced[filepath.Dir(path)] = false
		}
		ops = append(ops, op)
		return nil
	}}
	if _, err := w.write(sampleManifest(), sampleParts(1)); err != nil {
		t.Fatal(err)
	}
	for path, ok := range synced {
		if !ok {
			t.Errorf("%s was never synced", path)
		}
	}
	if got := strings.Join(ops, " "); strings.Count(got, "rename") != 3 || strings.Count(got, "mkdir") != 3 {
		t.Errorf("steps %s", got)
	}
}

// TestReadersDuringWrites reads while checkpoints are published: each load is one whole checkpoint, or it says that it was replaced.
func TestReadersDuringWrites(t *testing.T) {
	dir := t.TempDir()
	publish := func(i int) {
		m := sampleManifest()
		m.State["n"] = json.RawMessage(strconv.Itoa(i))
		mustWrite(t, dir, m, sampleParts(float32(i)))
	}
	publish(0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for last := 0; ; {
				s, parts, err := load(dir)
				if err == nil {
					n, _ := strconv.Atoi(string(s.Manifest.State["n"]))
					w, _ := parts["dense"].Tensor("w")
					rows, _ := parts["table/user id"].Tensor("rows")
					x, _ := Values[float32](w)
					y, _ := Values[float32](rows)
					if n < last || x[0] != float32(n) || y[5] != float32(n) {
						t.Errorf("checkpoint %d after %d holds the weights of %g and %g", n, last, x[0], y[5])
					}
					last = n
				} else if !errors.Is(err, ErrReplaced) {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 60 {
		publish(i + 1)
	}
	close(stop)
	wg.Wait()
}
