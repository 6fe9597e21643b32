// Command gen writes the assembly of package kernel and its Go declarations: go generate ./core/kernel.
// The text of the assembly is a function of this folder alone, so that a second run reproduces it byte for byte.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	dir := flag.String("dir", ".", "folder to write to")
	flag.Parse()
	for _, f := range []struct {
		name  string
		write func(*build.Context)
	}{
		{"gemm_avx512", func(c *build.Context) { gemm(c, avx512); wides(c, avx512); transpose(c, avx512); peak(c, avx512) }},
		{"gemm_avx2", func(c *build.Context) { gemm(c, avx2); wides(c, avx2); transpose(c, avx2); peak(c, avx2) }},
		{"amx", matrix},
		{"fetch", fetch},
		{"vector_avx512", func(c *build.Context) { vectors(c, avx512) }},
		{"vector_avx2", func(c *build.Context) { vectors(c, avx2) }},
	} {
		if err := generate(*dir, f.name, f.write); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// generate runs write and prints name_amd64.s and name_amd64.go into dir.
func generate(dir, name string, write func(*build.Context)) error {
	c := build.NewContext()
	c.ConstraintExpr("!noasm")
	write(c)
	file, err := c.Result()
	if err != nil {
		return fmt.Errorf("generate %s: %w", name, err)
	}
	if err := pass.Compile.Execute(file); err != nil {
		return fmt.Errorf("compile %s: %w", name, err)
	}
	cfg := printer.Config{Name: "core/kernel/gen", Pkg: "kernel"}
	for suffix, p := range map[string]printer.Printer{".s": printer.NewGoAsm(cfg), ".go": printer.NewStubs(cfg)} {
		text, err := p.Print(file)
		if err != nil {
			return fmt.Errorf("print %s%s: %w", name, suffix, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"_amd64"+suffix), text, 0o644); err != nil {
			return fmt.Errorf("write %s%s: %w", name, suffix, err)
		}
	}
	return nil
}
