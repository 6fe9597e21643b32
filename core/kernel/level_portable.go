//go:build !amd64 || noasm

package kernel

func detect() instructions { return portable }
