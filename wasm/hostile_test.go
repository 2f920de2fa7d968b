package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// What a compiler takes very long for: nesting, values that blocks hand on, branches that do to many places, blocks upon blocks.
func TestWhatTakesLongInOtherWaysIsNotCompiledInThisProcess(t *testing.T) {
	wide := func(n int) func(*parts) { // type 3: (i32 × n) → (i32 × n), type 4: () → (i32 × n)
		values := append(wasmbin.AppendU32(nil, uint32(n)), bytes.Repeat([]byte{0x7f}, n)...)
		return func(p *parts) {
			p.types = append(p.types, slices.Concat([]byte{0x60}, values, values), slices.Concat([]byte{0x60, 0}, values))
		}
	}
	around := func(n int, before, behind []byte) []byte {
		return slices.Concat(bytes.Repeat(before, n), bytes.Repeat(behind, n))
	}
	zero, drop, end := []byte{0x41, 0}, []byte{0x1a}, []byte{0x0b}
	for name, row := range map[string]struct {
		values int
		code   []byte
	}{
		"nesting":            {0, around(9000, []byte{0x03, 0x40}, end)},
		"blocks with values": {800, slices.Concat(bytes.Repeat(zero, 800), around(300, []byte{0x03, 3}, end), bytes.Repeat(drop, 800))},
		"branches with values": {900, slices.Concat([]byte{0x02, 4}, bytes.Repeat(zero, 901), []byte{0x0e}, wasmbin.AppendU32(nil, 20000),
			make([]byte, 20001), end, bytes.Repeat(drop, 900))},
		"loops":      {0, bytes.Repeat([]byte{0x03, 0x40, 0x0b}, 300_000)},
		"conditions": {0, bytes.Repeat([]byte{0x41, 0, 0x04, 0x40, 0x0b}, 200_000)},
	} {
		module := minimal().with(wide(row.values)).with(func(p *parts) { p.codes[2] = slices.Concat([]byte{0}, row.code, end) }).plugin(t)
		if _, err := newHost(t, Config{}).Load(t.Context(), module, Limits{}); !contains(err, "CDCD-2505", "compiling it would take very long") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A trap names the functions that led to it, however long their names are.
func TestNamesInStacksAreBounded(t *testing.T) {
	name := append(wasmbin.AppendU32(nil, 3<<20), strings.Repeat("ä", 3<<19)...)
	list := slices.Concat([]byte{1, 1}, name)
	section := slices.Concat([]byte{1}, wasmbin.AppendU32(nil, uint32(len(list))), list)
	module := append(minimal().with(func(p *parts) { p.codes[1] = []byte{0, 0, 0x0b} }).plugin(t), section0("name", string(section))...)
	verdicts := make([]cdc.Verdict, 1)
	if err := filter(t, load(t, newHost(t, Config{}), module, Limits{}), "").Judge(t.Context(), acts(t, act{}), verdicts); err != nil {
		t.Fatal(err)
	}
	var trap *Trap
	if !errors.As(verdicts[0].Err, &trap) || len(trap.Stack) != 1 || len(trap.Stack[0]) > 300 {
		t.Errorf("got a stack of %d bytes, %v", len(fmt.Sprint(trap.Stack)), verdicts[0].Err)
	}
}

// A pattern of a few thousand bytes stands for gigabytes when its repetitions are written out.
func TestPatternsOfASchemaAreBounded(t *testing.T) {
	manifest := func(pattern string) []byte {
		return []byte(`{"abi":"cdc1","name":"a","version":"1.0.0","config":{"properties":{"x":{"pattern":"` + pattern + `"}}}}`)
	}
	for _, pattern := range []string{strings.Repeat("a{1000}", 3000), strings.Repeat(`\\pL{20}`, 3000), strings.Repeat(`\\pL`, 10_000)} {
		if _, err := ParseManifest(manifest(pattern)); !contains(err, "CDCD-2503", "its patterns are too large") {
			t.Errorf("%.20s…: %.200v", pattern, err)
		}
	}
	m, err := ParseManifest(manifest(`^[A-Z]{2}\\p{L}{1,64}$`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.CheckConfig([]byte(`{"x":"x"}`)); cdc.CodeOf(err) != "CDCD-2504" {
		t.Errorf("got %v", err)
	}
}

// Names in a module do not write to terminals.
func TestErrorsAreInALine(t *testing.T) {
	module := minimal().with(func(p *parts) { p.exports = append(p.exports, named("cdc:\x1b[2J\nforged", 0, 2)) }).plugin(t)
	if _, err := newHost(t, Config{}).Load(t.Context(), module, Limits{}); !contains(err, "CDCD-2501", `'cdc:\x1b[2J\nforged'`) {
		t.Errorf("got %q", err)
	}
}

// A host that is closed while it loads lets go of what it has loaded.
func TestClosingAHostThatLoads(t *testing.T) {
	var h *Host
	h = newHost(t, Config{Compile: func(ctx context.Context, module []byte, dir string) error {
		return errors.Join(Compile(ctx, module, dir), h.Close())
	}})
	if p, err := h.Load(t.Context(), cguest(t), Limits{}); err == nil || p != nil || len(h.plugins) > 0 {
		t.Errorf("got %v, %v", p, err)
	}
}

// Two processes that compile the same module use what the faster one has made: it is not taken away from it.
func TestTwoHostsFillOneFolder(t *testing.T) {
	dir := t.TempDir()
	made := func() (all []string) {
		all, _ = filepath.Glob(filepath.Join(dir, "*", sealFile))
		return all
	}
	var first os.FileInfo
	slower := newHost(t, Config{Dir: dir, Compile: func(ctx context.Context, module []byte, into string) error {
		load(t, newHost(t, Config{Dir: dir}), cguest(t), Limits{})
		first, _ = os.Stat(made()[0])
		return Compile(ctx, module, into)
	}})
	load(t, slower, cguest(t), Limits{})
	if now, err := os.Stat(made()[0]); err != nil || len(made()) != 1 || !os.SameFile(now, first) {
		t.Errorf("made are %q, %v", made(), err)
	}
}
