package meter

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/internal/wasmgen"
)

// mostBetweenLooks runs all functions of a module that are exported, each for some millions of units.
func mostBetweenLooks(t *testing.T, wasm []byte) int64 {
	t.Helper()
	m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	metered, err := Rewrite(m, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(context.Background())
	l := &looks{}
	total := int64(0)
	yield := func(_ context.Context, mod api.Module, _ []uint64) {
		if mod.ExportedGlobal(Depth).Get() > uint64(DefaultLimits.Depth) {
			panic(errDeep)
		}
		total += max(0, -int64(mod.ExportedGlobal(Fuel).Get()))
		if l.take(mod); total > 3_000_000 {
			panic(errOut)
		}
	}
	if _, err := runtime.NewHostModuleBuilder(HostModule).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(yield), nil, nil).Export(Yield).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	see := func(_ context.Context, _ api.Module, stack []uint64) { stack[0] ^= 0x5a5a }
	one := []api.ValueType{api.ValueTypeI64}
	if _, err := runtime.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(see), one, one).Export("see").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	compiled, err := runtime.CompileModule(ctx, metered)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil { // its start function
		return l.most
	}
	for name, f := range compiled.ExportedFunctions() {
		args := make([]uint64, len(f.ParamTypes()))
		for i := range args {
			args[i] = uint64(3 * i)
		}
		total = 0
		mod.ExportedGlobal(Depth).(api.MutableGlobal).Set(0)
		mod.ExportedGlobal(Fuel).(api.MutableGlobal).Set(0)
		_, _ = mod.ExportedFunction(name).Call(ctx, args...) // however it ends
		l.take(mod)
	}
	return l.most
}

// Whatever way a module comes round, it looks: its loops go round ten thousand times, and none of its instructions costs more than
// this for the length that it is given.
func TestRandomModulesLookBeforeMuchIsDone(t *testing.T) {
	const bound = 50_000
	random := rand.NewChaCha8([32]byte{9})
	for range 400 {
		in := make([]byte, 20+random.Uint64()%1200)
		random.Read(in)
		if most := mostBetweenLooks(t, wasmgen.Module(in)); most > bound {
			t.Errorf("%d units between two looks, want at most %d; input %x", most, bound, in)
		}
	}
}
