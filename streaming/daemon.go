// Package streaming is the Kafka side: it reads impressions, actions, items and users, joins impressions with later actions in event time, keeps user
// histories, hands Arrow records to a Learner, publishes what changed, and writes checkpoints whose offsets belong to the weights beside them.
package streaming

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
)

// Learner trains on joined impressions. training.Incremental satisfies it. The daemon calls it from one goroutine.
type Learner interface {
	Learn(rec arrow.Record) (rows int64, err error)
	Flush() (rows int64, err error)
	Update() (*snapshot.Update, error)
	Snapshot() (snapshot.Manifest, []snapshot.Part, error)
}

// Publisher is where fresh weights, histories and features go. serving/store satisfies it. Calls may come from one goroutine only; a failing call is retried by the daemon.
type Publisher interface {
	Publish(ctx context.Context, u *snapshot.Update) error
	PutHistories(ctx context.Context, hs []features.UserHistory) error
	PutItems(ctx context.Context, es []features.Entity) error
	PutUsers(ctx context.Context, es []features.Entity) error
}

// Options wire a daemon. Trained, when set, is called after an update is published, with the impressions first covered by that version.
type Options struct {
	Config    *Config
	Schema    *features.Schema
	Learner   Learner
	Publisher Publisher // nil: train and checkpoint only
	Trained   func(version string, impressionIDs []string)
	State     *snapshot.Snapshot // the daemon's own checkpoint to go on from; nil: start at the topics' beginning
}

// Daemon is the consumer. Run returns when ctx ends, after a last checkpoint, or on an error that cannot be retried.
type Daemon struct{}

func New(o Options) (*Daemon, error)            { panic("contract") }
func (d *Daemon) Run(ctx context.Context) error { panic("contract") }

// Figures of a running daemon, for metrics and the demo's page.
type Figures struct {
	EventsIn, RowsTrained, DeadLetters, Late, Duplicates, Unmatched int64
	WatermarkMS                                                     int64
	Version                                                         string
}

// Figures may be called from any goroutine.
func (d *Daemon) Figures() Figures { panic("contract") }
