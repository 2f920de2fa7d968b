// Package matchtest makes random tables, events and formulas, with the values at which indexes go wrong.
//
//	dice := matchtest.Random(1)
//	table := matchtest.Table(dice)
//	index := match.New(table, []*match.Formula{matchtest.Formula(dice, table, 4)})
package matchtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// Dice decides what is made.
type Dice interface {
	// Roll returns a number from 0 to n-1.
	Roll(n int) int
}

// Random returns dice that always fall the same for a seed.
func Random(seed uint64) Dice { return random{rand.New(rand.NewPCG(seed, 0))} }

type random struct{ *rand.Rand }

func (r random) Roll(n int) int { return r.IntN(n) }

// Bytes returns dice that fall as the bytes of a fuzzer say, and on 0 when they are used up.
func Bytes(b []byte) Dice { return &fromBytes{b} }

type fromBytes struct{ rest []byte }

func (d *fromBytes) Roll(n int) int {
	if len(d.rest) == 0 {
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return int(c) % n
}

var kinds = []cdc.Kind{cdc.KindInt64, cdc.KindString, cdc.KindDecimal, cdc.KindFloat64, cdc.KindUint64, cdc.KindEnum, cdc.KindTimestamp,
	cdc.KindDatetime, cdc.KindDate, cdc.KindTime, cdc.KindBytes, cdc.KindBool, cdc.KindBit, cdc.KindGeometry, cdc.KindJSON, cdc.KindSet, cdc.KindVector}

// Table makes a table of up to six columns.
func Table(d Dice) *cdc.Table {
	t := &cdc.Table{Schema: "shop", Name: "t"}
	for i := range 1 + d.Roll(6) {
		c := cdc.Column{Name: fmt.Sprintf("c%d", i), Kind: kinds[d.Roll(len(kinds))], Nullable: d.Roll(2) > 0, Fsp: uint8(d.Roll(7))}
		if i == 0 && d.Roll(2) > 0 {
			c.Key = 1
		}
		if c.Kind == cdc.KindEnum {
			c.Members = texts[:2]
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

var (
	ints     = []int64{0, 1, -1, 2, 3, 7, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MinInt64, math.MaxInt64, math.MinInt64 + 1, math.MaxInt64 - 1}
	uints    = []uint64{0, 1, 2, 3, 1<<53 + 1, 1<<63 - 1, 1 << 63, math.MaxUint64, math.MaxUint64 - 1}
	floats   = []float64{0, math.Copysign(0, -1), 1, -1, 1.5, 1 << 53, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64}
	decimals = []string{"0", "0.00", "-0.0", "12.5", "12.50", "12.500", "-12.50", "12.51", "12.505", "-12.505", "007", "7", "1", "-1", "0.01", "-0.01", "0.001",
		"99999999999999999999999999999999999", "-99999999999999999999999999999999999", "1152921504606846975", "1152921504606846976", "1152921504606846977", "11529215046068469.76",
		"0.000000000000001", "0.0000000000000001", "-0.0000000000000000000001", "100000000000000000000000000000", "1e5", "", "-", ".", ".5", "5.", "--1", "1.2.3", "1.-5"}
	texts = []string{"paid", "new", "", "a", "ab", "abc", "abcdefgh", "abcdefghi", "abcdefgh\x00", "abcdefg", "bc", "b", "c", "aa", "aaa", "É", "é", "\xff", "\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x00", "a\x00",
		" paid ", "PAID", "Paid", "日\xff", "\u00a0x", "zzzzzzzzz", "0000-00-00", "2026-11-21", "2026-11-21T00:00:00", "-838:59:59", "00:00:00", "12:00:00.5", "xabcx", "cba", "ihgfedcba"}
	civils = []cdc.Civil{{}, {Year: 2026, Month: 11, Day: 21}, {Year: 2026, Month: 11, Day: 21, Hour: 3, Micro: 123000}, {Year: 2026}, {Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}}
	micros = []int64{0, 1, -1, 43_200_500_000, -838 * 3600_000_000, 1_700_000_000_000_000, 253402300799_999_999, -62135596800_000_000, math.MaxInt64, math.MinInt64}
	bools  = []bool{false, true}
)

// Value makes a value of a kind.
func Value(d Dice, k cdc.Kind) cdc.Value {
	switch k {
	case cdc.KindNull:
		return cdc.NullValue()
	case cdc.KindBool:
		return cdc.BoolValue(bools[d.Roll(len(bools))])
	case cdc.KindInt64:
		return cdc.Int64Value(ints[d.Roll(len(ints))])
	case cdc.KindUint64:
		return cdc.Uint64Value(uints[d.Roll(len(uints))])
	case cdc.KindBit:
		return cdc.BitValue(uints[d.Roll(len(uints))])
	case cdc.KindFloat64:
		return cdc.Float64Value(floats[d.Roll(len(floats))])
	case cdc.KindDecimal:
		return cdc.TextValue(k, decimals[d.Roll(len(decimals))])
	case cdc.KindDate, cdc.KindDatetime:
		return cdc.CivilValue(k, civils[d.Roll(len(civils))])
	case cdc.KindTime:
		return cdc.TimeValue(micros[d.Roll(len(micros))])
	case cdc.KindTimestamp:
		return cdc.TimestampValue(micros[d.Roll(len(micros))])
	}
	return cdc.TextValue(k, text(d))
}

// text makes a text of the pool, or of two.
func text(d Dice) string {
	s := texts[d.Roll(len(texts))]
	if d.Roll(3) == 0 {
		s += texts[d.Roll(len(texts))]
	}
	return s
}

var ops = []cdc.Op{cdc.OpUpdate, cdc.OpUpdate, cdc.OpUpdate, cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete}

// Events makes events of a table.
func Events(d Dice, t *cdc.Table, n int) []cdc.Event {
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_700_000_000, 0)}), b.AddTable(t)
	for i := range n {
		e := cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: ops[d.Roll(len(ops))]}
		var before []cdc.Value
		if e.Op == cdc.OpUpdate || e.Op == cdc.OpDelete {
			before = row(d, t, nil)
			e.Before = write(&b, before)
		}
		if e.Op != cdc.OpDelete {
			e.After = write(&b, row(d, t, before))
		}
		b.AddEvent(e)
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{uint64(n)}}), nil)
	if err != nil {
		panic(err)
	}
	events := make([]cdc.Event, n)
	for i := range events {
		events[i] = batch.Event(i)
	}
	return events
}

