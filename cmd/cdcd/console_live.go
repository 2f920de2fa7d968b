package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
)

// liveWatch reads the stream along while somebody looks, for all who do, and remembers the newest changes of each table. While nobody
// looks it costs nothing.
type liveWatch struct {
	p *pipeline

	mu      sync.Mutex    // guards all
	primed  chan struct{} // closed when the newest changes are known
	ended   chan struct{} // closed when the stream is not read any more; nil while it is not
	asked   time.Time     // when somebody looked last
	follow  map[*follower]bool
	seq     uint64 // of the frame that was seen last
	no      uint64 // number of the change that was seen last
	tables  map[string]*recentTable
	shapes  cdc.Tables
	builder cdc.Builder
}

// follower is handed each frame.
type follower struct{ each func(*cdc.Batch) }

// recentTable is what is remembered of a table.
type recentTable struct {
	newest []cdc.Event // the oldest first; each in a frame of its own, so that it keeps nothing else
	byOp   map[cdc.Op]cdc.Event
	bytes  int // of newest
	table  *cdc.Table
	since  time.Time // when changes began to show these columns, if there were others before
	seq    uint64    // of the newest
}

// What is remembered.
const (
	recentKept   = 20        // of a table, and one of each operation
	recentBytes  = 2 << 20   // of a table, beside those
	recentEvent  = 256 << 10 // larger changes are not remembered
	recentTables = 300
	keptValues   = 3   // of a column
	sampleBytes  = 120 // of each

	primedFrames   = 300 // that are read back when somebody begins to look
	primingTakes   = 3 * time.Second
	replayedFrames = 200 // that are read again for somebody whose line broke
	liveIdle       = time.Minute
)

