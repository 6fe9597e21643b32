package table

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
)

func TestHalf(t *testing.T) {
	f := func(x float32, want uint16) {
		t.Helper()
		if got := AppendHalf(nil, []float32{x}); got[0] != want {
			t.Errorf("half(%g) = %#x, want %#x", x, got[0], want)
		}
	}
	f(0, 0)
	f(float32(math.Copysign(0, -1)), 0x8000)
	f(1, 0x3c00)
	f(-2, 0xc000)
	f(65504, 0x7bff)
	f(65519, 0x7bff)
	f(65520, 0x7c00)
	f(1e30, 0x7c00)
	f(float32(math.Inf(-1)), 0xfc00)
	f(1+1.0/2048, 0x3c00)     // a tie goes to the even one below
	f(1+3.0/2048, 0x3c02)     // and to the even one above
	f(1.0/(1<<24), 1)         // the least
	f(1.0/(1<<25), 0)         // a tie
	f(1.5/(1<<24), 2)         // a tie
	f(1.0/(1<<14), 0x400)     // the least that is normal
	f(0.99999/(1<<14), 0x400) // rounds up to it
	var back [1]float32
	for h := range uint32(1 << 16) {
		DecodeHalf(back[:], []uint16{uint16(h)})
		again := AppendHalf(nil, back[:])[0]
		if nan := h&0x7c00 == 0x7c00 && h&0x3ff != 0; nan != (back[0] != back[0]) || !nan && again != uint16(h) {
			t.Fatalf("%#x is %g and %#x again", h, back[0], again)
		}
	}
}

func TestExportedRowsAreNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	row, back := make([]float32, 33), make([]float32, 33)
	var halves []uint16
	var ints []int8
	for range 2000 {
		size := math.Exp(rng.Float64()*20 - 10)
		var top float64
		for i := range row {
			row[i] = float32(rng.NormFloat64() * size)
			top = max(top, math.Abs(float64(row[i])))
		}
		halves = AppendHalf(halves[:0], row)
		DecodeHalf(back, halves)
		for i, x := range row {
			if e := math.Abs(float64(back[i] - x)); math.Abs(float64(x)) <= 65504 && e > HalfError*math.Abs(float64(x)) && e > 1.0/(1<<25) {
				t.Fatalf("%g as float16 is %g", x, back[i])
			}
		}
		var scale float32
		ints, scale = AppendInt8(ints[:0], row)
		DecodeInt8(back, ints, scale)
		for i, x := range row {
			if e := math.Abs(float64(back[i] - x)); e > Int8Error*top {
				t.Fatalf("%g of at most %g as int8 is %g", x, top, back[i])
			}
		}
	}
	if ints, scale := AppendInt8(nil, make([]float32, 3)); scale != 0 || [3]int8(ints) != [3]int8{} {
		t.Errorf("zeros are %v times %g", ints, scale)
	}
}

func TestExport(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 2, Limits: Limits{EvictAfter: 1}})
	table.Put(5, []float32{1, -0.5})
	table.Put(6, []float32{3, 4})
	for step := range uint32(9) {
		table.Maintain(step)
		table.Touch(table.Find(6))
	}
	f := func(e Encoding, name string, want []byte) {
		t.Helper()
		p, err := table.Export(e)
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := p.Tensor("ids")
		if v, err := snapshot.Values[uint64](ids); err != nil || len(v) != 2 || v[1] != 6 {
			t.Errorf("%s: ids %v, %v", e, v, err)
		}
		if rows, _ := p.Tensor(name); string(rows.Data) != string(want) || len(rows.Shape) != 2 || rows.Shape[0] != 2 {
			t.Errorf("%s: %s is %v of shape %v, want %v", e, name, rows.Data, rows.Shape, want)
		}
	}
	f(Float32, "rows", append(make([]byte, 8), 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40))
	f(Float16, "half", []byte{0, 0, 0, 0, 0, 0x42, 0, 0x44})
	f(Int8, "int8", []byte{0, 0, 95, 127})
	if _, err := table.Export("int4"); err == nil {
		t.Error("an unknown encoding is taken")
	}
	table.Put(7, []float32{float32(math.NaN()), 0})
	if _, err := table.Export(Int8); err == nil {
		t.Error("a row that is not a number is exported")
	}
}
