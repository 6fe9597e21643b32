package kernel

import "sync"

// tileConfig says how many rows and bytes of a row each tile register has, as LDTILECFG takes it.
type tileConfig [64]byte

// newTileConfig makes tiles for a panel of rows rows and a block of cols columns: C 0 to 3, A 4 and 5, B 6 and 7.
func newTileConfig(rows, cols int) *tileConfig {
	t := &tileConfig{0: 1}
	r := [2]int{min(rows, tileRows), rows - tileRows}
	c := [2]int{min(cols, tileRows), cols - tileRows}
	for i, size := range r {
		if size <= 0 {
			continue
		}
		t.tile(4+i, size, tileRow)
		for j, width := range c {
			if width > 0 {
				t.tile(2*i+j, size, float32Size*width)
				t.tile(6+j, tileRows, float32Size*width)
			}
		}
	}
	return t
}

func (t *tileConfig) tile(i, rows, bytes int) { t[16+2*i], t[48+i] = byte(bytes), byte(rows) }

// tileConfigs are the configurations for 1 to 32 rows and 1 to 32 columns. A configuration written just before it is loaded would make
// the processor wait.
var tileConfigs = sync.OnceValue(func() *[tilePanel][tilePanel]*tileConfig {
	all := new([tilePanel][tilePanel]*tileConfig)
	for r := range all {
		for c := range all[r] {
			all[r][c] = newTileConfig(r+1, c+1)
		}
	}
	return all
})
