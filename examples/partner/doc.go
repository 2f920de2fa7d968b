// Command partner shows two organisations that share data, and what is left of it when one of them is killed again and again.
//
//	go run ./examples/partner -for 30s
//
// The sender has a database under load and a cdcd that captures it, delivers it to a folder (a bucket would do), logs it and
// tells the partner of each object with a signed webhook. Every second or so its cdcd is killed with SIGKILL and started
// again. The partner is told of objects, fetches them in order, checks them against the sender's audit log, sends
// receipts, and is killed, too. At the end what the partner has is held against what the database has committed.
package main
