package features

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// view reads bytes as a string without copying; it lives as long as b keeps its content.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// missingSet holds the texts that mean missing.
type missingSet struct {
	texts   []string
	longest int
}

func newMissingSet(texts []string) missingSet {
	m := missingSet{texts: texts, longest: -1}
	for _, t := range texts {
		m.longest = max(m.longest, len(t))
	}
	return m
}

func (m *missingSet) has(v string) bool {
	if len(v) > m.longest {
		return false
	}
	for _, t := range m.texts {
		if t == v {
			return true
		}
	}
	return false
}

var (
	errNumber  = errors.New("not a number")
	errRange   = errors.New("number out of range")
	errInstant = errors.New("not a time: want a whole number, YYYY-MM-DD hh:mm:ss or RFC 3339")
)

var powersOfTen = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseNumber reads a decimal number, correctly rounded: no NaN, infinities, hexadecimal or underscores. Up to 15 digits are exact in a float64 and so is their quotient by a small power of ten
// rounded once; the rest goes to strconv.
func parseNumber(s string) (float64, error) {
	i, negative := 0, false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	var digits uint64
	n, after, dot := 0, 0, false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !dot {
			dot = true
			continue
		}
		if c < '0' || c > '9' {
			return parseSlow(s)
		}
		if digits = digits*10 + uint64(c-'0'); digits != 0 {
			n++
		}
		if dot {
			after++
		}
		if n > 15 {
			return parseSlow(s)
		}
	}
	if n == 0 && digits == 0 && !strings.ContainsRune(s, '0') {
		return 0, errNumber
	}
	if after >= len(powersOfTen) {
		return parseSlow(s)
	}
	v := float64(digits) / powersOfTen[after]
	if negative {
		v = -v
	}
	return v, nil
}

func parseSlow(s string) (float64, error) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return 0, errNumber
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	if err != nil {
		return 0, errNumber
	}
	return v, nil
}

// signedLog is sign(x)·ln(1+|x|).
func signedLog(x float64) float64 { return math.Copysign(math.Log1p(math.Abs(x)), x) }

// parseInstant reads a time: a whole number as it is, a date and time as milliseconds since 1970 (UTC where it names no zone).
func parseInstant(s string) (int64, error) {
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v, nil
	}
	if t, ok := parseCivil(s); ok {
		return t, nil
	}
	for _, form := range [...]string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UnixMilli(), nil
		}
	}
	v, err := parseNumber(s)
	if err != nil || v != math.Trunc(v) || math.Abs(v) >= 1<<63 {
		return 0, errInstant
	}
	return int64(v), nil
}

// parseCivil reads the exact form YYYY-MM-DD hh:mm:ss quickly.
func parseCivil(s string) (int64, bool) {
	if len(s) != 19 || s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	var part [6]int
	for i, at := range [6]int{0, 5, 8, 11, 14, 17} {
		width := 2
		if i == 0 {
			width = 4
		}
		for _, c := range []byte(s[at : at+width]) {
			if c < '0' || c > '9' {
				return 0, false
			}
			part[i] = part[i]*10 + int(c-'0')
		}
	}
	if part[1] < 1 || part[1] > 12 || part[2] < 1 || part[3] > 23 || part[4] > 59 || part[5] > 59 {
		return 0, false
	}
	t := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, time.UTC)
	if t.Day() != part[2] {
		return 0, false
	}
	return t.UnixMilli(), true
}

// blanks around values: spaces and tabs.
func trimBlanks(b []byte) []byte { return bytes.Trim(b, " \t") }
