package fuzz

import (
	"context"
	"errors"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/internal/meter"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/internal/wasmgen"
)

// FuzzMeter makes valid modules and meters them. With fuel enough they do exactly what they did before, on both engines and for
// the same price; with one unit less than that they are stopped.
func FuzzMeter(f *testing.F) {
	random := rand.NewChaCha8([32]byte{})
	for n := range 40 {
		in := make([]byte, 20*n)
		random.Read(in)
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		wasm := wasmgen.Module(in)
		m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
		if err != nil {
			t.Fatalf("the vetter refuses a valid module: %v", err)
		}
		sameBehaviour(t, wasm, m, true)
	})
}

// fuzzFuel is what the modules of one input may use up.
const fuzzFuel = 200_000

// growth is bounded by fuel here, so that a bound does not make a difference of its own.
var fuzzBounds = meter.Limits{Pages: 1 << 16, Table: 1 << 31, Depth: 10_000}

// sameBehaviour runs a module as it is and metered, and compares all that can be seen of both.
func sameBehaviour(t *testing.T, wasm []byte, m *wasmbin.Module, compiler bool) {
	metered, err := meter.Rewrite(m, fuzzBounds)
	if err != nil {
		t.Fatalf("metering: %v", err)
	}
	if _, err := wasmbin.Read(metered, wasmbin.DefaultLimits); err != nil {
		t.Fatalf("the rewritten module: %v", err)
	}
	first := observe(t, metered, wazero.NewRuntimeConfigInterpreter(), &tank{left: fuzzFuel, slice: 1000})
	if first.stopped != "" {
		return
	}
	used := first.Fuel
	plain := first
	plain.Fuel, plain.Traps = 0, nil
	if first.unknown {
		used = fuzzFuel
	}
	engines := map[string]wazero.RuntimeConfig{"interpreter": wazero.NewRuntimeConfigInterpreter()}
	if compiler {
		engines["compiler"] = wazero.NewRuntimeConfigCompiler()
	}
	for name, engine := range engines {
		if got := observe(t, wasm, engine.WithCloseOnContextDone(true), nil); !reflect.DeepEqual(got, plain) {
			t.Errorf("%s: as it is:\n%+v\nmetered:\n%+v", name, got, plain)
		}
		if got := observe(t, metered, engine, &tank{left: used, slice: 1 << 40}); !reflect.DeepEqual(got, first) {
			t.Errorf("%s: with the fuel that it needs:\n%+v\nbefore:\n%+v", name, got, first)
		}
		if used == 0 || first.unknown {
			continue
		}
		if got := observe(t, metered, engine, &tank{left: used - 1, slice: 1 << 40}); got.stopped != errSpent.Error() {
			t.Errorf("%s: with less fuel than it needs it is not stopped:\n%+v", name, got)
		}
	}
}

// tank gives fuel to a metered module.
type tank struct{ left, slice int64 }

func (k *tank) yield(_ context.Context, mod api.Module, _ []uint64) {
	fuel := mod.ExportedGlobal(meter.Fuel).(api.MutableGlobal)
	if mod.ExportedGlobal(meter.Depth).Get() > uint64(fuzzBounds.Depth) {
		panic(errDeep)
	}
	for int64(fuel.Get()) < 0 {
		if k.left <= 0 {
			panic(errSpent)
		}
		part := min(k.slice, k.left)
		k.left -= part
		fuel.Set(fuel.Get() + uint64(part))
	}
}

var (
	errSpent = errors.New("the fuel is spent")
	errDeep  = errors.New("calls are nested too deep")
)

// observation is what can be seen of a module from outside.
type observation struct {
	Calls   []string // what each function returned, or how it ended
	Seen    uint64   // of what it told its import
	Globals []string
	Memory  uint64
	Fuel    int64   // the most of one call
	Traps   []int64 // fuel that was known to be used when a call trapped: how it was given out must not be seen in it

	stopped string // by whom, before it was done
	unknown bool   // what fuel it took, because a call trapped
}

