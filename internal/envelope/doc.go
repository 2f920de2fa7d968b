// Package envelope reads what a delivered record says of itself, in whichever envelope and format it is: cdcd's own, Debezium's with
// or without its schema, CloudEvents, a row of CSV.
//
//	r := envelope.Read(line)
//	fmt.Println(r.Table, r.Key, r.Time)        // shop.orders [42] 2026-11-21 05:00:03 +0000 UTC
//
// It is for who finds records again or writes headers for them. What makes records is sinks/form, and what a record does not say
// stays zero.
package envelope
