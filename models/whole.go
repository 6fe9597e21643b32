package models

import "reflect"

// WholeKey reports whether a key of a model's file takes whole numbers, alone or in lists; false for what is no key of it.
func WholeKey(model, key string) bool {
	for _, v := range []any{&Settings{}, configOrNil(model)} {
		if v == nil {
			continue
		}
		field, known := fieldsByTag(reflect.ValueOf(v).Elem())[key]
		if !known {
			continue
		}
		t := field.Type()
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
	}
	return false
}

func configOrNil(model string) any {
	c, err := newConfig(model)
	if err != nil {
		return nil
	}
	return c
}
