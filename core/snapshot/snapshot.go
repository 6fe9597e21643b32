// Package snapshot reads and writes checkpoints: a manifest and checksummed safetensors parts, published atomically.
//
// A checkpoint folder holds manifest.json and parts/NAME-HASH.safetensors (named by content, so an unchanged part is not written twice).
// Parts are written aside, synced and renamed, then the manifest is renamed over the old one: a reader sees the old checkpoint or the new one, never a torn one.
// Parts no manifest names any more are removed after. Same content gives the same bytes: no clock, host or path inside.
package snapshot

import "encoding/json"

// Tensor is a named array as it lies in a part. DType is F32, F64, U64, I64, U32 or U8 (safetensors names); Data is little-endian.
type Tensor struct {
	Name  string
	DType string
	Shape []int
	Data  []byte
}

// Part is one safetensors file: its tensors in order.
type Part struct {
	Name    string
	Tensors []Tensor
}

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

// Write publishes a checkpoint in dir: fills Format, Version and Parts of m. It returns the manifest as written.
func Write(dir string, m Manifest, parts []Part) (*Manifest, error) { panic("contract") }

// Locate finds the checkpoint for what a user names: a run's folder (its checkpoint/ inside) or a checkpoint folder itself.
func Locate(dir string) (string, error) { panic("contract") }

// Snapshot is a checkpoint opened for reading.
type Snapshot struct {
	Dir      string
	Manifest Manifest
}

// Open reads the manifest of a checkpoint folder (after Locate); parts are read and verified by Part.
func Open(dir string) (*Snapshot, error) { panic("contract") }

// Part reads one part and checks its size and checksum. A part that vanished because a newer checkpoint replaced it is ErrReplaced: open again.
func (s *Snapshot) Part(name string) (*Part, error) { panic("contract") }

// Rows are rows of one table, as they travel between trainer, store and scorer: Values[i·Dim:][:Dim] is the row of IDs[i].
type Rows struct {
	Table  string
	Dim    int
	IDs    []uint64
	Values []float32
}

// Update is what changed in a model since the last one: all dense values, and the rows that moved. Version names the state after it; Seq grows by one with each.
type Update struct {
	Model   string
	Version string
	Seq     uint64
	Full    bool // rows are all rows, not a delta
	Dense   []Tensor
	Rows    []Rows
}
