package fuzz

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rulegen"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

var celTable = func() *cdc.Table {
	t := &cdc.Table{Schema: "shop", Name: "t"}
	for _, c := range []struct {
		name, sqlType string
		nullable      bool
	}{{"i", "int", true}, {"u", "bigint unsigned", false}, {"f", "double", true}, {"d", "decimal(12,2)", false}, {"s", "varchar(20)", true},
		{"e", "enum('a','b')", false}, {"tags", "set('x','y')", true}, {"ts", "timestamp", false}, {"at", "datetime(3)", true}, {"day", "date", false},
		{"t", "time", true}, {"doc", "json", true}, {"b", "blob", true}, {"flag", "tinyint(1)", true}, {"bit", "bit(1)", false}, {"v", "vector(2)", false}, {"g", "point", true}} {
		column, ok := cdc.ParseType(c.sqlType)
		if !ok {
			panic(c.sqlType)
		}
		column.Name, column.Nullable = c.name, c.nullable
		t.Columns = append(t.Columns, column)
	}
	return t
}()

// celEvents are events with ordinary values, with nulls, and with absent columns.
var celEvents = func() []cdc.Event {
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	values := []cdc.Value{cdc.Int64Value(-7), cdc.Uint64Value(1 << 63), cdc.Float64Value(1.5), cdc.TextValue(cdc.KindDecimal, "-12.50"), cdc.TextValue(cdc.KindString, "日\xff"),
		cdc.TextValue(cdc.KindEnum, "a"), cdc.TextValue(cdc.KindSet, "x,y"), cdc.TimestampValue(0), cdc.CivilValue(cdc.KindDatetime, cdc.Civil{}),
		cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 1, Day: 31}), cdc.TimeValue(-1), cdc.TextValue(cdc.KindJSON, `{"a":[1,2.5,{"b":null}],"n":18446744073709551616,"s":"x"}`),
		cdc.TextValue(cdc.KindBytes, "\x00\xff"), cdc.Int64Value(1), cdc.BitValue(1), cdc.TextValue(cdc.KindVector, "\x00\x00\x80\x3f\x00\x00\x00\x00"), cdc.TextValue(cdc.KindGeometry, "12345")}
	row := func(mode int) uint32 {
		b.BeginRow(len(celTable.Columns))
		for i, v := range values {
			switch {
			case mode == 1 && celTable.Columns[i].Nullable:
				b.SetNull(i)
			case mode == 2 && i%2 == 0:
			default:
				b.Set(i, v)
			}
		}
		return b.EndRow()
	}
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_700_000_000, 0)}), b.AddTable(celTable)
	for i := range 3 {
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpUpdate, Before: row((i + 1) % 3), After: row(i)})
	}
	b.AddEvent(cdc.EventInfo{No: 3, Tx: tx, Table: table, Op: cdc.OpInsert, After: row(0)})
	b.AddEvent(cdc.EventInfo{No: 4, Tx: tx, Table: table, Op: cdc.OpDelete, Before: row(0)})
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{5}}), nil)
	if err != nil {
		panic(err)
	}
	var events []cdc.Event
	for i := range batch.Len() {
		events = append(events, batch.Event(i))
	}
	return events
}()

// canBeMended checks that what findings suggest leaves a file that can be read.
func canBeMended(t *testing.T, src string, findings rules.Findings) {
	for _, f := range findings {
		mended, applied := strictyaml.Apply([]byte(src), rules.Findings{f})
		if len(applied) != len(f.Edits) && len(f.Edits) < 2 {
			t.Fatalf("%v: the edits %v cannot be made", f, f.Edits)
		}
		_, err := rules.Parse("r.yaml", mended)
		var found rules.Findings
		if errors.As(err, &found) && (found[0].Code == "CDCD-2101" || found[0].Code == "CDCD-2102") {
			t.Fatalf("%v: afterwards the file is broken: %v", f, found[0])
		}
	}
}

