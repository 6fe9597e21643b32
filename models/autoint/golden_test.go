package autoint_test

import (
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// TestGolden compares with the writing in bench/peers/models/autoint.py.
func TestGolden(t *testing.T) { modeltest.Golden(t, "testdata/golden.safetensors") }
