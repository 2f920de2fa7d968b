package hostile

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
	"github.com/cdcd-project/cdcd/wasm"
)

// sections are what a module may announce too much of.
var huge = []byte{0xff, 0xff, 0xff, 0xff, 0x0f}

func raw(parts ...[]byte) []byte {
	return append([]byte{0, 'a', 's', 'm', 1, 0, 0, 0}, bytes.Join(parts, nil)...)
}

// compileBomb is a function of loops in loops that all change all of its variables: the compiler takes a time that grows with
// the fourth power of n. It is valid, and small.
func compileBomb(n int) []byte {
	body := bytes.Repeat([]byte{0x03, 0x40}, n)
	for i := range n {
		body = append(body, asm.Seq(asm.Get(i), asm.Const32(1), asm.Add32, asm.Set(i), asm.Const32(1), asm.BrIf(0), asm.Op(0x0b))...)
	}
	return with(func(m *asm.Module) {
		m.Funcs = append(m.Funcs, asm.Func{Locals: strings.Repeat(asm.I32, n), Code: body})
	})
}

// schemaBomb is a schema of a few hundred bytes that is checked in 2^n steps.
func schemaBomb(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref": "#/$defs/d0", "$defs": {`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d": {"allOf": [{"$ref": "#/$defs/d%d"}, {"$ref": "#/$defs/d%d"}]}, `, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d": {}}}`, n)
	return b.String()
}

func withManifest(text string) []byte {
	return with(func(m *asm.Module) { m.Custom[0].Body = []byte(text) })
}

func withConfig(schema string) []byte {
	return withManifest(strings.TrimSuffix(manifest, "}") + `, "config": ` + schema + `}`)
}

