package wasm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Filter is a plugin that runs with the configuration of a rule. It is used by one goroutine at a time.
type Filter struct {
	mu       sync.Mutex // closing it while it judges would take its memory away
	plugin   *Plugin
	instance *instance
	tables   map[*cdc.Table]*projection
	part     part
	answer   answer
	size     int   // events to offer at once: fewer after a failure in the batch
	used     int64 // fuel, by the last Judge

	judged   int64     // events
	failures []fault   // the last ones
	restarts []restart // the last ones
	broken   error     // it is quarantined
	closed   bool
}

// restart is what it took to start the plugin anew while a part of a batch was judged.
type restart struct {
	fault // the first change of the part
	fuel  int64
}

// maxRestarts is how much of the fuel of a start all restarts of the last Window changes may take.
const maxRestarts = 10

// fault is a change that the plugin failed on.
type fault struct {
	at        int64  // events judged before it
	epoch, no uint64 // that tell it apart
}

func newFilter(p *Plugin, i *instance) *Filter {
	f := &Filter{plugin: p, instance: i, tables: map[*cdc.Table]*projection{}, size: maxEvents}
	f.part.filter = f
	f.answer.filter = f
	return f
}

// Check says whether the plugin can judge changes of the table: whether it is one of its tables, and has the columns that it reads. The
// error has code CDCD-2507.
func (f *Filter) Check(t *cdc.Table) error { return f.plugin.Check(t) }

// Check is [Filter.Check], for a plugin that does not run yet.
func (p *Plugin) Check(t *cdc.Table) error {
	if err := p.manifest.serves(t); err != nil {
		return cdc.Errorf("CDCD-2507", "plugin %s: %w", p.label, err).
			WithFix("name the tables of the rule that has the filter, or declare the column as optional in the plugin's manifest")
	}
	return nil
}

// Fuel returns what the last Judge has used.
func (f *Filter) Fuel() int64 { return f.used }

// Close ends the instance.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	f.instance.close()
	f.plugin.stats.instances.Add(-1)
	f.plugin.release()
	return nil
}

// Judge fills in a verdict for each event. The events are of one batch, in its order; verdicts has their length. What is wrong with one
// event is its verdict's Err: a [*Trap], or CDCD-2507 for a table that the plugin cannot judge. An error of Judge is of the world, and the
// events are to be offered again: the context's, CDCD-2540 the plugin is quarantined, CDCD-2541 it took too long, CDCD-2542 there is no
// memory.
//
// An event fails only if it does when it is judged alone, in the pristine state.
func (f *Filter) Judge(ctx context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = 0
	f.size = maxEvents // a batch that is offered again is cut in the same way
	switch {
	case f.closed:
		return errors.New("wasm: the filter is closed")
	case f.broken != nil:
		return f.broken
	}
	defer f.part.forget()
	if err := f.judgeAll(ctx, events, verdicts); err != nil { // nothing of it counts: all of it is offered again
		f.instance.tally.reset()
		return err
	}
	f.instance.tally.batches = 1
	if f.part.skipped {
		f.countSkipped(verdicts)
	}
	f.instance.settleUp()
	return f.broken
}

// Release has a plugin asked again that is in quarantine, as if it had not failed.
func (f *Filter) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken, f.failures, f.restarts = nil, nil, nil
}

func (f *Filter) judgeAll(ctx context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	if f.instance.module == nil { // it could not be brought back the last time
		if err := f.instance.restore(ctx); err != nil {
			return err
		}
	}
	f.answer.copied = 0
	for at := 0; at < len(events) && f.broken == nil; { // of a batch that breaks it nothing counts
		if ctx.Err() != nil { // a call may take no time, and beginning again after each a lot
			return context.Cause(ctx)
		}
		deadline := f.plugin.host.now().Add(f.plugin.limits.Wall)
		first, starts := f.faultOf(f.judged, events[at]), f.instance.starts
		done, err := f.judge(ctx, deadline, events[at:], verdicts[at:])
		if err != nil {
			return err
		}
		f.restarted(restart{first, f.instance.starts - starts})
		if f.answer.copied > maxCopied {
			return f.answer.tooMuch()
		}
		at += done
	}
	return nil
}