// row makes the values of a row image, of which about half are as before.
func row(d Dice, t *cdc.Table, before []cdc.Value) []cdc.Value {
	values := make([]cdc.Value, len(t.Columns))
	for i, c := range t.Columns {
		switch d.Roll(20) {
		case 0:
			values[i] = cdc.NullValue()
		case 1: // absent
		case 2:
			values[i] = Value(d, kinds[d.Roll(len(kinds))]) // most are broken
		case 3, 4, 5, 6:
			if before != nil {
				values[i] = before[i]
				continue
			}
			fallthrough
		default:
			values[i] = Value(d, c.Kind)
		}
	}
	return values
}

func write(b *cdc.Builder, values []cdc.Value) uint32 {
	b.BeginRow(len(values))
	for i, v := range values {
		if !v.IsAbsent() {
			b.Set(i, v)
		}
	}
	return b.EndRow()
}

// Numbers is how many opaque atoms there are.
const Numbers = 5

// Formula makes a formula over a table, at most so many levels deep.
func Formula(d Dice, t *cdc.Table, depth int) *match.Formula {
	switch roll := d.Roll(10); {
	case depth > 0 && roll < 7:
		f := &match.Formula{Op: match.And}
		if roll > 4 {
			f.Op = match.Or
		}
		for range 1 + d.Roll(4) {
			f.Kids = append(f.Kids, Formula(d, t, depth-1))
		}
		if d.Roll(20) == 0 {
			f.Kids = nil
		}
		return f
	case d.Roll(25) == 0:
		return &match.Formula{Op: match.Always, Value: match.Truth(d.Roll(3))}
	}
	return &match.Formula{Op: match.Leaf, Atom: Atom(d, t), Negated: d.Roll(4) == 0}
}

// Atom makes an atom over a table.
func Atom(d Dice, t *cdc.Table) *match.Atom {
	a := &match.Atom{Test: match.Test(d.Roll(int(match.Opaque) + 1))}
	if a.Test == match.Opaque {
		a.Number = d.Roll(Numbers)
		return a
	}
	a.Slot = match.Slot{Image: match.After, Column: d.Roll(len(t.Columns))}
	if d.Roll(4) == 0 {
		a.Slot.Image = match.Before
	}
	kind := t.Columns[a.Slot.Column].Kind
	switch kind {
	case cdc.KindString, cdc.KindEnum:
		if roll := d.Roll(8); roll < 4 {
			a.Slot.Derived, kind = match.Lower+match.Derived(roll), cdc.KindString
		}
	case cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
		if d.Roll(2) == 0 {
			a.Slot.Derived, kind = match.Civil, cdc.KindString
		}
	}
	if d.Roll(40) == 0 && (a.Test < match.Prefix || a.Test > match.Contains) {
		kind = kinds[d.Roll(len(kinds))]
	}
	switch a.Test {
	case match.In:
		for range d.Roll(12) {
			a.Consts = append(a.Consts, Value(d, kind))
		}
	case match.Prefix, match.Suffix, match.Contains:
		if !isText(kind) {
			a.Test, a.Const = match.Equal, Value(d, kind)
			break
		}
		a.Const = cdc.TextValue(kind, text(d))
	default:
		a.Const = Value(d, kind)
	}
	return a
}

func isText(k cdc.Kind) bool {
	return k == cdc.KindString || k == cdc.KindEnum || k == cdc.KindBytes || k == cdc.KindDecimal
}

// Answers answers opaque atoms at random, but always the same within an event, and counts.
type Answers struct {
	Truths [Numbers]match.Truth
	Asked  [Numbers]int
}

// NewAnswers makes the answers of one event.
func NewAnswers(d Dice) *Answers {
	a := &Answers{}
	for i := range a.Truths {
		a.Truths[i] = match.Truth(d.Roll(3))
	}
	return a
}

// Ask implements match.Asker.
func (a *Answers) Ask(number int) match.Truth {
	a.Asked[number]++
	return a.Truths[number]
}

// Check matches an event and says how the index differs from evaluating the formulas one by one; "" if it does not.
func Check(x *match.Index, formulas []*match.Formula, e cdc.Event, s *match.Scratch, answers *Answers) string {
	var want []match.Result
	for i, f := range formulas {
		if truth := f.Eval(e, answers); truth != match.False {
			want = append(want, match.Result{Formula: i, Truth: truth})
		}
	}
	answers.Asked = [Numbers]int{}
	got := x.Match(e, s, answers)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("result %d differs:\n got %v\nwant %v", i, got, want)
		}
	}
	for number, n := range answers.Asked {
		if n > 1 {
			return fmt.Sprintf("opaque atom %d was asked %d times", number, n)
		}
	}
	return ""
}
