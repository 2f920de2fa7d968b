package mysql_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// Changes wait for a table without a key. Meanwhile the stream is alive, people are heard, and it ends at the bound.
func TestChangesDoNotWaitForEverForATableWithoutAKey(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		conn := s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "CREATE TABLE shop.bare (v INT)", "INSERT INTO shop.bare VALUES (1), (2), (3), (4), (5)",
			"CREATE TABLE shop.marks (id INT PRIMARY KEY AUTO_INCREMENT)")
		cfg := config(s)
		cfg.Heartbeat, cfg.SnapshotHold = 200*time.Millisecond, 2*time.Second
		m := newMirror()
		heartbeats := 0
		m.fail = func(_ int, b *cdc.Batch) error {
			if b.Header().Heartbeat {
				heartbeats++
			}
			return nil
		}
		r := read(t, cfg, m)
		await(t, "capture has begun", func() bool { return m.checkpoint().Flavor != "" })
		start := func() string {
			id, err := r.StartSnapshot(t.Context(), "shop", "bare", "SLEEP(3) = 0")
			if err != nil {
				t.Fatal(err)
			}
			await(t, "changes wait", func() bool { jobs := r.Snapshots(); return len(jobs) > 0 && jobs[0].Holds != "" })
			return id
		}

		id := start()
		execute(t, conn, "INSERT INTO shop.marks VALUES (NULL)")
		m.mu.Lock()
		heartbeats = 0
		m.mu.Unlock()
		await(t, "heartbeats", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return heartbeats > 2 })
		if n := m.count("shop.marks insert"); n > 0 {
			t.Error("a change has overtaken the rows")
		}
		for _, action := range []mysql.SnapshotAction{mysql.SnapshotPause, mysql.SnapshotResume, mysql.SnapshotCancel} {
			if err := r.AlterSnapshot(t.Context(), id, action); err != nil {
				t.Fatal(err)
			}
			if action == mysql.SnapshotPause {
				await(t, "the change has come", func() bool { return m.count("shop.marks insert") == 1 })
			}
		}
		m.caughtUp(t, conn)

		id = start()
		await(t, "the bound is reached", func() bool {
			jobs := r.Snapshots()
			return len(jobs) == 1 && jobs[0].State == "failed" && strings.Contains(jobs[0].Error, "CDCD-1338")
		})
		m.caughtUp(t, conn)
		if err := r.AlterSnapshot(t.Context(), id, mysql.SnapshotCancel); err != nil {
			t.Fatal(err)
		}
		m.complete(t)
		r.stop(t)
	})
}

// A writer goes on while the table is read, and people pause and resume: in the end all is there, once.
func TestATableWithoutAKeyIsReadAgainAfterAPause(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		random, conn := seeded(t), s.Conn(t)
		execute(t, conn, "CREATE DATABASE shop", "CREATE TABLE shop.bare (v INT, s VARCHAR(40))")
		for range 20 {
			var b strings.Builder
			for i := range 500 {
				fmt.Fprintf(&b, ",(%d, 'x')", i)
			}
			execute(t, conn, "INSERT INTO shop.bare VALUES "+b.String()[1:])
		}
		stop := writer(t, s, random, func(r *rand.Rand) string {
			time.Sleep(5 * time.Millisecond)
			return fmt.Sprintf("UPDATE shop.bare SET s = '%d' WHERE v = %d LIMIT 3", r.IntN(9), r.IntN(500))
		})
		cfg := config(s)
		cfg.Snapshot, cfg.SnapshotRows = true, 50
		m := newMirror()
		r := read(t, cfg, m)
		for range 5 {
			time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			for _, j := range r.Snapshots() {
				for _, action := range []mysql.SnapshotAction{mysql.SnapshotPause, mysql.SnapshotResume} {
					if err := r.AlterSnapshot(t.Context(), j.ID, action); err != nil && !strings.Contains(err.Error(), "there is no snapshot") {
						t.Fatal(err)
					}
				}
			}
		}
		m.complete(t)
		stop()
		m.caughtUp(t, conn)
		r.stop(t)
		there := present(t, s, "shop.bare")
		maps.DeleteFunc(m.bag, func(_ string, n int) bool { return n == 0 })
		if !maps.Equal(m.bag, there.bag) {
			t.Errorf("got  %v\nwant %v", m.bag, there.bag)
		}
		t.Logf("%v", m.counts)
	})
}