// observe makes an instance and calls all its functions, again after a trap.
func observe(t *testing.T, wasm []byte, config wazero.RuntimeConfig, k *tank) (o observation) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	defer runtime.Close(context.Background())
	table := crc64.MakeTable(crc64.ECMA)
	see := func(_ context.Context, _ api.Module, stack []uint64) {
		o.Seen = crc64.Update(o.Seen, table, fmt.Append(nil, stack[0]))
		stack[0] ^= o.Seen
	}
	build := func(module, name string, f api.GoModuleFunc, values []api.ValueType) {
		if _, err := runtime.NewHostModuleBuilder(module).NewFunctionBuilder().WithGoModuleFunction(f, values, values).Export(name).Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	build("env", "see", see, []api.ValueType{api.ValueTypeI64})
	given := int64(0)
	if k != nil {
		given = k.left
		build(meter.HostModule, meter.Yield, k.yield, nil)
	}
	// ended says how a call ended, and whether that was the last one.
	ended := func(err error) (string, bool) {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("it does not end: %v", err)
		case errors.Is(err, errSpent):
			o.stopped = errSpent.Error()
		case errors.Is(err, errDeep), strings.Contains(err.Error(), "stack overflow"):
			o.stopped = errDeep.Error()
		}
		text, _, _ := strings.Cut(err.Error(), "\n")
		return text, o.stopped != ""
	}
	compiled, err := runtime.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatalf("a module that is valid before is not metered, or the other way round: %v", err)
	}
	mod, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		text, _ := ended(err)
		_, why, _ := strings.Cut(text, "failed: ") // before it stands the number of the function, which metering changes
		o.Calls = append(o.Calls, "start: "+why)
		o.unknown = true
		return o
	}
	var names []string
	for name := range compiled.ExportedFunctions() {
		names = append(names, name)
	}
	slices.Sort(names)
	// Each call has fuel of its own, as the host gives it. A call takes what is known once it returns: a trap leaves behind what
	// the fuel was when it was last put back.
	took := func() {
		if k == nil {
			return
		}
		fuel := mod.ExportedGlobal(meter.Fuel).(api.MutableGlobal)
		used := given - k.left - int64(fuel.Get())
		if o.Fuel = max(o.Fuel, used); used > given {
			o.stopped = errSpent.Error()
		}
		k.left = given
		fuel.Set(0)
	}
	took()
	for i, name := range append(names, names...) {
		if o.stopped != "" {
			return o
		}
		f := mod.ExportedFunction(name)
		args, ok := arguments(f.Definition(), uint64(i))
		if !ok {
			continue
		}
		results, err := f.Call(ctx, args...)
		if err == nil {
			took()
			for i, of := range f.Definition().ResultTypes() {
				if of == api.ValueTypeI32 || of == api.ValueTypeF32 { // the compiler leaves anything in the upper half
					results[i] = uint64(uint32(results[i]))
				}
			}
			o.Calls = append(o.Calls, fmt.Sprintf("%s: %x", name, results))
			continue
		}
		text, last := ended(err)
		o.Calls = append(o.Calls, name+": "+text)
		if last {
			return o
		}
		o.unknown = true
		if k != nil {
			o.Traps = append(o.Traps, given-k.left-int64(mod.ExportedGlobal(meter.Fuel).Get()))
			// as a host does that uses an instance again
			mod.ExportedGlobal(meter.Depth).(api.MutableGlobal).Set(0)
			mod.ExportedGlobal(meter.Fuel).(api.MutableGlobal).Set(0)
			k.left = given
		}
	}
	for i := range 10 {
		if g := mod.ExportedGlobal(fmt.Sprint("g", i)); g != nil {
			o.Globals = append(o.Globals, fmt.Sprintf("%x", bitsOf(g)))
		}
	}
	if memory := mod.Memory(); len(compiled.ExportedMemories()) > 0 {
		if all, ok := memory.Read(0, memory.Size()); ok {
			o.Memory = crc64.Checksum(all, table)
		}
	}
	return o
}

func bitsOf(g api.Global) uint64 {
	if g.Type() == api.ValueTypeI32 || g.Type() == api.ValueTypeF32 {
		return uint64(uint32(g.Get()))
	}
	return g.Get()
}

// arguments makes some for a function; ok is false if it takes or returns what is no number.
func arguments(f api.FunctionDefinition, n uint64) (args []uint64, ok bool) {
	for _, t := range append(slices.Clone(f.ParamTypes()), f.ResultTypes()...) {
		switch t {
		case api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64:
		default:
			return nil, false
		}
	}
	for i, t := range f.ParamTypes() {
		v := n*31 + uint64(i)
		switch t {
		case api.ValueTypeF32:
			v = api.EncodeF32(float32(v) / 2)
		case api.ValueTypeF64:
			v = api.EncodeF64(float64(v) / 2)
		}
		args = append(args, v)
	}
	return args, true
}
