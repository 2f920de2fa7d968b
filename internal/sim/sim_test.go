package sim

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// CDCD_SIM_TIME says for how long (default 3s), CDCD_SIM_SEED runs one schedule again.
func TestSchedules(t *testing.T) {
	if text := os.Getenv("CDCD_SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CDCD_SIM_SEED: %v", err)
		}
		run(t, seed, nil)
		return
	}
	length := 3 * time.Second
	if text := os.Getenv("CDCD_SIM_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CDCD_SIM_TIME: %v", err)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // worlds are small, and many
	began := time.Now()
	first := uint64(began.UnixNano())
	var next atomic.Uint64
	var mu sync.Mutex
	totals := map[string]int{}
	t.Run("workers", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				seen := map[string]int{}
				for time.Since(began) < length && !t.Failed() {
					run(t, first+next.Add(1), seen)
				}
				mu.Lock()
				defer mu.Unlock()
				for what, times := range seen {
					totals[what] += times
				}
			})
		}
	})
	n := next.Load()
	t.Logf("%d schedules, %.0f a second: %v", n, float64(n)/time.Since(began).Seconds(), totals)
	for _, what := range []string{"failed", "failed but done", "failed but will be done", "gone", "fenced", "a process is killed",
		"a process is asked to end", "a process is frozen", "the stream loses frames", "what was sent long ago arrives"} {
		if totals[what] == 0 && n >= 1000 {
			t.Errorf("no schedule had: %s", what)
		}
	}
}

func run(t *testing.T, seed uint64, seen map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		if err := Run(t.Context(), seed, seen); err != nil {
			t.Errorf("CDCD_SIM_SEED=%d go test ./internal/sim -run Schedules\n%v", seed, err)
		}
	})
}
