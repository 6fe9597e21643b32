package serving

import "fmt"

// NearCacheHeader is the header of an answer with scores that says what its look-ups cost.
const NearCacheHeader = "Millrace-Near-Cache"

// NearCache counts the distinct embedding ids of one request that the near-cache had, and those that were read from Redis.
type NearCache struct{ Hits, Misses int }

// String is the header's form.
func (n NearCache) String() string { return fmt.Sprintf("hits=%d, misses=%d", n.Hits, n.Misses) }

// ParseNearCache reads the header's form.
func ParseNearCache(s string) (n NearCache, err error) {
	if _, err := fmt.Sscanf(s, "hits=%d, misses=%d", &n.Hits, &n.Misses); err != nil {
		return NearCache{}, fmt.Errorf("header %s %q: %w", NearCacheHeader, s, err)
	}
	return n, nil
}
