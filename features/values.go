package features

import (
	"encoding/json"
	"math"
	"strconv"
)

// appendValue appends the canonical text of a number or boolean in any of the types that JSON decoding or Go code gives.
func appendValue(dst []byte, v any) ([]byte, bool) {
	switch x := v.(type) {
	case json.Number:
		return append(dst, canonicalNumber(string(x))...), true
	case bool:
		return strconv.AppendBool(dst, x), true
	case float64:
		return appendFloat(dst, x, 64), !math.IsNaN(x) && !math.IsInf(x, 0)
	case float32:
		return appendFloat(dst, float64(x), 32), !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0)
	case uint64:
		return strconv.AppendUint(dst, x, 10), true
	case uint:
		return strconv.AppendUint(dst, uint64(x), 10), true
	}
	if n, ok := integer(v); ok {
		return strconv.AppendInt(dst, n, 10), true
	}
	return dst, false
}

func integer(v any) (int64, bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int8:
		return int64(x), true
	case int16:
		return int64(x), true
	case int32:
		return int64(x), true
	case int64:
		return x, true
	case uint8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case uint32:
		return int64(x), true
	}
	return 0, false
}

// numberValue returns the number that v is; texts are none.
func numberValue(v any) (float64, bool) {
	switch x := v.(type) {
	case json.Number:
		n, err := parseNumber(string(x))
		return n, err == nil
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	case float64:
		return x, true
	case float32:
		return float64(x), true
	case uint64:
		return float64(x), true
	case uint:
		return float64(x), true
	}
	n, ok := integer(v)
	return float64(n), ok
}

// wholeValue returns v as a whole number of 64 bits.
func wholeValue(v any) (int64, bool) {
	if n, ok := integer(v); ok {
		return n, true
	}
	if x, ok := v.(json.Number); ok {
		n, err := strconv.ParseInt(canonicalNumber(string(x)), 10, 64)
		return n, err == nil
	}
	n, ok := numberValue(v)
	if _, b := v.(bool); b || !ok || n != math.Trunc(n) || math.Abs(n) >= 1<<63 {
		return 0, false
	}
	return int64(n), true
}

// scalar returns what a history can keep of a value: of a list its first element, nothing of an object.
func scalar(v any) any {
	switch x := v.(type) {
	case []any:
		if len(x) == 0 {
			return nil
		}
		return scalar(x[0])
	case []string:
		if len(x) == 0 {
			return nil
		}
		return x[0]
	case nil, string:
		return x
	}
	if _, ok := appendValue(nil, v); ok {
		return v
	}
	return nil
}
