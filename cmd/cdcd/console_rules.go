package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// ruleWorld is what rules are checked against and tried on. It is asked at each keystroke, so what is known for a moment is said
// again, and looked up beside.
type ruleWorld struct {
	mu      sync.Mutex // guards what follows
	known   rules.Known
	err     error
	at      time.Time
	asking  bool
	changes map[string]*seenChanges // by the names of tables
	read    map[string]readFields   // of rules in force, by name
}

type readFields struct {
	revision uint64
	fields   api.Fields
}

type seenChanges struct {
	at     time.Time
	asking bool
	events []cdc.Event
	err    error
	ready  chan struct{} // closed when there is something
}

const (
	knownFor = 5 * time.Second
	seenFor  = time.Second
)

// Rules implements console.Rules.
func (d *consoleDesk) Rules(ctx context.Context, name string, revision uint64) (api.RuleList, error) {
	if revision > 0 {
		return d.ruleAt(ctx, name, revision)
	}
	list, err := d.p.desk.list(ctx, name)
	if err != nil {
		return api.RuleList{}, err
	}
	for i := range list.Rules {
		for _, line := range list.Rules[i].Samples {
			list.Rules[i].Lines = append(list.Rules[i].Lines, string(line))
		}
		list.Rules[i].Samples = nil
	}
	if name == "" {
		st, err := d.p.desk.state(ctx, 0)
		if err != nil {
			return api.RuleList{}, err
		}
		d.world.withFields(list.Rules, st.Rules)
	}
	return *list, nil
}

// withFields puts into a list what its rules say. Reading a text takes its time, and a list is asked for often: what was read is kept
// until the rule has another revision.
func (w *ruleWorld) withFields(list []api.Rule, stored map[string]bus.StoredRule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	read := make(map[string]readFields, len(list))
	for i := range list {
		r := &list[i]
		have, ok := w.read[r.Rule]
		if !ok || have.revision != r.Revision {
			if stored[r.Rule].Revision.No != r.Revision {
				continue // it was published between the two questions
			}
			have = readFields{revision: r.Revision, fields: rules.ReadRuleText(stored[r.Rule].Text).Fields()}
			delete(have.fields, "tests") // they are long, and no list shows them
		}
		read[r.Rule], r.Fields = have, &have.fields
	}
	w.read = read
}

// ruleAt returns a rule as it was.
func (d *consoleDesk) ruleAt(ctx context.Context, name string, revision uint64) (api.RuleList, error) {
	st, err := d.p.desk.state(ctx, revision)
	if err != nil {
		return api.RuleList{}, err
	}
	r, err := ruleOf(st, name)
	if err != nil {
		return api.RuleList{}, err
	}
	return api.RuleList{Revision: st.Revision.No, ID: st.Revision.ID, Digest: st.Digest, Rules: []api.Rule{{Rule: r.Name, Mode: r.Mode, Version: r.Version, Plugin: r.Plugin,
		Revision: r.Revision.No, Since: r.Time, Who: r.Who, File: r.File, Text: r.Text}}}, nil
}

// Publications implements console.Rules.
func (d *consoleDesk) Publications(ctx context.Context, name string) ([]api.Publication, error) {
	return d.p.desk.history(ctx, name)
}

// Diff implements console.Rules.
func (d *consoleDesk) Diff(ctx context.Context, name string, from, to uint64) (api.RulesDiff, error) {
	a, err := d.p.desk.state(ctx, from)
	if err != nil {
		return api.RulesDiff{}, err
	}
	b, err := d.p.desk.state(ctx, to)
	if err != nil {
		return api.RulesDiff{}, err
	}
	out := api.RulesDiff{From: revisionName(a), To: revisionName(b)}
	out.Rules, err = diffStates(a, b)
	if name != "" {
		out.Rules = slices.DeleteFunc(out.Rules, func(r api.RuleDiff) bool { return r.Rule != name })
	}
	return out, err
}

// Change implements console.Rules.
func (d *consoleDesk) Change(ctx context.Context, by string, c console.RuleChange) (api.Published, error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	return d.p.desk.change(ctx, by, c)
}

// Known implements console.Trials.
func (d *consoleDesk) Known(ctx context.Context) (rules.Known, error) {
	w := &d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.at.IsZero():
		w.at = time.Now()
		w.known, w.err = d.known(ctx)
	case time.Since(w.at) > knownFor && !w.asking:
		w.asking = true
		d.work.Go(func() { // beside who asks
			known, err := d.known(d.ctx)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.known, w.err, w.at, w.asking = known, err, time.Now(), false
		})
	}
	return w.known, w.err
}

