package models

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Losses of the key loss.
const (
	CrossEntropyLoss = "binary_crossentropy"
	FocalLoss        = "focal_loss"
	PairwiseLoss     = "pairwise"         // of the pairs of a group: RankNet, BPR
	ListwiseLoss     = "listwise"         // softmax within a group
	InBatchLoss      = "in_batch_softmax" // of a model with two towers: a row's item against those of the batch
)

// lossNames are the names by which losses are asked for, without punctuation; FuxiCTR's and the papers' among them.
var lossNames = map[string]string{
	"binarycrossentropy": CrossEntropyLoss, "binarylogloss": CrossEntropyLoss,
	"focal": FocalLoss, "focalloss": FocalLoss, "binaryfocalloss": FocalLoss,
	"pairwise": PairwiseLoss, "pairwiseloss": PairwiseLoss, "pairwiselogistic": PairwiseLoss, "pairwiselogisticloss": PairwiseLoss, "bpr": PairwiseLoss, "ranknet": PairwiseLoss,
	"listwise": ListwiseLoss, "listwiseloss": ListwiseLoss, "softmaxcrossentropy": ListwiseLoss, "softmaxcrossentropyloss": ListwiseLoss, "listnet": ListwiseLoss,
	"inbatchsoftmax": InBatchLoss, "sampledsoftmax": InBatchLoss,
}

// parseLoss reads the key loss.
func (s *Settings) parseLoss(text string) error {
	known := lossNames[Canonical(text)]
	if known == "" {
		return fmt.Errorf("loss is %q, want %s", text, strings.Join([]string{CrossEntropyLoss, FocalLoss, PairwiseLoss, ListwiseLoss}, ", ")+" or "+InBatchLoss)
	}
	s.Loss = known
	return nil
}

// Grouped reports whether the loss compares rows of one group, so that batches should hold whole groups.
func (s *Settings) Grouped() bool { return s.Loss == PairwiseLoss || s.Loss == ListwiseLoss }

// Sampling is how training thins out its rows: of the negatives each stays with probability Rate, 0 and 1 standing for all of them.
type Sampling struct{ Rate float64 }

// UnmarshalYAML reads {rate: R}.
func (s *Sampling) UnmarshalYAML(n *yaml.Node) error {
	keys, err := mapping(n)
	if err != nil || len(keys) != 1 || keys[0].name != "rate" {
		return fmt.Errorf("want {rate: R}, R the probability with which training keeps a negative")
	}
	if err := keys[0].value.Decode(&s.Rate); err != nil || !(s.Rate > 0 && s.Rate <= 1) {
		return fmt.Errorf("rate is %s, want more than 0 and at most 1", keys[0].value.Value)
	}
	return nil
}

// Sampled reports whether some negatives are left out.
func (s Sampling) Sampled() bool { return s.Rate > 0 && s.Rate < 1 }

// Shift is what the logit of a kept row lies above the logit of all rows, −ln R: where negatives stay with probability R, the odds of a positive are 1/R times as high. The loss sees the logit with it, so that the
// model's own logit is that of the unsampled rows: p = q/(q + (1−q)/R) of He and others (ADKDD 2014, section 6.3), q what the kept rows say, is then what every scorer computes anyway.
func (s Sampling) Shift() float64 {
	if !s.Sampled() {
		return 0
	}
	return -math.Log(s.Rate)
}

// checkLoss refuses losses that cannot be had with the schema.
func (s *Settings) checkLoss(schema *features.Schema) error {
	if err := s.checkLabelWeights(schema); err != nil {
		return err
	}
	if s.Grouped() && schema.GroupColumn() == "" {
		return fmt.Errorf("loss %s compares rows of one group: the schema names neither group nor user", s.Loss)
	}
	if s.NegativeSampling.Sampled() && len(schema.Labels) > 1 {
		return fmt.Errorf("negative_sampling: the schema has %d labels; what is a negative, and by how much its logit is off, is known with one alone", len(schema.Labels))
	}
	if s.NegativeSampling.Sampled() && s.Loss == InBatchLoss {
		return fmt.Errorf("negative_sampling: loss %s takes its negatives from the batch, and knows how likely each is by itself", s.Loss)
	}
	if s.Position != nil && s.Loss == InBatchLoss {
		return fmt.Errorf("position_bias: loss %s asks which item comes first, whatever the place where it was shown", s.Loss)
	}
	return nil
}

