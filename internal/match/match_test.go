package match_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
	"github.com/cdcd-project/cdcd/internal/match/matchtest"
)

func TestDecimalsCompareByValue(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"12.5", "12.50", 0}, {"-0.00", "0", 0}, {"007", "7", 0}, {"9", "10", -1}, {"-9", "-10", 1}, {"0.09", "0.1", -1},
		{"-1", "0", -1}, {"0", "-0.01", 1}, {"1.10", "1.1000", 0}, {"1.1", "1.11", -1}, {"99999999999999999999", "100000000000000000000", -1},
	} {
		if got := match.CompareDecimals(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := match.CompareDecimals(c.b, c.a); got != -c.want {
			t.Errorf("%s and %s: %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// each calls f with random formulas over a random table, and with events.
func each(t *testing.T, seeds uint64, f func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string) {
	t.Helper()
	for seed := range seeds {
		d := matchtest.Random(seed)
		table := matchtest.Table(d)
		formulas := make([]*match.Formula, d.Roll(1+int(seed%150)))
		for i := range formulas {
			formulas[i] = matchtest.Formula(d, table, d.Roll(4))
		}
		if wrong := f(d, table, formulas, matchtest.Events(d, table, 20)); wrong != "" {
			t.Fatalf("seed %d: %s", seed, wrong)
		}
	}
}

// agree says how an index differs from evaluating formulas one by one.
func agree(d matchtest.Dice, x *match.Index, formulas []*match.Formula, events []cdc.Event, s *match.Scratch) string {
	for i, e := range events {
		if wrong := matchtest.Check(x, formulas, e, s, matchtest.NewAnswers(d)); wrong != "" {
			return fmt.Sprintf("event %d: %s", i, wrong)
		}
	}
	return ""
}

func TestTheIndexAgreesWithPlainEvaluation(t *testing.T) {
	var s match.Scratch
	each(t, 300, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		return agree(d, match.New(table, formulas), formulas, events, &s)
	})
}

// Whatever is picked as witness, the outcome is the same.
func TestAnyWitnessesDo(t *testing.T) {
	var s match.Scratch
	each(t, 300, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		rate := func() float64 { return float64(d.Roll(100)) / 100 }
		return agree(d, match.NewRated(table, formulas, rate), formulas, events, &s)
	})
}

func TestNoWitnessesDo(t *testing.T) {
	var s match.Scratch
	each(t, 100, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		return agree(d, match.NewAsked(table, formulas), formulas, events, &s)
	})
}

func TestHashesMayCollide(t *testing.T) {
	defer match.Collide()()
	var s match.Scratch
	each(t, 100, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		return agree(d, match.New(table, formulas), formulas, events, &s)
	})
}

// What a formula gives does not depend on the formulas beside it: they may be fewer, in another order, or there twice.
func TestFormulasDoNotInfluenceEachOther(t *testing.T) {
	var s match.Scratch
	each(t, 150, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		var picked []*match.Formula
		var number []int
		for range 2 * len(formulas) {
			if i := d.Roll(len(formulas)); d.Roll(2) == 0 {
				picked, number = append(picked, formulas[i]), append(number, i)
			}
		}
		all, some := match.New(table, formulas), match.New(table, picked)
		for i, e := range events {
			answers := matchtest.NewAnswers(d)
			truths := map[int]match.Truth{}
			for _, r := range all.Match(e, &s, answers) {
				truths[r.Formula] = r.Truth
			}
			var want []match.Result
			for at, i := range number {
				if truths[i] != match.False {
					want = append(want, match.Result{Formula: at, Truth: truths[i]})
				}
			}
			if got := some.Match(e, &s, answers); !slices.Equal(got, want) {
				return fmt.Sprintf("event %d: got %v, want %v", i, got, want)
			}
		}
		return ""
	})
}

