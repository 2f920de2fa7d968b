// Package ledger proves that nothing was lost, doubled, reordered or altered on the road from a database to a bucket.
//
// It runs a random, concurrent workload on a MariaDB or MySQL server: transactions over several tables, composite keys,
// statements that touch many rows, rollbacks, savepoints, deadlocks, keys that are deleted and used again. It keeps a
// ledger of every row change that the server confirmed as committed, and then holds the delivered objects' lines
// against it. There is one type, [Workload]:
//
//	w := ledger.New(ledger.Config{Addr: db.Addr, User: "root", Seed: 7})
//	err := w.Create(ctx)              // empty tables
//	// … start capture; then, while things are killed:
//	err = w.Run(ctx)                  // until ctx ends, or Config.Transactions are done; may be called again
//	err = w.Check(ctx, ledger.Want{}, ledger.Lines(object))
//
// How it knows. Every inserted or updated row image carries a change number that was never used before, and a version
// that counts the changes of its key, so a delivered line names the one change that it must be equal to, and the order
// of a key's changes is known without looking into the server's log. The first row of every transaction goes into
// the table transactions: when the connection breaks during COMMIT, that row tells what became of it.
//
// The workload survives a server that is killed and comes back. It needs full row images.
package ledger
