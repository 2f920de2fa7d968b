package fuzz

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/form"
)

var formTable = &cdc.Table{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "a", Kind: cdc.KindString, Nullable: true},
	{Name: "b", Kind: cdc.KindBytes, Nullable: true}}}

func formDecision(t *testing.T, id int64, a, b string) cdc.Decision {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	tx, table := w.AddTx(cdc.Tx{GTID: "0-1-1", File: a, Rows: 1, Ends: true}), w.AddTable(formTable)
	w.BeginRow(3)
	w.SetInt(0, id)
	w.SetText(1, cdc.KindString, a)
	w.SetText(2, cdc.KindBytes, b)
	w.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	batch, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		return cdc.Decision{} // a text is longer than names may be
	}
	return cdc.Decision{Event: batch.Event(0), Matches: []cdc.RuleMatch{{Name: "r", Version: "v", To: []string{"acme"}}}}
}

// FuzzForms writes a row in every form: each container gives its records back, and what is read by others' readers is the row.
func FuzzForms(f *testing.F) {
	f.Add(int64(1), "a,\"b\"\r\n", "\x00")
	f.Add(int64(-1), "", "")
	f.Fuzz(func(t *testing.T, id int64, a, b string) {
		d := formDecision(t, id, a, b)
		if d.Matches == nil {
			return
		}
		var delivery cdc.Delivery
		cdc.Deliver(&delivery, "acme", &d)
		for _, o := range []form.Options{{Compress: "none"}, {Compress: "none", Envelope: form.Debezium}, {Compress: "none", Envelope: form.CloudEvents},
			{Compress: "none", Format: form.CSV}, {Compress: "none", Format: form.Parquet}} {
			x, err := form.New(o)
			if err != nil {
				t.Fatal(err)
			}
			record := append(x.Append(nil, &delivery), '\n')
			body, err := x.Seal(x.Kind(d.Event), record)
			if err != nil {
				t.Fatal(err)
			}
			back, err := x.Unseal(body)
			if err != nil || !bytes.Equal(back, record) {
				t.Fatalf("%s: %v: got %q, want %q", x.Name(), err, back, record)
			}
			if o.Format != form.CSV {
				if !json.Valid(back) {
					t.Fatalf("%s: not JSON: %q", x.Name(), back)
				}
				continue
			}
			rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
			if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
				t.Fatalf("%v: %q", err, body)
			}
			if want := strings.ReplaceAll(a, "\r\n", "\n"); utf8.ValidString(a) && rows[1][len(rows[1])-2] != want { // encoding/csv drops those returns
				t.Fatalf("got %q, want %q", rows[1][len(rows[1])-2], want)
			}
		}
	})
}
