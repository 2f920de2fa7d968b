package backoff

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestPausesGrowUpToTheLongestAndAreNeverTheSame(t *testing.T) {
	const first, most = 100 * time.Millisecond, 30 * time.Second
	seen := map[time.Duration]bool{}
	for n, want := range map[int]time.Duration{-1: first, 0: first, 1: 2 * first, 5: 32 * first, 8: 256 * first, 9: most, 63: most, 1 << 40: most} {
		for range 100 {
			got := Pause(n, first, most)
			if got < want/2 || got > want {
				t.Fatalf("after %d failures: %s, want %s to %s", n, got, want/2, want)
			}
			seen[got] = true
		}
	}
	if len(seen) < 700 {
		t.Errorf("of 800 pauses %d are different", len(seen))
	}
	if got := Pause(3, time.Second, time.Millisecond); got > time.Millisecond {
		t.Errorf("%s is longer than the longest", got)
	}
}

func TestASleepEndsWithItsContext(t *testing.T) {
	if err := Sleep(t.Context(), time.Microsecond); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, d := range []time.Duration{0, time.Hour} {
		if err := Sleep(ctx, d); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", d, err)
		}
	}
}
