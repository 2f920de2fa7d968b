package mysql_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// watched is a capture of which a test sees the progress.
func watched(t *testing.T, s *testenv.Server, cfg mysql.Config) (*running, *atomic.Pointer[mysql.Progress]) {
	t.Helper()
	var progress atomic.Pointer[mysql.Progress]
	cfg.Observe = func(p mysql.Progress) { progress.Store(&p) }
	return begin(t, cfg, cdc.Checkpoint{}, nil), &progress
}

// until waits until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

func look(t *testing.T, w *mysql.Watch, read mysql.Place, need cdc.Checkpoint) mysql.Sight {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sight, err := w.Look(ctx, read, need)
	if err != nil {
		t.Fatal(err)
	}
	return sight
}

func newWatch(t *testing.T, cfg mysql.Config) *mysql.Watch {
	t.Helper()
	w, err := mysql.NewWatch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestACaptureThatHasReadAllIsNotBehind(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)")
		r, progress := watched(t, s, config(s))
		w := newWatch(t, config(s))
		s.Exec(t, "INSERT INTO shop.orders VALUES (1)", "INSERT INTO other.t VALUES (1)")
		r.wait(t, 1)
		until(t, "nothing behind, without waiting for a heartbeat", func() bool {
			p := progress.Load()
			sight := look(t, w, mysql.Place{File: p.File, Pos: p.Pos}, p.Checkpoint)
			return p.Lag == 0 && sight.Behind == 0
		})
		p := progress.Load()
		sight := look(t, w, mysql.Place{File: p.File, Pos: p.Pos}, p.Checkpoint)
		if sight.Server != p.Checkpoint.Server || sight.Flavor != s.Flavor || sight.Version == "" || sight.Clock.Abs() > time.Minute {
			t.Errorf("got %+v of a server that is %s to the capture", sight, p.Checkpoint.Server)
		}
		if want := (mysql.Place{File: p.File, Pos: p.Pos}); sight.End != want {
			t.Errorf("the log ends at %+v, want %+v", sight.End, want)
		}
	})
}

func TestBytesBehindAreCountedAcrossFiles(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY, v LONGTEXT)")
		r, progress := watched(t, s, config(s))
		r.stop(t)
		p := progress.Load()
		at := mysql.Place{File: p.File, Pos: p.Pos}
		for i := range 3 {
			s.Exec(t, fmt.Sprintf("INSERT INTO shop.orders VALUES (%d, REPEAT('x', 100000))", i), "FLUSH BINARY LOGS")
		}
		w := newWatch(t, config(s))
		if n := look(t, w, at, p.Checkpoint).Behind; n < 300_000 || n > 310_000 {
			t.Errorf("%d bytes behind, want a little more than 300,000", n)
		}
		if n := look(t, w, mysql.Place{File: "binlog.999999", Pos: 4}, p.Checkpoint).Behind; n != -1 {
			t.Errorf("%d bytes behind a place that is not in the log", n)
		}
	})
}

func TestHeadroomBeginsWhenTheFileThatIsNeededHasEnded(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		expire := "SET GLOBAL binlog_expire_logs_seconds = 7200"
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", expire)
		r, progress := watched(t, s, config(s))
		r.stop(t)
		p := progress.Load()
		w := newWatch(t, config(s))
		sight := look(t, w, mysql.Place{}, p.Checkpoint)
		if left := sight.Purge.Sub(sight.At); left != 2*time.Hour {
			t.Errorf("the newest file may go after %s, want 2h: it is not deleted before it has been ended", left)
		}
		ending := time.Now()
		s.Exec(t, "FLUSH BINARY LOGS")
		ended := time.Now()
		time.Sleep(2500 * time.Millisecond)
		s.Exec(t, "FLUSH BINARY LOGS")
		sight = look(t, w, mysql.Place{}, p.Checkpoint)
		const dated = 1900 * time.Millisecond // files are dated to the second, and so are events
		if may := sight.Purge.Add(-2 * time.Hour); may.Before(ending.Add(-dated)) || may.After(ended.Add(dated)) {
			t.Errorf("it was ended at %s and may go at %s", ended, sight.Purge)
		}
		if again := look(t, w, mysql.Place{}, p.Checkpoint); again.Purge.Sub(sight.Purge).Abs() > 500*time.Millisecond {
			t.Errorf("it may go at %s, then at %s", sight.Purge, again.Purge)
		}
		s.Exec(t, "SET GLOBAL binlog_expire_logs_seconds = 0")
		if sight = look(t, w, mysql.Place{}, p.Checkpoint); !sight.Purge.IsZero() || !sight.Keeps.Known || sight.Keeps.For != 0 {
			t.Errorf("nothing expires, but it may go at %s: %+v", sight.Purge, sight.Keeps)
		}
		s.Exec(t, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
		if sight = look(t, w, mysql.Place{}, p.Checkpoint); sight.Purge != sight.At {
			t.Errorf("it is gone, but may go at %s", sight.Purge)
		}
		p.Checkpoint.Server = "another"
		if sight = look(t, w, mysql.Place{}, p.Checkpoint); !sight.Purge.IsZero() {
			t.Errorf("another server's file may go at %s", sight.Purge)
		}
	})
}

func TestTheServersEndIsSeenThroughLostConnections(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	proxy := testenv.NewProxy(t, s.Addr)
	cfg := config(s)
	cfg.Addr = proxy.Addr
	w := newWatch(t, cfg)
	look(t, w, mysql.Place{}, cdc.Checkpoint{})
	proxy.Cut()
	look(t, w, mysql.Place{}, cdc.Checkpoint{}) // on a new connection
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := w.Look(ctx, mysql.Place{}, cdc.Checkpoint{}); done <- err }() // awaited right below
	select {
	case err := <-done:
		if err == nil {
			t.Error("a server that does not answer was seen")
		}
	case <-time.After(patience):
		t.Fatal("the look takes longer than it may")
	}
	proxy.Restore(t)
	look(t, w, mysql.Place{}, cdc.Checkpoint{})
}

func TestLagGrowsWhileNothingIsHeardOfTheServer(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
	cfg := config(s)
	cfg.Heartbeat = 400 * time.Millisecond
	_, progress := watched(t, s, cfg)
	until(t, "idle", func() bool { return progress.Load().Lag == 0 })
	s.Pause(t)
	defer s.Resume(t)
	until(t, "lag", func() bool { return progress.Load().Lag > 1500*time.Millisecond })
}

func TestABacklogOfOtherTablesIsLag(t *testing.T) {
	t.Parallel()
	s := testenv.MariaDB(t)
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)")
	r, progress := watched(t, s, config(s))
	r.stop(t)
	from := r.checkpoint()
	s.Exec(t, "INSERT INTO other.t VALUES (1)")
	time.Sleep(2100 * time.Millisecond)

	var most atomic.Int64
	cfg := config(s)
	cfg.Observe = func(p mysql.Progress) { most.Store(max(most.Load(), int64(p.Lag))); progress.Store(&p) }
	launch(t, cfg, from, nil)
	until(t, "lag of the rows that are not captured", func() bool { return time.Duration(most.Load()) > time.Second })
	until(t, "none", func() bool { return progress.Load().Lag == 0 })
}
