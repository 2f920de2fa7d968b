package wasmbin

import (
	"bytes"
	"fmt"
	"strings"
)

// Limits bound what is read. What the standard Go toolchain makes fits into [DefaultLimits] with room to spare.
type Limits struct {
	Bytes       int    // of the module
	Types       int    // and so on: how many of each
	Imports     int    //
	Functions   int    // defined
	Locals      int    // of one function
	Body        int    // bytes of one function
	BranchTable int    // targets of one br_table
	Nesting     int    // of blocks
	Exports     int    //
	Globals     int    //
	Segments    int    // of data
	Elements    int    // segments of tables, and entries of each
	References  int    // to functions, outside of code
	Customs     int    // custom sections
	Tables      int    //
	TableSize   uint32 // entries that a table may begin with
	MemoryPages uint32 // of 64 KiB that the memory may begin with
}

// DefaultLimits are those of plugins.
var DefaultLimits = Limits{Bytes: 16 << 20, Types: 10_000, Imports: 128, Functions: 50_000, Locals: 50_000, Body: 1 << 20, BranchTable: 64 << 10,
	Nesting: 10_000, Exports: 256, Globals: 10_000, Segments: 100_000, Elements: 100_000, References: 500_000, Customs: 1000, Tables: 2, TableSize: 100_000, MemoryPages: 512}

// The sections, by their ids.
const (
	CustomSection byte = iota
	TypeSection
	ImportSection
	FunctionSection
	TableSection
	MemorySection
	GlobalSection
	ExportSection
	StartSection
	ElementSection
	CodeSection
	DataSection
	DataCountSection
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}

// order is where a section has to stand among the others.
var order = [...]int{TypeSection: 1, ImportSection: 2, FunctionSection: 3, TableSection: 4, MemorySection: 5, GlobalSection: 6, ExportSection: 7,
	StartSection: 8, ElementSection: 9, DataCountSection: 10, CodeSection: 11, DataSection: 12}

// Kind is what an import or export is.
type Kind byte

// The kinds.
const (
	Function Kind = iota
	Table
	Memory
	Global
)

func (k Kind) String() string { return [...]string{"function", "table", "memory", "global"}[k%4] }

// Value types.
const (
	I32       byte = 0x7f
	I64       byte = 0x7e
	F32       byte = 0x7d
	F64       byte = 0x7c
	V128      byte = 0x7b
	FuncRef   byte = 0x70
	ExternRef byte = 0x6f
)

// Module is what has been read.
type Module struct {
	Sections []Section
	Types    []Type
	Imports  []Import
	Funcs    []uint32 // types of all functions, imported ones first
	Tables   []TableType
	Memories []Range
	Globals  []GlobalType // imported ones first
	Exports  []Export
	Start    int // function; -1: none
	Bodies   []Body
	Segments int // of data
	Elements int // segments of tables

	FuncRefs []Ref // where functions are named outside of code, in order

	// How many of the functions, tables, memories and globals are imported.
	ImportedFuncs, ImportedTables, ImportedMemories, ImportedGlobals int

	limits Limits
	counts int // data segments that the data count section announces; -1: it does not
	locals int // while a function is vetted: how many it has, with its parameters
}

// Section is a section as it stands in the module.
type Section struct {
	ID     byte
	Name   string // of a custom section
	Body   []byte // without id and size; of a custom section without its name
	Offset int    // of Body
}

// Type is the type of a function.
type Type struct{ Params, Results []byte }

// Ref is a place in the module that names a function.
type Ref struct {
	Offset, Len int // of the number
	Index       uint32
}

// Import is something that the module wants.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         uint32 // of a function
}

// Range is how large a table or a memory is at first, and may become.
type Range struct {
	Min, Max uint32
	HasMax   bool
}

// TableType is a table.
type TableType struct {
	Elem byte
	Range
}

// GlobalType is a global variable.
type GlobalType struct {
	Type    byte
	Mutable bool
}

// Export is something that the module offers.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Body is a function's code.
type Body struct {
	Locals int    // without parameters
	Groups []byte // their declaration
	Code   []byte // the instructions, to the last end
	Offset int    // of Code
}

var preamble = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

