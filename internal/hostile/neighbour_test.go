package hostile

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
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
			spin(t, module)
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
func spin(t *testing.T, module []byte) {
	t.Helper()
	h := newHost(t, wasm.Config{Log: func(wasm.Line) {}})
	f, err := begin(t, h, module, wasm.Limits{Failures: -1, Table: 100_000})
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

// rate returns how many changes judge judges in a millisecond, in the best of many short times: what the rest of the machine does
// disturbs some of them, and a plugin that is in the way disturbs all.
func rate(judge func()) float64 {
	best := 0.0
	for range 60 {
		began, n := time.Now(), 0
		for time.Since(began) < 5*time.Millisecond {
			judge()
			n += 256
		}
		best = max(best, float64(n)/float64(time.Since(began).Milliseconds()+1))
	}
	return best
}

// A plugin and rules go on as fast as before beside one that spins, on a machine with two processors.
func TestNeighboursKeepTheirThroughput(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Log("there is one processor, which has to be shared")
		return
	}
	h := newHost(t, wasm.Config{})
	f, err := begin(t, h, harmless().Bytes(), wasm.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	events := changes(t, 256)
	verdicts := make([]cdc.Verdict, len(events))
	plugin := func() {
		if err := f.Judge(t.Context(), events, verdicts); err != nil {
			t.Fatal(err)
		}
	}
	set := ruleSet(t)
	decide := func() {
		for _, e := range events {
			set.Decide(e)
		}
	}
	pluginAlone, rulesAlone := rate(plugin), rate(decide)
	spin(t, spinners["an empty loop"])
	pluginBeside, rulesBeside := rate(plugin), rate(decide)
	t.Logf("changes a millisecond: the plugin %.0f, beside one that spins %.0f; the rules %.0f, beside it %.0f", pluginAlone, pluginBeside, rulesAlone, rulesBeside)
	if pluginBeside < pluginAlone/3 {
		t.Errorf("the plugin judges %.0f changes a millisecond, and alone %.0f", pluginBeside, pluginAlone)
	}
	if rulesBeside < rulesAlone/3 {
		t.Errorf("rules judge %.0f changes a millisecond, and alone %.0f", rulesBeside, rulesAlone)
	}
}

func ruleSet(t *testing.T) *rules.Set {
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
