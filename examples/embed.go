// Package examples holds ready schemas, model files and recipes; those of the simulated audience are built into the binary for the demo.
package examples

import _ "embed"

// WorldSchema and WorldModel are world/schema.yaml and world/din.yaml.
var (
	//go:embed world/schema.yaml
	WorldSchema []byte
	//go:embed world/din.yaml
	WorldModel []byte
)
