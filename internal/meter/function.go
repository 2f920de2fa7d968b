package meter

import "github.com/cdcd-project/cdcd/internal/wasmbin"

// function rewrites one function after the other.
type function struct {
	*rewriter
	out    []byte
	costs  []int64 // of the entry, and of each loop in order
	open   []int   // while costs are summed: the place that each open block's code is charged to
	spare  uint32  // local of type i64
	length uint32  // local of type i32
	to     uint32  // locals of type i32, in functions with bulk instructions only
	from   uint32
	bulk   bool // it is one
}

// rewrite returns the body of a function, without its size. The slice is reused.
func (f *function) rewrite(number uint32, b *wasmbin.Body) []byte {
	f.sum(b)
	params := len(f.m.Types[f.m.Funcs[number]].Params)
	f.spare = uint32(params + b.Locals)
	f.length, f.to, f.from = f.spare+1, f.spare+2, f.spare+3
	locals := []byte{1, wasmbin.I64, 1, wasmbin.I32}
	if f.bulk {
		locals[2] = 3
	}
	f.out = append(f.out[:0], grown(b.Groups, 2, locals)...)
	f.charge(f.costs[0])
	place := 1
	code := b.Walk()
	for i, ok := code.Next(); ok; i, ok = code.Next() {
		shift, long := lengthCost(i.Op)
		switch {
		case i.Op == wasmbin.Loop:
			f.out = append(f.out, i.Bytes...)
			f.charge(f.costs[place])
			place++
		case i.Op == wasmbin.Call || i.Op == wasmbin.CallIndirect:
			f.call(number, i)
		case i.Op == wasmbin.RefFunc:
			f.out = append(f.out, byte(i.Op))
			f.out = wasmbin.AppendU32(f.out, f.shift(i.Index))
		case long:
			f.chargeLength(shift)
			if inPieces(i.Op) {
				f.pieces(i)
			} else {
				f.out = append(f.out, i.Bytes...)
			}
		default:
			f.out = append(f.out, i.Bytes...)
		}
	}
	return f.out
}

// sum finds out what the entry and each loop are charged.
func (f *function) sum(b *wasmbin.Body) {
	f.costs, f.open, f.bulk = append(f.costs[:0], 1), append(f.open[:0], 0), false
	code := b.Walk()
	for i, ok := code.Next(); ok; i, ok = code.Next() {
		here := f.open[len(f.open)-1]
		switch i.Op {
		case wasmbin.Loop:
			f.open = append(f.open, len(f.costs))
			f.costs = append(f.costs, 1)
		case wasmbin.Block, wasmbin.If:
			f.open = append(f.open, here)
		case wasmbin.End:
			f.open = f.open[:len(f.open)-1]
		}
		f.costs[here] += Cost(i.Op)
		f.bulk = f.bulk || inPieces(i.Op)
	}
}

// charge takes fuel. It leaves the stack as it was.
func (f *function) charge(cost int64) {
	f.get(f.fuel)
	f.out = append(f.out, 0x42)
	f.out = wasmbin.AppendS64(f.out, cost)
	f.take()
}

// take takes what is on the stack from the fuel below it.
func (f *function) take() {
	f.out = append(f.out, 0x7d) // i64.sub
	f.local(0x22, f.spare)      // local.tee
	f.set(f.fuel)
	f.local(0x20, f.spare)
	f.out = append(f.out, 0x42, 0, 0x53, 0x04, 0x40, 0x10) // i64.const 0, i64.lt_s, if, call
	f.out = wasmbin.AppendU32(f.out, f.yield)
	f.out = append(f.out, 0x0b)
}

// chargeLength takes fuel for the length on top of the stack, which stays there.
func (f *function) chargeLength(shift int) {
	f.local(0x22, f.length)
	f.get(f.fuel)
	f.local(0x20, f.length)
	f.out = append(f.out, 0xad, 0x42) // i64.extend_i32_u, i64.const
	if shift < 0 {
		f.out = append(wasmbin.AppendS64(f.out, int64(-shift)), 0x86) // i64.shl
	} else {
		f.out = append(wasmbin.AppendS64(f.out, int64(shift)), 0x88) // i64.shr_u
	}
	f.take()
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
	f.out = append(f.out, 0x10)
	f.out = wasmbin.AppendU32(f.out, f.yield)
	f.local(0x20, f.length)
	f.out = wasmbin.AppendS64(append(f.out, 0x41), piece)
	f.out = append(f.out, 0x4b, 0x0d, 0, 0x0b) // i32.gt_u, br_if 0, end
}

// call writes a call, between adding and taking away the frame if it may be one of a cycle.
func (f *function) call(caller uint32, i wasmbin.Instr) {
	frame, counted := f.calls.counted(caller, i)
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
		f.out = append(f.out, 0x4b, 0x04, 0x40, 0x10) // i32.gt_u, if, call
		f.out = wasmbin.AppendU32(f.out, f.yield)
		f.out = append(f.out, 0x0b)
	}
	if i.Op == wasmbin.Call {
		f.out = append(f.out, byte(i.Op))
		f.out = wasmbin.AppendU32(f.out, f.shift(i.Index))
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
}

func (f *function) get(global uint32) { f.local(0x23, global) }
func (f *function) set(global uint32) { f.local(0x24, global) }

// local writes an instruction with an index.
func (f *function) local(op byte, index uint32) {
	f.out = wasmbin.AppendU32(append(f.out, op), index)
}
