package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrReplaced says that a part is gone because a newer checkpoint replaced the one that was opened: open again.
var ErrReplaced = errors.New("the checkpoint was replaced by a newer one")

// ErrCorrupt says that a file of a checkpoint does not hold what was written.
var ErrCorrupt = errors.New("the file is damaged")

// Locate finds the checkpoint for what a user names: a run's folder (its checkpoint/ inside) or a checkpoint folder itself.
// Where there is none the error says what was looked for and wraps fs.ErrNotExist.
func Locate(dir string) (string, error) {
	inner := filepath.Join(dir, "checkpoint")
	for _, d := range []string{dir, inner} {
		st, err := os.Stat(filepath.Join(d, manifestFile))
		if err == nil && st.Mode().IsRegular() {
			return d, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find a checkpoint in %s: %w", dir, err)
		}
	}
	return "", fmt.Errorf("find a checkpoint in %s: neither it nor %s holds %s: %w", dir, inner, manifestFile, fs.ErrNotExist)
}

// Snapshot is a checkpoint opened for reading.
type Snapshot struct {
	Dir      string
	Manifest Manifest
}

// Open reads the manifest of a checkpoint folder (after Locate); parts are read and verified by Part.
func Open(dir string) (*Snapshot, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint %s: %w", dir, err)
	}
	return &Snapshot{Dir: dir, Manifest: *m}, nil
}

func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if m.Format < 1 || m.Format > Format {
		return nil, fmt.Errorf("format %d, this program reads up to %d", m.Format, Format)
	}
	v, err := m.version()
	if err != nil {
		return nil, err
	}
	if v != m.Version {
		return nil, fmt.Errorf("%w: version %s, its content has %s", ErrCorrupt, m.Version, v)
	}
	for _, p := range m.Parts {
		if name, ok := strings.CutPrefix(p.File, partsFolder+"/"); !ok || name == "" || strings.ContainsAny(name, `/\`) || p.Bytes < 8 {
			return nil, fmt.Errorf("%w: part %s is %q of %d bytes", ErrCorrupt, p.Name, p.File, p.Bytes)
		}
	}
	return &m, nil
}

// Part reads one part and checks its size and checksum. A part that vanished because a newer checkpoint replaced it is ErrReplaced: open again.
// A part the manifest does not name wraps fs.ErrNotExist, damage wraps ErrCorrupt. Tensors named in skip are left out and take no memory.
func (s *Snapshot) Part(name string, skip ...string) (*Part, error) {
	for _, i := range s.Manifest.Parts {
		if i.Name != name {
			continue
		}
		path := filepath.Join(s.Dir, filepath.FromSlash(i.File))
		tensors, err := readPart(path, i, skip)
		if errors.Is(err, fs.ErrNotExist) {
			if m, merr := readManifest(s.Dir); merr == nil && m.Version != s.Manifest.Version {
				err = ErrReplaced
			} else {
				err = fmt.Errorf("%w: %w", ErrCorrupt, err)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read part %s from %s: %w", name, path, err)
		}
		return &Part{Name: name, Tensors: tensors}, nil
	}
	return nil, fmt.Errorf("read part %s of checkpoint %s: its manifest has no such part: %w", name, s.Dir, fs.ErrNotExist)
}

func readPart(path string, i PartInfo, skip []string) ([]Tensor, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() != i.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, its manifest says %d", ErrCorrupt, st.Size(), i.Bytes)
	}
	sum := sha256.New()
	tensors, err := readTensors(io.TeeReader(f, sum), i.Bytes, skip)
	if err != nil {
		// Where the bytes are not those that were written, that is the reason.
		if _, cerr := io.Copy(sum, f); cerr != nil {
			return nil, cerr
		}
	}
	if h := hex.EncodeToString(sum.Sum(nil)); h != i.SHA256 {
		return nil, fmt.Errorf("%w: SHA-256 %s, its manifest says %s", ErrCorrupt, h, i.SHA256)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return tensors, nil
}
