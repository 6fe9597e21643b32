package prepare

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func example(t *testing.T, name string) *Recipe {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name + "/prepare.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipe(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each kind of behaviour has its own history, of strictly earlier seconds: neither a row's own event nor another of its second is in any.
func TestHistoriesOfSeveralBehaviours(t *testing.T) {
	const events = "1,10,7,pv,1511600000\n1,10,7,cart,1511600005\n1,11,8,pv,1511600005\n1,10,7,buy,1511600009\n2,10,7,buy,1511600010\n1,12,8,fav,1511600011\n1,10,7,buy,1511600012\n" +
		"1,10,7,pv,1511600013\n1,13,7,pv,1511600014\n1,14,7,pv,1511600015\n1,9,7,pv,1600000000\n"
	r := example(t, "taobao-multi")
	r.Columns = []string{"cart", "fav", "buy", "user", "item", "viewed", "viewed_categories", "carted", "favoured", "bought"}
	out := t.TempDir()
	if _, err := r.Run(context.Background(), folder(t, "UserBehavior.csv.gz", zipped(t, events)), out, nil); err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet",
		"0 0 0 1 10 [] [] [] [] []",
		"1 0 0 1 10 [10] [7] [] [] []",
		"0 0 0 1 11 [10] [7] [] [] []",
		"0 0 1 1 10 [10 11] [7 8] [10] [] []",
		"0 0 1 2 10 [] [] [] [] []",
		"0 1 0 1 12 [10 11] [7 8] [10] [] [10]",
		"0 0 1 1 10 [10 11] [7 8] [10] [12] [10]",
		"0 0 0 1 10 [10 11] [7 8] [10] [12] [10 10]")
}

// TestSeveralTasks runs the recipes over the files there are and reads what they write with their schemas.
func TestSeveralTasks(t *testing.T) {
	if testing.Short() {
		t.Skip("reads three data sets")
	}
	f := func(name, data string, train, valid, test int64) {
		t.Helper()
		dir, out := testkit.RequireData(t, data), t.TempDir()
		report, err := example(t, name).Run(context.Background(), dir, out, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if p := report.Parts; p["train"] != train || p["valid"] != valid || p["test"] != test {
			t.Errorf("%s: rows %v, want %d, %d, %d", name, p, train, valid, test)
		}
		yaml, err := os.ReadFile("../../examples/" + name + "/schema.yaml")
		if err != nil {
			t.Fatal(err)
		}
		s, err := features.ParseSchema(yaml)
		if err != nil {
			t.Fatal(err)
		}
		if n := encoded(t, s, filepath.Join(out, "test.parquet")); int64(n) != test {
			t.Errorf("%s: the schema reads %d rows of the test part", name, n)
		}
		for _, c := range report.Columns {
			if strings.Contains(c, "play_time") {
				t.Errorf("%s: column %s is an outcome", name, c)
			}
		}
	}
	f("taobao-multi", "taobao-userbehavior", 67552, 8444, 8444)
	f("alibaba-2014", "alibaba-2014", 55408, 6926, 6926)
	f("kuairand-sub", "kuairand-sub", 33462, 4182, 4184)
}
