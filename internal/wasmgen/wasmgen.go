package wasmgen

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// Pages is how large the memory of a module may become at most, and Table each table.
const (
	Pages = 40
	Table = 40
)

// generator makes one module.
type generator struct {
	in    []byte
	m     asm.Module
	types []signature // of all functions, the import first
	known []int       // those that are named elsewhere than in calls; the others are only called directly
	again int         // global that says how many calls may still be made that may lead back to where they come from
	room  int         // instructions that may still be made

	// Of the function that is made.
	self    int    // its number
	locals  string // types, parameters first
	results string
	blocks  []string // what a branch to each open block carries; the function's first
}

type signature struct{ params, results string }

var see = signature{asm.I64, asm.I64}

// Module makes a module.
func Module(in []byte) []byte {
	g := &generator{in: in, room: 600}
	g.m.Imports = []asm.Import{{Module: "env", Name: "see", Params: see.params, Results: see.results}}
	g.types = []signature{see}
	g.m.Memory, g.m.Pages, g.m.MaxPages = true, one(g, 0, 1, 2, 1, 2, 1, 2, wide), Pages
	g.m.Tables = []asm.Table{{Min: 4 + g.pick(5), Max: 9 + g.pick(4)*10}, {Elem: asm.ExternRef, Min: g.pick(4), Max: 10}}
	for i := range 1 + g.pick(4) { // with i in it so that an empty input has one, too
		g.m.Globals = append(g.m.Globals, asm.Global{Type: numbers[(i+g.pick(4))%4]})
	}
	g.m.Globals = append(g.m.Globals, asm.Global{Type: asm.I64, Constant: true, Init: asm.Const64(g.number64())}, asm.Global{Type: asm.V128})
	g.again = len(g.m.Globals)
	g.m.Globals = append(g.m.Globals, asm.Global{Type: asm.I32, Init: asm.Const32(int32(g.pick(200)))})
	functions := 1 + g.pick(8)
	g.known = []int{0, 1}
	for i := range functions {
		g.types = append(g.types, g.signature())
		if i > 0 && g.pick(3) == 0 {
			g.known = append(g.known, 1+i)
		}
	}
	for i := range functions {
		g.function(i)
	}
	var members []int
	for range 1 + g.pick(4) {
		members = append(members, one(g, g.known...))
	}
	g.m.Elements = []asm.Element{{Offset: g.pick(3), Members: members}, {Offset: -1, Members: members}, {Offset: -2, Members: g.known}}
	if g.m.Pages > 0 {
		g.m.Data = append(g.m.Data, asm.Data{Offset: g.pick(256), Bytes: []byte("some data of the module")})
	}
	g.m.Data = append(g.m.Data, asm.Data{Offset: -1, Bytes: []byte("passive data")})
	for i, global := range g.m.Globals {
		if !global.Constant && global.Type != asm.V128 {
			g.m.Exports = append(g.m.Exports, asm.Export{Name: fmt.Sprint("g", i), Kind: wasmbin.Global, Index: i})
		}
	}
	if g.pick(8) == 1 {
		g.m.Funcs = append(g.m.Funcs, asm.Func{Code: asm.Seq(g.zeros(g.types[1].params), asm.Call(1), drops(g.types[1].results))})
		g.m.Start = len(g.m.Funcs)
	}
	return g.m.Bytes()
}

var numbers = [...]string{asm.I32, asm.I64, asm.F64, asm.F32}

// pick chooses one of n.
func (g *generator) pick(n int) int {
	if len(g.in) == 0 {
		return 0
	}
	b := g.in[0]
	g.in = g.in[1:]
	return int(b) % n
}

func (g *generator) signature() (s signature) {
	for range g.pick(4) {
		s.params += numbers[g.pick(4)]
	}
	for range g.pick(3) {
		s.results += numbers[g.pick(4)]
	}
	return s
}