// A scratch may be used for many events, and with one index after the other, also when its numbers begin anew and when
// answering an opaque atom panicked.
func TestAScratchForgets(t *testing.T) {
	var s match.Scratch
	each(t, 100, func(d matchtest.Dice, table *cdc.Table, formulas []*match.Formula, events []cdc.Event) string {
		x := match.New(table, formulas)
		s.LastEpochs(uint32(d.Roll(len(events))))
		if wrong := agree(d, x, formulas, events, &s); wrong != "" {
			return wrong
		}
		if s.Holds() {
			return "a scratch that is kept keeps a frame alive"
		}
		for range d.Roll(3) {
			func() {
				defer func() { _ = recover() }()
				x.Match(events[0], &s, nil) // an opaque atom cannot be asked
			}()
			if d.Roll(2) == 0 {
				continue
			}
			if wrong := agree(d, x, formulas, events[1:], &s); wrong != "" {
				return wrong
			}
		}
		return ""
	})
}

// The numbers of events begin anew after 2^30 events: what is remembered of the event that had the number before counts
// for nothing.
func TestNumbersOfEventsBeginAnew(t *testing.T) {
	table, events := numbered(1, 2)
	one := leaf(match.Equal, 0, cdc.Int64Value(1))
	x := match.New(table, []*match.Formula{one, or(and(one, opaque(0)), opaque(1)), and(or(and(one, opaque(0)), opaque(1)), opaque(1)),
		leaf(match.Contains, 1, text("a"))})
	var s match.Scratch
	yes := &matchtest.Answers{Truths: [matchtest.Numbers]match.Truth{match.True, match.True}}
	if got := len(x.Match(events[0], &s, yes)); got != 4 { // has the number 1
		t.Fatalf("%d results", got)
	}
	s.LastEpochs(0)
	if got := x.Match(events[1], &s, &matchtest.Answers{}); len(got) != 1 || got[0].Formula != 3 {
		t.Errorf("an event is judged by what is remembered of another one: %v", got)
	}
}

func TestOneIndexServesManyGoroutines(t *testing.T) {
	d := matchtest.Random(7)
	table := matchtest.Table(d)
	formulas := make([]*match.Formula, 200)
	for i := range formulas {
		formulas[i] = matchtest.Formula(d, table, 3)
	}
	x := match.New(table, formulas)
	events := matchtest.Events(d, table, 30)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var s match.Scratch
			if wrong := agree(matchtest.Random(uint64(g)), x, formulas, events, &s); wrong != "" {
				t.Error(wrong)
			}
		})
	}
	wg.Wait()
}

func TestMatchingAllocatesNothing(t *testing.T) {
	events := orderEvents(50)
	formulas := make([]*match.Formula, 0, 1000)
	for i := range 500 {
		formulas = append(formulas, mixed(i), leaf(match.Contains, 5, text(fmt.Sprintf("%d@", i))),
			&match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Equal, Slot: match.Slot{Image: match.After, Column: 5, Derived: match.Upper}, Const: text("A")}},
			&match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Changed, Slot: match.Slot{Column: 2}}}, and(leaf(match.Greater, 10, cdc.Int64Value(int64(i))), opaque(0)))
	}
	x := match.New(orders, formulas)
	var s match.Scratch
	answers := &matchtest.Answers{}
	round := func() {
		for _, e := range events {
			x.Match(e, &s, answers)
		}
	}
	round()
	if n := testing.AllocsPerRun(20, round); n != 0 {
		t.Errorf("%v allocations in %d events", n, len(events))
	}
}

// Texts that begin, end and are found within each other, among many.
func TestAffixesAndPartsOfTexts(t *testing.T) {
	var s match.Scratch
	for seed := range uint64(60) {
		d := matchtest.Random(seed)
		letters := []int{2, 3, 26}[d.Roll(3)]
		word := func(n int) cdc.Value {
			b := []byte(strings.Repeat("a", d.Roll(2)*d.Roll(9))) // longer than what is compared as a number
			for range d.Roll(n) {
				b = append(b, byte('a'+d.Roll(letters)))
			}
			if d.Roll(2) == 0 {
				slices.Reverse(b)
			}
			return text(string(b))
		}
		var formulas []*match.Formula
		for range 80 {
			formulas = append(formulas, leaf(match.Prefix+match.Test(d.Roll(3)), 1, word(5)))
		}
		for c := range letters { // a state that goes on with many
			formulas = append(formulas, leaf(match.Contains, 1, text("b"+string(rune('a'+c)))))
		}
		var rows [][]cdc.Value
		for range 40 {
			rows = append(rows, []cdc.Value{cdc.Int64Value(0), word(20)})
		}
		table, events := valued(rows...)
		if wrong := agree(d, match.New(table, formulas), formulas, events, &s); wrong != "" {
			t.Fatalf("seed %d: %s", seed, wrong)
		}
	}
}

