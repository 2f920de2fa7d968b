package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// Sink takes what was decided for one feed.
type Sink interface {
	// Write takes the decisions on the events of b that matched a rule of the feed, in the order of the events. It is
	// called with every batch, also when there are none, so that the sink knows how far the feed has come. nil means that
	// the sink answers for them. After an error the same batch is offered again, and after a restart some that were
	// taken before: the sink tells them apart by Event.PartNo. It is called by one goroutine at a time and may
	// keep b and what ds point to, but not ds itself.
	Write(ctx context.Context, b *cdc.Batch, ds []cdc.Decision) error
}

// Flusher is what a [Sink] that buffers has besides. Flush returns when everything that was written is committed.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Config says what an engine does. One of Rules and Sets is required.
type Config struct {
	Rules *rules.Set

	// Sets returns what a batch is judged by: the rules of the revision that it names, so that it is judged by the same
	// ones whenever it is offered. It is asked when that is another revision than the batch before had, and after a rule
	// has halted the line: its answer may be another one then. After an error the batch is offered again, as after any.
	Sets func(ctx context.Context, b *cdc.Batch) (*rules.Set, error)

	// Sinks by feed. A rule that delivers to a feed that is not here is not evaluated for it: another engine may be.
	Sinks map[string]Sink

	// DeadLetter takes the decisions with an error whose rule says dead_letter, before any sink sees the batch. Without
	// one, such an event stops the line: better that than losing it.
	DeadLetter Sink

	// Filter returns the plugin of a rule that has one ([rules.Rule].Filter). It is asked once for each such rule when a rule
	// set comes into use, before the first batch that the set judges; after an error that batch is offered again. What it
	// returned is closed when its rule goes out of use, if it is an io.Closer. It is required if there are such rules.
	Filter func(ctx context.Context, r *rules.Rule) (Filter, error)

	// Lookup answers what rules look up ([rules.Rule].Lookups), after filters. It is required if there are such rules.
	Lookup Lookups

	// One of VerifyEvery events, as its number says, is judged a second time without the index over the rules, by a few of
	// them; 0: none is. Mismatch is told of rules that are judged differently then, which is a mistake in cdcd: such a rule
	// is judged without the index from then on.
	VerifyEvery uint64
	Mismatch    func(rules.Mismatch)

	// Observe, if set, sees each batch after it was taken by all, with the decisions that matched or failed. It may keep
	// what ds point to, but not ds itself.
	Observe func(b *cdc.Batch, ds []cdc.Decision)
}

// Engine judges batches. Handle is called by one goroutine at a time, the other methods by any.
type Engine struct {
	cfg   Config
	feeds []string // names of the sinks, sorted
	rules atomic.Pointer[ruleset]
	ask   bool // for the rules of the batch once more: somebody may have said that others hold for it

	filters  *Filters // of the rules of filtered
	lookers  *Lookers // the same
	filtered *ruleset

	// scratch of Handle, reused
	decisions, letters, toFeed []cdc.Decision
}

type ruleset struct {
	revision cdc.Revision
	digest   string     // of the whole set
	set      *rules.Set // what concerns the sinks of this engine
}

// New returns an engine. It fails when the configuration has no rules, or two sources of them.
func New(cfg Config) (*Engine, error) {
	if (cfg.Rules == nil) == (cfg.Sets == nil) {
		return nil, fmt.Errorf("engine: one of Rules and Sets must be given")
	}
	e := &Engine{cfg: cfg, filters: NewFilters(cfg.Filter), lookers: NewLookers(cfg.Lookup)}
	for feed := range cfg.Sinks {
		e.feeds = append(e.feeds, feed)
	}
	slices.Sort(e.feeds)
	if cfg.Rules != nil {
		e.Swap(cfg.Rules)
	}
	return e, nil
}

// Swap puts another rule set in place, from the next batch on. It is for engines that were made with Rules.
func (e *Engine) Swap(set *rules.Set) {
	next := &ruleset{digest: set.Digest(), set: set.Only(e.feeds...)}
	if rs := e.rules.Load(); rs != nil {
		next.set = next.set.After(rs.set)
	}
	e.rules.Store(next)
}

