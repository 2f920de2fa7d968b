package wasmasm

import (
	"encoding/binary"
	"math"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Types of values, for signatures and locals: string(I32)+I64.
const (
	I32       = string(rune(wasmbin.I32))
	I64       = string(rune(wasmbin.I64))
	F32       = string(rune(wasmbin.F32))
	F64       = string(rune(wasmbin.F64))
	V128      = string(rune(wasmbin.V128))
	FuncRef   = string(rune(wasmbin.FuncRef))
	ExternRef = string(rune(wasmbin.ExternRef))
)

// Module is a module. Functions are numbered from the first import on.
type Module struct {
	Imports  []Import
	Tables   []Table
	Pages    int // of the memory, which is exported as "memory"; 0: there is none, unless Memory says so
	MaxPages int // 0: not said
	Memory   bool
	Globals  []Global
	Funcs    []Func
	Start    int // number of the start function; 0: none, so an import or a first function cannot be it
	Elements []Element
	Data     []Data
	Exports  []Export // besides the memory and what functions say
	Custom   []Custom

	types []string
	index map[string]int
}

// Import is a function that the module wants.
type Import struct{ Module, Name, Params, Results string }

// Table is a table.
type Table struct {
	Elem     string // FuncRef if empty
	Min, Max int    // Max 0: not said
}

// Global is a variable, or a constant.
type Global struct {
	Type     string
	Constant bool
	Init     []byte // instruction; nil: zero
}

// Func is a function.
type Func struct {
	Export          string // "": it is not
	Params, Results string
	Locals          string
	Code            []byte // without the last end
}

// Element is a segment of a table.
type Element struct {
	Table   int
	Offset  int // -1: passive, -2: declared only
	Members []int
}

// Data is a segment of memory.
type Data struct {
	Offset int // -1: passive
	Bytes  []byte
}

// Export is something that is offered.
type Export struct {
	Name  string
	Kind  wasmbin.Kind
	Index int
}

// Custom is a section that engines skip.
type Custom struct {
	Name string
	Body []byte
}

// Type returns the number of the type of functions with that signature, for CallIndirect and blocks. Types that only code
// names have to be asked for before Bytes.
func (m *Module) Type(params, results string) int {
	key := params + ">" + results
	if i, ok := m.index[key]; ok {
		return i
	}
	if m.index == nil {
		m.index = map[string]int{}
	}
	m.index[key] = len(m.types)
	m.types = append(m.types, string(Seq([]byte{0x60}, text(params), text(results))))
	return m.index[key]
}

// Bytes returns the module.
func (m *Module) Bytes() []byte {
	var imports, functions, tables, globals, exports, elements, bodies, data [][]byte
	for _, i := range m.Imports {
		imports = append(imports, Seq(text(i.Module), text(i.Name), []byte{0}, u32(m.Type(i.Params, i.Results))))
	}
	if m.Pages > 0 || m.Memory {
		exports = append(exports, export(Export{"memory", wasmbin.Memory, 0}))
	}
	for i, f := range m.Funcs {
		functions = append(functions, u32(m.Type(f.Params, f.Results)))
		if f.Export != "" {
			exports = append(exports, export(Export{f.Export, wasmbin.Function, len(m.Imports) + i}))
		}
		var locals [][]byte
		for _, t := range []byte(f.Locals) {
			locals = append(locals, []byte{1, t})
		}
		body := Seq(list(locals), f.Code, []byte{0x0b})
		bodies = append(bodies, Seq(u32(len(body)), body))
	}
	for _, t := range m.Tables {
		if t.Elem == "" {
			t.Elem = FuncRef
		}
		tables = append(tables, Seq([]byte(t.Elem), limits(t.Min, t.Max)))
	}
	for _, g := range m.Globals {
		if g.Init == nil {
			g.Init = Zero(g.Type)
		}
		globals = append(globals, Seq([]byte(g.Type), []byte{bit(!g.Constant)}, g.Init, []byte{0x0b}))
	}
	for _, e := range m.Exports {
		exports = append(exports, export(e))
	}
	for _, e := range m.Elements {
		var members [][]byte
		for _, f := range e.Members {
			members = append(members, u32(f))
		}
		switch e.Offset {
		case -1:
			elements = append(elements, Seq([]byte{1, 0}, list(members)))
		case -2:
			elements = append(elements, Seq([]byte{3, 0}, list(members)))
		default:
			elements = append(elements, Seq([]byte{2}, u32(e.Table), Const32(int32(e.Offset)), []byte{0x0b, 0}, list(members)))
		}
	}
	for _, d := range m.Data {
		if d.Offset < 0 {
			data = append(data, Seq([]byte{1}, text(string(d.Bytes))))
		} else {
			data = append(data, Seq([]byte{0}, Const32(int32(d.Offset)), []byte{0x0b}, text(string(d.Bytes))))
		}
	}
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	section := func(id byte, body []byte) { out = append(out, Section(id, body)...) }
	optional := func(id byte, items [][]byte) {
		if len(items) > 0 {
			section(id, list(items))
		}
	}
	var types [][]byte
	for _, t := range m.types {
		types = append(types, []byte(t))
	}
	optional(wasmbin.TypeSection, types)
	optional(wasmbin.ImportSection, imports)
	optional(wasmbin.FunctionSection, functions)
	optional(wasmbin.TableSection, tables)
	if m.Pages > 0 || m.Memory {
		section(wasmbin.MemorySection, Seq([]byte{1}, limits(m.Pages, m.MaxPages)))
	}
	optional(wasmbin.GlobalSection, globals)
	optional(wasmbin.ExportSection, exports)
	if m.Start > 0 {
		section(wasmbin.StartSection, u32(m.Start))
	}
	optional(wasmbin.ElementSection, elements)
	if len(data) > 0 {
		section(wasmbin.DataCountSection, u32(len(data)))
	}
	optional(wasmbin.CodeSection, bodies)
	optional(wasmbin.DataSection, data)
	for _, c := range m.Custom {
		section(wasmbin.CustomSection, Seq(text(c.Name), c.Body))
	}
	return out
}

// Section returns a section with its head.
func Section(id byte, body []byte) []byte { return Seq([]byte{id}, u32(len(body)), body) }

func u32(n int) []byte { return wasmbin.AppendU32(nil, uint32(n)) }

func text(s string) []byte { return append(u32(len(s)), s...) }

func list(items [][]byte) []byte { return append(u32(len(items)), Seq(items...)...) }

func limits(least, most int) []byte {
	if most == 0 {
		return append([]byte{0}, u32(least)...)
	}
	return Seq([]byte{1}, u32(least), u32(most))
}

func export(e Export) []byte { return Seq(text(e.Name), []byte{byte(e.Kind)}, u32(e.Index)) }

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Zero is the instruction for the zero of a type.
func Zero(t string) []byte {
	switch t {
	case I32:
		return Const32(0)
	case I64:
		return Const64(0)
	case F32:
		return ConstF32(0)
	case F64:
		return ConstF64(0)
	case V128:
		return append([]byte{0xfd, 12}, make([]byte, 16)...)
	}
	return append([]byte{0xd0}, t...) // ref.null
}

// ConstF32 is a constant.
func ConstF32(f float32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x43}, math.Float32bits(f))
}

// ConstF64 is a constant.
func ConstF64(f float64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{0x44}, math.Float64bits(f))
}
