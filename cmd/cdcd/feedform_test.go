package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/form"
	"github.com/cdcd-project/cdcd/sinks/view"
)

// What a chain says that the root of an object's records is, whoever reads the object finds, whatever the form and the compression.
func TestTheRootOfRecordsIsThatOfTheObjectThatIsStored(t *testing.T) {
	full := make([]int, len(secretColumns))
	for name, c := range privateForms() {
		for _, compress := range []string{"none", "zstd", "gzip"} {
			if name == form.Parquet && compress == "none" {
				continue // it is compressed inside, or not at all: both end alike
			}
			store := shelf{}
			c.Compress = compress
			p := privateFeed{form: c, store: store, view: view.Config{Feed: "acme"}, tables: [2]*cdc.Table{secretTable("customers", false), secretTable("partners", false)},
				changes: []secretChange{{cdc.OpInsert, nil, full}, {cdc.OpUpdate, full, full}, {cdc.OpDelete, full, nil}, {cdc.OpSnapshot, nil, full}}}
			p.deliver(t, plainly)
			found := 0
			for key, o := range store {
				if o.meta["cdcd-records"] == "" {
					continue
				}
				records, err := recordsOf(cdc.Object{Key: key, RecordsRoot: o.meta["cdcd-records-root"]}, o.body)
				if err != nil || strconv.Itoa(len(records)) != o.meta["cdcd-records"] {
					t.Errorf("%s, %s: %d records in %s, %v", name, compress, len(records), key, err)
				}
				found += len(records)
			}
			if found != len(p.changes) {
				t.Errorf("%s, %s: %d records, want %d", name, compress, found, len(p.changes))
			}
		}
	}
}

// ALTER TABLE ends an object of a form that has the columns of one table: what comes after it is in the next one, with its own header.
func TestAnAlteredTableBeginsANewObject(t *testing.T) {
	column := func(name, sql string, key uint16) cdc.Column {
		c, ok := cdc.ParseType(sql)
		if !ok {
			t.Fatal(sql)
		}
		c.Name, c.Key, c.Nullable = name, key, key == 0
		return c
	}
	before := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{column("id", "int", 1), column("total", "decimal(8,2)", 0)}}
	after := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{column("id", "int", 1), column("total", "decimal(8,2)", 0), column("note", "varchar(20)", 0)}}
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 1, Created: time.Unix(1_795_226_401, 0)})
	tx := w.AddTx(cdc.Tx{Server: "0-1", GTID: "0-1-17", File: "binlog.000003", Pos: 154, Rows: 4, Ends: true, CommitTime: time.Unix(1_795_226_400, 0)})
	for i, table := range []*cdc.Table{before, before, after, after} {
		w.BeginRow(len(table.Columns))
		w.SetInt(0, int64(i+1))
		w.SetText(1, cdc.KindDecimal, fmt.Sprintf("%d.50", i+1))
		if table == after {
			w.SetText(2, cdc.KindString, "a, b")
		}
		w.AddEvent(cdc.EventInfo{No: uint64(i + 1), Row: uint32(i), Tx: tx, Table: w.AddTable(table), Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", NextNo: 5, PartNos: []uint64{5}}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var ds []cdc.Decision
	for i := range b.Len() {
		ds = append(ds, cdc.Decision{Event: b.Event(i), RuleSet: "sha256:rules", Matches: []cdc.RuleMatch{{Name: "all", Version: "sha256:1", To: []string{"acme"}}}})
	}
	const (
		fixed = "id,op,change,commit_time,table,feed,rules,tags,key,lookup,absent,source,gtid,file,pos,row,no,part_no,"
		first = fixed + "before_id,before_total,after_id,after_total\r\n" +
			`0-1-17/0,insert,,2026-11-21T02:00:00.000000Z,shop.orders,acme,"[{""name"":""all"",""version"":""sha256:1""}]",,"{""id"":1}",,"[""before""]",shop,0-1-17,binlog.000003,154,0,1,1,,,1,1.50` + "\r\n" +
			`0-1-17/1,insert,,2026-11-21T02:00:00.000000Z,shop.orders,acme,"[{""name"":""all"",""version"":""sha256:1""}]",,"{""id"":2}",,"[""before""]",shop,0-1-17,binlog.000003,154,1,2,2,,,2,2.50` + "\r\n"
		second = fixed + "before_id,before_total,before_note,after_id,after_total,after_note\r\n" +
			`0-1-17/2,insert,,2026-11-21T02:00:00.000000Z,shop.orders,acme,"[{""name"":""all"",""version"":""sha256:1""}]",,"{""id"":3}",,"[""before""]",shop,0-1-17,binlog.000003,154,2,3,3,,,,3,3.50,"a, b"` + "\r\n" +
			`0-1-17/3,insert,,2026-11-21T02:00:00.000000Z,shop.orders,acme,"[{""name"":""all"",""version"":""sha256:1""}]",,"{""id"":4}",,"[""before""]",shop,0-1-17,binlog.000003,154,3,4,4,,,,4,4.50,"a, b"` + "\r\n"
	)
	for _, format := range []string{form.CSV, form.Parquet} {
		store := shelf{}
		p := privateFeed{form: feedConfig{Compress: "none", Form: formConfig{Format: format}}, store: store, view: view.Config{Feed: "acme"}}
		p.write(t, b, ds)
		for key, want := range map[string]string{"00000000000000000001": first, "00000000000000000003": second} {
			body, ok := store["p=00/dt=2026-11-21/"+key+"."+format]
			if !ok || body.meta["cdcd-records"] != "2" {
				t.Errorf("%s: object %s is %q", format, key, body.meta)
			}
			if format == form.CSV && string(body.body) != want {
				t.Errorf("object %s: got\n%s\nwant\n%s", key, body.body, want)
			}
		}
		if n := strings.Count(string(store.all()), "cdcd-ordinal"); n != 2 {
			t.Errorf("%s: %d objects, want 2", format, n)
		}
	}
}