// decide judges one event.
func (e *Engine) decide(set *rules.Set, event cdc.Event) cdc.Decision {
	d := set.Decide(event)
	if e.cfg.VerifyEvery == 0 || !rules.Sampled(event, e.cfg.VerifyEvery) {
		return d
	}
	wrong := set.Verify(d, verifiedRules)
	if len(wrong) == 0 {
		return d
	}
	for _, m := range wrong {
		if e.cfg.Mismatch != nil {
			e.cfg.Mismatch(m)
		}
	}
	return set.Decide(event) // they are off the index now
}

// verifiedRules bounds the work of judging an event a second time.
const verifiedRules = 16

// Handle judges a batch and hands it to the sinks. It is a cdc.Handler: nil means that every sink answers for what it
// is to deliver, an error that the same batch should be offered again. CDCD-5001 says that a rule with on_error: halt
// could not judge an event, CDCD-5002 that there is no place for dead letters.
func (e *Engine) Handle(ctx context.Context, b *cdc.Batch) error {
	rs, err := e.ruleset(ctx, b)
	if err != nil {
		return err
	}
	if rs != e.filtered && b.Len() > 0 {
		e.filtered = nil // of an error half of them are left
		if err := e.filters.Use(ctx, rs.set); err != nil {
			return e.without(b, err)
		}
		if err := e.lookers.Use(rs.set); err != nil {
			return err
		}
		e.filtered = rs
	}
	e.decisions, e.letters = e.decisions[:0], e.letters[:0]
	failed := false
	for i := range b.Len() {
		d := e.decide(rs.set, b.Event(i))
		if len(d.Matches) == 0 && len(d.Errors) == 0 {
			continue
		}
		d.RuleSet = rs.digest
		e.decisions = append(e.decisions, d)
		failed = failed || len(d.Errors) > 0
	}
	if len(e.filters.inUse) > 0 || len(e.lookers.inUse) > 0 {
		if err := e.judgeFurther(ctx); err != nil {
			return e.without(b, err)
		}
		failed = true // perhaps
	}
	if failed {
		if err := e.sortOut(b); err != nil {
			return err
		}
	}
	// First, since once the sinks have taken the batch nobody would offer it again.
	if e.cfg.DeadLetter != nil {
		if err := e.cfg.DeadLetter.Write(ctx, b, e.letters); err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
	} else if len(e.letters) > 0 {
		d := e.letters[0]
		failed := deadly(d.Errors)
		return cdc.Errorf("CDCD-5002", "rule %s could not judge event %s of %s and there is no place for dead letters: %w",
			failed.Rule.Name, d.Event.ID(), d.Event.Table(), failed.Err).
			WithFix("give the engine a place for dead letters, or set on_error: skip or halt in the rule")
	}
	for _, feed := range e.feeds {
		e.toFeed = e.toFeed[:0]
		for _, d := range e.decisions {
			if delivers(d.Matches, feed) {
				e.toFeed = append(e.toFeed, d)
			}
		}
		if err := e.cfg.Sinks[feed].Write(ctx, b, e.toFeed); err != nil {
			return fmt.Errorf("feed %s: %w", feed, err)
		}
	}
	if len(e.letters) > 0 {
		if err := e.flush(ctx); err != nil {
			return err
		}
	}
	if e.cfg.Observe != nil {
		e.cfg.Observe(b, e.decisions)
	}
	return nil
}

// judgeFurther has the plugins of rules judge what the rules have matched, looks up what is wanted for what they leave, and keeps the
// decisions about which there is still something to say.
func (e *Engine) judgeFurther(ctx context.Context) error {
	if err := e.filters.Judge(ctx, e.decisions, nil); err != nil {
		return err
	}
	if err := e.lookers.LookUp(ctx, e.decisions); err != nil {
		return err
	}
	e.decisions = slices.DeleteFunc(e.decisions, func(d cdc.Decision) bool { return len(d.Matches) == 0 && len(d.Errors) == 0 })
	return nil
}

