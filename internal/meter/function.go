package meter

import "github.com/cdcd-project/cdcd/internal/wasmbin"

// function rewrites one function after the other.
//
// A loop that calls nothing that takes fuel has it in a local, where compiled code keeps it in a register, and so has all of a function
// that chooses by a table where it goes on. It is put back for everybody else: when the loop is left, before calls, and when the function
// ends. The rest takes it from the global.
type function struct {
	*rewriter
	out        []byte
	marks      []mark
	nest       []int // marks of the blocks around, the function first
	loops      []int // marks of the loops around
	locals     []loopLocals
	types      []byte // of the first locals
	before     before
	dispatches []dispatch
	breaths    []int // numbers of instructions, from 1, behind which there is a mark, and a look
	stretch    stretch
	open       []branch
	whole      bool   // the fuel is in the local from the beginning to the end
	inLocal    bool   // the fuel is in the local here
	region     int    // how many blocks are open outside of the loop that has the fuel in the local; 0: there is none
	spare      uint32 // local of type i64: the fuel, if it is in a local
	length     uint32 // local of type i32
	to         uint32 // locals of type i32, in functions with bulk instructions only
	from       uint32
	bulk       bool // it is one
}

// rewrite returns the body of a function, without its size. The slice is reused.
func (f *function) rewrite(number uint32, b *wasmbin.Body) []byte {
	f.places(number, b)
	t := f.m.Types[f.m.Funcs[number]]
	f.spare = uint32(len(t.Params) + b.Locals)
	f.length, f.to, f.from = f.spare+1, f.spare+2, f.spare+3
	locals := []byte{1, wasmbin.I64, 1, wasmbin.I32}
	if f.bulk {
		locals[2] = 3
	}
	f.out = append(f.out[:0], grown(b.Groups, 2, locals)...)
	f.inLocal, f.region = f.whole, 0
	if f.whole {
		f.load()
	}
	if p := f.prices[number]; p.self {
		f.charge(f.marks[0].place, false)
	} else if !p.paid {
		f.charge(f.marks[0].place, !f.beginsWithLoop())
	}
	if f.whole { // what branches to the end of the function, and returns, ends here
		f.out = append(f.out, byte(wasmbin.Block))
		f.out = append(f.out, f.blockType(t.Results)...)
	}
	f.nest, f.before = append(f.nest[:0], 0), before{}
	next, n, breaths := 1, 0, f.breaths
	code := b.Walk()
	for i, ok := code.Next(); ok; i, ok = code.Next() {
		shift, long := lengthCost(i.Op)
		switch {
		case i.Op == wasmbin.Call || i.Op == wasmbin.CallIndirect:
			f.call(number, i)
		case i.Op == wasmbin.RefFunc:
			f.local(byte(i.Op), f.shift(i.Index))
		case long:
			f.chargeLength(shift)
			if inPieces(i.Op) {
				f.pieces(i)
			} else {
				f.out = append(f.out, i.Bytes...)
			}
		case i.Op == wasmbin.Loop && f.marks[next].again:
			if f.marks[next].region {
				f.load()
				f.inLocal, f.region = true, len(f.nest)
			}
			f.loop(i, f.marks[next])
		case i.Op == wasmbin.Br || i.Op == wasmbin.BrIf || i.Op == wasmbin.BrTable:
			f.branch(i)
		case i.Op == wasmbin.Return && f.whole:
			f.local(byte(wasmbin.Br), uint32(len(f.nest)-1))
		case i.Op == wasmbin.Return && f.inLocal:
			f.store()
			f.out = append(f.out, i.Bytes...)
		case i.Op == wasmbin.End && f.region > 0 && len(f.nest) == f.region+1:
			f.out = append(f.out, i.Bytes...)
			f.store()
			f.inLocal, f.region = false, 0
		case i.Op == wasmbin.Unreachable && f.inLocal:
			f.store()
			f.out = append(f.out, i.Bytes...)
		default:
			f.out = append(f.out, i.Bytes...)
		}
		n++
		breath := len(breaths) > 0 && breaths[0] == n
		if breath {
			breaths = breaths[1:]
		}
		if breath || isMark(i.Op) {
			f.nested(i, next)
			if m := f.marks[next]; m.place > 0 {
				f.charge(m.place, breath || m.look || !f.inLocal && m.op == wasmbin.Loop)
			}
			next++
		}
		f.before.follow(i)
	}
	if f.whole {
		f.store()
		f.out = append(f.out, byte(wasmbin.End))
	}
	return f.out
}

