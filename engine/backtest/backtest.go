package backtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// Config says what is tried. Draft is required.
type Config struct {
	Draft  *rules.Set // judged whole, whatever the modes of its rules
	Active *rules.Set // in force; only its rules with a name that is in Draft count. nil: there is nothing to compare with

	// From and To bound the changes by commit time, From included, To not. Zero: no bound.
	From, To time.Time

	// Filter returns the plugin of a rule that has one, as in [engine.Config]. Each worker asks for its own, for the draft and
	// for the rules in force, and closes it at the end.
	Filter func(ctx context.Context, r *rules.Rule) (engine.Filter, error)

	// Lookup answers what rules look up for a frame, as an [engine.Lookups] does, for all workers: from what was read when its changes
	// were judged first, or with [ErrNotRecorded]. Where that is not known, and without a Lookup, nothing is looked up: rules match as
	// if what they look up were there, and the report says so.
	Lookup func(ctx context.Context, frame uint64, q *cdc.Query) (*cdc.Answer, error)

	// Feeds estimates volumes for the feeds named here; rules may name others.
	Feeds map[string]Delivery

	Examples int            // of each kind and rule, spread over the history; default 10, fewer with thousands of rules; below 0: none
	Workers  int            // goroutines that judge; default: one for each core
	Progress func(Progress) // if set, is told how far it is about once a second, by one goroutine
}

// Delivery is how a feed makes objects, as far as an estimate needs it.
type Delivery struct {
	Every time.Duration          // of rotation
	Rows  int                    // and its other limits; 0: none
	Bytes int                    // before compression
	Pack  func(lines []byte) int // the size that lines of records have when they are stored; nil: as they are
}

// Progress is how far a back-test is.
type Progress struct {
	Read    uint64    `json:"read"`    // changes
	Matched uint64    `json:"matched"` // of them, by the draft
	Errors  uint64    `json:"errors"`
	Seq     uint64    `json:"seq"`         // of the stream, as far as it was read; 0 for other sources
	At      time.Time `json:"at,omitzero"` // commit time that it has come to
}

// Run reads a source to its end and judges every change by the draft and by the rules in force. The batches may come from
// one goroutine or several; each is taken at once and judged beside the reading.
//
// The report is always of use: when source or ctx ends early, or a plugin cannot be asked, it is partial, and the error
// says why.
func Run(ctx context.Context, cfg Config, source func(ctx context.Context, next cdc.Handler) error) (Report, error) {
	began := time.Now()
	t, err := newTrial(cfg)
	if err != nil {
		return Report{}, err
	}
	work := make(chan *cdc.Batch, len(t.workers))
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var judging sync.WaitGroup
	for _, w := range t.workers {
		judging.Go(func() {
			if err := w.run(running, work); err != nil {
				fail(err)
			}
			for range work { // after a failure: the source may be about to hand one over
			}
		})
	}
	stop := t.tell(cfg.Progress)
	err = source(running, func(ctx context.Context, b *cdc.Batch) error {
		select {
		case work <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(work)
	judging.Wait()
	stop()

	r := t.report()
	r.Seconds = time.Since(began).Seconds()
	if cause := context.Cause(running); cause != nil && ctx.Err() == nil {
		err = cause // of the plugin, whatever the source says of being stopped
	} else if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		r.Partial, r.Why = true, err.Error()
		if ctx.Err() != nil {
			r.Why = "it was stopped"
		}
	}
	return r, err
}

// maxExamples bounds the examples of one kind that are kept of all rules together.
const maxExamples = 10_000

// trial is one back-test.
type trial struct {
	cfg           Config
	draft, active *rules.Set
	number        map[string]int // of each rule of the draft, by name
	against       []string       // version of the rule in force, by number
	workers       []*worker
}

func newTrial(cfg Config) (*trial, error) {
	if cfg.Draft == nil {
		return nil, errors.New("backtest: no draft")
	}
	if cfg.Examples == 0 {
		cfg.Examples = 10
	}
	// An example is a row image or two, as text: with thousands of rules there are fewer of each.
	cfg.Examples = min(max(0, cfg.Examples), max(1, maxExamples/max(1, len(cfg.Draft.Rules()))))
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	t := &trial{cfg: cfg, draft: cfg.Draft.As(rules.Active), number: map[string]int{}, against: make([]string, len(cfg.Draft.Rules()))}
	for i, r := range cfg.Draft.Rules() {
		t.number[r.Name] = i
	}
	var inForce []*rules.Rule
	if cfg.Active != nil {
		for _, r := range cfg.Active.Rules() {
			if i, ok := t.number[r.Name]; ok {
				t.against[i] = r.Version
				inForce = append(inForce, r)
			}
		}
	}
	var err error
	if t.active, err = rules.New(inForce); err != nil {
		return nil, fmt.Errorf("backtest: the rules in force: %w", err)
	}
	t.active = t.active.As(rules.Active)
	for range cfg.Workers {
		t.workers = append(t.workers, newWorker(t))
	}
	return t, nil
}

// tell reports the progress until the function that it returns is called.
func (t *trial) tell(progress func(Progress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				progress(t.progress())
			case <-done:
				progress(t.progress())
				return
			}
		}
	})
	return func() { close(done); telling.Wait() }
}

