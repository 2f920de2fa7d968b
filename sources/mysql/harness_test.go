package mysql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

const patience = 30 * time.Second

// recorder is a handler that keeps what it is given, and checks what must hold for all frames.
type recorder struct {
	mu      sync.Mutex
	frames  []*cdc.Batch
	events  []string
	changed chan struct{}
	fail    func(n int, b *cdc.Batch) error // may refuse the n-th frame
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{}, 1)} }

func (r *recorder) handle(_ context.Context, b *cdc.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(len(r.frames), b); err != nil {
			return err
		}
	}
	if err := b.Verify(); err != nil {
		return err
	}
	h, cp := b.Header(), b.Checkpoint()
	if h.Heartbeat != (b.Len() == 0) {
		return fmt.Errorf("heartbeat %v with %d events", h.Heartbeat, b.Len())
	}
	if len(r.frames) > 0 {
		before := r.frames[len(r.frames)-1].Checkpoint()
		if h.FirstPartNo != before.PartNos[0] || cp.NextNo != before.NextNo+uint64(b.Len()) || cp.PartNos[0] != before.PartNos[0]+uint64(b.Len()) {
			return fmt.Errorf("numbers: first %d, checkpoint %+v after %+v, %d events", h.FirstPartNo, cp, before, b.Len())
		}
	}
	r.frames = append(r.frames, b)
	for i := range b.Len() {
		r.events = append(r.events, string(cdc.AppendEvent(nil, b.Event(i))))
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) checkpoint() cdc.Checkpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.frames) == 0 {
		return cdc.Checkpoint{}
	}
	return r.frames[len(r.frames)-1].Checkpoint()
}

func (r *recorder) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.events...)
}

// wait waits until there are n events, and fails if there are more.
func (r *recorder) wait(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(patience)
	for {
		events := r.list()
		if len(events) == n {
			return events
		}
		if len(events) > n {
			t.Fatalf("%d events, want %d; the last is %s", len(events), n, events[len(events)-1])
		}
		select {
		case <-r.changed:
		case <-deadline:
			t.Fatalf("%d events after %s, want %d: %v", len(events), patience, n, events)
		}
	}
}

// waitFrame waits for a frame of which is says true.
func (r *recorder) waitFrame(t *testing.T, is func(*cdc.Batch) bool) *cdc.Batch {
	t.Helper()
	deadline := time.After(patience)
	for seen := 0; ; {
		r.mu.Lock()
		frames := r.frames[seen:]
		r.mu.Unlock()
		for _, b := range frames {
			if is(b) {
				return b
			}
		}
		seen += len(frames)
		select {
		case <-r.changed:
		case <-deadline:
			t.Fatalf("no such frame after %s, among %d", patience, seen)
		}
	}
}

// running is a Run in the background.
type running struct {
	*recorder
	cancel context.CancelFunc
	done   chan error
}

func config(s *testenv.Server, tables ...string) mysql.Config {
	if len(tables) == 0 {
		tables = []string{"shop.*"}
	}
	return mysql.Config{Name: "shop", Addr: s.Addr, User: testenv.User, Password: testenv.Password, Tables: tables,
		Writer: "test", Epoch: 7, Heartbeat: 10 * time.Second, MaxBackoff: 500 * time.Millisecond}
}

// begin starts a capture and waits until it has its first frame: what changes from then on is captured.
func begin(t *testing.T, cfg mysql.Config, from cdc.Checkpoint, rec *recorder) *running {
	t.Helper()
	r := launch(t, cfg, from, rec)
	if from.Flavor == "" {
		r.waitFrame(t, func(b *cdc.Batch) bool { return b.Header().Heartbeat })
	}
	return r
}

func launch(t *testing.T, cfg mysql.Config, from cdc.Checkpoint, rec *recorder) *running {
	t.Helper()
	if rec == nil {
		rec = newRecorder()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	source, err := mysql.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{recorder: rec, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- source.Run(ctx, from, rec.handle) }() // stop awaits it
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the capture and expects that it was still running well.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		r.done <- err
		if !errors.Is(err, context.Canceled) {
			var coded *cdc.Error
			if errors.As(err, &coded) && t.Failed() == false {
				return // a test that expects it has looked at it
			}
			if err != nil {
				t.Logf("run ended: %v", err)
			}
		}
	case <-time.After(patience):
		t.Fatal("Run does not end")
	}
}

// ends waits until the capture ends by itself, with an error of the code.
func (r *running) ends(t *testing.T, code string) *cdc.Error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		var coded *cdc.Error
		if !errors.As(err, &coded) || coded.Code != code {
			t.Fatalf("run ended with %v, want %s", err, code)
		}
		return coded
	case <-time.After(patience):
		t.Fatalf("Run goes on, want %s; events: %v", code, r.list())
		return nil
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Log(string(b)); return len(b), nil }

// short leaves of an event's JSON what a test can know beforehand.
func short(events []string) []string {
	out := make([]string, len(events))
	for i, e := range events {
		var v struct {
			Op, Table          string
			Key, Before, After json.RawMessage
		}
		if err := json.Unmarshal([]byte(e), &v); err != nil {
			out[i] = "not JSON: " + e
			continue
		}
		out[i] = fmt.Sprintf("%s %s %s %s -> %s", v.Op, v.Table, v.Key, v.Before, v.After)
	}
	return out
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("event %d:\n got %s\nwant %s", i, g, w)
		}
	}
}
