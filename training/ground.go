package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// ground is what models are compared on: the rows that all of them have scored.
type ground struct {
	from    string // the contender that laid it out
	names   []string
	labels  [][]float32 // one a name: [rows]
	weights []float32
	groups  []uint64
	numbers []int64 // the input rows' numbers; nil: unknown
	rows    int
	badRows int64
	slicers []*slicer
}

// rival is a contender's scores: of each of its runs, for each label, of every row.
type rival struct {
	name string
	runs [][][]float32
}

func (g *ground) countGroups() int {
	seen := map[uint64]bool{}
	for _, id := range g.groups {
		seen[id] = true
	}
	return len(seen)
}

// gather scores with all checkpoints and reads all prediction files, and sees that they are of the same rows.
func gather(ctx context.Context, o *CompareOptions) (*ground, []rival, error) {
	rivals := make([]rival, len(o.Contenders))
	var files, tables []int // contenders that are prediction files, checkpoints
	for i, c := range o.Contenders {
		rivals[i].name = c.Name
		info, err := os.Stat(c.Path)
		if err != nil {
			return nil, nil, &RequestError{fmt.Errorf("%s: %w", c.Name, err)}
		}
		if info.IsDir() {
			tables = append(tables, i)
		} else {
			files = append(files, i)
		}
	}
	if len(tables) > 0 && len(o.Data) == 0 {
		return nil, nil, refuse("%s is a checkpoint: give the files to compare on with --data", o.Contenders[tables[0]].Path)
	}
	if len(tables) == 0 && len(o.Data) > 0 {
		return nil, nil, refuse("--data is for checkpoints to score: all of those compared are prediction files")
	}
	var data []string
	var err error
	if len(tables) > 0 {
		if data, err = expandInOrder(o.Data); err != nil {
			return nil, nil, err
		}
	}
	g := &ground{}
	for _, i := range tables {
		if err := g.score(ctx, o, &rivals[i], o.Contenders[i].Path, data); err != nil {
			return nil, nil, err
		}
	}
	for _, i := range files {
		if err := g.read(ctx, o, &rivals[i], o.Contenders[i].Path); err != nil {
			return nil, nil, err
		}
	}
	return g, rivals, nil
}

// checkpoints lists the folders of a contender's runs: one, or one a seed.
func checkpoints(path string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(path, seedsFolder))
	if errors.Is(err, os.ErrNotExist) {
		return []string{path}, nil
	}
	if err != nil {
		return nil, &RequestError{err}
	}
	var seeds []uint64
	for _, e := range entries {
		if seed, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			seeds = append(seeds, seed)
		}
	}
	if len(seeds) == 0 {
		return []string{path}, nil
	}
	slices.Sort(seeds)
	var out []string
	for _, s := range seeds {
		out = append(out, filepath.Join(path, seedsFolder, strconv.FormatUint(s, 10)))
	}
	return out, nil
}

// score runs a contender's checkpoints over the data.
func (g *ground) score(ctx context.Context, o *CompareOptions, r *rival, path string, data []string) error {
	folders, err := checkpoints(path)
	if err != nil {
		return err
	}
	for _, dir := range folders {
		o.Note("scoring with " + dir)
		c, err := models.LoadScoring(dir)
		if err != nil {
			return &RequestError{fmt.Errorf("%s: %w", r.name, err)}
		}
		if g.from == "" {
			if g.slicers, err = newSlicers(c.Schema, o.Slices); err != nil {
				return err
			}
		}
		var slicers []*slicer
		if g.from == "" {
			slicers = g.slicers
		}
		s, err := scan(ctx, c, data, o.SkipBad, slicers)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		names := labelNames(c.Schema)
		if g.from == "" {
			g.from, g.names, g.labels, g.weights, g.groups, g.rows, g.badRows = dir, names, s.labels, s.weights, s.groups, s.rows, int64(len(s.badAt))
			g.numbers = inputNumbers(s.rows, s.badAt)
		} else if err := g.same(dir, names, s.labels, inputNumbers(s.rows, s.badAt)); err != nil {
			return err
		}
		r.runs = append(r.runs, inOrder(s.scores, names, g.names))
	}
	return nil
}

