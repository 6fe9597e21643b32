package table

import "math"

// initial draws the weights of an id's new row, until the next call, from N(0, InitStd²) with a counter-based generator keyed on (seed, table name, id):
// each pair of weights is one Box–Muller transform of two words of SplitMix64's sequence.
func (t *Table) initial(id uint64) []float32 {
	if t.drawn == nil {
		t.drawn = make([]float32, t.opt.Dim)
	}
	row := t.drawn
	if t.opt.InitStd == 0 {
		return row
	}
	word := mix(id+0x9e3779b97f4a7c15) ^ t.key
	next := func() float64 {
		word += 0x9e3779b97f4a7c15
		z := word
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		return (float64(z>>11) + 0.5) / (1 << 53)
	}
	for i := 0; i < len(row); i += 2 {
		r := t.opt.InitStd * math.Sqrt(-2*math.Log(next()))
		sin, cos := math.Sincos(2 * math.Pi * next())
		row[i] = float32(r * cos)
		if i+1 < len(row) {
			row[i+1] = float32(r * sin)
		}
	}
	return row
}
