// Package store keeps what the server needs at a request in Redis: embedding rows, dense weights, user histories, item and user features; and a near-cache of rows in process.
package store

import (
	"context"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
)

// Store talks to Redis. It satisfies the daemon's Publisher and is safe for concurrent use.
type Store struct{}

// Open connects to addr (host:port, or a comma-separated list for a cluster).
func Open(ctx context.Context, addr string) (*Store, error) { panic("contract") }
func (s *Store) Close() error                               { panic("contract") }

// Publish writes rows first, then dense weights, then the version pointer: a reader that sees the version finds everything it needs.
func (s *Store) Publish(ctx context.Context, u *snapshot.Update) error             { panic("contract") }
func (s *Store) PutHistories(ctx context.Context, hs []features.UserHistory) error { panic("contract") }
func (s *Store) PutItems(ctx context.Context, es []features.Entity) error          { panic("contract") }
func (s *Store) PutUsers(ctx context.Context, es []features.Entity) error          { panic("contract") }

// Keys counts the embedding ids held for a model (all tables), whatever the layout.
func (s *Store) Keys(ctx context.Context, model string) (int64, error) { panic("contract") }