func (g *generator) function(i int) {
	s := g.types[1+i]
	locals := asm.I32 + asm.I64 + asm.F32 + asm.F64 // one of each
	for range g.pick(3) {
		locals += numbers[g.pick(4)]
	}
	locals += asm.I32 // the counter
	g.self, g.locals, g.results = 1+i, s.params+locals, s.results
	g.blocks = []string{s.results}
	var code []byte
	for range 1 + g.pick(6) {
		code = append(code, g.statement(0)...)
	}
	for _, t := range s.results {
		code = append(code, g.expression(string(t), 0)...)
	}
	export := ""
	if slices.Contains(g.known, g.self) {
		export = fmt.Sprint("f", i)
	}
	g.m.Funcs = append(g.m.Funcs, asm.Func{Export: export, Params: s.params, Results: s.results, Locals: locals, Code: code})
}

// deep says that it is time to come to an end.
func (g *generator) deep(depth int) bool {
	g.room--
	return depth > 6 || g.room < 0
}

// statement makes code that leaves nothing on the stack.
func (g *generator) statement(depth int) []byte {
	if g.deep(depth) {
		return nil
	}
	e := func(t string) []byte { return g.expression(t, depth+1) }
	table := g.pick(2)
	ref := func() []byte {
		if table == 1 {
			return asm.Zero(asm.ExternRef)
		}
		return g.funcRef(depth)
	}
	small := func() []byte { return asm.Seq(e(asm.I32), asm.Const32(15), asm.Op(0x71)) } // so that not all are out of bounds
	switch g.pick(32) {
	case 0, 1, 2:
		l := g.pick(len(g.locals))
		if l == g.counter() {
			l--
		}
		return asm.Seq(e(g.locals[l:l+1]), asm.Set(l))
	case 3:
		n := g.pick(g.again)
		if g.m.Globals[n].Constant {
			n = 0
		}
		return asm.Seq(e(g.m.Globals[n].Type), asm.GlobalSet(n))
	case 4, 5:
		return g.store(depth)
	case 6:
		return asm.Seq(e(asm.I32), g.block(asm.If, depth))
	case 7:
		g.blocks = append(g.blocks, "")
		then, other := g.statements(depth), g.statements(depth)
		g.blocks = g.blocks[:len(g.blocks)-1]
		return asm.Seq(e(asm.I32), asm.If(then, asm.Else, other))
	case 8:
		return g.block(asm.Block, depth)
	case 9, 10:
		return g.loop(depth)
	case 11, 12:
		f := g.pick(len(g.types))
		return g.call(f, depth)
	case 13:
		s := g.types[one(g, g.known...)]
		return g.guarded(g.self, func() []byte {
			return asm.Seq(g.arguments(s.params, depth), small(), asm.CallIndirect(g.m.Type(s.params, s.results), 0), drops(s.results))
		})
	case 14:
		return g.branch(depth)
	case 15:
		return asm.Seq(e(asm.I64), asm.Call(0), asm.Drop)
	case 16:
		return asm.Seq(small(), e(asm.I32), small(), asm.MemoryFill)
	case 17:
		return asm.Seq(small(), small(), small(), asm.MemoryCopy)
	case 18:
		return asm.Seq(small(), small(), small(), asm.Op(0xfc, 0x08, byte(g.lastData()), 0)) // memory.init
	case 19:
		if g.pick(2) == 0 {
			return asm.Op(0xfc, 0x09, byte(g.lastData())) // data.drop
		}
		return asm.Op(0xfc, 0x0d, 1) // elem.drop
	case 20:
		return asm.Seq(small(), ref(), asm.Op(0x26, byte(table))) // table.set
	case 21:
		return asm.Seq(small(), ref(), small(), asm.Op(0xfc, 0x11, byte(table))) // table.fill
	case 22:
		if table == 1 {
			return asm.Seq(small(), small(), small(), asm.Op(0xfc, 0x0e, 1, 1)) // table.copy
		}
		return asm.Seq(small(), small(), small(), asm.Op(0xfc, 0x0c, 1, 0)) // table.init
	case 23, 24:
		return g.dispatch(depth)
	case 25, 26:
		return g.typed(depth)
	case 27:
		return g.nested(depth)
	case 28:
		return g.choice(depth)
	case 29:
		return g.wide(depth)
	case 30:
		return g.call(g.self-g.pick(g.self), depth) // itself, or one before it, which may call it
	}
	return asm.Seq(asm.Zero(asm.V128), asm.Drop)
}

