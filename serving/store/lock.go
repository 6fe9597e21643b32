package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// The writer's lock of a model: one full update at a time. It protects work, not correctness: the head moves by compare-and-set in any case.

// errNotWriter says that the writer's lock was lost, for instance because this process stood still for too long.
var errNotWriter = errors.New("another process became the writer")

// lock waits until this process is the model's writer. The lock ends by itself where it is not renewed.
func (s *Store) lock(ctx context.Context, model string) (unlock func(), err error) {
	wait := 10 * time.Millisecond
	for {
		ok, err := s.c.SetNX(ctx, writerKey(model), s.token, writerLife).Result()
		if err != nil {
			return nil, fmt.Errorf("become the writer: %w", err)
		}
		if ok {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("become the writer: another one is at work: %w", ctx.Err())
		case <-time.After(wait):
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
	return func() {
		// The caller's context may have ended; the lock should not outlive the work for that.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = unlockScript.Run(ctx, s.c, []string{writerKey(model)}, s.token).Err() // it ends by itself
	}, nil
}

// renew keeps the lock.
func (s *Store) renew(ctx context.Context, model string) error {
	n, err := renewScript.Run(ctx, s.c, []string{writerKey(model)}, s.token, writerLife.Milliseconds()).Int()
	if err != nil {
		return fmt.Errorf("stay the writer: %w", err)
	}
	if n == 0 {
		return errNotWriter
	}
	return nil
}

var (
	unlockScript = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
	renewScript  = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`)
)
