package pluginkit

import (
	"github.com/cdcd-project/cdcd/cdc"
)

// Together puts events of several batches into one, which plugins judge them in. They are numbered from 1.
func Together(events []cdc.Event) ([]cdc.Event, error) {
	var rows cdc.Builder
	rows.Reset(cdc.Header{Source: "test", FirstPartNo: 1})
	numbers := map[*cdc.Table]int{}
	for i, e := range events {
		t, known := numbers[e.Table()]
		if !known {
			t = rows.AddTable(e.Table())
			numbers[e.Table()] = t
		}
		tx := rows.AddTx(cdc.Tx{GTID: e.Position().GTID, CommitTime: e.CommitTime(), Rows: 1, Ends: true})
		rows.AddEvent(cdc.EventInfo{No: uint64(i + 1), Tx: tx, Table: t, Op: e.Op(), Incomplete: e.Incomplete(),
			Before: rows.CopyRow(e.Before()), After: rows.CopyRow(e.After())})
	}
	b, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		return nil, err
	}
	all := make([]cdc.Event, b.Len())
	for i := range all {
		all[i] = b.Event(i)
	}
	return all, nil
}
