package cdc_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// projected is a table with a column of each class of values, and a row of it.
func projected(t testing.TB) (*cdc.Table, cdc.Row) {
	t.Helper()
	table := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindInt64, Key: 1},
		{Name: "status", Kind: cdc.KindString},
		{Name: "note", Kind: cdc.KindString, Nullable: true},
		{Name: "gone", Kind: cdc.KindBytes},
		{Name: "doc", Kind: cdc.KindJSON},
	}}
	var w cdc.Builder
	w.Reset(cdc.Header{})
	tx, n := w.AddTx(cdc.Tx{}), w.AddTable(table)
	w.BeginRow(5)
	w.SetInt(0, -7)
	w.SetText(1, cdc.KindString, "paid")
	w.SetNull(2)
	w.SetText(4, cdc.KindJSON, `{"a":1}`)
	w.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: n, Op: cdc.OpInsert, After: w.EndRow()})
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return table, b.Event(0).After()
}

func TestCopyColumnsTakesWhatIsAskedFor(t *testing.T) {
	table, row := projected(t)
	for _, columns := range [][]int{{}, {0}, {1}, {4, 1, 0}, {-1}, {-1, 1, -1, 99, 2, 3}, {1, 1, 1}} {
		other := &cdc.Table{Schema: "shop", Name: "orders"}
		want := make([]cdc.Value, len(columns))
		for i, c := range columns {
			column := cdc.Column{Kind: cdc.KindString, Nullable: true}
			if c >= 0 && c < len(table.Columns) {
				column = table.Columns[c]
			}
			other.Columns = append(other.Columns, column)
			want[i] = row.Value(c)
		}
		var w cdc.Builder
		w.Reset(cdc.Header{})
		tx, n := w.AddTx(cdc.Tx{}), w.AddTable(other)
		if place := w.CopyColumns(cdc.Row{}, columns); place != 0 {
			t.Errorf("no row is at %d", place)
		}
		for range 20 { // over the edge of the memory that it begins with, too
			w.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: n, Op: cdc.OpUpdate, Before: w.CopyColumns(row, columns), After: w.CopyColumns(row, columns)})
		}
		b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
		if err == nil {
			err = b.Verify()
		}
		if err != nil {
			t.Fatalf("columns %v: %v", columns, err)
		}
		for e := range b.Len() {
			for _, got := range []cdc.Row{b.Event(e).Before(), b.Event(e).After()} {
				for i := range want {
					if got.Value(i) != want[i] {
						t.Errorf("columns %v: column %d is %v, want %v", columns, i, got.Value(i), want[i])
					}
				}
			}
		}
	}
}

// A frame that nobody has verified may have all of its texts in one place: the copy is no larger for it.
func TestCopyColumnsIsNotMadeLargeByTextsThatOverlap(t *testing.T) {
	table := &cdc.Table{Schema: "a", Name: "b"}
	for range 100 {
		table.Columns = append(table.Columns, cdc.Column{Name: "c", Kind: cdc.KindString})
	}
	var w cdc.Builder
	w.Reset(cdc.Header{})
	tx, n := w.AddTx(cdc.Tx{}), w.AddTable(table)
	w.BeginRow(100)
	w.SetText(0, cdc.KindString, strings.Repeat("x", 100_000))
	at := uint64(8 + 104 + 800)
	for i := range 100 {
		w.SetNum(i, cdc.KindString, at|100_000<<32)
	}
	w.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: n, Op: cdc.OpInsert, After: w.EndRow()})
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]int, 100)
	for i := range columns {
		columns[i] = i
	}
	row := b.Event(0).After()
	if len(row.Value(99).Text()) != 100_000 {
		t.Fatal("the frame is not what it is meant to be")
	}
	w.Reset(cdc.Header{})
	w.CopyColumns(row, columns)
	if w.Size() > 120_000 {
		t.Errorf("the copy has %d bytes", w.Size())
	}
}

// What memory was used for before must not be seen.
func TestARecycledFrameIsLikeANewOne(t *testing.T) {
	table, row := projected(t)
	build := func(w *cdc.Builder) []byte {
		w.Reset(cdc.Header{Source: "shop"})
		tx, n := w.AddTx(cdc.Tx{GTID: "0-1-1"}), w.AddTable(table)
		w.BeginRow(5)
		w.SetInt(0, 1)
		a := w.EndRow()
		w.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: n, Op: cdc.OpUpdate, Before: a, After: w.CopyRow(row)})
		return w.Seal(cdc.Checkpoint{NextNo: 2})
	}
	var fresh, used cdc.Builder
	used.Recycle(bytes.Repeat([]byte{0xff}, 5000))
	want := build(&fresh)
	for range 3 {
		got := build(&used)
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x\nwant %x", got, want)
		}
		for i := range got {
			got[i] = 0xff
		}
		used.Recycle(got)
	}
}

