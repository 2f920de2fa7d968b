package mysql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestASnapshotOfAViewIsRefused(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 10)
		execute(t, conn, "CREATE VIEW shop.seen AS SELECT * FROM shop.orders")
		m := newMirror()
		r := read(t, config(s), m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		_, err := r.StartSnapshot(t.Context(), "shop", "seen", "")
		var coded *cdc.Error
		if !errors.As(err, &coded) || coded.Code != "CDCD-1334" || !strings.Contains(coded.What, "it is a view") {
			t.Error(err)
		}
		r.stop(t)
	})
}

// The server's own settings must not make another condition of it.
func TestTheConditionOfASnapshotIsTriedAsItWillRun(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		orders(t, s.Conn(t), 10)
		m := newMirror()
		r := read(t, config(s), m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		if _, err := r.StartSnapshot(t.Context(), "shop", "orders", `s = "row 3"`); err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		r.stop(t)
		if n := m.count("shop.orders snapshot"); n != 1 {
			t.Errorf("%d rows", n)
		}
	}, "--sql-mode=ANSI_QUOTES,STRICT_ALL_TABLES")
}

// The log has the names as the server keeps them; under another one no change of the table would be seen.
func TestTheNameOfASnapshotsTableIsTheServers(t *testing.T) {
	s := testenv.MariaDB(t, "--lower-case-table-names=1")
	conn := s.Conn(t)
	orders(t, conn, 300)
	random := seeded(t)
	stop := writer(t, s, random, changeOrders(300))
	cfg := config(s)
	cfg.SnapshotRows = 20
	m := newMirror()
	r := read(t, cfg, m)
	await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
	if _, err := r.StartSnapshot(t.Context(), "Shop", "Orders", ""); err != nil {
		t.Fatal(err)
	}
	m.complete(t)
	stop()
	m.caughtUp(t, conn)
	r.stop(t)
	m.same(t, s, conn, "shop.orders")
}

// Text that has no Unicode becomes the same character, whatever it was. Such rows are not taken for one.
func TestRowsWhoseKeysLookAlikeAreAllRead(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "CREATE TABLE shop.odd (k VARCHAR(10) CHARACTER SET sjis COLLATE sjis_bin PRIMARY KEY, v INT)",
			"INSERT INTO shop.odd VALUES (_sjis x'61', 0), (_sjis x'6162', 0), (_sjis x'F040', 0), (_sjis x'F041', 0), (_sjis x'F042', 0), (_sjis x'F043', 0)")
		cfg := config(s)
		cfg.SnapshotRows = 2
		rec := newRecorder()
		source, err := mysql.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- source.Run(ctx, cdc.Checkpoint{}, rec.handle) }() // awaited below
		await(t, "capture has begun", func() bool { return rec.checkpoint().Flavor != "" })
		if _, err := source.StartSnapshot(t.Context(), "shop", "odd", ""); err != nil {
			t.Fatal(err)
		}
		await(t, "it is complete", func() bool { return !strings.Contains(rec.checkpoint().Snapshot, `"jobs"`) })
		cancel()
		<-done
		alike := 0
		for _, e := range rec.list() {
			if strings.Contains(e, "\uFFFD") {
				alike++
			}
		}
		if alike != 4 {
			t.Errorf("%d of the 4 rows that look alike: %v", alike, rec.list())
		}
	})
}

// What one server has read is read, and the other goes on: behind the same key, with changes of its own log.
func TestASnapshotGoesOnBehindAFailover(t *testing.T) {
	eachPair(t, func(t *testing.T, a, b *testenv.Server) {
		conn := a.Conn(t)
		orders(t, conn, 2000)
		execute(t, conn, "CREATE TABLE shop.more (id INT PRIMARY KEY, v INT)", "INSERT INTO shop.more SELECT id, v FROM shop.orders")
		cfg := config(a)
		cfg.Snapshot, cfg.SnapshotRows, cfg.FrameRows = true, 50, 50
		m := newMirror()
		enough := errors.New("enough")
		m.fail = func(int, *cdc.Batch) error {
			if m.counts["shop.orders snapshot"] > 500 {
				return enough
			}
			return nil
		}
		source, err := mysql.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := source.Run(ctx, m.checkpoint(), m.handle); !errors.Is(err, enough) {
			t.Fatal(err)
		}
		m.fail = nil
		execute(t, conn, "UPDATE shop.orders SET v = v + 1 WHERE id % 2 = 0", "DELETE FROM shop.more WHERE id < 900")
		handOver(t, a, b)
		random := seeded(t)
		stop := writer(t, b, random, changeOrders(2000))
		r := read(t, at(cfg, b.Addr), m)
		time.Sleep(50 * time.Millisecond)
		m.complete(t)
		stop()
		there := b.Conn(t)
		m.caughtUp(t, there)
		r.stop(t)
		m.same(t, b, there, "shop.orders", "shop.more")
		if n := m.count("shop.orders snapshot"); n > 2100 {
			t.Errorf("%d rows of 2000 were read: it has begun again", n)
		}
	})
}

// Servers do not name tables that an account may not read. What is left out for that reason is told.
func TestASnapshotTellsOfTablesThatItMayNotRead(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 10)
		execute(t, conn, "CREATE TABLE shop.secret (id INT PRIMARY KEY)", "INSERT INTO shop.secret VALUES (1)", "CREATE DATABASE hr", "CREATE TABLE hr.people (id INT PRIMARY KEY)",
			"REVOKE SELECT ON *.* FROM '"+testenv.User+"'@'%'", "GRANT SELECT ON shop.orders TO '"+testenv.User+"'@'%'", "GRANT SELECT ON hr.* TO '"+testenv.User+"'@'%'")
		cfg := config(s, "shop.orders", "shop.secret", "shop.*", "hr.*")
		cfg.Snapshot = true
		m := newMirror()
		hidden := ""
		m.fail = func(_ int, b *cdc.Batch) error {
			if strings.Contains(b.Checkpoint().Snapshot, `"hidden"`) {
				hidden = b.Checkpoint().Snapshot
			}
			return nil
		}
		r := read(t, cfg, m)
		m.complete(t)
		r.stop(t)
		if n := m.count("shop.orders snapshot"); n != 10 || !strings.Contains(hidden, `"hidden":["shop.secret","shop.*"]`) {
			t.Errorf("%d rows; the stream was told %s", n, hidden)
		}
	})
}

// Tables are read in the order of their names: one that is renamed to the front would be missed.
func TestATableThatIsRenamedBehindAnInitialSnapshotIsRead(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 500)
		execute(t, conn, "CREATE TABLE shop.y (id INT PRIMARY KEY)", "INSERT INTO shop.y VALUES (1), (2)", "CREATE TABLE shop.z (id INT PRIMARY KEY)", "INSERT INTO shop.z VALUES (1), (2), (3)")
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 50
		m := newMirror()
		renamed := false
		m.fail = func(_ int, b *cdc.Batch) error {
			if b.Len() > 0 && !renamed {
				renamed = true
				execute(t, conn, "RENAME TABLE shop.z TO shop.a", "ALTER TABLE shop.y ADD COLUMN v INT, RENAME TO shop.b")
			}
			return nil
		}
		r := read(t, cfg, m)
		m.complete(t)
		m.caughtUp(t, conn)
		r.stop(t)
		m.same(t, s, conn, "shop.a", "shop.b", "shop.orders")
	})
}
