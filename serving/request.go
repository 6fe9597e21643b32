package serving

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ScoreRequest and ScoreResponse are the bodies of POST /v1/score.
type ScoreRequest struct {
	UserID     string         `json:"user_id"`
	Candidates []string       `json:"candidates"`
	Context    map[string]any `json:"context"`
	Model      string         `json:"model,omitempty"`
}

// ScoreResponse holds the scores in the request's order. Scores are of the model's first label; Tasks has the list of each label where there are several.
type ScoreResponse struct {
	Model   string               `json:"model"`
	Version string               `json:"version"`
	Rung    string               `json:"rung"`
	Scores  []float32            `json:"scores"`
	Tasks   map[string][]float32 `json:"tasks,omitempty"`
}

// rungFull is the rung of an answer by the model itself, with everything it asks for.
const rungFull = "full"

// decodeRequest reads a request strictly: one JSON object with no keys but ours, and ids that are texts.
func decodeRequest(body []byte, most int) (*ScoreRequest, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	d.DisallowUnknownFields()
	req := &ScoreRequest{}
	if err := d.Decode(req); err != nil {
		return nil, explain(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	switch {
	case req.UserID == "":
		return nil, errors.New("user_id is missing or empty")
	case len(req.Candidates) == 0:
		return nil, errors.New("candidates is missing or empty")
	case len(req.Candidates) > most:
		return nil, fmt.Errorf("candidates has %d ids, at most %d are scored at once", len(req.Candidates), most)
	}
	for i, c := range req.Candidates {
		if c == "" {
			return nil, fmt.Errorf("candidates[%d] is empty", i)
		}
	}
	return req, nil
}

// explain says in the API's words what the decoder found.
func explain(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		want := map[string]string{"string": "a text", "[]string": "a list of texts"}[kind.Type.String()]
		if want == "" {
			want = "an object"
		}
		return fmt.Errorf("%s: got %s, want %s", kind.Field, kind.Value, want)
	case errors.As(err, &kind):
		return fmt.Errorf("the body is %s, want an object", kind.Value)
	case errors.Is(err, io.EOF):
		return errors.New("the body is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// appendResponse writes the answer as JSON.
func appendResponse(dst []byte, model, version string, labels []string, scores [][]float32) []byte {
	dst = append(dst, `{"model":`...)
	dst = appendString(dst, model)
	dst = append(dst, `,"version":`...)
	dst = appendString(dst, version)
	dst = append(dst, `,"rung":"`+rungFull+`","scores":`...)
	dst = appendScores(dst, scores[0])
	if len(scores) > 1 {
		dst = append(dst, `,"tasks":{`...)
		for i, name := range labels {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, name)
			dst = append(dst, ':')
			dst = appendScores(dst, scores[i])
		}
		dst = append(dst, '}')
	}
	return append(dst, '}', '\n')
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: " + err.Error()) // a string always has a form
	}
	return append(dst, text...)
}

func appendScores(dst []byte, scores []float32) []byte {
	dst = append(dst, '[')
	for i, x := range scores {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}
