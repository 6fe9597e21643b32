package training_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/training"
)

func estimate(t testing.TB, o training.OffPolicyOptions) *training.OffPolicyResult {
	t.Helper()
	r, err := training.OffPolicy(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func by(t testing.TB, r *training.OffPolicyResult, method string) training.ValueFigures {
	t.Helper()
	for _, e := range r.Estimates {
		if e.Method == method {
			return e
		}
	}
	t.Fatalf("no estimate %s in %+v", method, r.Estimates)
	return training.ValueFigures{}
}

func TestOffPolicyByHand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) []string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	// At place 1 a and b are logged alike, at place 2 only a; the target policy takes b at place 1 three times out of four, and a at place 2.
	logs := file("logs.csv", "place,arm,y,p,q\n1,a,1,0.5,0.25\n1,b,0,0.5,0.75\n1,b,1,0.5,0.75\n1,a,0,0.5,0.25\n2,a,2,1,1\n")
	target := file("target.csv", "place,arm,y\n1,b,1\n1,b,1\n1,b,0\n1,a,0\n2,a,1\n")
	o := training.OffPolicyOptions{Data: logs, TargetData: target, Action: "arm", Reward: "y", Propensity: "p", By: []string{"place"}}
	near := func(what string, got training.Figure, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-12 {
			t.Errorf("%s is %g, want %g", what, got, want)
		}
	}
	r := estimate(t, o)
	near("ips", by(t, r, "ips").Value, (.5+1.5+2)/5)
	near("snips", by(t, r, "snips").Value, (.5+1.5+2)/(.5+1.5+1.5+.5+1))
	near("on policy", r.OnPolicy.Value, .6)
	near("logged", r.Logged.Value, .8)
	near("mean weight", r.Weights.Mean, 1)
	near("unlogged", r.Unlogged, 0)
	if r.Rows != 5 || r.Actions != 2 {
		t.Errorf("%d rows, %d actions", r.Rows, r.Actions)
	}
	// The same probabilities from a column; then there is no reward model.
	c := o
	c.TargetData, c.TargetColumn = nil, "q"
	rc := estimate(t, c)
	near("ips by a column", rc.Estimates[0].Value, float64(by(t, r, "ips").Value))
	if len(rc.Estimates) != 2 || rc.OnPolicy != nil {
		t.Errorf("by a column: %+v", rc)
	}
	c.TargetColumn, c.Uniform = "", true
	ru := estimate(t, c)
	near("ips of the uniform policy", by(t, ru, "ips").Value, (1+0+1+0+2*.5)/5)
	near("unlogged", ru.Unlogged, .1) // b at place 2: half the choices of a fifth of the rows

	f := func(change func(o *training.OffPolicyOptions), wants ...string) {
		t.Helper()
		bad := o
		change(&bad)
		_, err := training.OffPolicy(context.Background(), bad)
		if err == nil {
			t.Errorf("taken, want an error with %q", wants)
			return
		}
		var request *training.RequestError
		if !features.IsInput(err) && !errors.As(err, &request) {
			t.Errorf("%v is no error of the request", err)
		}
		for _, w := range wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v lacks %q", err, w)
			}
		}
	}
	f(func(o *training.OffPolicyOptions) { o.Action = "item" }, "logs.csv", `"item"`)
	f(func(o *training.OffPolicyOptions) { o.Reward = "arm" }, "logs.csv", `"arm"`)
	f(func(o *training.OffPolicyOptions) { o.Data = file("zero.csv", "place,arm,y,p\n1,a,1,0\n") }, "zero.csv", "row 0", "propensity 0")
	f(func(o *training.OffPolicyOptions) { o.Data = file("gap.csv", "place,arm,y,p\n1,a,1,\n") }, "gap.csv", `"p" is missing`)
	f(func(o *training.OffPolicyOptions) { o.Data = file("place.csv", "place,arm,y,p\n7,a,1,1\n") }, "place.csv", "no choice with place 7")
	f(func(o *training.OffPolicyOptions) { o.TargetData = []string{filepath.Join(dir, "none.csv")} }, "none.csv")
}

// TestOffPolicyOnZozo asks each of the two policies' logs for the other's click rate, which the other's own logs tell.
func TestOffPolicyOnZozo(t *testing.T) {
	dir := testkit.RequireData(t, "zozo-obd")
	log := func(policy, campaign string) []string {
		return []string{filepath.Join(dir, policy+"_"+campaign+".csv.gz")}
	}
	t.Logf("%-22s %-7s %9s %9s %21s %9s %6s", "logs → target", "method", "value", "error", "95 % interval", "on policy", "z")
	for _, campaign := range []string{"men", "women"} {
		for _, d := range [][2]string{{"random", "bts"}, {"bts", "random"}} {
			for _, clip := range []float64{0, 100} {
				r := estimate(t, training.OffPolicyOptions{
					Data: log(d[0], campaign), TargetData: log(d[1], campaign), Action: "item_id", Reward: "click", Propensity: "propensity_score", By: []string{"position"},
					Clip: clip, Samples: 1000, Seed: 1,
				})
				if clip > 0 && r.Weights.Clipped == 0 {
					continue
				}
				for _, method := range []string{"ips", "snips", "dr"} {
					e := by(t, r, method)
					z := (*r.Difference)[method]
					name := campaign + " " + d[0] + " → " + d[1]
					if clip > 0 {
						method += fmt.Sprintf(" ≤%g", clip)
					}
					t.Logf("%-22s %-10s %9.6f %9.6f %9.6f to %9.6f %9.6f %+6.2f", name, method, e.Value, e.StdErr, e.Low, e.High, r.OnPolicy.Value, z)
					if math.Abs(float64(z)) > 3 || e.High < r.OnPolicy.Low || e.Low > r.OnPolicy.High {
						t.Errorf("%s, %s: %+v, its own logs say %+v", name, method, e, *r.OnPolicy)
					}
				}
			}
		}
	}
}
