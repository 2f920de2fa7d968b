package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/wasm"
)

// feedFilter is the plugin of a rule in the line of a feed. A change that it breaks down on is in the audit log before
// anything is done with it, and a version that is tried beside it is shown the same changes.
type feedFilter struct {
	*openFilter
	p    *pipeline
	feed string
	rule *rules.Rule

	traps pace // of leaves
	held  bool // it is in quarantine, or was until it was released
}

// feedFilter starts the plugin of a rule for a feed.
func (p *pipeline) feedFilter(ctx context.Context, feed string, r *rules.Rule) (engine.Filter, error) {
	open, err := p.plugins.filter(ctx, r, feed)
	if err != nil {
		return nil, err
	}
	f := &feedFilter{openFilter: open, p: p, feed: feed, rule: r, traps: pace{every: time.Second, most: 20}}
	p.filters.add(f)
	p.log.Info("plugin started", "event", "plugin.started", "plugin", r.Filter.Plugin, "version", open.loaded.plugin.Manifest().Version,
		"digest", open.loaded.plugin.Digest(), "rule", r.Name, "feed", feed)
	return f, nil
}

// Close ends it.
func (f *feedFilter) Close() error {
	f.p.filters.remove(f)
	return f.openFilter.Close()
}

// Judge implements [engine.Filter].
func (f *feedFilter) Judge(ctx context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	if q := f.inQuarantine(); q != nil {
		f.held = true
		return q.err()
	}
	if f.held {
		f.Release()
		f.held = false
	}
	err := f.openFilter.Judge(ctx, events, verdicts)
	if cdc.CodeOf(err) == engine.CodeQuarantined {
		return f.quarantine(ctx, events[0], err)
	}
	if err != nil {
		return err
	}
	for i := range verdicts {
		var trap *wasm.Trap
		if !errors.As(verdicts[i].Err, &trap) {
			continue
		}
		f.p.log.Warn("a plugin broke down on a change", "event", "plugin.trap", "plugin", f.rule.Filter.Plugin, "rule", f.rule.Name, "feed", f.feed,
			"kind", trap.Kind, "id", events[i].ID(), "no", events[i].No(), "seq", events[i].Batch().Seq, "err", trap)
		if err := f.auditTrap(ctx, events[i], trap, f.policy()); err != nil {
			return err
		}
	}
	f.p.shadows.show(f, events, verdicts)
	return nil
}

// policy says what is done with a change that the rule cannot judge.
func (f *feedFilter) policy() string {
	if f.rule.Mode == rules.Shadow {
		return cdc.Skip.String()
	}
	return f.rule.OnError.String()
}

// quarantine has it that the plugin is not asked any more, and returns the error that says so. Nothing but that error is returned
// before it is known for good.
func (f *feedFilter) quarantine(ctx context.Context, first cdc.Event, why error) error {
	one := quarantineOf(f.rule, f.feed)
	one.Digest, one.Why, one.Since = f.loaded.plugin.Digest(), why.Error(), time.Now().UTC().Truncate(time.Second)
	f.p.log.Error("a plugin is quarantined", "event", "plugin.quarantined", "plugin", one.Plugin, "rule", one.Rule, "feed", one.Feed,
		"fallback", one.Fallback, "err", why)
	err := f.auditTrap(ctx, first, &wasm.Trap{Kind: "quarantined", Err: cdc.Errorf(engine.CodeQuarantined, "%s", why)}, one.Fallback)
	if err == nil {
		err = f.p.quarantines.add(one)
	}
	if err != nil {
		return err
	}
	f.held = true
	return one.err()
}

// inQuarantine says why the plugin is not asked any more; nil: it is.
func (f *feedFilter) inQuarantine() *quarantine {
	one := quarantineOf(f.rule, f.feed)
	one.Digest = f.loaded.plugin.Digest()
	return f.p.quarantines.of(one)
}

