// Package shop is a web shop on a MySQL or MariaDB server, as far as a database sees it: customers, products, orders
// and their lines, and the transactions of its days. `cdcd demo` captures it, live or from a binlog that was recorded
// once.
//
// There are two types: a [Shop] makes changes, a [Tally] says how many were committed, and how many of them each rule
// of the demo has to find. The tally is kept by the shop, from what it writes, and so is independent of cdcd.
//
//	conn, err := server.Connect(ctx)
//	s, err := shop.Open(ctx, conn, 1)   // makes the schema, or takes up one that is there
//	err = s.Fill(ctx)                   // some 300,000 row changes, the same for the same seed, in bulk
//	err = s.Trade(ctx, 5)               // then about 5 small transactions a second, until ctx ends
//	fmt.Println(s.Tally().Changes)
package shop

// DemoSeed is the seed of the demo's shop, recorded and live.
const DemoSeed = 1
