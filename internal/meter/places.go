package meter

import (
	"slices"

	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// mark is where code begins that is not always run when the code before it is: behind an instruction that branches, that is
// branched to, or that chooses.
type mark struct {
	op     wasmbin.Op // that instruction; of the first mark, which is the beginning of the function, [wasmbin.Block]
	again  bool       // of a loop: branches lead back to it, so that it is one
	headed bool       // of such a loop: it is charged and looked at at its head, else where it is gone back to
	round  uint32     // of a loop that is not: what a round begins with costs
	backs  int        // of a loop: branches that lead back to it
	busy   bool       // of a block: there are calls in it that take fuel, or give the host a chance to
	locals int        // of a loop: its number among the loopLocals
	goes   int32      // of a loop that begins with a choice of where to go on: its number among the dispatches and 1
	plain  bool       // branches to the end of the block, or back to the loop, carry no values
	local  bool       // the fuel is in the local from here to the next mark
	region bool       // of a loop: it is from here to its end
	calls  bool       // between here and the next mark there are calls of functions that are not silent
	cost   uint32     // of the code between here and the next mark
	place  uint32     // what is charged here; 0: nothing, for the code is paid elsewhere
	look   bool       // and it is looked whether there is so much
	sets   uint32     // of a block: how many locals had been written when it began
}

const (
	// Code behind a branch that costs less than this is paid by the code before it, whether it is reached or not. Taking fuel
	// from a local costs less than from a global, so it is less there.
	worthAPlace      = 128
	worthALocalPlace = 24

	// The most that a call may cost in whole of a function that leaves it to its callers to pay.
	worthACall = 1000

	// Where paths come together compiled code moves the variables that have been written on one of them, be it the other one that
	// is taken. As many as this are not charged for, each further one costs so much.
	freeMoves = 64
	move      = 4

	// With more branches back to a loop than this the look is at its head: each takes some code.
	manyBacks = 3

	// What a function may do without a look at the fuel, for each word that its frame counts. On the way back from calls that are
	// nested there is such a stretch in each frame, so that all of them together are bounded as the stack is.
	unlooked = 16
)

// price is what calls of a function need to know of it.
type price struct {
	known  bool   // the rest is
	paid   bool   // the callers pay for what it always does; otherwise it does that itself, and looks whether it can, when it is entered
	silent bool   // neither it nor what it calls takes fuel, or gives the host a chance to
	steady bool   // the same but for calls that it does not come back from
	self   bool   // it pays for that itself though it is paid, and does not look: the fuel is in a local in all of it
	entry  uint32 // what it always does
	whole  uint32 // the most that it does between two looks, with what it calls of functions that are paid; without loops, in whole
}

// places finds out where in a function how much is charged, and what its price is.
func (f *function) places(number uint32, b *wasmbin.Body) price {
	locals := uint32(len(f.m.Types[f.m.Funcs[number]].Params) + b.Locals)
	p := price{known: true, paid: !f.calls.named[number] && !f.checked[number], silent: true, steady: true}
	f.marks = append(f.marks[:0], mark{op: wasmbin.Block, plain: len(f.m.Types[f.m.Funcs[number]].Results) == 0})
	f.nest, f.dispatches, f.before = append(f.nest[:0], 0), f.dispatches[:0], before{}
	f.breaths, f.bulk = f.breaths[:0], false
	f.stretch.begin()
	f.loops, f.locals = f.loops[:0], f.locals[:0]
	f.typesOf(f.m.Types[f.m.Funcs[number]].Params, b)
	alone := true // it has called nothing yet that looks, so it is at the end of the stack
	least := unlooked * f.calls.own[number]
	n, sets := 0, uint32(0)
	comesBack := false // the instruction before is a call that makes the function unsteady, if there is more behind it
	code := b.Walk()
	for i, ok := code.Next(); ok; i, ok = code.Next() {
		if comesBack && i.Op != wasmbin.Unreachable {
			p.steady = false
		}
		comesBack = false
		here := &f.marks[len(f.marks)-1]
		here.cost += uint32(Cost(i.Op))
		f.stretch.since += uint32(Cost(i.Op))
		f.stretch.peak = max(f.stretch.peak, f.stretch.since)
		n++
		switch i.Op {
		case wasmbin.Call:
			callee := f.prices[i.Index]
			if !callee.known {
				f.checked[i.Index] = true // it is in a cycle, and one of each must look
				p.paid = p.paid && i.Index != number
			}
			here.cost += callee.entry
			here.calls = here.calls || !callee.silent
			f.marks[f.nest[len(f.nest)-1]].busy = f.marks[f.nest[len(f.nest)-1]].busy || !callee.silent
			p.silent = p.silent && callee.silent
			comesBack = !callee.steady
			alone = alone && callee.silent
			f.stretch.since += callee.whole
			f.stretch.peak = max(f.stretch.peak, f.stretch.since)
			if !callee.paid {
				f.stretch.since = 0 // it has looked, or will be one that does; prices are found as the function will be rewritten
			}
		case 0x20: // local.get
			f.access(i.Index, true)
		case 0x21, 0x22: // local.set, local.tee
			sets++
			f.access(i.Index, false)
		case wasmbin.CallIndirect:
			here.calls, p.silent, comesBack, alone = true, false, true, false
			f.marks[f.nest[len(f.nest)-1]].busy = true
		case wasmbin.Br, wasmbin.BrIf, wasmbin.BrTable:
			if label, ok := f.threaded(i); ok {
				f.stretch.to(label)
			} else {
				f.branches(i)
			}
			if i.Op == wasmbin.BrTable {
				f.dispatch(i)
			}
		default:
			if _, long := lengthCost(i.Op); long {
				p.silent, p.steady = false, false
			}
			f.bulk = f.bulk || inPieces(i.Op)
		}
		if isMark(i.Op) {
			f.stretch.follow(i.Op)
			at := mark{op: i.Op, plain: f.isPlain(i), sets: sets}
			if i.Op == wasmbin.End {
				block := &f.marks[f.nest[len(f.nest)-1]]
				if moved := moves(sets-block.sets, locals); moved > 0 {
					f.stretch.since += moved
					at.cost, at.look = moved, f.stretch.since > max(least, worthACall)
					if at.look {
						f.stretch.since = 0
					}
					if block.op == wasmbin.Loop {
						block.cost += moved
					}
					p.whole = min(p.whole+2*moved, 1<<30)
				}
			}
			f.inLoops(i.Op, &at, len(f.marks))
			f.nested(i, len(f.marks))
			f.marks = append(f.marks, at)
		} else if f.stretch.since > least && (!alone || f.stretch.since > worthACall) {
			f.breaths = append(f.breaths, n)
			f.marks = append(f.marks, mark{op: wasmbin.Call})
			f.stretch.since = 0
		}
		f.before.follow(i)
	}
	loops := slices.ContainsFunc(f.marks, func(m mark) bool { return m.again })
	f.whole = len(f.dispatches) > 0
	f.regions()
	split := f.spread()
	p.whole = min(p.whole+f.stretch.peak, 1<<30)
	// What it always does may be more than what it does between two looks: its callers pay for it before they look again.
	p.paid = p.paid && max(p.whole, f.marks[0].place) <= worthACall
	if !p.paid {
		return price{known: true}
	}
	p.silent = p.silent && !split
	p.steady = p.steady && !split
	p.entry = f.marks[0].place
	if loops && f.whole {
		p.entry, p.self = 0, true
	}
	return p
}

const (
	watched = 3   // loops, the innermost ones, whose locals are looked at
	carries = 16  // locals of a loop that are looked at
	typed   = 128 // locals whose type is known
)

// loopLocals are the locals that a loop reads before it writes them, about: those that it has from the round before.
type loopLocals struct {
	seen [carries]uint32
	from [carries]bool // the round before
	n    int
}

// access sees a local read or written.
func (f *function) access(local uint32, read bool) {
	for k := max(0, len(f.loops)-watched); k < len(f.loops); k++ {
		l := &f.locals[f.marks[f.loops[k]].locals]
		if l.n < carries && !slices.Contains(l.seen[:l.n], local) {
			l.seen[l.n], l.from[l.n] = local, read
			l.n++
		}
	}
}

// typesOf finds the types of the first locals.
func (f *function) typesOf(params []byte, b *wasmbin.Body) {
	f.types = append(f.types[:0], params[:min(len(params), typed)]...)
	groups, used := u32(b.Groups)
	for g := b.Groups[used:]; groups > 0 && len(f.types) < typed; groups-- {
		n, used := u32(g)
		for ; n > 0 && len(f.types) < typed; n-- {
			f.types = append(f.types, g[used])
		}
		g = g[used+1:]
	}
}

// moves returns what it costs that paths come together behind code that has so many instructions that write locals.
func moves(sets, locals uint32) uint32 {
	if n := min(sets, locals); n > freeMoves {
		return move * (n - freeMoves)
	}
	return 0
}

func isMark(op wasmbin.Op) bool {
	switch op {
	case wasmbin.Block, wasmbin.Loop, wasmbin.If, wasmbin.Else, wasmbin.End, wasmbin.Br, wasmbin.BrIf, wasmbin.BrTable, wasmbin.Return, wasmbin.Unreachable:
		return true
	}
	return false
}

// nested keeps the marks of the blocks that are open.
func (f *function) nested(i wasmbin.Instr, mark int) {
	switch i.Op {
	case wasmbin.Block, wasmbin.Loop, wasmbin.If:
		f.nest = append(f.nest, mark)
	case wasmbin.End:
		f.nest = f.nest[:len(f.nest)-1]
	}
}

// inLoops keeps the loops that are open, and what is known of their locals, and hands on to the block around what a block that ends
// calls. It comes before [function.nested].
func (f *function) inLoops(op wasmbin.Op, at *mark, number int) {
	top := f.nest[len(f.nest)-1]
	switch {
	case op == wasmbin.Loop:
		at.locals = len(f.locals)
		f.locals = append(f.locals, loopLocals{})
		f.loops = append(f.loops, number)
	case op == wasmbin.End && len(f.nest) > 1:
		if around := &f.marks[f.nest[len(f.nest)-2]]; f.marks[top].busy {
			around.busy = true
		}
		if f.marks[top].op == wasmbin.Loop {
			f.loops = f.loops[:len(f.loops)-1]
		}
	}
}

// isPlain reports whether branches to a block, loop or if carry no values.
func (f *function) isPlain(i wasmbin.Instr) bool {
	switch i.Op {
	case wasmbin.Block, wasmbin.If, wasmbin.Loop:
	default:
		return false
	}
	number := s64(i.Bytes[1:])
	if number < 0 { // no values, or one result, in as many bytes as it was written
		return number == -64 || i.Op == wasmbin.Loop
	}
	t := f.m.Types[number]
	return i.Op == wasmbin.Loop && len(t.Params) == 0 || i.Op != wasmbin.Loop && len(t.Results) == 0
}

// branches counts branches that lead back to loops.
func (f *function) branches(i wasmbin.Instr) {
	labels := f.labels(i)
	for label, ok := labels(); ok; label, ok = labels() {
		if int64(label) >= int64(len(f.nest)) {
			continue // to nowhere: the module is not valid
		}
		f.stretch.to(label)
		if m := &f.marks[f.nest[len(f.nest)-1-int(label)]]; m.op == wasmbin.Loop {
			m.again = true
			m.backs++
			m.headed = m.headed || i.Op == wasmbin.BrTable || !m.plain || m.goes > 0 || m.backs > manyBacks
		}
	}
}

// stretch follows what has been done since the last look at the fuel, on the longest of all paths to an instruction. Paths come
// together at the ends of blocks; those that go back to a loop look there.
type stretch struct {
	since uint32
	peak  uint32  // the most that it was
	open  []joint // of the function first
}

// joint is a block that is open.
type joint struct {
	most uint32 // of the paths that lead to its end
	then uint32 // at the beginning of an if, which its else goes on from
	is   wasmbin.Op
}

func (s *stretch) begin() {
	s.since, s.peak, s.open = 0, 0, append(s.open[:0], joint{})
}

// to is a branch.
func (s *stretch) to(label uint32) {
	if j := &s.open[len(s.open)-1-int(label)]; j.is != wasmbin.Loop {
		j.most = max(j.most, s.since)
	}
}

// follow goes on behind an instruction.
func (s *stretch) follow(op wasmbin.Op) {
	j := &s.open[len(s.open)-1]
	switch op {
	case wasmbin.Block, wasmbin.Loop, wasmbin.If:
		s.open = append(s.open, joint{then: s.since, is: op})
	case wasmbin.Else:
		j.most, j.is = max(j.most, s.since), op
		s.since = j.then
	case wasmbin.End:
		if j.is == wasmbin.If { // there is no else
			s.since = max(s.since, j.then)
		}
		s.since = max(s.since, j.most)
		s.open = s.open[:len(s.open)-1]
	case wasmbin.Br, wasmbin.BrTable, wasmbin.Return, wasmbin.Unreachable:
		s.since = 0 // nothing comes here
	}
}

// before is what came directly before an instruction.
type before struct {
	get, set uint32 // local that was read or written, and 1
	constant int64  // value that it was written with, or that is on the stack
	is       bool   // there is such a value
}

func (b *before) follow(i wasmbin.Instr) {
	switch i.Op {
	case 0x41: // i32.const
		*b = before{constant: s64(i.Bytes[1:]), is: true}
	case 0x20: // local.get
		*b = before{get: i.Index + 1}
	case 0x21: // local.set, of what the instruction before has put on the stack
		*b = before{set: i.Index + 1, constant: b.constant, is: b.is && b.set == 0}
	default:
		*b = before{}
	}
}

// dispatch is the choice, by the value of a local, of the block behind which to go on. Go compiles a function that way: it is one
// loop that begins with it, and what jumps sets the local and goes back to the loop.
type dispatch struct {
	local uint32
	to    []place
}

// place is an open block.
type place struct {
	mark, level int
}

// dispatch finds out whether a br_table is what a loop begins with.
func (f *function) dispatch(i wasmbin.Instr) {
	if f.before.get == 0 {
		return
	}
	k := len(f.marks) - 1
	for cost := uint32(2); f.marks[k].op == wasmbin.Block && k > 0; k-- {
		if f.marks[k].cost != cost || !f.marks[k].plain {
			return
		}
		cost = 0
	}
	if m := &f.marks[k]; m.op != wasmbin.Loop || !m.plain || m.cost != 0 {
		return
	}
	d := dispatch{local: f.before.get}
	labels := f.labels(i)
	for label, ok := labels(); ok; label, ok = labels() {
		level := len(f.nest) - 1 - int(label)
		if int64(label) >= int64(len(f.nest)) {
			return
		}
		d.to = append(d.to, place{f.nest[level], level})
	}
	f.dispatches = append(f.dispatches, d)
	f.marks[k].goes = int32(len(f.dispatches))
}

// threaded reports whether a branch back to a loop comes to the end of a block around it by way of the dispatch that the loop
// begins with, and which label that is. Such a branch leads forward, and is as good as one to that label.
func (f *function) threaded(i wasmbin.Instr) (label uint32, ok bool) {
	if i.Op != wasmbin.Br || f.before.set == 0 || !f.before.is {
		return 0, false
	}
	back, _ := u32(i.Bytes[1:])
	if int64(back) >= int64(len(f.nest)) {
		return 0, false
	}
	loop := f.marks[f.nest[len(f.nest)-1-int(back)]]
	if loop.op != wasmbin.Loop || loop.goes == 0 {
		return 0, false
	}
	d := f.dispatches[loop.goes-1]
	if d.local != f.before.set {
		return 0, false
	}
	to := d.to[min(uint64(uint32(f.before.constant)), uint64(len(d.to)-1))]
	if to.level >= len(f.nest) || f.nest[to.level] != to.mark || f.marks[to.mark].op != wasmbin.Block || !f.marks[to.mark].plain {
		return 0, false
	}
	return uint32(len(f.nest) - 1 - to.level), true
}

// labels returns an iterator over the labels of a branch.
func (f *function) labels(i wasmbin.Instr) func() (label uint32, ok bool) {
	at := 1
	if i.Op == wasmbin.BrTable {
		_, used := u32(i.Bytes[1:])
		at += used
	}
	return func() (uint32, bool) {
		if at == len(i.Bytes) {
			return 0, false
		}
		label, used := u32(i.Bytes[at:])
		at += used
		return label, true
	}
}

// branch is a block, or both branches of an if, while costs are summed from its end to its beginning.
type branch struct{ sum, otherwise uint32 }

// regions finds the parts of a function that have the fuel in the local: the outermost of the loops that call nothing that needs it, or
// all of it.
func (f *function) regions() {
	depth := 0 // of blocks within the region
	for k := range f.marks {
		m := &f.marks[k]
		switch m.op {
		case wasmbin.Block, wasmbin.If, wasmbin.Loop:
			if depth > 0 {
				depth++
			} else if m.op == wasmbin.Loop && m.again && !m.busy {
				m.region, depth = true, 1
			}
		case wasmbin.End:
			depth = max(0, depth-1)
		}
		m.local = f.whole || depth > 0
		m.region = m.region && !f.whole
	}
}

// spread decides which marks become places. It reports whether any but the beginning is one.
func (f *function) spread() (split bool) {
	f.open = append(f.open[:0], branch{}) // the function itself; the last mark is its end
	for k := len(f.marks) - 2; k >= 0; k-- {
		m := &f.marks[k]
		top := &f.open[len(f.open)-1]
		top.sum += m.cost
		least := uint32(worthAPlace)
		if m.local {
			least = worthALocalPlace
		}
		switch m.op {
		case wasmbin.If, wasmbin.Else, wasmbin.End, wasmbin.BrIf:
			if top.sum >= least || m.look {
				m.place, top.sum, split = top.sum, 0, true
			}
		case wasmbin.Call:
			m.place, top.sum, split = top.sum, 0, true
		case wasmbin.Loop:
			if m.again && m.headed {
				m.place, top.sum, split = top.sum+1, 0, true
			} else if m.again {
				top.sum++
				m.round, split = top.sum, true
			}
		}
		switch m.op {
		case wasmbin.End:
			f.open = append(f.open, branch{})
		case wasmbin.Else:
			top.sum, top.otherwise = 0, top.sum
		case wasmbin.Br, wasmbin.BrTable, wasmbin.Return, wasmbin.Unreachable:
			top.sum = 0 // nothing comes here
		case wasmbin.Block, wasmbin.Loop, wasmbin.If:
			if k > 0 {
				f.open = f.open[:len(f.open)-1]
				f.open[len(f.open)-1].sum += max(top.sum, top.otherwise)
			}
		}
	}
	f.marks[0].place = f.open[0].sum + 1
	return split
}

// beginsWithLoop reports whether a function, once it is entered, comes to a loop for sure and calls nothing before that takes fuel.
func (f *function) beginsWithLoop() bool {
	for k := range f.marks {
		m := &f.marks[k]
		if m.again {
			return m.headed
		}
		if m.op != wasmbin.Block || m.calls {
			return false
		}
	}
	return false
}
