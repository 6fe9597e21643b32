package main

import "github.com/spf13/cobra"

func trainCommand() *cobra.Command {
	return &cobra.Command{Use: "train", Short: "train", RunE: func(c *cobra.Command, _ []string) error { return nil }}
}
