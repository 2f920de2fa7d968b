package meter

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	asm "github.com/cdcd-project/cdcd/internal/wasmasm"
)

// jumps is a function as Go compiles them, whose jump back is what stands in front of it: it returns which block it came out of.
func jumps(before ...[]byte) []byte {
	const chosen, other = 1, 2
	m := asm.Module{Funcs: []asm.Func{{Export: "f", Params: asm.I32, Results: asm.I32, Locals: asm.I32 + asm.I32 + asm.I32, Code: asm.Seq(
		asm.Block( // 3: returns 30
			asm.Loop(
				asm.Block( // 2: returns 20
					asm.Block( // 1: returns 10
						asm.Block( // 0: jumps, once
							asm.Get(chosen), asm.BrTable(0, 1, 2, 4)),
						asm.Get(3), asm.If(asm.Const32(77), asm.Return), asm.Const32(1), asm.Set(3),
						asm.Seq(before...), asm.Br(2)),
					asm.Const32(10), asm.Get(other), asm.Add32, asm.Return),
				asm.Const32(20), asm.Get(other), asm.Add32, asm.Return)),
		asm.Const32(30), asm.Get(other), asm.Add32)}}}
	return m.Bytes()
}

// A jump of Go's code that is made to lead where it goes must come to where it went.
func TestJumpsThroughAChoiceLeadWhereTheyWent(t *testing.T) {
	for _, row := range []struct {
		name string
		code []byte
		want string
	}{
		{"a constant", asm.Seq(asm.Const32(1), asm.Set(1)), "10"},
		{"another", asm.Seq(asm.Const32(2), asm.Set(1)), "20"},
		{"beyond the last", asm.Seq(asm.Const32(-1), asm.Set(1)), "30"},
		{"two locals are set, and the one that counts gets what was below the constant",
			asm.Seq(asm.Get(0), asm.Const32(1), asm.Set(2), asm.Set(1)), "21"},
		{"the other local", asm.Seq(asm.Const32(2), asm.Set(1), asm.Const32(1), asm.Set(2)), "21"},
		{"a constant that is not of 32 bits in how it is written", asm.Seq(asm.Op(0x41, 0x81, 0x80, 0x80, 0x00), asm.Set(1)), "10"},
		{"tee", asm.Seq(asm.Const32(2), asm.Const32(1), asm.Tee(2), asm.Op(0x6a), asm.Set(1)), "31"},
		{"a constant, and something between", asm.Seq(asm.Const32(2), asm.Op(0x01), asm.Set(1)), "20"},
	} {
		for _, metered := range []*host{nil, {left: 1e6, slice: 1e6}} {
			m, err := start(t, jumps(row.code), metered, wazero.NewRuntimeConfigCompiler())
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.ExportedFunction("f").Call(t.Context(), 2)
			if text := fmt.Sprint(got[0]); err != nil || text != row.want {
				t.Errorf("%s, metered: %v: got %s, %v, want %s", row.name, metered != nil, text, err, row.want)
			}
		}
	}
}

// Also where nothing is left to be paid for, it is looked at: what was paid on the way into nested calls is done on the way out of them.
func TestTheHostIsVisitedOnTheWayBack(t *testing.T) {
	small := asm.Func{Code: slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 490)}
	m := asm.Module{Funcs: []asm.Func{
		{Export: "f", Params: asm.I32, Code: asm.Seq(asm.Get(0), asm.Op(0x45), asm.If(asm.Return), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Call(0),
			slices.Repeat(asm.Call(1), 60))}, small}}
	l := &looks{}
	mod := startWith(t, m.Bytes(), l.yield)
	if _, err := mod.ExportedFunction("f").Call(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	if l.visits < 400*30 {
		t.Errorf("%d visits of the host in 400 calls that do 60,000 units on the way back each", l.visits)
	}
}

