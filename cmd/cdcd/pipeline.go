package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/backoff"
	"github.com/cdcd-project/cdcd/internal/plugindist"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
	"github.com/cdcd-project/cdcd/sinks/form"
	"github.com/cdcd-project/cdcd/sinks/view"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// pipeline is everything that `cdcd run` runs: one capture, the stream, and for each feed an engine with its chain.
//
//	source.Run → publisher.Handle ══ stream ══ stream.Consume → engine.Handle → chain.Write → audit.Object
//
// Capture and feeds only meet in the stream, so each stops, waits and starts again on its own.
type pipeline struct {
	*app
	cfg     *config
	writer  string // names this process in frames and objects
	started time.Time
	id      string // names the data folder, for as long as it lives

	stream   *bus.Stream
	persons  *persons // nil: none are configured
	audit    *audit.Log
	feeds    []*feed
	places   places
	triggers *triggers

	server      atomic.Pointer[mysql.Source] // what captures; nil for files, and before it begins
	asked       atomic.Int64                 // people who wait for their wish about snapshots to be durable
	captured    chan struct{}                // closed when the source has ended, as binlog files do
	lastError   atomic.Pointer[string]       // why capture does not go on at present
	held        atomic.Pointer[string]       // what keeps the stream from taking frames: a bus.State
	standby     atomic.Bool                  // another process captures
	following   atomic.Bool                  // the source is being read, and where that began is durable
	rows        atomic.Uint64                // rows captured
	frameBytes  atomic.Uint64                // bytes of frames published
	tails       atomic.Int64                 // clients of /tail
	backtests   atomic.Int64                 // clients of /backtest
	searches    atomic.Int64                 // clients of /event
	dlq         turn                         // of who settles dead letters
	desk        *ruleDesk
	rules       *ruleWatch
	plugins     *plugins
	lookups     *lookups
	filters     runningFilters
	shadows     shadows
	quarantines *quarantines
	seen        atomic.Int64 // when the last frame was captured, in microseconds since 1970
	filling     filling
	source      sourceWatch
	console     consoleDesk
	jobs        backtestJobs
}

// feed is one partner's line: it reads the stream on its own.
type feed struct {
	name  string
	cfg   *feedConfig
	store chain.Store
	dead  chain.Store
	view  *view.View
	form  *form.Form

	noting   sync.Mutex // guards what follows
	noted    string     // the progress that was noted last
	notedSeq uint64     // the frame up to which the stream is not needed any more

	mu     sync.Mutex // guards what follows
	engine *engine.Engine
	chain  *chain.Split
	err    error       // why it does not deliver at present
	past   chain.Stats // of chains that were opened before this one

	events, matched, failed, seq atomic.Uint64
	behind                       atomic.Int64 // time.Duration since when the stream has had what comes next
	mismatches                   atomic.Uint64
}

// openPipeline opens the stream, the audit log and the stores; nothing runs yet.
func openPipeline(ctx context.Context, a *app, cfg *config) (*pipeline, error) {
	p := &pipeline{app: a, cfg: cfg, writer: writerName(), started: time.Now(), captured: make(chan struct{}), dlq: make(turn, 1), rules: newRuleWatch(), plugins: newPlugins(cfg, a.log),
		quarantines: openQuarantines(cfg, a.log)}
	p.console.open(p)
	p.jobs.kick = make(chan struct{}, 1)
	if err := precheckRules(ctx, a, cfg, p.plugins); err != nil {
		return nil, err
	}
	if err := precheckPartitions(ctx, a, cfg); err != nil {
		return nil, err
	}
	err := p.openFeeds(ctx)
	if err != nil {
		return nil, err
	}
	if p.stream, err = openBus(ctx, a, cfg, p.writer, p.hold); err != nil {
		return nil, err
	}
	if p.id, err = folderID(cfg.Data); err != nil {
		p.stream.Close()
		return nil, err
	}
	if p.persons, err = openPersons(ctx, cfg, p.stream, a.log); err != nil {
		p.stream.Close()
		return nil, err
	}
	p.lookups = openLookups(cfg, a.env, p.stream, p.persons)
	if err := p.openRules(ctx); err != nil {
		p.stream.Close()
		return nil, err
	}
	if p.audit, err = audit.Open(ctx, audit.Config{Dir: cfg.Audit.Dir, KeyFile: cfg.Audit.KeyFile, Origin: "cdcd/" + cfg.Name, Logger: a.log}); err != nil {
		p.stream.Close()
		return nil, err
	}
	p.auditRules(ctx)
	if p.triggers, err = newTriggers(ctx, p); err != nil {
		p.Close()
		return nil, err
	}
	p.auditConfig(ctx)
	p.auditKeys(ctx)
	return p, nil
}

