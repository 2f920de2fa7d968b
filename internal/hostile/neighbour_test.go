package hostile

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// spinners are plugins that would not let go of their processor.
var spinners = map[string][]byte{
	"an empty loop":                       judging(forever),
	"calls that double":                   tree(30),
	"memory that is filled, all of it":    with32MiB(asm.Const32(0), asm.Const32(1), asm.Const32(500<<16), asm.MemoryFill),
	"memory that is copied, all of it":    with32MiB(asm.Const32(8), asm.Const32(0), asm.Const32(499<<16), asm.MemoryCopy),
	"32 MiB that are brought back":        with32MiB(asm.Unreachable),
	"a table that is filled, all of it":   withTable(asm.Const32(0), asm.Op(0xd0, 0x70), asm.Const32(100_000), asm.Op(0xfc, 0x11, 0)),
	"a table that is copied, all of it":   withTable(asm.Const32(0), asm.Const32(0), asm.Const32(100_000), asm.Op(0xfc, 0x0e, 0, 0)),
	"lines without end":                   judging(asm.Loop(line(3, 0, 1024), asm.Br(0))),
	"random numbers, megabytes at a time": with32MiB(asm.Const32(1<<16), asm.Const32(1<<20), asm.Call(hostRandom), asm.Drop),
}

// with32MiB does something in a loop, in a memory that is as large as it may be.
func with32MiB(code ...[]byte) []byte {
	return with(func(m *asm.Module) {
		m.Pages = 500
		m.Funcs[1].Code = asm.Seq(asm.Loop(asm.Seq(code...), asm.Br(0)), keepAll)
	})
}

func withTable(code ...[]byte) []byte {
	return with(func(m *asm.Module) {
		m.Tables[0].Min = 100_000
		m.Funcs[1].Code = asm.Seq(asm.Loop(asm.Seq(code...), asm.Br(0)), keepAll)
	})
}

// pauses collects garbage many times and returns how long the program stood still for it: in the middle, and the longest.
func pauses() (median, longest time.Duration) {
	before := histogram()
	for range 20 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	now, total, half := histogram(), uint64(0), uint64(0)
	for i := range now.Counts {
		now.Counts[i] -= before.Counts[i]
		total += now.Counts[i]
	}
	for i, n := range now.Counts {
		at := time.Duration(now.Buckets[i] * float64(time.Second))
		if half < total/2 && half+n >= total/2 {
			median = at
		}
		if half += n; n > 0 {
			longest = at
		}
	}
	return median, longest
}

func histogram() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// A plugin that computes for as long as it may does not keep the garbage collector waiting for two milliseconds. On a machine that is
// busy with other things any pause can be long; so it is the one in the middle that counts, in the best of some rounds.
func TestGarbageIsCollectedWhilePluginsSpin(t *testing.T) {
	const limit = 2 * time.Millisecond
	for name, module := range spinners {
		t.Run(name, func(t *testing.T) {
			spin(t, module, wasm.Limits{})
			best := time.Hour
			for round := 0; round < 8 && best > limit; round++ {
				median, longest := pauses()
				t.Logf("pauses of %s, the longest %s", median, longest)
				best = min(best, median)
			}
			if best > limit {
				t.Errorf("pauses of %s", best)
			}
		})
	}
}

// spin has a plugin judge one batch after the other until the test ends.
func spin(t testing.TB, module []byte, limits wasm.Limits) {
	t.Helper()
	h := newHost(t, wasm.Config{Log: func(wasm.Line) {}})
	limits.Failures, limits.Table = -1, 100_000
	f, err := begin(t, h, module, limits)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	events := changes(t, 64)
	var wait sync.WaitGroup
	begun := make(chan struct{})
	wait.Go(func() {
		close(begun)
		for ctx.Err() == nil {
			_ = f.Judge(ctx, events, make([]cdc.Verdict, len(events))) // cancelled
		}
	})
	<-begun
	t.Cleanup(func() { cancel(); wait.Wait() })
}

