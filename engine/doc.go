// Package engine judges batches of changes by rules and hands what matched to sinks.
//
// There are three types to begin with. An [Engine] is made from a [Config]: rules, and a [Sink] for each feed that they
// deliver to. Its Handle method is a cdc.Handler, so whatever produces batches can be put in front of it: a stream, a
// binlog reader, a test. It has no goroutines, no queue and no clock; it does what it is called for, in the caller's
// goroutine, and returns when every sink has taken the batch.
//
//	eng, err := engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{"acme": sink}})
//	…
//	err = stream.Consume(ctx, 1, eng.Handle)
//
// A bad event (one that a rule could not judge) goes to the dead letters and the line moves on, or halts it, as the
// rule says. A bad world (a sink that does not take the batch) is an error, and the caller offers the batch again.
//
// The rules are one set, which can be swapped between two batches, or asked for by the revision that a batch names
// (Config.Sets): then a batch is judged the same whenever it is offered.
//
// A rule may have a filter, which judges what the rule's condition lets through. Config.Filter returns it, as a [Filter]: a
// sandboxed plugin, or any Go code. It is asked once for each batch, keeps changes or drops them, and may alter what is
// delivered.
//
// A rule may look something up in other tables, for what its filter leaves. Config.Lookup answers, as [Lookups]: the source, or any
// Go code. It is asked once for each batch and question, with the keys of all changes.
//
// Events of a program's own, which come from no database, become batches with package engine/events; examples/embed is a
// whole program.
//
// The engine links no bus, no store, no database and no sandbox: deps_test.go keeps it so.
package engine
