package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// disk is a file system of its own, so that it can be full.
type disk struct{ dir string }

func mountDisk(t *testing.T, dir string, size int) disk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a small file system (this test needs the right to): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk{dir}
}

// fill leaves so much of the disk free, whoever writes to it meanwhile.
func (d disk) fill(t *testing.T, leave int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.dir, "ballast"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := int64(0); ; {
		var s syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &s); err != nil {
			t.Fatal(err)
		}
		more := int64(s.Bavail)*s.Bsize - leave
		if more <= 0 {
			return
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, size, more); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		} else if err == nil {
			size += more
		}
	}
}

func (d disk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "ballast")); err != nil {
		t.Fatal(err)
	}
}

// A disk fills up, that of the objects and that of the data folder, up to the reserve and up to its last block, and has room
// again: cdcd goes on by itself, also when a write of its stream has failed, after which the embedded server has to be started anew.
func TestAFullDiskIsWaitedOut(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	w, run := workload(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond})
	d := deploy(t, db, options{})
	objects := mountDisk(t, d.bucket, 16<<20)
	data := mountDisk(t, filepath.Join(d.dir, "cdcd-data"), 330<<20)
	d.start(t)
	d.capturing(t)
	stop := run()
	until := func(what string, reached func(status) bool) {
		t.Helper()
		await(t, d, what, func() bool {
			s, answers := d.status(t)
			return answers && reached(s)
		})
	}
	var ordinal uint64
	moves := func() {
		t.Helper()
		until("objects are made again", func(s status) bool {
			return s.Ready && s.Capture.Held == "" && s.Feeds[0].Error == "" && s.Feeds[0].Ordinal > ordinal+1
		})
	}
	t.Log("no room for objects")
	objects.fill(t, 0)
	until("the feed says that it cannot write", func(s status) bool {
		ordinal = s.Feeds[0].Ordinal
		return strings.Contains(s.Feeds[0].Error, "no space left")
	})
	objects.free(t)
	moves()

	t.Log("little room for the stream")
	data.fill(t, 200<<20)
	until("capture waits", func(s status) bool {
		ordinal = s.Feeds[0].Ordinal
		return s.Capture.Held == "disk_low"
	})
	data.free(t)
	moves()

	t.Log("no room for anything in the data folder")
	data.fill(t, 0)
	await(t, d, "it is noticed", func() bool {
		log := read(t, d.log)
		return strings.Contains(log, `"event":"run.restart"`) || strings.Count(log, `"state":"disk_low"`) > 1
	})
	data.free(t)
	moves()
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
}
