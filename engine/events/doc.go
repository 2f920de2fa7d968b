// Package events makes batches of Go values: structs or maps in, what [engine.Engine.Handle] takes out. It is for
// programs that embed the engine and have events of their own instead of a binlog.
//
//	type Order struct {
//		ID     int64  `cdc:"id,key"`
//		Status string `cdc:"status"`
//		Total  string `cdc:"total" sql:"decimal(12,2)"`
//	}
//
//	orders, err := events.TableOf("shop.orders", Order{})
//	w := events.NewWriter("shop")
//	err = w.Update(orders, before, after)
//	batch, err := w.Batch("order-17", time.Now())
//
// A [Table] is made of a struct type, or of a cdc.Table, as rules.ParseSchema reads one; its rows are structs of that
// type or maps by column. A [Writer] numbers the events and seals what it was given into batches, each of which is one
// transaction.
//
// [engine.Engine.Handle]: https://pkg.go.dev/github.com/cdcd-project/cdcd/engine#Engine.Handle
package events