// guarded lets a call that may lead back to its caller be made only as often as the module says, so that most programs end.
func (g *generator) guarded(f int, call func() []byte) []byte {
	if f == 0 || f > g.self {
		return call()
	}
	g.blocks = append(g.blocks, "")
	defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
	return asm.Seq(asm.GlobalGet(g.again), asm.If(g.oneLess(), call()))
}

func (g *generator) oneLess() []byte {
	return asm.Seq(asm.GlobalGet(g.again), asm.Const32(1), asm.Sub32, asm.GlobalSet(g.again))
}

func (g *generator) call(f, depth int) []byte {
	return g.guarded(f, func() []byte {
		return asm.Seq(g.arguments(g.types[f].params, depth), asm.Call(f), drops(g.types[f].results))
	})
}

// typed makes a block, a loop or an if that is given values and leaves some. What goes back to the loop gives it new ones.
func (g *generator) typed(depth int) []byte {
	s := g.signature()
	given := g.arguments(s.params, depth)
	kind := g.pick(4)
	carried := s.results
	if kind > 1 {
		carried = s.params
	}
	condition := g.expression(asm.I32, depth+1)
	g.blocks = append(g.blocks, carried)
	defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
	var taken []byte
	for i := len(s.params) - 1; i >= 0; i-- {
		taken = append(taken, asm.Set(strings.Index(g.locals, s.params[i:i+1]))...)
	}
	open := func(op byte) []byte {
		return wasmbin.AppendS64([]byte{op}, int64(g.m.Type(s.params, s.results)))
	}
	leave := func() []byte { return g.arguments(s.results, depth) }
	switch kind {
	case 0:
		return asm.Seq(given, open(0x02), taken, g.statements(depth), leave(), asm.Op(0x0b), drops(s.results))
	case 1:
		return asm.Seq(given, condition, open(0x04), taken, g.statements(depth), leave(), asm.Else, drops(s.params), leave(), asm.Op(0x0b), drops(s.results))
	}
	counter := g.counter()
	again := asm.Seq(asm.Get(counter), asm.Const32(1), asm.Sub32, asm.Tee(counter), asm.Const32(0), asm.Op(0x4a)) // i32.gt_s
	body := g.statements(depth)
	switch g.pick(3) {
	case 0:
		body = asm.Seq(body, g.arguments(s.params, depth), again, asm.BrIf(0), drops(s.params))
	case 1:
		body = asm.Seq(body, again, asm.If(g.zeros(s.params), asm.Br(1)))
	case 2:
		body = asm.Seq(body, again, asm.If(g.zeros(s.params), asm.Get(counter), asm.BrTable(1, 1, 1)))
	}
	return asm.Seq(asm.Const32(g.rounds()), asm.Set(counter), given, open(0x03), taken, body, leave(), asm.Op(0x0b), drops(s.results))
}

// nested makes blocks and loops in each other, with something between their ends.
func (g *generator) nested(depth int) []byte {
	open := len(g.blocks)
	levels := 1 + g.pick(30)
	for range levels {
		g.blocks = append(g.blocks, "")
	}
	code := g.statements(depth)
	for level := levels - 1; level >= 0; level-- {
		switch g.pick(5) {
		case 0:
			code = asm.Seq(code, g.statement(depth+1))
		case 1:
			code = asm.Seq(code, asm.GlobalGet(g.again), asm.If(g.oneLess(), asm.Br(1+g.pick(level+1))))
		case 2:
			code = asm.Seq(code, asm.GlobalGet(g.again), asm.If(g.oneLess(), asm.Const32(1), asm.BrIf(1+g.pick(level+1))))
		}
		if g.pick(3) == 1 {
			code = asm.Loop(code)
		} else {
			code = asm.Block(code)
		}
		g.blocks = g.blocks[:open+level]
	}
	return code
}

