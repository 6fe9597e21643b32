package store

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/snapshot"
)

// encodeDelta lists the ids that an update changed or removed, by table.
func encodeDelta(rows []snapshot.Rows) ([]byte, error) {
	var tensors []snapshot.Tensor
	for _, r := range rows {
		tensors = append(tensors, snapshot.NewTensor(r.Table, slices.Concat(r.IDs, r.Removed)))
	}
	b, err := snapshot.AppendTensors(nil, tensors, nil)
	if err != nil {
		return nil, fmt.Errorf("encode the changed ids: %w", err)
	}
	return b, nil
}

// decodeDelta reads what encodeDelta wrote. The lists may be views of b.
func decodeDelta(b []byte) (map[string][]uint64, error) {
	tensors, _, err := snapshot.ParseTensors(b)
	if err != nil {
		return nil, fmt.Errorf("decode the changed ids: %w", err)
	}
	changed := map[string][]uint64{}
	for _, t := range tensors {
		if changed[t.Name], err = snapshot.Values[uint64](t); err != nil {
			return nil, fmt.Errorf("decode the changed ids: %w", err)
		}
	}
	return changed, nil
}
