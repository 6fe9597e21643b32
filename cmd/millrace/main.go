// Command millrace ingests events, trains click models and serves their scores: one binary, one subcommand a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/features"
)

// commands lists the subcommands in the order that help shows them.
var commands = []func() *cobra.Command{
	demoCommand,
	prepareCommand,
	inspectCommand,
	trainCommand,
	evalCommand,
	searchCommand,
	predictCommand,
	exportCommand,
	compareCommand,
	explainCommand,
	offpolicyCommand,
	serveCommand,
	streamCommand,
	simulateCommand,
	whyCommand,
	benchCommand,
}

// Exit codes of every subcommand.
const (
	exitDone   = 0
	exitFailed = 1
	exitWrong  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code. The first Ctrl-C or SIGTERM cancels the command's context, a second ends the process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop()
	}()

	root := &cobra.Command{
		Use:           "millrace",
		Short:         "Click and recommendation models: from events to scores",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("millrace {{.Version}}\n")
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(spread(args))
	started := false
	for _, make := range commands {
		c := make()
		markStart(c, &started)
		root.AddCommand(c)
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "millrace:", err)
	if !started || isWrong(err) {
		return exitWrong
	}
	return exitFailed
}

// listFlags take several values, each after the other: --train A B C is --train A --train B --train C. A subcommand's own arguments come before its flags.
var (
	listFlags    = []string{"--train", "--valid", "--test", "--data", "--target-data"}
	listCommands = []string{"train", "eval", "predict", "compare", "offpolicy", "explain", "search"}
)

// spread repeats a list flag before each further value of it.
func spread(args []string) []string {
	if len(args) == 0 || !slices.Contains(listCommands, args[0]) {
		return args
	}
	var out []string
	list := ""
	for i, a := range args {
		switch {
		case strings.HasPrefix(a, "-"):
			list = ""
			if slices.Contains(listFlags, a) {
				list = a
			}
		case list != "" && args[i-1] != list:
			out = append(out, list)
		}
		out = append(out, a)
	}
	return out
}

// markStart sets started when the command's own code begins: what fails before that is a wrong command line.
func markStart(c *cobra.Command, started *bool) {
	if do := c.RunE; do != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			*started = true
			return do(c, args)
		}
	}
	for _, sub := range c.Commands() {
		markStart(sub, started)
	}
}

// wrongError marks an error as the request's own fault.
type wrongError struct{ error }

func (e wrongError) Unwrap() error { return e.error }

// wrong marks err as a wrong request (flags, schema, data): exit code 2. Nil stays nil.
func wrong(err error) error {
	if err == nil {
		return nil
	}
	return wrongError{err}
}

// isWrong reports whether err was marked by wrong, or says that schema or data cannot be used.
func isWrong(err error) bool {
	var w wrongError
	return errors.As(err, &w) || features.IsInput(err)
}

// version is the module's version, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}
