package store

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Buckets is how many hashes the rows of a table are spread over. In Redis Cluster they fall on different nodes; a request for some hundreds of rows still
// needs few commands. The number is part of a generation's layout, so another one can be chosen later.
const Buckets = 32

// marker is the field that every bucket holds. Ids are fields of 8 bytes, so it meets none.
const marker = "g"

// bucketOf spreads ids over buckets.
func bucketOf(id uint64, buckets int) int {
	hi, _ := bits.Mul64(id*0x9e3779b97f4a7c15, uint64(buckets))
	return int(hi)
}

// appendField appends the field of an id.
func appendField(dst []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(dst, id) }

// rowKey is the hash of one bucket. It has no hash tag: buckets spread over a cluster.
func rowKey(model string, gen int64, table string, bucket int) string {
	b := make([]byte, 0, len(model)+len(table)+32)
	b = append(b, "mr:"...)
	b = append(b, model...)
	b = append(b, ":g"...)
	b = strconv.AppendInt(b, gen, 10)
	b = append(b, ":e:"...)
	b = append(b, table...)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(bucket), 10)
	return string(b)
}

// Keys of a model that must lie on one node share the hash tag {model}: they change in one transaction.
func headKey(model string) string   { return "mr:{" + model + "}:head" }
func gensKey(model string) string   { return "mr:{" + model + "}:gens" }
func writerKey(model string) string { return "mr:{" + model + "}:writer" }

func layoutKey(model string, gen int64) string  { return fmt.Sprintf("mr:{%s}:layout:%d", model, gen) }
func unknownKey(model string, gen int64) string { return fmt.Sprintf("mr:{%s}:unknown:%d", model, gen) }
func denseKey(model string, seq int64) string   { return fmt.Sprintf("mr:{%s}:dense:%d", model, seq) }
func deltaKey(model string, seq int64) string   { return fmt.Sprintf("mr:{%s}:delta:%d", model, seq) }

func historyKey(user string) string { return "mr:h:" + user }
func itemKey(item string) string    { return "mr:i:" + item }
func userKey(user string) string    { return "mr:u:" + user }

// checkName refuses names that would move keys to other cluster slots or make them ambiguous.
func checkName(kind, name string) error {
	if name == "" || strings.ContainsAny(name, "{}") {
		return fmt.Errorf("%s name %q: want it not empty and without braces", kind, name)
	}
	return nil
}

func newToken() string { return rand.Text() }

// newGeneration names a generation by a random number: also a store that lost its memory never uses one again.
func newGeneration() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 2)
}
