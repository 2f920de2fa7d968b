package mysql

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Source is one log to capture from: a server's, or binlog files.
type Source struct {
	cfg      Config
	selected *selection
	treated  *treatments
	files    []string // of a Source made by Files
	asked    borrowed // on all connections

	commands chan snapshotCommand          // to the session that captures
	events   atomic.Pointer[queue]         // of that session; nil: there is none
	jobs     atomic.Pointer[[]SnapshotJob] // what is told of snapshots
}

// New returns a source that reads a server's binlog as a replica does. It does not connect yet.
// Errors are [*cdc.Error].
func New(cfg Config) (*Source, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	selected, err := newSelection(cfg.Tables, cfg.ExcludeTables)
	if err != nil {
		return nil, err
	}
	treated, err := newTreatments(&cfg)
	if err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, selected: selected, treated: treated, asked: borrowed{}, commands: make(chan snapshotCommand, 16)}, nil
}

// Run reads the log from the checkpoint on and hands frame after frame to next, until ctx ends (it returns ctx.Err()),
// next fails (the error wraps what it said; begin anew from the checkpoint that is in the stream by then), or something
// needs a person (a [*cdc.Error]). Files end it with nil. A lost connection is not an error: Run connects again, with
// pauses that grow to [Config.MaxBackoff].
//
// The zero checkpoint begins at the server's present end, and with the first file. The first frame is then a heartbeat,
// which makes the beginning part of the stream. A frame that next has taken never comes again within a run; from one
// run to the next, what comes is decided by the checkpoint alone. Run may be called again after it has returned, by one
// goroutine at a time; all its own goroutines have ended by then.
func (s *Source) Run(ctx context.Context, from cdc.Checkpoint, next cdc.Handler) error {
	if s.files != nil {
		return s.runFiles(ctx, from, next)
	}
	cfg := s.cfg
	known, notices, torns := &cdc.Tables{}, &Notices{}, map[tornAt]bool{}
	for attempt := 0; ; attempt++ {
		sent, err := s.session(ctx, &cfg, from, next, known, notices, torns)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = errors.New("the log ended")
		}
		var torn *errTorn
		if errors.As(err, &torn) && !torns[torn.at] && !permanent(err) {
			torns[torn.at], attempt = true, 0
			cfg.Logger.Warn("a transaction without an end is left out: the server has rolled it back", "event", "capture.torn", "file", torn.at.file, "pos", torn.at.pos)
		}
		if permanent(err) {
			return err
		}
		if sent.NextNo != from.NextNo || sent.GTIDSet != from.GTIDSet || sent.Pos != from.Pos {
			attempt = 0
		}
		from = sent
		pause := backoff.Pause(attempt, firstPause, cfg.MaxBackoff)
		cfg.Following(err)
		cfg.Logger.Warn("connection to the source lost", "event", "capture.disconnected", "err", err, "again_in", pause.String())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// poke has the session look around, if there is one.
func (s *Source) poke() {
	if events := s.events.Load(); events != nil {
		events.poke()
	}
}

// firstPause is how long the first pause between two attempts to connect is.
const firstPause = 100 * time.Millisecond

// session reads through one connection. It returns the checkpoint of the last frame that was handed over.
func (s *Source) session(ctx context.Context, cfg *Config, from cdc.Checkpoint, next cdc.Handler, known *cdc.Tables,
	notices *Notices, torns map[tornAt]bool) (cdc.Checkpoint, error) {
	origin, err := s.locate(ctx, cfg, from)
	if err != nil {
		return from, err
	}
	lineCtx, hangUp := context.WithCancel(ctx)
	events := newQueue(cfg.QueueBytes)
	reader := newLogReader(origin.flavor, s.selected.clone(), events.put)
	host, port := cfg.hostPort()
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: cfg.ServerID, Flavor: origin.flavor, Host: host, Port: port, User: cfg.User, Password: cfg.Password,
		TLSConfig: cfg.TLS, Dialer: cfg.dialer(lineCtx), Option: origin.same(cfg), Charset: "utf8mb4",
		HeartbeatPeriod: cfg.Heartbeat / 2, ReadTimeout: max(2*cfg.Heartbeat, 5*time.Second),
		DisableRetrySync: true, // connecting again needs the checks of locate
		DiscardGTIDSet:   true, EventCacheCount: 1, SynchronousEventHandler: reader,
		RawModeEnabled: true, VerifyChecksum: true, // reader decodes
		FillZeroLogPos: origin.zeroLogPos,
		Logger:         slog.New(slog.DiscardHandler), // it logs what it also returns
	})
	defer syncer.Close()               // ends and awaits its goroutine
	defer hangUp()                     // before that: the server may have stopped answering
	defer events.close(errQueueClosed) // before that: it may wait for room
	streamer, err := origin.dump(syncer)
	if err != nil {
		return from, sourceError(cfg, err)
	}
	watched := make(chan struct{})
	watchCtx, stop := context.WithCancel(ctx)
	go func() { // awaited right below
		defer close(watched)
		_, err := streamer.GetEvent(watchCtx) // no events come here, only why there are no more
		events.close(err)
	}()
	defer func() { stop(); <-watched }()

	c := &capture{cfg: cfg, ctx: ctx, next: next, selected: s.selected, flavor: origin.flavor, identity: origin.identity,
		tables: newTables(origin.flavor, s.treated, lookupColumns(cfg), s.asked), executed: origin.executed, adoptGTIDs: origin.adoptGTIDs,
		known: known, notices: notices, torns: torns}
	if origin.again && origin.byGTID {
		if c.skip, err = parseGTIDs(origin.flavor, origin.from.GTIDSet); err != nil {
			return from, cdc.Errorf("CDCD-1302", "the checkpoint: %w", err)
		}
		if c.reread, err = parseGTIDs(origin.flavor, origin.begin.GTIDSet); err != nil {
			return from, cdc.Errorf("CDCD-1302", "the checkpoint's prepared transactions: %w", err)
		}
	}
	if err := c.start(origin.from, origin.begin); err != nil {
		return from, err
	}
	if c.snapshots, err = newSnapshots(s, cfg, from.Snapshot); err != nil {
		return from, err
	}
	defer c.snapshots.stop()
	s.events.Store(events)
	defer s.events.Store(nil)
	if from.Flavor == "" { // make the beginning part of the stream
		if err := c.heartbeat(); err != nil {
			return c.sent, err
		}
	}
	cfg.Following(nil)
	cfg.Logger.Info("reading the source's log", "event", "capture.connected", "server", origin.identity, "flavor", origin.flavor,
		"file", c.file, "pos", c.pos)
	err = c.run(events)
	return c.sent, err
}

