// Package twotower is retrieval by two towers: a user's vector and an item's meet in an inner product alone, so that the items' are computed once and searched.
package twotower

import (
	"fmt"

	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("twotower", func() models.Config {
		return &Config{
			EmbeddingDim: 10, UserTowerUnits: models.Units{64, 64}, ItemTowerUnits: models.Units{64, 64}, UserTowerActivations: "relu", ItemTowerActivations: "relu",
			Normalise: true, Temperature: 0.1, FrequencyBuckets: 1 << 16, FrequencyRate: 0.01,
		}
	})
}

// Config holds the keys of a model file beside the settings of training; names are FuxiCTR's where it has them.
type Config struct {
	EmbeddingDim         int               `yaml:"embedding_dim"`
	UserTowerUnits       models.Units      `yaml:"user_tower_units"` // the last is the vector's width
	ItemTowerUnits       models.Units      `yaml:"item_tower_units"`
	UserTowerActivations models.Activation `yaml:"user_tower_activations"`
	ItemTowerActivations models.Activation `yaml:"item_tower_activations"`
	UserTowerDropout     models.Rates      `yaml:"user_tower_dropout"` // of hidden layers
	ItemTowerDropout     models.Rates      `yaml:"item_tower_dropout"`
	BatchNorm            bool              `yaml:"batch_norm"`
	// Normalise makes vectors of length one, whose inner product is a cosine.
	Normalise bool `yaml:"normalise"`
	// Temperature divides the inner product.
	Temperature float64 `yaml:"temperature"`
	// ItemFields are the fields of the item's tower, all others being the user's; default: those with from: item.
	ItemFields models.NameList `yaml:"item_fields"`
	// FrequencyBuckets and FrequencyRate are of the estimate of how frequent items are, which loss in_batch_softmax corrects by.
	FrequencyBuckets int     `yaml:"frequency_buckets"`
	FrequencyRate    float64 `yaml:"frequency_rate"`
}

// tower is one of the two, its last layer being linear.
func tower(units models.Units, activation models.Activation, dropout models.Rates, norm bool) models.Tower {
	return models.Tower{Units: units[:len(units)-1], Activation: activation, Dropout: dropout, BatchNorm: norm}
}

// Model checks the keys and parts the fields.
func (c *Config) Model(s *features.Schema, set *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		name       string
		units      models.Units
		activation models.Activation
		dropout    models.Rates
	}{{"user_tower", c.UserTowerUnits, c.UserTowerActivations, c.UserTowerDropout}, {"item_tower", c.ItemTowerUnits, c.ItemTowerActivations, c.ItemTowerDropout}} {
		if len(t.units) == 0 {
			return nil, fmt.Errorf("%s_units is empty: its last layer is the vector", t.name)
		}
		if err := t.units.Check(t.name + "_units"); err != nil {
			return nil, err
		}
		if err := tower(t.units, t.activation, t.dropout, c.BatchNorm).Check(t.name+"_units", t.name+"_activations", t.name+"_dropout"); err != nil {
			return nil, err
		}
	}
	if u, i := c.UserTowerUnits[len(c.UserTowerUnits)-1], c.ItemTowerUnits[len(c.ItemTowerUnits)-1]; u != i {
		return nil, fmt.Errorf("user_tower_units ends with %d and item_tower_units with %d: the vectors must have one width", u, i)
	}
	if !(c.Temperature > 0 && c.Temperature <= 1e6) {
		return nil, fmt.Errorf("temperature is %g, want more than 0", c.Temperature)
	}
	if c.FrequencyBuckets < 1 || c.FrequencyBuckets > nn.MaxModulo {
		return nil, fmt.Errorf("frequency_buckets is %d, want 1 to %d", c.FrequencyBuckets, nn.MaxModulo)
	}
	if !(c.FrequencyRate > 0 && c.FrequencyRate <= 1) {
		return nil, fmt.Errorf("frequency_rate is %g, want more than 0 and at most 1", c.FrequencyRate)
	}
	m := &Model{Config: *c, inBatch: set.Loss == models.InBatchLoss}
	if err := m.part(s); err != nil {
		return nil, err
	}
	if m.inBatch && m.id == "" {
		return nil, fmt.Errorf("loss %s tells items apart by their ids: the schema's item column must be a field of the item's tower", set.Loss)
	}
	if m.inBatch && len(s.Labels) > 1 {
		return nil, fmt.Errorf("loss %s is for one label, the schema has %d", set.Loss, len(s.Labels))
	}
	return m, nil
}

// part sorts the fields into the two towers.
func (m *Model) part(s *features.Schema) error {
	if err := models.CheckFields(s, "item_fields", m.ItemFields); err != nil {
		return err
	}
	named := map[string]bool{}
	for _, n := range m.ItemFields {
		named[n] = true
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if of := named[f.Name]; of || len(named) == 0 && f.From == features.FromItem {
			m.item = append(m.item, f.Name)
			if f.Kind == features.Categorical && s.IsItem(f) {
				m.id = f.Name
			}
		} else {
			m.user = append(m.user, f.Name)
		}
	}
	if len(m.item) == 0 {
		return fmt.Errorf("no field is the item's: let fields say from: item, or name item_fields")
	}
	if len(m.user) == 0 {
		return fmt.Errorf("every field is the item's: the user's tower has none")
	}
	return nil
}
