package prepare

import "fmt"

// Flags makes a list of the names of those columns that hold 1: several 0/1 columns, a category each, become one multi-valued column. A missing value counts as 0.
type Flags struct {
	Columns []string `yaml:"columns"` // in the order of the list
	Into    string   `yaml:"into"`
}

func (f *Flags) check(needs func(string, bool) error) error {
	if err := needs("columns", len(f.Columns) > 0); err != nil {
		return err
	}
	return needs("into", f.Into != "")
}

func (p *pipeline) flags(f *Flags) error {
	n := p.table.rows
	names := &column{name: f.Into, kind: textKind, dict: newDictionary()}
	from := make([]*column, len(f.Columns))
	for i, name := range f.Columns {
		c, err := p.table.single(name)
		if err != nil {
			return err
		}
		from[i] = c
	}
	out := &column{name: f.Into, kind: listKind, elems: names, start: make([]int64, n), end: make([]int64, n)}
	for r := range n {
		out.start[r] = int64(len(names.code))
		for _, c := range from {
			switch v, ok := c.number(r); {
			case c.absent(r) || ok && v == 0:
			case ok && v == 1:
				names.code = append(names.code, names.dict.of(c.name))
			default:
				return fmt.Errorf("column %q, value %.60q: want 0 or 1", c.name, c.text(r))
			}
		}
		out.end[r] = int64(len(names.code))
	}
	p.table.put(out)
	return nil
}
