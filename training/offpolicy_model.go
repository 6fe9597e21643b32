package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// ModelPolicy is a policy that a checkpoint's scores make: an action's probability is the softmax of the logits of all actions over Temperature, or, where that is 0, it is the best-scored action but for
// a share Epsilon of the time, when every action is as probable. Several labels: the first one's scores.
type ModelPolicy struct {
	Checkpoint  *models.Checkpoint
	Temperature float64
	Epsilon     float64
}

// modelChoices walks over logs and tells for each row the policy's probability of every action. An action's item fields are those of the first row that chose it; all other fields are the row's own.
type modelChoices struct {
	policy  *ModelPolicy
	reader  features.Reader
	encoder *features.Encoder
	scorer  *models.Scorer
	ofItem  []bool         // fields that go with the action
	items   features.Batch // row a: an example of action a

	batch  features.Batch
	cross  features.Batch
	scores [][]float32
	at     int
	p      []float64
}

// actionsAtOnce is how many scores are computed together.
const actionsAtOnce = 1 << 13

// newModelChoices reads the logs once for an example of each action.
func newModelChoices(ctx context.Context, policy *ModelPolicy, files []string, logs *choices) (*modelChoices, error) {
	m := &modelChoices{policy: policy}
	c := policy.Checkpoint
	var err error
	if m.encoder, err = c.NewEncoder(); err != nil {
		return nil, err
	}
	if m.scorer, err = c.Program.NewScorer(); err != nil {
		return nil, fmt.Errorf("score the logs: %w", err)
	}
	some := false
	for _, f := range c.Schema.Fields {
		m.ofItem = append(m.ofItem, f.From == features.FromItem)
		some = some || f.From == features.FromItem
	}
	if !some {
		return nil, refuse("the checkpoint's schema has no field from: item, so that all actions score alike")
	}
	n := len(logs.actions.values)
	m.p = make([]float64, n)
	if err := m.open(ctx, files); err != nil {
		return nil, err
	}
	example := slices.Repeat([]int{-1}, n)
	for i := len(logs.action) - 1; i >= 0; i-- {
		example[logs.action[i]] = i
	}
	if err := m.collect(example, len(logs.action)); err != nil {
		return nil, errors.Join(err, m.reader.Close())
	}
	if err := m.reader.Close(); err != nil {
		return nil, err
	}
	return m, m.open(ctx, files)
}

func (m *modelChoices) open(ctx context.Context, files []string) (err error) {
	c := m.policy.Checkpoint
	m.at, m.batch.Rows = 0, 0
	m.reader, err = features.Open(c.Schema, files, features.ReadOptions{BatchRows: c.Spec.Settings.BatchSize, Context: ctx})
	return err
}

// collect keeps each action's example; rows that no log row chose have none, and end as an error.
func (m *modelChoices) collect(example []int, rows int) error {
	type place struct{ row, action int }
	var places []place
	for a, r := range example {
		if r < 0 {
			return fmt.Errorf("action number %d has no example in the logs", a)
		}
		places = append(places, place{r, a})
	}
	slices.SortFunc(places, func(a, b place) int { return a.row - b.row })
	found := make([]*features.Batch, len(example)) // one row each
	read, next := 0, 0
	for {
		err := m.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for ; next < len(places) && places[next].row < read+m.batch.Rows; next++ {
			one := &features.Batch{}
			one.Append(&m.batch, places[next].row-read)
			found[places[next].action] = one
		}
		read += m.batch.Rows
	}
	if read != rows {
		return fmt.Errorf("the logs have %d rows, then %d: do they change?", rows, read)
	}
	for _, one := range found {
		m.items.Append(one, 0)
	}
	return nil
}

func (m *modelChoices) next() error {
	rec, err := m.reader.Next()
	if err != nil {
		return err
	}
	defer rec.Release()
	m.at = 0
	return m.encoder.EncodeInto(&m.batch, rec)
}

// probabilities are the policy's for the next row, valid until the following call.
func (m *modelChoices) probabilities() ([]float64, error) {
	for m.at >= m.batch.Rows {
		if err := m.next(); err != nil {
			return nil, fmt.Errorf("score the logs: %w", err)
		}
	}
	n, c := len(m.p), m.policy.Checkpoint
	for from := 0; from < n; from += actionsAtOnce {
		m.cross.Reset()
		m.cross.Columns = slices.Grow(m.cross.Columns, len(m.ofItem))[:len(m.ofItem)]
		to := min(from+actionsAtOnce, n)
		for i, item := range m.ofItem {
			for a := from; a < to; a++ {
				if item {
					appendCell(&m.cross.Columns[i], &m.items.Columns[i], a)
				} else {
					appendCell(&m.cross.Columns[i], &m.batch.Columns[i], m.at)
				}
			}
		}
		m.cross.Rows = to - from
		var err error
		if m.scores, err = m.scorer.Score(&m.cross, c.Weights, models.TableRows(c.Tables), m.scores); err != nil {
			return nil, err
		}
		for a, s := range m.scores[0] {
			p := min(max(float64(s), 1e-12), 1-1e-12)
			m.p[from+a] = math.Log(p) - math.Log1p(-p)
		}
	}
	m.at++
	m.policy.choose(m.p)
	return m.p, nil
}

// choose turns logits into the policy's probabilities.
func (m *ModelPolicy) choose(p []float64) {
	best := 0
	for a := range p {
		if p[a] > p[best] {
			best = a
		}
	}
	if m.Temperature == 0 {
		for a := range p {
			p[a] = m.Epsilon / float64(len(p))
		}
		p[best] += 1 - m.Epsilon
		return
	}
	top, sum := p[best], 0.0
	for a := range p {
		p[a] = math.Exp((p[a] - top) / m.Temperature)
		sum += p[a]
	}
	for a := range p {
		p[a] /= sum
	}
}

// appendCell adds a row's cell of one column to another.
func appendCell(to, from *features.Column, r int) {
	if len(from.Offsets) > 0 {
		if len(to.Offsets) == 0 {
			to.Offsets = append(to.Offsets, 0)
		}
		to.IDs = append(to.IDs, from.IDs[from.Offsets[r]:from.Offsets[r+1]]...)
		to.Offsets = append(to.Offsets, int32(len(to.IDs)))
		return
	}
	if len(from.IDs) > 0 {
		to.IDs = append(to.IDs, from.IDs[r])
		return
	}
	to.Values, to.Missing = append(to.Values, from.Values[r]), append(to.Missing, from.Missing[r])
}