// choice makes a branch to one of many places.
func (g *generator) choice(depth int) []byte {
	arms := 1 + g.pick(40)
	labels := make([]int, 1+g.pick(80))
	for i := range labels {
		if labels[i] = g.pick(arms + 1); g.pick(16) == 15 {
			if label := g.pick(len(g.blocks)); g.blocks[len(g.blocks)-1-label] == "" {
				labels[i] = arms + 2 + label // out of all of it, or back
			}
		}
	}
	first := asm.Seq(g.expression(asm.I32, depth+1), asm.Const32(127), asm.Op(0x71), asm.Set(g.number()))
	open := len(g.blocks)
	code := asm.Seq(asm.GlobalGet(g.again), asm.Eqz32, asm.BrIf(arms+1), g.oneLess(), asm.Get(g.number()), asm.BrTable(labels...))
	g.blocks = append(g.blocks, "", "")
	for arm := range arms { // the innermost block ends first
		code = asm.Block(code)
		for range arms - 1 - arm {
			g.blocks = append(g.blocks, "")
		}
		if g.pick(3) == 1 {
			code = asm.Seq(code, g.statement(depth+1))
		}
		g.blocks = g.blocks[:open+2]
		if g.pick(3) == 1 {
			code = asm.Seq(code, asm.Br(arms-1-arm+g.pick(2))) // to the loop around, or out of it
		}
	}
	g.blocks = g.blocks[:open]
	return asm.Seq(first, asm.Block(asm.Loop(code)))
}

// wide is how many pages a memory has whose parts are moved in pieces.
const wide = 36

// wide makes instructions on more than a megabyte.
func (g *generator) wide(depth int) []byte {
	if g.m.Pages != wide {
		return nil
	}
	at := func() []byte { return asm.Const32(int32(g.pick(3)<<19 + g.pick(250))) }
	length := asm.Const32(int32(1<<20 + g.pick(3)<<17 + g.pick(3)))
	if g.pick(2) == 0 {
		return asm.Seq(at(), g.expression(asm.I32, depth+1), length, asm.MemoryFill)
	}
	return asm.Seq(at(), at(), length, asm.MemoryCopy)
}

// rounds is how often a loop goes round: some of them so often that it would be seen if nobody looked.
func (g *generator) rounds() int32 {
	if g.pick(24) == 23 {
		return 10_000
	}
	return int32(1 + g.pick(20))
}

// dispatch makes what Go makes of jumps: a loop that begins with a choice of where to go on, and code that goes back to it.
func (g *generator) dispatch(depth int) []byte {
	const ways = 3
	counter, chosen := g.counter(), g.number()
	other := strings.LastIndex(g.locals[:counter], asm.I32)
	open := len(g.blocks)
	code := asm.Block(asm.Get(chosen), asm.BrTable(0, 1, 2, ways+1))
	for way := range ways {
		loop := ways - 1 - way // its label
		g.blocks = g.blocks[:open]
		for range loop + 2 {
			g.blocks = append(g.blocks, "")
		}
		code = asm.Seq(code, g.statements(depth), asm.Get(counter), asm.Const32(1), asm.Op(0x6b), asm.Tee(counter), asm.Const32(0), asm.Op(0x4c), asm.BrIf(loop+1))
		to := asm.Const32(int32(g.pick(6)) - 1)
		switch g.pick(4) {
		case 0:
			code = asm.Seq(code, g.expression(asm.I32, depth+1), to, asm.Set(other), asm.Set(chosen), asm.Br(loop))
		case 1:
			code = asm.Seq(code, to, asm.Set(other), asm.Br(loop))
		default:
			code = asm.Seq(code, to, asm.Set(chosen), asm.Br(loop))
		}
		if loop > 0 {
			code = asm.Block(code)
		}
	}
	g.blocks = g.blocks[:open]
	return asm.Seq(asm.Const32(int32(1+g.pick(20))), asm.Set(counter), asm.Const32(int32(g.pick(4))), asm.Set(chosen), asm.Block(asm.Loop(code)))
}