// sortOut finds the dead letters among the decisions. It fails when a rule wants nothing delivered which it cannot judge.
func (e *Engine) sortOut(b *cdc.Batch) error {
	for i := range e.decisions {
		d := &e.decisions[i]
		for _, failed := range d.Errors {
			switch failed.OnError {
			case cdc.Halt:
				return e.halt(b, d, failed)
			case cdc.DeadLetter:
				if n := len(e.letters); n == 0 || e.letters[n-1].Event != d.Event {
					e.letters = append(e.letters, *d)
				}
			}
		}
	}
	return nil
}

// Close closes the filters. The engine must not be used any more.
func (e *Engine) Close() error { return e.filters.Close() }

// halt is the error of a rule that wants nothing delivered which it cannot judge.
func (e *Engine) halt(b *cdc.Batch, d *cdc.Decision, failed cdc.RuleError) error {
	if e.cfg.Sets == nil {
		return cdc.Errorf("CDCD-5001", "rule %s could not judge event %s of %s and says on_error: halt: %w", failed.Rule.Name, d.Event.ID(), d.Event.Table(), failed.Err).
			WithFix("mend the rule (it is taken up without a restart), or set on_error: dead_letter")
	}
	e.ask = true
	revision := cmp.Or(b.Rules.String(), "0")
	return cdc.Errorf("CDCD-5001", "rule %s of revision %s could not judge event %s of %s in frame %d and says on_error: halt: %w",
		failed.Rule.Name, revision, d.Event.ID(), d.Event.Table(), b.Seq, failed.Err).
		WithFix("mend the rule and push it, or set its on_error to dead_letter; then: cdcd rules adopt %s --from %d --why '…'", revision, b.Seq)
}

// without is the error of a plugin that cannot be had or asked, or of a look-up that is not answered. Waiting may help; if it does not, somebody can say that
// other rules hold for this batch.
func (e *Engine) without(b *cdc.Batch, err error) error {
	var own *cdc.Error
	if e.cfg.Sets == nil || !errors.As(err, &own) {
		return err
	}
	e.ask = true
	revision := cmp.Or(b.Rules.String(), "0")
	fix := fmt.Sprintf("have the changes from here on judged by other rules: cdcd rules adopt %s --from %d --why '…'", revision, b.Seq)
	if own.Fix != "" {
		fix = own.Fix + "; or " + fix
	}
	what := strings.Replace(err.Error(), own.Error(), own.What, 1) // the code comes first already
	return &cdc.Error{Code: own.Code, What: fmt.Sprintf("revision %s, frame %d: %s", revision, b.Seq, what), Fix: fix, Err: err}
}

// ruleset returns what a batch is judged by.
func (e *Engine) ruleset(ctx context.Context, b *cdc.Batch) (*ruleset, error) {
	rs := e.rules.Load()
	if e.cfg.Sets == nil || rs != nil && rs.revision == b.Rules && !e.ask || b.Len() == 0 {
		return rs, nil
	}
	set, err := e.cfg.Sets(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	next := &ruleset{revision: b.Rules, digest: set.Digest()}
	if rs != nil && rs.digest == next.digest {
		next.set = rs.set // it decides the same, and is compiled
	} else {
		next.set = set.Only(e.feeds...)
		if rs != nil {
			next.set = next.set.After(rs.set)
		}
	}
	e.rules.Store(next)
	e.ask = false
	return next, nil
}

// flush has the sinks that buffer commit what they have. After a dead letter they must not stay behind it: what they
// only hold is judged again after a crash, and if that is by other rules, a letter could be due where letters have been
// answered for.
func (e *Engine) flush(ctx context.Context) error {
	for _, feed := range e.feeds {
		if sink, ok := e.cfg.Sinks[feed].(Flusher); ok {
			if err := sink.Flush(ctx); err != nil {
				return fmt.Errorf("feed %s: %w", feed, err)
			}
		}
	}
	return nil
}

// deadly returns the first error whose rule says dead_letter.
func deadly(errs []cdc.RuleError) cdc.RuleError {
	for _, e := range errs {
		if e.OnError == cdc.DeadLetter {
			return e
		}
	}
	return cdc.RuleError{}
}

func delivers(matches []cdc.RuleMatch, feed string) bool {
	for i := range matches {
		if slices.Contains(matches[i].To, feed) {
			return true
		}
	}
	return false
}