// checkLabelWeights refuses weights of labels that there are not, and those that leave nothing to learn.
func (s *Settings) checkLabelWeights(schema *features.Schema) error {
	if s.LabelWeights == nil {
		return nil
	}
	var names []string
	learned := false
	for _, l := range schema.Labels {
		names = append(names, l.Name)
		w, ok := s.LabelWeights[l.Name]
		learned = learned || !ok || w > 0
	}
	for _, name := range slices.Sorted(maps.Keys(s.LabelWeights)) {
		if !slices.Contains(names, name) {
			return fmt.Errorf("label_weights: the schema has no label %q; the nearest is %q", name, strict.Nearest(name, names))
		}
		if w := s.LabelWeights[name]; !(w >= 0 && w < 1e30) {
			return fmt.Errorf("label_weights: %g of %s, want at least 0", w, name)
		}
	}
	if !learned {
		return fmt.Errorf("label_weights: no label counts")
	}
	return nil
}

// labelWeight is by how much the loss of a label counts.
func (s *Settings) labelWeight(label string) float64 {
	if w, ok := s.LabelWeights[label]; ok {
		return w
	}
	return 1
}

// addLoss adds the inputs of labels, weights and groups, and what training minimises: the loss of every label, and the model's own parts.
func (p *Program) addLoss(a *assembly) error {
	set, g := &p.spec.Settings, a.net.Graph
	if p.schema.Weighted() {
		a.weights = g.Input("weight", 1)
	}
	if set.Grouped() {
		a.groups = g.Input("group", 1)
	}
	if (set.Loss == InBatchLoss) != (a.net.Objective != nil) {
		return fmt.Errorf("loss %s is for a model with a tower of the user and one of the item", set.Loss)
	}
	var losses []*graph.Node
	for i, l := range p.schema.Labels {
		y := g.Input("label/"+l.Name, 1)
		a.labels = append(a.labels, y)
		if a.net.Objective != nil {
			losses = append(losses, a.net.Objective(i, y, a.weights))
		} else {
			losses = append(losses, p.labelLoss(a, i, a.logits[i]))
		}
		if w := set.labelWeight(l.Name); w != 1 {
			losses[i] = graph.Scale(losses[i], w)
		}
	}
	for _, h := range a.net.Heads {
		losses = append(losses, graph.Scale(p.labelLoss(a, h.Label, h.Logit), h.Weight*set.labelWeight(p.schema.Labels[h.Label].Name)))
	}
	for _, x := range a.net.Auxiliaries {
		losses = append(losses, graph.Scale(x.Loss, x.Weight))
	}
	a.loss = losses[0]
	if len(losses) > 1 {
		a.loss = graph.SumScalars(losses...)
	}
	return nil
}

// labelLoss is the loss that the key loss asks for, of a logit against a label.
func (p *Program) labelLoss(a *assembly, label int, z *graph.Node) *graph.Node {
	set, y := &p.spec.Settings, a.labels[label]
	z = p.observed(a, label, z)
	drawn := z
	if by := set.NegativeSampling.Shift(); by != 0 {
		drawn = graph.Shift(z, by)
	}
	var loss *graph.Node
	switch set.Loss {
	case FocalLoss:
		return graph.FocalWithLogits(drawn, y, a.weights, set.FocalGamma, set.FocalAlpha)
	case PairwiseLoss: // the mean over a group's negatives is that over those drawn
		loss = graph.PairwiseWithLogits(z, y, a.weights, a.groups)
	case ListwiseLoss:
		loss = graph.ListwiseWithLogits(z, y, a.weights, a.groups, math.Exp(set.NegativeSampling.Shift()))
	default:
		return graph.BCEWithLogits(drawn, y, a.weights)
	}
	if set.PointwiseWeight > 0 {
		loss = graph.SumScalars(loss, graph.Scale(graph.BCEWithLogits(drawn, y, a.weights), set.PointwiseWeight))
	}
	return loss
}

// groupNumbers turns hashed groups into numbers from 0, in the order in which they come.
type groupNumbers struct {
	of     map[uint64]int
	tensor *graph.Tensor
}

func newGroupNumbers() *groupNumbers {
	return &groupNumbers{map[uint64]int{}, graph.NewTensor(0, 1)}
}

func (n *groupNumbers) fill(b *features.Batch) error {
	if len(b.Groups) != b.Rows {
		return fmt.Errorf("the batch has %d groups for %d rows", len(b.Groups), b.Rows)
	}
	clear(n.of)
	n.tensor.Resize(b.Rows, 1)
	for r, id := range b.Groups {
		k, known := n.of[id]
		if !known {
			k = len(n.of)
			n.of[id] = k
		}
		n.tensor.F32[r] = float32(k)
	}
	return nil
}