// lastData is the number of the passive segment.
func (g *generator) lastData() int { return bit(g.m.Pages > 0) }

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (g *generator) statements(depth int) (code []byte) {
	for range 1 + g.pick(3) {
		code = append(code, g.statement(depth+1)...)
	}
	return code
}

func (g *generator) block(of func(...[]byte) []byte, depth int) []byte {
	g.blocks = append(g.blocks, "")
	defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
	return of(g.statements(depth))
}

// counter is the local that loops count down.
func (g *generator) counter() int { return len(g.locals) - 1 }

// loop makes a loop that goes round a few times; rarely one that may not end.
func (g *generator) loop(depth int) []byte {
	counter := g.counter()
	rounds := g.rounds()
	endless := g.pick(16) == 15
	g.blocks = append(g.blocks, "")
	body := g.statements(depth)
	if endless {
		body = append(body, asm.Seq(g.expression(asm.I32, depth+1), asm.BrIf(0))...)
	}
	g.blocks = g.blocks[:len(g.blocks)-1]
	if endless {
		return asm.Loop(body)
	}
	// An inner loop has the same counter, and leaves it at zero: the outer one then ends.
	return asm.Seq(asm.Const32(rounds), asm.Set(counter),
		asm.Loop(body, asm.Get(counter), asm.Const32(1), asm.Op(0x6b), asm.Tee(counter), asm.Const32(0), asm.Op(0x4a), asm.BrIf(0)))
}

// branch makes one to any block that is open. Those that are loops look like the others, so some go back to a beginning.
func (g *generator) branch(depth int) []byte {
	n := len(g.blocks)
	label := g.pick(n)
	carried := g.blocks[n-1-label]
	inside := func() []byte { // what the branch carries, made in a block of its own
		g.blocks = append(g.blocks, "")
		defer func() { g.blocks = g.blocks[:n] }()
		return g.arguments(carried, depth)
	}
	condition := g.expression(asm.I32, depth+1)
	switch g.pick(4) {
	case 0:
		return asm.Seq(condition, asm.If(inside(), asm.Br(label+1)))
	case 1:
		other := label
		for l := range n {
			if g.blocks[n-1-l] == carried && g.pick(2) == 1 {
				other = l
			}
		}
		return asm.Seq(condition, asm.Set(g.number()), asm.Block(inside(), asm.Get(g.number()), asm.BrTable(label+1, other+1, label+1)))
	case 2:
		g.blocks = append(g.blocks, "")
		results := g.arguments(g.results, depth)
		g.blocks = g.blocks[:n]
		return asm.Seq(condition, asm.If(results, asm.Return))
	}
	return asm.Seq(g.arguments(carried, depth), condition, asm.BrIf(label), drops(carried))
}

// number is a local of type i32 that is no loop's.
func (g *generator) number() int { return strings.Index(g.locals, asm.I32) }

func (g *generator) code(of ...byte) byte { return one(g, of...) }

func (g *generator) arguments(types string, depth int) (code []byte) {
	for _, t := range types {
		code = append(code, g.expression(string(t), depth+1)...)
	}
	return code
}

func (g *generator) zeros(types string) (code []byte) {
	for _, t := range types {
		code = append(code, asm.Zero(string(t))...)
	}
	return code
}

func drops(types string) (code []byte) {
	for range types {
		code = append(code, asm.Drop...)
	}
	return code
}

func (g *generator) funcRef(depth int) []byte {
	if g.pick(4) == 0 || depth > 6 {
		return asm.Zero(asm.FuncRef)
	}
	return asm.RefFunc(one(g, g.known...))
}

// address makes one that is mostly within the memory.
func (g *generator) address(depth int) []byte {
	a := g.expression(asm.I32, depth+1)
	if g.pick(16) == 15 {
		return a
	}
	return asm.Seq(a, asm.Const32(0xfff), asm.Op(0x71))
}

