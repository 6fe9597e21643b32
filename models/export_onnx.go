package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/onnx"
)

// ONNXOptions say what an exported model holds.
type ONNXOptions struct {
	Name string // of the model
	// Outside leaves the embedding tables out: the model's inputs are their rows instead of ids.
	Outside bool
	// Vector exports one of Program.VectorNames in place of the scores, with what that needs alone: an item's tower without the user's.
	Vector string
	// Progress, where it is not nil, hears now and then how many bytes of how many are written.
	Progress func(written, total int64)
}

// ExportedInput is one input of an exported model.
type ExportedInput struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"` // numbers, or names of sizes that differ from run to run
	// Role is ids (hashes of categories), lengths (how many ids each row of the batch has), number (NaN where missing) or rows (of an embedding table).
	Role  string `json:"role"`
	Field string `json:"field"`
	// Vocabulary salts the hash of an id; Table is what rows are of.
	Vocabulary string `json:"vocabulary,omitempty"`
	Lengths    string `json:"lengths,omitempty"` // the input that says how many of the ids or rows belong to each row of the batch
	Table      string `json:"table,omitempty"`
	Max        int    `json:"max,omitempty"` // how many ids of a row the model was trained with at most
}

// Exported says what an export wrote.
type Exported struct {
	Bytes   int64           `json:"bytes"`
	Inputs  []ExportedInput `json:"inputs,omitempty"`
	Outputs []string        `json:"outputs,omitempty"`
	Tables  []ExportedTable `json:"tables,omitempty"`
}

// ExportedTable is an embedding table of an export.
type ExportedTable struct {
	Name       string `json:"name"`
	Vocabulary string `json:"vocabulary"` // salts the hash of an id
	Rows       int    `json:"rows"`       // that of unknown ids included
	Dim        int    `json:"dim"`
}

// The metadata of an export.
const (
	MetaModel   = "millrace.model"   // the model file
	MetaSchema  = "millrace.schema"  // the schema
	MetaVersion = "millrace.version" // of the weights
	MetaLabels  = "millrace.labels"  // JSON: the labels, in the order of the outputs
	MetaInputs  = "millrace.inputs"  // JSON: []ExportedInput
	MetaTables  = "millrace.tables"  // JSON: []ExportedTable, of the checkpoint, wherever they lie
	MetaStats   = "millrace.stats"   // JSON: the statistics of the training data that numbers are encoded with
)

// ExportONNX writes the model as it scores, as one ONNX graph of standard operators: for each label an output of probabilities [batch].
// A model that ONNX cannot hold is an error that wraps onnx.ErrTooLarge, before anything is written.
func (c *Checkpoint) ExportONNX(w io.Writer, o ONNXOptions) (*Exported, error) {
	done, err := c.exportONNX(w, o)
	if err != nil {
		return nil, fmt.Errorf("export model %s: %w", c.Spec.Name, err)
	}
	return done, nil
}

func (c *Checkpoint) exportONNX(w io.Writer, o ONNXOptions) (*Exported, error) {
	net := nn.New(graph.Float32, c.Program.seed)
	net.Scoring = true
	a, err := c.Program.assembleIn(net)
	if err != nil {
		return nil, err
	}
	outputs := a.logits
	if o.Vector != "" {
		v, err := c.Program.vector(net, o.Vector)
		if err != nil {
			return nil, err
		}
		outputs = []*graph.Node{v}
	}
	e := newONNXExport(c, net, o, graph.Leaves(outputs...))
	for i, p := range net.Params {
		value := c.Weights.values[i]
		switch {
		case p.Buffer:
			copy(p.Value.F32, value.F32)
		case e.needed[p.Node] != nil:
			e.x.Bind(p.Node, e.g.Tensor(p.Name, onnx.Float32, floats(value.F32), int64(value.Rows), int64(value.Cols)))
		}
	}
	if err := e.bindInputs(); err != nil {
		return nil, err
	}
	values, err := e.x.Write(outputs...)
	if err != nil {
		return nil, err
	}
	done := &Exported{Inputs: e.inputs}
	if !o.Outside {
		done.Tables = c.exportedTables(func(name string) bool { return e.tables[name] != nil })
	}
	if o.Vector != "" {
		doc := "the vector " + o.Vector
		done.Outputs = []string{e.g.Output("vector", doc, values[0], onnx.Float32, batchDim, onnx.Dim{Size: int64(outputs[0].Cols)})}
	} else {
		done.Outputs = e.scores(values)
	}
	m := &onnx.Model{Graph: e.g, Producer: "millrace", Doc: e.describe()}
	if m.Metadata, err = c.metadata(done); err != nil {
		return nil, err
	}
	out := &progressWriter{w: w, tell: o.Progress}
	err = m.Encode(out, out.start)
	done.Bytes = out.written
	return done, err
}

// scores makes outputs of the logits.
func (e *onnxExport) scores(logits []onnx.Value) []string {
	var names []string
	labels := e.of.Schema.Labels
	for i, l := range labels {
		name := "score"
		if len(labels) > 1 {
			name += "_" + l.Name
		}
		p := e.g.Op("Reshape", e.g.Op("Sigmoid", logits[i]), e.g.Ints(-1))
		names = append(names, e.g.Output(name, "the probability of "+l.Name, p, onnx.Float32, batchDim))
	}
	return names
}

// vector finds one of the model's vectors.
func (p *Program) vector(net *nn.Net, name string) (*graph.Node, error) {
	for _, v := range net.Vectors {
		if v.Name == name {
			return v.Node, nil
		}
	}
	if len(p.vectors) == 0 {
		return nil, errors.New("it has no vectors of users and items")
	}
	return nil, fmt.Errorf("it has no vector %q, only %s", name, strings.Join(p.vectors, ", "))
}

// metadata is what is said of an exported model.
func (c *Checkpoint) metadata(done *Exported) ([]onnx.Property, error) {
	schema, err := yaml.Marshal(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	props := []onnx.Property{{Key: MetaModel, Value: c.Spec.Source}, {Key: MetaSchema, Value: string(schema)}, {Key: MetaVersion, Value: c.Weights.Version}}
	var labels []string
	for _, l := range c.Schema.Labels {
		labels = append(labels, l.Name)
	}
	add := func(key string, v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		props = append(props, onnx.Property{Key: key, Value: string(text)})
		return nil
	}
	if err := add(MetaLabels, labels); err != nil {
		return nil, err
	}
	if done.Inputs != nil {
		if err := add(MetaInputs, done.Inputs); err != nil {
			return nil, err
		}
	}
	if err := add(MetaTables, c.exportedTables(func(string) bool { return true })); err != nil {
		return nil, err
	}
	err = add(MetaStats, c.Stats)
	return props, err
}

// describe tells a reader of the file what the model takes and gives.
func (e *onnxExport) describe() string {
	how := "Ids are XXH3-64 hashes of a category's text with the seed XXH3-64 of the vocabulary's name, as int64; an id that the model does not know reads the unknown row."
	if e.outside {
		how = "The embedding tables lie outside: inputs are their rows, from the safetensors export of the same checkpoint."
	}
	return fmt.Sprintf("Millrace model %s, version %s. %s Numbers are as they stand in the data, NaN where missing. Lists are end to end, their lengths an input of their own. "+
		"The metadata %s says what each input is.", e.of.Spec.Name, e.of.Weights.Version, how, MetaInputs)
}
