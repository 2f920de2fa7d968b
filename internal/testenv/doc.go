// Package testenv gives tests the real thing: private MariaDB, MySQL and S3 servers, and a network that can break.
//
//	func TestCapture(t *testing.T) {
//		db := testenv.MariaDB(t, "--binlog-row-image=MINIMAL")
//		db.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
//		store := testenv.S3(t)
//		line := testenv.NewProxy(t, db.Addr)
//		… capture from line.Addr, cut it with line.Cut(), kill the server with db.Kill(), start it with db.Start(t) …
//	}
//
// A [Server] is a database server, a [Store] an S3 server, a [Proxy] a TCP connection through which both can be reached.
// All of them end, and their folders are removed, when the test ends; they die with the test binary, too. A server that
// is not installed fails the test and names the command that installs it (scripts/setup). Servers of one version are
// copies of one prepared data folder in the user's cache, so that one takes a second or less to start.
package testenv
