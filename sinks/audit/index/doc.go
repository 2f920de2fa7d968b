// Package index finds deliveries in an audit log: which objects have records about a row, and which record it is.
//
//	x, err := index.Open("audit.index.db", secret, rebuild)
//	defer x.Close()
//	err = x.Update(ctx, log, records)              // what the log has and the index has not
//	hits, err := x.Find(index.Query{Feed: "acme", Table: "shop.orders", Key: []string{"42"}})
//
// It is made by reading the log and the objects that it names, and can be thrown away: a file that is missing, of another log
// or key, or damaged is made again, from nothing. Nobody has to believe it. What it finds is looked at in the objects, which the
// log's hashes vouch for; that it has found all is only as true as that nobody has changed the file.
//
// Rows are in it under a keyed hash (HMAC-SHA256 over feed, table and primary key), so that the file tells nobody without the
// key which rows there are. Objects that cannot be read are noted, and each answer can tell of them ([Index.Gaps]).
package index
