package wasm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
)

// straight is a plugin without loops: it looks at its fuel when it is entered, and does the most of what it does behind the last look.
func straight(t *testing.T) []byte {
	t.Helper()
	const arena, out = 1 << 16, 1 << 12
	m := asm.Module{Memory: true, Pages: 4, Funcs: []asm.Func{
		{Export: "cdc_abi_1"},
		{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32,
			Code: asm.Seq(asm.Const32(out), asm.Const32(arena), asm.Get(0), asm.Select)},
		{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Code: asm.Seq(
			asm.Call(3),
			asm.Const32(out), asm.Const32(1), asm.Store32(0), // the first one is done
			slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 200),
			asm.Const32(out), asm.Const32(1), asm.Store8(16), asm.Const32(0))},
		{Code: asm.Seq(asm.Get(0), asm.If(asm.Call(3)), slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 700)), Locals: asm.I32},
	}}
	module, err := AppendManifest(m.Bytes(), []byte(`{"abi": "cdc1", "name": "straight", "version": "1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// A change has as much fuel as it is given and not a unit more, wherever the plugin last looked, and however fuel was given out.
func TestABudgetIsHeldToTheUnit(t *testing.T) {
	for _, row := range []struct {
		name   string
		module []byte
		act    act
	}{
		{"a loop", cguest(t), act{25, 5000}},
		{"a short loop", cguest(t), act{25, 1}},
		{"no loop", straight(t), act{1, 0}},
	} {
		needs := int64(0)
		for _, slice := range []int64{1 << 60, 1000, 7, 1 << 16} {
			h := newHost(t, Config{})
			h.slice = slice
			judged := func(fuel int64) (string, int64) {
				f := filter(t, load(t, h, row.module, Limits{Failures: -1, Fuel: fuel}), "")
				verdicts := make([]cdc.Verdict, 1)
				if err := f.Judge(t.Context(), acts(t, row.act), verdicts); err != nil {
					t.Fatal(err)
				}
				return verdict(verdicts[0]), f.Fuel()
			}
			if needs == 0 {
				_, needs = judged(1e6)
			}
			if got, used := judged(needs); got != "keep" || used != needs {
				t.Errorf("%s, slices of %d: with %d units: %s, %d used", row.name, slice, needs, got, used)
			}
			if got, _ := judged(needs - 1); got != "fuel" {
				t.Errorf("%s, slices of %d: with %d units: %s, want fuel", row.name, slice, needs-1, got)
			}
		}
	}
}

// In a batch as alone: what takes more than one change may is not judged, though it was done before that was seen.
func TestABudgetIsHeldInBatches(t *testing.T) {
	all := []act{{1, 0}, {25, 300}, {1, 0}, {25, 100}, {25, 300}, {1, 0}}
	h := newHost(t, Config{})
	for _, limit := range []int64{400, 1000, 2000, 3000, 4000} {
		p := load(t, h, cguest(t), Limits{Failures: -1, Fuel: limit})
		together := judge(t, filter(t, p, ""), all...)
		f := filter(t, p, "")
		var alone []string
		for _, a := range all {
			alone = append(alone, judge(t, f, a)...)
		}
		if !slices.Equal(together, alone) {
			t.Errorf("fuel %d: together %s, alone %s", limit, together, alone)
		}
	}
}

// How fuel is given out is not seen in verdicts, nor in what traps say.
func TestSlicesDoNotMatter(t *testing.T) {
	kinds := []int64{0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 20, 25, 25, 25, 34, 35}
	random := rand.New(rand.NewPCG(3, 4))
	all := make([]act, 300)
	for i := range all {
		if all[i] = (act{1, 0}); random.IntN(4) == 0 {
			all[i] = act{kinds[random.IntN(len(kinds))], int64(10_000 + random.IntN(60_000))}
		}
	}
	events := acts(t, all...)
	for _, size := range []int{1, len(events)} {
		var want []string
		for _, slice := range []int64{1 << 60, 1000, 4321, 100_000, 1_000_000} {
			h := newHost(t, Config{})
			h.slice = slice
			f := filter(t, load(t, h, cguest(t), Limits{Failures: -1, Fuel: 200_000, BatchFuel: 900_000, Depth: 20_000}), "")
			var got []string
			for at := 0; at < len(events); at += size {
				verdicts := make([]cdc.Verdict, size)
				if err := f.Judge(t.Context(), events[at:at+size], verdicts); err != nil {
					t.Fatal(err)
				}
				for _, v := range verdicts {
					text := verdict(v)
					var trap *Trap
					if errors.As(v.Err, &trap) {
						text += fmt.Sprint(" ", trap.Fuel)
					}
					got = append(got, text)
				}
			}
			if want == nil {
				want = got
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("by %d, slices of %d: change %d, %v: %s, want %s", size, slice, i, all[i], got[i], want[i])
				}
			}
		}
	}
}

// A plugin that computes comes to the host for each slice of fuel, so how long garbage collection waits for it is bounded by a count,
// whatever the machine does. For memory that is moved package meter has the same.
func TestAPluginComesToTheHostOften(t *testing.T) {
	const arena, out = 1 << 16, 1 << 12
	judging := func(code ...[]byte) []byte {
		m := asm.Module{Memory: true, Pages: 4, Funcs: []asm.Func{
			{Export: "cdc_abi_1"},
			{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32, Code: asm.Seq(asm.Const32(out), asm.Const32(arena), asm.Get(0), asm.Select)},
			{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Code: asm.Seq(asm.Loop(asm.Seq(code...), asm.Br(0)), asm.Const32(0))},
			{Locals: asm.I32, Code: asm.Seq(asm.Get(0), asm.If(asm.Call(3)), slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 700))}, // in a cycle
		}}
		module, err := AppendManifest(m.Bytes(), []byte(`{"abi": "cdc1", "name": "busy", "version": "1.0.0"}`))
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	for _, row := range []struct {
		name   string
		module []byte
	}{
		{"a loop", judging()},
		{"calls", judging(asm.Call(3))},
	} {
		h := newHost(t, Config{})
		visits, clock := int64(0), h.now
		h.now = func() time.Time { visits++; return clock() }
		f := filter(t, load(t, h, row.module, Limits{Failures: -1, Wall: time.Hour}), "")
		visits = 0
		verdicts := make([]cdc.Verdict, 1)
		if err := f.Judge(t.Context(), acts(t, act{}), verdicts); err != nil || verdict(verdicts[0]) != "fuel" {
			t.Fatalf("%s: got %v, %v", row.name, verdicts, err)
		}
		if f.Fuel()/visits > slice+10_000 {
			t.Errorf("%s: %d visits of the host for %d units", row.name, visits, f.Fuel())
		}
	}
}