func TestHostileModulesAreRefusedBeforeTheyRun(t *testing.T) {
	start := func(code []byte) []byte {
		return with(func(m *asm.Module) {
			m.Funcs = append(m.Funcs, asm.Func{Code: code})
			m.Start = fnOther
		})
	}
	initialize := func(code []byte) []byte {
		return with(func(m *asm.Module) { m.Funcs = append(m.Funcs, asm.Func{Export: "_initialize", Code: code}) })
	}
	cdcInit := func(code []byte) []byte {
		return with(func(m *asm.Module) {
			m.Funcs = append(m.Funcs, asm.Func{Export: "cdc_init", Params: asm.I32, Results: asm.I32, Code: code})
		})
	}
	arena := func(code []byte) []byte { return with(func(m *asm.Module) { m.Funcs[0].Code = code }) }
	for _, row := range []struct {
		name   string
		module []byte
		want   string // code
		text   string // of the error
	}{
		{"four billion imports in 13 bytes", raw([]byte{wasmbin.ImportSection, 5}, huge), "CDCD-2501", "are announced"},
		{"four billion segments", raw(asm.Section(wasmbin.DataSection, huge)), "CDCD-2501", "are announced"},
		{"a function with four billion variables", raw(asm.Section(wasmbin.TypeSection, []byte{1, 0x60, 0, 0}), asm.Section(wasmbin.FunctionSection, []byte{1, 0}),
			asm.Section(wasmbin.CodeSection, asm.Seq([]byte{1, 8, 1}, huge, []byte{wasmbin.I32, 0x0b}))), "CDCD-2501", "locals"},
		{"hundred thousand segments and one", with(func(m *asm.Module) { m.Data = make([]asm.Data, 100_001) }), "CDCD-2501", "data segments"},
		{"a memory of four gigabytes", with(func(m *asm.Module) { m.Pages = 65536 }), "CDCD-2501", "pages of 64 KiB"},
		{"a table of forty million entries", with(func(m *asm.Module) { m.Tables = []asm.Table{{Min: 40_000_000}} }), "CDCD-2501", "entries of a table"},
		{"blocks in blocks in blocks", judging(bytes.Repeat([]byte{0x02, 0x40}, 20_000), bytes.Repeat([]byte{0x0b}, 20_000)), "CDCD-2501", "nested"},
		{"a megabyte of custom sections", raw(bytes.Repeat(asm.Section(wasmbin.CustomSection, []byte{1, 'x'}), 250_000)), "CDCD-2501", "custom sections"},
		{"loops in loops that make the compiler run away", compileBomb(500), "CDCD-2505", "would take very long"},
		{"files", with(func(m *asm.Module) { m.Imports[0].Module, m.Imports[0].Name = "wasi_snapshot_preview1", "path_open" }), "CDCD-2502", "access to files"},
		{"the meter's own function", with(func(m *asm.Module) { m.Imports[0].Module, m.Imports[0].Name = "cdc:meter", "yield" }), "CDCD-2502", "reserved"},
		{"an import of another type", with(func(m *asm.Module) { m.Imports[0].Params = asm.I64 }), "CDCD-2502", "declare it"},
		{"fuel of its own", with(func(m *asm.Module) { m.Exports = append(m.Exports, asm.Export{Name: "cdc:fuel", Kind: wasmbin.Global}) }), "CDCD-2501", "reserved"},
		{"a variable that is the host's", with(func(m *asm.Module) {
			m.Exports = append(m.Exports, asm.Export{Name: "cdc:var.0", Kind: wasmbin.Global})
		}), "CDCD-2501", "reserved"},
		{"a global that metering will add", judging(asm.Const64(1<<60), asm.GlobalSet(2)), "CDCD-2501", "there is no global 2"},
		{"two manifests", with(func(m *asm.Module) { m.Custom = append(m.Custom, m.Custom[0]) }), "CDCD-2503", "2 manifests"},
		{"a manifest of brackets", withConfig(strings.Repeat(`{"allOf":[`, 20_000)), "CDCD-2503", "manifest"},
		{"a manifest that is large", withManifest(`{"abi":"` + strings.Repeat("x", 1<<20) + `"}`), "CDCD-2503", "at most"},
		{"a name that is a path", withManifest(strings.Replace(manifest, "hostile", "../../etc/passwd", 1)), "CDCD-2503", "name"},
		{"a schema from elsewhere", withConfig(`{"$ref": "file:///etc/passwd"}`), "CDCD-2503", "must not refer"},
		{"a schema from the network", withConfig(`{"$ref": "http://169.254.169.254/"}`), "CDCD-2503", "must not refer"},
		{"a schema that refers to itself", withConfig(`{"$ref": "#"}`), "CDCD-2504", "cycle"},
		{"a schema that doubles", withConfig(schemaBomb(60)), "CDCD-2503", "very long to check"},
		{"a schema of huge numbers", withConfig(`{"enum": [` + strings.Repeat("1e999999, ", 20_000) + `1]}`), "CDCD-2503", "too large an exponent"},
		{"a schema of small numbers", withConfig(`{"enum": [` + strings.Repeat("1e-999999, ", 20_000) + `1]}`), "CDCD-2503", "too large an exponent"},
		{"a schema of hundreds of levels", withConfig(strings.Repeat(`{"not": `, 5000) + "{}" + strings.Repeat("}", 5000)), "CDCD-2503", ""},

		{"a start function without end", start(forever), "CDCD-2506", "fuel"},
		{"a start function that gives up", start(asm.Unreachable), "CDCD-2506", "gave up"},
		{"a start function that exits", start(asm.Seq(asm.Const32(0), asm.Call(hostExit))), "CDCD-2506", "proc_exit(0)"},
		{"a start function that asks for changes", start(asm.Seq(asm.Const32(0), asm.Const32(-1), asm.Const32(-1), asm.Call(hostJSON), asm.Drop, asm.Unreachable)), "CDCD-2506", "gave up"},
		{"a start function that calls itself", start(asm.Call(fnOther)), "CDCD-2506", "nested too deep"},
		{"a start function that copies for ever", start(asm.Loop(asm.Const32(0), asm.Const32(0), asm.Const32(1<<18), asm.MemoryCopy, asm.Br(0))), "CDCD-2506", "fuel"},
		{"_initialize without end", initialize(forever), "CDCD-2506", "fuel"},
		{"cdc_init without end", cdcInit(asm.Seq(forever, asm.Const32(0))), "CDCD-2506", "fuel"},
		{"cdc_init that complains of two gigabytes", cdcInit(asm.Const32(1<<31 - 1)), "CDCD-2504", "configuration"},
		{"cdc_init that complains of less than nothing", cdcInit(asm.Const32(-1)), "CDCD-2504", "does not say why"},
		{"a segment beyond the memory", with(func(m *asm.Module) { m.Data = []asm.Data{{Offset: 1 << 30, Bytes: []byte("x")}} }), "CDCD-2506", "beyond its memory"},
		{"no arena", arena(asm.Const32(0)), "CDCD-2506", "it has no 272 bytes"},
		{"an arena that is not aligned", arena(asm.Const32(1025)), "CDCD-2506", "not aligned"},
		{"an arena beyond the memory", arena(asm.Const32(1 << 18)), "CDCD-2506", "not within its memory"},
		{"an arena at the end of all addresses", arena(asm.Const32(-8)), "CDCD-2506", "not within its memory"},
		{"one arena for both", arena(asm.Const32(1024)), "CDCD-2506", "overlap"},
		{"an arena without end", arena(asm.Seq(forever, asm.Const32(0))), "CDCD-2506", "fuel"},
		{"an arena that calls itself", arena(asm.Seq(asm.Get(0), asm.Get(1), asm.Call(fnArena))), "CDCD-2506", "nested too deep"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHost(t, wasm.Config{})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			_, err := begin(t, h, row.module, wasm.Limits{Start: 50_000_000})
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if got := code(err); got != row.want || !strings.Contains(fmt.Sprint(err), row.text) && !strings.Contains(fix(err), row.text) {
				t.Errorf("got %s: %v (%s)\nwant %s with %s", got, err, fix(err), row.want, row.text)
			}
			if took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			if grew := int64(after.TotalAlloc - before.TotalAlloc); grew > 64<<20 {
				t.Errorf("it made the host allocate %d MiB", grew>>20)
			}
			if used := h.Memory(); used != 0 {
				t.Errorf("%d bytes of the budget are gone", used)
			}
		})
	}
}

// Where a compiler runs in a process of its own, what makes it run away ends there, within its limits.
func TestACompilerThatRunsAwayIsEnded(t *testing.T) {
	h := newHost(t, wasm.Config{Dir: t.TempDir(), Compile: compileApart})
	began := time.Now()
	_, err := begin(t, h, compileBomb(900), wasm.Limits{})
	if code(err) != "CDCD-2505" || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if f, err := begin(t, h, harmless().Bytes(), wasm.Limits{}); err != nil {
		t.Errorf("the next plugin: %v", err)
	} else if got := verdicts(t, f, changes(t, 1)); got[0] != "keep" {
		t.Errorf("the next plugin: %s", got)
	}
}
