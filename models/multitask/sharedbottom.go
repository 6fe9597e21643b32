package multitask

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("sharedbottom", func() models.Config {
		return &SharedBottom{Parts: Defaults(), BottomHiddenUnits: models.Units{512, 256, 128}}
	})
}

// SharedBottom is one MLP under all tasks' towers (Caruana, Machine Learning 1997): ŷ_i = σ(Tower_i(MLP(e))).
type SharedBottom struct {
	Parts             `yaml:",inline"`
	BottomHiddenUnits models.Units `yaml:"bottom_hidden_units"`
}

// Model checks the keys.
func (m *SharedBottom) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if err := m.BottomHiddenUnits.Check("bottom_hidden_units"); err != nil {
		return nil, err
	}
	return m, nil
}

// Build adds the bottom and the towers.
func (m *SharedBottom) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	bottom := net.MLP("bottom", e.Node, m.Tower(m.BottomHiddenUnits).Spec())
	return m.Towers(net, s, each(s, bottom)), nil
}
