package rules_test

import (
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

func Example() {
	rs, err := rules.Parse("rules/orders.yaml", []byte(`
version: 1
rules:
  - name: paid-big-order
    tables: [shop.orders]
    on: [insert, update]
    when: after.status == 'paid' && changed('status') && after.total >= 1000
    to: [acme]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := rules.New(rs)
	if err != nil {
		fmt.Println(err)
		return
	}

	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindUint64, Type: "bigint unsigned", Key: 1},
		{Name: "status", Kind: cdc.KindEnum, Type: "enum('new','paid')", Members: []string{"new", "paid"}},
		{Name: "total", Kind: cdc.KindDecimal, Type: "decimal(12,2)"},
	}}
	if _, err := set.Check([]*cdc.Table{orders}); err != nil {
		fmt.Println(err)
		return
	}

	// An event, as capture makes it.
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "shop"})
	row := func(status, total string) uint32 {
		b.BeginRow(3)
		b.SetUint(0, 42)
		b.SetText(1, cdc.KindEnum, status)
		b.SetText(2, cdc.KindDecimal, total)
		return b.EndRow()
	}
	tx, table := b.AddTx(cdc.Tx{GTID: "0-1-17", CommitTime: time.Unix(0, 0)}), b.AddTable(orders)
	b.AddEvent(cdc.EventInfo{No: 1, Tx: tx, Table: table, Op: cdc.OpUpdate, Before: row("new", "1200.00"), After: row("paid", "1200.00")})
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{2}}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	decision := set.Decide(batch.Event(0))
	for _, m := range decision.Matches {
		fmt.Println(m.Name, "to", m.To)
	}
	// Output: paid-big-order to [acme]
}

func ExampleSet_Check() {
	rs, _ := rules.Parse("rules/orders.yaml", []byte(`version: 1
rules:
  - name: big-order
    tables: [shop.orders]
    on: [insert]
    when: after.amont > 100
    to: [acme]
`))
	set, _ := rules.New(rs)
	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "amount", Kind: cdc.KindDecimal, Type: "decimal(12,2)"},
	}}
	_, err := set.Check([]*cdc.Table{orders})
	fmt.Println(err)
	// Output:
	// rules/orders.yaml:6:17: error CDCD-2104: orders has no column 'amont'
	//    6 |     when: after.amont > 100
	//      |                 ^^^^^ did you mean 'amount' (decimal(12,2))?
}
