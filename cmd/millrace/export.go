package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/onnx"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/models"
)

type exportFlags struct {
	checkpoint, format, out, tables, rows, vector string
	json                                          bool
}

func exportCommand() *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export --checkpoint DIR --format onnx|safetensors --out F",
		Short: "Write a checkpoint for other programs: a model as ONNX, its weights and tables as safetensors",
		Long: `Write a checkpoint for other programs.

--format onnx writes the model as it scores: one graph of standard operators (opset 18) that ONNX Runtime runs (tried: 1.17 and 1.32), for any number of rows and any
lengths of histories. Its inputs are hashed ids, lists end to end with their lengths, and numbers as they stand in the data; its outputs the probability of
each label. The embedding tables are inside. Where they do not fit into the 2 GiB that ONNX allows, or live elsewhere, --tables outside makes their rows the
inputs in place of the ids. --vector writes one tower of a model of two, for an index of items.

--format safetensors writes the dense weights, and each table as NAME.keys (the ids, rising) and NAME.rows; the first row is that of unknown ids.

docs/export.md shows how to read both from Python.`,
		Example: `  millrace export --checkpoint run --format onnx --out model.onnx
  millrace export --checkpoint run --format onnx --tables outside --out model.onnx
  millrace export --checkpoint run --format onnx --vector item --out item.onnx
  millrace export --checkpoint run --format safetensors --rows float16 --out model.safetensors --json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&f.checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringVar(&f.format, "format", "", "onnx or safetensors")
	flags.StringVar(&f.out, "out", "", "the file to write")
	flags.StringVar(&f.tables, "tables", "inside", "of onnx: embedding tables inside the model, or outside, their rows being inputs")
	flags.StringVar(&f.vector, "vector", "", "of onnx: one of the model's vectors in place of its scores, such as the item of twotower")
	flags.StringVar(&f.rows, "rows", string(table.Float32), "of safetensors: the tables' rows as float32, float16 or int8")
	flags.BoolVar(&f.json, "json", false, "print what was written as one JSON object on the last line")
	for _, name := range []string{"checkpoint", "format", "out"} {
		c.MarkFlagRequired(name)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(c.Flags().Changed); err != nil {
			return wrong(err)
		}
		return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

// check refuses flags that do not go together.
func (f *exportFlags) check(given func(string) bool) error {
	switch f.format {
	case "onnx":
		if given("rows") {
			return errors.New("--rows is of --format safetensors: ONNX has rows of float32")
		}
	case "safetensors":
		for _, name := range []string{"tables", "vector"} {
			if given(name) {
				return fmt.Errorf("--%s is of --format onnx: safetensors files have the weights and tables", name)
			}
		}
	default:
		return fmt.Errorf("--format is %q, want onnx or safetensors", f.format)
	}
	if f.tables != "inside" && f.tables != "outside" {
		return fmt.Errorf("--tables is %q, want inside or outside", f.tables)
	}
	switch table.Encoding(f.rows) {
	case table.Float32, table.Float16, table.Int8:
	default:
		return fmt.Errorf("--rows is %q, want float32, float16 or int8", f.rows)
	}
	if i, err := os.Stat(filepath.Dir(f.out)); err != nil || !i.IsDir() {
		return fmt.Errorf("--out %s: there is no folder %s", f.out, filepath.Dir(f.out))
	}
	if i, err := os.Stat(f.out); err == nil && i.IsDir() {
		return fmt.Errorf("--out %s is a folder, want a file", f.out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// exportFigures is what --json prints.
type exportFigures struct {
	Format  string  `json:"format"`
	Out     string  `json:"out"`
	Model   string  `json:"model"`
	Version string  `json:"version"`
	Seconds float64 `json:"seconds"`
	*models.Exported
}

func (f *exportFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	began := time.Now()
	cp, err := models.LoadScoring(f.checkpoint)
	if err != nil {
		return wrong(err)
	}
	if names := cp.Program.VectorNames(); f.vector != "" && !slices.Contains(names, f.vector) {
		return wrong(fmt.Errorf("--vector is %q; model %s has these vectors: %v", f.vector, cp.Spec.Name, names))
	}
	x := newWatcher(stderr, time.Now)
	defer x.close()
	var done *models.Exported
	err = writeAside(ctx, f.out, func(w io.Writer) (err error) {
		if f.format == "onnx" {
			done, err = cp.ExportONNX(w, models.ONNXOptions{Name: cp.Spec.Name, Outside: f.tables == "outside", Vector: f.vector, Progress: x.written})
		} else {
			done, err = cp.ExportTensors(w, models.TensorsOptions{Rows: table.Encoding(f.rows), Progress: x.written})
		}
		return err
	})
	x.close()
	if errors.Is(err, onnx.ErrTooLarge) {
		return wrong(fmt.Errorf("%w: leave the embedding tables out with --tables outside, and write them with --format safetensors", err))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s: model %s, version %s, %d bytes\n", f.out, cp.Spec.Name, cp.Weights.Version, done.Bytes)
	for _, in := range done.Inputs {
		fmt.Fprintf(stderr, "  input %s: %s %v, %s of %s\n", in.Name, in.Type, in.Shape, in.Role, in.Field)
	}
	for _, t := range done.Tables {
		fmt.Fprintf(stderr, "  table %s: %d rows of %d\n", t.Name, t.Rows, t.Dim)
	}
	return printJSON(stdout, f.json, exportFigures{f.format, f.out, cp.Spec.Name, cp.Weights.Version, time.Since(began).Seconds(), done})
}

// written shows how much of a file is written.
func (x *watcher) written(written, total int64) {
	const mega = 1 << 20
	if x.bars != nil {
		x.show(0, total, written, fmt.Sprintf("%d of %d MiB written", written/mega, total/mega))
	} else if x.due() {
		x.line("%d of %d MiB written\n", written/mega, total/mega)
	}
}

// writeAside writes a file under another name and gives it its own when it is whole and on the disk. Cancelling ends it between two writes.
func writeAside(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			aside.Close()
			os.Remove(aside.Name())
		}
	}()
	if err := write(&cancellable{ctx, aside}); err != nil {
		return err
	}
	if err := errors.Join(aside.Chmod(0o644), aside.Sync(), aside.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(aside.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// cancellable is a writer that ends with its context.
type cancellable struct {
	ctx context.Context
	w   io.Writer
}

func (c *cancellable) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