// openFeeds opens the stores of all feeds.
func (p *pipeline) openFeeds(ctx context.Context) error {
	for _, name := range feedNames(p.cfg) {
		f := &feed{name: name, cfg: p.cfg.Feeds[name]}
		var err error
		if f.view, err = openView(p.cfg, name); err != nil {
			return err
		}
		if err = f.openForm(); err != nil {
			return err
		}
		if f.store, err = openStore(ctx, p.env, p.cfg, name); err != nil {
			return fmt.Errorf("feed %s: %w", name, err)
		}
		if err := checkRetention(ctx, f.store); final(err) {
			return fmt.Errorf("feed %s: %w", name, err)
		} else if err != nil {
			p.log.Warn("it is not known whether the bucket keeps objects", "event", "feed.retention_unknown", "feed", name, "err", err)
		}
		if f.dead, err = openFolder(filepath.Join(p.cfg.DeadLetters.Dir, name)); err != nil {
			return fmt.Errorf("dead letters of feed %s: %w", name, err)
		}
		p.feeds = append(p.feeds, f)
	}
	return nil
}

// Close lets go of what openPipeline opened.
func (p *pipeline) Close() {
	p.console.close()
	p.lookups.Close()
	p.audit.Close()
	p.stream.Close()
	p.shadows.Close()
	p.plugins.Close()
	for _, f := range p.feeds {
		closeStore(f.store)
	}
}

// Run runs until ctx ends, something fails that waiting cannot mend, or a source of files has been delivered whole.
func (p *pipeline) Run(ctx context.Context) error {
	if err := p.sameStream(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.capture(ctx) })
	for _, f := range p.feeds {
		g.Go(func() error { return p.feed(ctx, f) })
	}
	g.Go(func() error { return p.triggers.Run(ctx) })
	g.Go(func() error { return p.persons.heed(ctx) })
	g.Go(func() error { return p.finishErasures(ctx) })
	g.Go(func() error { return p.housekeeping(ctx) })
	g.Go(func() error { return p.watchRules(ctx) })
	g.Go(func() error { return p.finishAllJobs(ctx) })
	g.Go(func() error { return p.look(ctx) })
	g.Go(func() error { return p.countRates(ctx) })
	g.Go(func() error { return p.runBacktests(ctx) })
	g.Go(func() error { return p.finish(ctx) })
	err := g.Wait()
	if errors.Is(err, errDelivered) {
		return nil
	}
	return err
}

// errDelivered ends a pipeline whose source has ended.
var errDelivered = errors.New("everything is delivered")

// sameStream refuses to begin a new stream for chains that were made from another one: capture would begin at the
// source's present end, and the changes in between would be missing without a word. A feed whose store does not answer holds the others
// up for so long only: its chain, if it has one, is of another epoch, and resumeChain refuses it then.
func (p *pipeline) sameStream(ctx context.Context) error {
	last, err := p.last(ctx)
	if err != nil || last.Epoch != 0 {
		return err
	}
	// A store that hangs may hang for ever, and in a system call.
	limited, stop := context.WithTimeout(ctx, storePatience)
	defer stop()
	answers := make([]chan error, len(p.feeds))
	for i, f := range p.feeds {
		answers[i] = make(chan error, 1)
		go func() { answers[i] <- p.notBegun(limited, f) }()
	}
	for i, f := range p.feeds {
		select {
		case err = <-answers[i]:
		case <-limited.Done():
			err = errUnanswered
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errUnanswered):
			p.log.Warn("the store does not answer: if the feed was delivered from another stream, it will not go on from this one", "event", "feed.unknown", "feed", f.name)
		case err != nil:
			return err
		}
	}
	return nil
}

