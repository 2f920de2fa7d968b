package wasm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// What a plugin is given is a frame like any other, for whichever images it asks.
func TestPartsAreFrames(t *testing.T) {
	for _, images := range []string{"after", "before", "both"} {
		for _, columns := range []int{0, 1, 5, 40} {
			names := make([]string, columns)
			for i := range names {
				names[i] = fmt.Sprintf(`{"name":"c%d","optional":true}`, i)
			}
			m, err := ParseManifest(fmt.Appendf(nil, `{"abi":"cdc1","name":"a","version":"1.0.0","images":%q,"columns":[%s]}`, images, strings.Join(names, ",")))
			if err != nil {
				t.Fatal(err)
			}
			f := newFilter(&Plugin{manifest: m}, nil)
			for _, ops := range [][]cdc.Op{{cdc.OpInsert}, {cdc.OpDelete}, {cdc.OpUpdate}, {cdc.OpSnapshot}, {cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete}} {
				events := mixed(t, 100, ops)
				if n := f.part.fill(events, nil, maxEvents); n != len(events) {
					t.Fatalf("%d of %d events", n, len(events))
				}
				b, err := cdc.Open(f.part.frame, nil)
				if err == nil {
					err = b.Verify()
				}
				if err != nil {
					t.Fatalf("images %s, %d columns, %v: %v", images, columns, ops, err)
				}
				for i, e := range events {
					got := b.Event(i)
					if got.No() != e.No() || got.Op() != e.Op() || !got.CommitTime().Equal(e.CommitTime()) || got.Table().String() != e.Table().String() {
						t.Fatalf("event %d is %d %s of %s at %s", i, got.No(), got.Op(), got.Table(), got.CommitTime())
					}
					same(t, got.Before(), e.Before(), columns, images != "after")
					same(t, got.After(), e.After(), columns, images != "before")
				}
			}
		}
	}
}

// same says whether a row has the columns of another, or none.
func same(t *testing.T, got, want cdc.Row, columns int, given bool) {
	t.Helper()
	if got.Exists() != want.Exists() || got.Exists() && got.Len() != columns {
		t.Fatalf("an image has %d columns: %v, want %v", got.Len(), got.Exists(), want.Exists())
	}
	for i := range got.Len() {
		value := cdc.Value{}
		if c := want.Table().Column(fmt.Sprint("c", i)); given && c >= 0 {
			value = want.Value(c)
		}
		if got.Value(i) != value {
			t.Fatalf("column %d is %v, want %v", i, got.Value(i), value)
		}
	}
}

// mixed returns events of two tables, with these operations in turn.
func mixed(t *testing.T, n int, ops []cdc.Op) (events []cdc.Event) {
	t.Helper()
	tables := []*cdc.Table{{Schema: "shop", Name: "a"}, {Schema: "shop", Name: "b"}}
	for i := range 10 {
		tables[0].Columns = append(tables[0].Columns, cdc.Column{Name: fmt.Sprint("c", 9-i), Kind: cdc.KindString})
		tables[1].Columns = append(tables[1].Columns, cdc.Column{Name: fmt.Sprint("c", 2*i), Kind: cdc.KindInt64})
	}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	for k := range n {
		op, table := ops[k%len(ops)], k/3%2
		image := func() uint32 {
			w.BeginRow(10)
			for i := range 10 {
				if table == 0 {
					w.SetText(i, cdc.KindString, strings.Repeat("x", (k+i)%7))
				} else {
					w.SetInt(i, int64(k*i))
				}
			}
			return w.EndRow()
		}
		e := cdc.EventInfo{No: uint64(k), Tx: w.AddTx(cdc.Tx{CommitTime: clock.AddDate(0, 0, k/5)}), Table: w.AddTable(tables[table]), Op: op}
		if op == cdc.OpUpdate || op == cdc.OpDelete {
			e.Before = image()
		}
		if op != cdc.OpDelete {
			e.After = image()
		}
		w.AddEvent(e)
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Len() {
		events = append(events, b.Event(i))
	}
	return events
}
