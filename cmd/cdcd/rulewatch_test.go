package main

import (
	"testing"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
)

// someOrders is a batch of inserts into shop.orders, whose column act is what the plugin of tests does with them.
func someOrders(t testing.TB, acts ...int64) *cdc.Batch {
	t.Helper()
	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "act", Kind: cdc.KindInt64},
		{Name: "note", Kind: cdc.KindString}}}
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop", Epoch: 1, FirstPartNo: 1})
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-1"}), b.AddTable(orders)
	for i, act := range acts {
		b.BeginRow(3)
		b.SetInt(0, int64(i))
		b.SetInt(1, act)
		b.SetText(2, cdc.KindString, "a")
		b.AddEvent(cdc.EventInfo{No: uint64(i) + 1, Tx: tx, Table: table, Op: cdc.OpInsert, After: b.EndRow()})
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// Samples are kept of rules that only watch: not of one whose plugin routes a change to another feed.
func TestSamplesAreOfRulesThatOnlyWatch(t *testing.T) {
	w := newRuleWatch()
	w.revised(&bus.RuleState{Rules: map[string]bus.StoredRule{
		"active": {Name: "active", Mode: "active"},
		"shadow": {Name: "shadow", Mode: "shadow"},
	}})
	b := someOrders(t, 1)
	routed := &cdc.Edits{To: []string{"bolt"}}
	w.observe("acme", b, []cdc.Decision{{Event: b.Event(0), Matches: []cdc.RuleMatch{{Name: "active", Edits: routed}, {Name: "shadow", Edits: routed}}}})
	for rule, want := range map[string]int{"active": 0, "shadow": 1} {
		if got := len(w.of(rule, true).Samples); got != want {
			t.Errorf("%s: %d samples, want %d", rule, got, want)
		}
	}
}
