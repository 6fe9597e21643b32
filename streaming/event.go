package streaming

import "github.com/millrace/millrace/features"

// Impression and Action are the values of the two event topics, version 1. Keys are user ids; times are milliseconds since 1970.
type Impression struct {
	V            int             `json:"v"`
	ImpressionID string          `json:"impression_id"`
	TimeMS       int64           `json:"ts_ms"`
	UserID       string          `json:"user_id"`
	ItemID       string          `json:"item_id"`
	RequestID    string          `json:"request_id,omitempty"`
	Position     int             `json:"position"`
	Propensity   float64         `json:"propensity,omitempty"` // never a feature
	Score        float64         `json:"score,omitempty"`      // never a feature
	Version      string          `json:"version,omitempty"`    // never a feature
	Context      features.Values `json:"context,omitempty"`
}

type Action struct {
	V            int    `json:"v"`
	ActionID     string `json:"action_id"`
	ImpressionID string `json:"impression_id"`
	TimeMS       int64  `json:"ts_ms"`
	UserID       string `json:"user_id"`
	Type         string `json:"type"`
}
