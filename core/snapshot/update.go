package snapshot

import (
	"fmt"
	"strconv"
	"strings"
)

// Rows are rows of one table, as they travel between trainer, store and scorer: Values[i·Dim:][:Dim] is the row of IDs[i].
// Removed are ids whose rows are gone, in a delta alone: they are the unknown row's again.
type Rows struct {
	Table   string
	Dim     int
	IDs     []uint64
	Values  []float32
	Removed []uint64
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

// The tensors of an encoded update are dense/NAME, then ids/TABLE and rows/TABLE for each table, and removed/TABLE where ids are gone.
const (
	densePrefix = "dense/"
	idsPrefix   = "ids/"
	rowsPrefix  = "rows/"
	gonePrefix  = "removed/"
)

// MarshalUpdate appends an update to dst in the safetensors form.
func MarshalUpdate(dst []byte, u *Update) ([]byte, error) {
	tensors := make([]Tensor, 0, len(u.Dense)+2*len(u.Rows))
	for _, t := range u.Dense {
		t.Name = densePrefix + t.Name
		tensors = append(tensors, t)
	}
	for _, r := range u.Rows {
		tensors = append(tensors, NewTensor(idsPrefix+r.Table, r.IDs), NewTensor(rowsPrefix+r.Table, r.Values, len(r.IDs), r.Dim))
		if len(r.Removed) > 0 {
			tensors = append(tensors, NewTensor(gonePrefix+r.Table, r.Removed))
		}
	}
	dst, err := AppendTensors(dst, tensors, map[string]string{
		"model": u.Model, "version": u.Version, "seq": strconv.FormatUint(u.Seq, 10), "full": strconv.FormatBool(u.Full),
	})
	if err != nil {
		return dst, fmt.Errorf("encode update %s of model %s: %w", u.Version, u.Model, err)
	}
	return dst, nil
}

// UnmarshalUpdate reads what MarshalUpdate wrote. The update's arrays may be views of b.
func UnmarshalUpdate(b []byte) (*Update, error) {
	tensors, meta, err := ParseTensors(b)
	if err != nil {
		return nil, fmt.Errorf("decode an update: %w", err)
	}
	u := &Update{Model: meta["model"], Version: meta["version"]}
	if u.Seq, err = strconv.ParseUint(meta["seq"], 10, 64); err != nil {
		return nil, fmt.Errorf("decode an update's sequence number: %w", err)
	}
	if u.Full, err = strconv.ParseBool(meta["full"]); err != nil {
		return nil, fmt.Errorf("decode an update's kind: %w", err)
	}
	ids, gone := map[string][]uint64{}, map[string][]uint64{}
	for _, t := range tensors {
		if name, ok := strings.CutPrefix(t.Name, densePrefix); ok {
			t.Name = name
			u.Dense = append(u.Dense, t)
		} else if name, ok := strings.CutPrefix(t.Name, idsPrefix); ok {
			if ids[name], err = Values[uint64](t); err != nil {
				return nil, fmt.Errorf("decode an update: %w", err)
			}
		} else if name, ok := strings.CutPrefix(t.Name, gonePrefix); ok {
			if gone[name], err = Values[uint64](t); err != nil {
				return nil, fmt.Errorf("decode an update: %w", err)
			}
		}
	}
	for _, t := range tensors {
		name, ok := strings.CutPrefix(t.Name, rowsPrefix)
		if !ok {
			continue
		}
		values, err := Values[float32](t)
		if err != nil {
			return nil, fmt.Errorf("decode an update: %w", err)
		}
		list, ok := ids[name]
		if !ok || len(t.Shape) != 2 || t.Shape[0] != len(list) {
			return nil, fmt.Errorf("decode an update: table %s has %d ids for rows of shape %v", name, len(list), t.Shape)
		}
		u.Rows = append(u.Rows, Rows{Table: name, Dim: t.Shape[1], IDs: list, Values: values, Removed: gone[name]})
	}
	return u, nil
}