func TestColumnCheck(t *testing.T) {
	civil := func(k cdc.Kind, c cdc.Civil) cdc.Value { return cdc.CivilValue(k, c) }
	for _, row := range []struct {
		column cdc.Column
		value  cdc.Value
		want   string
	}{
		{cdc.Column{Kind: cdc.KindInt64}, cdc.Int64Value(-1), ""},
		{cdc.Column{Kind: cdc.KindInt64}, cdc.Uint64Value(1), "kind uint64 in a column of int64"},
		{cdc.Column{Kind: cdc.KindInt64}, cdc.NullValue(), "must not be null"},
		{cdc.Column{Kind: cdc.KindInt64, Nullable: true}, cdc.NullValue(), ""},
		{cdc.Column{Kind: cdc.KindInt64, Nullable: true}, cdc.Value{}, "kind absent"},
		{cdc.Column{Kind: cdc.KindBool}, cdc.NumValue(cdc.KindBool, 2), "neither 0 nor 1"},
		{cdc.Column{Kind: cdc.KindFloat64}, cdc.Float64Value(math.NaN()), "NaN"},
		{cdc.Column{Kind: cdc.KindFloat64}, cdc.Float64Value(math.Inf(-1)), "-Inf"},
		{cdc.Column{Kind: cdc.KindFloat64}, cdc.Float64Value(-0.5), ""},
		{cdc.Column{Kind: cdc.KindDecimal, Precision: 5, Scale: 2}, cdc.TextValue(cdc.KindDecimal, "-123.45"), ""},
		{cdc.Column{Kind: cdc.KindDecimal, Precision: 5, Scale: 2}, cdc.TextValue(cdc.KindDecimal, "000123.4"), ""},
		{cdc.Column{Kind: cdc.KindDecimal, Precision: 5, Scale: 2}, cdc.TextValue(cdc.KindDecimal, "1234.5"), "does not fit into decimal(5,2)"},
		{cdc.Column{Kind: cdc.KindDecimal, Precision: 5, Scale: 2}, cdc.TextValue(cdc.KindDecimal, "1.234"), "does not fit into decimal(5,2)"},
		{cdc.Column{Kind: cdc.KindDecimal, Precision: 5, Unsigned: true}, cdc.TextValue(cdc.KindDecimal, "-1"), "unsigned"},
		{cdc.Column{Kind: cdc.KindDecimal}, cdc.TextValue(cdc.KindDecimal, "1e5"), "is not a decimal"},
		{cdc.Column{Kind: cdc.KindString}, cdc.TextValue(cdc.KindString, "é"), ""},
		{cdc.Column{Kind: cdc.KindString}, cdc.TextValue(cdc.KindString, "\xff"), "not UTF-8"},
		{cdc.Column{Kind: cdc.KindBytes}, cdc.TextValue(cdc.KindBytes, "\xff"), ""},
		{cdc.Column{Kind: cdc.KindJSON}, cdc.TextValue(cdc.KindJSON, "{"), "not JSON"},
		{cdc.Column{Kind: cdc.KindJSON}, cdc.TextValue(cdc.KindJSON, "\"\xff\""), "not UTF-8"},
		{cdc.Column{Kind: cdc.KindEnum, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindEnum, "b"), ""},
		{cdc.Column{Kind: cdc.KindEnum, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindEnum, "c"), "not a member of the enum"},
		{cdc.Column{Kind: cdc.KindEnum, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindEnum, ""), ""},
		{cdc.Column{Kind: cdc.KindSet, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindSet, "a,b"), ""},
		{cdc.Column{Kind: cdc.KindSet, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindSet, ""), ""},
		{cdc.Column{Kind: cdc.KindSet, Members: []string{"a", "b"}}, cdc.TextValue(cdc.KindSet, "a,c"), "not a member of the set"},
		{cdc.Column{Kind: cdc.KindBit, Precision: 4}, cdc.BitValue(15), ""},
		{cdc.Column{Kind: cdc.KindBit, Precision: 4}, cdc.BitValue(16), "does not fit into bit(4)"},
		{cdc.Column{Kind: cdc.KindBit, Precision: 64}, cdc.BitValue(1 << 63), ""},
		{cdc.Column{Kind: cdc.KindDate}, civil(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21}), ""},
		{cdc.Column{Kind: cdc.KindDate}, civil(cdc.KindDate, cdc.Civil{Year: 2026, Month: 13}), "is not a date"},
		{cdc.Column{Kind: cdc.KindTime}, cdc.TimeValue(1 << 50), "not a time"},
	} {
		err := row.column.Check(row.value)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%+v, %s: got %v, want %q", row.column, row.value, err, row.want)
		}
	}
}