// neighbours returns what a plugin, and rules, do with a batch of 256 changes.
func neighbours(t testing.TB, h *wasm.Host) (plugin, decide func()) {
	t.Helper()
	f, err := begin(t, h, harmless().Bytes(), wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	events := changes(t, 256)
	verdicts := make([]cdc.Verdict, len(events))
	set := ruleSet(t)
	plugin = func() {
		if err := f.Judge(t.Context(), events, verdicts); err != nil {
			t.Error(err)
		}
	}
	decide = func() {
		for _, e := range events {
			set.Decide(e)
		}
	}
	return plugin, decide
}

// standing is a context that others get their turn in: whenever a plugin has come to the host, and stands there in the middle of a call.
type standing struct {
	context.Context
	turns int // that there have been
	turn  func()
}

func (s *standing) Err() error {
	if s.turns == 2 {
		return context.Canceled
	}
	s.turns++
	s.turn()
	return nil
}

// A plugin has nothing that others wait for: while it stands in the middle of a call, for however long, another plugin of the same
// host judges, so does another instance of its own code, rules decide, and plugins are loaded, begun and closed.
func TestNobodyWaitsForAPlugin(t *testing.T) {
	for name, module := range spinners {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, wasm.Config{Log: func(wasm.Line) {}})
			limits := wasm.Limits{Failures: -1, Table: 100_000, Fuel: 2_000_000}
			p, err := h.Load(t.Context(), module, limits)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			f, err := p.Filter(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			plugin, decide := neighbours(t, h)
			events := changes(t, 8)
			s := &standing{Context: t.Context(), turn: func() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					plugin()
					decide()
					again, err := p.Filter(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					verdicts(t, again, events[:1])
					again.Close()
					p.Stats()
					other, err := h.Load(t.Context(), harmless().Bytes(), wasm.Limits{})
					if err != nil {
						t.Error(err)
						return
					}
					other.Close()
				}()
				select {
				case <-done:
				case <-time.After(30 * time.Second):
					panic("others wait for the plugin")
				}
			}}
			_ = f.Judge(s, events, make([]cdc.Verdict, len(events))) // cancelled
			if s.turns == 0 {
				t.Error("it never came to the host")
			}
		})
	}
}

// worked is how long this thread has had a processor, and all of the program's.
func worked() (thread, program time.Duration) {
	var times [2]time.Duration
	for i, who := range []int{syscall.RUSAGE_THREAD, syscall.RUSAGE_SELF} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			panic(err)
		}
		times[i] = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return times[0], times[1]
}

// With a single processor that all have to share, a plugin that may compute for an hour leaves others their half of it. What else the
// machine does takes from both. A slice that is far too long leaves a twentieth: a fifth is asked for.
func TestAProcessorIsShared(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for name, module := range spinners {
		t.Run(name, func(t *testing.T) {
			plugin, decide := neighbours(t, newHost(t, wasm.Config{}))
			spin(t, module, wasm.Limits{Fuel: 1 << 50, BatchFuel: 1 << 50, Wall: time.Hour})
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			share := 0.0
			for round := 0; round < 10 && share < 1.0/5; round++ {
				ownBefore, allBefore := worked()
				own, all := ownBefore, allBefore
				for all-allBefore < 200*time.Millisecond {
					plugin()
					decide()
					own, all = worked()
				}
				share = max(share, float64(own-ownBefore)/float64(all-allBefore))
				t.Logf("%.0f %% of the processor", 100*share)
			}
			if share < 1.0/5 {
				t.Errorf("it leaves %.0f %% of the processor", 100*share)
			}
		})
	}
}

// rate returns how many changes are judged in a millisecond that the thread has had a processor for, in the best of many short times:
// what else the machine does is not counted, and a plugin that is in the way disturbs all of them.
func rate(judge func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := 0.0
	for range 30 {
		began, _ := worked()
		now, n := began, 0
		for now-began < 2*time.Millisecond {
			judge()
			n += 256
			now, _ = worked()
		}
		best = max(best, float64(n)/float64(now-began)*1e6)
	}
	return best
}

// What a plugin and rules do with their processor beside one that spins on another, as a share of what they do alone. Caches and
// memory are shared by the machine, so this is a figure and no test.
func BenchmarkNeighbours(b *testing.B) {
	plugin, decide := neighbours(b, newHost(b, wasm.Config{}))
	pluginAlone, rulesAlone := rate(plugin), rate(decide)
	for name, module := range spinners {
		b.Run(name, func(b *testing.B) {
			spin(b, module, wasm.Limits{})
			for b.Loop() {
				b.ReportMetric(rate(plugin)/pluginAlone, "plugin")
				b.ReportMetric(rate(decide)/rulesAlone, "rules")
			}
		})
	}
}

func ruleSet(t testing.TB) *rules.Set {
	t.Helper()
	all, err := rules.Parse("rules.yaml", []byte(`
version: 1
rules:
  - name: notes
    tables: [shop.orders]
    when: after.note.contains('note') && after.id > 100
    to: [acme]
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.New(all)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
