package inspect

import (
	"fmt"
	"strings"
	"testing"
)

func TestHistories(t *testing.T) {
	list := func(of string) func(int) any {
		return func(i int) any {
			return fmt.Sprintf("%s%d|%s%d|%s%d", of, i%7, of, i%11, of, i%13)
		}
	}
	item := func(i int) any { return fmt.Sprint("i", i*i%13) }
	out := inspected(t, "f.csv", table("label,item_id,hist_item_id,rating_history,tags,price,past_price", ",", bit, item, list("i"), list("r"), list("t"),
		func(i int) any { return float64(i*31%77) / 7 }, list("p")), Options{})
	for _, w := range []string{
		"- {name: hist_item_id, type: sequence, from: history, shares: item_id, max: 50} # a history by its name",
		"- {name: rating_history, type: sequence, from: history, max: 50}",
		"- {name: tags, type: multi}",
		"- {name: past_price, type: sequence, from: history, max: 50}", // a price has no rows to share
	} {
		if !strings.Contains(out, w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
}

func TestHistoryOf(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if got := historyOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("hist_item", "item")
	f("item_id_history", "item_id")
	f("hist_cate_seq", "cate")
	f("history", "")
}
