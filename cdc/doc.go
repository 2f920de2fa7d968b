// Package cdc is the vocabulary of cdcd: what a change is, what was decided about it, and the one door through
// which every part hands changes to the next.
//
// There are only a few types. An [Event] is one row change; it is a view into a [Batch], and a batch is a view into
// one flat buffer, the frame (FORMAT.md). A [Row] is the image of a row before or after the change, a [Value] one
// column of it, a [Table] the columns it had when it was written. A [Position] says where in the source's log the
// change stands, and so gives it an ID that is the same everywhere and for ever. A [Decision] is what the rules made
// of an event. A [Handler] is the door:
//
//	type Handler func(ctx context.Context, b *Batch) error
//
// Frames are built once, by a [Builder], where the change is captured, and never parsed again: the same bytes go to
// the bus, to the rules and into the memory of a sandboxed plugin, and reading one column decodes one column.
//
//	var rows cdc.Builder
//	rows.Reset(cdc.Header{Source: "shop"})
//	tx := rows.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: at})
//	orders := rows.AddTable(&cdc.Table{Schema: "shop", Name: "orders", Columns: columns})
//	rows.BeginRow(len(columns))
//	rows.SetInt(0, 42)
//	rows.SetText(1, cdc.KindString, "paid")
//	after := rows.EndRow()
//	rows.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: orders, Op: cdc.OpInsert, After: after})
//	batch, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
//
// The package imports the standard library only, and knows no database, no bus and no store.
package cdc