// errUnanswered says that a store has not said what it has.
var errUnanswered = errors.New("the store does not answer")

// notBegun refuses a feed that has begun, and waits for its store until ctx ends.
func (p *pipeline) notBegun(ctx context.Context, f *feed) error {
	for attempt := 0; ; attempt++ {
		c, err := chain.OpenSplit(ctx, p.chainConfig(f), nil)
		if err == nil {
			if next, epoch := c.Next(); next > 0 {
				return cdc.Errorf("CDCD-4104", "the stream is empty, but feed %s in %s has been delivered up to event %d of epoch %x",
					f.name, f.cfg.To, next-1, epoch).
					WithFix("restore the data folder %s or the stream that this feed was made from, or give the feed a new name and a new prefix in `to`", p.cfg.Data)
			}
			return nil
		}
		if chain.Hopeless(err) {
			return fmt.Errorf("feed %s: %w", f.name, err)
		}
		p.log.Warn("store not reachable", "event", "feed.retry", "feed", f.name, "err", err)
		if pause(ctx, attempt) != nil {
			return errUnanswered
		}
	}
}

// tail is the end of the stream: the one checkpoint. Epoch is 0 when nothing has been captured yet.
type tail struct {
	cdc.Checkpoint
	Epoch uint64
	Seq   uint64
}

func (p *pipeline) last(ctx context.Context) (tail, error) {
	checkpoint, header, seq, err := p.stream.Last(ctx)
	return tail{checkpoint, header.Epoch, seq}, err
}

// capture reads the source into the stream. It begins where the stream's last frame says, each time anew.
func (p *pipeline) capture(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		err := p.captureOnce(ctx)
		switch {
		case err == nil:
			close(p.captured)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, bus.ErrFenced):
			p.standby.Store(true)
			p.log.Warn("another cdcd captures this source; standing by", "event", "capture.standby", "source", p.cfg.Name)
			if err := p.stream.WaitIdle(ctx, p.writer, 3*heartbeat); err != nil {
				return err
			}
			p.standby.Store(false)
			p.log.Info("the other cdcd has gone quiet; taking over", "event", "capture.takeover", "source", p.cfg.Name)
			attempt = 0
		case final(err):
			p.trouble(err)
			return p.drain(ctx, err)
		default:
			p.trouble(err)
			p.log.Warn("capture interrupted, starting again", "event", "capture.retry", "err", err)
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
	}
}

// trouble notes why capture does not go on, or with nil that it does.
func (p *pipeline) trouble(err error) {
	if err == nil {
		p.lastError.Store(nil)
		return
	}
	p.source.failed(err)
	text := err.Error()
	p.lastError.Store(&text)
}

// hold notes what keeps the stream from taking frames. It is called when that changes.
func (p *pipeline) hold(s bus.State) {
	if s == bus.Publishing {
		p.held.Store(nil)
		return
	}
	text := string(s)
	p.held.Store(&text)
	p.log.Warn("capture waits for the stream", "event", "capture.held", "state", text)
}

// drain delivers what is in the stream before a capture that cannot go on ends the program with err. A feed whose
// store does not take objects is not waited for longer than a minute.
func (p *pipeline) drain(ctx context.Context, err error) error {
	p.log.Error("capture cannot go on; delivering what is in the stream", "event", "capture.stopped", "err", err)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if late := p.delivered(ctx); late != nil {
		p.log.Warn("not everything in the stream was delivered", "event", "capture.undelivered", "err", late)
	}
	return err
}

const heartbeat = 10 * time.Second