// loop begins a loop, and looks whether there is fuel. After the host has given some the loop is begun anew where it can be: that
// disturbs the registers of the compiled code less than a join does.
func (f *function) loop(i wasmbin.Instr, m mark) {
	f.out = append(f.out, i.Bytes...)
	if !m.headed || !f.inLocal {
		return
	}
	f.fuelNow()
	if !m.plain {
		f.out = append(f.out, 0x42, 0, 0x59) // i64.const 0, i64.ge_s
		f.orYield()
		return
	}
	f.out = append(f.out, 0x42, 0, 0x53, byte(wasmbin.If), 0x40) // i64.const 0, i64.lt_s, if
	f.visit()
	f.out = append(f.out, byte(wasmbin.Br), 1, byte(wasmbin.End))
}

// branch writes a branch.
func (f *function) branch(i wasmbin.Instr) {
	labels := f.labels(i)
	if i.Op == wasmbin.BrTable {
		if f.leaves(i) {
			f.store()
		}
		n, _ := u32(i.Bytes[1:])
		f.out = wasmbin.AppendU32(append(f.out, byte(i.Op)), n)
		for label, ok := labels(); ok; label, ok = labels() {
			f.out = wasmbin.AppendU32(f.out, f.label(label))
		}
		return
	}
	label, _ := labels()
	if forward, ok := f.threaded(i); ok {
		label = forward
	}
	if f.leaves(i) {
		f.leave(i, label)
		return
	}
	if i.Op == wasmbin.BrIf && int64(label) < int64(len(f.nest)) {
		if m := f.marks[f.nest[len(f.nest)-1-int(label)]]; m.op == wasmbin.Loop && m.plain { // the compiler makes better code of this
			f.out = append(f.out, byte(wasmbin.If), 0x40)
			f.back(m, label+1)
			f.local(byte(wasmbin.Br), label+1)
			f.out = append(f.out, byte(wasmbin.End))
			return
		}
	}
	if i.Op == wasmbin.Br && int64(label) < int64(len(f.nest)) {
		f.back(f.marks[f.nest[len(f.nest)-1-int(label)]], label)
	}
	f.local(byte(i.Op), f.label(label))
}

// leaves reports whether a branch may lead out of the loop that has the fuel in the local.
func (f *function) leaves(i wasmbin.Instr) bool {
	if f.region == 0 {
		return false
	}
	labels := f.labels(i)
	for label, ok := labels(); ok; label, ok = labels() {
		if int64(label) >= int64(len(f.nest)-f.region) && int64(label) < int64(len(f.nest)) {
			return true
		}
	}
	return false
}

// leave writes a branch that leads out of the loop that has the fuel in the local.
func (f *function) leave(i wasmbin.Instr, label uint32) {
	m := f.marks[f.nest[len(f.nest)-1-int(label)]]
	if i.Op == wasmbin.BrIf && !m.plain {
		f.store() // what goes on within the loop does not see it
		f.local(byte(i.Op), label)
		return
	}
	if i.Op == wasmbin.BrIf {
		f.out = append(f.out, byte(wasmbin.If), 0x40)
		label++
	}
	f.store()
	f.inLocal = false
	f.back(m, label)
	f.inLocal = true
	f.local(byte(wasmbin.Br), label)
	if i.Op == wasmbin.BrIf {
		f.out = append(f.out, byte(wasmbin.End))
	}
}

// back charges for another round of a loop, and looks whether there is so much, before a branch back to it. What is paid for is done
// for the first time with what comes before the loop.
//
// A variable that has several values at the head of a loop, as most have, is written to the stack each round by compiled code if it is
// needed behind a call anywhere in it. So the call of the host is here, where values are those of one path, and it works on copies.
func (f *function) back(m mark, label uint32) {
	if m.op != wasmbin.Loop || m.headed {
		return
	}
	f.fuelNow()
	f.out = wasmbin.AppendS64(append(f.out, 0x42), int64(m.round))
	f.out = append(f.out, 0x7d) // i64.sub
	f.local(0x22, f.spare)
	if !f.inLocal {
		f.set(f.fuel)
		f.local(0x20, f.spare)
	}
	f.out = append(f.out, 0x42, 0, 0x59, byte(wasmbin.If), 0x40) // i64.const 0, i64.ge_s, if
	f.local(byte(wasmbin.Br), label+1)
	f.out = append(f.out, byte(wasmbin.End))
	if f.inLocal {
		f.copies(&f.locals[m.locals])
	}
	f.visit()
}