func (t *trial) progress() Progress {
	var p Progress
	for _, w := range t.workers {
		w.mu.Lock()
		p.Read += w.read
		p.Matched += w.matched
		p.Errors += w.errors
		p.Seq = max(p.Seq, w.seq)
		if w.last.After(p.At) {
			p.At = w.last
		}
		w.mu.Unlock()
	}
	return p
}

// report puts together what the workers have found.
func (t *trial) report() Report {
	all := t.workers[0]
	for _, w := range t.workers[1:] {
		all.merge(w)
	}
	r := Report{Read: all.read, First: all.first, Last: all.last, Matched: all.matched, Errors: all.errors, Rows: all.rows.count(),
		Days: daysOf(all.days), Rules: []Rule{}, Feeds: []Feed{}, NotSimulated: NotSimulated}
	if t.cfg.Lookup == nil && len(t.draft.LookupTables())+len(t.active.LookupTables()) > 0 {
		r.NotSimulated = append(slices.Clip(NotSimulated), NotLookedUp)
	}
	if r.NotRecorded = all.unrecorded; r.NotRecorded > 0 {
		r.NotSimulated = append(slices.Clip(NotSimulated), notRecorded(r.NotRecorded))
	}
	if all.read > 0 {
		r.Draft.NsPerChange = float64(all.draftTime.Nanoseconds()) / float64(all.read)
		r.Active.NsPerChange = float64(all.activeTime.Nanoseconds()) / float64(all.read)
	}
	for i, rule := range t.draft.Rules() {
		found := &all.rules[i]
		out := Rule{Name: rule.Name, Version: rule.Version, Against: t.against[i], Matched: found.matched, Errors: found.errors, Rows: found.rows.count(),
			Same: found.same, Changed: found.changed, Added: found.added, Lost: found.lost, Days: daysOf(found.days), Examples: found.sample()}
		if f := rule.Filter; f != nil {
			out.Filter = &found.filter
			out.Filter.Plugin, out.Filter.Digest = f.Plugin, f.Digest
		}
		for k, n := range all.seen {
			if rule.Judges(k.table, k.op) {
				out.Evaluated += n
			}
		}
		r.Rules = append(r.Rules, out)
	}
	for _, name := range slices.Sorted(maps.Keys(t.cfg.Feeds)) {
		f, d := all.feeds[name], t.cfg.Feeds[name]
		r.Feeds = append(r.Feeds, Feed{Feed: name, Draft: f.draft.estimate(d), Active: f.active.estimate(d)})
	}
	return r
}

func daysOf(days map[int64]*Day) []Day {
	out := []Day{}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		d := *days[day]
		d.Day = time.Unix(day*secondsPerDay, 0).UTC().Format(time.DateOnly)
		out = append(out, d)
	}
	return out
}

const secondsPerDay = 24 * 60 * 60

// sample returns the examples that were kept, by kind and then in the order of the history.
func (f *finding) sample() []Example {
	out := []Example{}
	for _, kept := range f.examples {
		for _, x := range kept {
			out = append(out, x.Example)
		}
	}
	order := []string{Added, Lost, Changed, Failed, Same}
	slices.SortFunc(out, func(a, b Example) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.No, b.No), bytes.Compare(a.Event, b.Event))
	})
	return out
}
