package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

const upgraded = `version: 1
name: ledger
source:
  binlog: {files: [binlog.0*], tables: [ledger.*]}
feeds:
  acme:
    to: file://./objects
    rotate: {every: 100ms, rows: 50}
console: {listen: "off"}
`

// The state that an earlier version left when it was killed in the middle of delivering one log file, and the next file. This
// version delivers the rest: all that it delivers when it has the files for itself, once and in the same order, in one chain that
// the audit log proves. testdata/upgrade has such states; with CDCD_E2E_UPGRADE=NAME=PROGRAM another is made.
func TestAnUpgradeGoesOnWhereTheVersionBeforeStopped(t *testing.T) {
	t.Parallel()
	if made, ok := os.LookupEnv("CDCD_E2E_UPGRADE"); ok {
		name, program, _ := strings.Cut(made, "=")
		leaveState(t, name, program)
	}
	states, err := filepath.Glob("testdata/upgrade/*.tar.gz")
	if err != nil || len(states) == 0 {
		t.Fatalf("no states: %v", err)
	}
	for _, state := range states {
		t.Run(strings.TrimSuffix(filepath.Base(state), ".tar.gz"), func(t *testing.T) {
			t.Parallel()
			d := unpack(t, state)
			before := ids(t, d.bucket)
			d.finish(t)
			got := ids(t, d.bucket)
			d.verify(t)

			fresh := unpack(t, state)
			for _, name := range []string{"cdcd-data", "objects"} {
				if err := os.RemoveAll(filepath.Join(fresh.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			fresh.finish(t)
			want := ids(t, fresh.bucket)
			if !slices.Equal(got, want) || len(before) == 0 || len(before) >= len(want) || !slices.Equal(want[:len(before)], before) {
				t.Errorf("%d records, of which the version before delivered %d, are not the %d that come from nothing", len(got), len(before), len(want))
			}
			t.Logf("%d records, %d of them of the version before", len(got), len(before))
		})
	}
}

func unpack(t *testing.T, state string) *deployment {
	t.Helper()
	d := &deployment{dir: t.TempDir()}
	d.bucket, d.log = filepath.Join(d.dir, "objects"), filepath.Join(d.dir, "log")
	if out, err := exec.Command("tar", "-xzf", state, "-C", d.dir).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v: %s", state, err, out)
	}
	return d
}

// finish runs cdcd until all is delivered.
func (d *deployment) finish(t *testing.T) {
	t.Helper()
	d.start(t)
	select {
	case <-d.process.Done():
	case <-time.After(60 * time.Second):
		t.Fatalf("it does not end\n%s", d.tail())
	}
	if err := d.process.Err(); err != nil {
		t.Fatalf("%v\n%s", err, d.tail())
	}
}

// ids returns the records in their order, without the versions of the rules.
func ids(t *testing.T, bucket string) []string {
	t.Helper()
	got := lines(t, bucket)
	for i, line := range got {
		got[i], _, _ = strings.Cut(line, " ")
	}
	return got
}

// leaveState has a program deliver the first of two log files and kills it within.
func leaveState(t *testing.T, name, program string) {
	t.Helper()
	db := testenv.MariaDB(t)
	_, run := workload(t, db, ledger.Config{Seed: 1, Pause: 5 * time.Millisecond})
	dir := t.TempDir()
	logs := []string{}
	for range 2 {
		db.Exec(t, "FLUSH BINARY LOGS")
		logs = append(logs, db.Query(t, "SHOW BINARY LOGS")[len(db.Query(t, "SHOW BINARY LOGS"))-1][0])
		stop := run()
		time.Sleep(time.Second)
		stop()
	}
	db.Stop(t)
	copyLog := func(log string) {
		text, err := os.ReadFile(filepath.Join(db.DataDir, log))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, log), string(text))
	}
	copyLog(logs[0])
	write(t, filepath.Join(dir, "cdcd.yaml"), upgraded)
	write(t, filepath.Join(dir, "rules", "all.yaml"), everything)
	cmd := exec.Command(program, "run", "-c", filepath.Join(dir, "cdcd.yaml"))
	var log strings.Builder
	cmd.Stderr = &log
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	for {
		files, _ := objects(filepath.Join(dir, "objects"))
		if len(files) > 0 {
			break
		}
		select {
		case <-p.Done():
			t.Fatalf("%d objects, and %s has ended: %s", len(files), program, log.String())
		case <-time.After(time.Millisecond):
		}
	}
	p.Kill()
	copyLog(logs[1])
	if out, err := exec.Command("tar", "-czf", fmt.Sprintf("testdata/upgrade/%s.tar.gz", name), "-C", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("pack: %v: %s", err, out)
	}
}