// read takes a contender's scores from a prediction file.
func (g *ground) read(ctx context.Context, o *CompareOptions, r *rival, path string) error {
	o.Note("reading " + path)
	first := g.from == ""
	if first {
		var err error
		if g.slicers, err = newSlicers(&features.Schema{}, o.Slices); err != nil {
			return err
		}
	}
	var slicers []*slicer
	if first {
		slicers = g.slicers
	}
	p, err := readPredictions(ctx, path, o.Label, o.Group, slicers)
	if err != nil {
		return err
	}
	if first {
		for i, l := range p.labels {
			if l == nil {
				return unlike(path, "there is no column for the label of %s: predict writes it where the data has it", "score_"+p.names[i])
			}
		}
		g.from, g.names, g.labels, g.groups, g.rows, g.numbers = path, p.names, p.labels, p.groups, p.rows, p.numbers
		r.runs = [][][]float32{p.scores}
		return nil
	}
	if len(p.names) == 1 && len(g.names) == 1 {
		p.names = g.names // a lone score says nothing of its label's name where the file has not got it
	}
	if err := g.same(path, p.names, p.labels, p.numbers); err != nil {
		return err
	}
	if p.rows != g.rows {
		return unlike(path, "it has %d rows, %s has %d: they must be of the same data", p.rows, g.from, g.rows)
	}
	r.runs = [][][]float32{inOrder(p.scores, p.names, g.names)}
	return nil
}

// same refuses labels or rows other than those of the first contender.
func (g *ground) same(path string, names []string, labels [][]float32, numbers []int64) error {
	if len(names) != len(g.names) {
		return unlike(path, "it has the labels %q, %s has %q", names, g.from, g.names)
	}
	for _, n := range g.names {
		if !slices.Contains(names, n) {
			return unlike(path, "it has the labels %q, %s has %q", names, g.from, g.names)
		}
	}
	if numbers != nil && g.numbers != nil {
		for i := range max(len(numbers), len(g.numbers)) {
			switch {
			case i >= len(numbers) || i < len(g.numbers) && numbers[i] > g.numbers[i]:
				return unlike(path, "it lacks row %d, which %s has: they must be of the same data", g.numbers[i], g.from)
			case i >= len(g.numbers) || numbers[i] < g.numbers[i]:
				return unlike(path, "it has row %d, which %s has not: they must be of the same data", numbers[i], g.from)
			}
		}
	}
	for k, n := range g.names {
		theirs := labels[slices.Index(names, n)]
		if theirs == nil {
			continue
		}
		if len(theirs) != g.rows {
			return unlike(path, "it has %d rows, %s has %d: they must be of the same data", len(theirs), g.from, g.rows)
		}
		for i, y := range g.labels[k] {
			if y != theirs[i] && (y == y || theirs[i] == theirs[i]) {
				return unlike(path, "label %s of row %d is %g, in %s it is %g: they must be of the same data", n, i, theirs[i], g.from, y)
			}
		}
	}
	return nil
}

func labelNames(s *features.Schema) []string {
	var out []string
	for _, l := range s.Labels {
		out = append(out, l.Name)
	}
	return out
}

// inOrder sorts the labels' scores into the order of want.
func inOrder(scores [][]float32, names, want []string) [][]float32 {
	out := make([][]float32, len(want))
	for i, n := range want {
		out[i] = scores[slices.Index(names, n)]
	}
	return out
}

// inputNumbers are the numbers of the rows kept where those at badAt were passed over.
func inputNumbers(rows int, badAt []int64) []int64 {
	out := make([]int64, rows)
	next, passed := int64(0), 0
	for i := range out {
		for passed < len(badAt) && badAt[passed] == next {
			next, passed = next+1, passed+1
		}
		out[i] = next
		next++
	}
	return out
}