// A join of many variables costs compiled code more than the instructions say.
func TestVariablesThatAreMovedArePaidFor(t *testing.T) {
	const n = 1000
	var sets []byte
	for i := range n {
		sets = append(sets, asm.Seq(asm.Const32(int32(i)), asm.Set(1+i))...)
	}
	m := asm.Module{Funcs: []asm.Func{{Export: "f", Params: asm.I32, Locals: strings.Repeat(asm.I32, n),
		Code: asm.Loop(asm.Block(asm.Get(0), asm.BrIf(0), sets), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Tee(0), asm.BrIf(0))}}}
	h := &host{left: 1e9, slice: 1e9}
	mod, err := start(t, m.Bytes(), h, wazero.NewRuntimeConfigCompiler())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mod.ExportedFunction("f").Call(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if used := 1e9 - h.left - int64(mod.ExportedGlobal(Fuel).Get()); used < 100*2*move*(n-freeMoves) {
		t.Errorf("%d units for a hundred times round a loop in which two joins move a thousand variables", used)
	}
}

// looks is a host that gives one unit at a time, and remembers how far the fuel was overdrawn.
type looks struct{ most, visits int64 }

func (l *looks) yield(_ context.Context, m api.Module, _ []uint64) {
	l.take(m)
	l.visits++
}

func (l *looks) take(m api.Module) {
	fuel := m.ExportedGlobal(Fuel).(api.MutableGlobal)
	l.most = max(l.most, -int64(fuel.Get()))
	fuel.Set(0)
}

// What is done between two looks is bounded by the frames that are on the stack, however it is arranged.
func TestFuelIsLookedAtBeforeMuchIsDone(t *testing.T) {
	small := asm.Func{Code: slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 490)} // its callers pay 981 for it
	calls := slices.Repeat(asm.Call(1), 60)                                        // less than the least that was paid at once
	maybe := func(body ...[]byte) []byte { return asm.Block(asm.Get(0), asm.BrIf(0), asm.Seq(body...)) }
	for _, row := range []struct {
		name  string
		funcs []asm.Func
		most  int64
	}{
		{"small calls between branches", []asm.Func{{Params: asm.I32, Code: slices.Repeat(asm.Seq(maybe(), calls), 100)}, small}, 40_000},
		{"branches that go by where it would be looked", []asm.Func{
			{Params: asm.I32, Code: slices.Repeat(asm.Seq(calls, maybe(slices.Repeat(asm.Call(1), 20))), 100)}, small}, 40_000},
		{"a choice that goes by where it would be looked", []asm.Func{
			{Params: asm.I32, Code: slices.Repeat(asm.Seq(calls, asm.Block(asm.Block(asm.Get(0), asm.BrTable(0, 1)), slices.Repeat(asm.Call(1), 20))), 100)}, small}, 60_000},
		{"an else that goes by where it would be looked", []asm.Func{
			{Params: asm.I32, Code: slices.Repeat(asm.Seq(calls, asm.Get(0), asm.If(asm.Op(0x01), asm.Else, slices.Repeat(asm.Call(1), 20))), 100)}, small}, 40_000},
		{"the way back from calls that are nested", []asm.Func{
			{Params: asm.I32, Code: asm.Seq(asm.Get(0), asm.Op(0x45), asm.If(asm.Return), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Call(0),
				slices.Repeat(asm.Call(1), 60))}, small}, 200_000},
		{"divisions on the way back", []asm.Func{
			{Params: asm.I32, Code: asm.Seq(asm.Get(0), asm.Op(0x45), asm.If(asm.Return), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Call(0),
				slices.Repeat(asm.Seq(asm.Get(0), asm.Get(0), asm.Op(0x6e), asm.Drop), 300))}}, 800_000},
		{"calls of functions whose loops go round once, and never look", []asm.Func{{Params: asm.I32, Code: slices.Repeat(asm.Call(1), 2000)},
			{Locals: asm.I32, Code: asm.Loop(slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 200), asm.Get(0), asm.BrIf(0))}}, 5_000},
		{"rounds of loops whose calls never look", []asm.Func{
			{Params: asm.I32, Code: asm.Loop(asm.Call(1), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Tee(0), asm.BrIf(0))},
			{Locals: asm.I32, Code: asm.Loop(slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 200), asm.Get(0), asm.BrIf(0))}}, 2_000},
		{"calls of functions that are long, but whose calls look", []asm.Func{{Params: asm.I32, Code: slices.Repeat(asm.Call(1), 30)},
			{Code: slices.Repeat(asm.Call(2), 2000)}, {Code: slices.Repeat(asm.Seq(asm.Const32(1), asm.Drop), 600)}}, 20_000},
		{"ends of many blocks behind code that writes many variables", []asm.Func{{Params: asm.I32, Locals: strings.Repeat(asm.I32, 250), Code: asm.Seq(
			bytes.Repeat([]byte{0x02, 0x40}, 1000), slices.Repeat(asm.Seq(asm.Const32(1), asm.Set(1)), 250), bytes.Repeat([]byte{0x0b}, 1000))}}, 20_000},
	} {
		row.funcs[0].Export = "f"
		m := asm.Module{Funcs: row.funcs}
		l := &looks{}
		mod := startWith(t, m.Bytes(), l.yield)
		args := []uint64{400}[:len(row.funcs[0].Params)]
		l.take(mod)
		l.most = 0
		if _, err := mod.ExportedFunction("f").Call(t.Context(), args...); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if l.take(mod); l.most > row.most {
			t.Errorf("%s: %d units between two looks, want at most %d", row.name, l.most, row.most)
		}
	}
}

