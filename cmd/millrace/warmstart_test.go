package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/streaming"
)

// TestInitOfAnotherSchema: training and the daemon start from the weights that still mean the same, and say which.
func TestInitOfAnotherSchema(t *testing.T) {
	s := newShop(t)
	done(t, s.args("first")...)
	text, err := os.ReadFile(s.schema)
	if err != nil {
		t.Fatal(err)
	}
	s.schema = write(t, s.dir, "narrow.yaml", strings.Replace(string(text), "  - {name: age, type: numeric, from: user, standardise: true}\n", "", 1))
	o := done(t, s.args("second", "--init", s.out("first"))...)
	for _, want := range []string{"started from checkpoint", "dropped: age", "rows kept with the optimizer's state"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("train --init tells\n%s\nwant %q", o.stderr, want)
		}
	}
	init, ok := o.figures(t)["init"].(map[string]any)
	if !ok || init["fields"] == nil || init["tables"] == nil || init["dense"] == nil {
		t.Errorf("figures' init: %v", init)
	}

	config := "schema: narrow.yaml\nmodel: model.yaml\ncheckpoint: " + s.out("daemon") + "\nkafka: {brokers: [127.0.0.1:1]}\n"
	c, err := readStreamConfig(write(t, s.dir, "stream.yaml", config))
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	options := streaming.Options{Config: c}
	inherited, err := startLearner(&options, s.out("first"), &lineWriter{w: &told})
	if err != nil {
		t.Fatal(err)
	}
	if options.Learner == nil || inherited == nil || !strings.Contains(told.String(), "dropped: age") {
		t.Errorf("stream --init tells\n%s", told.String())
	}

	// Settings of another model are no obstacle to training, another kind of weights altogether is.
	alien := write(t, s.dir, "alien.yaml", "labels: [{name: click}]\nfields: [{name: time, type: numeric}]\n")
	s.schema, s.model = alien, write(t, s.dir, "lr.yaml", "model: lr\nepochs: 1\n")
	refused(t, s.args("third", "--init", s.out("first")), "--init", "nothing")
}
