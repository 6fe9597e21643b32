package graph

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
)

// places are what an axis stands for. Places that would be equal are told apart by their order.
func (t *tracer) places(axis []int) []Place {
	out := make([]Place, len(axis))
	times := map[uint64]int{}
	for i, c := range axis {
		p := t.place(c)
		if n := times[p.Key]; n > 0 {
			times[p.Key]++
			p.Key = t.hash(fmt.Sprintf("again %d", n), p.Key)
		} else {
			times[p.Key] = 1
		}
		out[i] = p
	}
	return out
}

// place computes what a class stands for, once.
func (t *tracer) place(i int) Place {
	i = t.find(i)
	c := &t.classes[i]
	switch {
	case c.known:
		return c.place
	case c.open: // made of itself
		return Place{Key: t.hash("itself")}
	}
	c.open = true
	var p Place
	switch {
	case len(c.origins) > 0:
		p = t.original(c.origins)
	case c.made != "":
		p = t.derived(c.made, c.of)
	default:
		p.Key = t.hash(c.axis, uint64(c.at))
	}
	t.classes[i].known, t.classes[i].place = true, p
	return p
}

func (t *tracer) original(origins []Origin) Place {
	var names, fields []string
	for _, o := range origins {
		names, fields = append(names, o.Name), append(fields, o.Field)
	}
	slices.Sort(names)
	return Place{t.hash("origin\x00" + strings.Join(slices.Compact(names), "\x00")), joinFields(fields)}
}

func (t *tracer) derived(how string, of []int) Place {
	var keys []uint64
	var fields []string
	for _, c := range of {
		p := t.place(c)
		keys, fields = append(keys, p.Key), append(fields, p.Field)
	}
	switch {
	case strings.HasPrefix(how, splitColumn):
		if slices.ContainsFunc(fields, func(f string) bool { return f != "" }) {
			return Place{Key: t.hash(how)}
		}
		return Place{Key: keys[0]}
	case strings.HasPrefix(how, unordered):
		slices.Sort(keys)
	}
	return Place{t.hash(how, keys...), joinFields(fields)}
}

// joinFields lists names once each, sorted.
func joinFields(fields []string) string {
	var all []string
	for _, f := range fields {
		if f != "" {
			all = append(all, strings.Split(f, ", ")...)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

func (t *tracer) hash(text string, keys ...uint64) uint64 {
	b := append(t.buffer[:0], text...)
	b = append(b, 0)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	t.buffer = b
	return xxh3.Hash(b)
}
