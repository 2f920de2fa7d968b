package apart

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// self is this very program, also when its file has been replaced by another version meanwhile.
func self() string { return "/proc/self/exe" }

// confine binds this process to its limits.
func confine(l Limits) error {
	// What a plugin's bytes make the process ask for comes on top of what Go has set aside for itself.
	pages, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(string(pages), " ")
	now, err := strconv.ParseUint(size, 10, 64)
	if err != nil {
		return fmt.Errorf("/proc/self/statm: %w", err)
	}
	seconds := uint64((l.Time + time.Second - 1) / time.Second)
	for _, one := range []struct {
		what     string
		resource int
		most     uint64
	}{
		{"memory", syscall.RLIMIT_AS, now*uint64(os.Getpagesize()) + uint64(l.Memory)},
		{"processor time", syscall.RLIMIT_CPU, seconds},
		{"file size", syscall.RLIMIT_FSIZE, uint64(l.Files)},
		{"core dumps", syscall.RLIMIT_CORE, 0},
		{"open files", syscall.RLIMIT_NOFILE, 64},
	} {
		if err := syscall.Setrlimit(one.resource, &syscall.Rlimit{Cur: one.most, Max: one.most}); err != nil {
			return fmt.Errorf("limit %s to %d: %w", one.what, one.most, err)
		}
	}
	// Both are a courtesy: they need not succeed. Linux has a priority for each thread, and new ones inherit it.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, 10)
		}
	}
	return nil
}