// copies gives the locals of a loop new values that are the same.
func (f *function) copies(l *loopLocals) {
	for k, local := range l.seen[:l.n] {
		if !l.from[k] || int(local) >= len(f.types) {
			continue
		}
		switch f.types[local] {
		case wasmbin.I32:
			f.local(0x20, local)
			f.out = append(f.out, 0x41, 0, 0x72) // i32.const 0, i32.or
			f.local(0x21, local)
		case wasmbin.I64:
			f.local(0x20, local)
			f.out = append(f.out, 0x42, 0, 0x84) // i64.const 0, i64.or
			f.local(0x21, local)
		}
	}
}

// label returns a label. What leads out of the function is not valid, and does not become so by the block around it.
func (f *function) label(l uint32) uint32 {
	if int64(l) >= int64(len(f.nest)) {
		return 1 << 31
	}
	return l
}

// charge takes fuel, and looks whether there was enough if it is checked. It leaves the stack as it was.
func (f *function) charge(cost uint32, checked bool) {
	f.fuelNow()
	f.out = append(f.out, 0x42)
	f.out = wasmbin.AppendS64(f.out, int64(cost))
	f.take(checked)
}

// take takes what is on the stack from the fuel below it.
func (f *function) take(checked bool) {
	f.out = append(f.out, 0x7d) // i64.sub
	switch {
	case f.inLocal && checked:
		f.local(0x22, f.spare) // local.tee
	case f.inLocal:
		f.local(0x21, f.spare) // local.set
	case checked:
		f.local(0x22, f.spare)
		f.set(f.fuel)
		f.local(0x20, f.spare)
	default:
		f.set(f.fuel)
	}
	if checked {
		f.out = append(f.out, 0x42, 0, 0x59) // i64.const 0, i64.ge_s
		f.orYield()
	}
}

// chargeLength takes fuel for the length on top of the stack, which stays there.
func (f *function) chargeLength(shift int) {
	f.local(0x21, f.length)
	f.fuelNow()
	f.local(0x20, f.length)
	f.out = append(f.out, 0xad, 0x42) // i64.extend_i32_u, i64.const
	if shift < 0 {
		f.out = append(wasmbin.AppendS64(f.out, int64(-shift)), 0x86) // i64.shl
	} else {
		f.out = append(wasmbin.AppendS64(f.out, int64(shift)), 0x88) // i64.shr_u
	}
	f.take(true)
	f.local(0x20, f.length)
}

// inPieces says whether an instruction may be about more memory than can be moved at one go: the engine does not come up for air
// within an instruction.
func inPieces(op wasmbin.Op) bool {
	return op == wasmbin.MemoryCopy || op == wasmbin.MemoryFill || op == wasmbin.MemoryInit
}

// piece is how many bytes are moved at one go.
const piece = 1 << 20

// pieces writes a bulk instruction, whose operands are on the stack, in pieces with a visit of the host after each. It has been
// charged for.
func (f *function) pieces(i wasmbin.Instr) {
	const add, sub, ltU, gtU, or = 0x6a, 0x6b, 0x49, 0x4b, 0x72
	op := func(code ...byte) { f.out = append(f.out, code...) }
	number := func(n int64) { f.out = wasmbin.AppendS64(append(f.out, 0x41), n) }
	get := func(local uint32) { f.local(0x20, local) }
	set := func(local uint32) { f.local(0x21, local) }
	sum := func(local uint32) { get(local); get(f.length); op(add) }
	whole := func() { get(f.to); get(f.from); get(f.length); op(i.Bytes...) }
	moves := i.Op != wasmbin.MemoryFill // else the second operand is a value

	set(f.length)
	set(f.from)
	set(f.to)
	get(f.length)
	number(piece)
	op(gtU, 0x04, 0x40) // if it is long

	// What does not fit fails before anything is written: as a whole if an end is beyond all addresses, else with no bytes there.
	sum(f.to)
	get(f.to)
	op(ltU)
	if moves {
		sum(f.from)
		get(f.from)
		op(ltU, or)
	}
	op(0x04, 0x40)
	whole()
	op(0x0b)
	sum(f.to)
	get(f.from)
	if moves {
		get(f.length)
		op(add)
	}
	number(0)
	op(i.Bytes...)

	forward := func() {
		op(0x03, 0x40) // loop
		get(f.to)
		get(f.from)
		number(piece)
		op(i.Bytes...)
		for _, local := range []uint32{f.to, f.from} {
			if local == f.from && !moves {
				continue
			}
			get(local)
			number(piece)
			op(add)
			set(local)
		}
		f.endPiece(func() { get(f.length); number(piece); op(sub); set(f.length) })
	}
	if i.Op != wasmbin.MemoryCopy {
		forward()
	} else { // the pieces of what overlaps are moved in the order that does not write over what has yet to be read
		get(f.from)
		get(f.to)
		op(ltU, 0x04, 0x40) // if from < to: from the end
		op(0x03, 0x40)      // loop
		get(f.length)
		number(piece)
		op(sub)
		set(f.length)
		sum(f.to)
		sum(f.from)
		number(piece)
		op(i.Bytes...)
		f.endPiece(func() {})
		op(0x05) // else
		forward()
		op(0x0b)
	}
	op(0x0b)
	whole() // what is left
}

