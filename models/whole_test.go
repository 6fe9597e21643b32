package models_test

import (
	"testing"

	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
)

func TestWholeKey(t *testing.T) {
	f := func(model, key string, want bool) {
		t.Helper()
		if got := models.WholeKey(model, key); got != want {
			t.Errorf("WholeKey(%s, %s) = %v, want %v", model, key, got, want)
		}
	}
	f("DNN", "batch_size", true)
	f("DNN", "seed", true)
	f("DNN", "embedding_dim", true)
	f("DNN", "hidden_units", true) // a list of them
	f("DNN", "learning_rate", false)
	f("DNN", "net_dropout", false)
	f("DNN", "batch_norm", false)
	f("DNN", "no_such_key", false)
	f("no such model", "batch_size", true)
}
