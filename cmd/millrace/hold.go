package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// holdMark is the file that is locked while a daemon keeps its checkpoint in a folder.
const holdMark = ".in-use"

// holdFolder makes a folder where it is missing and takes it for this process alone, until release or the end of the process, however that comes.
func holdFolder(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the checkpoint's folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, holdMark), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("take the checkpoint's folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another daemon keeps its checkpoint in %s: stop it, or name another folder under checkpoint", dir)
		}
		return nil, fmt.Errorf("take the checkpoint's folder %s: %w", dir, err)
	}
	return lock.Close, nil
}
