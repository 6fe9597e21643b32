//go:build unix && !linux

package table

func preferHugePages([]byte) {}
