package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// withTiles skips where there are no matrix tiles, and uses them for the test otherwise.
func withTiles(t *testing.T) {
	t.Helper()
	if detect() < amx {
		t.Skip("this processor or system has no AMX")
	}
	vectors, matrices := level, tiles
	t.Cleanup(func() { level, tiles = vectors, matrices })
	level, tiles = avx512, true
}

// The tiles compute every shape, those that Gemm leaves to the vectors included.
func TestTilesTails(t *testing.T) {
	withTiles(t)
	withThreads(t, 2)
	rng := rand.New(rand.NewPCG(20, 21))
	f := func(m, n, k, flags, pad int) {
		t.Helper()
		checkWith(t, shaped(m, n, k, flags, pad), rng, gemmTiled)
	}
	for v := 1; v < 68; v++ {
		for flags := range 8 {
			f(v, 1+rng.IntN(67), 1+rng.IntN(67), flags, v%5)
			f(1+rng.IntN(67), v, 1+rng.IntN(67), flags, v%5)
			f(1+rng.IntN(67), 1+rng.IntN(67), v, flags, v%5)
		}
	}
}

// The shapes here cross every border of the blocking: depth, width, panels, sharing by rows and by columns.
func TestTilesBlocks(t *testing.T) {
	withTiles(t)
	rng := rand.New(rand.NewPCG(22, 23))
	for _, threads := range []int{1, 3} {
		withThreads(t, threads)
		f := func(m, n, k, flags, pad int) {
			t.Helper()
			checkWith(t, shaped(m, n, k, flags, pad), rng, gemmTiled)
		}
		f(3, 417, 513, 0, 0)
		f(65, 449, 545, 3, 1)
		f(130, 20, 1100, 5, 0)
		f(70, 833, 33, 4, 3)
		f(2, 1300, 770, 2, 0)
		f(1, 416, 512, 4, 0)
	}
}

// scaled is the elements of x [rows, cols] times powers of two of up to ±20, one for each row or one for each column.
func scaled(rng *rand.Rand, x []float32, rows, cols int, byRow bool) []float32 {
	scales := make([]float32, max(rows, cols))
	for i := range scales {
		scales[i] = float32(math.Ldexp(1, rng.IntN(41)-20))
	}
	for i := range x {
		if byRow {
			x[i] *= scales[i/cols]
		} else {
			x[i] *= scales[i%cols]
		}
	}
	return x
}

// productErrors are the largest and the root mean square error of C = A·B, each element's relative to Σ|a·b|.
func productErrors(m, n, k int, a, b, c []float32) (worst, rms float64) {
	for i := range m {
		for j := range n {
			var want, size float64
			for p := range k {
				ab := float64(a[i*k+p]) * float64(b[p*n+j])
				want += ab
				size += math.Abs(ab)
			}
			e := math.Abs(float64(c[i*n+j])-want) / max(size, math.SmallestNonzeroFloat32)
			worst = max(worst, e)
			rms += e * e
		}
	}
	return worst, math.Sqrt(rms / float64(m*n))
}

// The tiles are no less exact than multiply-adds in float32: the split loses nothing that float32 would have kept.
func TestTilesAreAsExactAsVectors(t *testing.T) {
	withTiles(t)
	rng := rand.New(rand.NewPCG(24, 25))
	// Where few products make up a sum, it has few roundings in float32, and the six of the parts tell.
	f := func(what string, few bool, m, n, k int, a, b []float32) {
		t.Helper()
		c := make([]float32, m*n)
		gemmBlocked(false, false, m, n, k, a, k, b, n, false, c, n)
		worst, rms := productErrors(m, n, k, a, b, c)
		gemmTiled(false, false, m, n, k, a, k, b, n, false, c, n)
		tiledWorst, tiledRMS := productErrors(m, n, k, a, b, c)
		t.Logf("%s %s: largest error %.2g and %.2g, rms %.2g and %.2g: ratios %.2f, %.2f", what, sizeName(m, n, k), worst, tiledWorst, rms, tiledRMS, tiledWorst/worst, tiledRMS/rms)
		bound, least := 0.9, 0.0
		if few || k < 64 {
			bound, least = 1.5, 6*0x1p-24
		}
		if tiledWorst > max(bound*worst, least) || tiledRMS > bound*rms {
			t.Errorf("%s %s: tiles are less exact than vectors", what, sizeName(m, n, k))
		}
	}
	for _, k := range []int{2, 7, 16, 33, 64, 400, 1100, 4096} {
		if testing.Short() && k > 400 {
			continue
		}
		m, n := 35, 50
		f("uniform", false, m, n, k, random(rng, m*k), random(rng, k*n))
		f("scaled along k", true, m, n, k, scaled(rng, random(rng, m*k), m, k, false), scaled(rng, random(rng, k*n), k, n, true))
		f("scaled by row and column", false, m, n, k, scaled(rng, random(rng, m*k), m, k, true), scaled(rng, random(rng, k*n), k, n, false))
		a, b := random(rng, m*k), random(rng, k*n)
		for i := range a { // the second half takes the first away, but for the last places
			if p := i % k; p >= (k+1)/2 {
				a[i] = -a[i-k/2] * (1 + rng.Float32()*1e-6)
			}
		}
		for i := range b {
			if p := i / n; p >= (k+1)/2 {
				b[i] = b[i-k/2*n]
			}
		}
		f("cancelling", false, m, n, k, a, b)
		for i := range a {
			a[i] = max(a[i], 0)
		}
		f("rectified", false, m, n, k, a, b)
	}
}

