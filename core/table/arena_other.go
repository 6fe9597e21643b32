//go:build !linux

package table

func preferHugePages([]byte) {}
