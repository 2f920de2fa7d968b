package events_test

import (
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine/events"
	"github.com/cdcd-project/cdcd/rules"
)

type order struct {
	ID     int64  `cdc:"id,key"`
	Status string `cdc:"status"`
	Total  string `cdc:"total" sql:"decimal(12,2)"`
}

func Example() {
	orders, err := events.TableOf("shop.orders", order{})
	if err != nil {
		panic(err)
	}
	w := events.NewWriter("shop")
	if err := w.Update(orders, order{17, "new", "12.50"}, order{17, "paid", "12.50"}); err != nil {
		panic(err)
	}
	batch, err := w.Batch("order-17", time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	e := batch.Event(0)
	fmt.Println(e.ID(), e.Op(), e.Table())
	fmt.Printf("%s\n", cdc.AppendRow(nil, e.After()))
	// Output:
	// order-17/0 update shop.orders
	// {"id":17,"status":"paid","total":"12.50"}
}

// Rows may be maps, of a table that is described.
func ExampleOf() {
	tables, err := rules.ParseSchema("schema.yaml", []byte(`
tables:
  shop.orders:
    columns: {id: bigint not null, total: "decimal(12,2)"}
    key: [id]
`))
	if err != nil {
		panic(err)
	}
	w := events.NewWriter("shop")
	if err := w.Insert(events.Of(tables[0]), map[string]any{"id": 17, "total": "12.50"}); err != nil {
		panic(err)
	}
	fmt.Println(w.Insert(events.Of(tables[0]), map[string]any{"id": 18, "totl": "12.50"}))
	// Output: events: insert of shop.orders: there is no column 'totl'
}
