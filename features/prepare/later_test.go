package prepare

import (
	"strings"
	"testing"
)

// dates tells what one user and another did to two items on days of a year; 29 February is one of them.
const dates = "user,item,what,day\n1,a,view,2-27\n1,a,buy,2-27\n1,a,view,2-29\n1,b,buy,2-29\n1,a,buy,3-2\n2,a,view,3-1\n1,a,view,3-2\n2,b,view,3-4\n"

const laterRecipe = `
sources: {events: {file: e.csv, types: {user: integer}}}
steps:
  - parse_time: {column: day, layout: "1-2", year: 2024, unit: day, into: at}
  - later: {user: user, item: item, time: at, within: 2, where: {column: what, is: [buy]}, into: buys}
  - later: {user: user, item: item, time: at, within: 2, into: again}
cut: {by: order, shares: [0.5, 0.5]}
columns: [user, item, what, at, buys, again]
`

// The window (27 February to 4 March is 6 days) is over for rows of days up to 2 March; what happens on a row's own day is not after it.
func TestLater(t *testing.T) {
	out, err := run(t, laterRecipe, folder(t, "e.csv", dates))
	if err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet", "1 a view 19780 0 1", "1 a buy 19780 0 1", "1 a view 19782 1 1", "1 b buy 19782 0 0")
	want(t, out+"/valid.parquet", "1 a buy 19784 0 0", "2 a view 19783 0 0", "1 a view 19784 0 0", "2 b view 19786 ~ ~")
}

func TestParseTimeUnits(t *testing.T) {
	f := func(keys, text, value string) {
		t.Helper()
		recipe := "sources: {e: {file: e.csv}}\nsteps:\n  - parse_time: {column: t, " + keys + "}\ncut: {by: order, shares: [0.5, 0.5]}\ncolumns: [t]\n"
		out, err := run(t, recipe, folder(t, "e.csv", "t,x\n"+text+",1\n,2\n"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, out+"/train.parquet", value)
		want(t, out+"/valid.parquet", "~")
	}
	f(`layout: "2006-01-02 15:04:05"`, "2022-04-10 08:59:09", "1649581149000")
	f(`layout: "2006-01-02 15:04:05", unit: s`, "1969-12-31 23:59:59", "-1")
	f(`layout: "2006-01-02 15:04:05", unit: day`, "1969-12-31 23:59:59", "-1")
	f(`layout: "1-2", year: 1970, unit: day`, "2-1", "31")
}

func TestLaterErrors(t *testing.T) {
	f := func(old, new, reason string) {
		t.Helper()
		if _, err := run(t, strings.Replace(laterRecipe, old, new, 1), folder(t, "e.csv", dates)); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", new, err, reason)
		}
	}
	f("within: 2", "within: 0", "within is 0")
	f("into: buys", "in: buys", `"in"`)
	f("time: at", "time: day", `column "day" is text`)
	f("is: [buy]", "is: []", "where needs column and is")
	f("unit: day", "unit: week", `unknown "week"`)
	f(`layout: "1-2"`, `layout: "2.1"`, `"2-27": not a time of the layout`)
	f("year: 2024", "year: 2023", `"2-29": not a time`)
	f("item: item", "item: thing", `no column "thing"`)
}
