package world

import (
	"math"
	"reflect"
	"testing"
)

func play(t testing.TB, c TasksConfig, rows int) []TaskRow {
	t.Helper()
	w, err := NewTasks(c)
	if err != nil {
		t.Fatal(err)
	}
	var out []TaskRow
	for range rows {
		out = append(out, w.Next())
	}
	return out
}

// The probabilities follow from what the rows before show, which a model may read: the newest 8 clicks and saves of the user, and nothing of the row's own outcome.
func TestTasksFollowFromEarlierRows(t *testing.T) {
	rows := play(t, TasksConfig{Seed: 3, Users: 7}, 3000)
	w, err := NewTasks(TasksConfig{Seed: 3, Users: 7})
	if err != nil {
		t.Fatal(err)
	}
	logit := func(p float64) float64 { return math.Log(p / (1 - p)) }
	for at, r := range rows {
		var felt [2][2]struct{ sum, n float64 } // [click, save][topic, style]
		var seen [2]int
		for b := at - 1; b >= 0; b-- {
			e := rows[b]
			if e.User != r.User {
				continue
			}
			for k, did := range e.Label {
				if !did || seen[k] == 8 {
					continue
				}
				seen[k]++
				if e.Topic == r.Topic {
					felt[k][0].sum += float64(e.Mood)
					felt[k][0].n++
				}
				if e.Style == r.Style {
					felt[k][1].sum += float64(e.Mood)
					felt[k][1].n++
				}
			}
		}
		mean := func(k, what int) float64 { return felt[k][what].sum / math.Max(1, felt[k][what].n) }
		draws := [2]float64{mean(0, 0) + mean(1, 0), mean(0, 1) + mean(1, 1)}
		for task := range draws {
			trait := (r.Mode + task) % 3
			want := -0.8 + w.appeal[r.Item] + 2.5*draws[task] - 0.625*draws[1-task] + w.effect[trait][r.Traits[trait]]
			if got := logit(r.Probability[task]); math.Abs(got-want) > 1e-6 {
				t.Fatalf("row %d, task %d: logit %g, want %g", at, task, got, want)
			}
		}
	}
}

// What is best for one task is a bad order for the other, and an order that serves both alike is far from the best of each.
func TestTasksConflict(t *testing.T) {
	rows := play(t, TasksConfig{Seed: 1}, 20_000)
	var score [3][]float64 // of click, of save, of both
	var label [2][]bool
	for _, r := range rows {
		score[0], score[1] = append(score[0], r.Probability[0]), append(score[1], r.Probability[1])
		score[2] = append(score[2], r.Probability[0]+r.Probability[1])
		label[0], label[1] = append(label[0], r.Label[0]), append(label[1], r.Label[1])
	}
	for task := range label {
		best, other, both := auc(score[task], label[task]), auc(score[1-task], label[task]), auc(score[2], label[task])
		t.Logf("%s: best AUC %.4f, ordered for the other task %.4f, for both %.4f", TaskNames[task], best, other, both)
		if best < 0.88 || best > 0.95 {
			t.Errorf("%s: best AUC %.4f; want 0.88 to 0.95", TaskNames[task], best)
		}
		if other > 0.6 || both > best-0.1 {
			t.Errorf("%s: the other task's order has AUC %.4f, one for both %.4f of %.4f: no conflict", TaskNames[task], other, both, best)
		}
	}
}

func TestTasksSameSeedSameRows(t *testing.T) {
	a := play(t, TasksConfig{Seed: 7}, 300)
	if !reflect.DeepEqual(a, play(t, TasksConfig{Seed: 7}, 300)) {
		t.Error("the same seed gave other rows")
	}
	if reflect.DeepEqual(a, play(t, TasksConfig{Seed: 8}, 300)) {
		t.Error("another seed gave the same rows")
	}
	for i, r := range a[1:] {
		if r.TimeMS <= a[i].TimeMS {
			t.Fatalf("row %d at %d ms is not after %d", i+1, r.TimeMS, a[i].TimeMS)
		}
	}
}

func TestTasksConfig(t *testing.T) {
	if _, err := NewTasks(TasksConfig{Users: -1}); err == nil {
		t.Error("a world of -1 users was made")
	}
}
