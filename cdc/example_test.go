package cdc_test

import (
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// A frame is built where changes are captured, and read everywhere else.
func Example() {
	status, _ := cdc.ParseType("enum('new','paid')")
	status.Name = "status"
	total, _ := cdc.ParseType("decimal(12,2)")
	total.Name = "total"
	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Type: "bigint unsigned", Kind: cdc.KindUint64, Unsigned: true, Key: 1}, status, total,
	}}

	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Epoch: 1, FirstPartNo: 1001})
	tx := w.AddTx(cdc.Tx{GTID: "0-1-17", File: "binlog.000001", Pos: 1234, CommitTime: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)})
	table := w.AddTable(orders)
	row := func(status string) uint32 {
		w.BeginRow(len(orders.Columns))
		w.SetUint(0, 42)
		w.SetText(1, cdc.KindEnum, status)
		w.SetText(2, cdc.KindDecimal, "1200.00")
		return w.EndRow()
	}
	w.AddEvent(cdc.EventInfo{No: 1001, Tx: tx, Table: table, Op: cdc.OpUpdate, Before: row("new"), After: row("paid")})
	frame := w.Seal(cdc.Checkpoint{Flavor: "mariadb", GTIDSet: "0-1-17", NextNo: 1002, PartNos: []uint64{1002}})

	var tables cdc.Tables // keep it: known tables cost nothing to read again
	batch, err := cdc.Open(frame, &tables)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range batch.Len() {
		e := batch.Event(i)
		fmt.Println(e.ID(), e.Op(), e.Table(), e.Position())
		for i, c := range e.Table().Columns {
			if !e.Before().Equal(e.After(), i) {
				fmt.Println(c.Name, "was", e.Before().Value(i), "and became", e.After().Value(i))
			}
		}
		fmt.Printf("%s\n", cdc.AppendRow(nil, e.After()))
	}
	fmt.Println("read up to", batch.Checkpoint().GTIDSet)
	// Output:
	// 0-1-17/0 update shop.orders 0-1-17 at binlog.000001:1234 row 0
	// status was "new" and became "paid"
	// {"id":42,"status":"paid","total":"1200.00"}
	// read up to 0-1-17
}