func (p *pipeline) captureOnce(ctx context.Context) error {
	last, err := p.last(ctx)
	if err != nil {
		return err
	}
	epoch, err := nextEpoch(last, p.cfg)
	if err != nil {
		return err
	}
	publisher, err := p.stream.Publisher(ctx, last.Seq)
	if err != nil {
		return err
	}
	defer publisher.Close()
	p.follow(false)
	source, err := openSource(p, epoch)
	if err != nil {
		return err
	}
	begun := last.Epoch != 0
	next := func(ctx context.Context, b *cdc.Batch) error {
		b, err := p.persons.seal(ctx, b)
		if err != nil {
			return err
		}
		if err := publisher.Handle(ctx, b); err != nil {
			return err
		}
		// At the beginning, a kill from here on must not begin again later in the log: there is nothing yet to tell where.
		// And people who ask for a snapshot wait until that is durable.
		if !begun || p.asked.Load() > 0 {
			if err := publisher.Flush(ctx); err != nil {
				return err
			}
			begun = true
		}
		p.lastError.Store(nil)
		p.rows.Add(uint64(b.Len()))
		p.frameBytes.Add(uint64(len(b.Frame())))
		p.source.frame(b)
		p.seen.Store(time.Now().UnixMicro())
		return nil
	}
	err = source.Run(ctx, last.Checkpoint, next)
	p.server.Store(nil) // whoever asks it for a snapshot now would wait in vain
	p.source.follows(false)
	if err != nil {
		return err
	}
	return publisher.Flush(ctx)
}

// feed delivers one feed, again and again. What is wrong with the configuration, and so known at the very start, ends the
// program; whatever else fails only this feed waits for, and the others go on.
func (p *pipeline) feed(ctx context.Context, f *feed) error {
	delivered := false
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := p.deliver(ctx, f, &delivered)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, chain.ErrFenced):
			p.log.Warn("another cdcd has delivered this feed further; following it", "event", "feed.fenced", "feed", f.name, "err", err)
		case chain.Hopeless(err) && !delivered:
			return fmt.Errorf("feed %s: %w", f.name, err)
		default:
			p.log.Error("feed interrupted, starting again", "event", "feed.retry", "feed", f.name, "err", err)
		}
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		if time.Since(began) > time.Minute {
			attempt = 0
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// deliver opens the feed's chain, and reads the stream into it from where it ends until something fails.
func (p *pipeline) deliver(ctx context.Context, f *feed, delivered *bool) error {
	progress, err := p.progress(ctx, f)
	if err != nil {
		return err
	}
	c, err := chain.OpenSplit(ctx, p.chainConfig(f), progress)
	if err != nil {
		return err
	}
	begun, _ := c.Next()
	p.places.note(p, f, begun > 0)
	letters := lines(p.chainConfig(f))
	letters.Partitions, letters.PartitionBy = 1, nil
	letters.Feed, letters.Store, letters.Sync, letters.Compress, letters.Envelope = f.name+deadLetterChain, f.dead, true, "none", "dead_letter"
	letters.Append, letters.Audited = deadletter.Append(f.name), p.audited(f.dead)
	p.triggers.kick(f.name) // what was logged though it seemed not to be is not committed again
	dead, err := chain.Open(ctx, letters)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	if err := p.begin(ctx, f, c); err != nil {
		return err
	}
	from, err := p.resume(ctx, f, c)
	if err != nil {
		return err
	}
	next, epoch := c.Next()
	ahead, _ := dead.Next()
	sets := p.desk.book.Set
	if was := dead.Stats().Head.RuleSet; ahead > next && next > 0 {
		sets = func(ctx context.Context, b *cdc.Batch) (*rules.Set, error) {
			set, err := p.desk.book.Set(ctx, b)
			if err == nil && b.Rules == (cdc.Revision{}) && set.Digest() != was {
				return nil, cdc.Errorf("CDCD-5003", "feed %s has dead letters up to event %d, has delivered up to event %d, and the rules were changed in between (from %s)",
					f.name, ahead-1, next-1, was).
					WithFix("`cdcd errors CDCD-5003` says how to have these changes judged by the rules of then")
			}
			return set, err
		}
	}
	dead.Advance(next, from, epoch)
	f.seq.Store(max(from, 1) - 1)

	look := p.lookups.of(f.name)
	f.mu.Lock()
	eng, err := engine.New(engine.Config{
		Lookup: look,
		Sets:   sets, Sinks: map[string]engine.Sink{f.name: viewed{f.view, c}}, DeadLetter: dead,
		Filter:      func(ctx context.Context, r *rules.Rule) (engine.Filter, error) { return p.feedFilter(ctx, f.name, r) },
		VerifyEvery: verifyEvery,
		Mismatch: func(m rules.Mismatch) {
			f.mismatches.Add(1)
			p.log.Error("the index over the rules has a mistake; the rule is judged without it from now on: please report this",
				"event", "rules.mismatch", "feed", f.name, "rule", m.Rule.Name, "version", m.Rule.Version, "table", m.Event.Table().String(),
				"id", m.Event.ID(), "no", m.Event.No(), "index", m.Index, "plainly", m.Plainly)
		},
		Observe: func(b *cdc.Batch, ds []cdc.Decision) {
			p.rules.observe(f.name, b, ds)
			if f.observe(b, ds) {
				p.note(ctx, f)
			}
		},
	})
	if err != nil {
		f.mu.Unlock()
		return err
	}
	if f.chain != nil {
		before := f.chain.Stats()
		f.past.Objects, f.past.Records, f.past.Bytes = f.past.Objects+before.Objects, f.past.Records+before.Records, f.past.Bytes+before.Bytes
	}
	f.engine, f.chain, f.err = eng, c, nil
	f.mu.Unlock()
	defer eng.Close() // its plugins; what they say to it is of no use any more
	*delivered = true

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Run(ctx) })
	g.Go(func() error { return dead.Run(ctx) })
	g.Go(func() error {
		err := p.stream.Consume(ctx, from, f.handle(eng, look))
		if final(err) && ctx.Err() == nil { // nothing comes behind what is missing, but what stands before it is to be had
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
			err = errors.Join(err, c.Flush(ctx))
		}
		return err
	})
	return g.Wait()
}

