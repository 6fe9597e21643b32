package prepare

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
)

func exampleRecipe(t *testing.T, path string) *Recipe {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecipe(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

func exampleSchema(t *testing.T, set string) *features.Schema {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + set + "/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := features.ParseSchema(text)
	if err != nil {
		t.Fatalf("%s: %v", set, err)
	}
	return s
}

func TestExampleRecipesParse(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/prepare.yaml")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d recipes, error %v", len(paths), err)
	}
	for _, p := range paths {
		exampleRecipe(t, p)
	}
}

// The smaller sets from raw files to encoded rows.
func TestSmallerSets(t *testing.T) {
	if testing.Short() {
		t.Skip("reads whole sets")
	}
	f := func(set, data, parts string) {
		t.Helper()
		out := t.TempDir()
		report, err := exampleRecipe(t, "../../examples/"+set+"/prepare.yaml").Run(context.Background(), testkit.RequireData(t, data), out, nil)
		if err != nil {
			t.Errorf("%s: %v", set, err)
			return
		}
		if got := fmt.Sprint(report.Parts); got != "map["+parts+"]" {
			t.Errorf("%s: rows %s, want %s", set, got, parts)
		}
		if n := encoded(t, exampleSchema(t, set), filepath.Join(out, "test.parquet")); int64(n) != report.Parts["test"] {
			t.Errorf("%s: the schema reads %d rows of the test part", set, n)
		}
	}
	f("ml-100k", "ml-100k", "test:10000 train:80000 valid:10000")
	f("ml-latest-small", "ml-latest-small", "test:10085 train:80668 valid:10083")
	f("amazon-musical-instruments-5", "amazon-musical-instruments-5", "test:2574 train:9284 valid:2460")
	f("lastfm-sequences", "amazon-sequences", "test:2180 train:98562 valid:2180")
	f("retailrocket-caserec", "retailrocket-caserec", "test:15920 train:127352 valid:15918")
	f("steam-caserec", "steam-caserec", "test:25762 train:206086 valid:25760")
	f("avazu-9k", "avazu-9k", "test:432 train:8087 valid:480")
}

// What a drawn row says: no item that its user ever touched, and none of the labels.
func TestRetailRocketNegatives(t *testing.T) {
	if testing.Short() {
		t.Skip("reads whole sets")
	}
	out := t.TempDir()
	if _, err := exampleRecipe(t, "../../examples/retailrocket-caserec/prepare.yaml").Run(context.Background(), testkit.RequireData(t, "retailrocket-caserec"), out, nil); err != nil {
		t.Fatal(err)
	}
	var touched, carted, bought, drawn int
	seen := map[string]bool{}
	var negatives []string
	for _, part := range partNames {
		for _, row := range rows(t, filepath.Join(out, part+".parquet")) {
			var touch, cart, purchase, user, item int
			if _, err := fmt.Sscan(row, &touch, &cart, &purchase, &user, &item); err != nil {
				t.Fatal(err)
			}
			pair := fmt.Sprint(user, " ", item)
			touched, carted, bought = touched+touch, carted+cart, bought+purchase
			switch {
			case purchase > cart || cart > touch:
				t.Fatalf("a row of %s is %s", part, row)
			case touch == 1:
				seen[pair] = true
			default:
				drawn++
				negatives = append(negatives, pair)
			}
		}
	}
	// 9,028 pairs were in carts and 5,088 bought, 4,716 of them both.
	if touched != 79595 || carted != 9028+5088-4716 || bought != 5088 || drawn != touched {
		t.Errorf("%d touched, %d in carts, %d bought, %d drawn", touched, carted, bought, drawn)
	}
	for _, n := range negatives {
		if seen[n] {
			t.Fatalf("drawn, but touched: %s", n)
		}
	}
}
