package mysql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// resumeEverywhere checks that from each frame's checkpoint on, server and files give the rest of the events.
func resumeEverywhere(t *testing.T, s *testenv.Server, cfg mysql.Config, frames []*cdc.Batch, want []string) {
	t.Helper()
	n := 0
	for _, b := range frames {
		n += b.Len()
		rest := launch(t, cfg, b.Checkpoint(), nil)
		compare(t, rest.wait(t, len(want)-n), want[n:])
		rest.stop(t)
		if b.Checkpoint().GTIDSet != "" { // else files do not tell whose they are
			compare(t, fileEvents(t, s, cfg, b.Checkpoint()).list(), want[n:])
		}
		if t.Failed() {
			t.Fatalf("resumed after %d events at %+v", n, b.Checkpoint())
		}
	}
}

func TestXATransactionsThatOverlap(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE other.a (id INT PRIMARY KEY)")
		cfg := config(s)
		cfg.FrameRows = 1
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		prepare := func(xid string, statements ...string) {
			conn := s.Conn(t)
			execute(t, conn, "XA START '"+xid+"'")
			execute(t, conn, statements...)
			execute(t, conn, "XA END '"+xid+"'", "XA PREPARE '"+xid+"'")
			conn.Close()
		}
		decide := func(statement string) { execute(t, s.Conn(t), statement) }
		prepare("a", "INSERT INTO shop.a VALUES (10), (11)")
		prepare("o", "INSERT INTO other.a VALUES (1)")
		prepare("b", "INSERT INTO shop.a VALUES (20)", "INSERT INTO other.a VALUES (2)")
		decide("XA COMMIT 'a'")
		decide("INSERT INTO shop.a VALUES (30)")
		r.wait(t, 3)
		prepare("c", "INSERT INTO shop.a VALUES (40)")
		decide("XA COMMIT 'o'")
		decide("INSERT INTO shop.a VALUES (31)")
		r.wait(t, 4)
		decide("FLUSH BINARY LOGS")
		decide("XA COMMIT 'b'")
		decide("XA ROLLBACK 'c'")
		decide("INSERT INTO shop.a VALUES (32)")
		prepare("c", "INSERT INTO shop.a VALUES (41)")
		decide("INSERT INTO shop.a VALUES (33)")
		decide("XA COMMIT 'c'")
		want := r.wait(t, 8)
		r.stop(t)
		var ids []string
		for _, e := range short(want) {
			ids = append(ids, strings.Fields(e)[2])
		}
		if got, want := strings.Join(ids, " "), `{"id":10} {"id":11} {"id":30} {"id":31} {"id":20} {"id":32} {"id":33} {"id":41}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if p := r.checkpoint().Prepared; p != "" {
			t.Errorf("at the end there are prepared transactions: %s", p)
		}
		resumeEverywhere(t, s, config(s), r.frames, want)
	}
	testenv.Each(t, test)
	t.Run("mysql without GTIDs", func(t *testing.T) {
		test(t, testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"))
	})
}

// What is read again after a restart is noted again for the next one.
func TestAnXATransactionOutlivesSeveralRestarts(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		for i, xid := range []string{"a", "b"} {
			conn := s.Conn(t)
			execute(t, conn, "XA START '"+xid+"'", fmt.Sprintf("INSERT INTO shop.a VALUES (%d)", 100+i), "XA END '"+xid+"'", "XA PREPARE '"+xid+"'")
			s.Exec(t, fmt.Sprintf("INSERT INTO shop.a VALUES (%d)", 10+i))
			conn.Close()
		}
		var ids []string
		for id := range 4 {
			r.wait(t, 2+id)
			r.stop(t)
			s.Exec(t, fmt.Sprintf("INSERT INTO shop.a VALUES (%d)", id))
			r = launch(t, config(s), r.checkpoint(), r.recorder)
		}
		s.Exec(t, "XA COMMIT 'b'", "XA COMMIT 'a'")
		for _, e := range short(r.wait(t, 8)) {
			ids = append(ids, strings.Fields(e)[2])
		}
		if got, want := strings.Join(ids, " "), `{"id":10} {"id":11} {"id":0} {"id":1} {"id":2} {"id":3} {"id":101} {"id":100}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r.stop(t)
		resumeEverywhere(t, s, config(s), r.frames, r.list())
	}
	testenv.Each(t, test)
	t.Run("mysql without GTIDs", func(t *testing.T) {
		test(t, testenv.MySQL(t, "--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"))
	})
}

func TestAnXATransactionPreparedBeforeTheCaptureBegan(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		for _, xid := range []string{"a", "b"} {
			conn := s.Conn(t)
			execute(t, conn, "XA START '"+xid+"'", "INSERT INTO shop.a VALUES (ASCII('"+xid+"'))", "XA END '"+xid+"'", "XA PREPARE '"+xid+"'")
			conn.Close()
		}
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "XA ROLLBACK 'b'", "INSERT INTO shop.a VALUES (1)")
		r.wait(t, 1)
		s.Exec(t, "XA COMMIT 'a'")
		if err := r.ends(t, "CDCD-1317"); !strings.Contains(err.Fix, "on_unknown_xa") {
			t.Errorf("fix %q", err.Fix)
		}
		s.Exec(t, "INSERT INTO shop.a VALUES (2)")
		cfg := config(s)
		cfg.OnUnknownXA = mysql.PolicyWarn
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		r = launch(t, cfg, r.checkpoint(), nil)
		compare(t, short(r.wait(t, 1)), []string{`insert shop.a {"id":2} null -> {"id":2}`})
		r.stop(t)
		if seen != (mysql.Notices{UnknownXA: 1}) {
			t.Errorf("%+v", seen)
		}
	})
}

func TestXATransactionsThatChangeNothingInTheLog(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "XA START 'e'", "XA END 'e'", "XA PREPARE 'e'", "XA COMMIT 'e'",
			"XA START 'r'", "SELECT * FROM shop.a FOR UPDATE", "XA END 'r'", "XA PREPARE 'r'", "XA COMMIT 'r'",
			"XA START 'o'", "UPDATE shop.a SET id = id", "XA END 'o'", "XA COMMIT 'o' ONE PHASE",
			"SET SESSION sql_log_bin = 0", "XA START 'n'", "INSERT INTO shop.a VALUES (1)", "XA END 'n'", "XA PREPARE 'n'", "XA COMMIT 'n'",
			"SET SESSION sql_log_bin = 1", "INSERT INTO shop.a VALUES (2)")
		r.wait(t, 1)
	})
}
