// Package chain delivers decisions as a chain of objects that are each written once.
//
// One chain belongs to one feed and one partition. Its objects are numbered from 1 (the ordinal) and each answers for
// a range of the partition's events: what matched of (previous.LastPartNo, LastPartNo] is in it, and what did not
// match is thereby known not to have. The key is a function of the chain's position alone and the object is created
// with put-if-absent, so that of any number of writers exactly one decides what comes next, and the object itself is
// the checkpoint: after a crash the chain is found again in the store, and the stream is read again from where its
// last object ends. Nothing can be lost or doubled whatever is killed, as long as the store keeps its word; [Open]
// asks the store to prove that.
//
// A chain has one folder, p=<partition>/, with
//
//	chain.json                                    what may not change while it lives: source, feed, envelope, compression
//	begin.json                                    the event that it begins with
//	dt=2026-11-21/00000000000000000001.jsonl.zst  an object: the records of the events from 1 on
//
// Keys sort in chain order. The date is that of the commit of the event that the object begins with, whether that
// event is in it or not; but it never goes back, though commit times may.
//
// There are three types: [Config], [Chain] and the [Store] it writes to. A chain is a sink of the engine:
//
//	c, err := chain.Open(ctx, chain.Config{Source: "shop", Feed: "acme", Store: store, Compress: "zstd"})
//	go c.Run(ctx)                                    // commits objects when they are due
//	stream.Consume(ctx, c.Resume(), engine.Handle)   // calls c.Write
//
// What it is given is void when the writer dies or is overtaken ([ErrFenced]): the chain is opened again, and the stream
// read again from Resume.
//
// The recipe is the idea of Delta Lake's log and of Litestream's generations: put-if-absent as the only lock.
package chain
