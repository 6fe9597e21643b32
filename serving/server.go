// Package serving answers scoring requests over HTTP: it looks user histories and features up, gathers embedding rows through a near-cache, and scores with the current version of the model.
package serving

import (
	"context"
	"net/http"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving/store"
)

// Options wire a server. Models maps a name to its checkpoint; the first name in Order is the default.
type Options struct {
	Models map[string]*models.Checkpoint
	Order  []string
	Store  *store.Store
}

// Server scores. Handler serves the HTTP API; Run follows new versions in the store until ctx ends.
type Server struct{}

func New(ctx context.Context, o Options) (*Server, error) { panic("contract") }
func (s *Server) Handler() http.Handler                   { panic("contract") }
func (s *Server) Run(ctx context.Context) error           { panic("contract") }

// ScoreRequest and ScoreResponse are the bodies of POST /v1/score.
type ScoreRequest struct {
	UserID     string         `json:"user_id"`
	Candidates []string       `json:"candidates"`
	Context    map[string]any `json:"context"`
	Model      string         `json:"model,omitempty"`
}

type ScoreResponse struct {
	Model   string    `json:"model"`
	Version string    `json:"version"`
	Rung    string    `json:"rung"`
	Scores  []float32 `json:"scores"`
}

// Figures of a running server, for metrics and the demo's page: requests scored, latency quantiles in seconds, near-cache hits and misses.
type Figures struct {
	Requests             int64
	P50, P99             float64
	NearHits, NearMisses int64
	Version              string
}

func (s *Server) Figures() Figures { panic("contract") }
