package multitask

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("esmm", func() models.Config { return &ESMM{Parts: Defaults()} })
}

// ESMM is the entire-space model of a click and a conversion after it (Ma and others, SIGIR 2018): two towers over shared embeddings, pCTR = σ(f(e)) and
// pCVR = σ(g(e)); the first label is trained and scored as pCTR, the second, which must imply the first, as pCTCVR = pCTR·pCVR over all impressions.
type ESMM struct {
	Parts `yaml:",inline"`
}

// Model checks the keys.
func (m *ESMM) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if len(s.Labels) != 2 {
		return nil, fmt.Errorf("the schema has %d labels: ESMM is for two, a click and a conversion that follows it", len(s.Labels))
	}
	return m, nil
}

// Build adds the two towers.
func (m *ESMM) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	z := m.Towers(net, s, each(s, e.Node))
	return []*graph.Node{z[0], graph.ProductLogit(z[0], z[1])}, nil
}
