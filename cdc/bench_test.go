package cdc_test

import (
	"fmt"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// benchTable is an ordinary table of 12 columns, benchRow one of its rows.
var benchTable = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Type: "bigint unsigned", Kind: cdc.KindUint64, Unsigned: true, Key: 1},
	{Name: "customer_id", Type: "int", Kind: cdc.KindInt64},
	{Name: "status", Type: "enum('new','paid','sent')", Kind: cdc.KindEnum, Members: []string{"new", "paid", "sent"}},
	{Name: "total", Type: "decimal(12,2)", Kind: cdc.KindDecimal, Precision: 12, Scale: 2},
	{Name: "currency", Type: "char(3)", Kind: cdc.KindString},
	{Name: "email", Type: "varchar(255)", Kind: cdc.KindString},
	{Name: "note", Type: "text", Kind: cdc.KindString, Nullable: true},
	{Name: "weight", Type: "double", Kind: cdc.KindFloat64},
	{Name: "items", Type: "smallint", Kind: cdc.KindInt64},
	{Name: "created", Type: "datetime(3)", Kind: cdc.KindDatetime, Fsp: 3},
	{Name: "changed", Type: "timestamp(6)", Kind: cdc.KindTimestamp, Fsp: 6},
	{Name: "gift", Type: "tinyint", Kind: cdc.KindInt64},
}}

func benchRow(w *cdc.Builder, id int, status string) uint32 {
	w.BeginRow(12)
	w.SetUint(0, uint64(id))
	w.SetInt(1, int64(id*7))
	w.SetText(2, cdc.KindEnum, status)
	w.SetText(3, cdc.KindDecimal, "1249.90")
	w.SetText(4, cdc.KindString, "EUR")
	w.SetText(5, cdc.KindString, "someone.with.a.name@example.com")
	w.SetNull(6)
	w.SetFloat(7, 12.375)
	w.SetInt(8, 3)
	w.SetCivil(9, cdc.KindDatetime, cdc.Civil{Year: 2026, Month: 11, Day: 21, Hour: 3, Minute: 4, Second: 5, Micro: 123000})
	w.SetNum(10, cdc.KindTimestamp, 1_795_226_400_123_456)
	w.SetInt(11, 0)
	return w.EndRow()
}

const benchRows = 256

func benchFrame(w *cdc.Builder, gtid string) []byte {
	w.Reset(cdc.Header{Source: "shop", Writer: "bench", FirstPartNo: 1})
	table := w.AddTable(benchTable)
	for i := range benchRows {
		tx := w.AddTx(cdc.Tx{Server: "0-1", GTID: gtid, File: "binlog.000001", Pos: uint64(i), CommitTime: commit, Rows: 1, Ends: true})
		before, after := benchRow(w, i, "new"), benchRow(w, i, "paid")
		w.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpUpdate, Before: before, After: after})
	}
	return w.Seal(cdc.Checkpoint{Flavor: "mariadb", GTIDSet: gtid, NextNo: benchRows, PartNos: []uint64{benchRows}})
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
}

// BenchmarkBuild builds frames of 256 updates of 12 columns, one a transaction.
func BenchmarkBuild(b *testing.B) {
	var w cdc.Builder
	b.ReportAllocs()
	b.SetBytes(int64(len(benchFrame(&w, "0-1-17"))))
	for b.Loop() {
		benchFrame(&w, "0-1-17")
	}
	perRow(b)
}

func BenchmarkOpen(b *testing.B) {
	frame := benchFrame(new(cdc.Builder), "0-1-17")
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("tables known=%v", known), func(b *testing.B) {
			var tables *cdc.Tables
			if known {
				tables = new(cdc.Tables)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if _, err := cdc.Open(frame, tables); err != nil {
					b.Fatal(err)
				}
			}
			perRow(b)
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	batch := open(b, benchFrame(new(cdc.Builder), "0-1-17"), nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.Verify(); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b)
}

// BenchmarkReadThreeColumns reads what a rule reads: three columns of each row after the change.
func BenchmarkReadThreeColumns(b *testing.B) {
	batch := open(b, benchFrame(new(cdc.Builder), "0-1-17"), nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range batch.Len() {
			after := batch.Event(i).After()
			n += int(after.Value(0).Uint64()) + len(after.Value(2).Text()) + len(after.Value(3).Text())
		}
	}
	if n == 0 {
		b.Fatal("read nothing")
	}
	perRow(b)
}

func BenchmarkAppendRecord(b *testing.B) {
	batch := open(b, benchFrame(new(cdc.Builder), "0-1-17"), new(cdc.Tables))
	d := cdc.Decision{Matches: []cdc.RuleMatch{{Name: "paid-big-order", Version: "sha256:0123456789abcdef", To: []string{"acme"}}}}
	dst := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		for i := range batch.Len() {
			d.Event = batch.Event(i)
			dst = cdc.AppendRecord(dst, "acme", &d)
		}
	}
	b.SetBytes(int64(len(dst)))
	perRow(b)
}
