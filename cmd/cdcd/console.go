package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
)

// desk answers what the console asks, with what the pipeline has.
type consoleDesk struct {
	p       *pipeline
	rates   rateWatch
	started time.Time
	looks   atomic.Int64 // requests that read the stream
	shapes  tableShapes
	live    liveWatch
	world   ruleWorld
	letters letterDesk
	site    atomic.Pointer[console.Console]
	page    pageSize

	ctx  context.Context // ends with the pipeline, which then waits for work
	end  context.CancelFunc
	work sync.WaitGroup
}

// open makes it ready to be asked.
func (d *consoleDesk) open(p *pipeline) {
	d.page = largestPage
	d.p, d.started = p, time.Now().UTC()
	d.ctx, d.end = context.WithCancel(context.Background())
	d.live = liveWatch{p: p, follow: map[*follower]bool{}, tables: map[string]*recentTable{}}
	d.letters.d = d
}

// close waits for what was begun for people.
func (d *consoleDesk) close() {
	d.end()
	d.work.Wait()
}

// newConsole makes the console of a pipeline.
func (p *pipeline) newConsole(gate *console.Gate) *console.Console {
	d := &p.console
	site := console.New(console.Config{Source: p.cfg.Name, Version: readVersion().Version, Logger: p.log, Gate: gate,
		Backend: console.Backend{Health: d, Tables: d, Events: d, Live: &d.live, Settings: d, Rules: d, Trials: d, Drafts: d, Backtests: d,
			Deliveries: d, DeadLetters: &d.letters, Audit: d, Plugins: d}})
	d.site.Store(site)
	p.jobs.follow(d.tellJob)
	return site
}

// tellJob tells whoever follows how far a job is.
func (d *consoleDesk) tellJob(j api.Job) {
	if site := d.site.Load(); site != nil {
		site.Job(j)
	}
}

// Status implements console.Health.
func (d *consoleDesk) Status(ctx context.Context) api.Status { return d.p.state(ctx).Status }

// Rates implements console.Health.
func (d *consoleDesk) Rates() (api.Rates, time.Time) { return d.rates.rates(), d.started }

// Settings implements console.Settings.
func (d *consoleDesk) Settings(context.Context) (api.Settings, error) {
	cfg := d.p.cfg
	s := api.Settings{Source: cfg.Name, Version: readVersion().Version, File: cfg.file, Settings: []api.Setting{}, Warnings: []api.Error{}}
	for _, one := range cfg.settings() {
		s.Settings = append(s.Settings, one.Setting)
	}
	for _, w := range cfg.warnings {
		s.Warnings = append(s.Warnings, api.ErrorOf(w))
	}
	return s, nil
}

// rateWatch counts what goes through, second by second.
type rateWatch struct {
	mu    sync.Mutex // guards all
	until time.Time
	last  rateCount
	kept  [ratesKept]rateCount
	next  int
	full  bool
}

// ratesKept is how many seconds are remembered.
const ratesKept = 600

type rateCount struct{ captured, matched, failed, records float64 }

// countRates counts until ctx ends.
func (p *pipeline) countRates(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			p.console.rates.count(at, p.counted())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// counted is what has gone through since the start.
func (p *pipeline) counted() (c rateCount) {
	c.captured = float64(p.rows.Load())
	for _, f := range p.feeds {
		c.matched += float64(f.matched.Load())
		c.failed += float64(f.failed.Load())
		c.records += float64(f.state(time.Time{}).Records)
	}
	return c
}

// count notes what there was at a time. Ticks that came late are made up for: what went through meanwhile is spread.
func (w *rateWatch) count(at time.Time, now rateCount) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() {
		w.until, w.last = at.Truncate(time.Second), now
		return
	}
	n := int(at.Truncate(time.Second).Sub(w.until) / time.Second)
	if n <= 0 {
		return
	}
	per := func(now, last float64) float64 { return max(0, now-last) / float64(n) } // a chain that was opened anew counts a little less for a moment
	one := rateCount{per(now.captured, w.last.captured), per(now.matched, w.last.matched), per(now.failed, w.last.failed), per(now.records, w.last.records)}
	for range min(n, ratesKept) {
		w.kept[w.next] = one
		if w.next++; w.next == ratesKept {
			w.next, w.full = 0, true
		}
	}
	w.until, w.last = at.Truncate(time.Second), now
}

// rates returns what is remembered, the oldest first.
func (w *rateWatch) rates() api.Rates {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.kept[:w.next]
	if w.full {
		all = slices.Concat(w.kept[w.next:], w.kept[:w.next])
	}
	r := api.Rates{Until: w.until.UTC(), Captured: make([]float64, len(all)), Matched: make([]float64, len(all)), Failed: make([]float64, len(all)), Records: make([]float64, len(all))}
	for i, c := range all {
		r.Captured[i], r.Matched[i], r.Failed[i], r.Records[i] = c.captured, c.matched, c.failed, c.records
	}
	return r
}

// codeNothing and codeBusy are the console's.
const (
	codeNothing = "CDCD-1056"
	codeBusy    = "CDCD-1054"
)

// maxLooks bounds how many requests read the stream at a time: what they take, delivery does not have.
const maxLooks = 4

// look lets somebody read the stream. Who was let in calls what is returned.
func (d *consoleDesk) look() (func(), error) {
	if d.looks.Add(1) > maxLooks {
		d.looks.Add(-1)
		return nil, cdc.Errorf(codeBusy, "enough people read the stream at the moment").WithFix("ask again in a second")
	}
	return func() { d.looks.Add(-1) }, nil
}
