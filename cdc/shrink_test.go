package cdc_test

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestRowsAreShrunkToWhatFits(t *testing.T) {
	table := &cdc.Table{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindString, Key: 1}, {Name: "n", Kind: cdc.KindInt64},
		{Name: "a", Kind: cdc.KindString, Nullable: true}, {Name: "b", Kind: cdc.KindBytes}}}
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, test := range map[string]struct {
		limit  int
		values [2][2]int // bytes of a and b before and after
		absent string    // of before.a before.b after.a after.b
		fits   bool
	}{
		"nothing to do":             {1 << 20, [2][2]int{{10, 20}, {30, 40}}, "....", true},
		"the largest goes":          {60_000, [2][2]int{{100, 20_000}, {100, 50_000}}, "...x", true},
		"as many as must":           {20_000, [2][2]int{{30_000, 20_001}, {40_000, 5}}, "xxx.", true},
		"the key is not left out":   {5_000, [2][2]int{{1, 1}, {1, 1}}, "", false},
		"two of one size: the rest": {60_000, [2][2]int{{50_000, 5}, {50_000, 5}}, "x...", true},
	} {
		t.Run(name, func(t *testing.T) {
			var w cdc.Builder
			w.Reset(cdc.Header{Source: "s", FirstPartNo: 1})
			info := cdc.EventInfo{No: 1, Tx: w.AddTx(cdc.Tx{GTID: "g"}), Table: w.AddTable(table), Op: cdc.OpUpdate, Incomplete: true}
			row := func(sizes [2]int) uint32 {
				w.BeginRow(4)
				w.SetText(0, cdc.KindString, long(4_000))
				w.SetInt(1, -7)
				w.SetText(2, cdc.KindString, long(sizes[0]))
				w.SetText(3, cdc.KindBytes, long(sizes[1]))
				return w.EndRow()
			}
			places := []uint32{row(test.values[0]), row(test.values[1])}
			before := w.Size()
			places, fits := w.Shrink(test.limit, table.Key(), places...)
			if fits != test.fits || fits && w.Size() > test.limit || !fits && w.Size() != before {
				t.Fatalf("fits %v with %d bytes, before %d", fits, w.Size(), before)
			}
			if !fits {
				return
			}
			info.Before, info.After = places[0], places[1]
			w.AddEvent(info)
			b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
			if err == nil {
				err = b.Verify()
			}
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, r := range []cdc.Row{b.Event(0).Before(), b.Event(0).After()} {
				if r.Value(0).Text() != long(4_000) || r.Value(1).Int64() != -7 {
					t.Errorf("key and number: %v, %v", r.Value(0), r.Value(1))
				}
				for j := range 2 {
					v := r.Value(2 + j)
					if v.IsAbsent() {
						got += "x"
						continue
					}
					got += "."
					if len(v.Text()) != test.values[i][j] {
						t.Errorf("value %d of row %d has %d bytes", j, i, len(v.Text()))
					}
				}
			}
			if got != test.absent {
				t.Errorf("absent are %s, want %s", got, test.absent)
			}
		})
	}
}