// run takes events until there are no more.
func (c *capture) run(events *queue) error {
	var batch []*replication.BinlogEvent
	c.pace.heard = c.cfg.Now()
	wait, err := c.tick()
	for err == nil {
		if batch, err = events.take(c.ctx, min(wait, reportEvery), batch); err != nil {
			return c.broken(sourceError(c.cfg, err))
		}
		c.took(batch)
		for _, ev := range batch {
			if err := c.event(ev); err != nil {
				return err
			}
			if err := c.snapshot(); err != nil {
				return err
			}
		}
		if err := c.snapshot(); err != nil {
			return err
		}
		if wait, err = c.tick(); err == nil {
			c.reportDue()
		}
	}
	return err
}

// broken is called when no more events come. Where the server says that it cannot send what follows, what came whole is handed over. From
// behind it the server may be able to: it begins with the next file then, where the end of the one before was lost in a crash.
func (c *capture) broken(err error) error {
	var said *gomysql.MyError // what is wrong in what it did send, we have found, and it would be wrong again
	if !permanent(err) || !errors.As(err, &said) || c.executed == nil || c.tx.open && c.tx.rows > 0 || c.executed.String() == c.beganSet {
		return err
	}
	send := c.heartbeat
	if c.open {
		send = c.flush
	}
	if err := send(); err != nil {
		return err
	}
	return errors.New(err.Error())
}
