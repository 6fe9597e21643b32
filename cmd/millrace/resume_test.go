package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/models"
)

// progress is how far the state in a run's folder is.
type progress struct{ Epoch, Batch int }

func (p progress) steps() int { return p.Epoch*1000 + p.Batch }

// stateOf reads a run's state; false while there is none.
func stateOf(dir string) (p progress, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, "state", "manifest.json"))
	if err != nil {
		return p, false
	}
	var m snapshot.Manifest
	if json.Unmarshal(text, &m) != nil || json.Unmarshal(m.State[models.ProgressState], &p) != nil {
		return p, false
	}
	return p, true
}

// killAt starts a training, waits until its saved state is so far, and a moment more, and kills it. It returns the state that it left.
func killAt(t *testing.T, dir string, args []string, at int, moment time.Duration) progress {
	t.Helper()
	p := start(t, args...)
	eventually(t, fmt.Sprintf("the state is at step %d", at), func() bool {
		s, ok := stateOf(dir)
		if p.over() {
			t.Fatalf("the training ended before it was killed:\n%s", p.stderr)
		}
		return ok && s.steps() >= at
	})
	time.Sleep(moment) // any moment will do: within a step, within the writing of a state
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if code := p.wait().code; code != -1 {
		t.Fatalf("exit %d of a killed training:\n%s", code, p.stderr)
	}
	s, ok := stateOf(dir)
	if !ok {
		t.Fatal("a killed training left no state that can be read")
	}
	return s
}

// TestKillAndResume kills a training with -9 again and again: within epochs, between them, while it writes. Resumed, it must end with the bits of an
// uninterrupted run.
func TestKillAndResume(t *testing.T) {
	s := newShop(t)
	done(t, s.args("whole")...)
	whole := done(t, "eval", "--checkpoint", s.out("whole"), "--data", s.test, "--json").figures(t)

	rng := rand.New(rand.NewPCG(3, 4))
	moment := func() time.Duration { return time.Duration(rng.IntN(8_000)) * time.Microsecond }
	dir := s.out("killed")
	args := s.args("killed", "--resume", "--save-every", "1ns") // after every step: an epoch has 22
	kills := []int{1, 9, 1005, 2011}
	if !testing.Short() {
		for range 12 {
			kills = append(kills, 2011)
		}
		kills = append([]int{0, 0, 2, 4, 7}, kills...)
	}
	within := 0
	for i, at := range kills {
		if i > 0 && at <= kills[i-1] {
			at = 0
		}
		left := killAt(t, dir, args, at, moment())
		if left.Batch > 0 {
			within++
		}
		if left.Epoch == 3 {
			break
		}
	}
	if within < 3 {
		t.Errorf("%d of %d kills fell within an epoch; want at least 3", within, len(kills))
	}
	p := start(t, args...)
	o := p.wait()
	if o.code != exitDone {
		t.Fatalf("resume: exit %d\n%s", o.code, o.stderr)
	}
	if !strings.Contains(o.stderr, "going on at epoch") {
		t.Errorf("the resumed training does not say where it goes on:\n%s", o.stderr)
	}
	m := o.figures(t)
	for _, key := range []string{"auc", "logloss", "gauc"} {
		if m[key] != whole[key] {
			t.Errorf("%s: killed and resumed %v, uninterrupted %v", key, m[key], whole[key])
		}
	}
	sameFiles(t, filepath.Join(s.out("whole"), "checkpoint"), filepath.Join(dir, "checkpoint"))
}