// What is not a finite number, or too large for the parts, comes out as no finite number where it counts and nowhere else.
func TestTilesKeepNonFinite(t *testing.T) {
	withTiles(t)
	const m, n, k = 70, 90, 100
	rng := rand.New(rand.NewPCG(26, 27))
	bad := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0x7fffffff), math.Float32frombits(0xffffffff),
		math.Float32frombits(0x7f800001), math.Float32frombits(0xff800001), math.MaxFloat32, -math.MaxFloat32, math.Float32frombits(0x7f7f8000)}
	for _, x := range bad {
		a, b, c := random(rng, m*k), random(rng, k*n), make([]float32, m*n)
		row, col, step := rng.IntN(m), rng.IntN(n), rng.IntN(k)
		a[row*k+step], b[step*n+col] = x, x
		gemmTiled(false, false, m, n, k, a, k, b, n, false, c, n)
		for i, v := range c {
			finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
			if affected := i/n == row || i%n == col; finite == affected {
				t.Fatalf("%v (%#x) at row %d and column %d: C[%d,%d] = %v", x, math.Float32bits(x), row, col, i/n, i%n, v)
			}
		}
	}
	// The largest number that the parts hold is exact.
	large := math.Float32frombits(0x7f7f7fff)
	a, c := []float32{large}, []float32{0}
	gemmTiled(false, false, 1, 1, 1, a, 1, []float32{0.5}, 1, false, c, 1)
	if c[0] != large/2 {
		t.Errorf("half of %v is %v", large, c[0])
	}
}

func TestTilesOfSmallNumbers(t *testing.T) {
	withTiles(t)
	f := func(x, y, within float32) {
		t.Helper()
		c := []float32{0}
		gemmTiled(false, false, 1, 1, 1, []float32{x}, 1, []float32{y}, 1, false, c, 1)
		if d := math.Abs(float64(c[0]) - float64(x)*float64(y)); d > float64(within) {
			t.Errorf("%v · %v = %v, off by %v", x, y, c[0], d)
		}
	}
	f(1.2345678e-31, 1, 1e-38)
	f(1.2345678e-33, 1, 0x1p-126)
	f(1.2345678e-36, 1, 3*0x1p-126)
	f(1.2345678e-20, 1.7654321e-17, 6*0x1p-126)
	f(1.2345678e-30, 1.7654321e-30, 0x1p-126)
	f(1e-42, 1, 0x1p-126)
	f(1e-42, 1e30, 0x1p-126*1e30)
}

