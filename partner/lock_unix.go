//go:build unix

package partner

import (
	"os"
	"syscall"
)

// lockFile lets one process at a time go on with a state.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
