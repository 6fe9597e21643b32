package features

// Batch is one encoded batch, reused from batch to batch: what models consume.
type Batch struct {
	Rows    int
	Columns []Column    // one a schema field, in schema order
	Labels  [][]float32 // one a label: [Rows], NaN where missing
	Weights []float32   // [Rows], or nil
	Groups  []uint64    // [Rows] hashed group ids, or nil
	Times   []int64     // [Rows] timestamps, or nil
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
func (b *Batch) Append(o *Batch, r int) { panic("contract") }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { panic("contract") }
