package mysql_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// Whatever the line and the server do, each change comes once.
func TestPausesOutagesAndCutsLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		proxy := testenv.NewProxy(t, s.Addr)
		lost := make(chan error, 1000)
		cfg := at(config(s), proxy.Addr)
		cfg.Heartbeat, cfg.Patience, cfg.FrameRows = time.Second, 2*time.Second, 1
		cfg.Following = func(err error) { lost <- err }
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		insert(t, s, 1)
		r.wait(t, 2)

		s.Pause(t) // while the log is being read, and for long enough that connecting anew is tried
		for tries := 0; tries < 2; {
			select {
			case err := <-lost:
				if err != nil {
					tries++
				}
			case <-time.After(patience):
				t.Fatal("the capture does not notice that the server has stopped answering")
			}
		}
		s.Resume(t)
		insert(t, s, 2)
		r.wait(t, 4)

		s.Kill()
		time.Sleep(300 * time.Millisecond)
		s.Start(t)
		insert(t, s, 3)
		r.wait(t, 6)

		random := rand.New(rand.NewPCG(1, 2))
		for id := 4; id < 44; id++ {
			insert(t, s, id)
			if random.IntN(3) == 0 {
				time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
				proxy.Cut()
			}
		}
		got := r.wait(t, 86)
		r.stop(t)
		whole := launch(t, config(s), from, nil)
		compare(t, got, whole.wait(t, 86))
	})
}

// A server that takes connections and does not answer is waited for as long as the configuration says, and no longer
// than the caller wants.
func TestAPausedServerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)")
		cfg := config(s)
		running := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Pause(t)
		cfg.Patience = time.Second
		for name, ask := range map[string]func() error{
			"preflight": func() error { _, err := mysql.Preflight(t.Context(), cfg); return err },
			"schema":    func() error { _, err := mysql.Schema(t.Context(), cfg); return err },
			"present":   func() error { _, _, err := mysql.Present(t.Context(), cfg, cdc.Checkpoint{}); return err },
		} {
			within(t, name, func() {
				var coded *cdc.Error
				if err := ask(); !errors.As(err, &coded) || coded.Code != "CDCD-1101" {
					t.Errorf("%s: got %v, want CDCD-1101", name, err)
				}
			})
		}
		cfg.Patience = time.Hour
		waiting := launch(t, cfg, running.checkpoint(), nil)
		time.Sleep(100 * time.Millisecond)
		within(t, "end while connecting", func() { waiting.stop(t) })
		within(t, "end while reading", func() { running.stop(t) })
	})
}

// within fails the test when do takes much longer than it may.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%s took %s", what, took)
	}
}
