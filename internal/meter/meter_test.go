package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// specModules are the modules of the specification's own tests, which come with wazero: valid ones and such that are wrong in
// every way its authors could think of.
func specModules(t *testing.T) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, version := range []string{"v1", "v2", "tail-call", "exception-handling", "threads", "extended-const"} {
		found, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "internal/integration_test/spectest", version, "testdata/*.wasm"))
		all = append(all, found...)
	}
	if len(all) < 5000 {
		t.Fatalf("%d modules found", len(all))
	}
	return all
}

// What the compiler takes must be taken by both of its readers alike: a module that is refused must be refused for a reason that
// is ours, and one that is rewritten must be valid exactly if it was before.
func TestTheModulesOfTheSpecificationAreValidExactlyIfTheyWere(t *testing.T) {
	runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	defer runtime.Close(t.Context())
	read, valid, refused := 0, 0, map[string]int{}
	for _, file := range specModules(t) {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
		original, wants := runtime.CompileModule(t.Context(), wasm)
		if wants == nil {
			original.Close(t.Context())
			valid++
		}
		if err != nil {
			if wants == nil {
				refused[err.Error()[strings.Index(err.Error(), ":"):]]++
			}
			continue
		}
		read++
		metered, err := Rewrite(m, Limits{Pages: 65536, Table: 1 << 31, Depth: 1 << 20})
		if err != nil {
			refused[err.Error()]++
			continue
		}
		rewritten, got := runtime.CompileModule(t.Context(), metered)
		if (got == nil) != (wants == nil) {
			t.Errorf("%s: the module: %v; rewritten: %v", filepath.Base(file), wants, got)
		}
		if got == nil {
			rewritten.Close(t.Context())
			if _, err := wasmbin.Read(metered, wasmbin.DefaultLimits); err != nil {
				t.Errorf("%s: rewritten: %v", filepath.Base(file), err)
			}
			if bare, err := Bare(m, Limits{Pages: 65536, Table: 1 << 31, Depth: 1 << 20}); err != nil {
				t.Errorf("%s: bare: %v", filepath.Base(file), err)
			} else if compiled, err := runtime.CompileModule(t.Context(), bare); err != nil {
				t.Errorf("%s: bare: %v", filepath.Base(file), err)
			} else {
				compiled.Close(t.Context())
			}
		}
	}
	t.Logf("%d modules were read, %d are valid", read, valid)
	for why, n := range refused {
		t.Logf("%d valid ones were refused: %s", n, why)
	}
}

var errOut = errors.New("out of fuel")
var errDeep = errors.New("too deep")

// host runs a metered module: it gives slices of fuel until there is none left.
type host struct {
	left, slice int64
	depth       uint32
	visits      int
}

func (h *host) yield(_ context.Context, m api.Module, _ []uint64) {
	h.visits++
	fuel := m.ExportedGlobal(Fuel).(api.MutableGlobal)
	if uint32(m.ExportedGlobal(Depth).Get()) > h.depth {
		panic(errDeep)
	}
	for have := int64(fuel.Get()); have < 0; have = int64(fuel.Get()) {
		if h.left <= 0 {
			panic(errOut)
		}
		part := min(h.slice, h.left)
		h.left -= part
		fuel.Set(uint64(have + part))
	}
}

// start makes an instance of a module, metered if h is not nil.
func start(t testing.TB, wasm []byte, h *host, config wazero.RuntimeConfig) (api.Module, error) {
	t.Helper()
	ctx := t.Context()
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { runtime.Close(context.Background()) })
	if h != nil {
		limits := DefaultLimits
		if h.depth == 0 {
			h.depth = limits.Depth
		}
		limits.Depth = h.depth
		var err error
		if wasm, err = metered(ctx, runtime, wasm, limits, h.yield); err != nil {
			return nil, err
		}
	}
	return runtime.Instantiate(ctx, wasm)
}