// endPiece ends the loop over pieces after what is still to be done in it.
func (f *function) endPiece(rest func()) {
	rest()
	f.visit()
	f.local(0x20, f.length)
	f.out = wasmbin.AppendS64(append(f.out, 0x41), piece)
	f.out = append(f.out, 0x4b, 0x0d, 0, 0x0b) // i32.gt_u, br_if 0, end
}

// call writes a call, between adding and taking away the frame if it is counted.
func (f *function) call(caller uint32, i wasmbin.Instr) {
	frame, counted := f.calls.counted(caller, i)
	callee := price{}
	if i.Op == wasmbin.Call {
		callee = f.prices[i.Index]
	}
	if f.inLocal && !callee.silent {
		f.store()
	}
	if counted {
		f.get(f.depth)
		f.out = append(f.out, 0x41)
		f.out = wasmbin.AppendS64(f.out, int64(frame))
		f.out = append(f.out, 0x6a) // i32.add
		f.local(0x22, f.length)
		f.set(f.depth)
		f.local(0x20, f.length)
		f.out = append(f.out, 0x41)
		f.out = wasmbin.AppendS64(f.out, int64(f.limits.Depth))
		f.out = append(f.out, 0x4d) // i32.le_u
		f.orYield()
	}
	if i.Op == wasmbin.Call {
		f.local(byte(i.Op), f.shift(i.Index))
	} else {
		f.out = append(f.out, i.Bytes...)
	}
	if counted {
		f.get(f.depth)
		f.out = append(f.out, 0x41)
		f.out = wasmbin.AppendS64(f.out, int64(frame))
		f.out = append(f.out, 0x6b) // i32.sub
		f.set(f.depth)
	}
	if f.inLocal && !callee.steady {
		f.load()
	}
}

// orYield calls the host unless what is on the stack is true. The compiler keeps values in registers behind a join if they are in
// registers at the end of the first branch, so the branch that is taken comes first, though there is nothing in it.
func (f *function) orYield() {
	f.out = append(f.out, byte(wasmbin.If), 0x40, byte(wasmbin.Else))
	f.visit()
	f.out = append(f.out, byte(wasmbin.End))
}

// visit calls the host, which may give fuel. Behind it the global lacks as much as it did before: what it says behind a trap must not
// depend on when the host was visited.
func (f *function) visit() {
	const sub, add = 0x7d, 0x7c
	if !f.inLocal {
		f.local(byte(wasmbin.Call), f.yield)
		return
	}
	f.get(f.fuel)
	f.local(0x20, f.spare)
	f.out = append(f.out, sub)
	f.store()
	f.local(byte(wasmbin.Call), f.yield)
	f.load()
	f.local(0x20, f.spare)
	f.out = append(f.out, add)
	f.set(f.fuel)
}

// fuelNow puts the fuel on the stack.
func (f *function) fuelNow() {
	if f.inLocal {
		f.local(0x20, f.spare)
	} else {
		f.get(f.fuel)
	}
}

// load takes the fuel into the local, and store puts it back.
func (f *function) load() {
	f.get(f.fuel)
	f.local(0x21, f.spare)
}

func (f *function) store() {
	f.local(0x20, f.spare)
	f.set(f.fuel)
}

func (f *function) get(global uint32) { f.local(0x23, global) }
func (f *function) set(global uint32) { f.local(0x24, global) }

// local writes an instruction with an index.
func (f *function) local(op byte, index uint32) {
	f.out = wasmbin.AppendU32(append(f.out, op), index)
}