// auditTrap writes the leaf of a change that the plugin broke down on, unless there were too many just now.
func (f *feedFilter) auditTrap(ctx context.Context, e cdc.Event, trap *wasm.Trap, policy string) error {
	missed, ok := f.traps.take(time.Now())
	if !ok {
		return nil
	}
	return f.p.audit.Trap(ctx, audit.Trap{
		Feed: f.feed, Rule: f.rule.Name, Version: f.rule.Version, Plugin: f.rule.Filter.Plugin, Digest: f.loaded.plugin.Digest(),
		Kind: trap.Kind, Why: trap.Err.What, Stack: trap.Stack, Fuel: trap.Fuel,
		Event: e.ID(), Table: e.Table().String(), Epoch: e.Batch().Header().Epoch, PartNo: e.PartNo(), Seq: e.Batch().Seq,
		Policy: policy, Missed: missed,
	})
}

// pace lets so many through at once, and then one every so often. It belongs to one goroutine.
type pace struct {
	every time.Duration
	most  int

	last   time.Time // up to which what came has been counted
	used   int
	missed uint64 // since the last that was let through
}

// take says whether one more is let through, and how many were not before it.
func (p *pace) take(now time.Time) (missed uint64, ok bool) {
	if n := int(now.Sub(p.last) / p.every); n > 0 {
		p.used = max(0, p.used-n)
		p.last = now
	}
	if p.used >= p.most {
		p.missed++
		return 0, false
	}
	p.used++
	missed, p.missed = p.missed, 0
	return missed, true
}

// runningFilters are the plugins that are in feeds' lines.
type runningFilters struct {
	mu  sync.Mutex
	all map[*feedFilter]bool // guarded by mu
}

func (r *runningFilters) add(f *feedFilter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*feedFilter]bool{}
	}
	r.all[f] = true
}

func (r *runningFilters) remove(f *feedFilter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, f)
}

// list returns them in no order.
func (r *runningFilters) list() []*feedFilter {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*feedFilter
	for f := range r.all {
		all = append(all, f)
	}
	return all
}

// keptRevisions is how many of the newest revisions can be rolled back to for sure.
const keptRevisions = 50

// prunePlugins removes the versions that nobody can be judged by any more. What goes wrong is for the log only.
func (p *pipeline) prunePlugins(ctx context.Context) {
	named, err := p.namedPlugins(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.log.Warn("old versions of plugins are kept", "event", "plugin.prune", "err", err)
		}
		return
	}
	if n := p.plugins.store.prune(named, time.Now()); n > 0 {
		p.log.Info("old versions of plugins removed", "event", "plugin.prune", "versions", n)
	}
	if _, err := p.quarantines.lift(func(q *quarantine) bool { return !named[q.Digest] }); err != nil {
		p.log.Warn("quarantines of old versions of plugins are kept", "event", "plugin.prune", "err", err)
	}
}

// namedPlugins returns the versions that changes in the stream may be judged by, that are tried, or that a revision names
// which is not old.
func (p *pipeline) namedPlugins(ctx context.Context) (map[string]bool, error) {
	store := p.desk.book.store
	newest, err := store.Newest(ctx)
	if err != nil || newest.Revision.No == 0 {
		return nil, err
	}
	oldest := newest.Revision.No
	info, err := p.stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	if info.Messages > 0 { // revisions only grow from frame to frame
		err := p.stream.Read(ctx, info.First, info.First, func(_ context.Context, b *cdc.Batch) error {
			oldest = min(oldest, max(b.Rules.No, 1))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if newest.Revision.No > keptRevisions {
		oldest = min(oldest, newest.Revision.No-keptRevisions)
	} else {
		oldest = 1
	}
	named := map[string]bool{}
	first, err := store.At(ctx, oldest)
	if err != nil {
		return nil, err
	}
	for _, r := range first.Rules {
		named[r.Plugin] = true
	}
	err = store.History(ctx, oldest+1, func(pub bus.Publication) error {
		for _, r := range pub.Changed {
			named[r.Plugin] = true
		}
		return nil
	})
	p.shadows.mu.Lock()
	defer p.shadows.mu.Unlock()
	for _, c := range p.shadows.by {
		named[c.plugin.Digest()] = true
	}
	return named, err
}