// TestInterruptAndResume stops a training with Ctrl-C, which saves and exits 0; resumed, it ends with the bits of an uninterrupted run.
func TestInterruptAndResume(t *testing.T) {
	s := newShop(t)
	s.train = write(t, s.dir, "large.csv", shopRows(20_000, 6))
	s.model = write(t, s.dir, "long.yaml", strings.Replace(shopModel, "epochs: 3", "epochs: 8\nearly_stop_patience: 8", 1))
	done(t, s.args("whole")...)
	dir := s.out("stopped")
	saved := false
	for try := 0; try < 5 && !saved; try++ {
		before, _ := stateOf(dir)
		p := start(t, s.args("stopped", "--resume", "--save-every", "30ms")...)
		var seen progress
		eventually(t, "a further state within an epoch", func() bool {
			if p.over() {
				t.Fatalf("the training ended before it was interrupted:\n%s", p.stderr)
			}
			seen, _ = stateOf(dir)
			return seen.Batch > 0 && seen.steps() > before.steps()
		})
		time.Sleep(5 * time.Millisecond) // some steps that only the signal will save, unless the disk is slow: then it is tried again
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		o := p.wait()
		if o.code != exitDone {
			t.Fatalf("exit %d after Ctrl-C\n%s", o.code, o.stderr)
		}
		if !strings.Contains(o.stderr, "--resume") {
			t.Errorf("it does not say how to go on:\n%s", o.stderr)
		}
		if m := o.figures(t); m["interrupted"] != true {
			t.Errorf("the JSON does not say that the training was interrupted: %v", m)
		}
		left, ok := stateOf(dir)
		saved = ok && left.steps() > seen.steps()
	}
	if !saved {
		t.Error("Ctrl-C saved no step that was not saved before")
	}
	refused(t, s.args("stopped"), "--resume", "--overwrite")
	done(t, s.args("stopped", "--resume")...)
	sameFiles(t, filepath.Join(s.out("whole"), "checkpoint"), filepath.Join(dir, "checkpoint"))
}

func TestResumeOnNothing(t *testing.T) {
	s := newShop(t)
	done(t, s.args("whole")...)
	done(t, s.args("absent", "--resume")...)
	if err := os.Mkdir(s.out("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	done(t, s.args("empty", "--resume")...)
	for _, name := range []string{"absent", "empty"} {
		sameFiles(t, filepath.Join(s.out("whole"), "checkpoint"), filepath.Join(s.out(name), "checkpoint"))
	}
	// A run that is over stays as it is, and tells its figures again.
	m := done(t, s.args("whole", "--resume")...).figures(t)
	if auc := number(t, m, "auc"); auc < 0.6 {
		t.Errorf("AUC %g of a finished run", auc)
	}
	sameFiles(t, filepath.Join(s.out("whole"), "checkpoint"), filepath.Join(s.out("empty"), "checkpoint"))
}

// TestFolderInUse leaves what is in a run's folder alone unless told.
func TestFolderInUse(t *testing.T) {
	s := newShop(t)
	if err := os.Mkdir(s.out("mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	notes := write(t, s.out("mine"), "notes.txt", "mine")
	refused(t, s.args("mine"), "mine", "not empty", "--resume", "--overwrite")
	done(t, s.args("mine", "--overwrite")...)
	if text, err := os.ReadFile(notes); err != nil || string(text) != "mine" {
		t.Errorf("--overwrite touched what is not a run's: %q, %v", text, err)
	}
	before := contents(t, s.out("mine"))
	refused(t, s.args("mine"), "not empty")
	for name, sum := range contents(t, s.out("mine")) {
		if before[name] != sum {
			t.Errorf("a refused run changed %s", name)
		}
	}
}

// TestResumeOtherRun refuses to go on with another seed, model or data than the run was started with.
func TestResumeOtherRun(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	refused(t, s.args("run", "--resume", "--seed", "77"), "--seed 2021, now it is --seed 77;", "--overwrite")
	refused(t, s.args("run", "--resume", "--overwrite"), "--resume", "--overwrite", "one of them")
	other := s
	other.model = write(t, s.dir, "other.yaml", strings.Replace(shopModel, "[16, 8]", "[16, 9]", 1))
	refused(t, other.args("run", "--resume"), "model.yaml", "--overwrite")
	other = s
	other.train = s.valid
	refused(t, other.args("run", "--resume"), "valid.csv", "--overwrite")
	refused(t, s.args("run", "--resume", "--seeds", "2"), "single seed", "--overwrite")
	if err := os.RemoveAll(filepath.Join(s.out("run"), "state")); err != nil {
		t.Fatal(err)
	}
	refused(t, s.args("run", "--resume"), "no state", "--overwrite")
}