// Not all that is not below is above: NaN is neither.
func TestPartsOfTwoTextsAreFoundEachByItself(t *testing.T) {
	table, events := valued([]cdc.Value{cdc.Int64Value(0), text("an abc")})
	part := func(of match.Derived) *match.Formula {
		return &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Contains, Slot: match.Slot{Image: match.After, Column: 1, Derived: of}, Const: text("abc")}}
	}
	var s match.Scratch
	got := match.New(table, []*match.Formula{part(match.Itself), part(match.Lower)}).Match(events[0], &s, nil)
	if want := []match.Result{{Formula: 0, Truth: match.True}, {Formula: 1, Truth: match.True}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOrdersOfFloatsHaveNoOpposites(t *testing.T) {
	tests := []match.Test{match.Less, match.LessEqual, match.Greater, match.GreaterEqual}
	var formulas []*match.Formula
	for i := range 4 * 4 * 4 * 2 {
		one, other := leaf(tests[i%4], 0, cdc.Float64Value(1)), leaf(tests[i/4%4], 0, cdc.Float64Value(5))
		one.Negated, other.Negated = i/16%2 > 0, i/32%2 > 0
		if formulas = append(formulas, and(one, other)); i/64 > 0 {
			formulas[i] = or(one, other)
		}
	}
	var rows [][]cdc.Value
	for _, f := range []float64{math.NaN(), 0, 1, 3, 5, 7, math.Inf(1), math.Inf(-1)} {
		rows = append(rows, []cdc.Value{cdc.Float64Value(f), text("")})
	}
	table, events := valued(rows...)
	var s match.Scratch
	for _, f := range formulas { // each has its own index, so that its witnesses are those of nobody else
		if wrong := agree(matchtest.Random(1), match.New(table, []*match.Formula{f}), []*match.Formula{f}, events, &s); wrong != "" {
			t.Errorf("%v %v and %v %v: %s", f.Kids[0].Negated, f.Kids[0].Atom.Test, f.Kids[1].Negated, f.Kids[1].Atom.Test, wrong)
		}
	}
}

// What is not called for costs nothing: an event calls for few of many formulas, also when it has NULL.
func TestAnEventCallsForFewFormulas(t *testing.T) {
	const n = 400
	n5, null := cdc.Int64Value(5), cdc.NullValue()
	notNull := &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Null, Slot: match.Slot{Image: match.After}}, Negated: true}
	present := &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Present, Slot: match.Slot{Image: match.After}}}
	name := func(i int) cdc.Value { return text(fmt.Sprintf("x%03dx", i)) }
	number := func(i int) cdc.Value { return cdc.Int64Value(int64(i)) }
	for _, c := range []struct {
		what    string
		formula func(i int) *match.Formula
		value   cdc.Value
		text    string
		want    int
	}{
		{"an equality", func(i int) *match.Formula { return leaf(match.Equal, 0, number(i)) }, n5, "", 1},
		{"an equality that is NULL", func(i int) *match.Formula { return leaf(match.Equal, 0, number(i)) }, null, "", 0},
		{"an equality that is absent", func(i int) *match.Formula { return leaf(match.Equal, 0, number(i)) }, cdc.Value{}, "", n},
		{"an equality that is asked for", func(i int) *match.Formula { return and(present, leaf(match.Equal, 0, number(i))) }, cdc.Value{}, "", 0},
		{"an equality before what all have", func(i int) *match.Formula {
			return and(leaf(match.Equal, 1, text("paid")), leaf(match.Equal, 0, number(i)))
		}, n5, "paid", 1},
		{"a set", func(i int) *match.Formula {
			return &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.In, Slot: match.Slot{Image: match.After}, Consts: []cdc.Value{number(i), number(i + 1)}}}
		}, n5, "", 2},
		{"a lower bound", func(i int) *match.Formula { return leaf(match.Greater, 0, number(i)) }, n5, "", 5},
		{"a lower bound or equal", func(i int) *match.Formula { return leaf(match.GreaterEqual, 0, number(i)) }, n5, "", 6},
		{"an upper bound", func(i int) *match.Formula { return leaf(match.Less, 0, number(i)) }, number(n - 3), "", 2},
		{"an upper bound or equal", func(i int) *match.Formula { return leaf(match.LessEqual, 0, number(i)) }, number(n - 3), "", 3},
		{"a bound that is NULL", func(i int) *match.Formula { return leaf(match.Greater, 0, number(i)) }, null, "", n},
		{"a bound that asks for NULL first", func(i int) *match.Formula { return and(leaf(match.Greater, 0, number(i)), notNull) }, null, "", 0},
		{"alternatives that ask for NULL first", func(i int) *match.Formula {
			return and(or(leaf(match.Greater, 0, number(i)), leaf(match.Less, 0, number(-i))), notNull)
		}, null, "", 0},
		{"a bound on what is NaN", func(i int) *match.Formula { return leaf(match.Less, 0, cdc.Float64Value(float64(i))) }, cdc.Float64Value(math.NaN()), "", 0},
		{"an interval", func(i int) *match.Formula {
			return and(leaf(match.GreaterEqual, 0, number(10*i)), leaf(match.Less, 0, number(10*i+10)))
		}, number(15), "", 1},
		{"an interval of a bound and less", func(i int) *match.Formula {
			return and(leaf(match.Greater, 0, number(10*i)), leaf(match.LessEqual, 0, number(10*i+10)))
		}, number(20), "", 1},
		{"a beginning", func(i int) *match.Formula { return leaf(match.Prefix, 1, name(i)) }, n5, "x007xyz", 1},
		{"a beginning beside those that begin with each other", func(i int) *match.Formula {
			return leaf(match.Prefix, 1, text(strings.Repeat("a", n-1-i)+strings.Repeat("b", max(0, i-n+2))))
		}, n5, "b", 1},
		{"a derived text that asks for NULL first", func(i int) *match.Formula {
			lower := &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Equal, Slot: match.Slot{Image: match.After, Column: 1, Derived: match.Lower}, Const: name(i)}}
			return and(lower, &match.Formula{Op: match.Leaf, Negated: true, Atom: &match.Atom{Test: match.Null, Slot: match.Slot{Image: match.After, Column: 1}}})
		}, n5, "NULL", 0},
		{"an end", func(i int) *match.Formula { return leaf(match.Suffix, 1, name(i)) }, n5, "zyx007x", 1},
		{"a part", func(i int) *match.Formula { return leaf(match.Contains, 1, name(i)) }, n5, "zyx007xyzx008x", 2},
		{"a part, behind what is sooner evaluated", func(i int) *match.Formula {
			not := &match.Formula{Op: match.Leaf, Negated: true, Atom: &match.Atom{Test: match.In, Slot: match.Slot{Image: match.After}, Consts: []cdc.Value{number(1), number(2)}}}
			return and(not, leaf(match.Contains, 1, name(i)))
		}, n5, "zyx007xyz", 1},
		{"alternatives", func(i int) *match.Formula { return or(leaf(match.Equal, 0, number(i)), leaf(match.Prefix, 1, name(i))) }, n5, "x007x", 2},
		{"one opaque atom of all", func(i int) *match.Formula { return and(opaque(0), opaque(1), opaque(2)) }, n5, "", 0},
		{"what is never true", func(i int) *match.Formula { return &match.Formula{Op: match.Or} }, n5, "", 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			formulas := make([]*match.Formula, n)
			for i := range formulas {
				formulas[i] = c.formula(i)
			}
			row := []cdc.Value{c.value, text(c.text)}
			if c.text == "NULL" {
				row[1] = cdc.NullValue()
			}
			table, events := valued(row)
			if got := match.New(table, formulas).Candidates(events[0], &matchtest.Answers{}); len(got) != c.want {
				t.Errorf("an event calls for %d formulas, want %d: %v", len(got), c.want, got)
			}
		})
	}
}