// startWith makes a metered instance with another host.
func startWith(t testing.TB, wasm []byte, yield api.GoModuleFunc) api.Module {
	t.Helper()
	runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler())
	t.Cleanup(func() { runtime.Close(context.Background()) })
	wasm, err := metered(t.Context(), runtime, wasm, DefaultLimits, yield)
	if err != nil {
		t.Fatal(err)
	}
	m, err := runtime.Instantiate(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func metered(ctx context.Context, runtime wazero.Runtime, wasm []byte, limits Limits, yield api.GoModuleFunc) ([]byte, error) {
	m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
	if err != nil {
		return nil, err
	}
	_, err = runtime.NewHostModuleBuilder(HostModule).NewFunctionBuilder().WithGoModuleFunction(yield, nil, nil).Export(Yield).Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	return Rewrite(m, limits)
}

// assembled makes a module of one memory of a page, a table of two entries that hold its first function, and functions of
// type ()->i32 with a local of i32 each. The first is exported as f0; the others cannot be called but by calls.
func assembled(bodies ...[]byte) []byte {
	section := func(id byte, body ...byte) []byte {
		return append(wasmbin.AppendU32([]byte{id}, uint32(len(body))), body...)
	}
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	out = append(out, section(wasmbin.TypeSection, 1, 0x60, 0, 1, wasmbin.I32)...)
	functions, exports, code := []byte{byte(len(bodies))}, []byte{1, 2, 'f', '0', byte(wasmbin.Function), 0}, []byte{byte(len(bodies))}
	for _, b := range bodies {
		functions = append(functions, 0)
		body := append(append([]byte{1, 1, wasmbin.I32}, b...), 0x0b)
		code = append(wasmbin.AppendU32(code, uint32(len(body))), body...)
	}
	out = append(out, section(wasmbin.FunctionSection, functions...)...)
	out = append(out, section(wasmbin.TableSection, 1, wasmbin.FuncRef, 0, 2)...)
	out = append(out, section(wasmbin.MemorySection, 1, 0, 1)...)
	out = append(out, section(wasmbin.ExportSection, exports...)...)
	out = append(out, section(wasmbin.ElementSection, 1, 0, 0x41, 0, 0x0b, 2, 0, 0)...)
	return append(out, section(wasmbin.CodeSection, code...)...)
}

var (
	forever  = []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 0}                                                          // loop br 0 end, i32.const 0
	twice    = []byte{0x10, 0, 0x10, 0, 0x6a}                                                                      // call 0, call 0, i32.add: no loop, endless
	indirect = []byte{0x41, 0, 0x11, 0, 0}                                                                         // i32.const 0, call_indirect
	other    = []byte{0x10, 1}                                                                                     // call 1
	fill     = []byte{0x03, 0x40, 0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 4, 0xfc, 0x0b, 0, 0x0c, 0, 0x0b, 0x41, 0}    // loop memory.fill 0 0 65536 br
	grow     = []byte{0xd0, wasmbin.FuncRef, 0x41, 0xff, 0xff, 0xff, 0x7, 0xfc, 0x0f, 0}                           // ref.null, i32.const 16777215, table.grow
	pages    = []byte{0x41, 0xff, 0x3f, 0x40, 0}                                                                   // i32.const 8191, memory.grow
	count    = []byte{0x41, 0xe4, 0, 0x21, 0, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 0} // 100 times round
)

// goLike is a function as Go compiles them: one loop that begins with a choice of where to go on. It goes from behind the first block to
// behind the third one and back, for ever.
var goLike = slices.Concat([]byte{0x03, 0x40, 0x02, 0x40, 0x02, 0x40, 0x02, 0x40}, // loop block block block
	[]byte{0x20, 0, 0x0e, 2, 0, 1, 2, 0x0b},      // local.get 0, br_table 0 1 2, end
	[]byte{0x41, 2, 0x21, 0, 0x0c, 2, 0x0b},      // i32.const 2, local.set 0, br 2 to the loop, end
	[]byte{0x0b},                                 // end
	[]byte{0x41, 0, 0x21, 0, 0x0c, 0, 0x0b, 0x0}) // i32.const 0, local.set 0, br 0 to the loop, end, unreachable

// tree makes functions that call the next one twice each.
func tree(n int) (bodies [][]byte) {
	for i := range n {
		next := byte(i + 1)
		bodies = append(bodies, []byte{0x10, next, 0x10, next, 0x6a})
	}
	return append(bodies, []byte{0x41, 1})
}

// fan makes functions that call the next one some times each.
func fan(n, times int) (bodies [][]byte) {
	for i := range n {
		body := []byte{0x41, 0}
		for range times {
			body = append(body, 0x10, byte(i+1), 0x6a)
		}
		bodies = append(bodies, body)
	}
	return append(bodies, []byte{0x41, 1})
}

