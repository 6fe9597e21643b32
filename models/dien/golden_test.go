package dien_test

import (
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// TestGolden compares with the writing in bench/peers/models/dien.py, padded and step by step: each kind of attention in the recurrence, the negatives of the auxiliary loss drawn alike.
func TestGolden(t *testing.T) {
	modeltest.Golden(t, "testdata/golden.safetensors")
	modeltest.Golden(t, "testdata/golden-agru.safetensors")
	modeltest.Golden(t, "testdata/golden-aigru.safetensors")
}
