package meter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Version changes when the same module is rewritten in another way.
const Version = 7

// The names that a rewritten module has besides its own. They begin with what no module may use, see [Reserved].
const (
	HostModule = "cdc:meter" // of the import
	Yield      = "yield"     // called with no arguments when fuel is below zero or depth is above its limit, and between pieces
	Fuel       = Reserved + "fuel"
	Depth      = Reserved + "depth"
	Variable   = Reserved + "var." // and the index of a global of the module
)

// Reserved is how the names begin that a module must not export.
const Reserved = "cdc:"

// Limits are what the rewritten module cannot get beyond.
type Limits struct {
	Pages uint32 // of 64 KiB, of the memory
	Table uint32 // entries of a table
	Depth uint32 // of nested calls, in words of 8 bytes of their frames; package documentation
}

// DefaultLimits are those of plugins: 32 MiB of memory, and a stack that stays within some megabytes.
var DefaultLimits = Limits{Pages: 512, Table: 100_000, Depth: 256 << 10}

// Cost returns what an instruction costs. It is part of what plugin authors measure: changing it changes [Version].
func Cost(op wasmbin.Op) int64 {
	switch op {
	case wasmbin.Block, wasmbin.Loop, wasmbin.Else, wasmbin.End, 0x01: // nop
		return 0
	case wasmbin.Call, wasmbin.CallIndirect:
		return 8
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82: // integer division
		return 8
	case 0x91, 0x95, 0x9f, 0xa3: // division and square root of floats
		return 4
	case wasmbin.MemoryGrow, wasmbin.TableGrow, wasmbin.MemoryInit, wasmbin.MemoryCopy, wasmbin.MemoryFill, wasmbin.TableInit, wasmbin.TableCopy, wasmbin.TableFill:
		return 16 // and more for the length
	}
	return 1
}

// lengthCost returns how far the length that an instruction is given is shifted to the right to be its further cost; ok is
// false for instructions without one.
func lengthCost(op wasmbin.Op) (shift int, ok bool) {
	switch op {
	case wasmbin.MemoryInit, wasmbin.MemoryCopy, wasmbin.MemoryFill:
		return 5, true // 32 bytes
	case wasmbin.TableInit, wasmbin.TableCopy, wasmbin.TableFill, wasmbin.TableGrow:
		return 1, true
	case wasmbin.MemoryGrow:
		return -11, true // a page is 64 KiB
	}
	return 0, false
}

// Rewrite returns the metered module.
func Rewrite(m *wasmbin.Module, limits Limits) ([]byte, error) {
	return rewrite(m, limits, false)
}

// Bare returns the module with the code that it came with: it exports what a metered one does, but nothing counts and nothing
// stops it. What a metered module computes is compared with it.
func Bare(m *wasmbin.Module, limits Limits) ([]byte, error) {
	return rewrite(m, limits, true)
}

func rewrite(m *wasmbin.Module, limits Limits, bare bool) ([]byte, error) {
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, Reserved) {
			return nil, fmt.Errorf("it exports '%.40s': names that begin with '%s' are reserved", e.Name, Reserved)
		}
	}
	for i, r := range m.Memories {
		if r.Min > limits.Pages {
			return nil, fmt.Errorf("memory %d has %d pages of 64 KiB at first; at most %d are allowed", i, r.Min, limits.Pages)
		}
	}
	for i, t := range m.Tables {
		if t.Min > limits.Table {
			return nil, fmt.Errorf("table %d has %d entries at first; at most %d are allowed", i, t.Min, limits.Table)
		}
	}
	if m.ImportedTables+m.ImportedMemories+m.ImportedGlobals > 0 {
		return nil, fmt.Errorf("it imports a table, a memory or a global; plugins have their own")
	}
	w := &rewriter{m: m, limits: limits, bare: bare}
	w.yield = uint32(m.ImportedFuncs)
	w.fuel = uint32(len(m.Globals))
	w.depth = w.fuel + 1
	if !bare {
		w.calls = graph(m)
		w.price()
	}
	out := w.module()
	if w.over {
		return nil, fmt.Errorf("metered, its code has more than %d bytes", maxCode)
	}
	return out, nil
}

// maxCode is how large the code may become: each instruction that is charged for itself makes ten more.
const maxCode = 64 << 20