// handle notes what keeps the feed from delivering. A fence ends chain.Run and with it all of deliver.
func (f *feed) handle(eng *engine.Engine, look *feedLookups) cdc.Handler {
	return func(ctx context.Context, b *cdc.Batch) error {
		look.begin(b)
		err := eng.Handle(ctx, b)
		f.mu.Lock()
		f.err = err
		f.mu.Unlock()
		return err
	}
}

// One of verifyEvery events is judged a second time without the index over the rules.
const verifyEvery = 10_000

// observe counts, and reports whether there was anything that a rule could not judge.
func (f *feed) observe(b *cdc.Batch, ds []cdc.Decision) (failed bool) {
	f.events.Add(uint64(b.Len()))
	f.seq.Store(b.Seq)
	for i := range ds {
		if len(ds[i].Matches) > 0 {
			f.matched.Add(1)
		}
		if len(ds[i].Errors) > 0 {
			f.failed.Add(1)
			failed = true
		}
	}
	return failed
}

// resume returns the sequence to consume from: of the frame that holds the first event which the chain has not answered
// for. A stream that has lost its tail (a power cut without synced disks) is captured again with the same numbers, but
// maybe in other frames; so the frame is looked for from where the chain has seen it. Rows of a snapshot would come in
// another place the second time, so a stream that has lost its tail within one is refused, as is one of another lineage.
func (p *pipeline) resume(ctx context.Context, f *feed, split *chain.Split) (from uint64, err error) {
	for i, c := range split.Chains() {
		seq, err := p.resumeChain(ctx, f, c)
		if err != nil {
			return 0, err
		}
		if i == 0 || seq < from {
			from = seq
		}
	}
	return from, nil
}

func (p *pipeline) resumeChain(ctx context.Context, f *feed, c *chain.Chain) (uint64, error) {
	last, err := p.last(ctx)
	if err != nil {
		return 0, err
	}
	next, epoch := c.Next()
	if next == 0 {
		return 0, nil // a new feed begins with the oldest change that is still there
	}
	if last.Epoch != 0 && epoch>>32 != last.Epoch>>32 {
		return 0, cdc.Errorf("CDCD-4104", "%s was delivered from another stream (epoch %x, this one has %x)", f.cfg.To, epoch, last.Epoch).
			WithFix("restore the data folder or stream that this feed was made from, or give the feed a new name and a new prefix in `to`")
	}
	if len(last.PartNos) > 0 && next > last.PartNos[0] && last.Snapshot != "" {
		return 0, cdc.Errorf("CDCD-4105", "%s has been delivered up to event %d, the stream ends with event %d, and a snapshot was under way",
			f.cfg.To, next-1, last.PartNos[0]-1).
			WithFix("restore the data folder or stream that this feed was made from, or give the feed a new name and a new prefix in `to`")
	}
	info, err := p.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	if first, err := p.stream.PartNoAt(ctx, info.First); err == nil && first > next {
		return 0, givenUp(f, next, first)
	}
	var end uint64
	if len(last.PartNos) > 0 {
		end = last.PartNos[0]
	}
	return c.Locate(ctx, info.First, last.Seq, end, p.stream.PartNoAt)
}

