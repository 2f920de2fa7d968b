// Package dbserver starts private MariaDB and MySQL servers: own data folder, own socket, own port on 127.0.0.1, set up
// as a source that cdcd can read (row format, full metadata, GTIDs). `cdcd demo` and the tests run on it.
//
// There are two types: a [Program] is an installed server, a [Server] is a running one.
//
//	program, err := dbserver.Find("mariadb", "mysql")
//	s, err := dbserver.Start(ctx, dbserver.Options{Program: program, Dir: "demo/db"})
//	defer s.Stop()
//	conn, err := s.Connect(ctx) // root, over the socket
//
// The server dies with the process that started it. Its data folder stays, and Start with the same folder finds it.
package dbserver
