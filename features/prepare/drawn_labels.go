package prepare

import "fmt"

// zeroDrawn sets the other labels of drawn rows to 0, for what a user never took he did not do more with. drawn holds the item drawn for each row of out, or -1.
func (n *Negatives) zeroDrawn(out *table, drawn []int32) error {
	for _, name := range n.Zero {
		c, err := out.column(name)
		if err != nil {
			return fmt.Errorf("zero: %w", err)
		}
		if c.kind != integerKind {
			return fmt.Errorf("zero: column %q is %s; want the 0/1 of a label step", name, c.kind)
		}
		labels := &column{name: name, kind: integerKind, ints: append([]int64(nil), c.ints...)}
		for i, d := range drawn {
			if d >= 0 {
				labels.ints[i] = 0
			}
		}
		out.put(labels)
	}
	return nil
}
