package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/millrace/millrace/serving/store"
)

// statusClosed is what metrics call a request whose client went away.
const statusClosed = 499

var releaseMode = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

func (s *Server) routes() http.Handler {
	releaseMode()
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.ContextWithFallback = true
	r.Use(s.recoverPanic)
	r.POST("/v1/score", s.score)
	r.GET("/v1/models", s.models)
	r.GET("/healthz", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	r.GET("/readyz", s.readyz)
	r.GET("/metrics", gin.WrapH(s.metrics.handler()))
	r.NoRoute(func(c *gin.Context) { answerError(c, http.StatusNotFound, "there is nothing at "+c.Request.URL.Path) })
	r.NoMethod(func(c *gin.Context) {
		answerError(c, http.StatusMethodNotAllowed, c.Request.Method+" is not for "+c.Request.URL.Path)
	})
	return r
}

// errorBody is the body of every answer that is an error.
type errorBody struct {
	Error string `json:"error"`
}

func answerError(c *gin.Context, code int, text string) { c.AbortWithStatusJSON(code, errorBody{text}) }

// recoverPanic answers 500 for a bug in a request, so that the others go on.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			if p == http.ErrAbortHandler {
				panic(p)
			}
			answerError(c, http.StatusInternalServerError, "internal error")
			s.o.Notice("", fmt.Sprintf("a bug in %s %s: %v", c.Request.Method, c.Request.URL.Path, p))
		}
	}()
	c.Next()
}

// httpError is an error with the status it is answered by.
type httpError struct {
	code int
	text string
}

func (e *httpError) Error() string { return e.text }

// score handles POST /v1/score.
func (s *Server) score(c *gin.Context) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.o.Timeout)
	defer cancel()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	name, n, text, near, err := s.answer(ctx, c)
	if err != nil {
		code := s.refuse(c, err)
		s.metrics.request(name, code, time.Since(start))
		return
	}
	c.Header(NearCacheHeader, near.String())
	c.Data(http.StatusOK, "application/json", text)
	took := time.Since(start)
	s.metrics.request(name, http.StatusOK, took)
	s.hosts[name].candidates.Add(int64(n))
	s.latency.add(took)
	s.requests.Add(1)
}

// answer scores the request and returns the response's text. The model's name is empty where the request names none that is served.
func (s *Server) answer(ctx context.Context, c *gin.Context) (name string, n int, text []byte, near NearCache, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, s.o.BodyBytes))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return "", 0, nil, near, &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", large.Limit)}
		}
		return "", 0, nil, near, &httpError{http.StatusBadRequest, "the body could not be read"}
	}
	req, err := decodeRequest(body, s.o.Candidates)
	if err != nil {
		return "", 0, nil, near, &httpError{http.StatusBadRequest, err.Error()}
	}
	if req.Model == "" {
		req.Model = s.o.Order[0]
	}
	h := s.hosts[req.Model]
	if h == nil {
		return "", 0, nil, near, &httpError{http.StatusNotFound, fmt.Sprintf("model %q is not served here; the models are %q", req.Model, s.o.Order)}
	}
	text, near, err = h.answer(ctx, req)
	return h.name, len(req.Candidates), text, near, err
}

// answer scores a request with the version that is current when a worker is free.
func (h *host) answer(ctx context.Context, req *ScoreRequest) (text []byte, near NearCache, err error) {
	w, err := h.acquire(ctx)
	if err != nil {
		return nil, near, fmt.Errorf("wait for a worker: %w", err)
	}
	whole := false
	defer func() {
		if !whole {
			w = nil // it panicked: its buffers may be in any state
		}
		h.release(w)
	}()
	v := h.current.Load()
	if v == nil {
		whole = true
		return nil, near, &httpError{http.StatusServiceUnavailable, fmt.Sprintf("model %s is not ready: %v", h.name, h.ready())}
	}
	scores, err := w.score(ctx, v, req)
	whole = true
	near.Hits, near.Misses = w.lookup.Count()
	if errors.Is(err, store.ErrLost) && h.current.Load() == v {
		h.lost.Store(true)
	}
	if err != nil {
		return nil, near, err
	}
	return appendResponse(make([]byte, 0, 128+14*len(req.Candidates)*len(scores)), h.name, v.weights.Version, h.labels(), scores), near, nil
}

// refuse answers an error and returns its status.
func (s *Server) refuse(c *gin.Context, err error) int {
	var known *httpError
	var field *wrongField
	switch {
	case errors.As(err, &known):
		if known.code == http.StatusServiceUnavailable {
			c.Header("Retry-After", "1")
		}
		answerError(c, known.code, known.text)
		return known.code
	case errors.As(err, &field):
		answerError(c, http.StatusBadRequest, field.Error())
		return http.StatusBadRequest
	case errors.Is(err, errNotFinite):
		answerError(c, http.StatusInternalServerError, err.Error())
		return http.StatusInternalServerError
	case c.Request.Context().Err() != nil:
		c.Abort()
		return statusClosed
	case errors.Is(err, context.DeadlineExceeded):
		c.Header("Retry-After", "1")
		answerError(c, http.StatusServiceUnavailable, fmt.Sprintf("not answered within %v", s.o.Timeout))
		return http.StatusServiceUnavailable
	}
	// What is left comes from the store, or is a model that does not fit what the store holds: no score is better than a wrong one.
	c.Header("Retry-After", "1")
	answerError(c, http.StatusServiceUnavailable, "the store does not answer as it should: "+err.Error())
	return http.StatusServiceUnavailable
}

// pingTimeout is how long readiness waits for the store.
const pingTimeout = time.Second

// readyz answers 200 when every model can be scored: it is there, and so is the store, without which no request is answered.
func (s *Server) readyz(c *gin.Context) {
	err := s.Ready()
	if err == nil {
		ctx, cancel := context.WithTimeout(c.Request.Context(), pingTimeout)
		defer cancel()
		err = s.o.Store.Ping(ctx)
	}
	if err != nil {
		c.Header("Retry-After", "1")
		answerError(c, http.StatusServiceUnavailable, err.Error())
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "ready"})
}

// modelInfo is a model in the answer of GET /v1/models.
type modelInfo struct {
	Name    string   `json:"name"`
	Default bool     `json:"default"`
	Ready   bool     `json:"ready"`
	Version string   `json:"version,omitempty"`
	Seq     int64    `json:"seq,omitempty"`
	From    string   `json:"from,omitempty"`
	Loaded  string   `json:"loaded,omitempty"`
	Labels  []string `json:"labels"`
	Trouble string   `json:"trouble,omitempty"`
}

func (s *Server) models(c *gin.Context) {
	list := make([]modelInfo, 0, len(s.o.Order))
	for i, name := range s.o.Order {
		h := s.hosts[name]
		m := modelInfo{Name: name, Default: i == 0, Ready: h.ready() == nil, Labels: h.labels()}
		if v := h.current.Load(); v != nil {
			m.Version, m.Seq, m.From = v.weights.Version, v.rows.Head.Seq, v.rows.Head.From
			m.Loaded = v.rows.Loaded.UTC().Format(time.RFC3339)
		}
		h.mu.Lock()
		if h.trouble != nil {
			m.Trouble = h.trouble.Error()
		}
		h.mu.Unlock()
		list = append(list, m)
	}
	text, err := json.Marshal(gin.H{"models": list})
	if err != nil {
		answerError(c, http.StatusInternalServerError, err.Error())
		return
	}
	c.Data(http.StatusOK, "application/json", append(text, '\n'))
}
