// Package snapshot reads and writes checkpoints: a manifest and checksummed safetensors parts, published atomically.
//
// A checkpoint folder holds manifest.json and parts/NAME-HASH.safetensors (named by content, so an unchanged part is not written twice).
// Parts are written aside, synced and renamed, then the manifest is renamed over the old one: a reader sees the old checkpoint or the new one, never a torn one.
// Parts no manifest names any more are removed after. Same content gives the same bytes: no clock, host or path inside.
// A folder has one writer at a time and any number of readers.
package snapshot

import "encoding/json"

// Format is the version of the checkpoint's form that this package writes and the newest it reads.
const Format = 1

const (
	manifestFile = "manifest.json"
	partsFolder  = "parts"
)

// Manifest describes a checkpoint. Version is the content's hash, so equal checkpoints have equal versions. Files are small texts kept whole (schema.yaml, model.yaml); State is the
// owner's own (training progress, Kafka offsets).
type Manifest struct {
	Format  int                        `json:"format"`
	Version string                     `json:"version"`
	Model   string                     `json:"model"`
	Files   map[string]string          `json:"files"`
	State   map[string]json.RawMessage `json:"state"`
	Parts   []PartInfo                 `json:"parts"`
}

// PartInfo names a part's file, its size in bytes and its SHA-256.
type PartInfo struct {
	Name   string `json:"name"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Part is one safetensors file: its tensors in order.
type Part struct {
	Name    string
	Tensors []Tensor
}

// Tensor returns the tensor of that name.
func (p *Part) Tensor(name string) (Tensor, bool) {
	for _, t := range p.Tensors {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}
