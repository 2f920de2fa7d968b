package apart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main(map[string]Work{"do": do})
	os.Exit(m.Run())
}

var kept []any

// do is the work of the tests: what its first argument says.
func do(ctx context.Context, args []string, input io.Reader) error {
	text, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	switch args[0] {
	case "write":
		return os.WriteFile(args[1], append(text, strings.Join(os.Environ(), "\n")...), 0o600)
	case "write a lot":
		syscall.Unlink(args[1])
		f, err := os.Create(args[1])
		if err != nil {
			return err
		}
		for range 1000 {
			if _, err := f.Write(make([]byte, 1<<20)); err != nil {
				return errors.New("the file is full")
			}
		}
	case "fail":
		return fmt.Errorf("not today:\n%d bytes", len(text))
	case "panic":
		panic("no way")
	case "claim": // as a reader does that believes a count
		n, _ := strconv.Atoi(args[1])
		kept = append(kept, make([]byte, n))
		return fmt.Errorf("%d bytes were had", n)
	case "grow":
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
		}
	case "spin":
		for {
			kept = kept[:0]
		}
	case "sleep":
		time.Sleep(time.Hour)
	}
	return nil
}

func TestWorkIsDoneElsewhereWithNothingOfTheEnvironment(t *testing.T) {
	t.Setenv("SECRET", "s3cret")
	name := filepath.Join(t.TempDir(), "f")
	if err := Run(t.Context(), "do", []string{"write", name}, []byte("input\n"), Limits{Memory: 1 << 30, Time: time.Minute}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(text), "input\n") || strings.Contains(string(text), "s3cret") {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestWhatRunsAwayIsEndedAndSaysHow(t *testing.T) {
	big := Limits{Memory: 256 << 20, Time: time.Minute}
	short := Limits{Memory: 256 << 20, Time: time.Second}
	for _, tt := range []struct {
		args   []string
		limits Limits
		want   string
		own    bool // the work's own error
	}{
		{[]string{"fail"}, big, "not today:", true},
		{[]string{"write a lot", filepath.Join(t.TempDir(), "f")}, Limits{Memory: 256 << 20, Time: time.Minute, Files: 1 << 20}, "the file is full", true},
		{[]string{"panic"}, big, "panic: no way", false},
		{[]string{"claim", "481000000000"}, big, "fatal error: ", false},
		{[]string{"claim", "1000000000"}, big, "fatal error: ", false},
		{[]string{"claim", "100000000"}, big, "100000000 bytes were had", true},
		{[]string{"grow"}, big, "fatal error: ", false},
		{[]string{"spin"}, short, "it took more than 1s of processor time", false},
		{[]string{"sleep"}, Limits{Memory: 256 << 20, Time: 500 * time.Millisecond}, "it took longer than 2s", false},
	} {
		err := Run(t.Context(), "do", tt.args, nil, tt.limits)
		var failed *Failed
		ok := err != nil && strings.HasPrefix(err.Error(), tt.want)
		ok = ok || tt.args[0] == "spin" && err != nil && err.Error() == "it took longer than 4s" // on a busy machine
		if !ok || errors.As(err, &failed) != tt.own {
			t.Errorf("%v: %v, want %s", tt.args, err, tt.want)
		}
	}
}

func TestWhoAsksMayGoAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := Run(ctx, "do", []string{"sleep"}, nil, Limits{Memory: 1 << 30, Time: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := Run(t.Context(), "nothing", nil, nil, Limits{Memory: 1 << 30, Time: time.Minute}); err == nil || !strings.Contains(err.Error(), "no work") {
		t.Errorf("unknown work: %v", err)
	}
}
