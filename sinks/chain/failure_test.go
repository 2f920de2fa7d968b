package chain_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// fault is what happens at the number-th boundary that a delivery crosses.
type fault struct {
	number int
	what   outcome
	crash  bool // the writer is gone: before the call was made when it failed, right after it when it was lost
}

func (f fault) String() string {
	if f.crash {
		return fmt.Sprintf("at %d crashed, call %s", f.number, f.what)
	}
	return fmt.Sprintf("at %d %s", f.number, f.what)
}

// scenario delivers a small stream through a store that has the faults, opening the chain anew after each error, and
// returns the boundaries that were crossed.
func scenario(s *stream, faults ...fault) (crossed []string, err error) {
	ctx := context.Background()
	store, log := newMemory(), &audit{}
	var cancel context.CancelFunc
	at := func(call, key string) outcome {
		crossed = append(crossed, call+" "+key)
		for _, f := range faults {
			if f.number == len(crossed)-1 {
				if f.crash {
					cancel()
				}
				return f.what
			}
		}
		return fine
	}
	// Only one goroutine is at the store or in Committed at any time: Open's, then Run's.
	store.before = func(_ context.Context, call, key string) outcome { return at(call, key) }

	for attempt := 0; ; attempt++ {
		if attempt > len(faults)+1 {
			return crossed, fmt.Errorf("not delivered after %d attempts: %w", attempt, err)
		}
		var life context.Context
		life, cancel = context.WithCancel(ctx)
		cfg := config(store, 3)
		cfg.Writer = fmt.Sprint("writer-", attempt)
		cfg.Audited = log.audited
		cfg.KeepTransactions, cfg.Manifest, cfg.Version = s.keeps, s.manifest, "v1"
		cfg.Committed = func(ctx context.Context, o cdc.Object) error {
			switch at("committed", o.Key) {
			case failed:
				return errBroken
			case lost:
				_ = log.committed(ctx, o)
				return errBroken
			}
			return log.committed(ctx, o)
		}
		var c *chain.Chain
		if c, err = chain.Open(life, cfg); err == nil {
			r := start(life, c)
			err = deliver(life, c, s)
			r.stop()
		}
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) && !errors.Is(err, context.Canceled) {
			return crossed, fmt.Errorf("attempt %d: %w", attempt, err)
		}
	}
	store.before = nil
	_, err = checkAll(s, store, log)
	return crossed, err
}

func TestEveryBoundaryMayFailOrCrash(t *testing.T) {
	s := newStream(t, 2, 0, 5, 4)
	s.match = func(no uint64) bool { return no != 1 && no != 6 }
	crossed, err := scenario(s)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(crossed, "\n")
	want := `put p=00/chain.json
put p=00/chain.json
get p=00/chain.json
list p=00/dt=
get p=00/begin.json
put p=00/begin.json
put p=00/dt=2026-11-21/00000000000000000001.jsonl
committed p=00/dt=2026-11-21/00000000000000000001.jsonl
put p=00/dt=2026-11-21/00000000000000000005.jsonl
committed p=00/dt=2026-11-21/00000000000000000005.jsonl
put p=00/dt=2026-11-21/00000000000000000009.jsonl
committed p=00/dt=2026-11-21/00000000000000000009.jsonl`
	if got != want {
		t.Fatalf("boundaries: got\n%s\nwant\n%s", got, want)
	}
	seen := everyPair(t, s, len(crossed)+12) // later ones are crossed only when earlier ones failed
	for _, boundary := range []string{"put p=00/chain", "get p=00/chain", "list p=00/dt=", "get p=00/begin", "put p=00/begin",
		"put p=00/dt=20", "head p=00/dt=20", "committed p=00/dt=20"} {
		if !seen[boundary] {
			t.Errorf("no fault at %q; at %v", boundary, seen)
		}
	}
}

// everyPair delivers the stream with each fault and each pair of faults at its first n boundaries, and returns at which there was one.
func everyPair(t *testing.T, s *stream, n int) map[string]bool {
	t.Helper()
	var all []fault
	for n := range n {
		all = append(all, fault{n, failed, false}, fault{n, lost, false}, fault{n, failed, true}, fault{n, lost, true})
	}
	seen := map[string]bool{}
	for i, f := range all {
		crossed, err := scenario(s, f)
		if err != nil {
			t.Errorf("%v: %v\nboundaries:\n%s", f, err, strings.Join(crossed, "\n"))
		}
		for _, g := range all[i+1:] {
			if g.number == f.number {
				continue
			}
			crossed, err := scenario(s, f, g)
			if err != nil {
				t.Fatalf("%v, %v: %v\nboundaries:\n%s", f, g, err, strings.Join(crossed, "\n"))
			}
			if g.number < len(crossed) {
				call := strings.Fields(crossed[g.number])
				seen[call[0]+" "+call[1][:min(len(call[1]), 10)]] = true
			}
		}
	}
	return seen
}

func TestEveryBoundaryOfAChainWithManifestsMayFailOrCrash(t *testing.T) {
	s := &stream{commit: func(no uint64) time.Time { return noon }, match: func(no uint64) bool { return no != 4 }, begins: inTxs(2, 3, 1), keeps: true, manifest: true}
	s.append(t, testEpoch, 4, 2)
	crossed, err := scenario(s)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(crossed[4:], "\n")
	want := `get p=00/begin.json
put p=00/begin.json
put p=00/context/ID.json
put p=00/dt=2026-11-21/00000000000000000001.jsonl
put p=00/dt=2026-11-21/00000000000000000001.jsonl.manifest.json
committed p=00/dt=2026-11-21/00000000000000000001.jsonl
put p=00/dt=2026-11-21/00000000000000000006.jsonl
put p=00/dt=2026-11-21/00000000000000000006.jsonl.manifest.json
committed p=00/dt=2026-11-21/00000000000000000006.jsonl`
	if got = regexp.MustCompile(`context/[0-9a-f]{32}`).ReplaceAllString(got, "context/ID"); got != want {
		t.Fatalf("boundaries: got\n%s\nwant\n%s", got, want)
	}
	seen := everyPair(t, s, len(crossed)+9)
	if !seen["put p=00/conte"] {
		t.Errorf("no fault at the context; at %v", seen)
	}
}
