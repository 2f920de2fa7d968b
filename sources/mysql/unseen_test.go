package mysql_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

func TestStatementsThatTakeRowsAway(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE DATABASE other", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE other.a (id INT PRIMARY KEY)")
		cfg := config(s)
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		s.Exec(t, "TRUNCATE TABLE other.a", "USE shop", "TRUNCATE a", "DROP TABLE IF EXISTS other.nothing", "CREATE TEMPORARY TABLE shop.t (id INT)", "DROP TEMPORARY TABLE shop.t",
			"CREATE TABLE p (id INT PRIMARY KEY) PARTITION BY LIST (id) (PARTITION x VALUES IN (1), PARTITION y VALUES IN (2))", "ALTER TABLE p DROP PARTITION x",
			"DROP TABLE p", "DROP DATABASE other", "INSERT INTO a VALUES (1)", "DROP DATABASE shop", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (2)")
		r.wait(t, 2)
		r.stop(t)
		if seen.RowsGone < 4 || seen.RowsGone > 5 { // a server may name the tables of the database too
			t.Errorf("notices %+v", seen)
		}
		cfg.OnTruncate = mysql.PolicyHalt
		launch(t, cfg, from, nil).ends(t, "CDCD-1318")
	})
}

// edited is the server's first binlog file with one event changed, the first of the type.
func edited(t *testing.T, s *testenv.Server, kind replication.EventType, edit func(event []byte)) string {
	t.Helper()
	log, err := os.ReadFile(s.BinlogFiles(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	log = bytes.Clone(log)
	for at := 4; at < len(log); {
		size := int(binary.LittleEndian.Uint32(log[at+9:]))
		if event := log[at : at+size]; replication.EventType(event[4]) == kind {
			edit(event)
			binary.LittleEndian.PutUint32(event[size-4:], crc32.ChecksumIEEE(event[:size-4]))
			path := filepath.Join(t.TempDir(), "binlog.000001")
			if err := os.WriteFile(path, log, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		at += size
	}
	t.Fatalf("there is no event of type %s", kind)
	return ""
}

func TestEventsThatNobodyMayPassOver(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "INSERT INTO shop.a VALUES (1)", "FLUSH BINARY LOGS")
		for name, test := range map[string]struct {
			edit func(event []byte)
			code string
		}{
			"incident":           {func(event []byte) { event[4] = byte(replication.INCIDENT_EVENT) }, "CDCD-1306"},
			"unknown":            {func(event []byte) { event[4] = 99 }, "CDCD-1305"},
			"unknown, ignorable": {func(event []byte) { event[4], event[17] = 99, event[17]|byte(replication.LOG_EVENT_IGNORABLE_F) }, "CDCD-1307"}, // the transaction does not end
		} {
			t.Run(name, func(t *testing.T) {
				source, err := mysql.Files(config(s), edited(t, s, replication.XID_EVENT, test.edit))
				if err != nil {
					t.Fatal(err)
				}
				rec := newRecorder()
				var coded *cdc.Error
				if err := source.Run(t.Context(), cdc.Checkpoint{}, rec.handle); !errors.As(err, &coded) || coded.Code != test.code {
					t.Errorf("got %v, want %s", err, test.code)
				}
				if slices.ContainsFunc(rec.frames, func(b *cdc.Batch) bool { return b.Len() > 0 && b.Event(b.Len()-1).TxEnds() }) {
					t.Error("a transaction ended that did not")
				}
			})
		}
	})
}

func TestBytesThatAreNoTextAreReported(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, u VARCHAR(20) CHARACTER SET utf8mb4, c VARCHAR(20) CHARACTER SET ucs2, s VARCHAR(20) CHARACTER SET latin1)")
		cfg := config(s)
		var seen mysql.Notices
		cfg.Observe = func(p mysql.Progress) { seen = p.Notices }
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.a VALUES (1, 'é', 'é', 'é'), (2, 'a�', 'b', 'c')", "INSERT INTO shop.a VALUES (3, 'x', _ucs2 X'0061D8000062', 'z')")
		compare(t, short(r.wait(t, 3)), []string{`insert shop.a {"id":1} null -> {"id":1,"u":"é","c":"é","s":"é"}`,
			`insert shop.a {"id":2} null -> {"id":2,"u":"a�","c":"b","s":"c"}`, `insert shop.a {"id":3} null -> {"id":3,"u":"x","c":"a�b","s":"z"}`})
		r.stop(t)
		if seen != (mysql.Notices{BadText: 1}) {
			t.Errorf("notices %+v", seen)
		}

		// In rows that are there already too, with a key and without.
		s.Exec(t, "CREATE TABLE shop.b AS SELECT c, s FROM shop.a")
		seen, cfg.Snapshot, cfg.SnapshotRows = mysql.Notices{}, true, 1
		m := newMirror()
		snapshot := read(t, cfg, m)
		m.complete(t)
		snapshot.stop(t)
		if seen != (mysql.Notices{BadText: 2}) {
			t.Errorf("notices of a snapshot: %+v", seen)
		}
	})
}