// An opaque atom is asked only when the formula's other parts leave it to decide, and then once for all formulas.
func TestOpaqueAtomsAreAskedLate(t *testing.T) {
	table, events := numbered(5, 6)
	formulas := []*match.Formula{and(opaque(0), leaf(match.Equal, 0, cdc.Int64Value(5))), and(leaf(match.Less, 0, cdc.Int64Value(6)), opaque(0)),
		or(opaque(1), leaf(match.Less, 0, cdc.Int64Value(100)))}
	x := match.New(table, formulas)
	var s match.Scratch
	for i, want := range [][matchtest.Numbers]int{{1, 0}, {0, 0}} {
		answers := &matchtest.Answers{}
		x.Match(events[i], &s, answers)
		want[1] = answers.Asked[1] // of an Or, the opaque part may be asked first
		if answers.Asked != want {
			t.Errorf("event %d: atoms were asked %v times, want %v", i, answers.Asked, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	paid, id := leaf(match.Equal, 2, cdc.TextValue(cdc.KindEnum, "paid")), leaf(match.Equal, 1, cdc.Int64Value(7))
	low, high := leaf(match.GreaterEqual, 10, cdc.Int64Value(1)), leaf(match.Less, 10, cdc.Int64Value(9))
	notPaid := &match.Formula{Op: match.Leaf, Atom: paid.Atom, Negated: true}
	notLess := &match.Formula{Op: match.Leaf, Atom: high.Atom, Negated: true}
	atLeast := *high.Atom
	atLeast.Test = match.GreaterEqual
	formulas := []*match.Formula{and(paid, id), and(low, high), or(paid, id), notLess, notPaid, and(opaque(0), id), or(opaque(0), opaque(1)),
		{Op: match.Always, Value: match.True}, {Op: match.Always, Value: match.False}, {Op: match.Or}}
	x := match.New(orders, formulas)
	for i, want := range [][]match.Witness{{{Atom: id.Atom}}, {{Atom: low.Atom, Upper: high.Atom}}, {{Atom: paid.Atom}, {Atom: id.Atom}}, {{Atom: &atLeast}},
		{{Atom: paid.Atom, Negated: true, Asked: true}}, {{Atom: id.Atom}}, {{Asked: true}}, {{Asked: true}}, nil, nil} {
		if got := x.Describe(i); !reflect.DeepEqual(got, want) {
			t.Errorf("formula %d: %s, want %s", i, describe(got), describe(want))
		}
	}
}

func describe(ws []match.Witness) string {
	var b strings.Builder
	for _, w := range ws {
		fmt.Fprintf(&b, "[%+v upper %+v negated %v asked %v]", w.Atom, w.Upper, w.Negated, w.Asked)
	}
	return b.String()
}

func or(kids ...*match.Formula) *match.Formula { return &match.Formula{Op: match.Or, Kids: kids} }

func opaque(number int) *match.Formula {
	return &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Opaque, Number: number}}
}

func text(s string) cdc.Value { return cdc.TextValue(cdc.KindString, s) }

// numbered makes events of a table with a number and a text.
func numbered(numbers ...int64) (*cdc.Table, []cdc.Event) {
	var rows [][]cdc.Value
	for _, n := range numbers {
		rows = append(rows, []cdc.Value{cdc.Int64Value(n), text("a")})
	}
	return valued(rows...)
}

// valued makes inserts into a table with a number and a text.
func valued(rows ...[]cdc.Value) (*cdc.Table, []cdc.Event) {
	table := &cdc.Table{Schema: "shop", Name: "t", Columns: []cdc.Column{{Name: "n", Kind: cdc.KindInt64}, {Name: "s", Kind: cdc.KindString}}}
	if rows[0][0].Kind() == cdc.KindFloat64 {
		table.Columns[0].Kind = cdc.KindFloat64
	}
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	tx, number := b.AddTx(cdc.Tx{GTID: "0-1-1"}), b.AddTable(table)
	for i, row := range rows {
		b.BeginRow(2)
		for c, v := range row {
			if !v.IsAbsent() {
				b.Set(c, v)
			}
		}
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: number, Op: cdc.OpInsert, After: b.EndRow()})
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{uint64(len(rows))}}), nil)
	if err != nil {
		panic(err)
	}
	var events []cdc.Event
	for i := range rows {
		events = append(events, batch.Event(i))
	}
	return table, events
}
