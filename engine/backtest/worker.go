package backtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// worker judges batches and remembers what came of them. Only what progress reads is guarded: by mu, for each batch.
type worker struct {
	t *trial

	mu                    sync.Mutex // guards what progress reads
	read, matched, errors uint64
	seq                   uint64
	first, last           time.Time

	seen                  map[judged]uint64 // changes by table and operation
	tables                map[*cdc.Table]string
	rows                  *sketch
	days                  map[int64]*Day
	rules                 []finding
	feeds                 map[string]*volumes
	draftTime, activeTime time.Duration

	draftFilters, activeFilters *engine.Filters
	draftLookers, activeLookers *engine.Lookers // nil: nobody is asked

	looks      map[string]bool // names of rules that look something up
	frame      uint64          // whose changes are judged
	untimed    context.Context // of what is being judged, without the time that a rule gives a look-up
	unrecorded uint64          // changes with look-ups of which it is not known what was found

	// scratch
	draft, active []cdc.Decision
	before        []cdc.Decision // the draft's, before anything was looked up
	marks         []mark
	event         uint64 // number of the event in this worker, for marks
}

// judged is a table, by name, and an operation.
type judged struct {
	table string
	op    cdc.Op
}

// finding is what became of one rule.
type finding struct {
	matched, errors, same, changed, added, lost uint64
	filter                                      Filter
	rows                                        *sketch
	days                                        map[int64]*Day
	examples                                    map[string][]kept
}

// kept is an example with what decides whether it stays: of all candidates the smallest, by rank, which is a sample without
// a bias, and the same however the work was divided.
type kept struct {
	Example
	rank uint64
}

// compare orders examples. Changes that come as JSON may all have the same number.
func (k kept) compare(o kept) int {
	return cmp.Or(cmp.Compare(k.rank, o.rank), bytes.Compare(k.Event, o.Event))
}

// mark says what a rule of the draft made of the event that is being compared.
type mark struct {
	event  uint64
	change string
	edits  *cdc.Edits
}

// volumes is what a feed would get.
type volumes struct{ draft, active volume }

// Memory that all sketches of a back-test may take, in hashes of about 40 bytes, and what one has at least and at most.
const (
	sketchBudget = 1 << 20
	sketchLeast  = 256
	sketchMost   = 1 << 16
)

func newWorker(t *trial) *worker {
	w := &worker{t: t, seen: map[judged]uint64{}, tables: map[*cdc.Table]string{}, days: map[int64]*Day{}, feeds: map[string]*volumes{},
		marks: make([]mark, len(t.number)), draftFilters: engine.NewFilters(t.cfg.Filter), activeFilters: engine.NewFilters(t.cfg.Filter)}
	if t.cfg.Lookup != nil {
		w.draftLookers, w.activeLookers = engine.NewLookers(w), engine.NewLookers(w)
	}
	w.looks = map[string]bool{}
	for _, r := range slices.Concat(t.draft.LookingUp(), t.active.LookingUp()) {
		w.looks[r.Name] = true
	}
	k := sketchBudget / t.cfg.Workers / (len(t.number) + 2*len(t.cfg.Feeds) + 1)
	k = min(max(k, sketchLeast), sketchMost)
	w.rows = newSketch(k)
	for range t.number {
		w.rules = append(w.rules, finding{rows: newSketch(k), days: map[int64]*Day{}, examples: map[string][]kept{}})
	}
	for feed := range t.cfg.Feeds {
		w.feeds[feed] = &volumes{volume{spans: newSketch(k)}, volume{spans: newSketch(k)}}
	}
	return w
}

