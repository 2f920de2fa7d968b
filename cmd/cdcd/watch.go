package main

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// sourceWatch is what is known of the source: what the capture tells of itself, and what a connection beside it sees of
// the server. The latter is for people only: when it fails, the capture goes on.
type sourceWatch struct {
	mu         sync.Mutex // guards all
	connected  bool
	changed    time.Time // when connected was last set to what it is
	lost       uint64    // how often the connection was lost
	errors     map[string]uint64
	lastError  string
	errorAt    time.Time
	frames     uint64
	heartbeats uint64 // of these
	progress   mysql.Progress
	told       time.Time // when the progress was told
	sight      mysql.Sight
	lookError  string
}

// follows notes that the source is being read, or has been lost.
func (w *sourceWatch) follows(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connected && !yes {
		w.lost++
	}
	if w.connected != yes || w.changed.IsZero() {
		w.connected, w.changed = yes, time.Now()
	}
}

func (p *pipeline) follow(yes bool) {
	p.following.Store(yes)
	p.source.follows(yes)
}

// failed notes an error of the capture.
func (w *sourceWatch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.errors == nil {
		w.errors = map[string]uint64{}
	}
	w.lastError, w.errorAt = err.Error(), time.Now()
	w.errors[codeIn(w.lastError)]++
}

// frame counts a frame of the capture.
func (w *sourceWatch) frame(b *cdc.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames++
	if b.Header().Heartbeat {
		w.heartbeats++
	}
}

// observe is told how far the capture is.
func (w *sourceWatch) observe(p mysql.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress, w.told = p, time.Now()
}

const (
	lookEvery = 10 * time.Second
	lookTakes = 5 * time.Second
)

// look looks at the server again and again, until ctx ends. It asks little: a list of files, and some settings.
func (p *pipeline) look(ctx context.Context) error {
	if p.cfg.Source.MySQL == nil {
		return nil
	}
	cfg, err := serverConfig(p.cfg, p.env)
	if err != nil {
		return nil // the capture says so
	}
	watch, err := mysql.NewWatch(cfg)
	if err != nil {
		return nil // as above
	}
	defer watch.Close()
	for wait := time.Duration(0); ; wait = min(wait+time.Second, lookEvery) { // at first, what is behind changes fast
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		p.lookOnce(ctx, watch)
	}
}

func (p *pipeline) lookOnce(ctx context.Context, watch *mysql.Watch) {
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	w := &p.source
	w.mu.Lock()
	at, need := mysql.Place{File: w.progress.File, Pos: w.progress.Pos}, w.progress.Checkpoint
	w.mu.Unlock()
	if need.Flavor == "" { // nothing has been read yet
		last, err := p.last(ctx)
		if err != nil {
			return // the capture says so
		}
		need = last.Checkpoint
		at = mysql.Place{File: need.File, Pos: need.Pos}
	}
	sight, err := watch.Look(ctx, at, need)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if w.lookError == "" && context.Cause(ctx) != context.Canceled {
			p.log.Warn("the end of the source's log cannot be seen", "event", "capture.look", "err", err)
		}
		w.lookError = err.Error()
		return
	}
	if w.lookError != "" {
		p.log.Info("the end of the source's log is seen again", "event", "capture.look")
	}
	w.sight, w.lookError = sight, ""
}

type counts struct {
	code string
	n    uint64
}

// sourceFigures is what only machines ask for of it.
type sourceFigures struct {
	looked, changed float64 // the times as Unix seconds
	notices         mysql.Notices
	keptForEver     bool     // nothing deletes the server's log by itself
	errors          []counts // by code
}

// state says what is known now.
func (w *sourceWatch) state(now time.Time, standby bool) (api.SourceStatus, sourceFigures) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := api.SourceStatus{Connected: w.connected, Disconnects: w.lost, Frames: w.frames, Heartbeats: w.heartbeats,
		Since: stamp(w.changed), LastError: w.lastError, LastErrorAt: stamp(w.errorAt), LookError: w.lookError,
		File: w.progress.File, Pos: w.progress.Pos, GTIDSetBytes: len(w.progress.Checkpoint.GTIDSet), GTIDSet: w.progress.Checkpoint.GTIDSet,
		LagSeconds: w.progress.Lag.Seconds(), Keeps: "unknown"}
	f := sourceFigures{notices: w.progress.Notices, changed: seconds(w.changed)}
	if len(s.GTIDSet) > 200 {
		s.GTIDSet = s.GTIDSet[:200] + "…"
	}
	// The capture tells once a second how far it is, unless the server or the stream keeps it from that.
	if silent := now.Sub(w.told); !w.told.IsZero() && silent > 3*time.Second && !standby {
		s.LagSeconds += silent.Seconds()
	}
	for code, n := range w.errors {
		f.errors = append(f.errors, counts{code, n})
	}
	if w.sight.At.IsZero() {
		return s, f
	}
	sight := &w.sight
	s.Flavor, s.Version, s.Server, s.ClockSeconds = sight.Flavor, sight.Version, sight.Server, sight.Clock.Seconds()
	s.LookedAt, f.looked = stamp(sight.At), seconds(sight.At)
	if sight.Behind >= 0 {
		s.BehindBytes = &sight.Behind
	}
	s.KeepsWhy = sight.Keeps.Why
	switch {
	case !sight.Keeps.Known:
	case sight.Keeps.For > 0:
		s.Keeps = sight.Keeps.For.String()
	case sight.Keeps.Bytes > 0:
		s.Keeps = size(int64(min(sight.Keeps.Bytes, math.MaxInt64)))
	default:
		s.Keeps, f.keptForEver = "until deleted", true
	}
	if !sight.Purge.IsZero() { // it gets nearer while nobody can look, too
		left := max(0, sight.Purge.Sub(now).Seconds())
		s.HeadroomSeconds, f.keptForEver = &left, false
	}
	return s, f
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
