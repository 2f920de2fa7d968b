package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// printer is a sink: one method.
type printer struct{}

func (printer) Write(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	for i := range ds {
		fmt.Fprintf(os.Stdout, "%s %s by %s\n", ds[i].Event.Table(), cdc.AppendRow(nil, ds[i].Event.After()), ds[i].Matches[0].Name)
	}
	return nil
}

// The engine as a library: rules in, batches in, what is relevant out. No bus, no store, no database.
func Example() {
	parsed, err := rules.Parse("rules.yaml", []byte(`
version: 1
rules:
  - name: paid-big-order
    tables: [shop.orders]
    on: [insert, update]
    when: after.status == 'paid' && changed('status') && after.total >= 1000
    to: [acme]
`))
	if err != nil {
		panic(err)
	}
	set, err := rules.New(parsed)
	if err != nil {
		panic(err)
	}
	eng, err := engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{"acme": printer{}}})
	if err != nil {
		panic(err)
	}

	// A source would make the batches; sources/mysql does, from the binlog.
	if err := eng.Handle(context.Background(), twoUpdates()); err != nil {
		panic(err)
	}
	// Output: shop.orders {"id":42,"status":"paid","total":"1200.00"} by paid-big-order
}

// large is a filter in Go: it keeps orders of 1,000 and more, and delivers them without their total.
type large struct{}

func (large) Judge(_ context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	for i, e := range events {
		if len(e.After().Value(2).Text()) < len("1000.00") {
			continue // its verdict says drop
		}
		verdicts[i] = cdc.Verdict{Keep: true, Edits: &cdc.Edits{
			Columns: []cdc.ColumnEdit{{Column: "total", Drop: true}}, Tags: []string{"large"}, Reason: "1,000 or more"}}
	}
	return nil
}

// A rule's filter judges what its condition lets through, and may alter what is delivered. Here it is Go; package wasm makes
// filters of plugins.
func ExampleFilter() {
	parsed, err := rules.Parse("rules.yaml", []byte(`
version: 1
rules:
  - name: paid
    tables: [shop.orders]
    on: [insert, update]
    when: after.status == 'paid'
    filter: {plugin: large}
    to: [acme]
`))
	if err != nil {
		panic(err)
	}
	set, err := rules.New(parsed)
	if err != nil {
		panic(err)
	}
	eng, err := engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{"acme": records{}},
		Filter: func(_ context.Context, r *rules.Rule) (engine.Filter, error) {
			if r.Filter.Plugin != "large" {
				return nil, fmt.Errorf("there is no plugin %s", r.Filter.Plugin)
			}
			return large{}, nil
		}})
	if err != nil {
		panic(err)
	}
	if err := eng.Handle(context.Background(), twoUpdates()); err != nil {
		panic(err)
	}
	if err := eng.Close(); err != nil {
		panic(err)
	}
	// Output:
	// paid: 1,000 or more [large] {"id":42,"status":"paid"}
}

// records prints parts of what a partner would get.
type records struct{}

func (records) Write(_ context.Context, _ *cdc.Batch, ds []cdc.Decision) error {
	for i := range ds {
		var r struct {
			Rules []struct{ Name, Reason string }
			Tags  []string
			After json.RawMessage
		}
		if err := json.Unmarshal(cdc.AppendRecord(nil, "acme", &ds[i]), &r); err != nil {
			return err
		}
		fmt.Printf("%s: %s %s %s\n", r.Rules[0].Name, r.Rules[0].Reason, r.Tags, r.After)
	}
	return nil
}

// twoUpdates has two orders that become paid.
func twoUpdates() *cdc.Batch {
	columns := []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "status", Kind: cdc.KindString},
		{Name: "total", Kind: cdc.KindDecimal, Precision: 10, Scale: 2}}
	var rows cdc.Builder
	rows.Reset(cdc.Header{Source: "shop", FirstPartNo: 1})
	tx := rows.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)})
	table := rows.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: columns})
	row := func(id int64, status, total string) uint32 {
		rows.BeginRow(len(columns))
		rows.SetInt(0, id)
		rows.SetText(1, cdc.KindString, status)
		rows.SetText(2, cdc.KindDecimal, total)
		return rows.EndRow()
	}
	for i, total := range []string{"80.00", "1200.00"} {
		id := int64(41 + i)
		rows.AddEvent(cdc.EventInfo{No: uint64(1 + i), Tx: tx, Row: uint32(i), Table: table, Op: cdc.OpUpdate,
			Before: row(id, "new", total), After: row(id, "paid", total)})
	}
	batch, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	return batch
}
