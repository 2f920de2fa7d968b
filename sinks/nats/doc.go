// Package nats keeps objects as messages of a JetStream stream, so that other services can subscribe to what a feed
// delivers: each record of an object is a message of its own, and the object exists all at once or not at all.
//
//	store, err := nats.Open(nats.Config{URL: "nats://127.0.0.1:4222/acme", Source: "shop", Feed: "acme"})
//	defer store.Close()
//	created, err := store.Put(ctx, "p=00/dt=2026-11-21/00000000000000000001.jsonl", body, map[string]string{"cdcd-records": "2", …})
//
// A [Store] has the promises of the stores of package chain, whose chains are written to it as to any other: put-if-absent,
// listed at once, found again after a crash. So a feed to NATS is exactly-once in its stream, has its place in the audit log,
// and two writers cannot both go on.
//
// # In the stream
//
//	acme.shop.orders                              a record: one line of an object, as the feed's envelope has it
//	_CDCD.acme.p=00.dt=2026-11-21.000…001%2Ejsonl the marker of an object, behind its records
//	_CDCD.acme                                    a piece of an object that has no records, in front of its marker
//
// An object is stored as one atomic batch (ADR-50 of NATS; server 2.12 or later) of its records and, last, its marker, which
// is stored only if there is none under its subject (Nats-Expected-Last-Subject-Sequence: 0): that is the put-if-absent.
// A record's subject ends with the schema and the table of the change; what a token of a subject cannot hold stands there
// like in a URL, %2E for a point. A record's headers are those of CloudEvents' binding for NATS, with the record's id, and
// Nats-Msg-Id: the key of its object and its line.
//
// The stream is made by Open's first use if it is not there. It may have consumers of any kind. What is older than
// Config.MaxAge is removed, but never the last object of a chain, in which it goes on.
package nats