// Whichever way a loop is left, what it has used is known behind it.
func TestLoopsAreLeftWithWhatTheyUsed(t *testing.T) {
	const rounds = 1000
	down := asm.Seq(asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Tee(0)) // one less, and whether it is none
	done := asm.Seq(down, asm.Op(0x45))
	begin := asm.Seq(asm.Const32(rounds), asm.Set(0))
	loop := func(body ...[]byte) []byte { return asm.Loop(asm.Seq(body...), asm.Br(0)) }
	for _, row := range []struct {
		name string
		code []byte
	}{
		{"it ends", asm.Loop(down, asm.BrIf(0))},
		{"return", loop(done, asm.If(asm.Return))},
		{"a branch", asm.Block(loop(done, asm.If(asm.Br(2))))},
		{"a branch on a condition", asm.Block(loop(done, asm.BrIf(1)))},
		{"a branch on a condition to the end of the function", loop(done, asm.BrIf(1))},
		{"a branch with a value", asm.Seq(asm.Typed(0x02, asm.I32, asm.Loop(asm.Const32(5), done, asm.BrIf(1), asm.Drop, asm.Br(0)), asm.Const32(0)), asm.Drop)},
		{"a choice", asm.Block(loop(done, asm.BrTable(0, 1)))},
		{"the loop around, which calls", asm.Block(asm.Loop(asm.Get(1), asm.BrIf(1), asm.Const32(1), asm.Set(1), asm.Call(1), loop(done, asm.BrIf(1))))},
		{"the loop around, which calls, by a branch", asm.Block(asm.Loop(asm.Get(1), asm.BrIf(1), asm.Const32(1), asm.Set(1), asm.Call(1), loop(done, asm.If(asm.Br(2)))))},
		{"the loop around, by a choice", asm.Block(asm.Loop(asm.Get(1), asm.BrIf(1), asm.Const32(1), asm.Set(1), asm.Call(1), loop(done, asm.BrTable(0, 1))))},
		{"two loops", asm.Block(loop(loop(done, asm.BrIf(2))))},
		{"it gives up", loop(done, asm.If(asm.Unreachable))},
	} {
		m := asm.Module{Funcs: []asm.Func{
			{Export: "f", Locals: asm.I32 + asm.I32, Code: asm.Seq(begin, row.code)},
			{Export: "g", Locals: asm.I32, Code: asm.Loop(asm.Get(0), asm.BrIf(0))}}}
		var want int64
		for _, slice := range []int64{1e6, 100} {
			h := &host{left: 1e6, slice: slice}
			mod, err := start(t, m.Bytes(), h, wazero.NewRuntimeConfigCompiler())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mod.ExportedFunction("f").Call(t.Context()); err != nil && row.name != "it gives up" {
				t.Fatalf("%s: %v", row.name, err)
			}
			used := 1e6 - h.left - int64(mod.ExportedGlobal(Fuel).Get())
			if used < 5*rounds || used > 20*rounds || want != 0 && used != want {
				t.Errorf("%s, slices of %d: %d units for a thousand rounds", row.name, slice, used)
			}
			want = used
		}
	}
}

