package fuzz

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

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
	ctx := context.Background()
	limits := wasmbin.DefaultLimits
	limits.Bytes, limits.MemoryPages, limits.TableSize, limits.Nesting, limits.Locals = 16<<10, 4, 100, 50, 1000
	bounds := meter.Limits{Pages: 4, Table: 100, Depth: 10_000}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := wasmbin.Read(wasm, limits)
		if err != nil {
			return
		}
		metered, err := meter.Rewrite(m, bounds)
		if err != nil {
			return
		}
		if _, err := wasmbin.Read(metered, wasmbin.DefaultLimits); err != nil {
			t.Fatalf("the rewritten module: %v", err)
		}
		runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(4))
		defer runtime.Close(ctx)
		_, wants := runtime.CompileModule(ctx, wasm)
		compiled, got := runtime.CompileModule(ctx, metered)
		if wants != nil && strings.Contains(wants.Error(), "custom section name") {
			return // the engine insists on names of functions that can be read; metering leaves out those that cannot
		}
		if (got == nil) != (wants == nil) {
			t.Fatalf("the module: %v; rewritten: %v", wants, got)
		}
		if got != nil || len(m.Imports) > 0 {
			return
		}
		left := int64(100_000)
		yield := func(_ context.Context, mod api.Module, _ []uint64) {
			fuel := mod.ExportedGlobal(meter.Fuel).(api.MutableGlobal)
			if left <= 0 || mod.ExportedGlobal(meter.Depth).Get() > uint64(bounds.Depth) {
				panic(errSpent)
			}
			for left > 0 && int64(fuel.Get()) < 0 {
				fuel.Set(fuel.Get() + 1000)
				left -= 1000
			}
		}
		if _, err := runtime.NewHostModuleBuilder(meter.HostModule).NewFunctionBuilder().
			WithGoModuleFunction(api.GoModuleFunc(yield), nil, nil).Export(meter.Yield).Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
		instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig())
		if err != nil {
			return // its start function traps, or a segment is out of bounds
		}
		for name, function := range compiled.ExportedFunctions() {
			args := make([]uint64, max(len(function.ParamTypes()), len(function.ResultTypes())))
			_ = instance.ExportedFunction(name).CallWithStack(ctx, args) // how it ends is its own affair; that it does is ours
		}
	})
}

var errSpent = errors.New("the fuel is spent")

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