func (g *generator) store(depth int) []byte {
	stores := map[string][]byte{asm.I32: {0x36, 0x3a, 0x3b}, asm.I64: {0x37, 0x3c, 0x3d, 0x3e}, asm.F32: {0x38}, asm.F64: {0x39}}
	t := numbers[g.pick(4)]
	return asm.Seq(g.address(depth), g.expression(t, depth+1), asm.Op(stores[t][g.pick(len(stores[t]))], 0, byte(g.pick(100))))
}

// expression makes code that leaves a value.
func (g *generator) expression(t string, depth int) []byte {
	if g.deep(depth) {
		return g.leaf(t)
	}
	switch g.pick(10) {
	case 0, 1, 2:
		return g.leaf(t)
	case 3:
		g.blocks = append(g.blocks, t)
		defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
		code := g.statements(depth)
		if g.pick(2) == 1 {
			code = asm.Seq(code, g.expression(t, depth+1), g.expression(asm.I32, depth+1), asm.BrIf(0), asm.Drop)
		}
		return asm.Typed(0x02, t, code, g.expression(t, depth+1))
	case 4:
		c := g.expression(asm.I32, depth+1)
		g.blocks = append(g.blocks, t)
		defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
		return asm.Seq(c, asm.Typed(0x04, t, g.expression(t, depth+1), asm.Else, g.expression(t, depth+1)))
	case 5:
		for f, s := range g.types {
			if s.results == t && g.pick(3) != 1 {
				if f == 0 || f > g.self {
					return asm.Seq(g.arguments(s.params, depth), asm.Call(f))
				}
				g.blocks = append(g.blocks, t)
				defer func() { g.blocks = g.blocks[:len(g.blocks)-1] }()
				return asm.Seq(asm.GlobalGet(g.again), asm.Typed(0x04, t, g.oneLess(), g.arguments(s.params, depth), asm.Call(f), asm.Else, g.leaf(t)))
			}
		}
		return g.leaf(t)
	}
	e := func(t string) []byte { return g.expression(t, depth+1) }
	switch t {
	case asm.I32:
		return g.expression32(e, depth)
	case asm.I64:
		switch g.pick(6) {
		case 0:
			return asm.Seq(e(asm.I64), asm.Op(g.code(0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4)))
		case 1:
			return asm.Seq(e(asm.I32), asm.Op(g.code(0xac, 0xad)))
		case 2:
			return asm.Seq(e(asm.F64), asm.Op(g.code(0xb0, 0xb1, 0xbd)))
		case 3:
			return asm.Seq(g.address(depth), asm.Op(g.code(0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35), 0, byte(g.pick(100))))
		case 4:
			return asm.Seq(e(asm.F32), asm.Op(0xfc, g.code(0x04, 0x05)))
		}
		return asm.Seq(e(asm.I64), e(asm.I64), asm.Op(byte(0x7c+g.pick(15))))
	case asm.F32:
		switch g.pick(4) {
		case 0:
			return asm.Seq(e(asm.I32), asm.Op(g.code(0xb2, 0xb3)))
		case 1:
			return g.canonical(t, asm.Seq(e(asm.F64), asm.Op(0xb6)))
		case 2:
			return g.canonical(t, asm.Seq(e(asm.F32), asm.Op(byte(0x8d+g.pick(5)))))
		}
		return g.canonical(t, asm.Seq(e(asm.F32), e(asm.F32), asm.Op(byte(0x92+g.pick(6)))))
	case asm.F64:
		switch g.pick(5) {
		case 0:
			return asm.Seq(e(asm.I64), asm.Op(g.code(0xb9, 0xba)))
		case 1:
			return g.canonical(t, asm.Seq(e(asm.F32), asm.Op(0xbb)))
		case 2:
			return g.canonical(t, asm.Seq(e(asm.F64), asm.Op(byte(0x9b+g.pick(5)))))
		case 3:
			return g.canonical(t, asm.Seq(g.address(depth), asm.Op(0x2b, 0, byte(g.pick(100)))))
		}
		return g.canonical(t, asm.Seq(e(asm.F64), e(asm.F64), asm.Op(byte(0xa0+g.pick(6)))))
	}
	return g.leaf(t)
}

