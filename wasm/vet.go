package wasm

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/meter"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Info is what can be said about a module without running it.
type Info struct {
	Manifest  *Manifest
	Digest    string   // "sha256:…" of the module
	Bytes     int      // of the module
	Imports   []string // "cdc1.log"
	Exports   []string
	Functions int    // of its own
	Code      int    // bytes of them
	Data      int    // bytes of the data section
	Memory    uint32 // pages of 64 KiB that it begins with
	MaxMemory uint32 // that it may have by its own word; 0: it does not say

	// Restorable says that its pristine state is brought back by copying its memory. One that alters tables or drops segments is
	// started anew instead, which takes longer.
	Restorable bool
}

// Digest returns the identity of a module.
func Digest(module []byte) string {
	sum := sha256.Sum256(module)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Inspect says what a module is, without running it. With an error that says why it is not a plugin comes what could be read, which
// is nil if it is not even a module.
func Inspect(module []byte) (*Info, error) {
	_, info, err := inspect(module)
	return info, err
}

func inspect(module []byte) (*wasmbin.Module, *Info, error) {
	m, err := wasmbin.Read(module, vetting())
	if err != nil {
		return nil, nil, refused(err)
	}
	info := &Info{Digest: Digest(module), Bytes: len(module), Functions: len(m.Bodies), Restorable: restorable(m)}
	for _, i := range m.Imports {
		info.Imports = append(info.Imports, i.Module+"."+i.Name)
	}
	for _, e := range m.Exports {
		info.Exports = append(info.Exports, e.Name)
	}
	if len(m.Memories) > 0 {
		info.Memory, info.MaxMemory = m.Memories[0].Min, m.Memories[0].Max
	}
	var manifests [][]byte
	for _, s := range m.Sections {
		switch {
		case s.ID == wasmbin.CodeSection:
			info.Code = len(s.Body)
		case s.ID == wasmbin.DataSection:
			info.Data = len(s.Body)
		case s.ID == wasmbin.CustomSection && s.Name == ManifestSection:
			manifests = append(manifests, s.Body)
		}
	}
	if err := vetImports(m); err != nil {
		return m, info, err
	}
	if err := vetExports(m); err != nil {
		return m, info, err
	}
	if len(manifests) != 1 {
		return m, info, cdc.Errorf("CDCD-2503", "the module has %d manifests (custom sections %q); a plugin has one", len(manifests), ManifestSection).
			WithFix("put the manifest in with: cdcd plugin build")
	}
	info.Manifest, err = ParseManifest(manifests[0])
	return m, info, err
}

// vetting is what a module is vetted by. How much memory it may begin with is the operator's to say, and seen to when it is metered.
func vetting() wasmbin.Limits {
	l := wasmbin.DefaultLimits
	l.MemoryPages = 65536
	return l
}

// refused is the error of a module that is not vetted.
func refused(err error) *cdc.Error {
	e := cdc.Errorf("CDCD-2501", "the module is refused: %w", err)
	var at *wasmbin.Error
	if errors.As(err, &at) && strings.Contains(at.What, "component") {
		return e.WithFix("build a core module: Go GOOS=wasip1 GOARCH=wasm -buildmode=c-shared, Rust --target wasm32-unknown-unknown or wasm32-wasip1 " +
			"(not wasip2), C --target=wasm32; or unbundle the component")
	}
	return e.WithFix("build a core module of WebAssembly 2.0 without threads, tail calls, exceptions and garbage collection; see wasm/ABI.md")
}

// restorable says whether memory and variables are all that can change in the module.
func restorable(m *wasmbin.Module) bool {
	const tableSet, dataDrop, elemDrop = 0x26, 0xfc09, 0xfc0d
	for _, g := range m.Globals {
		if g.Mutable && (g.Type == wasmbin.V128 || g.Type == wasmbin.FuncRef || g.Type == wasmbin.ExternRef) {
			return false
		}
	}
	for i := range m.Bodies {
		code := m.Bodies[i].Walk()
		for in, ok := code.Next(); ok; in, ok = code.Next() {
			switch in.Op {
			case tableSet, dataDrop, elemDrop, wasmbin.TableGrow, wasmbin.TableFill, wasmbin.TableCopy, wasmbin.TableInit:
				return false
			}
		}
	}
	return true
}

func vetImports(m *wasmbin.Module) error {
	for _, i := range m.Imports {
		what := i.Module + "." + i.Name
		fail := func(format string, args ...any) *cdc.Error {
			return cdc.Errorf("CDCD-2502", "the module imports %s: %w", printable(what), fmt.Errorf(format, args...))
		}
		if i.Kind != wasmbin.Function {
			return fail("a %s; plugins have their own", i.Kind).WithFix("link it with a memory and tables of its own: no --import-memory, no --import-table")
		}
		f := slices.IndexFunc(hostFunctions, func(f hostFunction) bool { return f.module == i.Module && f.name == i.Name })
		if f < 0 {
			capability, fix := missing(i.Module, i.Name)
			return fail("%s", capability).WithFix("%s", fix)
		}
		want := hostFunctions[f].signature()
		if got := signature(m.Types[i.Type].Params, m.Types[i.Type].Results); got != want {
			return fail("as %s, but it is %s", got, want).WithFix("declare it as wasm/ABI.md does, or use an SDK")
		}
	}
	return nil
}

// missing names what the module wants, in words, and what to do without it.
func missing(module, name string) (capability, fix string) {
	const offered = "plugins may import cdc1.log, cdc1.metric, cdc1.json and what wasm/ABI.md lists of wasi_snapshot_preview1"
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	switch {
	case module == "wasi_snapshot_preview1" || module == "wasi_unstable":
		switch {
		case module == "wasi_unstable":
			return "an older WASI, which is not offered", "build it for wasm32-wasip1 (wasi_snapshot_preview1)"
		case has("path_", "fd_"):
			return "access to files, which plugins do not have", "give it what it needs in its configuration; link without what opens files"
		case has("sock_"):
			return "access to the network, which plugins do not have", "have it judge by what is in the change and in its configuration"
		case has("proc_"):
			return "access to processes, which plugins do not have", "take out what raises signals"
		}
		return "a function of WASI that plugins do not have", offered
	case strings.HasPrefix(module, "wasi:"):
		return "an interface of WASI 0.2, which plugins do not have", "build it for wasm32-wasip1, or GOOS=wasip1 GOARCH=wasm"
	case module == ABI:
		return "a function of the interface that this version of cdcd does not have", "upgrade cdcd, or build the plugin with an older SDK"
	case strings.HasPrefix(module, meter.Reserved):
		return "a name that is reserved", "use another one"
	case module == "env" && name == "abort":
		return "a function of the environment, which there is none of", "AssemblyScript: asc --use abort=, as the SDK does; C: link without undefined symbols"
	case module == "gojs" || module == "go":
		return "a browser", "build it with GOOS=wasip1 GOARCH=wasm -buildmode=c-shared"
	case strings.HasPrefix(module, "__wbindgen") || strings.HasPrefix(module, "wbg"):
		return "a browser", "build it without wasm-bindgen"
	case module == "env":
		return "a function that nobody defines", "link all that it calls: clang without -Wl,--allow-undefined names what is missing"
	}
	return "a capability that plugins do not have", offered
}

func vetExports(m *wasmbin.Module) error {
	exports := map[string]wasmbin.Export{}
	for _, e := range m.Exports {
		exports[e.Name] = e
	}
	fail := func(format string, args ...any) *cdc.Error {
		return cdc.Errorf("CDCD-2501", "the module is not a plugin: %w", fmt.Errorf(format, args...))
	}
	const sdk = "use an SDK (cdcd plugin new), or export what wasm/ABI.md lists"
	_, program := exports["_start"]
	_, reactor := exports["_initialize"]
	if program && !reactor {
		return fail("it exports _start and no _initialize, so it is a program that runs once").
			WithFix("build a reactor: Go -buildmode=c-shared, Rust --crate-type cdylib, C -mexec-model=reactor")
	}
	if _, ok := exports[marker]; !ok {
		return fail("it does not export %s", marker).WithFix(sdk)
	}
	if e, ok := exports["memory"]; !ok || e.Kind != wasmbin.Memory {
		return fail("it does not export its memory as \"memory\"").WithFix(sdk)
	}
	for _, f := range []struct {
		name, signature string
		optional        bool
	}{
		{exportArena, "(i32, i32) → i32", false},
		{exportBatch, "(i32) → i32", false},
		{exportInit, "(i32) → i32", true},
		{exportStart, "() → ()", true},
	} {
		e, ok := exports[f.name]
		if !ok {
			if f.optional {
				continue
			}
			return fail("it does not export %s", f.name).WithFix(sdk)
		}
		if e.Kind != wasmbin.Function {
			return fail("its export %s is a %s, not a function", f.name, e.Kind).WithFix(sdk)
		}
		t := m.Types[m.Funcs[e.Index]]
		if got := signature(t.Params, t.Results); got != f.signature {
			return fail("its export %s is %s; it has to be %s", f.name, got, f.signature).WithFix(sdk)
		}
	}
	return nil
}

// The exports of a plugin.
const (
	marker      = "cdc_abi_1"
	exportArena = "cdc_arena"
	exportBatch = "cdc_batch"
	exportInit  = "cdc_init"
	exportStart = "_initialize"
)

func signature(params, results []byte) string {
	list := func(types []byte) string {
		names := make([]string, len(types))
		for i, t := range types {
			if names[i] = api.ValueTypeName(t); t == wasmbin.V128 {
				names[i] = "v128"
			}
		}
		return strings.Join(names, ", ")
	}
	if len(results) == 1 {
		return "(" + list(params) + ") → " + list(results)
	}
	return "(" + list(params) + ") → (" + list(results) + ")"
}