func (d *consoleDesk) known(ctx context.Context) (rules.Known, error) {
	known := rules.Known{Feeds: feedNames(d.p.cfg), About: d.about}
	described, err := d.described(ctx)
	for _, t := range described {
		if t.Captured {
			known.Tables = append(known.Tables, t.Delivered)
		} else {
			known.Looked = append(known.Looked, t.Table)
		}
	}
	known.Tables = sealedTables(d.p.cfg, known.Tables)
	if len(known.Tables) == 0 {
		known.Tables = d.p.rules.knownTables()
	}
	if len(known.Tables) > 0 {
		return known, nil
	}
	e := cdc.Errorf("CDCD-2113", "the tables of these rules are not known")
	if err != nil {
		e = cdc.Errorf("CDCD-2113", "the tables of these rules are not known: %w", err)
	}
	return known, e.WithFix("wait until the source can be reached, or something has been captured")
}

// about returns values of a column that recent changes have, each once. Nothing is read for it.
func (d *consoleDesk) about(t *cdc.Table, column string) (comment string, samples []string) {
	w := &d.world
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.changes[t.String()]
	if seen == nil {
		return "", nil
	}
	for _, e := range seen.events {
		row := e.After()
		if !row.Exists() {
			row = e.Before()
		}
		text := ""
		if i := row.Table().Column(column); i >= 0 {
			text = literal(&row.Table().Columns[i], row.Value(i))
		}
		if text != "" && !slices.Contains(samples, text) {
			samples = append(samples, text)
		}
		if len(samples) == 3 {
			break
		}
	}
	return "", samples
}

// literal writes a value as conditions do; "" for one that nobody compares with.
func literal(c *cdc.Column, v cdc.Value) string {
	const longest = 60
	if v.IsAbsent() {
		return ""
	}
	text := string(cdc.AppendJSON(nil, c, v))
	switch {
	case len(text) > longest || strings.ContainsAny(text, "{[\\") || c.Kind == cdc.KindBytes || c.Kind == cdc.KindJSON:
		return ""
	case c.Kind == cdc.KindDecimal:
		return strings.Trim(text, `"`)
	case strings.HasPrefix(text, `"`):
		return "'" + strings.ReplaceAll(strings.Trim(text, `"`), "'", `\'`) + "'"
	}
	return text
}

// Ready implements console.Trials.
func (d *consoleDesk) Ready(ctx context.Context, set *rules.Set) (*rules.Set, error) {
	set, err := d.p.plugins.pinAll(set)
	if err != nil {
		return nil, err
	}
	set = set.Asking(d.p.plugins.asks(ctx))
	if len(set.LookingUp()) > 0 && d.p.cfg.Source.MySQL != nil && len(d.p.cfg.Persons) == 0 {
		set = set.LookingIn(d.p.lookups.explains(ctx))
	}
	return set, nil
}