// start has the stream read along, and waits until the newest changes are known.
func (w *liveWatch) start(ctx context.Context) error {
	w.mu.Lock()
	w.asked = time.Now()
	if w.ended == nil {
		w.primed, w.ended = make(chan struct{}), make(chan struct{})
		w.p.console.work.Go(func() { w.run(w.p.console.ctx, w.primed, w.ended) }) // Close waits for it
	}
	primed, ended := w.primed, w.ended
	w.mu.Unlock()
	select {
	case <-primed:
		return nil
	case <-ended:
		return cdc.Errorf(codeBusy, "the stream cannot be read along at the moment").WithFix("ask again in a second; the log says why")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run reads along until nobody has looked for a while.
func (w *liveWatch) run(ctx context.Context, primed, ended chan struct{}) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = nil
		close(ended)
	}()
	if err := w.prime(ctx); err != nil {
		if ctx.Err() == nil {
			w.p.log.Warn("the stream cannot be read along", "event", "console.live", "err", err)
		}
		return
	}
	close(primed)
	w.p.console.work.Go(func() { w.tire(ctx, stop) }) // ends with ctx
	w.mu.Lock()
	from := w.seq + 1
	w.mu.Unlock()
	err := w.p.stream.Consume(ctx, from, func(_ context.Context, b *cdc.Batch) error {
		w.handle(b)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		w.p.log.Warn("the stream cannot be read along any more", "event", "console.live", "err", err)
	}
}

// tire ends the reading when nobody looks any more.
func (w *liveWatch) tire(ctx context.Context, stop func()) {
	tick := time.NewTicker(liveIdle / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		idle := len(w.follow) == 0 && time.Since(w.asked) > liveIdle
		w.mu.Unlock()
		if idle {
			stop()
			return
		}
	}
}

// prime reads back what is not known yet of the newest frames.
func (w *liveWatch) prime(ctx context.Context) error {
	info, err := w.p.stream.Info(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	from := max(w.seq+1, info.First, 1)
	if info.Last >= primedFrames {
		from = max(from, info.Last-primedFrames+1)
	}
	w.seq = from - 1
	w.mu.Unlock()
	if from > info.Last {
		return nil
	}
	reading, cancel := context.WithTimeout(ctx, primingTakes)
	defer cancel()
	err = w.p.stream.Read(reading, from, info.Last, func(_ context.Context, b *cdc.Batch) error {
		w.handle(b)
		return nil
	})
	if ctx.Err() == nil && reading.Err() != nil {
		return nil // the rest comes as if it were new
	}
	return err
}

// handle remembers what is new, and hands it to all who follow.
func (w *liveWatch) handle(b *cdc.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.Seq <= w.seq {
		return
	}
	w.seq = b.Seq
	if b.Len() == 0 {
		return
	}
	w.no = b.Event(b.Len() - 1).No()
	w.remember(b)
	for f := range w.follow {
		f.each(b)
	}
}

// remember keeps the newest changes of a frame, table by table. Of a frame with many it copies few.
func (w *liveWatch) remember(b *cdc.Batch) {
	type seen struct {
		n   int
		ops [cdc.OpSnapshot + 1]bool
	}
	tables := map[*cdc.Table]*seen{}
	keep := make([]int, 0, recentKept)
	for i := b.Len() - 1; i >= 0; i-- {
		e := b.Event(i)
		s := tables[e.Table()]
		if s == nil {
			s = &seen{}
			tables[e.Table()] = s
		}
		if s.n < recentKept || !s.ops[e.Op()] {
			s.n, s.ops[e.Op()] = s.n+1, true
			keep = append(keep, i)
		}
	}
	for _, i := range slices.Backward(keep) {
		w.keep(b.Event(i))
	}
}

// keep remembers one change.
func (w *liveWatch) keep(e cdc.Event) {
	frame := w.builder.Single(e)
	if len(frame) > recentEvent {
		return
	}
	b, err := cdc.Open(frame, &w.shapes)
	if err != nil {
		return // a frame that was just made opens
	}
	b.Seq, b.Rules = e.Batch().Seq, e.Batch().Rules
	e = b.Event(0)
	name := e.Table().String()
	t := w.tables[name]
	if t == nil {
		t = &recentTable{byOp: map[cdc.Op]cdc.Event{}}
		w.tables[name] = t
		w.forget()
	}
	if t.table != nil && t.table != e.Table() && t.table.Digest() != e.Table().Digest() {
		t.since = e.CommitTime()
	}
	t.table, t.seq = e.Table(), b.Seq
	t.byOp[e.Op()] = e
	t.newest = append(t.newest, e)
	t.bytes += len(frame)
	for len(t.newest) > recentKept || t.bytes > recentBytes {
		t.bytes -= len(t.newest[0].Batch().Frame())
		t.newest = append(t.newest[:0:0], t.newest[1:]...)
	}
}

// forget lets go of the table that has been quiet the longest, when there are too many.
func (w *liveWatch) forget() {
	if len(w.tables) <= recentTables {
		return
	}
	oldest := ""
	for name, t := range w.tables {
		if t.seq > 0 && (oldest == "" || t.seq < w.tables[oldest].seq) {
			oldest = name
		}
	}
	delete(w.tables, oldest)
}

// recent returns what is remembered and wanted, the newest first.
func (w *liveWatch) recent(q console.EventQuery) []cdc.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []cdc.Event
	for _, t := range w.tables {
		for _, e := range t.newest {
			if q.Wants(e) {
				found = append(found, e)
			}
		}
		for _, e := range t.byOp {
			if q.Wants(e) && e.No() < t.newest[0].No() {
				found = append(found, e)
			}
		}
	}
	slices.SortFunc(found, func(a, b cdc.Event) int { return int(int64(b.No()) - int64(a.No())) })
	return found
}

// Follow implements console.Live.
func (w *liveWatch) Follow(ctx context.Context, after uint64, each func(*cdc.Batch)) error {
	if err := w.start(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	upTo, no, ended := w.seq, w.no, w.ended
	w.mu.Unlock()
	if ended == nil {
		return errNotAlong
	}
	if after > 0 && after < no { // something is missing
		if err := w.again(ctx, after, upTo, each); err != nil {
			return err
		}
	}
	f := &follower{each: each}
	for {
		w.mu.Lock()
		from := upTo + 1
		if upTo = w.seq; from > upTo {
			w.follow[f] = true
			w.mu.Unlock()
			break
		}
		w.mu.Unlock()
		if err := w.read(ctx, from, upTo, each); err != nil {
			return err
		}
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.follow, f)
		w.asked = time.Now()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
		return errNotAlong
	}
}

var errNotAlong = cdc.Errorf(codeBusy, "the stream is not read along any more")

// again hands on what was missed after a change, as far as it is not too much: what is left out is known by its numbers.
func (w *liveWatch) again(ctx context.Context, after, upTo uint64, each func(*cdc.Batch)) error {
	out, err := w.p.console.look()
	if err != nil {
		return nil // enough is being read
	}
	defer out()
	b, err := w.p.stream.FrameOf(ctx, after+1)
	if err != nil {
		return err
	}
	info, err := w.p.stream.Info(ctx)
	if err != nil {
		return err
	}
	from := max(upTo-min(upTo, replayedFrames)+1, info.First, 1)
	if b != nil {
		from = max(from, b.Seq)
	}
	return w.read(ctx, from, upTo, each)
}

func (w *liveWatch) read(ctx context.Context, from, upTo uint64, each func(*cdc.Batch)) error {
	if from > upTo {
		return nil
	}
	return w.p.stream.Read(ctx, from, upTo, func(_ context.Context, b *cdc.Batch) error {
		each(b)
		return nil
	})
}

// Judged implements console.Live.
func (w *liveWatch) Judged(ctx context.Context, e cdc.Event) (api.Event, error) {
	return w.p.console.event(ctx, e)
}

// Shapes implements console.Live.
func (w *liveWatch) Shapes() []*cdc.Table { return w.p.rules.knownTables() }

// Latest returns the newest changes of tables and at least one of each operation, if they are known: what rules are tried on. The newest come first.
func (w *liveWatch) Latest(ctx context.Context, q console.EventQuery) ([]cdc.Event, error) {
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	return w.recent(q), nil
}

// seenOf adds what changes tell of a table's columns: values, and since when they are what they are.
func (w *liveWatch) seenOf(ctx context.Context, detail *api.TableDetail) {
	if w.start(ctx) != nil {
		return // the table is shown without
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tables[detail.Table.Table]
	if t == nil {
		return
	}
	detail.Changed = stamp(t.since)
	for i := range detail.Fields {
		detail.Fields[i].Samples = t.samples(detail.Fields[i].Name)
	}
}

// samples returns some values of a column, as JSON, the newest first.
func (t *recentTable) samples(column string) (texts []string) {
	for _, e := range slices.Backward(t.newest) {
		row := e.After()
		if !row.Exists() {
			row = e.Before()
		}
		at := e.Table().Column(column)
		if at < 0 || row.Kind(at) == cdc.KindAbsent || row.Kind(at) == cdc.KindNull {
			continue
		}
		text := string(cdc.AppendJSON(nil, &e.Table().Columns[at], row.Value(at)))
		if len(text) > sampleBytes {
			text = strings.ToValidUTF8(text[:sampleBytes], "") + "…"
		}
		if !slices.Contains(texts, text) {
			if texts = append(texts, text); len(texts) == keptValues {
				break
			}
		}
	}
	return texts
}