// countSkipped counts the events of tables that the plugin cannot judge.
func (f *Filter) countSkipped(verdicts []cdc.Verdict) {
	for _, v := range verdicts {
		if _, skipped := v.Err.(*cdc.Error); skipped {
			f.instance.tally.events++
			f.instance.tally.errors++
		}
	}
}

// judge judges some of the events, and returns how many.
func (f *Filter) judge(ctx context.Context, deadline time.Time, events []cdc.Event, verdicts []cdc.Verdict) (done int, err error) {
	p := &f.part
	done = p.fill(events, verdicts, f.size)
	offered := len(p.events)
	if offered == 0 {
		return done, nil
	}
	failed, err := f.offer(ctx, deadline, verdicts)
	if err != nil {
		return 0, err
	}
	if failed == nil {
		f.size = min(2*f.size, maxEvents)
		return done, nil
	}
	blamed := p.index[failed.judged]
	if err := f.instance.restore(ctx); err != nil {
		return 0, err
	}
	switch {
	case failed.final:
		f.blame(events[blamed], &verdicts[blamed], failed.trap)
		return blamed + 1, nil
	case failed.lie && offered > 1:
		f.size = offered / 2
		return 0, nil
	case failed.unsure > 0:
		f.size = failed.unsure
		return 0, nil
	case failed.spent && failed.judged > 0:
		f.size = failed.judged
		return blamed, nil
	}
	return f.alone(ctx, deadline, failed, events, verdicts, blamed, offered)
}

// failure is a call that did not judge all that it was given.
type failure struct {
	trap   *Trap
	judged int  // events before the one to blame: their verdicts stand
	unsure int  // events before the one to blame whose verdicts do not stand, as it is not known what they used
	lie    bool // nothing that it answered can be believed
	spent  bool // it was just too much for one call
	final  bool // there was one event, and the plugin was in its pristine state
}

// alone finds out whether the change is to blame: it is judged alone, in the pristine state.
func (f *Filter) alone(ctx context.Context, deadline time.Time, failed *failure, events []cdc.Event, verdicts []cdc.Verdict,
	blamed, offered int) (done int, err error) {
	f.plugin.stats.retried.Add(1)
	f.part.fill(events[blamed:], verdicts[blamed:], 1)
	again, err := f.offer(ctx, deadline, verdicts[blamed:])
	if err != nil {
		return 0, err
	}
	if again == nil { // the state was to blame, or the cursor is not what it says: others may be to blame
		f.size = max(1, offered/2)
		return blamed + 1, nil
	}
	f.size = maxEvents
	f.blame(events[blamed], &verdicts[blamed], again.trap)
	return blamed + 1, f.instance.restore(ctx)
}

// blame says that the plugin cannot judge an event.
func (f *Filter) blame(e cdc.Event, verdict *cdc.Verdict, trap *Trap) {
	*verdict = cdc.Verdict{Err: trap}
	t := &f.instance.tally
	t.trap(trap.Kind)
	t.errors++
	t.events++
	f.fail(f.judged, e)
	f.judged++
}

// fail counts an event that the plugin has failed on, and opens the circuit if there are too many. An event that is offered again, since
// the world was not ready for what came of its batch, counts once.
func (f *Filter) fail(at int64, e cdc.Event) {
	l := &f.plugin.limits
	if l.Failures < 0 || f.broken != nil {
		return
	}
	one := f.faultOf(at, e)
	f.failures = append(slices.DeleteFunc(f.failures, one.again), one)
	if len(f.failures) <= l.Failures {
		return
	}
	first := f.failures[0]
	f.failures = f.failures[:copy(f.failures, f.failures[1:])]
	if one.at-first.at < int64(l.Window) {
		f.quarantine("it has failed on more than %d of the last %d changes", l.Failures, l.Window)
	}
}

func (f *Filter) faultOf(at int64, e cdc.Event) fault {
	return fault{at, e.Batch().Header().Epoch, e.No()}
}

// again reports whether the other is the same change, offered before.
func (f fault) again(o fault) bool { return o.epoch == f.epoch && o.no == f.no }