func (g *generator) expression32(e func(string) []byte, depth int) []byte {
	switch g.pick(12) {
	case 0:
		return asm.Seq(e(asm.I32), asm.Op(g.code(0x45, 0x67, 0x68, 0x69, 0xc0, 0xc1)))
	case 1:
		return asm.Seq(e(asm.I64), asm.Op(g.code(0x50, 0xa7)))
	case 2:
		return asm.Seq(e(asm.I64), e(asm.I64), asm.Op(byte(0x51+g.pick(10))))
	case 3:
		return asm.Seq(e(asm.F64), e(asm.F64), asm.Op(byte(0x61+g.pick(6))))
	case 4:
		return asm.Seq(e(asm.F32), asm.Op(g.code(0xa8, 0xa9, 0xbc)))
	case 5:
		return asm.Seq(g.address(depth), asm.Op(g.code(0x28, 0x2c, 0x2d, 0x2e, 0x2f), 0, byte(g.pick(100))))
	case 6:
		return asm.Seq(e(asm.I32), asm.Const32(3), asm.Op(0x71), asm.MemoryGrow)
	case 7:
		if g.pick(2) == 0 {
			return asm.Seq(asm.Zero(asm.ExternRef), e(asm.I32), asm.Const32(7), asm.Op(0x71), asm.Op(0xfc, 0x0f, 1)) // table.grow
		}
		return asm.Seq(g.funcRef(depth), e(asm.I32), asm.Const32(7), asm.Op(0x71), asm.Op(0xfc, 0x0f, 0))
	case 8:
		return one(g, asm.MemorySize, asm.Op(0xfc, 0x10, 0), asm.Op(0xfc, 0x10, 1))
	case 9:
		return asm.Seq(e(asm.I32), asm.Const32(7), asm.Op(0x71), asm.Op(0x25, 0), asm.Op(0xd1)) // table.get, ref.is_null
	case 10:
		return asm.Seq(e(asm.I32), e(asm.I32), e(asm.I32), asm.Select)
	}
	return asm.Seq(e(asm.I32), e(asm.I32), asm.Op(g.code(0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78,
		0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f)))
}

// canonical makes one NaN of all.
func (g *generator) canonical(t string, code []byte) []byte {
	scratch := len(g.locals) - 1
	for ; g.locals[scratch:scratch+1] != t; scratch-- { // each function has locals of all types
	}
	nan, eq := asm.ConstF32(float32(math.NaN())), asm.Op(0x5b)
	if t == asm.F64 {
		nan, eq = asm.ConstF64(math.NaN()), asm.Op(0x61)
	}
	return asm.Seq(code, asm.Tee(scratch), nan, asm.Get(scratch), asm.Get(scratch), eq, asm.Select)
}

func one[T any](g *generator, of ...T) T { return of[g.pick(len(of))] }

// leaf makes a constant or reads a variable.
func (g *generator) leaf(t string) []byte {
	switch g.pick(3) {
	case 1:
		for i := range g.locals {
			if at := (i + g.pick(4)) % len(g.locals); g.locals[at:at+1] == t {
				return asm.Get(at)
			}
		}
	case 2:
		for i, global := range g.m.Globals {
			if global.Type == t {
				return asm.GlobalGet(i)
			}
		}
	}
	switch t {
	case asm.I32:
		return asm.Const32(int32(g.number64()))
	case asm.I64:
		return asm.Const64(g.number64())
	case asm.F32:
		return asm.ConstF32(float32(g.number64()) / 4)
	case asm.F64:
		return asm.ConstF64(float64(g.number64()) / 4)
	}
	return asm.Zero(t)
}

// number64 makes numbers of all sizes.
func (g *generator) number64() int64 {
	switch g.pick(6) {
	case 1:
		return []int64{math.MinInt64, math.MaxInt64, math.MinInt32, math.MaxInt32, -1, 1 << 31, 1 << 32, 65536}[g.pick(8)]
	case 2:
		var b [8]byte
		g.in = g.in[copy(b[:], g.in):]
		return int64(binary.LittleEndian.Uint64(b[:]))
	}
	return int64(g.pick(256))
}
