package kernel

import "testing"

func TestLevelIsLoweredByName(t *testing.T) {
	f := func(name string, best, vectors instructions, tiles bool) {
		t.Helper()
		if v, m := chosen(name, best); v != vectors || m != tiles {
			t.Errorf("%q where there is %v: %v, tiles %v; want %v, %v", name, best, v, m, vectors, tiles)
		}
	}
	f("", amx, avx512, true)
	f("", avx512, avx512, false)
	f("", portable, portable, false)
	f("amx", amx, avx512, true)
	f("avx512", amx, avx512, false)
	f("avx2", amx, avx2, false)
	f("portable", amx, portable, false)
	f("amx", avx2, avx2, false)
	f("avx512", avx2, avx2, false)
	f("AVX1024", amx, avx512, true)
}
