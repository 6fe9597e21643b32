package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/core/snapshot"
)

// SeedOptions of Seed.
type SeedOptions struct {
	// Streamed says that a daemon wrote the checkpoint: what a daemon streamed of the same architecture is then at least as new.
	Streamed bool
	// Features names the schema and statistics of the checkpoint. Versions that descend from it carry the name.
	Features string
	// Progress, where given, hears of rows written.
	Progress func(done, total int64)
}

// Seeding is what Seed did.
type Seeding string

const (
	Seeded  Seeding = "seeded"  // the rows were written
	Present Seeding = "present" // the store had this very version
	Newer   Seeding = "newer"   // the store has a version that was trained on from it, and keeps that
)

// Seed writes a checkpoint's rows and dense weights where the store has not that version. It keeps a version that descends from the checkpoint: one that a daemon
// streamed from it, or, for a daemon's own checkpoint, whatever a daemon of the same architecture streamed. Any other version is replaced. Several servers may seed
// the same checkpoint at once: one writes, the others wait and find it present.
func (s *Store) Seed(ctx context.Context, u *snapshot.Update, o SeedOptions) (Seeding, error) {
	did, err := s.seed(ctx, u, o)
	if err != nil {
		return "", fmt.Errorf("put version %s of model %s into the store: %w", u.Version, u.Model, err)
	}
	return did, nil
}

func (s *Store) seed(ctx context.Context, u *snapshot.Update, o SeedOptions) (Seeding, error) {
	if err := checkUpdate(u); err != nil {
		return "", err
	}
	if !u.Full {
		return "", errors.New("the update is a delta")
	}
	if did, err := s.seedNeeded(ctx, u, o); did != Seeded || err != nil {
		return did, err
	}
	unlock, err := s.lock(ctx, u.Model)
	if err != nil {
		return "", err
	}
	defer unlock()
	if did, err := s.seedNeeded(ctx, u, o); did != Seeded || err != nil {
		return did, err
	}
	return Seeded, s.writeGeneration(ctx, u, generation{from: FromCheckpoint, features: o.Features, progress: o.Progress})
}

// seedNeeded says what to do; Seeded means that the rows are to be written.
func (s *Store) seedNeeded(ctx context.Context, u *snapshot.Update, o SeedOptions) (Seeding, error) {
	h, err := s.Head(ctx, u.Model)
	if errors.Is(err, ErrNoModel) {
		return Seeded, nil
	}
	if err != nil {
		return "", err
	}
	switch {
	case h.Shape != shapeOf(u):
		return Seeded, nil
	case h.Version == u.Version:
		return s.ifWhole(ctx, u.Model, h, Present)
	case h.From == FromStream && (o.Streamed || h.Descends(u.Version)):
		return s.ifWhole(ctx, u.Model, h, Newer)
	}
	return Seeded, nil
}

// ifWhole answers did where every bucket of the generation is there, else Seeded.
func (s *Store) ifWhole(ctx context.Context, model string, h *Head, did Seeding) (Seeding, error) {
	l, err := s.layout(ctx, model, h.Gen)
	if errors.Is(err, ErrLost) {
		return Seeded, nil
	}
	if err != nil {
		return "", err
	}
	keys := append(l.keys(model, h.Gen), unknownKey(model, h.Gen), denseKey(model, h.Seq))
	n, err := s.countKeys(ctx, keys)
	if err != nil {
		return "", err
	}
	if n != int64(len(keys)) {
		return Seeded, nil
	}
	return did, nil
}
