package wasmbin

// Op is an instruction: its opcode, or 0xfc00 and 0xfd00 plus the number behind those prefixes.
type Op uint16

// Instructions that somebody asks for.
const (
	Unreachable  Op = 0x00
	Block        Op = 0x02
	Loop         Op = 0x03
	If           Op = 0x04
	Else         Op = 0x05
	End          Op = 0x0b
	Br           Op = 0x0c
	BrIf         Op = 0x0d
	BrTable      Op = 0x0e
	Return       Op = 0x0f
	Call         Op = 0x10
	CallIndirect Op = 0x11
	MemoryGrow   Op = 0x40
	RefFunc      Op = 0xd2
	MemoryInit   Op = 0xfc08
	MemoryCopy   Op = 0xfc0a
	MemoryFill   Op = 0xfc0b
	TableInit    Op = 0xfc0c
	TableCopy    Op = 0xfc0e
	TableGrow    Op = 0xfc0f
	TableFill    Op = 0xfc11
)

// Instr is one instruction of a function.
type Instr struct {
	Op    Op
	Bytes []byte // the whole of it
	Index uint32 // of the function, type, table, … that it is about
}

// Code walks the instructions of a function that [Read] has vetted.
type Code struct{ r reader }

// Walk returns a walker at the first instruction.
func (b *Body) Walk() *Code { return &Code{reader{b: b.Code, off: b.Offset}} }

// Next returns the next instruction; ok is false after the last.
func (c *Code) Next() (i Instr, ok bool) {
	if c.r.left() == 0 || c.r.failed() {
		return Instr{}, false
	}
	begin := c.r.at
	i.Op, i.Index = instruction(&c.r, nil)
	i.Bytes = c.r.b[begin:c.r.at]
	return i, !c.r.failed()
}

// vet checks the instructions of a function: that they are known, which indexes they have, and how they are nested.
func (m *Module) vet(b *Body) *Error {
	r := &reader{b: b.Code, off: b.Offset}
	depth := 1 // the function itself is a block
	for depth > 0 && !r.failed() {
		switch op, _ := instruction(r, m); op {
		case Block, Loop, If:
			if depth++; depth > m.limits.Nesting {
				r.fail("blocks are nested more than %d deep", m.limits.Nesting)
			}
		case End:
			depth--
		}
	}
	if r.left() > 0 {
		r.fail("there is code behind the end of a function")
	}
	return r.err
}

// instruction reads an instruction. With a module it checks its indexes.
func instruction(r *reader, m *Module) (op Op, index uint32) {
	begin := r.at
	code := r.byte()
	op = Op(code)
	n := func(what string, of func(*Module) int) uint32 {
		if m == nil {
			return r.u32()
		}
		return m.index(r, what, of(m))
	}
	switch {
	case code <= 0x01, code == 0x05, code == 0x0b, code == 0x0f, code == 0x1a, code == 0x1b: // unreachable, nop, else, end, return, drop, select
	case code >= 0x02 && code <= 0x04:
		blockType(r, m)
	case code == 0x0c, code == 0x0d: // br, br_if
		r.u32()
	case code == 0x0e:
		most := 1 << 30
		if m != nil {
			most = m.limits.BranchTable
		}
		for range r.count("targets of a branch", most) {
			r.u32()
		}
		r.u32()
	case code == 0x10, code == 0xd2:
		index = n("function", func(m *Module) int { return len(m.Funcs) })
	case code == 0x11:
		index = n("type", func(m *Module) int { return len(m.Types) })
		n("table", func(m *Module) int { return len(m.Tables) })
	case code == 0x1c:
		valueTypes(r)
	case code >= 0x20 && code <= 0x22:
		index = n("local", func(m *Module) int { return m.locals })
	case code == 0x23, code == 0x24:
		index = n("global", func(m *Module) int { return len(m.Globals) })
	case code == 0x25, code == 0x26:
		index = n("table", func(m *Module) int { return len(m.Tables) })
	case code >= 0x28 && code <= 0x3e:
		memoryArgument(r, m)
	case code == 0x3f, code == 0x40:
		zero(r)
		needMemory(r, m)
	case code == 0x41:
		r.sleb(32)
	case code == 0x42:
		r.sleb(64)
	case code == 0x43:
		r.skip(4)
	case code == 0x44:
		r.skip(8)
	case code >= 0x45 && code <= 0xc4: // numbers
	case code == 0xd0:
		refType(r)
	case code == 0xd1: // ref.is_null
	case code == 0xfc:
		op = 0xfc00 + Op(min(r.u32(), 0x1ff))
		index = bulk(r, m, op, n)
	case code == 0xfd:
		op = 0xfd00 + Op(min(r.u32(), 0x1ff))
		vector(r, m, op-0xfd00)
	default:
		if !r.failed() {
			r.at = begin
			r.fail("%s", unknown(code))
		}
	}
	return op, index
}

