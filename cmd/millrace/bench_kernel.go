package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
)

// packedRows is up to how many rows weights are packed beforehand, as the server holds them; more rows read them in place, as training does.
const packedRows = 512

// product is C [m, n] = A [m, k] · B [k, n], or Aᵀ·B for A [k, m]: a weight gradient.
type product struct {
	m, n, k int
	transA  bool
}

func (p product) String() string { return fmt.Sprintf("%dx%dx%d", p.m, p.n, p.k) }

var products = []product{
	{4096, 400, 400, false}, {4096, 320, 400, false}, {512, 400, 400, false}, {100, 400, 400, false}, {16, 400, 400, false},
	{1, 400, 400, false}, {400, 400, 4096, true},
}

type kernelFigures struct {
	Peak peaks       `json:"peak_gflops"`
	Gemm []gemmSpeed `json:"gemm"`
}

type gemmSpeed struct {
	M         int     `json:"m"`
	N         int     `json:"n"`
	K         int     `json:"k"`
	Threads   int     `json:"threads"`
	GFLOPs    float64 `json:"gflops"`
	PeakShare float64 `json:"peak_share"`
}

func benchKernelCommand() *cobra.Command {
	var f benchFlags
	var names []string
	c := &cobra.Command{
		Use:   "kernel",
		Short: "Matrix products at the sizes of training and serving",
		Long: "Matrix products C [m, n] = A [m, k] · B [k, n] of float32, named MxNxK. Up to 512 rows B is packed beforehand, as the server holds weights.\n" +
			"400x400x4096 is Aᵀ·B with neither packed: a weight gradient.",
		Example: "  millrace bench kernel --json\n  millrace bench kernel --threads 1 --product 16x400x400",
		Args:    cobra.NoArgs,
	}
	f.add(c, []int{1, 2}, 7, 60*time.Millisecond, "least duration of a repetition")
	c.Flags().StringSliceVar(&names, "product", nil, "measure only these products")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		chosen, err := chooseProducts(names)
		if err != nil {
			return err
		}
		printMachine(c.ErrOrStderr())
		r, err := benchKernel(c.Context(), &f, chosen)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.ErrOrStderr(), 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "product\tthreads\tGFLOP/s\tof peak\t\n")
		for _, g := range r.Gemm {
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f %%\t\n", product{m: g.M, n: g.N, k: g.K}, g.Threads, g.GFLOPs, 100*g.PeakShare)
		}
		w.Flush()
		r.Peak.print(c.ErrOrStderr())
		return printJSON(c.OutOrStdout(), f.json, r)
	}
	return c
}

func chooseProducts(names []string) ([]product, error) {
	if len(names) == 0 {
		return products, nil
	}
	var known, out []string
	for _, p := range products {
		known = append(known, p.String())
	}
	var chosen []product
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, wrong(fmt.Errorf("--product %s is not known; all are: %s", name, strings.Join(known, " ")))
		}
		if !slices.Contains(out, name) {
			out, chosen = append(out, name), append(chosen, products[i])
		}
	}
	return chosen, nil
}

// benchKernel times the products.
func benchKernel(ctx context.Context, f *benchFlags, chosen []product) (*kernelFigures, error) {
	defer kernel.SetThreads(0)
	r := &kernelFigures{}
	for _, threads := range f.threads {
		kernel.SetThreads(threads)
		for _, p := range chosen {
			t, err := f.fastest(ctx, &r.Peak, p.prepare())
			if err != nil {
				return nil, err
			}
			gflops := 2 * float64(p.m) * float64(p.n) * float64(p.k) / t.Seconds() / 1e9
			r.Gemm = append(r.Gemm, gemmSpeed{M: p.m, N: p.n, K: p.k, Threads: threads, GFLOPs: gflops})
		}
	}
	for i := range r.Gemm {
		g := &r.Gemm[i]
		g.PeakShare = r.Peak.share(g.Threads, g.GFLOPs)
	}
	return r, nil
}

// prepare fills the operands and returns what computes the product once.
func (p product) prepare() func() error {
	rng := rand.New(rand.NewPCG(1, 2))
	a, b, c := randomFloats(rng, p.m*p.k), randomFloats(rng, p.k*p.n), randomFloats(rng, p.m*p.n)
	runtime.GC() // the garbage of the product before is not this one's to clear away
	lda := p.k
	if p.transA {
		lda = p.m
	}
	if p.transA || p.m > packedRows {
		return func() error {
			kernel.Gemm(p.transA, false, p.m, p.n, p.k, a, lda, b, p.n, false, c, p.n)
			return nil
		}
	}
	packed := kernel.Pack(p.k, p.n, b, p.n)
	return func() error {
		kernel.GemmPacked(p.m, a, lda, packed, false, c, p.n)
		return nil
	}
}
