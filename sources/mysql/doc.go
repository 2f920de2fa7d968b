// Package mysql captures row changes of MySQL and MariaDB from their binlog, live or from files, as frames.
//
// A [Source] is one log. [New] makes one that connects to a server as a replica does, [Files] one that reads binlog
// files; both decode with the same code and give the same events. Run reads on from a checkpoint and hands frame after
// frame to one handler, until the context ends, the files end, or something is wrong that a person must look at:
//
//	source, err := mysql.New(mysql.Config{Name: "shop", Addr: "db:3306", User: "cdcd", Password: secret, Tables: []string{"shop.*"}})
//	err = source.Run(ctx, checkpoint, publish)
//
// The checkpoint is what the last frame said ([cdc.Batch.Checkpoint]), or the zero value to begin at the server's present end.
// Whatever is unclear stops Run with a [cdc.Error] that says what to do: a purged binlog, another server under the same
// address, an event that is not known. Nothing is ever left out silently.
//
// Columns, their types and keys come from the log itself where binlog_row_metadata is FULL. Otherwise they come from
// information_schema, and are checked against what little the log says.
//
// With [Config].Snapshot, and with [Source.StartSnapshot], rows that are in the tables already come too, each in its exact place
// between the changes. How far that has got is part of the checkpoint.
//
// Columns can be left out, or masked, before anything is written anywhere: [Config].DropColumns and MaskColumns. They hold for
// every way into a frame.
//
// [Preflight] looks at everything on the server that a capture depends on, [Schema] describes the captured tables.
package mysql
