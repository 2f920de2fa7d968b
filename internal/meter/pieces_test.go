package meter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
)

// Instructions on much memory are done in pieces, which must not be seen: not in what overlaps, and not in what does not fit.
func TestWhatIsDoneInPiecesIsDoneAsAWhole(t *testing.T) {
	const mega = 1 << 20
	segment := make([]byte, 5*mega/2)
	for i := range segment {
		segment[i] = byte(i * i >> 7)
	}
	three := asm.I32 + asm.I32 + asm.I32
	operands := asm.Seq(asm.Get(0), asm.Get(1), asm.Get(2))
	m := asm.Module{Pages: 96, // 6 MiB
		Data: []asm.Data{{Offset: mega / 2, Bytes: segment}, {Offset: -1, Bytes: segment}},
		Funcs: []asm.Func{
			{Export: "fill", Params: three, Code: asm.Seq(operands, asm.MemoryFill)},
			{Export: "copy", Params: three, Locals: asm.I64, Code: asm.Seq(operands, asm.MemoryCopy)},
			{Export: "init", Params: three, Code: asm.Seq(operands, asm.Op(0xfc, 0x08, 1, 0))},
		}}
	wasm := m.Bytes()
	for _, row := range []struct {
		f       string
		a, b, n uint32
		visits  int
	}{
		{"fill", 0, 7, 100, 0},
		{"fill", 0, 7, mega, 0},
		{"fill", 0, 7, mega + 1, 1},
		{"fill", 3, 0x1ff, 4 * mega, 3},
		{"fill", 3, 7, 6*mega - 3, 5},
		{"fill", 3, 7, 6*mega - 2, 0},
		{"fill", 1 << 31, 7, 1<<31 + 5, 0},
		{"fill", 6 * mega, 7, 0, 0},
		{"copy", 0, 100, 4*mega + 77, 4},
		{"copy", 100, 0, 4*mega + 77, 4},
		{"copy", 1, 0, 5 * mega, 4},
		{"copy", 0, 1, 5 * mega, 4},
		{"copy", 0, 0, 5 * mega, 4},
		{"copy", 3 * mega, 0, 3 * mega, 2},
		{"copy", 0, 3*mega + 1, 3 * mega, 0},
		{"copy", 3*mega + 1, 0, 3 * mega, 0},
		{"copy", 0, 1<<32 - mega, 2 * mega, 0},
		{"copy", 1<<32 - mega, 0, 2 * mega, 0},
		{"init", 77, 5, 2 * mega, 1},
		{"init", 77, 5, 5*mega/2 - 5, 2},
		{"init", 77, 5, 5*mega/2 - 4, 0},
		{"init", 5 * mega, 0, 2 * mega, 0},
		{"init", 0, 1<<32 - 1, 2 * mega, 0},
	} {
		name := fmt.Sprint(row.f, " ", row.a, " ", row.b, " ", row.n)
		var want []byte
		var wants string
		for _, metered := range []bool{false, true} {
			var h *host
			if metered {
				h = &host{left: 1e9, slice: 1e9}
			}
			mod, err := start(t, wasm, h, wazero.NewRuntimeConfigCompiler())
			if err != nil {
				t.Fatal(err)
			}
			if metered {
				h.visits = 0
			}
			_, err = mod.ExportedFunction(row.f).Call(t.Context(), uint64(row.a), uint64(row.b), uint64(row.n))
			ended, _, _ := strings.Cut(fmt.Sprint(err), "\n")
			memory, _ := mod.Memory().Read(0, mod.Memory().Size())
			if !metered {
				want, wants = bytes.Clone(memory), ended
				continue
			}
			if ended != wants || !bytes.Equal(memory, want) {
				t.Errorf("%s: it ended with %s, as a whole with %s; memory is the same: %v", name, ended, wants, bytes.Equal(memory, want))
			}
			if got := h.visits - 1; err == nil && got != row.visits { // the first one is for fuel
				t.Errorf("%s: %d visits of the host in between, want %d", name, got, row.visits)
			}
		}
	}
}
