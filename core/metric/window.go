package metric

// Window keeps the last rows of a stream, for progressive validation: each row is scored before it is trained on.
type Window struct {
	keys []uint64
	next int
	full bool
}

// NewWindow returns a window over the last n rows, at least one.
func NewWindow(n int) *Window { return &Window{keys: make([]uint64, max(n, 1))} }

// Add puts a row in place of the oldest. A NaN label or score is left out.
func (w *Window) Add(score, label float32) {
	if score != score || label != label {
		return
	}
	w.keys[w.next] = pack(score, label > 0.5, 1)
	if w.next++; w.next == len(w.keys) {
		w.next, w.full = 0, true
	}
}

// Rows appends the window's rows to r, for any metric over them; groups are not kept.
func (w *Window) Rows(r *Rows) {
	keys := w.keys[:w.next]
	if w.full {
		keys = w.keys
	}
	r.Merge(&Rows{keys: keys})
}

// Len is the number of rows held.
func (w *Window) Len() int {
	if w.full {
		return len(w.keys)
	}
	return w.next
}

// AUC is the AUC over the rows held, NaN when one class is absent.
func (w *Window) AUC() float64 {
	var r Rows
	w.Rows(&r)
	return r.AUC()
}
