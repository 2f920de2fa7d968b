//go:build unix

package wasm

import (
	"io/fs"
	"os"
	"syscall"
)

// mapMemory returns memory of the system's, all zero, which takes no room before it is written to.
func mapMemory(bytes int) ([]byte, error) {
	if bytes == 0 {
		return nil, nil
	}
	return syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func unmapMemory(b []byte) {
	if len(b) > 0 {
		_ = syscall.Munmap(b)
	}
}

// ours says whether a file belongs to the user that this process runs as.
func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
