package wasm_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/wasm"
)

// A plugin of testdata keeps what has more than 50 in its first column.
func Example() {
	ctx := context.Background()
	host, err := wasm.NewHost(wasm.Config{})
	if err != nil {
		panic(err)
	}
	defer host.Close()
	module, err := os.ReadFile("testdata/plain.wasm")
	if err != nil {
		panic(err)
	}
	module, err = wasm.AppendManifest(module, []byte(`{"abi": "cdc1", "name": "large", "version": "1.0.0", "columns": ["total"]}`))
	if err != nil {
		panic(err)
	}
	plugin, err := host.Load(ctx, module, wasm.Limits{Fuel: 1_000_000})
	if err != nil {
		panic(err)
	}
	filter, err := plugin.Filter(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer filter.Close()

	events := orders(20, 70, 51)
	verdicts := make([]cdc.Verdict, len(events))
	if err := filter.Judge(ctx, events, verdicts); err != nil {
		panic(err) // of the world: the same events are offered again
	}
	for i, v := range verdicts {
		fmt.Println(events[i].After().Value(0), v.Keep, v.Err)
	}
	// Output:
	// 20 false <nil>
	// 70 true <nil>
	// 51 true <nil>
}

// orders are inserts with these totals, as capture makes them.
func orders(totals ...int64) (events []cdc.Event) {
	var rows cdc.Builder
	rows.Reset(cdc.Header{Source: "shop"})
	tx := rows.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)})
	table := rows.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "total", Kind: cdc.KindInt64}}})
	for n, total := range totals {
		rows.BeginRow(1)
		rows.SetInt(0, total)
		rows.AddEvent(cdc.EventInfo{No: uint64(n), Tx: tx, Table: table, Op: cdc.OpInsert, After: rows.EndRow()})
	}
	batch, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	for i := range batch.Len() {
		events = append(events, batch.Event(i))
	}
	return events
}
