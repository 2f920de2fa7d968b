package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

// Filter judges changes that a rule's condition let through.
type Filter interface {
	// Judge fills in a verdict for each event. The events are of one batch, in its order, at most as many as it has; verdicts
	// has their length, and is zero. What is wrong with one event is its verdict's Err; an error is of the world: the batch is
	// offered again, unless the rule only watches. If it is CDCD-2540, the filter is in quarantine and the rule's fallback says
	// what becomes of the events.
	// It is called by one goroutine at a time and must not keep the slices.
	Judge(ctx context.Context, events []cdc.Event, verdicts []cdc.Verdict) error
}

// Filters are the filters of the rule set that is in use: [Engine] has some of its own, and who judges without one can do
// it as the engine does. They are for one goroutine.
type Filters struct {
	open  func(context.Context, *rules.Rule) (Filter, error)
	known map[string]Filter // by the rule's version
	inUse []inUse           // in the order of the rules
	names map[string]int    // index in inUse, by the rule's name

	// scratch of Judge, reused
	verdicts []cdc.Verdict
	room     matchRoom
}

type inUse struct {
	rule   *rules.Rule
	filter Filter

	// candidates, reused
	events []cdc.Event
	at     []int // the index of each in the decisions
}

// NewFilters returns filters that open makes, once for each rule that comes into use.
func NewFilters(open func(context.Context, *rules.Rule) (Filter, error)) *Filters {
	return &Filters{open: open, known: map[string]Filter{}}
}

// Use makes the filters those of the set's rules. Those of rules that were in use already, in the same version, stay; those
// that go are closed, if they are an io.Closer, before others are opened: there may be no memory for both. After an error none
// is in use, and it is to be called again. That a filter cannot be had is no error if its rule only watches: the rule fails on
// every event then, until the filter can be had.
func (fs *Filters) Use(ctx context.Context, set *rules.Set) error {
	fs.inUse, fs.names = nil, nil
	if err := fs.closeOthers(set.Filters()); err != nil {
		return err
	}
	var next []inUse
	names := map[string]int{}
	for _, r := range set.Filters() {
		f, ok := fs.known[r.Version]
		if !ok {
			if fs.open == nil {
				return fmt.Errorf("rule %s has a filter, plugin %s, and there is nobody to ask for it", r.Name, r.Filter.Plugin)
			}
			var err error
			switch f, err = fs.open(ctx, r); {
			case err == nil:
				fs.known[r.Version] = f // also if a later one fails: it will be needed when that does not
			case r.Mode == rules.Shadow && ctx.Err() == nil:
				f = &missing{err: err, again: firstAgain}
			default:
				return fmt.Errorf("rule %s: plugin %s: %w", r.Name, r.Filter.Plugin, err)
			}
		}
		names[r.Name] = len(next)
		next = append(next, inUse{rule: r, filter: f})
	}
	fs.inUse, fs.names = next, names
	return nil
}

