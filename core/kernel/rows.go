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
