package wasmgen

import (
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

func TestWhatIsMadeIsValid(t *testing.T) {
	runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(t.Context())
	random := rand.NewChaCha8([32]byte{1})
	ops := map[wasmbin.Op]int{}
	for n := range 2000 {
		in := make([]byte, n/2)
		random.Read(in)
		wasm := Module(in)
		m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
		if err != nil {
			t.Fatalf("input %x: %v", in, err)
		}
		compiled, err := runtime.CompileModule(t.Context(), wasm)
		if err != nil {
			t.Fatalf("input %x: %v", in, err)
		}
		compiled.Close(t.Context())
		for i := range m.Bodies {
			code := m.Bodies[i].Walk()
			for in, ok := code.Next(); ok; in, ok = code.Next() {
				ops[in.Op]++
			}
		}
	}
	for _, op := range []wasmbin.Op{wasmbin.Block, wasmbin.Loop, wasmbin.If, wasmbin.Else, wasmbin.Br, wasmbin.BrIf, wasmbin.BrTable, wasmbin.Return, wasmbin.Call,
		wasmbin.CallIndirect, wasmbin.MemoryGrow, wasmbin.RefFunc, wasmbin.MemoryInit, wasmbin.MemoryCopy, wasmbin.MemoryFill, wasmbin.TableInit,
		wasmbin.TableCopy, wasmbin.TableGrow, wasmbin.TableFill} {
		if ops[op] < 100 {
			t.Errorf("instruction %#x came about %d times", uint16(op), ops[op])
		}
	}
	t.Logf("%d different instructions", len(ops))
}