func (p *pipeline) chainConfig(f *feed) chain.Config {
	cfg := chain.Config{
		Source: p.cfg.Name, Feed: f.name, Store: f.store, Writer: p.writer,
		Every: time.Duration(f.cfg.Rotate.Every), Rows: f.cfg.Rotate.Rows, Bytes: int(f.cfg.Rotate.Bytes),
		Committed:  p.committed,
		Audited:    p.audited(f.store),
		Partitions: f.cfg.Partitions, PartitionBy: f.cfg.PartitionBy,
		Logger: p.log,
	}
	p.shape(f, &cfg)
	return cfg
}

// committed logs an object, and lets those know that tell of it.
func (p *pipeline) committed(ctx context.Context, o cdc.Object) error {
	if err := p.audit.Object(ctx, o); err != nil {
		return err
	}
	p.triggers.committed(o)
	return nil
}

// audited says how far the audit log knows a chain in a store.
func (p *pipeline) audited(store chain.Store) func(name string) uint64 {
	return func(name string) uint64 {
		ordinal, _ := p.audit.Head(name, store.String())
		return ordinal
	}
}

// progressKey names the hint of a feed: another store is another chain, and what another cdcd has found by its rules says
// nothing about ours.
func (p *pipeline) progressKey(f *feed) string {
	return fmt.Sprintf("%s.%08x.%s", f.name, crc32.ChecksumIEEE([]byte(f.store.String())), p.id)
}

// folderID returns the name that the data folder got when it was first used.
func folderID(folder string) (string, error) {
	file := filepath.Join(folder, "id")
	text, err := os.ReadFile(file)
	if err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	var b [8]byte
	rand.Read(b[:])
	id := hex.EncodeToString(b[:])
	if err := os.WriteFile(file, []byte(id+"\n"), 0o640); err != nil {
		return "", fmt.Errorf("data folder: %w", err)
	}
	return id, nil
}

// progress returns the hints of the feed's chains.
func (p *pipeline) progress(ctx context.Context, f *feed) ([]chain.Progress, error) {
	var progress []chain.Progress
	text, err := p.stream.Progress(ctx, p.progressKey(f))
	if err != nil || text == nil {
		return progress, err
	}
	if err := json.Unmarshal(text, &progress); err != nil {
		p.log.Warn("progress of feed ignored", "event", "feed.progress", "feed", f.name, "err", err)
		return nil, nil
	}
	return progress, nil
}

// housekeeping notes progress, makes room in the stream and takes up changed rule files.
func (p *pipeline) housekeeping(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	files := fingerprint(p.cfg)
	last := files
	tidy := time.Now().Add(time.Minute)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Changed files are taken up when they stand still: in the middle of a checkout there are rules missing.
		now := fingerprint(p.cfg)
		if now == last && now != files {
			files = now
			p.reload(ctx)
		}
		last = now
		for _, f := range p.feeds {
			p.note(ctx, f)
		}
		if time.Now().After(tidy) {
			tidy = time.Now().Add(time.Hour)
			p.prunePlugins(ctx)
		}
		if err := p.makeRoom(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("no room made in the stream", "event", "stream.trim", "err", err)
		}
	}
}

// note keeps a feed's hint. A failure is for the log only: without the hint more is read again.
func (p *pipeline) note(ctx context.Context, f *feed) {
	f.noting.Lock()
	defer f.noting.Unlock()
	f.mu.Lock()
	c := f.chain
	f.mu.Unlock()
	if c == nil {
		return
	}
	progress := c.Progress()
	text, err := json.Marshal(progress)
	if err == nil && string(text) != f.noted {
		err = p.stream.SetProgress(ctx, p.progressKey(f), text)
	}
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("progress not noted", "event", "stream.progress", "feed", f.name, "err", err)
		}
		return
	}
	f.noted, f.notedSeq = string(text), progress[0].Seq
	for _, one := range progress {
		f.notedSeq = min(f.notedSeq, one.Seq)
	}
}