// restarted counts what it took to start the plugin anew, and opens the circuit if that is too much: a start may take seconds, whether a
// change is to blame in the end or not.
func (f *Filter) restarted(one restart) {
	l := &f.plugin.limits
	if one.fuel == 0 || l.Failures < 0 || f.broken != nil {
		return
	}
	f.restarts = append(slices.DeleteFunc(f.restarts, func(o restart) bool { return one.again(o.fault) || f.judged-o.at > int64(l.Window) }), one)
	sum := int64(0)
	for _, r := range f.restarts {
		sum += r.fuel
	}
	if sum > maxRestarts*l.Start {
		f.quarantine("to start it anew after failures has taken more than %d units of fuel within the last %d changes", maxRestarts*l.Start, l.Window)
	}
}

// quarantine opens the circuit: the plugin is not asked any more.
func (f *Filter) quarantine(why string, args ...any) {
	f.plugin.stats.quarantined.Add(1)
	f.broken = cdc.Errorf("CDCD-2540", "plugin %s is quarantined: "+why, append([]any{f.plugin.label}, args...)...).
		WithFix("see why with: cdcd plugin list; publish a version that is mended, or choose a fallback in the rule's filter")
}

// offer has the part judged, and takes down the verdicts. The error is of the world; the instance is pristine after it.
func (f *Filter) offer(ctx context.Context, deadline time.Time, verdicts []cdc.Verdict) (*failure, error) {
	i, p := f.instance, &f.part
	began := f.plugin.host.now()
	budget, watch := f.plugin.limits.BatchFuel, true
	if len(p.events) == 1 {
		budget, watch = f.plugin.limits.Fuel, false
	}
	last := i.fresh && len(p.events) == 1
	i.begin(ctx, budget, deadline, watch)
	i.source, i.count = p, len(p.events)
	err := i.offer(p.frame)
	used := i.used()
	f.used += used
	if s := i.overdrawn(used); s != nil && err == nil {
		err = s
	}
	var failed *failure
	if err != nil {
		trap, world := i.trap(err)
		if world != nil {
			i.source = nil
			if err := i.restore(context.WithoutCancel(ctx)); err != nil {
				return nil, errors.Join(world, err)
			}
			return nil, world
		}
		failed = &failure{trap: trap, lie: trap.Kind == TrapAnswer, spent: i.spent}
		if !failed.lie {
			failed.judged = i.blamed(trap)
			if failed.judged >= len(p.events) {
				f.lie(failed, "it failed with the cursor at %d of %d events", failed.judged, len(p.events))
			} else if !exact(err) {
				failed.judged, failed.unsure = 0, failed.judged // the last of them may have used more than one may: they are judged without what traps
			}
		}
	} else if c := i.cursor(); int(c) != len(p.events) {
		failed = &failure{}
		f.lie(failed, "it returned with the cursor at %d of %d events", c, len(p.events))
	}
	judged := len(p.events)
	if failed != nil {
		judged = failed.judged
	}
	if what := f.answer.read(judged, failed == nil, verdicts); what != "" {
		if failed == nil {
			failed = &failure{}
		}
		f.lie(failed, "%s", what)
		judged = 0
	}
	counts := judged
	if failed != nil {
		failed.trap.Fuel, failed.final = used, last
		if last {
			counts = 1 // what it wrote before it failed is all that there is to read
		}
	}
	i.commit(uint32(counts))
	i.source = nil
	f.plugin.stats.call(judged, used, f.plugin.host.now().Sub(began))
	return failed, nil
}

// blamed returns the number of the event that a trap is to blame on.
func (i *instance) blamed(t *Trap) int {
	switch {
	case i.late:
		return int(i.at)
	case !i.watch && t.Kind == TrapFuel: // also if it was done, but for coming back
		return 0
	}
	return int(i.cursor())
}

// lie makes a failure one of which nothing can be believed.
func (f *Filter) lie(failed *failure, format string, args ...any) {
	failed.trap = f.plugin.trap(&Trap{Kind: TrapAnswer}, "CDCD-2511", "its answer is broken: "+format, args...)
	failed.lie, failed.judged, failed.spent = true, 0, false
}