// Read reads and vets a module. The error is of type [*Error].
func Read(b []byte, limits Limits) (*Module, error) {
	m, err := read(b, limits)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func read(b []byte, limits Limits) (*Module, *Error) {
	switch {
	case len(b) > limits.Bytes:
		return nil, &Error{0, fmt.Sprintf("it has %d bytes; at most %d are read", len(b), limits.Bytes)}
	case len(b) >= 8 && bytes.Equal(b[:4], preamble[:4]) && b[6] == 1:
		return nil, &Error{4, "it is a component, not a core module: build it for wasm32-wasip1, or GOOS=wasip1 GOARCH=wasm"}
	case !bytes.HasPrefix(b, preamble):
		return nil, &Error{0, "it is not a WebAssembly module of version 1"}
	}
	m := &Module{Start: -1, limits: limits, counts: -1}
	r := &reader{b: b, at: 8}
	last, customs := 0, 0
	for r.left() > 0 && !r.failed() {
		begin := r.at
		id := r.byte()
		size := r.u32()
		s := r.part(size)
		if r.failed() {
			break
		}
		if int(id) >= len(sectionNames) {
			return nil, &Error{begin, fmt.Sprintf("there is no section %d in WebAssembly 2.0", id)}
		}
		if id != CustomSection {
			if order[id] <= last {
				return nil, &Error{begin, fmt.Sprintf("the %s section is doubled or out of order", sectionNames[id])}
			}
			last = order[id]
		}
		section := Section{ID: id, Body: s.b, Offset: s.off}
		if id == CustomSection {
			if customs++; customs > limits.Customs {
				return nil, &Error{begin, fmt.Sprintf("there are more than %d custom sections", limits.Customs)}
			}
			section.Name = s.name()
			section.Body, section.Offset = s.b[s.at:], s.off+s.at
			s.at = len(s.b)
		} else {
			m.section(id, s)
		}
		if s.left() > 0 {
			s.fail("the %s section is longer than what is in it", sectionNames[id])
		}
		if s.err != nil {
			return nil, s.err
		}
		m.Sections = append(m.Sections, section)
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.Bodies) != len(m.Funcs)-m.ImportedFuncs {
		return nil, &Error{len(b), fmt.Sprintf("%d functions are declared and %d are there", len(m.Funcs)-m.ImportedFuncs, len(m.Bodies))}
	}
	if m.counts >= 0 && m.counts != m.Segments {
		return nil, &Error{len(b), fmt.Sprintf("%d data segments are announced and %d are there", m.counts, m.Segments)}
	}
	for i := range m.Bodies {
		m.locals = len(m.Types[m.Funcs[m.ImportedFuncs+i]].Params) + m.Bodies[i].Locals
		if err := m.vet(&m.Bodies[i]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Module) section(id byte, r *reader) {
	switch id {
	case TypeSection:
		for range r.count("types", m.limits.Types) {
			m.Types = append(m.Types, readType(r))
		}
	case ImportSection:
		for range r.count("imports", m.limits.Imports) {
			m.readImport(r)
		}
		m.ImportedFuncs, m.ImportedTables = len(m.Funcs), len(m.Tables)
		m.ImportedMemories, m.ImportedGlobals = len(m.Memories), len(m.Globals)
	case FunctionSection:
		for range r.count("functions", m.limits.Functions) {
			m.Funcs = append(m.Funcs, m.index(r, "type", len(m.Types)))
		}
	case TableSection:
		for range r.count("tables", m.limits.Tables) {
			m.Tables = append(m.Tables, m.tableType(r))
		}
	case MemorySection:
		for range r.count("memories", 1) {
			m.Memories = append(m.Memories, m.memoryType(r))
		}
	case GlobalSection:
		for range r.count("globals", m.limits.Globals) {
			g := globalType(r)
			m.constant(r)
			m.Globals = append(m.Globals, g)
		}
	case ExportSection:
		for range r.count("exports", m.limits.Exports) {
			m.readExport(r)
		}
	case StartSection:
		m.Start = int(m.function(r))
	case ElementSection:
		m.Elements = r.count("element segments", m.limits.Elements)
		for range m.Elements {
			m.element(r)
		}
	case DataCountSection:
		m.counts = int(min(r.u32(), 1<<30))
		if m.counts > m.limits.Segments {
			r.fail("%d data segments; at most %d are read", m.counts, m.limits.Segments)
		}
	case CodeSection:
		for range r.count("functions", m.limits.Functions) {
			m.readBody(r)
			if r.failed() {
				return
			}
		}
	case DataSection:
		m.Segments = r.count("data segments", m.limits.Segments)
		for range m.Segments {
			m.data(r)
		}
	}
}

// index reads an index of something of which there are n.
func (m *Module) index(r *reader, what string, n int) uint32 {
	i := r.u32()
	if !r.failed() && uint64(i) >= uint64(n) {
		r.fail("there is no %s %d", what, i)
		return 0
	}
	return i
}

// function reads the index of a function and notes where it stands.
func (m *Module) function(r *reader) uint32 {
	begin := r.at
	i := m.index(r, "function", len(m.Funcs))
	if !r.failed() {
		if len(m.FuncRefs) == m.limits.References {
			r.fail("functions are named in more than %d places", m.limits.References)
			return 0
		}
		m.FuncRefs = append(m.FuncRefs, Ref{r.off + begin, r.at - begin, i})
	}
	return i
}

func readType(r *reader) Type {
	if form := r.byte(); form != 0x60 && !r.failed() {
		r.fail("type form %#x is not that of a function", form)
	}
	return Type{valueTypes(r), valueTypes(r)}
}

func valueTypes(r *reader) []byte {
	const most = 1000 // what engines agree on
	types := r.bytes(uint32(r.count("values", most)))
	for _, t := range types {
		checkType(r, t)
	}
	return types
}

func checkType(r *reader, t byte) {
	switch t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
	default:
		if !r.failed() {
			r.fail("there is no value type %#x in WebAssembly 2.0", t)
		}
	}
}

func (m *Module) readImport(r *reader) {
	i := Import{Module: r.name(), Name: r.name(), Kind: Kind(r.byte())}
	switch i.Kind {
	case Function:
		i.Type = m.index(r, "type", len(m.Types))
		m.Funcs = append(m.Funcs, i.Type)
	case Table:
		m.Tables = append(m.Tables, m.tableType(r))
	case Memory:
		m.Memories = append(m.Memories, m.memoryType(r))
	case Global:
		m.Globals = append(m.Globals, globalType(r))
	default:
		r.fail("there is no kind %d of import", i.Kind)
	}
	m.Imports = append(m.Imports, i)
}

func (m *Module) tableType(r *reader) TableType {
	t := TableType{Elem: r.byte()}
	if t.Elem != FuncRef && t.Elem != ExternRef && !r.failed() {
		r.fail("a table cannot hold values of type %#x", t.Elem)
	}
	t.Range = readRange(r, "entries of a table", m.limits.TableSize)
	if len(m.Tables) >= m.limits.Tables {
		r.fail("there are more than %d tables", m.limits.Tables)
	}
	return t
}

func (m *Module) memoryType(r *reader) Range {
	if len(m.Memories) >= 1 {
		r.fail("there is more than one memory")
	}
	pages := readRange(r, "pages of memory", m.limits.MemoryPages)
	if pages.Max > 1<<16 {
		r.fail("a memory of %d pages is larger than its addresses reach", pages.Max)
	}
	return pages
}

func readRange(r *reader, what string, most uint32) Range {
	var out Range
	flag := r.byte()
	if flag > 1 && !r.failed() {
		r.fail("a memory or table of another kind than WebAssembly 2.0 has (shared, or of 64 bits)")
	}
	out.Min = r.u32()
	if out.HasMax = flag == 1; out.HasMax {
		out.Max = r.u32()
	}
	if out.Min > most && !r.failed() {
		r.fail("%d %s at first; at most %d are allowed", out.Min, what, most)
	}
	if out.HasMax && out.Max < out.Min && !r.failed() {
		r.fail("%d %s at first and at most %d", out.Min, what, out.Max)
	}
	return out
}

func globalType(r *reader) GlobalType {
	t := r.byte()
	checkType(r, t)
	mutable := r.byte()
	if mutable > 1 && !r.failed() {
		r.fail("a global is neither variable nor constant")
	}
	return GlobalType{t, mutable == 1}
}

func (m *Module) readExport(r *reader) {
	e := Export{Name: r.name(), Kind: Kind(r.byte())}
	switch e.Kind {
	case Function:
		e.Index = m.function(r)
	case Table:
		e.Index = m.index(r, "table", len(m.Tables))
	case Memory:
		e.Index = m.index(r, "memory", len(m.Memories))
	case Global:
		e.Index = m.index(r, "global", len(m.Globals))
	default:
		r.fail("there is no kind %d of export", e.Kind)
	}
	m.Exports = append(m.Exports, e)
}

// constant reads a constant expression.
func (m *Module) constant(r *reader) {
	for n := 0; !r.failed(); n++ {
		switch op := r.byte(); op {
		case 0x0b:
			return
		case 0x41:
			r.sleb(32)
		case 0x42:
			r.sleb(64)
		case 0x43:
			r.skip(4)
		case 0x44:
			r.skip(8)
		case 0x23:
			m.index(r, "global", m.ImportedGlobals)
		case 0xd0:
			refType(r)
		case 0xd2:
			m.function(r)
		case 0xfd:
			if r.u32() != 12 {
				r.fail("a constant is calculated")
			}
			r.skip(16)
		default:
			r.fail("a constant has the instruction %#x", op)
		}
		if n >= 2 {
			r.fail("a constant is calculated")
		}
	}
}

func refType(r *reader) byte {
	t := r.byte()
	if t != FuncRef && t != ExternRef && !r.failed() {
		r.fail("there is no type of references %#x in WebAssembly 2.0", t)
	}
	return t
}

// element reads a segment of a table.
func (m *Module) element(r *reader) {
	flags := r.u32()
	if flags > 7 {
		r.fail("there is no form %d of element segments", flags)
		return
	}
	if flags&1 == 0 { // active
		if flags&2 != 0 {
			m.index(r, "table", len(m.Tables))
		} else if len(m.Tables) == 0 {
			r.fail("there is no table 0")
		}
		m.constant(r)
	}
	if flags&3 != 0 { // it says what it holds
		if flags&4 != 0 {
			refType(r)
		} else if kind := r.byte(); kind != 0 {
			r.fail("there is no kind %d of elements", kind)
		}
	}
	for range r.count("elements", m.limits.Elements) {
		if flags&4 != 0 {
			m.constant(r)
		} else {
			m.function(r)
		}
		if r.failed() {
			return
		}
	}
}

// data reads a data segment.
func (m *Module) data(r *reader) {
	switch form := r.u32(); form {
	case 0, 2:
		if form == 2 {
			m.index(r, "memory", len(m.Memories))
		} else if len(m.Memories) == 0 {
			r.fail("there is no memory 0")
		}
		m.constant(r)
	case 1:
	default:
		r.fail("there is no form %d of data segments", form)
	}
	r.bytes(r.u32())
}

func (m *Module) readBody(r *reader) {
	size := r.u32()
	if size > uint32(m.limits.Body) {
		r.fail("a function of %d bytes; at most %d are read", size, m.limits.Body)
		return
	}
	f := r.part(size)
	begin := f.at
	locals := uint64(0)
	for range f.count("groups of locals", m.limits.Locals) {
		locals += uint64(f.u32())
		checkType(f, f.byte())
		if locals > uint64(m.limits.Locals) {
			f.fail("%d locals; at most %d are read", locals, m.limits.Locals)
			break
		}
	}
	if f.err != nil {
		r.err = f.err
		return
	}
	m.Bodies = append(m.Bodies, Body{Locals: int(locals), Groups: f.b[begin:f.at], Code: f.b[f.at:], Offset: f.off + f.at})
	if len(m.Bodies) > len(m.Funcs)-m.ImportedFuncs {
		r.fail("there are more functions than were declared")
	}
}

// FunctionName is the name of a function in the custom section "name".
type FunctionName struct {
	Index uint32
	Name  string
}

// How many names of functions are read, and how many bytes of one.
const (
	maxNames = 100_000
	maxName  = 256
)

// FunctionNames returns the names of functions in the body of a custom section "name". ok is false when it is damaged, which
// a module may be without harm.
func FunctionNames(body []byte) (names []FunctionName, ok bool) {
	r := &reader{b: body}
	for r.left() > 0 && !r.failed() {
		id := r.byte()
		part := r.part(r.u32())
		if id != 1 {
			continue
		}
		for range part.count("names", maxNames) {
			name := FunctionName{part.u32(), part.name()}
			if len(name.Name) > maxName { // traps name functions by the dozen
				name.Name = strings.ToValidUTF8(name.Name[:maxName], "")
			}
			names = append(names, name)
		}
		if part.failed() {
			return nil, false
		}
	}
	return names, !r.failed()
}
