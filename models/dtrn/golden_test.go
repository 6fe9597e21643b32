package dtrn_test

import (
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// TestGolden compares with the writing in bench/peers/models/dtrn.py: the default form; norms before each part, the candidate appended and PLE; one bottom with MMoE. Some labels are missing.
func TestGolden(t *testing.T) {
	modeltest.Golden(t, "testdata/golden.safetensors")
	modeltest.Golden(t, "testdata/golden-ple.safetensors")
	modeltest.Golden(t, "testdata/golden-mmoe.safetensors")
}
