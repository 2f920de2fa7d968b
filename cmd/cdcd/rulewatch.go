package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// ruleWatch is what a running cdcd knows of its rules: what they have matched, how those that only watch would have
// delivered, and which do not fit their tables any more.
type ruleWatch struct {
	mu      sync.Mutex // guards all
	counts  map[string]map[string]*ruleCount
	tables  map[string]seenTable // the newest definition of each
	state   *bus.RuleState       // the newest revision
	broken  map[string]string    // findings by rule
	refused string               // why changed rule files are not in force
	kick    chan struct{}        // there is something to check again
}

// ruleCount counts what a rule has made of the events of one feed.
type ruleCount struct {
	matches, errors uint64
	lastError       string
	watches         bool              // it delivers nothing
	samples         []json.RawMessage // of its matches, the newest last
	sampled         time.Time         // when the last was taken
}

type seenTable struct {
	table *cdc.Table
	seq   uint64 // of the newest frame that has it
}

const (
	keptSamples = 5
	sampleEvery = 200 * time.Millisecond // of one rule
)

func newRuleWatch() *ruleWatch {
	return &ruleWatch{counts: map[string]map[string]*ruleCount{}, tables: map[string]seenTable{}, broken: map[string]string{}, kick: make(chan struct{}, 1)}
}

// observe counts what the rules made of a batch for a feed, and notes the tables that are in it.
func (w *ruleWatch) observe(feed string, b *cdc.Batch, ds []cdc.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notice(b)
	for i := range ds {
		d := &ds[i]
		for j := range d.Matches {
			c := w.count(feed, d.Matches[j].Name)
			c.matches++
			if c.watches = w.watches(d.Matches[j].Name); c.watches {
				c.sample(d.Event)
			}
		}
		for j := range d.Errors {
			c := w.count(feed, d.Errors[j].Rule.Name)
			c.errors++
			if c.errors == 1 || i == len(ds)-1 {
				c.lastError = d.Errors[j].Err.Error()
			}
		}
	}
}

// watches reports whether a rule delivers nothing. That a match goes to no feed does not say so: a plugin may have routed it elsewhere.
func (w *ruleWatch) watches(rule string) bool {
	return w.state != nil && w.state.Rules[rule].Mode == rules.Shadow.String()
}

func (w *ruleWatch) count(feed, rule string) *ruleCount {
	byFeed := w.counts[rule]
	if byFeed == nil {
		byFeed = map[string]*ruleCount{}
		w.counts[rule] = byFeed
	}
	c := byFeed[feed]
	if c == nil {
		c = &ruleCount{}
		byFeed[feed] = c
	}
	return c
}

// sample keeps an event now and then, as text: the frame is not kept with it.
func (c *ruleCount) sample(e cdc.Event) {
	if now := time.Now(); now.Sub(c.sampled) >= sampleEvery || len(c.samples) < keptSamples {
		c.sampled = now
		if len(c.samples) == keptSamples {
			c.samples = c.samples[1:]
		}
		c.samples = append(c.samples, cdc.AppendEvent(nil, e))
	}
}

// notice notes which definition of a table is the newest, as of the frames that have been judged.
func (w *ruleWatch) notice(b *cdc.Batch) {
	var last *cdc.Table
	for i := range b.Len() {
		t := b.Event(i).Table()
		if t == last {
			continue
		}
		last = t
		name := t.String()
		known, ok := w.tables[name]
		switch {
		case ok && b.Seq < known.seq: // a feed that is behind
		case ok && known.table == t:
			w.tables[name] = seenTable{t, b.Seq}
		default:
			w.tables[name] = seenTable{t, b.Seq}
			w.again()
		}
	}
}

// knownTables returns the newest definition of every table that is known.
func (w *ruleWatch) knownTables() []*cdc.Table {
	w.mu.Lock()
	defer w.mu.Unlock()
	var tables []*cdc.Table
	for _, name := range slices.Sorted(maps.Keys(w.tables)) {
		tables = append(tables, w.tables[name].table)
	}
	return tables
}

// again has the rules checked against the tables once more.
func (w *ruleWatch) again() {
	select {
	case w.kick <- struct{}{}:
	default: // it will be
	}
}

// revised takes up a new revision. Counts of rules that are gone are forgotten.
func (w *ruleWatch) revised(st *bus.RuleState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = st
	maps.DeleteFunc(w.counts, func(name string, _ map[string]*ruleCount) bool { _, there := st.Rules[name]; return !there })
	w.again()
}

// refuse notes why changed rule files are not taken up, or with nil that they are.
func (w *ruleWatch) refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused = ""; err != nil {
		w.refused = err.Error()
	}
}

// of returns what is known of a rule. A rule of several feeds is judged for each: what one of them has seen is told.
func (w *ruleWatch) of(rule string, samples bool) api.RuleSeen {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := api.RuleSeen{Broken: w.broken[rule]}
	for _, feed := range slices.Sorted(maps.Keys(w.counts[rule])) {
		c := w.counts[rule][feed]
		if c.matches+c.errors < s.Matches+s.Errors {
			continue
		}
		s.Matches, s.Errors, s.LastError, s.Samples = c.matches, c.errors, c.lastError, nil
		if samples && c.watches {
			s.Samples = slices.Clone(c.samples)
		}
	}
	return s
}

