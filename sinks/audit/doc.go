// Package audit keeps the log that proves what was delivered: one leaf per object, one per publication of rules, one per
// change that a plugin could not judge, and one per note of what else was done, in a Merkle tree whose root is signed. Nothing in it can be changed, removed or put
// in between afterwards without it being noticed by somebody who has the public key, or any older checkpoint.
//
//	log, err := audit.Open(ctx, audit.Config{Dir: "audit", KeyFile: "audit.key", Origin: "cdcd/shop"})
//	defer log.Close()
//	err = log.Object(ctx, object) // nil: the leaf is durable and under a signed checkpoint
//
// [Log.Object] takes each object of a chain in the order of its ordinals, may be called again with those it has, and
// tells with [Log.Head] where to go on: what a crash has cut off between the store and the log is simply offered again.
// [Log.Rules] does the same with publications of rules: what the objects' changes were judged by, and who said so.
// [Log.Trap] tells of changes on which a plugin broke down: which bytes of it, how, and what was done with the change.
// [Log.Note] takes everything else that has to be answered for: triggers, receipts, dead letters, erasures, keys, the
// configuration. A note has an ID, is in the log once, and [Log.Noted] tells how far the notes about a chain have come.
// [Verify] checks a log offline and names the first thing that is wrong. A [Leaf] is one entry, a [Checkpoint] the
// signed statement about all entries up to a size.
//
// # On disk
//
// The layout is C2SP's tlog-tiles (https://c2sp.org/tlog-tiles), so that other people's tools can read and check it, and
// the folder can be served as it is by any web server:
//
//	checkpoint                 the newest signed checkpoint (https://c2sp.org/tlog-checkpoint)
//	tile/<L>/<N>[.p/<W>]       hashes, 256 to a full tile
//	tile/entries/<N>[.p/<W>]   leaves, each with its length before it as a big-endian uint16
//	checkpoints.jsonl          all checkpoints there ever were, one {"time","checkpoint"} a line
//	heads.json                 the last object of each chain; a cache that is rebuilt when it is missing
//	notes.idx                  which leaf has the note of an ID; another such cache
//	lock                       held by the process that writes
//
// and beside the key file: <key_file>.pub, the public key, and <key_file>.checkpoint, the newest checkpoint once more: a
// folder that was put back to an older state is noticed by it. It is worth more the farther it is from the log; give
// checkpoints to the partner, too.
//
// # Crashes
//
// To grow the log, entries and tiles are written under their final names and synced; no checkpoint speaks of them yet.
// Then the file checkpoint is replaced, which is the one moment at which the leaves become part of the log. The copy
// beside the key and the line in checkpoints.jsonl follow, and are made up for at the next start. Whatever was written
// beyond the checkpoint is overwritten by the next leaves.
package audit