// How fuel is given out is not seen in what is used: not by what ends well, and not by what ends with a trap.
func TestSlicesAreNotSeen(t *testing.T) {
	divide := asm.Seq(asm.Const32(1), asm.Const32(0), asm.Op(0x6d), asm.Drop)
	round := func(body ...[]byte) []byte {
		return asm.Seq(asm.Const32(5000), asm.Set(0), asm.Loop(asm.Seq(body...), asm.Get(0), asm.Const32(1), asm.Op(0x6b), asm.Tee(0), asm.BrIf(0)))
	}
	noisy := asm.Func{Locals: asm.I32, Code: round()}
	for _, row := range []struct {
		name  string
		funcs []asm.Func
	}{
		{"a loop", []asm.Func{{Locals: asm.I32, Code: round()}}},
		{"a loop, and a trap", []asm.Func{{Locals: asm.I32, Code: asm.Seq(round(), divide)}}},
		{"a trap in a loop", []asm.Func{{Locals: asm.I32, Code: round(asm.Const32(1), asm.Get(0), asm.Const32(100), asm.Op(0x6b), asm.Op(0x6d), asm.Drop)}}},
		{"a trap behind a call", []asm.Func{{Locals: asm.I32, Code: asm.Seq(round(), asm.Call(1), round(), divide)}, noisy}},
		{"a trap in a call", []asm.Func{{Locals: asm.I32, Code: asm.Seq(round(), asm.Call(1))}, {Locals: asm.I32, Code: asm.Seq(round(), divide)}}},
		{"it gives up", []asm.Func{{Locals: asm.I32, Code: asm.Seq(round(), asm.Unreachable)}}},
		{"memory beyond the end, in a loop", []asm.Func{{Locals: asm.I32, Code: round(asm.Const32(60_000), asm.Const32(0), asm.Const32(10_000), asm.MemoryFill)}}},
		{"memory in pieces, and a trap", []asm.Func{{Locals: asm.I32,
			Code: round(asm.Const32(0), asm.Get(0), asm.Const32(3<<20), asm.MemoryFill, asm.Const32(1), asm.Get(0), asm.Const32(4900), asm.Op(0x6b), asm.Op(0x6d), asm.Drop)}}},
	} {
		for _, budget := range []int64{1e9, 12_345} {
			var want string
			for _, slice := range []int64{1 << 60, 1, 1000, 4096, 1_000_000} {
				row.funcs[0].Export = "f"
				m := asm.Module{Pages: 64, Funcs: row.funcs}
				if !strings.Contains(row.name, "pieces") {
					m.Pages = 1
				}
				h := &host{left: budget, slice: slice}
				mod, err := start(t, m.Bytes(), h, wazero.NewRuntimeConfigCompiler())
				if err != nil {
					t.Fatal(err)
				}
				_, err = mod.ExportedFunction("f").Call(t.Context())
				text, _, _ := strings.Cut(fmt.Sprint(err), "\n")
				got := fmt.Sprintf("%d units, %s", budget-h.left-int64(mod.ExportedGlobal(Fuel).Get()), text)
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s, with %d in slices of %d: got %s, want %s", row.name, budget, slice, got, want)
				}
			}
		}
	}
}

// What is found out of a function while those that it calls are not known must be what it is rewritten by.
func TestWhatIsInACycleIsPaidForInWhole(t *testing.T) {
	const n = 30
	work := asm.Seq(asm.Const32(1), slices.Repeat(asm.Seq(asm.Const32(1), asm.Op(0x6e)), n), asm.Drop) // divisions
	m := asm.Module{Pages: 1, Funcs: []asm.Func{
		{Export: "f", Code: asm.Call(1)},
		{Code: asm.Seq(asm.Const32(0), asm.Load8(0), asm.If(asm.Return), asm.Const32(0), asm.Const32(1), asm.Store8(0), asm.Call(2))}, // once
		{Code: asm.Seq(work, asm.Call(1), work)}}}
	h := &host{left: 1e6, slice: 1e6}
	mod, err := start(t, m.Bytes(), h, wazero.NewRuntimeConfigInterpreter())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mod.ExportedFunction("f").Call(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used := 1e6 - h.left - int64(mod.ExportedGlobal(Fuel).Get()); used < 2*9*n {
		t.Errorf("%d units for what costs more than %d", used, 2*9*n)
	}
}