// unknown says what an instruction belongs to that is not of WebAssembly 2.0.
func unknown(code byte) string {
	switch {
	case code == 0x12, code == 0x13:
		return "tail calls are not supported: build without the feature tail-call"
	case code >= 0x06 && code <= 0x0a, code == 0x18, code == 0x19, code == 0x1f:
		return "exceptions are not supported: build without the feature exception-handling"
	case code == 0xfe:
		return "threads are not supported: build without the features atomics and shared memory"
	case code == 0xfb, code >= 0x14 && code <= 0x15, code >= 0xd3 && code <= 0xd6:
		return "garbage-collected types are not supported: build without the features gc and function-references"
	}
	return "there is no such instruction in WebAssembly 2.0"
}

func blockType(r *reader, m *Module) {
	t := r.sleb(33)
	switch {
	case t >= 0:
		if m != nil && t >= int64(len(m.Types)) && !r.failed() {
			r.fail("there is no type %d", t)
		}
	case t == -64: // no value
	default:
		checkType(r, byte(t&0x7f))
	}
}

func memoryArgument(r *reader, m *Module) {
	if align := r.u32(); align >= 32 && !r.failed() {
		r.fail("an alignment of 2^%d", align)
	}
	r.u32()
	needMemory(r, m)
}

func needMemory(r *reader, m *Module) {
	if m != nil && len(m.Memories) == 0 {
		r.fail("there is no memory")
	}
}

func zero(r *reader) {
	if r.byte() != 0 {
		r.fail("an instruction is about another memory than the first")
	}
}

// bulk reads what follows the prefix 0xfc.
func bulk(r *reader, m *Module, op Op, n func(string, func(*Module) int) uint32) (index uint32) {
	tables := func(m *Module) int { return len(m.Tables) }
	segments := func(m *Module) int {
		if m.counts < 0 {
			r.fail("there is no data count section, which this instruction needs")
		}
		return m.counts
	}
	elements := func(m *Module) int { return m.Elements }
	switch op {
	case 0xfc00, 0xfc01, 0xfc02, 0xfc03, 0xfc04, 0xfc05, 0xfc06, 0xfc07: // saturating conversions
	case MemoryInit:
		index = n("data segment", segments)
		zero(r)
		needMemory(r, m)
	case 0xfc09: // data.drop
		index = n("data segment", segments)
	case MemoryCopy:
		zero(r)
		zero(r)
		needMemory(r, m)
	case MemoryFill:
		zero(r)
		needMemory(r, m)
	case TableInit:
		index = n("element segment", elements)
		n("table", tables)
	case 0xfc0d: // elem.drop
		index = n("element segment", elements)
	case TableCopy:
		index = n("table", tables)
		n("table", tables)
	case TableGrow, 0xfc10, TableFill: // 0xfc10: table.size
		index = n("table", tables)
	default:
		r.fail("there is no such instruction in WebAssembly 2.0")
	}
	return index
}

// vector reads what follows the prefix 0xfd.
func vector(r *reader, m *Module, op Op) {
	switch {
	case op <= 11, op == 92, op == 93: // loads and stores
		memoryArgument(r, m)
	case op == 12, op == 13: // v128.const, i8x16.shuffle
		r.skip(16)
	case op >= 21 && op <= 34: // of one lane
		r.skip(1)
	case op >= 84 && op <= 91: // loads and stores of one lane
		memoryArgument(r, m)
		r.skip(1)
	case op > 0xff, op == 154, op == 162, op == 165, op == 166, op == 175, op == 176, op == 178, op == 179, op == 180, op == 187,
		op == 194, op == 197, op == 198, op == 207, op == 208, op == 210, op == 211, op == 212, op == 226, op == 238:
		r.fail("there is no such vector instruction in WebAssembly 2.0")
	}
}
