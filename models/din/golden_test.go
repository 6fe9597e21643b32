package din_test

import (
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// TestGolden compares with the writing in bench/peers/models/din.py, with and without softmax.
func TestGolden(t *testing.T) {
	modeltest.Golden(t, "testdata/golden.safetensors")
	modeltest.Golden(t, "testdata/golden-softmax.safetensors")
}
