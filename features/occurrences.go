package features

// Occurrences holds, for each table name, how often each id occurs in the training rows: in all fields that read the table, histories included, whatever their minimum counts.
type Occurrences map[string]map[uint64]uint32

// CountOccurrences makes one pass over the training rows.
func CountOccurrences(s *Schema, files []string, part *Part, o ReadOptions) (Occurrences, error) {
	f, err := newFitter(s)
	if err != nil {
		return nil, err
	}
	for _, c := range f.tables {
		c.least = max(c.least, 2) // counters count where there is a minimum
	}
	if err := f.read(s, files, part, o, nil); err != nil {
		return nil, err
	}
	counts := Occurrences{}
	for name, c := range f.tables {
		of := make(map[uint64]uint32, len(c.order))
		for k, id := range c.order {
			of[id] = c.counts[k]
		}
		counts[name] = of
	}
	return counts, nil
}
