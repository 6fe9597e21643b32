package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/features"
)

// Profile is what the store knows of a request's user and candidates. What it does not know is nil.
type Profile struct {
	User    features.Values
	History features.History
	Items   []features.Values // one a candidate, shared: not to be changed
}

// Wanted says which parts of a profile to read.
type Wanted struct {
	User, History, Items bool
}

// Profile reads the features of a user and of items and the user's history: at most one round trip. A user's part is always read afresh, an item's may be as old as the
// item cache allows.
func (s *Store) Profile(ctx context.Context, user string, items []string, w Wanted) (*Profile, error) {
	p := &Profile{}
	pipe := s.c.Pipeline()
	var userCmd, historyCmd *redis.StringCmd
	if w.User {
		userCmd = pipe.Get(ctx, userKey(user))
	}
	if w.History {
		historyCmd = pipe.Get(ctx, historyKey(user))
	}
	var missing []int
	var itemCmds []*redis.StringCmd
	now := time.Now()
	if w.Items {
		p.Items = make([]features.Values, len(items))
		missing = s.items.read(items, p.Items, now)
		for _, i := range missing {
			itemCmds = append(itemCmds, pipe.Get(ctx, itemKey(items[i])))
		}
	}
	if pipe.Len() == 0 {
		return p, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the features of user %q and %d items: %w", user, len(missing), err)
	}
	var err error
	if userCmd != nil {
		if p.User, err = decodeReply(userCmd, decodeValues); err != nil {
			return nil, fmt.Errorf("read the features of user %q: %w", user, err)
		}
	}
	if historyCmd != nil {
		if p.History, err = decodeReply(historyCmd, decodeHistory); err != nil {
			return nil, fmt.Errorf("read the history of user %q: %w", user, err)
		}
	}
	for k, i := range missing {
		if p.Items[i], err = decodeReply(itemCmds[k], decodeValues); err != nil {
			return nil, fmt.Errorf("read the features of item %q: %w", items[i], err)
		}
	}
	s.items.insert(items, missing, p.Items, now)
	return p, nil
}

// decodeReply decodes the value of a key; a key that is not there has the zero value.
func decodeReply[T any](cmd *redis.StringCmd, decode func(string) (T, error)) (T, error) {
	var none T
	text, err := cmd.Result()
	if errors.Is(err, redis.Nil) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	v, err := decode(text)
	if err != nil {
		return none, fmt.Errorf("decode its %d bytes: %w", len(text), err)
	}
	return v, nil
}

const (
	itemLife  = 2 * time.Second // how old an item's cached features may be
	itemsKept = 50_000          // in each of two halves
)

// itemCache keeps decoded features of items for a short while: candidates come again and again. Items that the store does not know are kept too.
type itemCache struct {
	mu       sync.RWMutex
	now, old map[string]cachedItem
}

type cachedItem struct {
	values features.Values
	at     time.Time
}

// read fills dst with what is cached and fresh and returns the positions of the others.
func (c *itemCache) read(items []string, dst []features.Values, now time.Time) (missing []int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i, id := range items {
		e, ok := c.now[id]
		if !ok {
			e, ok = c.old[id]
		}
		if !ok || now.Sub(e.at) > itemLife {
			missing = append(missing, i)
			continue
		}
		dst[i] = e.values
	}
	return missing
}

func (c *itemCache) insert(items []string, list []int, values []features.Values, now time.Time) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range list {
		if c.now == nil || len(c.now) >= itemsKept {
			c.now, c.old = map[string]cachedItem{}, c.now
		}
		c.now[items[i]] = cachedItem{values[i], now}
	}
}
