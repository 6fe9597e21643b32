package serving

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
)

// BenchmarkScore is the handler without the socket, every row in the near-cache, Redis in process.
func BenchmarkScore(b *testing.B) {
	for _, model := range []struct{ name, text string }{
		{"dnn", "model: dnn\nembedding_dim: 16\nhidden_units: [400, 400, 400]\n"},
		{"din", "model: din\nembedding_dim: 16\nattention_hidden_units: [80, 40]\ndnn_hidden_units: [200, 80]\ndin_target_field: [item]\ndin_sequence_field: [seen]\n"},
	} {
		bed := start(b, one(checkpoint(b, shopSchema, model.text, shopValues)))
		h := features.UserHistory{User: "u1"}
		for i := range 5 {
			h.History = append(h.History, features.Behaviour{Item: fmt.Sprint("i", i), Action: "click", Attributes: features.Values{"item": fmt.Sprint("i", i)}})
		}
		if err := bed.store.PutHistories(b.Context(), []features.UserHistory{h}); err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{20, 200} {
			body, err := json.Marshal(&ScoreRequest{UserID: "u1", Candidates: values("i", n), Context: map[string]any{"hour": 3, "age": 20}})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/candidates=%d", model.name, n), func(b *testing.B) {
				for i := range bed.server.latency.counts {
					bed.server.latency.counts[i].Store(0)
				}
				bed.server.latency.n.Store(0)
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					bed.server.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v1/score", strings.NewReader(string(body))))
					if w.Code != http.StatusOK {
						b.Fatal(w.Body)
					}
				}
				b.ReportMetric(bed.server.latency.quantile(0.5)*1e6, "p50-us")
				b.ReportMetric(bed.server.latency.quantile(0.99)*1e6, "p99-us")
			})
		}
	}
}
