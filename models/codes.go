package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// codeFeed fills one input with ids as numbers.
type codeFeed struct {
	*nn.Code
	column int
	input  *inputNode
	ragged *raggedFeed // of a sequence
}

// addCodes adds the net's codes to the feed, after its lookups.
func (f *feed) addCodes(net *nn.Net) {
	for _, c := range net.Codes {
		code := &codeFeed{Code: c, column: f.schema.Field(c.Field), input: f.input(c.Node)}
		if c.Ragged != nil {
			code.ragged = f.raggedOf(c.Ragged, code.column)
		}
		f.codes = append(f.codes, code)
	}
}

// fill writes the numbers; where all rows share their behaviours, those of one.
func (c *codeFeed) fill(b *features.Batch) error {
	ids, want := b.Columns[c.column].IDs, b.Rows
	if c.ragged != nil {
		offsets := b.Columns[c.column].Offsets
		if want = int(offsets[len(offsets)-1]); c.ragged.shared {
			want = int(offsets[1])
			ids = ids[:want]
		}
	}
	if len(ids) != want {
		return fmt.Errorf("field %s has %d ids, want %d", c.Field, len(ids), want)
	}
	to := c.input.tensor
	to.Resize(len(ids), 1)
	for i, id := range ids {
		to.F32[i] = float32(id % uint64(c.Modulo))
	}
	return nil
}

// checkCodes refuses codes of fields that have no ids.
func checkCodes(s *features.Schema, net *nn.Net) error {
	for _, c := range net.Codes {
		i := s.Field(c.Field)
		if i < 0 {
			return fmt.Errorf("it asks for the ids of field %q, which the schema has not", c.Field)
		}
		if f := &s.Fields[i]; !f.HasIDs() || f.Ragged() != (c.Ragged != nil) {
			return fmt.Errorf("it asks for the ids of field %q, which is %s", c.Field, f.Kind)
		}
		if c.Ragged != nil && !slices.ContainsFunc(net.Lookups, func(l *nn.Lookup) bool { return l.Ragged == c.Ragged }) {
			return fmt.Errorf("the ids of field %q lie beside no looked-up sequence", c.Field)
		}
	}
	return nil
}
