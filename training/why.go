package training

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// TableStory is what a checkpoint knows of an id in one table, and of how often it has been seen where it waits for its minimum count.
type TableStory struct {
	*table.Story
	Table    string
	MinCount int
	Waiting  uint32
}

// Why tells what a checkpoint knows of an id: in the tables of a field, where value is the category's text, or with an empty field in the table named, by number.
func Why(dir, field, value, tableName string, id uint64) ([]TableStory, error) {
	at, err := snapshot.Locate(dir)
	if err != nil {
		return nil, refuse("%w", err)
	}
	s, err := snapshot.Open(at)
	if err != nil {
		return nil, err
	}
	schema, err := features.ParseSchema([]byte(s.Manifest.Files[models.SchemaFile]))
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", at, err)
	}
	spec, err := models.Parse([]byte(s.Manifest.Files[models.ModelFile]), schema)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", at, err)
	}
	program, err := models.NewProgram(spec, schema, spec.Settings.Seed)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", at, err)
	}
	vocabulary := ""
	if field != "" {
		i := schema.Field(field)
		switch {
		case i < 0:
			return nil, refuse("the checkpoint's schema has no field %q", field)
		case models.IsNumber(&schema.Fields[i]):
			return nil, refuse("field %q is a number without ids", field)
		}
		vocabulary = schema.Fields[i].Table()
		if id = features.ID(vocabulary, value); value == "" {
			id = features.MissingID(vocabulary)
		}
	}
	var out []TableStory
	var known []string
	for _, t := range program.Tables() {
		known = append(known, t.Name)
		if t.Name != tableName && t.Vocabulary != vocabulary {
			continue
		}
		story, err := whyTable(s, schema, t, id)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", at, err)
		}
		out = append(out, *story)
	}
	if len(out) == 0 && field != "" {
		return nil, refuse("the model has no table for field %q; its tables are %v", field, known)
	}
	if len(out) == 0 {
		return nil, refuse("the model has no table %q; its tables are %v", tableName, known)
	}
	return out, nil
}

func whyTable(s *snapshot.Snapshot, schema *features.Schema, t models.TableSpec, id uint64) (*TableStory, error) {
	part, err := s.Part(table.PartPrefix+t.Name, table.StoryTensors...)
	if err != nil {
		return nil, err
	}
	out := &TableStory{Table: t.Name, MinCount: 1}
	if out.Story, err = table.StoryOf(part, id); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(schema.Fields, func(f features.Field) bool { return f.Table() == t.Vocabulary }); i >= 0 {
		out.MinCount = max(schema.Fields[i].MinCount, 1)
	}
	counts, err := s.Part(admissionPart)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	sketch, err := table.SketchFrom(counts, t.Vocabulary)
	if err == nil && sketch != nil && !out.Present {
		out.Waiting = sketch.Count(id)
	}
	return out, err
}
