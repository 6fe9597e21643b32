package models

import (
	"fmt"
	"strings"
)

// Monitor is what early stopping watches: a sum of signed metrics, larger is better.
type Monitor []MonitorTerm

// MonitorTerm is one metric (auc, gauc or logloss) and its sign.
type MonitorTerm struct {
	Metric string
	Sign   float64
}

// ParseMonitor reads a monitor such as "AUC", "gAUC", "logloss" (alone: less is better) or "AUC-logloss".
func ParseMonitor(text string) (Monitor, error) {
	var m Monitor
	rest := strings.ReplaceAll(strings.ToLower(text), " ", "")
	sign := 1.0
	for {
		i := strings.IndexAny(rest, "+-")
		name := rest
		if i >= 0 {
			name = rest[:i]
		}
		if name != "" || i != 0 || len(m) > 0 {
			switch name {
			case "auc", "gauc", "logloss":
			default:
				return nil, fmt.Errorf("monitor %q: metric %q is not one of AUC, gAUC, logloss", text, name)
			}
			m = append(m, MonitorTerm{name, sign})
		}
		if i < 0 {
			break
		}
		sign = 1
		if rest[i] == '-' {
			sign = -1
		}
		rest = rest[i+1:]
	}
	if len(m) == 1 && m[0].Metric == "logloss" {
		m[0].Sign = -1
	}
	return m, nil
}

// Value combines the metrics; NaN when one it needs is.
func (m Monitor) Value(auc, gauc, logloss float64) float64 {
	var sum float64
	for _, t := range m {
		x := auc
		switch t.Metric {
		case "gauc":
			x = gauc
		case "logloss":
			x = logloss
		}
		sum += t.Sign * x
	}
	return sum
}
