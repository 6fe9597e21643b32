package prepare

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace/internal/testkit"
)

// prepared runs an example's recipe over a real set.
func prepared(t *testing.T, example, set string) (out, raw string) {
	t.Helper()
	if testing.Short() {
		t.Skip("prepares a whole set")
	}
	raw = testkit.RequireData(t, set)
	text, err := os.ReadFile(filepath.Join("../../examples", example, "prepare.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := ParseRecipe(text)
	if err != nil {
		t.Fatal(err)
	}
	out = t.TempDir()
	if _, err := recipe.Run(context.Background(), raw, out, nil); err != nil {
		t.Fatal(err)
	}
	return out, raw
}

func unzipped(t *testing.T, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestAmazonPairs holds the recipe against a second writing of DIN's protocol: the k-th item of a user and one that he never takes, after the k−1 before; the leaf of an item's path for its category.
func TestAmazonPairs(t *testing.T) {
	out, raw := prepared(t, "amazon-sequences", "amazon-sequences")
	var attributes map[string][]int
	if err := json.NewDecoder(unzipped(t, filepath.Join(raw, "Beauty_item2attributes.json.gz"))).Decode(&attributes); err != nil {
		t.Fatal(err)
	}
	category := func(item string) string { a := attributes[item]; return fmt.Sprint(a[len(a)-1]) }
	parts := map[string][]string{}
	for _, p := range partNames {
		parts[p] = rows(t, filepath.Join(out, p+".parquet"))
	}
	// next takes a part's next pair and compares it.
	next := func(part, user string, mine []string, k int) {
		var leaves []string
		for _, i := range mine[:k] {
			leaves = append(leaves, category(i))
		}
		tail := fmt.Sprintf(" [%s] [%s]", strings.Join(mine[max(0, k-100):k], " "), strings.Join(leaves[max(0, k-100):], " "))
		two := parts[part][:2]
		parts[part] = parts[part][2:]
		if want := "1 " + user + " " + mine[k] + " " + category(mine[k]) + tail; two[0] != want {
			t.Fatalf("%s: %s\nwant %s", part, two[0], want)
		}
		drawn := strings.Fields(two[1])[2]
		if want := "0 " + user + " " + drawn + " " + category(drawn) + tail; two[1] != want || slices.Contains(mine, drawn) {
			t.Fatalf("%s: %s\nwant %s, an item the user never takes", part, two[1], want)
		}
	}
	lines := bufio.NewScanner(unzipped(t, filepath.Join(raw, "Beauty.txt.gz")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		user, mine := strings.Fields(lines.Text())[0], strings.Fields(lines.Text())[1:]
		for k := 1; k < len(mine); k++ {
			next([]string{"train", "valid", "test"}[max(0, k-len(mine)+3)], user, mine, k)
		}
	}
	for p, left := range parts {
		if len(left) > 0 {
			t.Errorf("%s: %d rows more than wanted", p, len(left))
		}
	}
}

// TestTaobaoPairs: a pair shares all but the item, of which the second is one the user never touches, and no history holds an event of its row's own second or later, the target's first touch included.
func TestTaobaoPairs(t *testing.T) {
	out, raw := prepared(t, "taobao-userbehavior-pairs", "taobao-userbehavior")
	first := map[string]string{} // user and item → time of the first touch
	lines := bufio.NewScanner(unzipped(t, filepath.Join(raw, "UserBehavior.csv.gz")))
	for lines.Scan() {
		f := strings.Split(lines.Text(), ",")
		if k := f[0] + " " + f[1]; f[4] > "1511539199" && f[4] < "1512316800" && (first[k] == "" || f[4] < first[k]) {
			first[k] = f[4]
		}
	}
	pairs := 0
	for _, part := range partNames {
		all := rows(t, filepath.Join(out, part+".parquet"))
		for i := 0; i < len(all); i += 2 {
			a, b := strings.Fields(all[i]), strings.Fields(all[i+1]) // label user item category hour [items] [categories] [behaviours] time
			user, now := a[1], a[len(a)-1]
			items := strings.Split(strings.TrimPrefix(strings.SplitN(all[i], "[", 2)[1], "["), "]")[0]
			switch {
			case a[0] != "1" || b[0] != "0" || a[1] != b[1] || !slices.Equal(a[4:], b[4:]):
				t.Fatalf("%s: no pair:\n%s\n%s", part, all[i], all[i+1])
			case first[user+" "+a[2]] != now:
				t.Fatalf("%s: %s is not the first touch, which is at %s", part, all[i], first[user+" "+a[2]])
			case first[user+" "+b[2]] != "":
				t.Fatalf("%s: %s was drawn though the user touches it", part, all[i+1])
			}
			for _, h := range strings.Fields(items) {
				if at := first[user+" "+h]; at == "" || at >= now {
					t.Fatalf("%s: %s has item %s of %s in its history", part, all[i], h, at)
				}
			}
			pairs++
		}
	}
	if pairs != 63960 {
		t.Errorf("%d pairs, want 63960", pairs)
	}
}
