package testenv

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Follow makes the server a replica of the source, by GTID. What the server itself has written before counts as read,
// as it does for a former primary that follows its successor.
func (s *Server) Follow(t testing.TB, source *Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(source.Addr)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	if s.Flavor == "mariadb" {
		s.Exec(t, "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos",
			fmt.Sprintf("CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %s, MASTER_USER = 'root', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos", host, port),
			"START SLAVE")
		return
	}
	s.Exec(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '%s', SOURCE_PORT = %s, SOURCE_USER = 'root', SOURCE_CONNECT_RETRY = 1, SOURCE_AUTO_POSITION = 1", host, port),
		"START REPLICA")
}

// CatchUp waits until the replica has executed everything that the source has.
func (s *Server) CatchUp(t testing.TB, source *Server) {
	t.Helper()
	if s.Flavor == "mariadb" {
		at := source.Query(t, "SELECT @@global.gtid_binlog_pos")[0][0]
		if got := s.Query(t, fmt.Sprintf("SELECT MASTER_GTID_WAIT('%s', 60)", at))[0][0]; got != "0" {
			t.Fatalf("testenv: the replica has not caught up with %s: %v", at, s.Query(t, "SHOW SLAVE STATUS"))
		}
		return
	}
	at := source.Query(t, "SELECT @@global.gtid_executed")[0][0]
	if got := s.Query(t, fmt.Sprintf("SELECT WAIT_FOR_EXECUTED_GTID_SET('%s', 60)", at))[0][0]; got != "0" {
		t.Fatalf("testenv: the replica has not caught up with %s: %v", at, s.Query(t, "SHOW REPLICA STATUS"))
	}
}

// Promote ends the server's life as a replica.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if s.Flavor == "mariadb" {
		s.Exec(t, "STOP SLAVE", "RESET SLAVE ALL")
		return
	}
	s.Exec(t, "STOP REPLICA", "RESET REPLICA ALL")
}

// Backup keeps a copy of the stopped server's data folder, beside it.
func (s *Server) Backup(t testing.TB) {
	t.Helper()
	if err := copyFolder(s.DataDir, s.DataDir+".backup"); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Restore puts the stopped server's data folder back to what it was at Backup.
func (s *Server) Restore(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.DataDir); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	if err := os.Rename(s.DataDir+".backup", s.DataDir); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Remove removes a file of the stopped server's data folder.
func (s *Server) Remove(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.DataDir, name)); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}