// closeOthers closes the filters that none of the rules has.
func (fs *Filters) closeOthers(rs []*rules.Rule) error {
	var errs []error
	for version, f := range fs.known {
		if slices.ContainsFunc(rs, func(r *rules.Rule) bool { return r.Version == version }) {
			continue
		}
		delete(fs.known, version)
		if c, ok := f.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// Close closes all filters.
func (fs *Filters) Close() error {
	fs.inUse, fs.names = nil, nil
	return fs.closeOthers(nil)
}

// Judge puts the matches of rules with a filter to it, and takes its verdicts into the decisions, which are of one batch and
// in its order. Decisions may be left without matches and errors. tell, if it is not nil, is told of each verdict, with the
// index of the decision. After an error the decisions are as they were.
func (fs *Filters) Judge(ctx context.Context, ds []cdc.Decision, tell func(r *rules.Rule, d int, v *cdc.Verdict)) error {
	if len(fs.inUse) == 0 {
		return nil
	}
	defer fs.forget()
	asked := 0
	for i := range ds {
		for k := range ds[i].Matches {
			if n, ok := fs.names[ds[i].Matches[k].Name]; ok {
				u := &fs.inUse[n]
				u.events, u.at = append(u.events, ds[i].Event), append(u.at, i)
				asked++
			}
		}
	}
	// All are asked before the first verdict counts, so that an error leaves nothing half done.
	fs.verdicts = append(fs.verdicts[:0], make([]cdc.Verdict, asked)...)
	rest := fs.verdicts
	for i := range fs.inUse {
		u := &fs.inUse[i]
		if m, ok := u.filter.(*missing); ok {
			fs.find(ctx, u, m)
		}
		if len(u.events) == 0 {
			continue
		}
		if err := u.judge(ctx, rest[:len(u.events):len(u.events)]); err != nil {
			return fmt.Errorf("rule %s: plugin %s: %w", u.rule.Name, u.rule.Filter.Plugin, err)
		}
		rest = rest[len(u.events):]
	}
	fs.room.reset(len(ds))
	rest = fs.verdicts
	for i := range fs.inUse {
		u := &fs.inUse[i]
		for k, at := range u.at {
			v := &rest[k]
			v.Keep, v.Err = fs.take(u.rule, &ds[at], *v, at)
			if tell != nil {
				tell(u.rule, at, v)
			}
		}
		rest = rest[len(u.at):]
	}
	return nil
}

// forget lets go of the events and of what the verdicts hold.
func (fs *Filters) forget() {
	for i := range fs.inUse {
		u := &fs.inUse[i]
		clear(u.events)
		u.events, u.at = u.events[:0], u.at[:0]
	}
	clear(fs.verdicts)
}

// CodeQuarantined is the code of a filter that has failed so often that it is not asked any more.
const CodeQuarantined = "CDCD-2540"

// judge asks the filter, and does what the rule wants done when it is in quarantine. A rule that only watches must not stop
// anything, so what is wrong with the world is an error of its events.
func (u *inUse) judge(ctx context.Context, verdicts []cdc.Verdict) error {
	err := u.filter.Judge(ctx, u.events, verdicts)
	if err == nil {
		return nil
	}
	var v cdc.Verdict
	var own *cdc.Error
	fallback := rules.FallbackHalt
	if errors.As(err, &own) && own.Code == CodeQuarantined {
		fallback = u.rule.Filter.Fallback
	}
	switch {
	case fallback == rules.FallbackPass:
		v.Keep = true
	case fallback == rules.FallbackDeadLetter:
		v.Err = setAside{err}
	case fallback == rules.FallbackDrop:
	case u.rule.Mode == rules.Shadow && ctx.Err() == nil:
		v.Err = err
	default:
		return err
	}
	for i := range verdicts {
		verdicts[i] = v
	}
	return nil
}

// missing is the filter of a rule that only watches and whose plugin cannot be had.
type missing struct {
	err   error
	away  int // batches
	again int // when it has been away for so many, it is tried again
}

// firstAgain is after how many batches a missing filter is tried again first. Each time it is twice as many: to try may take
// seconds, and what keeps it away, such as that there is no memory, may pass soon, or never.
const firstAgain = 8

// find tries again to open a filter that is missing, if it is its time and there is something to judge.
func (fs *Filters) find(ctx context.Context, u *inUse, m *missing) {
	if len(u.events) > 0 && m.away >= m.again {
		f, err := fs.open(ctx, u.rule)
		if err == nil {
			fs.known[u.rule.Version], u.filter = f, f
			return
		}
		if ctx.Err() == nil {
			m.err, m.again = err, 2*m.away
		}
	}
	m.away++
}

// Judge implements [Filter].
func (m *missing) Judge(context.Context, []cdc.Event, []cdc.Verdict) error { return m.err }

// setAside is an error for which the rule's fallback says dead_letter, whatever its on_error is.
type setAside struct{ error }

func (e setAside) Unwrap() error { return e.error }

// take takes a verdict into a decision, and returns what came of it. The slices of a decision are shared with others until
// they are changed.
func (fs *Filters) take(r *rules.Rule, d *cdc.Decision, v cdc.Verdict, number int) (kept bool, err error) {
	if v.Err == nil && v.Keep && v.Edits == nil {
		return true, nil
	}
	i := slices.IndexFunc(d.Matches, func(m cdc.RuleMatch) bool { return m.Name == r.Name })
	m, kept, err := r.Take(d.Matches[i], v)
	if err != nil {
		failed := cdc.RuleError{Rule: d.Matches[i], OnError: r.OnError, Err: err}
		if _, ok := err.(setAside); ok {
			failed.OnError = cdc.DeadLetter
		}
		if r.Mode == rules.Shadow {
			failed.OnError = cdc.Skip
		}
		d.Errors = append(slices.Clip(d.Errors), failed)
	}
	fs.room.settle(d, i, m, kept, number)
	return kept, err
}
