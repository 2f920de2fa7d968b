package wasm

import (
	"slices"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
)

// inOneLoop is a plugin that judges all changes in a loop that calls nothing, so that behind a trap it is not known what it has used. It
// keeps them; change long takes more, and the one behind it ends in a trap.
func inOneLoop(t *testing.T, long int32) []byte {
	t.Helper()
	const arena, out, events = 1 << 16, 1 << 12, 68 // where the header of a frame says how many events there are, and where
	const next, rounds, no = 1, 2, 3                // locals
	add := asm.Op(0x6a)
	m := asm.Module{Memory: true, Pages: 8, Funcs: []asm.Func{
		{Export: "cdc_abi_1"},
		{Export: "cdc_arena", Params: asm.I32 + asm.I32, Results: asm.I32,
			Code: asm.Seq(asm.Const32(out), asm.Const32(arena), asm.Get(0), asm.Select)},
		{Export: "cdc_batch", Params: asm.I32, Results: asm.I32, Locals: asm.I32 + asm.I32 + asm.I32, Code: asm.Seq(
			asm.Block(asm.Loop(
				asm.Const32(out), asm.Get(next), asm.Store32(0), // the cursor
				asm.Get(next), asm.Const32(arena), asm.Load32(events), asm.Op(0x4f), asm.BrIf(1),
				asm.Get(next), asm.Const32(5), asm.Op(0x74), asm.Const32(arena), asm.Load32(events+4), add, asm.Load32(arena), asm.Set(no),
				asm.Get(no), asm.Const32(long+1), asm.Op(0x46), asm.If(asm.Const32(1), asm.Const32(0), asm.Op(0x6d), asm.Drop),
				asm.Get(no), asm.Const32(long), asm.Op(0x46), asm.If(
					asm.Const32(2000), asm.Set(rounds),
					asm.Loop(asm.Get(rounds), asm.Const32(1), asm.Op(0x6b), asm.Tee(rounds), asm.BrIf(0)),
					slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 300)), // behind the last look
				asm.Get(next), asm.Const32(out), add, asm.Const32(1), asm.Store8(16),
				asm.Get(next), asm.Const32(1), add, asm.Set(next), asm.Br(0))),
			asm.Const32(0))},
	}}
	module, err := AppendManifest(m.Bytes(), []byte(`{"abi": "cdc1", "name": "loop", "version": "1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// Whether a change has used more than one may does not depend on what comes behind it in its batch, nor on where the batch begins.
func TestWhatIsBehindAChangeDoesNotHideWhatItUsed(t *testing.T) {
	const all, long = 40, 23
	module, events := inOneLoop(t, 1000+long), acts(t, slices.Repeat([]act{{1, 0}}, all)...)
	judged := func(h *Host, fuel int64, size int) (got []string, used int64) {
		f := filter(t, load(t, h, module, Limits{Failures: -1, Fuel: fuel}), "")
		for at := 0; at < all; at += size {
			part := events[at:min(at+size, all)]
			verdicts := make([]cdc.Verdict, len(part))
			if err := f.Judge(t.Context(), part, verdicts); err != nil {
				t.Fatal(err)
			}
			for _, v := range verdicts {
				got = append(got, verdict(v))
			}
			if at == long {
				used = f.Fuel()
			}
		}
		return got, used
	}
	for _, slice := range []int64{0, 1000, 777, 1 << 16} {
		h := newHost(t, Config{})
		h.slice = slice
		_, needs := judged(h, 1e6, 1)
		for _, fuel := range []int64{needs - 1500, needs - 900, needs - 600, needs - 300, needs - 100, needs - 40, needs - 10, needs - 1, needs, needs + 1, needs + 100, needs + 900} {
			want, _ := judged(h, fuel, 1)
			for _, size := range []int{2, 5, 8, all} {
				if got, _ := judged(h, fuel, size); !slices.Equal(got, want) {
					t.Errorf("slices of %d, needs %d, has %d, by %d: got %s, want %s", slice, needs, fuel, size, got[long-1:long+3], want[long-1:long+3])
				}
			}
		}
	}
}