type rewriter struct {
	m      *wasmbin.Module
	limits Limits
	calls  *callGraph
	bare   bool // the code stays as it is

	yield       uint32 // index of the function
	fuel, depth uint32 // indexes of the globals
	over        bool   // there would be more than maxCode

	prices  []price  // of the functions
	checked []bool   // functions that must look themselves whether there is fuel
	blocks  []string // results of blocks that need a type of their own, which is appended behind that of yield
}

// price finds the prices of all functions, of those that are called before those that call them.
func (w *rewriter) price() {
	w.prices = make([]price, len(w.m.Funcs))
	w.checked = make([]bool, len(w.m.Funcs))
	for i := range w.m.ImportedFuncs {
		w.prices[i] = price{known: true, paid: true} // what it does is the host's to bound
	}
	f := &function{rewriter: w}
	for _, number := range w.calls.order {
		if i := int(number) - w.m.ImportedFuncs; i >= 0 && i < len(w.m.Bodies) {
			w.prices[number] = f.places(number, &w.m.Bodies[i])
		}
	}
}

// blockType returns the type of a block with these results.
func (w *rewriter) blockType(results []byte) []byte {
	switch len(results) {
	case 0:
		return []byte{0x40}
	case 1:
		return results
	}
	i := slices.Index(w.blocks, string(results))
	if i < 0 {
		i = len(w.blocks)
		w.blocks = append(w.blocks, string(results))
	}
	return wasmbin.AppendS64(nil, int64(len(w.m.Types)+1+i))
}

// types returns the types that are appended.
func (w *rewriter) types() (n uint32, out []byte) {
	out = []byte{0x60, 0, 0} // of yield
	for _, results := range w.blocks {
		out = append(out, 0x60, 0)
		out = appendName(out, results)
	}
	return uint32(1 + len(w.blocks)), out
}

// module writes all sections, those that are missing among them.
func (w *rewriter) module() []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	put := func(id byte, body []byte) {
		out = append(out, id)
		out = wasmbin.AppendU32(out, uint32(len(body)))
		out = append(out, body...)
	}
	var code []byte
	if !w.bare {
		code = w.code()
	}
	bodies := map[byte]wasmbin.Section{}
	for _, s := range w.m.Sections {
		if s.ID != wasmbin.CustomSection {
			bodies[s.ID] = s
		}
	}
	for _, id := range [...]byte{wasmbin.TypeSection, wasmbin.ImportSection, wasmbin.FunctionSection, wasmbin.TableSection, wasmbin.MemorySection, wasmbin.GlobalSection,
		wasmbin.ExportSection, wasmbin.StartSection, wasmbin.ElementSection, wasmbin.DataCountSection, wasmbin.CodeSection, wasmbin.DataSection} {
		s, there := bodies[id]
		if w.bare && (id == wasmbin.TypeSection || id == wasmbin.ImportSection || id == wasmbin.CodeSection) {
			if there {
				put(id, s.Body)
			}
			continue
		}
		switch id {
		case wasmbin.TypeSection:
			n, types := w.types()
			put(id, grown(s.Body, n, types))
		case wasmbin.ImportSection:
			put(id, grown(s.Body, 1, w.yieldImport()))
		case wasmbin.TableSection:
			if there {
				put(id, w.tables())
			}
		case wasmbin.MemorySection:
			if there {
				put(id, w.memory())
			}
		case wasmbin.GlobalSection:
			put(id, grown(w.shifted(s), 2, []byte{wasmbin.I64, 1, 0x42, 0, 0x0b, wasmbin.I32, 1, 0x41, 0, 0x0b}))
		case wasmbin.ExportSection:
			n, exports := w.exports()
			put(id, grown(w.shifted(s), n, exports))
		case wasmbin.CodeSection:
			if there {
				put(id, code)
			}
		default:
			if there {
				put(id, w.shifted(s))
			}
		}
	}
	if names := w.names(); names != nil {
		put(wasmbin.CustomSection, names)
	}
	return out
}

// grown returns the body of a section that is a list, with more items at its end.
func grown(body []byte, n uint32, items []byte) []byte {
	count, used := uint32(0), 0
	if len(body) > 0 {
		count, used = u32(body)
	}
	out := wasmbin.AppendU32(nil, count+n)
	out = append(out, body[used:]...)
	return append(out, items...)
}

// u32 reads a number that has been read before.
func u32(b []byte) (x uint32, used int) {
	for shift := 0; ; shift += 7 {
		c := b[used]
		used++
		x |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return x, used
		}
	}
}

