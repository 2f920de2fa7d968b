package mysql_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func TestASnapshotIsNotCutOffBySqlSelectLimit(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop")
		for i := range 6 {
			execute(t, conn, fmt.Sprintf("CREATE TABLE shop.t%d (a INT, b INT, c INT, d INT, e INT)", i), fmt.Sprintf("INSERT INTO shop.t%d VALUES (1,2,3,4,5),(1,2,3,4,5),(1,2,3,4,5),(2,2,2,2,2)", i))
		}
		execute(t, conn, "SET GLOBAL sql_select_limit = 2")
		cfg := config(s)
		cfg.Snapshot = true
		m := newMirror()
		r := read(t, cfg, m)
		m.complete(t)
		r.stop(t)
		if m.counts["shop.t5 snapshot"] != 4 {
			t.Error(m.counts)
		}
		execute(t, conn, "SET GLOBAL sql_select_limit = DEFAULT")
	})
}

func TestASnapshotBeginsOnAnIdleServerWithPreparedTransactions(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 10)
		execute(t, conn, "XA START 'a'", "UPDATE shop.orders SET v = 5 WHERE id = 3", "XA END 'a'", "XA PREPARE 'a'")
		m := newMirror()
		cfg := config(s)
		cfg.MaxBackoff = 50 * time.Millisecond
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		conn.Close()
		s.Kill()
		s.Start(t)
		time.Sleep(300 * time.Millisecond)
		if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		r.stop(t)
		r = read(t, cfg, m)
		if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		c := s.Conn(t)
		execute(t, c, "XA START 'b'", "UPDATE shop.orders SET v = 6 WHERE id = 6", "XA END 'b'", "XA PREPARE 'b'")
		m.caughtUp(t, s.Conn(t))
		r.stop(t)
		r = read(t, cfg, m)
		if _, err := r.StartSnapshot(t.Context(), "shop", "orders", ""); err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		execute(t, c, "XA ROLLBACK 'b'")
		execute(t, c, "XA ROLLBACK 'a'")
	})
}

func TestTablesWithUnusualKeysAreReadWhole(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "SET SESSION sql_mode = ''", "SET NAMES utf8mb4")
		tables := []struct{ name, columns, rows string }{
			{"e", "k ENUM('a','','b') PRIMARY KEY", "(0),(1),(2),(3)"},
			{"f", "k SET('a','b','x','y') PRIMARY KEY", "(0),(1),(2),(3),(4)"},
			{"g", "k ENUM('😀','😁','z') CHARACTER SET utf8mb4 PRIMARY KEY", "(1),(2),(3)"},
			{"h", "k SET('😀','😁','z') CHARACTER SET utf8mb4 PRIMARY KEY", "(1),(2),(3),(4),(5),(6),(7)"},
			{"z", "k DOUBLE PRIMARY KEY", "(-0e0),(1)"},
			{"p", "k TEXT CHARACTER SET latin1, PRIMARY KEY (k(2000))", ""},
			{"q", "k TEXT CHARACTER SET latin1 NOT NULL, UNIQUE (k)", ""},
			{"d", "a INT, k VARCHAR(2000) CHARACTER SET latin1, PRIMARY KEY (a, k DESC)", ""},
		}
		for _, x := range tables {
			if x.name == "q" && s.Flavor != mysql.FlavorMariaDB {
				continue
			}
			execute(t, conn, "CREATE TABLE shop."+x.name+" ("+x.columns+")")
			if x.rows != "" {
				execute(t, conn, "INSERT INTO shop."+x.name+" VALUES "+x.rows)
				continue
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			for range 200 {
				pre := ""
				if x.name == "d" {
					pre = "1,"
				}
				execute(t, conn, fmt.Sprintf("INSERT IGNORE INTO shop.%s VALUES (%sCONCAT(REPEAT('x', 1500), %d))", x.name, pre, rnd.IntN(100000)))
			}
		}
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 2
		m := newMirror()
		r := read(t, cfg, m)
		await(t, "complete", func() bool {
			cp := m.checkpoint()
			return cp.Flavor != "" && (!strings.Contains(cp.Snapshot, `"jobs"`) || strings.Contains(cp.Snapshot, `"error"`))
		})
		t.Log(m.checkpoint().Snapshot)
		r.stop(t)
		for _, x := range tables {
			if x.name == "q" && s.Flavor != mysql.FlavorMariaDB {
				continue
			}
			want := s.Query(t, "SELECT COUNT(*) FROM shop."+x.name)[0][0]
			if got := fmt.Sprint(m.count("shop." + x.name + " snapshot")); got != want {
				t.Errorf("%s: %s of %s rows: %.200v", x.name, got, want, m.rows("shop."+x.name))
			}
		}
	})
}
