package main

import "github.com/spf13/cobra"

func evalCommand() *cobra.Command {
	return &cobra.Command{Use: "eval", Short: "eval", RunE: func(c *cobra.Command, _ []string) error { return nil }}
}
