package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/features"
)

// historyLife is how long the history of a user who does nothing is kept.
const historyLife = 180 * 24 * time.Hour

const entitiesPerPipeline = 1000

// PutHistories replaces the histories of users.
func (s *Store) PutHistories(ctx context.Context, hs []features.UserHistory) error {
	return put(ctx, s, "histories", hs, func(p redis.Pipeliner, h *features.UserHistory) error {
		if len(h.History) == 0 {
			p.Del(ctx, historyKey(h.User))
			return nil
		}
		text, err := encodeHistory(h.History)
		if err != nil {
			return fmt.Errorf("encode the history of user %q: %w", h.User, err)
		}
		p.Set(ctx, historyKey(h.User), text, historyLife)
		return nil
	})
}

// PutItems replaces the features of items; deleted ones are removed.
func (s *Store) PutItems(ctx context.Context, es []features.Entity) error {
	return put(ctx, s, "items", es, func(p redis.Pipeliner, e *features.Entity) error { return putEntity(ctx, p, itemKey(e.ID), e) })
}

// PutUsers replaces the features of users; deleted ones are removed.
func (s *Store) PutUsers(ctx context.Context, es []features.Entity) error {
	return put(ctx, s, "users", es, func(p redis.Pipeliner, e *features.Entity) error { return putEntity(ctx, p, userKey(e.ID), e) })
}

func putEntity(ctx context.Context, p redis.Pipeliner, key string, e *features.Entity) error {
	if e.Deleted {
		p.Del(ctx, key)
		return nil
	}
	text, err := encodeValues(e.Features)
	if err != nil {
		return fmt.Errorf("encode the features of %q: %w", e.ID, err)
	}
	p.Set(ctx, key, text, 0)
	return nil
}

// put writes a list in pipelines.
func put[T any](ctx context.Context, s *Store, what string, list []T, queue func(redis.Pipeliner, *T) error) error {
	for part := range slices.Chunk(list, entitiesPerPipeline) {
		p := s.c.Pipeline()
		for i := range part {
			if err := queue(p, &part[i]); err != nil {
				return err
			}
		}
		if _, err := p.Exec(ctx); err != nil {
			return fmt.Errorf("write %d %s: %w", len(part), what, err)
		}
	}
	return nil
}
