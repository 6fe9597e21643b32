package prepare

import (
	"strings"
	"testing"
)

const films01 = "film,action,drama,war\n1,1,0,1\n2,0,0,0\n3,,1,\n"

const flagsRecipe = `
sources:
  events: {file: e.csv}
  films: {file: films.csv, types: {action: integer}}
from: events
steps:
  - join: {source: films, on: film}
  - flags: {columns: [war, action, drama], into: genres}
cut: {by: order, shares: [1, 0]}
columns: [film, genres]
`

// Films 2 and 9 have no genre: all its flags are 0, or there are none.
func TestFlags(t *testing.T) {
	out, err := run(t, flagsRecipe, folder(t, "e.csv", "film,x\n1,a\n9,b\n3,c\n2,d\n1,e\n", "films.csv", films01))
	if err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet", "1 [war action]", "9 []", "3 [drama]", "2 []", "1 [war action]")
}

func TestFlagsErrors(t *testing.T) {
	f := func(old, new, reason string) {
		t.Helper()
		dir := folder(t, "e.csv", "film,x\n1,a\n", "films.csv", "film,action,drama,war\n1,1,yes,2\n")
		if _, err := run(t, strings.Replace(flagsRecipe, old, new, 1), dir); err == nil || !strings.Contains(err.Error(), reason) || !IsInput(err) {
			t.Errorf("%s: %v, want %q", new, err, reason)
		}
	}
	f("war, action, drama", "drama", `column "drama", value "yes": want 0 or 1`)
	f("war, action, drama", "war", `column "war", value "2": want 0 or 1`)
	f("war, action, drama", "wars", `no column "wars"`)
	f("war, action, drama", "", "no columns")
	f(", into: genres", "", "no into")
}

const zeroRecipe = `
sources:
  seen: {file: seen.csv, add: {what: seen}}
  bought: {file: bought.csv, add: {what: bought}}
from: [seen, bought]
steps:
  - distinct: {columns: [user, item], keep: last}
  - label: {column: what, positive: [bought], into: buys}
  - negatives: {user: user, item: item, label: sees, zero: [buys]}
cut: {by: order, shares: [1, 0]}
columns: [user, item, sees, buys]
`

// Of two items, the other one is the negative; a drawn row is no purchase, also where its positive is one.
func TestDrawnRowsHaveNoOtherLabels(t *testing.T) {
	f := func(recipe string) (string, error) {
		return run(t, recipe, folder(t, "seen.csv", "user,item\n1,a\n2,b\n", "bought.csv", "user,item\n1,a\n"))
	}
	out, err := f(zeroRecipe)
	if err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet", "2 b 1 0", "2 a 0 0", "1 a 1 1", "1 b 0 0")
	for zero, reason := range map[string]string{"[bys]": `no column "bys"`, "[what]": `column "what" is text`} {
		if _, err := f(strings.Replace(zeroRecipe, "[buys]}", zero+"}", 1)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", zero, err, reason)
		}
	}
}
