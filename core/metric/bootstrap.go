package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

// Sampled are the rows on which several models are compared by the bootstrap.
type Sampled struct {
	Scores  [][]float32 // one a model: [rows]
	Labels  []float32   // NaN: the row is left out
	Weights []float32   // nil: 1 each
	Groups  []uint64    // whole groups are drawn, such as users; nil: single rows
}

// Draws are one model's metrics on each sample; NaN where undefined.
type Draws struct {
	AUC, GAUC, Logloss []float64
}

// Bootstrap draws samples with replacement of as many groups (or rows) as there are, the same for all models, and measures every model on each: one Draws a model.
// Sample i depends on seed and i alone. The work is spread over some goroutines, at least one, that have ended on return; stop, where given, ends it early when true, with nil.
func Bootstrap(s Sampled, samples int, seed uint64, workers int, stop func() bool) []Draws {
	b := newBootstrap(&s)
	out := make([]Draws, len(s.Scores))
	for i := range out {
		out[i] = Draws{make([]float64, samples), make([]float64, samples), make([]float64, samples)}
	}
	stopped := make([]bool, max(workers, 1))
	var wait sync.WaitGroup
	for k := range stopped {
		wait.Add(1)
		go func() {
			defer wait.Done()
			counts := make([]uint32, b.groups)
			for i := k; i < samples; i += len(stopped) {
				if stop != nil && stop() {
					stopped[k] = true
					return
				}
				rng := rand.New(rand.NewPCG(seed, uint64(i)))
				clear(counts)
				for range counts {
					counts[rng.IntN(len(counts))]++
				}
				for m := range b.models {
					out[m].AUC[i], out[m].GAUC[i], out[m].Logloss[i] = b.models[m].measure(counts, b.weighted)
				}
			}
		}()
	}
	wait.Wait()
	if slices.Contains(stopped, true) {
		return nil
	}
	return out
}

// DrawnDifference compares two models by their draws of one metric: value is the difference on the rows themselves, the interval is that of the draws' percentiles, the p-value the doubled share
// of draws on the other side of zero, never below 2/(samples+1). Draws in which either is undefined are left out.
func DrawnDifference(value float64, a, b []float64) Difference {
	var draws []float64
	below, above := 1, 1
	for i := range a {
		d := b[i] - a[i]
		if d != d {
			continue
		}
		draws = append(draws, d)
		if d <= 0 {
			below++
		}
		if d >= 0 {
			above++
		}
	}
	if len(draws) < 2 || math.IsNaN(value) {
		return undefinedDifference()
	}
	slices.Sort(draws)
	_, std := spreadOf(draws)
	return Difference{value, std, quantile(draws, 0.025), quantile(draws, 0.975), min(1, 2*float64(min(below, above))/float64(len(draws)+1))}
}

// bootstrap holds what does not change from sample to sample.
type bootstrap struct {
	groups   int
	weighted bool
	models   []drawnModel
}

// drawnModel is one model's rows in order of their scores, and its sums over each group.
type drawnModel struct {
	broken  bool
	rows    []uint32  // see drawnRow
	weights []float64 // beside rows; nil where all are 1
	loss    []float64 // a group: Σ w·loss, Σ w
	weight  []float64
	auc     []float64 // a group: its AUC, NaN where undefined; nil without groups
}

// drawnRow packs a row's group, its class, and whether the next row has another score: 4 bytes a row and model, for the rows are walked over once a sample.
func drawnRow(group uint32, positive, scoreEnds bool) uint32 {
	r := group << 2
	if positive {
		r |= 2
	}
	if scoreEnds {
		r |= 1
	}
	return r
}

func newBootstrap(s *Sampled) *bootstrap {
	b := &bootstrap{weighted: s.Weights != nil}
	group := make([]uint32, len(s.Labels))
	number := map[uint64]uint32{}
	for i, y := range s.Labels {
		switch {
		case y != y:
			continue
		case s.Groups == nil:
			group[i] = uint32(b.groups)
			b.groups++
		default:
			g, known := number[s.Groups[i]]
			if !known {
				g = uint32(len(number))
				number[s.Groups[i]] = g
			}
			group[i], b.groups = g, len(number)
		}
	}
	for _, scores := range s.Scores {
		b.models = append(b.models, newDrawnModel(s, scores, group, b.groups))
	}
	return b
}

func newDrawnModel(s *Sampled, scores []float32, group []uint32, groups int) drawnModel {
	m := drawnModel{loss: make([]float64, groups), weight: make([]float64, groups)}
	order := make([]uint64, 0, len(scores))
	for i, p := range scores {
		y, w := s.Labels[i], 1.0
		if y != y {
			continue
		}
		if s.Weights != nil {
			w = float64(s.Weights[i])
		}
		if p != p || !(w >= 0 && w <= math.MaxFloat32) {
			m.broken = true
			return m
		}
		order = append(order, pack(p, false, 0)&^(1<<32-1)|uint64(i))
		m.loss[group[i]] += w * loss(float64(p), y > 0.5)
		m.weight[group[i]] += w
	}
	slices.Sort(order)
	var byGroup [][]uint64
	if s.Groups != nil {
		byGroup = make([][]uint64, groups)
		m.auc = make([]float64, groups)
	}
	for k, word := range order {
		i := uint32(word)
		w := float32(1)
		if s.Weights != nil {
			w = s.Weights[i]
			m.weights = append(m.weights, float64(w))
		}
		y := s.Labels[i] > 0.5
		m.rows = append(m.rows, drawnRow(group[i], y, k+1 == len(order) || order[k+1]>>32 != word>>32))
		if byGroup != nil {
			byGroup[group[i]] = append(byGroup[group[i]], pack(scores[i], y, w))
		}
	}
	for g, keys := range byGroup {
		m.auc[g], _ = auc(keys)
	}
	return m
}

// measure is the AUC, GAUC and logloss of a sample in which each group stands counts times.
func (m *drawnModel) measure(counts []uint32, weighted bool) (auc, gauc, logloss float64) {
	if m.broken {
		return math.NaN(), math.NaN(), math.NaN()
	}
	auc = m.drawnAUC(counts)
	if weighted {
		auc = m.weightedAUC(counts)
	}
	var sum, within, losses, all float64
	for g, c := range counts {
		w := float64(c) * m.weight[g]
		losses, all = losses+float64(c)*m.loss[g], all+w
		if m.auc != nil {
			if a := m.auc[g]; a == a {
				sum, within = sum+w*a, within+w
			}
		}
	}
	return auc, sum / within, losses / all
}

// drawnAUC counts pairs in whole numbers, twice each so that ties stay whole.
func (m *drawnModel) drawnAUC(counts []uint32) float64 {
	var neg, pos, pairs, n, p uint64
	for _, r := range m.rows {
		c, positive := uint64(counts[r>>2]), uint64(r>>1&1)
		p += c & -positive
		n += c & (positive - 1)
		if r&1 == 1 {
			pairs += p * (2*neg + n)
			neg, pos = neg+n, pos+p
			n, p = 0, 0
		}
	}
	return float64(pairs) / 2 / (float64(neg) * float64(pos)) // NaN for a class without rows
}

func (m *drawnModel) weightedAUC(counts []uint32) float64 {
	var neg, pos, pairs, n, p float64
	for i, r := range m.rows {
		w := float64(counts[r>>2]) * m.weights[i]
		if r&2 != 0 {
			p += w
		} else {
			n += w
		}
		if r&1 == 1 {
			pairs += p * (neg + n/2)
			neg, pos = neg+n, pos+p
			n, p = 0, 0
		}
	}
	return pairs / (neg * pos)
}