// s64 reads a signed number that has been read before.
func s64(b []byte) (x int64) {
	for at, shift := 0, 0; ; at++ {
		c := b[at]
		x |= int64(c&0x7f) << shift
		if shift += 7; c < 0x80 {
			if shift < 64 && c&0x40 != 0 {
				x |= -1 << shift
			}
			return x
		}
	}
}

// shifted returns the body of a section, with functions named as they are numbered behind the new import.
func (w *rewriter) shifted(s wasmbin.Section) []byte {
	out := make([]byte, 0, len(s.Body)+16)
	at := 0
	for _, ref := range w.m.FuncRefs { // few but for the elements, which are one section
		if ref.Offset < s.Offset || ref.Offset >= s.Offset+len(s.Body) {
			continue
		}
		out = append(out, s.Body[at:ref.Offset-s.Offset]...)
		out = wasmbin.AppendU32(out, w.shift(ref.Index))
		at = ref.Offset - s.Offset + ref.Len
	}
	return append(out, s.Body[at:]...)
}

// shift returns the new number of a function.
func (w *rewriter) shift(f uint32) uint32 {
	if !w.bare && int(f) >= w.m.ImportedFuncs {
		return f + 1
	}
	return f
}

func (w *rewriter) yieldImport() []byte {
	out := appendName(nil, HostModule)
	out = appendName(out, Yield)
	out = append(out, byte(wasmbin.Function))
	return wasmbin.AppendU32(out, uint32(len(w.m.Types))) // the type that was appended
}

func appendName(dst []byte, name string) []byte {
	return append(wasmbin.AppendU32(dst, uint32(len(name))), name...)
}

func (w *rewriter) tables() []byte {
	out := wasmbin.AppendU32(nil, uint32(len(w.m.Tables)))
	for _, t := range w.m.Tables {
		out = appendRange(append(out, t.Elem), t.Range, w.limits.Table)
	}
	return out
}

func (w *rewriter) memory() []byte {
	out := wasmbin.AppendU32(nil, uint32(len(w.m.Memories)))
	for _, r := range w.m.Memories {
		out = appendRange(out, r, w.limits.Pages)
	}
	return out
}

func appendRange(dst []byte, r wasmbin.Range, most uint32) []byte {
	if r.HasMax {
		most = min(most, r.Max)
	}
	dst = append(dst, 1)
	dst = wasmbin.AppendU32(dst, r.Min)
	return wasmbin.AppendU32(dst, most)
}

// exports returns what is exported besides.
func (w *rewriter) exports() (n uint32, out []byte) {
	export := func(name string, index uint32) {
		out = appendName(out, name)
		out = append(out, byte(wasmbin.Global))
		out = wasmbin.AppendU32(out, index)
		n++
	}
	export(Fuel, w.fuel)
	export(Depth, w.depth)
	for i, g := range w.m.Globals {
		if g.Mutable {
			export(fmt.Sprint(Variable, i), uint32(i))
		}
	}
	return n, out
}

// section returns the section with this number; one without an end if there is none.
func section(m *wasmbin.Module, id byte) wasmbin.Section {
	for _, s := range m.Sections {
		if s.ID == id {
			return s
		}
	}
	return wasmbin.Section{}
}

// names returns the section with the names of functions, which traps are explained with; nil if there is none.
func (w *rewriter) names() []byte {
	for _, s := range w.m.Sections {
		if s.ID != wasmbin.CustomSection || s.Name != "name" {
			continue
		}
		names, ok := wasmbin.FunctionNames(s.Body)
		if !ok || len(names) == 0 {
			return nil
		}
		list := wasmbin.AppendU32(nil, uint32(len(names)))
		for _, n := range names {
			list = wasmbin.AppendU32(list, w.shift(n.Index))
			list = appendName(list, n.Name)
		}
		out := appendName(nil, "name")
		out = append(out, 1)
		out = wasmbin.AppendU32(out, uint32(len(list)))
		return append(out, list...)
	}
	return nil
}

func (w *rewriter) code() []byte {
	out := wasmbin.AppendU32(nil, uint32(len(w.m.Bodies)))
	f := &function{rewriter: w}
	for i := range w.m.Bodies {
		if w.over = len(out) > maxCode; w.over {
			return nil
		}
		body := f.rewrite(uint32(w.m.ImportedFuncs+i), &w.m.Bodies[i])
		out = wasmbin.AppendU32(out, uint32(len(body)))
		out = append(out, body...)
	}
	return out
}
