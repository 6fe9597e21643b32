package main

import "sync"

// coverage knows which published version was the first to have learned from an impression, for the impressions it was asked to watch.
type coverage struct {
	mu       sync.Mutex
	order    map[string]int // version → how many came before it
	covers   map[string]int // watched impression → order of the version that covers it
	watching map[string]bool
}

func newCoverage() *coverage {
	return &coverage{order: map[string]int{}, covers: map[string]int{}, watching: map[string]bool{}}
}

// watch asks for an impression; forget ends that.
func (c *coverage) watch(impression string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watching[impression] = true
}

func (c *coverage) forget(impression string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watching, impression)
	delete(c.covers, impression)
}

// published is told of every version and the impressions it is the first to cover.
func (c *coverage) published(version string, impressions []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.order[version]
	if !known {
		n = len(c.order)
		c.order[version] = n
	}
	for _, id := range impressions {
		if _, seen := c.covers[id]; c.watching[id] && !seen {
			c.covers[id] = n
		}
	}
}

// covered reports whether a version has learned from a watched impression.
func (c *coverage) covered(version, impression string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.order[version]
	first, ok := c.covers[impression]
	return known && ok && n >= first
}