func TestNothingRunsAway(t *testing.T) {
	for _, config := range []struct {
		name string
		wazero.RuntimeConfig
	}{{"compiler", wazero.NewRuntimeConfigCompiler()}, {"interpreter", wazero.NewRuntimeConfigInterpreter()}} {
		for _, row := range []struct {
			name   string
			bodies [][]byte
			fuel   int64
			depth  uint32
			want   string // the result, or what ended it
		}{
			{"a loop without end", [][]byte{forever}, 1e6, 0, "out of fuel"},
			{"calls that double, without a loop and not deep", tree(9), 1e3, 0, "out of fuel"},
			{"calls that nest too deep", [][]byte{twice}, 1e9, 0, "too deep"},
			{"calls that nest too deep, through a table", [][]byte{indirect}, 1e9, 0, "too deep"},
			{"two functions that call each other, one through a table", [][]byte{other, indirect}, 1e9, 0, "too deep"},
			{"jumps back and forth by way of a choice", [][]byte{goLike}, 1e6, 0, "out of fuel"},
			{"a loop that calls what calls it, twice, before it looks", [][]byte{
				{0x41, 1, 0x1a, 0x10, 1, 0x1a, 0x10, 1, 0x1a, 0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 0}, // call 1, drop, twice, and a loop
				{0x10, 0}, // call 0
			}, 1e4, 1 << 30, "out of fuel"},
			{"small functions that call the next one ten times each", fan(9, 10), 1e6, 0, "out of fuel"},
			{"memory is filled again and again", [][]byte{fill}, 1e6, 0, "out of fuel"},
			{"a table grows beyond its bound", [][]byte{grow}, 1e9, 0, "-1"},
			{"memory grows beyond its bound", [][]byte{pages}, 1e9, 0, "-1"},
			{"what ends by itself", [][]byte{count}, 1e6, 0, "0"},
		} {
			h := &host{left: row.fuel, slice: 100_000, depth: row.depth}
			m, err := start(t, assembled(row.bodies...), h, config.RuntimeConfig)
			if err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
			got := ""
			if result, err := m.ExportedFunction("f0").Call(t.Context()); err == nil {
				got = fmt.Sprint(int32(result[0]))
			} else if errors.Is(err, errOut) {
				got = "out of fuel"
			} else if errors.Is(err, errDeep) || config.name == "interpreter" && strings.Contains(err.Error(), "stack overflow") { // at 2,000 calls
				got = "too deep"
			} else {
				got = err.Error()
			}
			if got != row.want {
				t.Errorf("%s, %s: got %s, want %s", config.name, row.name, got, row.want)
			}
		}
	}
}

// The price is part of the contract with authors: a change of these figures is a new Version.
func TestThePriceOfCodeIsTheSameEverywhere(t *testing.T) {
	for _, row := range []struct {
		name string
		body []byte
		want int64
	}{
		{"a constant", []byte{0x41, 0}, 2},
		{"a hundred times round a loop of five instructions", count, 1 + 3 + 100*(1+5)},
		{"a branch that is not worth a place is paid for by the code before", []byte{0x41, 0, 0x04, 0x40, 0x41, 0, 0x1a, 0x0b, 0x41, 0}, 1 + 2 + 2 + 1},
		{"a branch that is worth one is paid for when it is taken", slices.Concat([]byte{0x41, 0, 0x04, 0x40}, bytes.Repeat([]byte{0x41, 0, 0x1a}, 70), []byte{0x0b, 0x41, 0}), 1 + 2 + 1},
		{"memory.fill of a page", []byte{0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 4, 0xfc, 0x0b, 0, 0x41, 0}, 1 + 3 + 16 + 65536/32 + 1},
		{"memory.grow by a page", []byte{0x41, 1, 0x40, 0}, 1 + 1 + 16 + 2048},
	} {
		h := &host{left: 1e9, slice: 1e9}
		m, err := start(t, assembled(row.body), h, wazero.NewRuntimeConfigInterpreter())
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if _, err := m.ExportedFunction("f0").Call(t.Context()); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		left := h.left + int64(m.ExportedGlobal(Fuel).Get())
		if got := int64(1e9) - left; got != row.want {
			t.Errorf("%s: costs %d, want %d", row.name, got, row.want)
		}
	}
}

func TestAModuleCannotPretendToBeMetered(t *testing.T) {
	m, err := wasmbin.Read(assembled([]byte{0x41, 0}), wasmbin.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	m.Exports[0].Name = Fuel
	if _, err := Rewrite(m, DefaultLimits); err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("an export named %s: %v", Fuel, err)
	}
}