// run judges batches until there are no more of them, or it fails.
func (w *worker) run(ctx context.Context, work <-chan *cdc.Batch) (err error) {
	defer func() { err = errors.Join(err, w.draftFilters.Close(), w.activeFilters.Close()) }()
	if err := w.draftFilters.Use(ctx, w.t.draft); err != nil {
		return err
	}
	if err := w.activeFilters.Use(ctx, w.t.active); err != nil {
		return err
	}
	if w.draftLookers != nil {
		if err := errors.Join(w.draftLookers.Use(w.t.draft), w.activeLookers.Use(w.t.active)); err != nil {
			return err
		}
	}
	for b := range work {
		w.frame = b.Seq
		for i := 0; i < b.Len(); {
			if i, err = w.judgeSome(ctx, b, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeSome judges some events from the i-th on by both sets, one set after the other so that their times can be told apart. It
// returns where to go on: before what matched takes much memory, however many rules there are.
func (w *worker) judgeSome(ctx context.Context, b *cdc.Batch, i int) (next int, err error) {
	const most = 10_000 // matches and errors at once
	w.draft, w.active = w.draft[:0], w.active[:0]
	var first, last time.Time
	began := time.Now()
	for found := 0; i < b.Len() && found < most; i++ {
		e := b.Event(i)
		at := e.CommitTime()
		if !w.t.cfg.From.IsZero() && at.Before(w.t.cfg.From) || !w.t.cfg.To.IsZero() && !at.Before(w.t.cfg.To) {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		d := w.t.draft.Decide(e)
		found += len(d.Matches) + len(d.Errors)
		w.draft = append(w.draft, d)
	}
	if err := w.draftFilters.Judge(ctx, w.draft, w.count); err != nil {
		return i, err
	}
	w.before = append(w.before[:0], w.draft...)
	known, err := w.lookUp(ctx, w.draftLookers, w.draft)
	if err != nil {
		return i, err
	}
	between := time.Now()
	for n := range w.draft {
		w.active = append(w.active, w.t.active.Decide(w.draft[n].Event))
	}
	if err := w.activeFilters.Judge(ctx, w.active, nil); err != nil {
		return i, err
	}
	if known { // both are judged with look-ups, or none, so that they can be compared
		if known, err = w.lookUp(ctx, w.activeLookers, w.active); err != nil {
			return i, err
		}
	}
	if !known {
		copy(w.draft, w.before)
		w.unrecorded += w.lookingUp()
	}
	w.draftTime += between.Sub(began)
	w.activeTime += time.Since(between)

	var matched, errors uint64
	for n := range w.draft {
		d, a := &w.draft[n], &w.active[n]
		w.seen[judged{w.table(d.Event.Table()), d.Event.Op()}]++
		if len(d.Matches) > 0 {
			matched++
		}
		if len(d.Errors) > 0 {
			errors++
		}
		if len(d.Matches)+len(d.Errors)+len(a.Matches) > 0 {
			w.compare(d, a)
		}
	}
	read := uint64(len(w.draft))
	clear(w.draft) // so that no batch is kept alive
	clear(w.active)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.read, w.matched, w.errors = w.read+read, w.matched+matched, w.errors+errors
	w.seq = max(w.seq, b.Seq)
	w.during(first, last)
	return i, nil
}

// count counts a verdict of a plugin of the draft.
func (w *worker) count(r *rules.Rule, _ int, v *cdc.Verdict) {
	f := &w.rules[w.t.number[r.Name]].filter
	f.Asked++
	switch {
	case v.Err != nil:
		f.Failed++
	case !v.Keep:
		f.Dropped++
	default:
		f.Kept++
		if v.Edits != nil {
			f.Edited++
		}
	}
}

// sameEdits reports whether two matches are delivered the same.
func sameEdits(a, b *cdc.Edits) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Reason == b.Reason && slices.Equal(a.Columns, b.Columns) && slices.Equal(a.Tags, b.Tags) && slices.Equal(a.To, b.To)
}

func (w *worker) during(first, last time.Time) {
	if !first.IsZero() && (w.first.IsZero() || first.Before(w.first)) {
		w.first = first
	}
	if last.After(w.last) {
		w.last = last
	}
}

func (w *worker) table(t *cdc.Table) string {
	name, ok := w.tables[t]
	if !ok {
		if len(w.tables) >= 10_000 { // batches that were opened without a cdc.Tables have tables of their own
			clear(w.tables)
		}
		name = t.String()
		w.tables[t] = name
	}
	return name
}

// compare notes what the two sets made of one event.
func (w *worker) compare(d, a *cdc.Decision) {
	w.event++
	row := rowHash(d.Event)
	day := d.Event.CommitTime().Unix()
	if day < 0 {
		day -= secondsPerDay - 1
	}
	day /= secondsPerDay
	for i := range d.Matches {
		m := &d.Matches[i]
		n := w.t.number[m.Name]
		w.marks[n] = mark{w.event, m.Change, m.Edits}
		f := &w.rules[n]
		f.matched++
		f.rows.add(row)
		dayOf(f.days, day).Matched++
	}
	if len(d.Matches) > 0 {
		w.rows.add(row)
		dayOf(w.days, day).Matched++
	}
	var added, lost bool
	for i := range a.Matches {
		m := &a.Matches[i]
		n := w.t.number[m.Name]
		f := &w.rules[n]
		switch {
		case w.marks[n].event != w.event:
			lost = true
			f.lost++
			dayOf(f.days, day).Lost++
			w.keep(f, d, Example{Kind: Lost, Was: m.Change})
		case w.marks[n].change != m.Change || !sameEdits(w.marks[n].edits, m.Edits):
			f.changed++
			w.keep(f, d, Example{Kind: Changed, Change: w.marks[n].change, Was: m.Change})
		default:
			f.same++
			w.keep(f, d, Example{Kind: Same, Change: m.Change, Was: m.Change})
		}
		w.marks[n] = mark{} // met
	}
	for i := range d.Matches {
		m := &d.Matches[i]
		if n := w.t.number[m.Name]; w.marks[n].event == w.event {
			added = true
			f := &w.rules[n]
			f.added++
			dayOf(f.days, day).Added++
			w.keep(f, d, Example{Kind: Added, Change: m.Change})
		}
	}
	for i := range d.Errors {
		e := &d.Errors[i]
		f := &w.rules[w.t.number[e.Rule.Name]]
		f.errors++
		dayOf(f.days, day).Errors++
		w.keep(f, d, Example{Kind: Failed, Error: e.Err.Error()})
	}
	all := dayOf(w.days, day)
	if added {
		all.Added++
	}
	if lost {
		all.Lost++
	}
	if len(d.Errors) > 0 {
		all.Errors++
	}
	for name, f := range w.feeds {
		f.draft.add(name, d, w.t.cfg.Feeds[name].Every)
		f.active.add(name, a, w.t.cfg.Feeds[name].Every)
	}
}

func dayOf(days map[int64]*Day, day int64) *Day {
	d := days[day]
	if d == nil {
		d = &Day{}
		days[day] = d
	}
	return d
}

// rowHash hashes what tells rows apart: table and primary key, or all columns of a table without one. An update that
// changes the key is about the row that it leaves behind.
func rowHash(e cdc.Event) uint64 {
	row := e.Before()
	if !row.Exists() {
		row = e.After()
	}
	h := newHasher()
	t := e.Table()
	h.text(t.Schema)
	h.text(t.Name)
	add := func(i int) {
		v := row.Value(i)
		h.number(uint64(v.Kind()))
		h.number(v.Uint64())
		h.text(v.Text())
	}
	for _, i := range t.Key() {
		add(i)
	}
	if len(t.Key()) == 0 {
		for i := range row.Len() {
			add(i)
		}
	}
	return h.sum()
}

// keep makes the event an example of a rule, if it is among those to be kept.
func (w *worker) keep(f *finding, d *cdc.Decision, x Example) {
	no := d.Event.No()
	rank := mix(no)
	have := f.examples[x.Kind]
	if most := w.t.cfg.Examples; most < 1 || len(have) == most && rank > have[most-1].rank {
		return
	}
	x.ID, x.No, x.Event = d.Event.ID(), no, cdc.AppendEvent(nil, d.Event)
	one := kept{x, rank}
	at, _ := slices.BinarySearchFunc(have, one, kept.compare)
	have = slices.Insert(have, at, one)
	f.examples[x.Kind] = have[:min(len(have), w.t.cfg.Examples)]
}

// lookUp takes what is looked up into the decisions. It reports false, and leaves them alone, if that is not known.
func (w *worker) lookUp(ctx context.Context, ls *engine.Lookers, ds []cdc.Decision) (known bool, err error) {
	if ls == nil {
		return true, nil
	}
	w.untimed = ctx
	err = ls.LookUp(ctx, ds)
	w.untimed = nil
	if errors.Is(err, ErrNotRecorded) || cdc.CodeOf(err) == lateCode {
		return false, nil
	}
	return err == nil, err
}

// lateCode is of a rule that waits for what came too late for a rule that did not: what it would have found is not known.
const lateCode = "CDCD-2240"

// LookUp implements [engine.Lookups] for the frame that is judged. How long a rule waits says nothing about reading what is recorded.
func (w *worker) LookUp(_ context.Context, q *cdc.Query) (*cdc.Answer, error) {
	return w.t.cfg.Lookup(w.untimed, w.frame, q)
}

// lookingUp counts the changes for which a rule of either set looks something up.
func (w *worker) lookingUp() (n uint64) {
	looks := func(m cdc.RuleMatch) bool { return w.looks[m.Name] }
	for i := range w.draft {
		if slices.ContainsFunc(w.draft[i].Matches, looks) || slices.ContainsFunc(w.active[i].Matches, looks) {
			n++
		}
	}
	return n
}

// merge adds what another worker found.
func (w *worker) merge(o *worker) {
	w.unrecorded += o.unrecorded
	w.read, w.matched, w.errors = w.read+o.read, w.matched+o.matched, w.errors+o.errors
	w.seq = max(w.seq, o.seq)
	w.during(o.first, o.last)
	for k, n := range o.seen {
		w.seen[k] += n
	}
	w.rows.merge(o.rows)
	mergeDays(w.days, o.days)
	for i := range w.rules {
		w.rules[i].merge(&o.rules[i], w.t.cfg.Examples)
	}
	for feed, f := range w.feeds {
		f.draft.merge(&o.feeds[feed].draft)
		f.active.merge(&o.feeds[feed].active)
	}
	w.draftTime, w.activeTime = w.draftTime+o.draftTime, w.activeTime+o.activeTime
}

func (f *finding) merge(o *finding, examples int) {
	f.matched, f.errors, f.same, f.changed = f.matched+o.matched, f.errors+o.errors, f.same+o.same, f.changed+o.changed
	f.added, f.lost = f.added+o.added, f.lost+o.lost
	f.filter.add(&o.filter)
	f.rows.merge(o.rows)
	mergeDays(f.days, o.days)
	for kind, more := range o.examples {
		all := append(f.examples[kind], more...)
		slices.SortFunc(all, kept.compare)
		f.examples[kind] = all[:min(len(all), examples)]
	}
}

func mergeDays(days, more map[int64]*Day) {
	for day, m := range more {
		d := dayOf(days, day)
		d.Matched, d.Added, d.Lost, d.Errors = d.Matched+m.Matched, d.Added+m.Added, d.Lost+m.Lost, d.Errors+m.Errors
	}
}
