package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/optim"
)

// OptimizerConstants are the optimizers' constants beside the learning rate, which is FTRL's α; a key that is absent has the optimizer's own default.
type OptimizerConstants struct {
	Betas       []float64 `yaml:"optimizer_betas"` // adam, sparse_adam, lamb: of the two moments; default [0.9, 0.999]
	Eps         *float64  `yaml:"optimizer_eps"`   // beside the root: adam, sparse_adam (1e-8), adagrad (1e-10), lamb (1e-6)
	WeightDecay *float64  `yaml:"weight_decay"`    // lamb: decoupled from the loss; default 0
	FTRLBeta    *float64  `yaml:"ftrl_beta"`       // ftrl: the rate is α/(β + √Σg²); default 1
	FTRLL1      *float64  `yaml:"ftrl_l1"`         // ftrl: λ1, which makes weights zero; default 0
	FTRLL2      *float64  `yaml:"ftrl_l2"`         // ftrl: λ2; default 0
}

// set puts the constants that are given into an optimizer's configuration.
func (o *OptimizerConstants) set(c *optim.Config) {
	if len(o.Betas) == 2 {
		c.Beta1, c.Beta2 = o.Betas[0], o.Betas[1]
	}
	for _, k := range o.keys() {
		if k.value != nil {
			*k.of(c) = *k.value
		}
	}
}

// optimizerConstant is a key that holds one number.
type optimizerConstant struct {
	name     string
	value    *float64
	of       func(c *optim.Config) *float64
	positive bool
	users    []string // optimizers that have it
}

func (o *OptimizerConstants) keys() []optimizerConstant {
	return []optimizerConstant{
		{"optimizer_eps", o.Eps, func(c *optim.Config) *float64 { return &c.Eps }, true, []string{optim.AdamName, optim.SparseAdamName, optim.AdagradName, optim.LAMBName}},
		{"weight_decay", o.WeightDecay, func(c *optim.Config) *float64 { return &c.WeightDecay }, false, []string{optim.LAMBName}},
		{"ftrl_beta", o.FTRLBeta, func(c *optim.Config) *float64 { return &c.FTRLBeta }, true, []string{optim.FTRLName}},
		{"ftrl_l1", o.FTRLL1, func(c *optim.Config) *float64 { return &c.FTRLL1 }, false, []string{optim.FTRLName}},
		{"ftrl_l2", o.FTRLL2, func(c *optim.Config) *float64 { return &c.FTRLL2 }, false, []string{optim.FTRLName}},
	}
}

// check refuses impossible constants, and those that neither of the optimizers in use has.
func (o *OptimizerConstants) check(optimizers ...string) error {
	unused := func(key string, users []string) error {
		if slices.ContainsFunc(optimizers, func(name string) bool { return slices.Contains(users, name) }) {
			return nil
		}
		return fmt.Errorf("%s is a constant of %s, the optimizer is %s", key, strings.Join(users, ", "), strings.Join(slices.Compact(optimizers), " and "))
	}
	for _, k := range o.keys() {
		if k.value == nil {
			continue
		}
		if err := unused(k.name, k.users); err != nil {
			return err
		}
		if x := *k.value; !(x >= 0 && x < 1e30) || k.positive && x == 0 {
			want := "at least 0"
			if k.positive {
				want = "more than 0"
			}
			return fmt.Errorf("%s is %g, want %s", k.name, x, want)
		}
	}
	if o.Betas == nil {
		return nil
	}
	if len(o.Betas) != 2 {
		return fmt.Errorf("optimizer_betas has %d numbers, want the two of adam and lamb", len(o.Betas))
	}
	for _, x := range o.Betas {
		if !(x > 0 && x < 1) {
			return fmt.Errorf("optimizer_betas: %g, want more than 0 and less than 1", x)
		}
	}
	return unused("optimizer_betas", []string{optim.AdamName, optim.SparseAdamName, optim.LAMBName})
}