// Changes implements console.Trials.
func (d *consoleDesk) Changes(ctx context.Context, tables []*cdc.Table, most int) ([]cdc.Event, error) {
	w := &d.world
	key := ""
	var globs []cdc.TableGlob
	for i, t := range tables {
		if i > 0 {
			key += "\n"
		}
		key += t.String()
		g, err := cdc.ParseTableGlob(t.String())
		if err != nil {
			return nil, err
		}
		globs = append(globs, g)
	}
	deep := most > recentKept
	if deep {
		key += "\n"
	}
	w.mu.Lock()
	if w.changes == nil || len(w.changes) > 100 {
		w.changes = map[string]*seenChanges{}
	}
	seen := w.changes[key]
	if seen == nil {
		seen = &seenChanges{ready: make(chan struct{})}
		w.changes[key] = seen
	}
	if time.Since(seen.at) > seenFor && !seen.asking {
		seen.asking = true
		d.work.Go(func() { // beside who asks
			events, err := d.recentChanges(d.ctx, globs, deep)
			w.mu.Lock()
			defer w.mu.Unlock()
			first := seen.at.IsZero()
			fresh := &seenChanges{at: time.Now(), events: events, err: err, ready: make(chan struct{})}
			close(fresh.ready)
			w.changes[key] = fresh
			if seen.events, seen.err, seen.at, seen.asking = events, err, fresh.at, false; first {
				close(seen.ready)
			}
		})
	}
	w.mu.Unlock()
	select {
	case <-seen.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return newest(seen.events, most), seen.err
}

// newest returns the newest of changes, and of each operation one at least.
func newest(events []cdc.Event, most int) []cdc.Event {
	if len(events) <= most {
		return events
	}
	out := slices.Clone(events[:most])
	for _, e := range events[most:] {
		if !slices.ContainsFunc(out, func(have cdc.Event) bool { return have.Op() == e.Op() }) {
			out = append(out, e)
		}
	}
	return out
}

const mostChangesKept = 200

// recentChanges returns the newest changes of tables: those that are remembered, or more that are read.
func (d *consoleDesk) recentChanges(ctx context.Context, globs []cdc.TableGlob, deep bool) ([]cdc.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, readTakes)
	defer cancel()
	q := console.EventQuery{Tables: globs}
	known, err := d.live.Latest(ctx, q)
	if err == nil && len(known) >= recentKept && !deep {
		return known, nil
	}
	out, err := d.look()
	if err != nil {
		return nil, err
	}
	defer out()
	info, err := d.p.stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	var found []cdc.Event
	first := max(info.First, 1)
	for end, step, frames := info.Last, uint64(8), uint64(0); end >= first && end > 0 && len(found) < mostChangesKept && frames < mostFrames/4; step = min(2*step, 256) {
		begin := max(first, end-min(step, end)+1)
		var part []cdc.Event
		err := d.p.stream.Read(ctx, begin, end, func(_ context.Context, b *cdc.Batch) error {
			for i := range b.Len() {
				if e := b.Event(i); q.Wants(e) {
					part = append(part, e)
				}
			}
			if len(part) > 2*mostChangesKept {
				part = append(part[:0:0], part[len(part)-mostChangesKept:]...)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.Reverse(part)
		found = append(found, part[:min(len(part), mostChangesKept-len(found))]...)
		frames += end + 1 - begin
		end = begin - 1
	}
	for _, e := range known { // operations that are rare lie further back than was read
		if len(found) == 0 || e.No() < found[len(found)-1].No() {
			found = append(found, e)
		}
	}
	return found, nil
}

// Find implements console.Trials.
func (d *consoleDesk) Find(ctx context.Context, no uint64, id string, at time.Time) (cdc.Event, error) {
	d.world.mu.Lock()
	for _, seen := range d.world.changes {
		for _, e := range seen.events {
			if id == "" && e.No() == no {
				d.world.mu.Unlock()
				return e, nil
			}
		}
	}
	d.world.mu.Unlock()
	out, err := d.look()
	if err != nil {
		return cdc.Event{}, err
	}
	defer out()
	ctx, cancel := context.WithTimeout(ctx, 2*readTakes)
	defer cancel()
	return eventWish{No: no, ID: id, At: at}.find(ctx, d.p.stream, func(searched) {})
}

// Drafts implements console.Drafts.
func (d *consoleDesk) Drafts(ctx context.Context, author string) ([]api.RuleDraft, error) {
	return d.p.desk.listDrafts(ctx, author)
}

// Draft implements console.Drafts.
func (d *consoleDesk) Draft(ctx context.Context, author, name string) (api.RuleDraft, error) {
	return d.p.desk.draft(ctx, author, name)
}

// SaveDraft implements console.Drafts.
func (d *consoleDesk) SaveDraft(ctx context.Context, draft api.RuleDraft) (api.RuleDraft, error) {
	return d.p.desk.saveDraft(ctx, draft)
}

// DropDraft implements console.Drafts.
func (d *consoleDesk) DropDraft(ctx context.Context, author, name string, version uint64) error {
	return d.p.desk.dropDraft(ctx, author, name, version)
}

// Backtests implements console.Backtests.
func (d *consoleDesk) Backtests(context.Context) (api.Backtests, error) { return d.p.jobs.list(), nil }

// Backtest implements console.Backtests.
func (d *consoleDesk) Backtest(_ context.Context, id string) (api.Backtest, error) {
	job, err := d.p.jobs.get(id)
	return job.Backtest, err
}

// StartBacktest implements console.Backtests.
func (d *consoleDesk) StartBacktest(ctx context.Context, who string, texts []string, from, to time.Time, examples int) (api.Backtest, error) {
	wish := backtestWish{From: from, To: to, Examples: examples}
	if examples == 0 {
		wish.Examples = -1 // none; 0 would be the default
	}
	var all []*rules.Rule
	for _, text := range texts {
		t := rules.ReadRuleText(text)
		if t.Rule == nil {
			return api.Backtest{}, t.Found
		}
		all = append(all, t.Rule)
		wish.Draft = append(wish.Draft, ruleText{t.Rule.Name, t.AsFile()})
	}
	return d.p.jobs.start(wish, who, d.p.desk.schemaOf(ctx, all), time.Now())
}

// StopBacktest implements console.Backtests.
func (d *consoleDesk) StopBacktest(_ context.Context, id string) (api.Backtest, error) {
	return d.p.jobs.end(id)
}

func revisionName(st *bus.RuleState) string { return "revision " + st.Revision.String() }
