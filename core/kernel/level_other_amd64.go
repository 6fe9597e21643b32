//go:build !noasm && !linux

package kernel

// allowTiles reports whether tile registers may be used: the permission is known for Linux only.
func allowTiles() bool { return false }