// Bits depend on the row of op(A) and on B alone: not on threads, the other rows, the block of columns or the packing.
func TestTilesBitsDependOnOperandsAlone(t *testing.T) {
	withTiles(t)
	const m, n, k = 300, 450, 600
	rng := rand.New(rand.NewPCG(28, 29))
	a, b := random(rng, m*k), random(rng, k*n)
	at, bt := make([]float32, k*m), make([]float32, n*k)
	transposeInto(at, m, a, k, m, k)
	transposeInto(bt, k, b, n, k, n)
	w := Pack(k, n, b, n)
	var want []float32
	for _, threads := range []int{1, 2, 5} {
		withThreads(t, threads)
		for _, rows := range []int{m, 1, 19, 64, 257} {
			for form := range 4 {
				c := make([]float32, m*n)
				for i := 0; i < m; i += rows {
					r := min(rows, m-i)
					switch form {
					case 0:
						gemmTiled(false, false, r, n, k, a[i*k:], k, b, n, false, c[i*n:], n)
					case 1:
						gemmTiled(false, true, r, n, k, a[i*k:], k, bt, k, false, c[i*n:], n)
					case 2:
						gemmTiled(true, false, r, n, k, at[i:], m, b, n, false, c[i*n:], n)
					case 3:
						gemmTiledPacked(r, a[i*k:], k, w, false, c[i*n:], n)
					}
				}
				if want == nil {
					want = c
				}
				sameBits(t, c, want)
			}
		}
	}
}

func TestTilesAllocateNothing(t *testing.T) {
	withTiles(t)
	withThreads(t, 2)
	a, b, c := make([]float32, 300*80), make([]float32, 80*80), make([]float32, 300*80)
	w := Pack(80, 79, b, 80)
	for _, m := range []int{80, 300} {
		f := func() {
			Gemm(false, true, m, 79, 80, a, 80, b, 80, false, c, 80)
			Gemm(true, false, 79, 80, m, a, 80, c, 80, true, b, 80)
			GemmPacked(m, a, 80, w, false, c, 80)
		}
		f()
		if n := testing.AllocsPerRun(10, f); n != 0 {
			t.Errorf("%d rows: %v allocations", m, n)
		}
	}
}

// Weights laid out again are those of the moment, at no allocation, and give the bits that Gemm gives.
func TestRepackFollowsTheWeights(t *testing.T) {
	withTiles(t)
	withThreads(t, 2)
	const m, n, k = 300, 90, 150
	rng := rand.New(rand.NewPCG(32, 33))
	a, b, got, want := random(rng, m*k), random(rng, n*k), make([]float32, m*n), make([]float32, m*n)
	var w Packed
	f := func(trans bool) {
		if !w.Repack(trans, m, k, n, b, map[bool]int{false: n, true: k}[trans]) {
			t.Fatal("tiles do not pay at the shape of this test")
		}
		GemmPacked(m, a, k, &w, false, got, n)
	}
	for _, trans := range []bool{false, true, true, false} {
		b[rng.IntN(n*k)]++
		f(trans)
		Gemm(false, trans, m, n, k, a, k, b, map[bool]int{false: n, true: k}[trans], false, want, n)
		sameBits(t, got, want)
	}
	if n := testing.AllocsPerRun(10, func() { f(false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if w.Repack(false, 2, k, n, b, n) {
		t.Error("two rows were thought to pay")
	}
	tiles = false
	if w.Repack(false, m, k, n, b, n) {
		t.Error("laid out for tiles that are not in use")
	}
}

func TestTileGrid(t *testing.T) {
	f := func(threads, m, n, rows, cols int) {
		t.Helper()
		if g := shareTiles(threads, m, n, false, false); g != (tileGrid{rows, cols}) {
			t.Errorf("%d threads share C [%d, %d] as %d by %d, want %d by %d", threads, m, n, g.rows, g.cols, rows, cols)
		}
	}
	f(1, 4096, 400, 1, 1)
	f(2, 4096, 400, 4, 1)
	f(2, 100, 1600, 1, 2)
	f(2, 1600, 100, 2, 1)
	f(16, 20, 20, 1, 1)
	for threads := 1; threads <= maxThreads; threads++ {
		g := shareTiles(threads, 4096, 4096, true, true)
		if parts := g.rows * g.cols; parts > threads*partsPerThread || parts < threads*3/4 {
			t.Errorf("%d parts for %d threads", parts, threads)
		}
	}
}

func FuzzTiles(f *testing.F) {
	f.Add(uint16(8), uint16(48), uint16(400), uint8(0), uint8(0))
	f.Add(uint16(33), uint16(65), uint16(545), uint8(3), uint8(1))
	f.Add(uint16(1), uint16(417), uint16(1), uint8(6), uint8(7))
	f.Fuzz(func(t *testing.T, m, n, k uint16, flags, pad uint8) {
		withTiles(t)
		p := shaped(1+int(m%100), 1+int(n%450), 1+int(k%800), int(flags), int(pad%70))
		checkWith(t, p, rand.New(rand.NewPCG(uint64(m), uint64(n))), gemmTiled)
	})
}