// FuzzCEL compiles and evaluates any condition over a table with columns of all types. It never panics, ends soon, and
// decides the same twice, in company, and without the index.
func FuzzCEL(f *testing.F) {
	for _, when := range []string{"after.i > 5", "after.u == 18446744073709551615u", "after.d >= 12.5 && after.d + 1 < 100", "after.s.startsWith('a') || after.s == null",
		"after.e in ['a', 'b', null]", "'x' in after.tags", "after.tags.exists(t, t == 'y')", "after.ts >= '2026-01-01T00:00:00Z'", "now - after.ts < duration('1h')",
		"after.at >= '2026-01-01'", "after.day == '0000-00-00'", "after.t < '12:00'", "after.doc.a[1] == 2.5", "has(after.doc.x) ? after.doc.x : false",
		"after.doc.?s.orValue('') == 'x'", "after.b == b'\\x00\\xff'", "!after.flag", "after.bit == true", "after.v.map(x, x * 2).exists(y, y > 1)", "size(after.g) == 5",
		"changed('i') && before.i != after.i", "before == after", "op in ['insert', 'update']", "after['s'] == 'x'", "after.doc.a.all(x, after.doc.a.all(y, x != y))",
		"string(after.d).matches('^-?[0-9.]+$')", "double(after.d) / 0.0 > 1.0", "after.i / 0 == 1", "[1, 2, 3].filter(x, x > after.i) == [1]", "{'a': after.i}.a == 1",
		"after.doc.optMap(x, x.a).hasValue()", "type(after.i) == int", "-after.d > decimal('1')", "after.s.lowerAscii().trim() == 'a'", "(((((1)))))", "after.i = 5", "after.i > 5 and after.u <> 1", "after.i is not null", "after.i != 5", "!(after.e == 'a')", "after.e == 'aa'", "aftr.i > 5", "after.s.startWith('a')", "after.s == 5", "after.i == '5'",
		"after.doc.a.b == 'x'", "after.e == 'a' && after.e == 'b'", "after.e != 'a' || after.e != 'b'", "increasedBy('i', 5)", "anyChanged(['i', 's'])", "coalesce(after.i, 0) > 5", "after.s.equalsIgnoreCase('X')",
		"after.day < date(now, 'Europe/Berlin')", "timestamp(after.at, 'Europe/Berlin') < now - days(3)", "after.ts.getDayOfWeek('+02:00') in [0, 6]", "after.", "'", "a{b: 1}", "\\", "after.`my col`"} {
		f.Add(when)
	}
	f.Fuzz(func(t *testing.T, when string) {
		if len(when) > 2000 {
			return
		}
		src := func(extra string) string {
			return fmt.Sprintf("version: 1\nrules:\n  - {name: r, tables: [shop.t], to: [x], when: %s}\n%s", rulegen.Quote(when), extra)
		}
		alone, err := rules.Parse("r.yaml", []byte(src("")))
		if err != nil {
			_ = err.Error()
			canBeMended(t, src(""), err.(rules.Findings))
			return
		}
		set, _ := rules.New(alone)
		findings, err := set.Check([]*cdc.Table{celTable})
		wrong := false // whatever the operation
		for _, e := range findings {
			wrong = wrong || !e.Warning && e.Code != "CDCD-2110"
			if e.Line < 1 || e.Msg == "" || e.Code == "" {
				t.Fatalf("finding %+v", e)
			}
		}
		canBeMended(t, src(""), findings)
		company, err2 := rules.Parse("r.yaml", []byte(src("  - {name: z, tables: ['*.*'], to: [x], when: after.d > 0 || after.i == 1}\n")))
		if err2 != nil {
			t.Fatal(err2)
		}
		other, _ := rules.New(company)
		for i, e := range celEvents {
			begin := time.Now()
			first := set.Decide(e)
			if took := time.Since(begin); took > 10*time.Second {
				t.Fatalf("event %d took %v", i, took)
			}
			if wrong && len(first.Errors) == 0 {
				t.Fatalf("event %d: the condition is wrong (%v), and yet it was judged", i, err)
			}
			if a, b := class(first, "r"), class(set.DecidePlainly(e), "r"); a != b {
				t.Fatalf("event %d: the index says %s, CEL says %s", i, a, b)
			}
			for _, again := range []cdc.Decision{set.Decide(e), other.Decide(e)} {
				if a, b := outcome(first), outcome(again); !reflect.DeepEqual(a, b) {
					t.Fatalf("event %d: decided %v and %v", i, a, b)
				}
			}
		}
	})
}

// outcome says what was decided for rule r.
func outcome(d cdc.Decision) (out []string) {
	for _, m := range d.Matches {
		if m.Name == "r" {
			out = append(out, "match")
		}
	}
	for _, e := range d.Errors {
		if e.Rule.Name == "r" {
			out = append(out, e.Err.Error())
		}
	}
	return out
}
