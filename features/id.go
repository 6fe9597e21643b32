package features

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// missingText stands for a missing category. It is not UTF-8, so no value can be it.
const missingText = "\xff\x00missing"

// seedOf is the salt of a table's ids.
func seedOf(table string) uint64 { return xxh3.HashString(table) }

// hashText is the id of a category's text: the 64-bit XXH3 of its canonical form, never 0.
func hashText(s string, seed uint64) uint64 {
	if n := len(s); n > 2 && s[n-1] == '0' {
		s = wholeText(s)
	}
	return nonZero(xxh3.HashStringSeed(s, seed))
}

func nonZero(id uint64) uint64 {
	if id == 0 {
		return 1
	}
	return id
}

// ID is the id of a category's text in a table: what encoding gives for it.
func ID(table, text string) uint64 { return hashText(text, seedOf(table)) }

// MissingID is the id of a missing category in a table.
func MissingID(table string) uint64 { return nonZero(xxh3.HashStringSeed(missingText, seedOf(table))) }

// wholeText takes the fraction off a whole decimal number ("5044.0", as spreadsheets write integers beside gaps); any other text stays as it is.
func wholeText(s string) string {
	cut := len(s)
	for cut > 0 && s[cut-1] == '0' {
		cut--
	}
	if cut < 2 || cut == len(s) || s[cut-1] != '.' {
		return s
	}
	whole := s[:cut-1]
	digits := strings.TrimPrefix(whole, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' {
		return s
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return s
		}
	}
	if digits == "0" {
		return "0"
	}
	return whole
}

// appendFloat appends the canonical text of a floating number: an integer's decimal digits where it is whole, else the shortest form that reads back to it at its width in bits.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if v == math.Trunc(v) {
		switch {
		case v == 0:
			return append(dst, '0')
		case -(1<<63) <= v && v < 1<<63:
			return strconv.AppendInt(dst, int64(v), 10)
		case 0 < v && v < 1<<64:
			return strconv.AppendUint(dst, uint64(v), 10)
		}
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}

// canonicalNumber is the canonical text of a JSON number's literal: 5044, 5044.0 and 5.044e3 are one.
func canonicalNumber(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (i > 0 || c != '-') {
			plain = false
			break
		}
	}
	if plain {
		if s == "-0" {
			return "0"
		}
		return s
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	if v == math.Trunc(v) && math.Abs(v) < 1<<64 {
		if r, ok := new(big.Rat).SetString(s); ok && r.IsInt() {
			if n := r.Num(); n.IsInt64() || n.IsUint64() {
				return n.String()
			}
		}
		return string(appendFloat(nil, v, 64))
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
