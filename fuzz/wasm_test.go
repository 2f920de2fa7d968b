package fuzz

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/cdcd-project/cdcd/internal/meter"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// FuzzWasm reads modules that nobody trusts. One that is taken is valid after metering exactly if it was before, and whatever
// it does ends when its fuel does.
func FuzzWasm(f *testing.F) {
	for _, seed := range wasmSeeds {
		wasm, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wasm)
	}
	for _, wasm := range smithModules(f) {
		f.Add(wasm)
	}
	ctx := context.Background()
	limits := wasmbin.DefaultLimits
	limits.Bytes, limits.MemoryPages, limits.TableSize, limits.Nesting, limits.Locals = 16<<10, 4, 100, 50, 1000
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := wasmbin.Read(wasm, limits)
		if err != nil {
			return
		}
		runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(4))
		defer runtime.Close(ctx)
		_, wants := runtime.CompileModule(ctx, wasm)
		if wants != nil && strings.Contains(wants.Error(), "custom section name") {
			return // the engine insists on names of functions that can be read; metering leaves out those that cannot
		}
		metered, err := meter.Rewrite(m, fuzzBounds)
		if err != nil {
			return
		}
		if _, got := runtime.CompileModule(ctx, metered); (got == nil) != (wants == nil) {
			t.Fatalf("the module: %v; rewritten: %v", wants, got)
		} else if got != nil || len(m.Imports) > 0 {
			return
		}
		sameBehaviour(t, wasm, m, len(wasm) < 500)
	})
}

// smithModules are valid modules that scripts/wasm-corpus has made.
func smithModules(t testing.TB) (all [][]byte) {
	files, err := filepath.Glob("testdata/wasm/*.wasm")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d modules in testdata/wasm, %v", len(files), err)
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, wasm)
	}
	return all
}

// What the vetter refuses of them it would refuse of plugins that people make.
func TestModulesThatOthersThinkOfAreNotRefused(t *testing.T) {
	for i, wasm := range smithModules(t) {
		if m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits); err != nil {
			t.Errorf("module %d: %v", i, err)
		} else {
			sameBehaviour(t, wasm, m, false)
		}
	}
}

// wasmSeeds are small modules: a loop without end, calls that double, memory that is filled, a table that grows, all with a
// memory, a table and an element segment.
var wasmSeeds = []string{
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a0d010b01017f03400c000b41000b",
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a0b010901017f100010006a0b",
	"0061736d010000000105016000017f03030200000404017000020503010001070b02026630000002663100010908010041000b0200010a12020601017f10010b0901017f41001100000b",
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a18011601017f03404100410041808004fc0b000c000b41000b",
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a10010e01017fd07041ffffff07fc0f000b",
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a0b010901017f41ff3f40000b",
	"0061736d010000000105016000017f03020100040401700002050301000107060102663000000908010041000b0200000a19011701017f41e40021000340200041016b22000d000b20000b",
}
