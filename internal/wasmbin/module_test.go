package wasmbin

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func moduleOf(sections ...[]byte) []byte {
	return append(bytes.Clone(preamble), bytes.Join(sections, nil)...)
}

func section(id byte, body ...byte) []byte {
	return append(AppendU32([]byte{id}, uint32(len(body))), body...)
}

var (
	types     = section(TypeSection, 1, 0x60, 0, 0)
	functions = section(FunctionSection, 1, 0)
	memory    = section(MemorySection, 1, 0, 1)
)

// function is the code section of one function without locals.
func function(code ...byte) []byte {
	body := append([]byte{0}, code...)
	return section(CodeSection, append(AppendU32([]byte{1}, uint32(len(body))), body...)...)
}

func TestWhatMustNotReachTheCompilerIsRefusedWithItsPlace(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, row := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"nothing", nil, "at byte 0: it is not a WebAssembly module of version 1"},
		{"a text", []byte("(module)"), "at byte 0: it is not a WebAssembly module of version 1"},
		{"a component", []byte{0, 'a', 's', 'm', 13, 0, 1, 0}, "at byte 4: it is a component, not a core module: build it for wasm32-wasip1, or GOOS=wasip1 GOARCH=wasm"},
		{"four billion imports in 15 bytes", moduleOf(section(ImportSection, huge...)), "at byte 15: 4294967295 imports are announced in 0 bytes"},
		{"four billion types", moduleOf(section(TypeSection, huge...)), "at byte 15: 4294967295 types are announced in 0 bytes"},
		{"four billion locals", moduleOf(types, functions, section(CodeSection, append([]byte{1, 8, 1}, append(huge, I32, 0x0b)...)...)), "at byte 29: 4294967295 locals; at most 50000 are read"},
		{"a section beyond the end", moduleOf([]byte{TypeSection, 100, 0}), "at byte 10: 100 bytes are announced and 1 are left"},
		{"a section that is longer than what is in it", moduleOf(section(TypeSection, 0, 0)), "at byte 11: the type section is longer than what is in it"},
		{"sections out of order", moduleOf(memory, types), "at byte 13: the type section is doubled or out of order"},
		{"a section twice", moduleOf(types, types), "at byte 14: the type section is doubled or out of order"},
		{"a section of a later version", moduleOf([]byte{13, 0}), "at byte 8: there is no section 13 in WebAssembly 2.0"},
		{"a function without code", moduleOf(types, functions), "at byte 18: 1 functions are declared and 0 are there"},
		{"a function that does not end", moduleOf(types, functions, function(0x01)), "at byte 24: it ends too early"},
		{"code behind a function's end", moduleOf(types, functions, function(0x0b, 0x01)), "at byte 24: there is code behind the end of a function"},
		{"a global that is not there, but would be when metering adds it", moduleOf(types, functions, function(0x23, 0, 0x1a, 0x0b)), "at byte 25: there is no global 0"},
		{"a function that is not there", moduleOf(types, functions, function(0x10, 1, 0x0b)), "at byte 25: there is no function 1"},
		{"a local that is not there", moduleOf(types, functions, function(0x20, 0, 0x1a, 0x0b)), "at byte 25: there is no local 0"},
		{"a tail call", moduleOf(types, functions, function(0x12, 0, 0x0b)), "at byte 23: tail calls are not supported: build without the feature tail-call"},
		{"an atomic instruction", moduleOf(types, functions, function(0xfe, 0, 0x0b)), "at byte 23: threads are not supported: build without the features atomics and shared memory"},
		{"an exception", moduleOf(types, functions, function(0x06, 0x40, 0x0b, 0x0b)), "at byte 23: exceptions are not supported: build without the feature exception-handling"},
		{"a shared memory", moduleOf(section(MemorySection, 1, 3, 1, 1)), "at byte 12: a memory or table of another kind than WebAssembly 2.0 has (shared, or of 64 bits)"},
		{"two memories", moduleOf(section(MemorySection, 2, 0, 1, 0, 1)), "at byte 11: 2 memories; at most 1 are read"},
		{"a thousand custom sections and one", moduleOf(bytes.Repeat(section(CustomSection, 1, 'x'), 1001)), "at byte 4008: there are more than 1000 custom sections"},
		{"half a million references to functions, each of which takes a byte", moduleOf(types, functions, section(TableSection, 1, FuncRef, 0, 1),
			section(ElementSection, append([]byte{6}, bytes.Repeat(append([]byte{0, 0x41, 0, 0x0b}, append(AppendU32(nil, 100_000), make([]byte, 100_000)...)...), 6)...)...)),
			"at byte 500072: functions are named in more than 500000 places"},
		{"a memory of a gigabyte", moduleOf(section(MemorySection, 1, 0, 0x80, 0x80, 1)), "at byte 15: 16384 pages of memory at first; at most 512 are allowed"},
		{"a table of a million entries", moduleOf(section(TableSection, 1, FuncRef, 0, 0xc0, 0x84, 0x3d)), "at byte 16: 1000000 entries of a table at first; at most 100000 are allowed"},
	} {
		_, err := Read(row.wasm, DefaultLimits)
		if got := fmt.Sprint(err); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, got, row.want)
		}
	}
	if _, err := Read(moduleOf(types, functions, memory, function(0x03, 0x40, 0x0b, 0x0b)), DefaultLimits); err != nil {
		t.Error(err)
	}
}

func TestReadingTakesNoMoreMemoryThanTheModuleIsLarge(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0x7f}
	for id := range DataCountSection + 1 {
		wasm := moduleOf(section(id, append(huge, make([]byte, 1000)...)...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(wasm, DefaultLimits)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("section %d: %d bytes of memory for %d of module (%v)", id, took, len(wasm), err)
		}
	}
}

func TestNumbersAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []int64{0, 1, -1, 63, 64, -64, -65, 127, 128, 1 << 31, -1 << 31, 1<<62 + 1, -1 << 63, 1<<63 - 1} {
		r := &reader{b: AppendS64(nil, n)}
		if got := r.sleb(64); got != n || r.failed() || r.left() > 0 {
			t.Errorf("%d: got %d (%v)", n, got, r.err)
		}
		if u := uint32(n); uint64(u) == uint64(n) {
			r := &reader{b: AppendU32(nil, u)}
			if got := r.u32(); got != u || r.failed() || r.left() > 0 {
				t.Errorf("%d: got %d (%v)", u, got, r.err)
			}
		}
	}
	for name, b := range map[string][]byte{
		"33 bits in 32": {0xff, 0xff, 0xff, 0xff, 0x1f}, "six bytes": {0x80, 0x80, 0x80, 0x80, 0x80, 0}, "no end": {0x80},
	} {
		r := &reader{b: b}
		if n := r.u32(); !r.failed() {
			t.Errorf("%s: %d", name, n)
		}
	}
	for name, b := range map[string][]byte{"too large": {0xff, 0xff, 0xff, 0xff, 0x4f}, "too small": {0x80, 0x80, 0x80, 0x80, 0x70}} {
		r := &reader{b: b}
		if n := r.sleb(32); !r.failed() {
			t.Errorf("%s: %d", name, n)
		}
	}
}

func TestAnEndlessNumberIsRefused(t *testing.T) {
	wasm := moduleOf([]byte{TypeSection}, bytes.Repeat([]byte{0x80}, 1000))
	if _, err := Read(wasm, DefaultLimits); err == nil || !strings.Contains(err.Error(), "larger than 32 bits") {
		t.Error(err)
	}
}
