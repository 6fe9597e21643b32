package inspect

import (
	"slices"
	"strings"
	"unicode"
)

// Names by which columns tell what they are, without case and punctuation.
var (
	labelNames = []string{"label", "click", "clicked", "isclick", "isclicked", "isattributed", "target", "y", "income", "conversion", "converted", "isconversion", "purchase", "purchased", "isbuy", "like", "liked"}
	userNames  = []string{"user", "userid", "uid", "usr", "member", "memberid", "visitor", "visitorid", "customer", "customerid", "reviewerid"}
	itemNames  = []string{"item", "itemid", "iid", "movie", "movieid", "video", "videoid", "product", "productid", "asin", "adid", "brandid", "articleid", "newsid", "gameid", "songid", "trackid", "sku"}
	timeNames  = []string{"time", "timestamp", "ts", "date", "datetime", "created", "createdat"}
	rowNames   = []string{"id", "rowid", "row", "index", "rownum", "uuid", "requestid", "impressionid", "clickid", "eventid"}
	idWords    = []string{"id", "ip", "app", "device", "os", "channel", "zip", "code", "category", "type", "user", "item", "model", "site", "domain", "city", "region", "country", "hour", "weekday", "month", "year", "day"}
	sizeWords  = []string{"age", "price", "count", "num", "number", "amount", "duration", "score", "hours", "weeks", "wage", "gains", "losses", "dividends", "rate", "ratio", "cost", "length", "size", "cnt", "ms", "affinity", "votes"}
)

// plain takes case and punctuation off a name.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

func named(name string, known []string) bool { return slices.Contains(known, plain(name)) }

// hasWord reports whether one of a name's parts, cut at punctuation, is among words.
func hasWord(name string, words []string) bool {
	for _, w := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if slices.Contains(words, w) {
			return true
		}
	}
	return false
}

// guessLabel names the likeliest label: a column of a label's name, else, in a file without a header, a first column of 0 and 1 or a last column of two values. Empty: none.
func (s *survey) guessLabel() (string, error) {
	if s.dialect.Format == "libfm" {
		return s.columns[0].name, nil
	}
	for _, n := range labelNames {
		for _, c := range s.columns {
			if plain(c.name) == n && !c.list {
				return c.name, nil
			}
		}
	}
	if !s.text || *s.dialect.Header {
		return "", nil
	}
	lines, _, err := firstLines(s.path)
	if err != nil {
		return "", err
	}
	first, last := map[string]int{}, map[string]int{}
	for _, l := range lines {
		if v := cut(l, s.dialect.Delimiter); len(v) == len(s.columns) {
			first[strings.TrimSpace(v[0])]++
			last[strings.TrimSpace(v[len(v)-1])]++
		}
	}
	switch {
	case len(first) == 2 && first["0"] > 0 && first["1"] > 0:
		return s.columns[0].name, nil
	case len(last) == 2 && len(s.columns) > 1:
		return s.columns[len(s.columns)-1].name, nil
	}
	return "", nil
}
