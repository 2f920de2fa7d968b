package mysql_test

import (
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
	"github.com/go-mysql-org/go-mysql/client"
)

func TestInsertUpdateAndDeleteOfSeveralTablesInOneTransaction(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other",
			"CREATE TABLE shop.orders (id INT PRIMARY KEY, status VARCHAR(20), total DECIMAL(12,2))",
			"CREATE TABLE shop.lines (id INT, no INT, what VARCHAR(20), PRIMARY KEY (no, id))",
			"CREATE TABLE other.t (id INT PRIMARY KEY)")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "BEGIN", "INSERT INTO shop.orders VALUES (1, 'new', 10.5)", "INSERT INTO shop.lines VALUES (1, 1, 'pen'), (1, 2, 'ink')",
			"INSERT INTO other.t VALUES (1)", "UPDATE shop.orders SET status = 'paid'", "COMMIT",
			"DELETE FROM shop.lines WHERE no = 1", "INSERT INTO other.t VALUES (2)")
		got := r.wait(t, 5)
		compare(t, short(got), []string{
			`insert shop.orders {"id":1} null -> {"id":1,"status":"new","total":"10.50"}`,
			`insert shop.lines {"no":1,"id":1} null -> {"id":1,"no":1,"what":"pen"}`,
			`insert shop.lines {"no":2,"id":1} null -> {"id":1,"no":2,"what":"ink"}`,
			`update shop.orders {"id":1} {"id":1,"status":"new","total":"10.50"} -> {"id":1,"status":"paid","total":"10.50"}`,
			`delete shop.lines {"no":1,"id":1} {"id":1,"no":1,"what":"pen"} -> null`,
		})
	})
}

// fileEvents reads the server's binlog files from the checkpoint on.
func fileEvents(t *testing.T, s *testenv.Server, cfg mysql.Config, from cdc.Checkpoint) *recorder {
	t.Helper()
	source, err := mysql.Files(cfg, s.DataDir+"/binlog.[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	if err := source.Run(t.Context(), from, rec.handle); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestFilesGiveTheSameEventsAsTheServer(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop")
		r := begin(t, config(s), cdc.Checkpoint{}, nil)
		s.Exec(t, "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO shop.a VALUES (1, 'x'), (2, 'y')",
			"FLUSH BINARY LOGS", "UPDATE shop.a SET v = 'z'", "ALTER TABLE shop.a ADD w INT FIRST", "INSERT INTO shop.a VALUES (3, 3, 'ü')",
			"FLUSH BINARY LOGS", "BEGIN", "DELETE FROM shop.a WHERE id = 1", "SAVEPOINT s1", "INSERT INTO shop.a VALUES (4, 4, '4')", "ROLLBACK TO s1",
			"INSERT INTO shop.a VALUES (5, 5, '5')", "COMMIT", "CREATE TABLE shop.b AS SELECT id FROM shop.a")
		xa := s.Conn(t)
		execute(t, xa, "XA START 'x'", "INSERT INTO shop.a VALUES (6, 6, '6')", "XA END 'x'", "XA PREPARE 'x'")
		s.Exec(t, "INSERT INTO shop.b VALUES (77)")
		execute(t, xa, "XA COMMIT 'x'", "XA START 'y'", "INSERT INTO shop.a VALUES (7, 7, '7')", "XA END 'y'", "XA PREPARE 'y'", "XA ROLLBACK 'y'",
			"XA START 'z'", "DELETE FROM shop.a WHERE id = 6", "XA END 'z'", "XA COMMIT 'z' ONE PHASE")
		live := r.wait(t, 13)
		files := fileEvents(t, s, config(s), cdc.Checkpoint{})
		compare(t, files.list(), live)
		if got, want := files.checkpoint(), r.checkpoint(); got.GTIDSet != want.GTIDSet || got.NextNo != want.NextNo {
			t.Errorf("checkpoint of files %+v, of the server %+v", got, want)
		}
		// From every frame on, the rest is the same again.
		small := config(s)
		small.FrameRows = 1
		all := fileEvents(t, s, small, cdc.Checkpoint{})
		for i, b := range all.frames {
			rest := fileEvents(t, s, config(s), b.Checkpoint())
			compare(t, append(append([]string(nil), all.events[:min(i+1, len(all.events))]...), rest.list()...), live)
			if t.Failed() {
				t.Fatalf("resumed at %+v", b.Checkpoint())
			}
		}
	})
}

func execute(t *testing.T, conn *client.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Execute(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
