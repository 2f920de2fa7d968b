package wasm

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// slow is a plugin that takes two million units of fuel to begin, and cannot be brought back by copying its memory. It keeps
// the first change if it has not begun, and fails at any change of a second batch.
func slow(t testing.TB) []byte {
	return minimal().with(func(p *parts) {
		p.table = []byte{0x70, 0, 2}
		p.elements = []byte{1, 3, 0, 1, 0} // declares function 0
		p.exports = append(p.exports, named("_initialize", 0, 2))
		p.codes[2] = slices.Concat([]byte{1, 1, 0x7f},
			[]byte{0x03, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, 0xc0, 0x84, 0x3d, 0x48, 0x0d, 0, 0x0b}, // a million rounds
			[]byte{0x41, 0, 0x41, 1, 0x36, 2, 0, 0x0b})                                                       // 0: begun
		p.codes[1] = slices.Concat([]byte{0},
			[]byte{0x41, 0x90, 0x04, 0x41, 0, 0x28, 2, 0, 0x45, 0x3a, 0, 0}, // the verdict of the first change: keep, if it has not begun
			[]byte{0x41, 0, 0x25, 0, 0xd1, 0x45, 0x04, 0x40, 0x00, 0x0b},    // entry 0 of its table is set
			[]byte{0x41, 0, 0xd2, 0, 0x26, 0}, p.codes[1][1:])
	}).plugin(t)
}

// A batch whose judging was cancelled is judged as any other when it is offered again, and what was counted of it is forgotten.
func TestJudgingIsCancelledAtAnyPoint(t *testing.T) {
	for _, plugin := range []struct {
		name   string
		module []byte
		acts   []act
		want   string
	}{
		{"brought back", cguest(t), []act{{2, 0}, {9, 5}, {4, 0}, {3, 0}, {25, 200_000}, {33, 0}, {12, 0}, {7, 0}, {9, 7}},
			`[after.note="edited" keep unreachable refused keep answer keep depth keep]`},
		{"started anew", slow(t), []act{{}, {}}, "[drop drop]"},
	} {
		t.Run(plugin.name, func(t *testing.T) {
			cancelled := 0
			for point := 1; ; point++ {
				h := newHost(t, Config{})
				p := load(t, h, plugin.module, Limits{Depth: 100_000})
				f := filter(t, p, "")
				if plugin.name == "started anew" {
					judge(t, f, act{})
				}
				before := p.Stats()
				ctx, cancel := context.WithCancel(t.Context())
				calls := 0
				h.now = func() time.Time {
					if calls++; calls == point {
						cancel()
					}
					return clock
				}
				events := acts(t, plugin.acts...)
				verdicts := make([]cdc.Verdict, len(events))
				err := f.Judge(ctx, events, verdicts)
				cancel()
				if err != nil {
					cancelled++
					if s := p.Stats(); s.Events != before.Events || s.Errors != before.Errors || s.Metrics["counted"] != 0 {
						t.Errorf("cancelled at point %d: it counts %+v", point, s)
					}
				}
				if got := fmt.Sprint(judge(t, f, plugin.acts...)); got != plugin.want {
					t.Errorf("cancelled at point %d (%v), then: got %s, want %s", point, err, got, plugin.want)
				}
				f.Close()
				if h.Memory() != 0 {
					t.Errorf("cancelled at point %d: %d bytes are left", point, h.Memory())
				}
				if calls < point {
					break
				}
			}
			if cancelled < 2 {
				t.Errorf("it was cancelled %d times", cancelled)
			}
		})
	}
}

// When there is no memory to begin again, the next batch finds a plugin that has begun.
func TestAPluginThatCouldNotBeBroughtBackBeginsAgain(t *testing.T) {
	h := newHost(t, Config{})
	p := load(t, h, cguest(t), Limits{Failures: -1, Depth: 100_000})
	f := filter(t, p, "")
	verdicts := make([]cdc.Verdict, 1)
	for most := h.Memory() - 100; most < h.Memory()+2*pageBytes; most += 4096 {
		h.budget.most = most
		if err := f.Judge(t.Context(), acts(t, act{7, 0}), verdicts); err == nil { // nests too deep: it is started anew
			continue
		} else if cdc.CodeOf(err) != "CDCD-2542" {
			t.Fatal(err)
		}
		h.budget.most = 1 << 30
		for range 2 {
			if got := fmt.Sprint(judge(t, f, act{2, 0}, act{4, 0}, act{2, 0})); got != `[after.note="edited" unreachable after.note="edited"]` {
				t.Fatalf("with %d bytes of memory, then with enough: got %s", most, got)
			}
		}
	}
}

// Edits are kept by the host until the batch is delivered: a plugin must not have it keep what it has no memory for itself.
func TestTheEditsOfABatchAreBounded(t *testing.T) {
	const text = 1 << 20
	i32const := func(n int64) []byte { return wasmbin.AppendS64([]byte{0x41}, n) }
	store := func(op byte, at, n int64) []byte { return slices.Concat(i32const(at), i32const(n), []byte{op, 0, 0}) }
	module := minimal().with(func(p *parts) {
		p.memory = []byte{0, 40}
		p.codes[1] = slices.Concat([]byte{0},
			store(0x36, 1<<16, 24+text), store(0x36, 1<<16+8, 1|2<<8), store(0x3a, 1<<16+12, int64(cdc.KindString)), store(0x36, 1<<16+16, text),
			store(0x36, 512+4, 1<<16), store(0x36, 512+8, 24+text), store(0x3a, 512+16, verdictEdit), p.codes[1][1:])
	}).bytes()
	module, err := AppendManifest(module, []byte(`{"abi":"cdc1","name":"small","version":"0.1.0","edits":["note"]}`))
	if err != nil {
		t.Fatal(err)
	}
	f := filter(t, load(t, newHost(t, Config{}), module, Limits{}), "")
	events := acts(t, make([]act, 70*maxEvents)...)
	verdicts := make([]cdc.Verdict, len(events))
	if err := f.Judge(t.Context(), events, verdicts); !contains(err, "CDCD-2542", "its edits of one batch of changes have more than 64 MiB") {
		t.Errorf("got %v", err)
	}
	few := 60 * maxEvents
	if err := f.Judge(t.Context(), events[:few], verdicts[:few]); err != nil || verdicts[0].Edits == nil || len(verdicts[0].Edits.Columns[0].Value.Text()) != text {
		t.Errorf("fewer: %v", err)
	}
}
