package mysql_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// slowly counts the statements that the server executes for snapshots and that take long.
func slowly(t *testing.T, s *testenv.Server) int {
	t.Helper()
	rows := s.Query(t, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '"+testenv.User+"' AND INFO LIKE '%SLEEP%' AND COMMAND <> 'Sleep'")
	return len(rows)
}

// The server does not notice by itself that nobody waits for its rows any more.
func TestTheServerStopsToReadWhenASnapshotIsGivenUp(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		orders(t, conn, 100)
		execute(t, conn, "CREATE TABLE shop.bare (v INT)", "INSERT INTO shop.bare SELECT v FROM shop.orders")
		m := newMirror()
		r := read(t, config(s), m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		for _, table := range []string{"orders", "bare"} {
			for _, how := range []mysql.SnapshotAction{mysql.SnapshotCancel, mysql.SnapshotPause, "end"} {
				id, err := r.StartSnapshot(t.Context(), "shop", table, "v < 0 OR SLEEP(0.5) > 5")
				if err != nil {
					t.Fatal(err)
				}
				await(t, "the server is at it", func() bool { return slowly(t, s) == 1 })
				began := time.Now()
				if how == "end" {
					r.stop(t)
				} else if err := r.AlterSnapshot(t.Context(), id, how); err != nil {
					t.Fatal(err)
				}
				await(t, "the server has stopped", func() bool { return slowly(t, s) == 0 })
				if took := time.Since(began); took > 2*time.Second { // without being told to, it takes 50
					t.Errorf("%s of a snapshot of %s: the server went on for %s", how, table, took)
				}
				if how == "end" {
					r = read(t, config(s), m)
					await(t, "it goes on", func() bool { return len(r.Snapshots()) > 0 })
				}
				if how != mysql.SnapshotCancel {
					if err := r.AlterSnapshot(t.Context(), id, mysql.SnapshotCancel); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		await(t, "no connection is left but the one of the log", func() bool {
			return fmt.Sprint(s.Query(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '"+testenv.User+"'")) == "[[1]]"
		})
		m.complete(t)
		r.stop(t)
	})
}
