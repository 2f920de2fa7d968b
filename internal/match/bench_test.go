package match_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "customer_id", Kind: cdc.KindInt64},
	{Name: "status", Kind: cdc.KindEnum, Members: []string{"new", "paid", "shipped", "cancelled"}},
	{Name: "total", Kind: cdc.KindDecimal, Precision: 12, Scale: 2}, {Name: "country", Kind: cdc.KindString},
	{Name: "email", Kind: cdc.KindString}, {Name: "score", Kind: cdc.KindFloat64, Nullable: true}, {Name: "sku", Kind: cdc.KindString},
	{Name: "created", Kind: cdc.KindTimestamp}, {Name: "note", Kind: cdc.KindString, Nullable: true},
	{Name: "quantity", Kind: cdc.KindInt64}, {Name: "weight", Kind: cdc.KindInt64},
}}

// orderEvents makes updates whose values differ from event to event.
func orderEvents(n int) []cdc.Event {
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: time.Unix(1_700_000_000, 0)}), b.AddTable(orders)
	row := func(i int, status string) uint32 {
		b.BeginRow(len(orders.Columns))
		b.SetInt(0, int64(i))
		b.SetInt(1, int64(10_000_000+i*7919%1_000_000))
		b.SetText(2, cdc.KindEnum, status)
		b.SetText(3, cdc.KindDecimal, fmt.Sprintf("%d.%02d", i*31%900, i%100))
		b.SetText(4, cdc.KindString, []string{"US", "DE", "FR", "GB", "CA"}[i%5])
		b.SetText(5, cdc.KindString, fmt.Sprintf("user%d@example.com", i))
		b.SetFloat(6, float64(i%100))
		b.SetText(7, cdc.KindString, fmt.Sprintf("SKU-%06d", i*104729%1_000_000))
		b.Set(8, cdc.TimestampValue(1_700_000_000_000_000+int64(i)*1e6))
		b.SetText(9, cdc.KindString, "leave at the door")
		b.SetInt(10, int64(i%50))
		b.SetInt(11, int64(i%5000))
		return b.EndRow()
	}
	for i := range n {
		b.AddEvent(cdc.EventInfo{No: uint64(i), Tx: tx, Table: table, Op: cdc.OpUpdate, Before: row(i, "new"), After: row(i, "paid")})
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

func leaf(test match.Test, column int, v cdc.Value) *match.Formula {
	return &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: test, Slot: match.Slot{Image: match.After, Column: column}, Const: v}}
}

func and(kids ...*match.Formula) *match.Formula { return &match.Formula{Op: match.And, Kids: kids} }

// mixed is the i-th of many different rules, of which an event matches hardly one.
func mixed(i int) *match.Formula {
	paid := leaf(match.Equal, 2, cdc.TextValue(cdc.KindEnum, "paid"))
	switch i % 5 {
	case 0:
		return and(leaf(match.Equal, 1, cdc.Int64Value(int64(20_000_000+i))), paid)
	case 1:
		return and(leaf(match.Prefix, 7, cdc.TextValue(cdc.KindString, fmt.Sprintf("XKU-%06d", i))), paid)
	case 2:
		return and(leaf(match.GreaterEqual, 3, cdc.TextValue(cdc.KindDecimal, fmt.Sprintf("%d.50", 1000+i))), paid)
	case 3:
		return and(leaf(match.Greater, 8, cdc.TimestampValue(1_800_000_000_000_000+int64(i)*1e6)), leaf(match.Less, 8, cdc.TimestampValue(1_800_000_500_000_000+int64(i)*1e6)), paid)
	}
	return and(leaf(match.Equal, 5, cdc.TextValue(cdc.KindString, fmt.Sprintf("user%d@example.org", i))), paid)
}

func BenchmarkMatch(b *testing.B) {
	events := orderEvents(500)
	for _, n := range []int{1, 10, 100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint("mixed-", n), func(b *testing.B) {
			formulas := make([]*match.Formula, n)
			for i := range formulas {
				formulas[i] = mixed(i)
			}
			begin := time.Now()
			x := match.New(orders, formulas)
			b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/build")
			var s match.Scratch
			results, i := 0, 0
			b.ReportAllocs()
			best := time.Hour // of some events: on a busy machine it says more than the mean
			for b.Loop() {
				at := i % len(events)
				begin := time.Now()
				for _, e := range events[at : at+50] {
					results += len(x.Match(e, &s, nil))
				}
				best = min(best, time.Since(begin))
				i += 50
			}
			b.ReportMetric(float64(best)/50, "best-ns/event")
			b.ReportMetric(float64(results)/float64(i), "results/event")
		})
	}
}

// BenchmarkNew measures what it costs to index formulas, and what an index of them takes.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			formulas := make([]*match.Formula, n)
			for i := range formulas {
				formulas[i] = mixed(i)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			x := match.New(orders, formulas)
			runtime.GC()
			runtime.ReadMemStats(&after)
			best := time.Hour
			for b.Loop() {
				begin := time.Now()
				x = match.New(orders, formulas)
				best = min(best, time.Since(begin))
			}
			runtime.KeepAlive(x)
			b.ReportMetric(float64(best)/1e6, "best-ms")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/formula")
		})
	}
}
