package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Write publishes a checkpoint in dir: fills Format, Version and Parts of m. It returns the manifest as written.
// An error with a manifest means that the checkpoint is published but old parts could not all be removed.
func Write(dir string, m Manifest, parts []Part) (*Manifest, error) {
	w := writer{dir: dir}
	defer runtime.KeepAlive(parts)
	return w.write(m, parts)
}

// writer publishes one checkpoint. Every change of the disk goes through do, so that tests can cut it short anywhere.
type writer struct {
	dir  string
	hook func(op, path string, f *os.File, data []byte) error // called before each change; an error stops there as a kill would
}

func (w *writer) do(op, path string, f *os.File, data []byte, change func() error) error {
	if w.hook != nil {
		if err := w.hook(op, path, f, data); err != nil {
			return err
		}
	}
	if err := change(); err != nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	return nil
}

func (w *writer) write(m Manifest, parts []Part) (*Manifest, error) {
	for name, text := range m.Files {
		if !utf8.ValidString(name) || !utf8.ValidString(text) {
			return nil, fmt.Errorf("write checkpoint %s: file %q is not UTF-8", w.dir, name)
		}
	}
	out, err := w.publish(m, parts)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint %s: %w", w.dir, err)
	}
	if err := w.sweep(out); err != nil {
		return out, fmt.Errorf("remove old parts of checkpoint %s: %w", w.dir, err)
	}
	return out, nil
}

func (w *writer) publish(m Manifest, parts []Part) (*Manifest, error) {
	folder := filepath.Join(w.dir, partsFolder)
	if err := w.mkdir(folder); err != nil {
		return nil, err
	}
	known := map[string]int64{} // parts of the checkpoint being replaced
	if old, err := readManifest(w.dir); err == nil {
		for _, p := range old.Parts {
			known[p.File] = p.Bytes
		}
	}
	m.Format, m.Parts = Format, make([]PartInfo, 0, len(parts))
	if m.Files == nil {
		m.Files = map[string]string{}
	}
	if m.State == nil {
		m.State = map[string]json.RawMessage{}
	}
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.Name] || p.Name == "" || !utf8.ValidString(p.Name) {
			return nil, fmt.Errorf("part name %q is empty, used twice or not UTF-8", p.Name)
		}
		seen[p.Name] = true
		i, err := w.part(p, known)
		if err != nil {
			return nil, fmt.Errorf("part %s: %w", p.Name, err)
		}
		m.Parts = append(m.Parts, i)
	}
	slices.SortFunc(m.Parts, func(a, b PartInfo) int { return strings.Compare(a.Name, b.Name) })
	if err := w.sync(folder); err != nil {
		return nil, err
	}
	var err error
	if m.Version, err = m.version(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	write := func(b *buffered) error { return b.add(append(text, '\n')) }
	if err := w.replace(filepath.Join(w.dir, manifestFile), write); err != nil {
		return nil, err
	}
	if err := w.sync(w.dir); err != nil {
		return nil, err
	}
	return &m, nil
}

// version hashes all of the manifest but the version itself.
func (m Manifest) version() (string, error) {
	m.Version = ""
	b, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encode the manifest: %w", err)
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8]), nil
}

var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// part writes a part where the checkpoint being replaced has not the same one.
func (w *writer) part(p Part, known map[string]int64) (PartInfo, error) {
	sum := sha256.New()
	if err := EncodeTensors(sum, p.Tensors, nil); err != nil {
		return PartInfo{}, err
	}
	h, err := header(p.Tensors, nil)
	if err != nil {
		return PartInfo{}, err
	}
	size := int64(len(h))
	for _, t := range p.Tensors {
		size += t.bytes()
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	name := unsafeName.ReplaceAllString(p.Name, "_")
	i := PartInfo{
		Name: p.Name, File: partsFolder + "/" + name[:min(len(name), 100)] + "-" + hash[:32] + ".safetensors", Bytes: size, SHA256: hash,
	}
	path := filepath.Join(w.dir, filepath.FromSlash(i.File))
	if st, err := os.Stat(path); err == nil && st.Size() == size && known[i.File] == size {
		return i, nil
	}
	return i, w.replace(path, func(b *buffered) error {
		if err := b.add(h); err != nil {
			return err
		}
		for _, t := range p.Tensors {
			for _, d := range t.pieces() {
				if err := b.add(d); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// replace writes a file aside, syncs it and renames it into place.
func (w *writer) replace(path string, write func(*buffered) error) error {
	dir, name := filepath.Split(path)
	aside := filepath.Join(dir, asidePrefix+name)
	var f *os.File
	err := w.do("create", aside, nil, nil, func() (err error) {
		f, err = os.Create(aside)
		return err
	})
	if err != nil {
		return err
	}
	defer f.Close()
	b := &buffered{w: w, f: f, path: aside}
	if err := write(b); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	if err := w.do("sync", aside, f, nil, f.Sync); err != nil {
		return err
	}
	if err := w.do("close", aside, f, nil, f.Close); err != nil {
		return err
	}
	return w.do("rename", path, nil, nil, func() error { return os.Rename(aside, path) })
}

// buffered collects small writes to a file.
type buffered struct {
	w    *writer
	f    *os.File
	path string
	buf  []byte
}

const writeSize = 1 << 20

func (b *buffered) add(d []byte) error {
	if len(b.buf)+len(d) > writeSize {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if len(d) >= writeSize {
		return b.write(d)
	}
	b.buf = append(b.buf, d...)
	return nil
}

func (b *buffered) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	err := b.write(b.buf)
	b.buf = b.buf[:0]
	return err
}

func (b *buffered) write(d []byte) error {
	return b.w.do("write", b.path, b.f, d, func() error {
		_, err := b.f.Write(d)
		return err
	})
}

// mkdir makes a folder and its parents, syncing the folder above each new one.
func (w *writer) mkdir(dir string) error {
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := w.mkdir(parent); err != nil {
			return err
		}
	}
	err := w.do("mkdir", dir, nil, nil, func() error {
		if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.sync(parent)
}

// sync makes the names in a folder durable. Some network file systems cannot and say so; their renames are durable by themselves.
func (w *writer) sync(dir string) error {
	return w.do("sync folder", dir, nil, nil, func() error {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return nil
	})
}

const asidePrefix = ".aside-"

var partFile = regexp.MustCompile(`^` + regexp.QuoteMeta(asidePrefix) + `.*\.safetensors$|-[0-9a-f]{32}\.safetensors$`)

// sweep removes parts that the manifest does not name and what a killed write left. Other files stay.
func (w *writer) sweep(m *Manifest) error {
	keep := map[string]bool{}
	for _, p := range m.Parts {
		keep[p.File] = true
	}
	list, err := os.ReadDir(filepath.Join(w.dir, partsFolder))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		if !e.Type().IsRegular() || !partFile.MatchString(e.Name()) || keep[partsFolder+"/"+e.Name()] {
			continue
		}
		path := filepath.Join(w.dir, partsFolder, e.Name())
		errs = append(errs, w.do("remove", path, nil, nil, func() error { return os.Remove(path) }))
	}
	return errors.Join(errs...)
}