// reload pushes changed rule files, or says why not; then the rules stay as they are.
func (p *pipeline) reload(ctx context.Context) {
	err := p.pushFiles(ctx, "files changed")
	if ctx.Err() != nil {
		return
	}
	if p.rules.refuse(err); err != nil {
		p.log.Error("changed rules refused; the old ones stay", "event", "rules.refused", "err", err)
	}
}

// openRules opens the rule store, pushes the rule files if they have changed, and says which revision frames name first.
// Files that others' changes stand against are no reason not to run: then what is in the store stays in force.
func (p *pipeline) openRules(ctx context.Context) error {
	store, err := p.stream.Rules(ctx)
	if err != nil {
		return err
	}
	p.desk = newRuleDesk(p.app, p.cfg, newRuleBook(store), p.plugins)
	p.desk.running, p.desk.drafts = p, p.stream.Drafts
	p.shadows.p = p
	err = p.pushFiles(ctx, "files at start")
	if before, unknown := store.Newest(ctx); refusedFiles(err) || withoutPlugins(err) && unknown == nil && before.Revision.No > 0 {
		p.rules.refuse(err)
		p.log.Error("changed rules refused; the old ones stay", "event", "rules.refused", "err", err)
		err = nil
	}
	if err != nil {
		return err
	}
	newest, err := store.Newest(ctx)
	if err != nil {
		return err
	}
	p.stream.Stamp(newest.Revision)
	p.rules.revised(newest)
	return nil
}

// refusedFiles reports whether others' changes stand against the rule files.
func refusedFiles(err error) bool {
	code := cdc.CodeOf(err)
	return code == "CDCD-2310" || code == "CDCD-2316"
}

// withoutPlugins reports whether all that is wrong with rule files is in their plugins.
func withoutPlugins(err error) bool {
	var found rules.Findings
	return errors.As(err, &found) && !slices.ContainsFunc(found, func(f *rules.Finding) bool { return !strings.HasPrefix(f.Code, "CDCD-25") })
}

// fingerprint tells whether a rule file or a plugin has changed.
func fingerprint(cfg *config) string {
	files, _ := cfg.ruleFiles() // the globs were checked with the configuration
	for _, some := range []string{"*.wasm", "*.wasm" + plugindist.SignatureSuffix} {
		plugins, _ := filepath.Glob(filepath.Join(cfg.Plugins.Dir, some))
		files = append(files, plugins...)
	}
	var b strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// finish waits until a source that has an end is delivered whole.
func (p *pipeline) finish(ctx context.Context) error {
	select {
	case <-p.captured:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.delivered(ctx); err != nil {
		return err
	}
	if err := p.triggers.settle(ctx); err != nil {
		return err
	}
	if p.cfg.stays {
		<-ctx.Done()
		return ctx.Err()
	}
	return errDelivered
}

// delivered waits until every feed has delivered what is in the stream now.
func (p *pipeline) delivered(ctx context.Context) error {
	last, err := p.last(ctx)
	if err != nil {
		return err
	}
	for _, f := range p.feeds {
		for len(last.PartNos) > 0 {
			f.mu.Lock()
			c := f.chain
			f.mu.Unlock()
			if c != nil {
				next, _ := c.Next()
				if next >= last.PartNos[0] && c.Flush(ctx) == nil {
					break
				}
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// final reports whether err is one that a person has to mend: it has a code. What has none may pass by waiting.
func final(err error) bool {
	var e *cdc.Error
	return errors.As(err, &e)
}

func pause(ctx context.Context, attempt int) error {
	return backoff.Sleep(ctx, backoff.Pause(attempt, 200*time.Millisecond, 30*time.Second))
}

// writerName names this process: the host, for people, and random digits, since names and process numbers come again.
func writerName() string {
	var b [6]byte
	rand.Read(b[:])
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(host))
	return strings.Trim(host+"-"+hex.EncodeToString(b[:]), "-")
}
