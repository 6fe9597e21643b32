package features

// Batch is one encoded batch, reused from batch to batch: what models consume.
type Batch struct {
	Rows    int
	Columns []Column    // one a schema field, in schema order
	Labels  [][]float32 // one a label: [Rows], NaN where missing
	Weights []float32   // [Rows], or nil
	Groups  []uint64    // [Rows] hashed group ids, or nil
	Times   []int64     // [Rows] timestamps, or nil

	weights []float32 // memory of the three kept while a batch has none
	groups  []uint64
	times   []int64
}

// Column is one field of a batch. Categorical and bucketed numeric: IDs [Rows]. Multi and sequence: IDs of all rows one after another, row b at Offsets[b]:Offsets[b+1].
// Numeric: Values [Rows] (0 where missing and standardised, else the training mean) and Missing [Rows] as 0 or 1.
// An id is a 64-bit hash of the value salted by the field's table, never 0; table.UnknownID stands for ids outside the vocabulary.
type Column struct {
	IDs     []uint64
	Offsets []int32
	Values  []float32
	Missing []float32
}

// Append adds row r of o to b; both must come from the same schema.
func (b *Batch) Append(o *Batch, r int) {
	b.shape(len(o.Columns), len(o.Labels))
	if o.Weights != nil && b.Weights == nil && b.Rows == 0 {
		b.Weights = resize(b.weights, 0)
	}
	if o.Groups != nil && b.Groups == nil && b.Rows == 0 {
		b.Groups = resize(b.groups, 0)
	}
	if o.Times != nil && b.Times == nil && b.Rows == 0 {
		b.Times = resize(b.times, 0)
	}
	for i := range o.Columns {
		from, to := &o.Columns[i], &b.Columns[i]
		switch {
		case len(from.Offsets) > 0:
			if len(to.Offsets) == 0 {
				to.Offsets = append(to.Offsets, 0)
			}
			to.IDs = append(to.IDs, from.IDs[from.Offsets[r]:from.Offsets[r+1]]...)
			to.Offsets = append(to.Offsets, int32(len(to.IDs)))
		case len(from.IDs) > 0:
			to.IDs = append(to.IDs, from.IDs[r])
		default:
			to.Values = append(to.Values, from.Values[r])
			to.Missing = append(to.Missing, from.Missing[r])
		}
	}
	for i := range o.Labels {
		b.Labels[i] = append(b.Labels[i], o.Labels[i][r])
	}
	if b.Weights != nil {
		b.Weights = append(b.Weights, weightOf(o, r))
	}
	if b.Groups != nil {
		b.Groups = append(b.Groups, at(o.Groups, r))
	}
	if b.Times != nil {
		b.Times = append(b.Times, at(o.Times, r))
	}
	b.Rows++
}

func weightOf(o *Batch, r int) float32 {
	if o.Weights == nil {
		return 1
	}
	return o.Weights[r]
}

func at[T any](v []T, r int) (zero T) {
	if v == nil {
		return zero
	}
	return v[r]
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.Rows = 0
	for i := range b.Columns {
		c := &b.Columns[i]
		c.IDs, c.Offsets, c.Values, c.Missing = c.IDs[:0], c.Offsets[:0], c.Values[:0], c.Missing[:0]
	}
	for i := range b.Labels {
		b.Labels[i] = b.Labels[i][:0]
	}
	b.park()
}

// park sets the optional columns to nil and keeps their memory.
func (b *Batch) park() {
	if b.Weights != nil {
		b.weights, b.Weights = b.Weights, nil
	}
	if b.Groups != nil {
		b.groups, b.Groups = b.Groups, nil
	}
	if b.Times != nil {
		b.times, b.Times = b.Times, nil
	}
}

// shape gives the batch its columns and labels.
func (b *Batch) shape(columns, labels int) {
	if len(b.Columns) != columns {
		b.Columns = make([]Column, columns)
	}
	if len(b.Labels) != labels {
		b.Labels = make([][]float32, labels)
	}
}

// resize returns v with n elements of any content, keeping its memory where it can; it is never nil.
func resize[T any](v []T, n int) []T {
	if v == nil || cap(v) < n {
		return make([]T, n, n+n/8)
	}
	return v[:n]
}
