package features

import "slices"

// MayLack says that files and records may be without the columns of these fields, whose values are then missing: what a model scores with needs not all that it was trained with.
func (s *Schema) MayLack(fields ...string) {
	for i := range s.Fields {
		if slices.Contains(fields, s.Fields[i].Name) {
			s.Fields[i].optional = true
		}
	}
}

// dispensable reports whether a column is read by fields alone that may lack it.
func (l *layout) dispensable(c *column) bool {
	if len(c.fields) == 0 || len(c.labels) > 0 || c.user || c.item || c.time || c.group || c.weight || c.propensity {
		return false
	}
	return !slices.ContainsFunc(c.fields, func(i int) bool { return !l.schema.Fields[i].optional })
}