// watchRules has each new revision named by the frames that are captured from then on, gets it ready, and checks the rules
// again whenever they or a table are new, until ctx ends.
func (p *pipeline) watchRules(ctx context.Context) error {
	go p.checkRules(ctx) // ends with ctx, and has nothing to let go of
	return p.desk.book.store.Watch(ctx, func(st *bus.RuleState) error {
		if st.Revision == (cdc.Revision{}) {
			return nil
		}
		p.stream.Stamp(st.Revision)
		p.rules.revised(st)
		if set, err := p.desk.book.set(st); err != nil {
			p.log.Error("rules that cannot be judged by", "event", "rules.unreadable", "revision", st.Revision.No, "err", err)
		} else {
			p.log.Info("rules in force", "event", "rules.revision", "revision", st.Revision.No, "rules", len(set.Rules()), "digest", st.Digest)
		}
		if now, _ := p.rules.rulesState(); now.Refused != "" {
			p.reload(ctx) // what stood against the files may be settled
		}
		p.auditRules(ctx)
		return nil
	})
}

// auditRules writes the revisions to the audit log that it does not have yet. Changes are judged and delivered when that fails,
// too; it is made up for with the next revision, or at the next start.
func (p *pipeline) auditRules(ctx context.Context) {
	store := p.desk.book.store
	err := store.History(ctx, p.audit.Revision(store.Name())+1, func(pub bus.Publication) error {
		leaf := audit.Rules{Store: store.Name(), Revision: pub.Revision.No, ID: pub.Revision.ID, Prev: pub.Prev, Time: pub.Time,
			Who: pub.Who, Why: pub.Why, Kind: pub.Kind, Digest: pub.Digest, Removed: pub.Removed}
		for _, r := range pub.Changed {
			leaf.Changed = append(leaf.Changed, r.Name)
		}
		if t := triedOf(pub); t != nil {
			leaf.Tried = triedText(t)
		}
		if pub.StandsFor != nil {
			leaf.StandsFor = pub.StandsFor.Revision
		}
		return p.audit.Rules(ctx, leaf)
	})
	if err != nil && ctx.Err() == nil {
		p.log.Error("revisions of the rules are not in the audit log yet", "event", "audit.rules_missing", "err", err)
	}
}

// checkRules checks the newest rules against the tables as they are in the stream, and before anything is known of these,
// as the source has them.
func (p *pipeline) checkRules(ctx context.Context) {
	if tables, err := tablesOf(ctx, p.app, p.cfg); err == nil {
		p.rules.mu.Lock()
		for _, t := range tables {
			if _, seen := p.rules.tables[t.String()]; !seen {
				p.rules.tables[t.String()] = seenTable{t, 0}
			}
		}
		p.rules.mu.Unlock()
	}
	var again <-chan time.Time
	for {
		select {
		case <-p.rules.kick:
		case <-again:
		case <-ctx.Done():
			return
		}
		p.rules.mu.Lock()
		st := p.rules.state
		p.rules.mu.Unlock()
		tables := p.rules.knownTables()
		if st == nil || len(tables) == 0 {
			continue
		}
		set, err := p.desk.book.set(st)
		if err != nil {
			continue // said when it was taken up
		}
		found, unknown, _ := p.checkSet(ctx, p.cfg, set, tables)
		if again = nil; unknown != nil {
			p.log.Warn("look-ups of rules are not checked yet", "event", "rules.lookups_unchecked", "err", unknown)
			again = time.After(lookAgain)
		}
		p.flag(st, found, unknown == nil)
	}
}

// lookAgain is when the server of the look-ups is asked again after it could not be.
const lookAgain = time.Minute

// flag notes which rules do not fit, and says so once. Unless all was looked at, what did not fit before does not yet.
func (p *pipeline) flag(st *bus.RuleState, found rules.Findings, all bool) {
	broken := map[string]string{}
	located := inFiles(st, found)
	for i, f := range found {
		if broken[f.File] == "" && !f.Warning && st.Rules[f.File].Mode != rules.Off.String() {
			one := located[i]
			broken[f.File] = one.Code + ": " + one.Msg
			if one.Suggestion != "" {
				broken[f.File] += " (" + one.Suggestion + ")"
			}
		}
	}
	p.rules.mu.Lock()
	before := p.rules.broken
	for name, finding := range before {
		if st.Rules[name].Name != "" && broken[name] == "" && !all {
			broken[name] = finding
		}
	}
	p.rules.broken = broken
	p.rules.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		if before[name] != broken[name] {
			p.log.Error("a rule does not fit its table", "event", "rules.broken", "code", "CDCD-2317", "rule", name, "finding", broken[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if broken[name] == "" {
			p.log.Info("the rule fits its table again", "event", "rules.mended", "rule", name)
		}
	}
}

type ruleFigure struct {
	rule, feed      string
	matches, errors uint64
}

// rulesState says which rules are in force, and what each has counted.
func (w *ruleWatch) rulesState() (s api.RulesStatus, figures []ruleFigure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s = api.RulesStatus{Modes: map[string]int{}, Refused: w.refused}
	if w.state != nil {
		s.Revision, s.ID, s.Digest = w.state.Revision.No, w.state.Revision.ID, w.state.Digest
		s.Since, s.Who = stamp(w.state.Time), w.state.Who
		for _, r := range w.state.Rules {
			s.Modes[r.Mode]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.broken)) {
		s.Broken = append(s.Broken, api.BrokenRule{Rule: name, Finding: w.broken[name]})
	}
	for rule, byFeed := range w.counts {
		for feed, c := range byFeed {
			figures = append(figures, ruleFigure{rule, feed, c.matches, c.errors})
		}
	}
	return s, figures
}
