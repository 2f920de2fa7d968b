// Package file keeps objects as files below a directory, with the promises of an object store: an object is written
// once, appears whole, and survives a crash as soon as the call has returned.
//
//	store, err := file.Open(file.Config{URL: "file:///var/lib/acme"})
//	created, err := store.Put(ctx, "p=00/dt=2026-11-21/00000000000000000001.jsonl", body, map[string]string{"cdcd-ordinal": "1"})
//
// # On disk
//
//	<dir>/<key>                    the object
//	<dir>/.cdcd/meta/<key>.json    its metadata; this is what makes the object exist
//	<dir>/.cdcd/new/<attempt>      an object on its way
//	<dir>/.cdcd/new/<attempt>.json its metadata on its way
//
// A put writes both new files and syncs them. Then it links (link(2)) the metadata to its final name: that either
// succeeds for exactly one of all writers or says that the key is taken, and it is the moment at which the object
// exists. Last, the object is linked to its final name and the new files are removed.
//
// A process that dies before the first link leaves files that nobody refers to; Open removes them when they are an
// hour old. One that dies between the two links leaves metadata that names its attempt, whose file is complete and
// durable: whoever comes next, be it a put, a read or a list, makes the second link on its behalf. So two writers of one
// key always end with one object that has its own writer's metadata, whatever is killed where. Processes on several
// machines may share the directory if the file system has working hard links, as NFS does: a reply to link(2) that got
// lost is recognised by the attempt in the metadata.
//
// Nothing outside of the directory is ever reached, also not through symbolic links.
package file
