package features

import "math"

// cell is one column's value of one row, in the column's form.
type cell struct {
	missing bool
	text    []byte // text form; valid while the row is
	list    [][]byte
	number  float64
	instant int64
}

// fault says why a value cannot be used; the zero fault is none.
type fault struct{ field, reason string }

func (f fault) bad() bool { return f.reason != "" }

// fieldName names who complains about a column: its first field or label, else the column.
func (l *layout) fieldName(c *column) string {
	switch {
	case len(c.fields) > 0:
		return l.schema.Fields[c.fields[0]].Name
	case len(c.labels) > 0:
		return l.schema.Labels[c.labels[0]].Name
	}
	return c.name
}

// checkMissing refuses missing values of what a row must have when labels are asked for: the only label, the time.
func (l *layout) checkMissing(c *column, labels bool) fault {
	switch {
	case !labels:
	case len(c.labels) > 0 && len(l.schema.Labels) == 1:
		return fault{l.fieldName(c), "the label is missing"}
	case c.time:
		return fault{c.name, "the timestamp is missing"}
	}
	return fault{}
}

// checkNumber refuses what a number's readers cannot use.
func (l *layout) checkNumber(c *column, v float64) fault {
	for _, i := range c.fields {
		f := &l.schema.Fields[i]
		if f.Kind != Numeric {
			continue
		}
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return fault{f.Name, "not a finite number"}
		}
		if !f.Log && len(f.Buckets) == 0 && math.Abs(v) > math.MaxFloat32 {
			return fault{f.Name, "number out of float32's range"}
		}
	}
	for _, i := range c.labels {
		if _, why := l.label[i].ofNumber(v); why != "" {
			return fault{l.label[i].name, why}
		}
	}
	if c.weight && !(v >= 0 && v <= math.MaxFloat32) {
		return fault{c.name, "a weight must be 0 or more"}
	}
	if c.propensity && !isPropensity(v) {
		return fault{c.name, noPropensity}
	}
	return fault{}
}

// checkText refuses what the readers of a text column cannot use: those that want a number or a time of it.
func (l *layout) checkText(c *column, s string) fault {
	if len(c.labels) == 0 && !c.time && !c.weight && !c.propensity && len(c.fields) == 0 {
		return fault{}
	}
	number := c.weight || c.propensity
	for _, i := range c.fields {
		number = number || l.schema.Fields[i].Kind == Numeric
	}
	for _, i := range c.labels {
		if _, why := l.label[i].ofText(s); why != "" {
			return fault{l.label[i].name, why}
		}
	}
	if c.time {
		if _, err := parseInstant(s); err != nil {
			return fault{c.name, err.Error()}
		}
	}
	if number {
		v, err := parseNumber(s)
		if err != nil {
			return fault{l.fieldName(c), err.Error()}
		}
		plain := *c
		plain.labels = nil
		return l.checkNumber(&plain, v)
	}
	return fault{}
}

// readText fills a cell from text as files and requests hold it.
func (l *layout) readText(c *column, b []byte, labels bool, out *cell) fault {
	out.missing = l.missing.has(view(b))
	if !out.missing && (c.form == numberForm || c.form == instantForm) {
		b = trimBlanks(b)
		out.missing = l.missing.has(view(b))
	}
	if out.missing {
		return l.checkMissing(c, labels)
	}
	switch c.form {
	case textForm:
		out.text = b
		return l.checkText(c, view(b))
	case numberForm:
		v, err := parseNumber(view(b))
		if err != nil {
			return fault{l.fieldName(c), err.Error()}
		}
		out.number = v
		return l.checkNumber(c, v)
	case instantForm:
		v, err := parseInstant(view(b))
		if err != nil {
			return fault{c.name, err.Error()}
		}
		out.instant = v
	case listForm:
		out.list = splitList(out.list[:0], b, l.schema.CSV.ListSeparator)
	}
	return fault{}
}
