package kernel

import "slices"

// NoRow is the index that Gather and ScatterAdd take for "no row".
const NoRow = ^uint32(0)

// Gather copies rows: dst[i*dstStride:][:dim] = src[idx[i]*dim:][:dim] for every i; an index of NoRow writes zeros.
func Gather(dst []float32, dstStride int, src []float32, dim int, idx []uint32) {
	dst, src = slices.Clip(dst), slices.Clip(src)
	for i, row := range idx {
		d := dst[i*dstStride:][:dim]
		if row == NoRow {
			clear(d)
			continue
		}
		copy(d, src[int(row)*dim:][:dim])
	}
}

// ScatterAdd adds rows: dst[idx[i]*dim:][:dim] += src[i*srcStride:][:dim], in the order of idx; an index of NoRow is skipped.
//
//go:noinline
func ScatterAdd(dst []float32, dim int, idx []uint32, src []float32, srcStride int) {
	dst, src = slices.Clip(dst), slices.Clip(src)
	for i, row := range idx {
		if row == NoRow {
			continue
		}
		d := dst[int(row)*dim:][:dim]
		x := src[i*srcStride:][:dim]
		if level != portable && dim > 0 {
			binaryKernel(opAdd, &d[0], &d[0], &x[0], dim)
			continue
		}
		for j, v := range x {
			d[j] += v
		}
	}
}

// rowsAtOnce is how many rows one call into assembly handles: about a chunk's elements.
func rowsAtOnce(dim int) int { return max(chunk/(dim+32), 1) }

// checkRows panics where a row is shorter than dim.
func checkRows(rows [][]float32, dim int) {
	for i := range rows {
		_ = rows[i][:dim]
	}
}

// rowLists checks the rows of an optimizer's step, with states numbers of state for each weight, and reports whether there is anything to do.
func rowLists(w, state, g [][]float32, dim, states int) bool {
	checkRows(w, dim)
	checkRows(state[:len(w)], states*dim)
	checkRows(g[:len(w)], dim)
	return len(w) > 0 && dim > 0
}

// CopyRows copies the first dim elements of each row to dst[i·stride:]. Rows may lie anywhere: those to come are fetched ahead.
//
//go:noinline
func CopyRows(dst []float32, stride, dim int, rows [][]float32) {
	if len(rows) == 0 || dim == 0 {
		return
	}
	checkRows(rows, dim)
	_ = dst[(len(rows)-1)*stride:][:dim]
	if level == portable {
		for i, r := range rows {
			copy(dst[i*stride:][:dim], r)
		}
		return
	}
	for n := rowsAtOnce(dim); len(rows) > 0; {
		n = min(n, len(rows))
		copyRowsKernel(&dst[0], stride*float32Size, &rows[0], n, dim)
		rows, dst = rows[n:], dst[min(n*stride, len(dst)):]
	}
}

// SumRows writes sums of rows to dst[i·stride:][:dim]: sum i has counts[i] terms, at least one, each the first dim elements of the next of rows times the
// next of scales, added up in their order. With acc the sums are added to what is in dst.
//
//go:noinline
func SumRows(dst []float32, stride, dim int, counts []uint32, rows [][]float32, scales []float32, acc bool) {
	checkRows(rows, dim)
	scales = scales[:len(rows)]
	all := 0
	for _, n := range counts {
		if n == 0 {
			panic("kernel: a sum without terms")
		}
		all += int(n)
	}
	rows = rows[:all]
	if len(counts) == 0 || dim == 0 {
		return
	}
	_ = dst[(len(counts)-1)*stride:][:dim]
	if level != portable {
		sumRowsKernel(&dst[0], stride*float32Size, &counts[0], len(counts), &rows[0], &scales[0], all, dim, acc)
		return
	}
	for i, n := range counts {
		d := dst[i*stride:][:dim]
		if !acc {
			clear(d)
		}
		for k, r := range rows[:n] {
			for j, v := range r[:dim] {
				d[j] += scales[k] * v
			}
		}
		rows, scales = rows[n:], scales[n:]
	}
}
