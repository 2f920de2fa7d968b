package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cdcd-project/cdcd/internal/durable"
)

// The failure table: every step on the disk fails, fails although it was done, or is the one before which the process
// dies. Three stretches of a log's life are gone through: its creation, a commit within a bundle, and a commit that
// fills a bundle and goes on in the next. Whatever happened, the log is in order afterwards, has no leaf that was never
// offered, has every leaf that was acknowledged, and takes the same objects again.
func TestLogSurvivesFailureAtEveryStep(t *testing.T) {
	for _, stretch := range []struct {
		name        string
		before, add int
		steps       int // at least
	}{
		{"creation", -1, 2, 25},
		{"within a bundle", 10, 3, 10},
		{"over the end of a bundle", 250, 10, 20},
	} {
		start := newPlace(t)
		if stretch.before >= 0 {
			l := start.open(t)
			fill(t, l, chainName, stretch.before, stretch.before)
			l.Close()
		}
		for _, how := range []string{"fails", "fails although done", "dies"} {
			t.Run(stretch.name+", "+how, func(t *testing.T) {
				t.Parallel()
				for step := 1; ; step++ {
					p := newPlace(t)
					if stretch.before >= 0 {
						copyDir(t, start.dir, p.dir)
						for _, suffix := range []string{"", ".pub", ".checkpoint"} {
							copyDir(t, start.key+suffix, p.key+suffix)
						}
					}
					acknowledged, operation, done := runWithFault(t, p, how, step, max(stretch.before, 0), stretch.add)
					if done {
						if step < stretch.steps {
							t.Errorf("only %d steps", step-1)
						}
						return
					}
					if msg := checkAfterFault(t, p, acknowledged, max(stretch.before, 0)+stretch.add); msg != "" {
						t.Errorf("step %d (%s): %s", step, operation, msg)
					}
				}
			})
		}
	}
}

const chainName = "shop/acme/00"

var errFault = errors.New("boom")

// runWithFault opens the log and appends, and lets the n-th step on the disk go wrong. It returns the last ordinal that
// was acknowledged, and whether all went through without coming to that step.
func runWithFault(t *testing.T, p place, how string, step, before, add int) (acknowledged int, operation string, done bool) {
	t.Helper()
	if how == "dies" {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CDCD_TEST_LOG_IN="+filepath.Dir(p.dir), "CDCD_TEST_DIE_AT="+strconv.Itoa(step),
			"CDCD_TEST_BEFORE="+strconv.Itoa(before), "CDCD_TEST_ADD="+strconv.Itoa(add))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil && !strings.Contains(err.Error(), "killed") {
			t.Fatalf("child: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			operation = strings.TrimSpace(line)
			if n, err := strconv.Atoi(operation); err == nil {
				acknowledged = n
			}
		}
		return max(acknowledged, before), operation, err == nil
	}
	d := durable.New()
	n := 0
	d.Step = func(op, path string, do func() error) error {
		if n++; n != step {
			return do()
		}
		operation = op + " " + path
		if how == "fails although done" {
			if err := do(); err != nil {
				return err
			}
		}
		return errFault
	}
	acknowledged = before
	l, err := open(t.Context(), p.config(), d)
	if err != nil {
		if !errors.Is(err, errFault) {
			t.Errorf("step %d (%s): open: %v", step, operation, err)
		}
		return acknowledged, operation, false
	}
	defer l.Close()
	for _, err := range appendAll(t.Context(), l, before, add) {
		if err == nil {
			acknowledged++
		} else if !errors.Is(err, errFault) {
			t.Errorf("step %d (%s): %v", step, operation, err)
		}
	}
	if n < step {
		return acknowledged, "", true
	}

	// The log that has failed is still usable: it looks at the disk again.
	for i, err := range appendAll(t.Context(), l, before, add) {
		if err != nil {
			t.Errorf("step %d (%s): object %d again: %v", step, operation, before+i+1, err)
			break
		}
	}
	return before + add, operation, false
}

// appendAll appends in one commit, as concurrent callers do.
func appendAll(ctx context.Context, l *Log, before, add int) (errs []error) {
	var all []*request
	for i := range add {
		o := object(chainName, uint64(before+i+1))
		all = append(all, &request{leaf: Leaf{Type: TypeObject, Object: &o}, done: make(chan struct{})})
	}
	l.writing <- struct{}{}
	l.commit(ctx, all)
	<-l.writing
	for _, r := range all {
		errs = append(errs, r.err)
	}
	return errs
}

// logAndDie is a process that is killed before its n-th step on the disk.
func logAndDie(dir string) {
	number := func(name string) int {
		n, _ := strconv.Atoi(os.Getenv(name))
		return n
	}
	d := durable.New()
	n := 0
	d.Step = func(op, path string, do func() error) error {
		if n++; n == number("CDCD_TEST_DIE_AT") {
			fmt.Println(op, path)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return do()
	}
	p := place{filepath.Join(dir, "audit"), filepath.Join(dir, "audit.key")}
	l, err := open(context.Background(), p.config(), d)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	before, add := number("CDCD_TEST_BEFORE"), number("CDCD_TEST_ADD")
	for _, err := range appendAll(context.Background(), l, before, add) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	fmt.Println(before + add)
	l.Close()
	os.Exit(0)
}

func checkAfterFault(t *testing.T, p place, acknowledged, all int) string {
	// Before the next start: what is there is in order, though perhaps not all of it is yet.
	if _, err := os.Stat(filepath.Join(p.dir, checkpointFile)); err == nil {
		if r := p.verify(t, nil); r.Bad != nil {
			return fmt.Sprintf("verify before the next start: %v", r.Bad)
		}
	}
	l, err := Open(t.Context(), p.config())
	if err != nil {
		return fmt.Sprintf("open: %v", err)
	}
	defer l.Close()
	ordinal, _ := l.Head(chainName, nowhere)
	if int(ordinal) < acknowledged || int(ordinal) > all {
		return fmt.Sprintf("head is %d, %d were acknowledged, %d offered", ordinal, acknowledged, all)
	}
	for n := max(int(ordinal)-1, 1); n <= all; n++ {
		if err := l.Object(t.Context(), object(chainName, uint64(n))); err != nil {
			return fmt.Sprintf("object %d: %v", n, err)
		}
		if n > int(ordinal)+3 { // the rest at once, to save time
			for _, err := range appendAll(t.Context(), l, n, all-n) {
				if err != nil {
					return err.Error()
				}
			}
			break
		}
	}
	if r := p.verify(t, nil); r.Bad != nil || r.Entries != int64(all) || r.Pins != 1 {
		return fmt.Sprintf("verify: %+v, %v", r, r.Bad)
	}
	if err := l.Close(); err != nil {
		return err.Error()
	}
	if left := leftovers(t, p.dir); len(left) > 0 {
		return fmt.Sprintf("left on disk: %q", left)
	}
	return ""
}
