// Package prepare makes training files from raw ones by a recipe: it reads sources, joins and derives columns, builds histories strictly from earlier events, draws negatives by seed,
// cuts the rows into parts and writes them as Parquet. The same recipe and files give the same bytes.
//
// A table is held in memory by columns: texts as 32-bit codes of a dictionary, histories as spans of the events they were taken from. That is about 4 to 8 bytes a value, so tens of
// millions of rows fit an ordinary machine; reading and writing stream.
package prepare

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Recipe says how training files come from raw ones: sources are read, the rows of From pass through the steps in order, and Cut parts them.
type Recipe struct {
	Name    string            `yaml:"name"`
	Sources map[string]Source `yaml:"sources"`
	From    []string          `yaml:"from"`    // the source whose rows are the events; several with the same columns follow one another
	Steps   []Step            `yaml:"steps"`   // in order
	Cut     Cut               `yaml:"cut"`     // into train, valid and test
	Columns []string          `yaml:"columns"` // of the written files, in order; default: all
}

// Source is a raw file or several of one form.
type Source struct {
	Line    int               `yaml:"-"`
	Files   []string          `yaml:"file"`    // under the data folder, or with .gz or .zst where only that is there; globs too
	Format  string            `yaml:"format"`  // table (default; CSV, Parquet or Arrow by the file's name), sequences (a user and items a line) or json ({key: value or list})
	CSV     features.Dialect  `yaml:"csv"`     // as in a schema; in sequences, delimiter parts the items
	Columns []string          `yaml:"columns"` // the columns to read, default all; in sequences and json the two columns' names
	Types   map[string]string `yaml:"types"`   // of columns: text (default), integer, number, time, list
	Add     map[string]string `yaml:"add"`     // columns with one value for all rows
}

// Step is one operation on the table; exactly one key is set.
type Step struct {
	Line      int               `yaml:"-"`
	Join      *Join             `yaml:"join"`
	Rename    map[string]string `yaml:"rename"` // old name: new name
	First     *Derive           `yaml:"first"`  // first element of a list
	Last      *Derive           `yaml:"last"`   // and its last one
	Split     *Derive           `yaml:"split"`  // a text into a list
	Bucket    *Derive           `yaml:"bucket"` // a number into how many bounds are at or below it
	TimePart  *Derive           `yaml:"time_part"`
	Match     *Derive           `yaml:"match"` // what a pattern finds in a text; missing where it finds nothing
	Label     *Label            `yaml:"label"`
	Filter    *Filter           `yaml:"filter"`
	Distinct  *Distinct         `yaml:"distinct"`
	Sort      []string          `yaml:"sort"` // stable, by these columns; "-name" descends; missing values come first
	History   *History          `yaml:"history"`
	Negatives *Negatives        `yaml:"negatives"`
	Later     *Later            `yaml:"later"`
	ParseTime *ParseTime        `yaml:"parse_time"`
	Flags     *Flags            `yaml:"flags"`
}

// Join adds columns of another source to each row by key; rows keep their number and order.
type Join struct {
	Source  string   `yaml:"source"`
	On      string   `yaml:"on"`      // key column of the table
	Key     string   `yaml:"key"`     // key column of the source; default: On
	Columns []string `yaml:"columns"` // to add; default: all but the key
	Missing string   `yaml:"missing"` // a row without a match: null (default), drop or error
}

// Derive makes a column of another; Into defaults to Column, which it then replaces.
type Derive struct {
	Column    string    `yaml:"column"`
	Into      string    `yaml:"into"`
	Separator string    `yaml:"separator"` // first, last and split of a text; default "|"
	Bounds    []float64 `yaml:"bounds"`    // bucket
	Part      string    `yaml:"part"`      // time_part: hour, weekday (0 is Sunday) or date, in UTC
	Unit      string    `yaml:"unit"`      // time_part: of the column, s or ms; default ms
	Pattern   string    `yaml:"pattern"`   // match: a regular expression (RE2); its first group is taken, or all it matches
}

// Label makes a 0/1 column: 1 where the value is above a number or among texts; a missing value stays missing.
type Label struct {
	Column   string   `yaml:"column"`
	Into     string   `yaml:"into"`
	Above    *float64 `yaml:"above"`
	Positive []string `yaml:"positive"`
}

// Filter keeps the rows that pass every condition given.
type Filter struct {
	Column  string   `yaml:"column"`
	Keep    []string `yaml:"keep"`    // only these values
	Drop    []string `yaml:"drop"`    // none of these values
	Above   *float64 `yaml:"above"`   // only numbers above
	Below   *float64 `yaml:"below"`   // only numbers below
	Missing string   `yaml:"missing"` // keep (default, unless another condition needs a value) or drop
	Count   int      `yaml:"count"`   // only values that stand in at least so many rows
}

// Distinct keeps one row of each combination of values.
type Distinct struct {
	Columns []string `yaml:"columns"`
	Keep    string   `yaml:"keep"` // first (default) or last
}

// History adds list columns that hold a user's earlier events. Without Time, earlier means earlier in the table's order; with it, at a strictly smaller time.
type History struct {
	User       string            `yaml:"user"`
	Time       string            `yaml:"time"`
	Max        int               `yaml:"max"`        // the newest that are kept
	Min        int               `yaml:"min"`        // rows with fewer earlier events are dropped
	Attributes map[string]string `yaml:"attributes"` // new list column: column of the events
	Where      *Where            `yaml:"where"`      // which events enter histories; default: all
}

// Where selects rows by a column's value.
type Where struct {
	Column string   `yaml:"column"`
	Is     []string `yaml:"is"`
}

// Negatives adds after each positive row copies of it with another item, drawn uniformly from the items that the user has in no row of the table as it was before any history was built.
type Negatives struct {
	User   string   `yaml:"user"`
	Item   string   `yaml:"item"`
	Label  string   `yaml:"label"` // made where absent: 1 for the rows there are, 0 for those drawn
	Per    int      `yaml:"per"`   // draws a positive, without repeats; default 1
	Seed   uint64   `yaml:"seed"`
	OfItem []string `yaml:"of_item"` // columns that belong to the item: taken from the first row that has it
	Zero   []string `yaml:"zero"`    // further 0/1 columns, which are 0 in the rows drawn
	Pool   string   `yaml:"pool"`    // source that lists the items, in its column of the item's name; default: the items of the table
}

// Cut parts the rows; each part keeps their order. A drawn negative goes where its positive goes.
type Cut struct {
	Line   int       `yaml:"-"`
	By     string    `yaml:"by"`     // order (first the training rows), random, group (whole groups by chance), last (of each group, its last rows), value
	Column string    `yaml:"column"` // of group, last and value
	Shares []float64 `yaml:"shares"` // order, random, group: of train, valid and test, e.g. [0.8, 0.1, 0.1]; the last part takes the rest
	Seed   uint64    `yaml:"seed"`
	Valid  int       `yaml:"valid"`  // last: how many rows of a group go to valid
	Test   int       `yaml:"test"`   // last: how many of its last rows go to test
	Value  []string  `yaml:"values"` // value: of train, valid and test
}

// ParseRecipe reads a recipe from YAML. Errors are *RecipeError and name the line; an unknown key the nearest known one.
func ParseRecipe(data []byte) (*Recipe, error) {
	r := new(Recipe)
	if err := strict.Decode(data, r, "a recipe"); err != nil {
		var e *strict.Error
		if errors.As(err, &e) {
			return nil, &RecipeError{Line: e.Line, Reason: e.Reason}
		}
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func at(line int, format string, args ...any) error {
	return &RecipeError{Line: line, Reason: fmt.Sprintf(format, args...)}
}
