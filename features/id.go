package features

import (
	"math"
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
	if n := len(s); n > 0 && n < 19 && plainInteger(s) {
		return s
	}
	if whole, ok := wholeNumber(s); ok {
		return whole
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || plainInteger(s) {
		return s
	}
	return string(appendFloat(nil, v, 64))
}

// plainInteger reports whether s is an integer's decimal form: digits without leading zeros, perhaps a minus.
func plainInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] == '0' && s != "0" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

// wholeNumber returns the decimal digits of a literal that is an integer of 64 bits, signed or not, exactly.
func wholeNumber(s string) (string, bool) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e > 1000 || e < -1000 {
			return "", false
		}
		mantissa, exponent = s[:i], e
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	kept := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(kept) - len(fraction)
	if kept == "" && whole+fraction != "" {
		return "0", true
	}
	if kept == "" || exponent < 0 || len(kept)+exponent > 20 {
		return "", false
	}
	text := kept + strings.Repeat("0", exponent)
	if mantissa[0] == '-' {
		text = "-" + text
		_, err := strconv.ParseInt(text, 10, 64)
		return text, err == nil
	}
	_, err := strconv.ParseUint(text, 10, 64)
	return text, err == nil
}
