package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// A candidate is a version of a plugin that is tried: it judges what the version in force judges, behind it and on a
// memory budget of its own, and nothing that it does reaches delivery. What it says otherwise is counted and kept.

const (
	codeNoCandidate = "CDCD-2530" // no version of the plugin is tried
	codeDiffers     = "CDCD-2531" // it judges otherwise than the one in force
)

// shadows are the candidates of a running cdcd.
type shadows struct {
	p *pipeline

	mu   sync.Mutex // guards what follows
	host *wasm.Host
	by   map[string]*candidate // by the plugin's name

	closed bool
}

// candidate is a version that is tried.
type candidate struct {
	file   *pluginFile
	plugin *wasm.Plugin
	jobs   chan shadowJob
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex   // guards report
	report shadowReport // but for Since, it counts
	active int64        // fuel of the version in force, on what both have judged
	own    int64        // fuel of the candidate
}

// shadowJob is what the version in force has judged in one go.
type shadowJob struct {
	feed     string
	rule     *rules.Rule
	events   []cdc.Event
	verdicts []cdc.Verdict
	fuel     int64
}

// maxShadowJobs is how far a candidate may be behind before it is shown no more.
const maxShadowJobs = 16

// shadowReport is what a candidate has made of live changes.
type shadowReport struct {
	Plugin    string          `json:"plugin"`
	Version   string          `json:"version"`
	Digest    string          `json:"digest"`
	Since     time.Time       `json:"since"`
	Judged    uint64          `json:"judged"`               // by both
	Same      uint64          `json:"same"`                 // of these
	Different uint64          `json:"different"`            // kept by one and dropped by the other, or edited otherwise
	Failed    uint64          `json:"failed"`               // that the candidate could not judge, and the version in force could
	Mended    uint64          `json:"mended"`               // that the version in force could not judge, and the candidate could
	Skipped   uint64          `json:"skipped"`              // that the candidate was not shown: it was too far behind
	FuelRatio float64         `json:"fuel_ratio,omitempty"` // the candidate's to that of the version in force
	Error     string          `json:"error,omitempty"`      // why it could not be asked, the last time
	Examples  []shadowExample `json:"examples"`             // of what is not the same, the newest last
}

// shadowExample is a change that the two judge otherwise.
type shadowExample struct {
	Rule      string          `json:"rule"`
	Feed      string          `json:"feed"`
	ID        string          `json:"id"`
	No        uint64          `json:"no"`
	Table     string          `json:"table"`
	Active    string          `json:"active"`
	Candidate string          `json:"candidate"`
	Event     json.RawMessage `json:"event,omitempty"` // left out when it is large
}

const (
	keptExamples  = 20
	exampleBytes  = 8 << 10
	exampleDetail = 200 // of a verdict in words
)

// Close ends all candidates.
func (s *shadows) Close() {
	s.mu.Lock()
	by, host := s.by, s.host
	s.by, s.host, s.closed = nil, nil, true
	s.mu.Unlock()
	for _, c := range by {
		c.end()
	}
	if host != nil {
		host.Close()
	}
}

// begin tries a version of a plugin, in place of the one that was tried before.
func (s *shadows) begin(ctx context.Context, name string, file *pluginFile) (*candidate, error) {
	s.mu.Lock()
	var err error
	switch {
	case s.closed:
		err = errClosed
	case s.host == nil:
		s.host, err = s.p.plugins.newHost()
	}
	host := s.host
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	plugin, err := host.Load(ctx, file.module, s.p.plugins.limitsOf(name))
	if err != nil {
		return nil, err
	}
	if own := plugin.Manifest().Name; own != name {
		plugin.Close()
		return nil, misnamed(name, own)
	}
	c := &candidate{file: file, plugin: plugin, jobs: make(chan shadowJob, maxShadowJobs), done: make(chan struct{})}
	c.report = shadowReport{Plugin: name, Version: plugin.Manifest().Version, Digest: plugin.Digest(), Since: time.Now().UTC(), Examples: []shadowExample{}}
	var live context.Context
	live, c.stop = context.WithCancel(context.Background())
	go c.run(live) // ends with end
	s.mu.Lock()
	before, late := c, s.closed
	if !late {
		if s.by == nil {
			s.by = map[string]*candidate{}
		}
		before, s.by[name] = s.by[name], c
	}
	s.mu.Unlock()
	if before != nil {
		before.end()
	}
	if late {
		return nil, errClosed
	}
	return c, nil
}

// of returns the candidate of a plugin.
func (s *shadows) of(name string) (*candidate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.by[name]; c != nil {
		return c, nil
	}
	return nil, cdc.Errorf(codeNoCandidate, "no version of plugin '%s' is tried", name).WithFix("begin with: cdcd plugin shadow %s FILE", name)
}

// finish ends the trial of a plugin.
func (s *shadows) finish(name string) (shadowReport, error) {
	c, err := s.of(name)
	if err != nil {
		return shadowReport{}, err
	}
	s.mu.Lock()
	if s.by[name] == c {
		delete(s.by, name)
	}
	s.mu.Unlock()
	c.end()
	return c.said(), nil
}

// show has a candidate judge what the version in force has judged. It never waits.
func (s *shadows) show(f *feedFilter, events []cdc.Event, verdicts []cdc.Verdict) {
	s.mu.Lock()
	c := s.by[f.rule.Filter.Plugin]
	s.mu.Unlock()
	if c == nil || c.plugin.Digest() == f.loaded.plugin.Digest() {
		return
	}
	select {
	case c.jobs <- shadowJob{f.feed, f.rule, slices.Clone(events), slices.Clone(verdicts), f.Fuel()}:
	default:
		c.mu.Lock()
		c.report.Skipped += uint64(len(events))
		c.mu.Unlock()
	}
}

// end ends a candidate.
func (c *candidate) end() {
	c.stop()
	<-c.done
}

// said returns what is known of it now.
func (c *candidate) said() shadowReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.report
	r.Examples = slices.Clone(r.Examples)
	if c.active > 0 {
		r.FuelRatio = float64(c.own) / float64(c.active)
	}
	return r
}

// run judges what it is shown, until ctx ends.
func (c *candidate) run(ctx context.Context) {
	defer close(c.done)
	defer c.plugin.Close()
	type filter struct {
		*wasm.Filter
		version string // of the rule
	}
	filters := map[string]filter{} // by feed and rule
	defer func() {
		for _, f := range filters {
			f.Close()
		}
	}()
	for {
		var job shadowJob
		select {
		case job = <-c.jobs:
		case <-ctx.Done():
			return
		}
		key := job.feed + "/" + job.rule.Name
		f, open := filters[key]
		if open && f.version != job.rule.Version {
			f.Close()
			delete(filters, key)
			open = false
		}
		var err error
		if !open {
			f.version = job.rule.Version
			f.Filter, err = c.plugin.Filter(wasm.For(ctx, job.rule.Name+"\n"+job.feed+" (tried)"), job.rule.Filter.Config)
			if err == nil {
				filters[key] = f
			}
		}
		verdicts := make([]cdc.Verdict, len(job.events))
		var fuel int64
		if err == nil {
			err = f.Judge(ctx, job.events, verdicts)
			fuel = f.Fuel()
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil { // what it may not even begin, or was too slow for
			for i := range verdicts {
				verdicts[i] = cdc.Verdict{Err: err}
			}
		}
		c.compare(job, verdicts, fuel, err)
		if cdc.CodeOf(err) == engine.CodeQuarantined { // it goes on failing, and goes on being counted
			f.Close()
			delete(filters, key)
		}
	}
}

// compare counts what the candidate has made of a job.
func (c *candidate) compare(job shadowJob, own []cdc.Verdict, fuel int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.report
	if err != nil {
		r.Error = err.Error()
	} else {
		c.active, c.own = c.active+job.fuel, c.own+fuel
	}
	for i := range own {
		active := &job.verdicts[i]
		r.Judged++
		switch {
		case active.Err != nil && own[i].Err != nil:
			r.Same++
			continue
		case own[i].Err != nil:
			r.Failed++
		case active.Err != nil:
			r.Mended++
		default:
			if sameVerdict(job.events[i].Table(), active, &own[i]) {
				r.Same++
				continue
			}
			r.Different++
		}
		e := job.events[i]
		example := shadowExample{Rule: job.rule.Name, Feed: job.feed, ID: e.ID(), No: e.No(), Table: e.Table().String(),
			Active: verdictText(e.Table(), active), Candidate: verdictText(e.Table(), &own[i])}
		if text := cdc.AppendEvent(nil, e); len(text) <= exampleBytes {
			example.Event = text
		}
		if len(r.Examples) == keptExamples {
			r.Examples = r.Examples[1:]
		}
		r.Examples = append(r.Examples, example)
	}
}

func sameVerdict(t *cdc.Table, a, b *cdc.Verdict) bool {
	switch {
	case a.Keep != b.Keep:
		return false
	case !a.Keep || a.Edits == nil && b.Edits == nil:
		return true
	}
	return editsText(t, a.Edits) == editsText(t, b.Edits)
}

// verdictText says a verdict in words.
func verdictText(t *cdc.Table, v *cdc.Verdict) string {
	text := "drop"
	switch {
	case v.Err != nil:
		text = v.Err.Error()
	case v.Keep && v.Edits != nil:
		text = "keep; " + editsText(t, v.Edits)
	case v.Keep:
		text = "keep"
	}
	if len(text) > exampleDetail {
		text = strings.ToValidUTF8(text[:exampleDetail], "") + "…"
	}
	return text
}

// editsText says in words all that edits are.
func editsText(t *cdc.Table, e *cdc.Edits) string {
	if e == nil {
		return ""
	}
	var parts []string
	for _, c := range e.Columns {
		image := "after."
		if c.Before {
			image = "before."
		}
		if c.Drop {
			parts = append(parts, "drop "+image+c.Column)
			continue
		}
		value := "?"
		for i := range t.Columns {
			if t.Columns[i].Name == c.Column {
				value = string(cdc.AppendJSON(nil, &t.Columns[i], c.Value))
			}
		}
		parts = append(parts, image+c.Column+" = "+value)
	}
	if len(e.Tags) > 0 {
		parts = append(parts, fmt.Sprintf("tags %q", e.Tags))
	}
	if e.Reason != "" {
		parts = append(parts, fmt.Sprintf("reason %q", e.Reason))
	}
	if e.To != nil {
		parts = append(parts, "to "+strings.Join(e.To, ", "))
	}
	return strings.Join(parts, "; ")
}

// promotion is what came of a promotion.
type promotion struct {
	Outcome outcome      `json:"outcome"`
	Shadow  shadowReport `json:"shadow"`
	File    string       `json:"file"`              // that holds it now
	Pinned  []string     `json:"pinned,omitempty"`  // rules whose text names another version: they stay as they are
	Warning string       `json:"warning,omitempty"` // what went wrong behind the publication
}

// promote puts the version that is tried in force, for all rules that name its plugin.
func (p *pipeline) promote(ctx context.Context, ask pluginAsk) (promotion, error) {
	var done promotion
	c, err := p.shadows.of(ask.Plugin)
	if err != nil {
		return done, err
	}
	done.Shadow = c.said()
	if r := done.Shadow; !ask.Force && (r.Judged == 0 || r.Different+r.Failed > ask.MaxDifferent) {
		e := cdc.Errorf(codeDiffers, "plugin %s %s is not promoted: of %s, %d are judged otherwise and it failed on %d", r.Plugin, r.Version,
			plural(int(r.Judged), "change"), r.Different, r.Failed)
		if r.Judged == 0 {
			e = cdc.Errorf(codeDiffers, "plugin %s %s is not promoted: it has not been shown a change yet", r.Plugin, r.Version)
		}
		return done, e.WithFix("see what it says otherwise: cdcd plugin shadow %s --status; if that is meant: --max-different %d, or --force", r.Plugin, r.Different+r.Failed)
	}
	if err := p.plugins.store.keep(c.file); err != nil {
		return done, err
	}
	publisher := p.desk.publisher
	publisher.stream, publisher.waits, publisher.strict = p.stream, true, true
	pub := bus.Publication{Kind: "promote", Who: ask.Who, Why: ask.Why}
	done.Outcome, err = publisher.publish(ctx, pub, func(newest *bus.RuleState) (ruleChange, error) {
		var change ruleChange
		change, done.Pinned, err = repin(newest, ask.Plugin, c.plugin.Digest())
		return change, err
	})
	if err != nil || done.Outcome.Findings.Err() != nil {
		return done, err
	}
	// The folder says what is in force: else the next push of the files would take it back.
	done.File = p.plugins.store.file(ask.Plugin)
	if err := placePlugin(done.File, c.file.module, c.file.signature); err != nil {
		done.Warning = fmt.Sprintf("%s still has another version: %v", done.File, err)
	}
	p.reload(ctx) // the version of before, should it come back, is a change then
	if last, err := p.shadows.finish(ask.Plugin); err == nil {
		done.Shadow = last
	}
	return done, nil
}

// repin changes the rules that name a plugin to a version of it.
func repin(newest *bus.RuleState, plugin, digest string) (change ruleChange, pinned []string, err error) {
	for _, stored := range newest.Rules {
		r, err := rules.ParseText(stored.Name, stored.Text)
		if err != nil {
			return change, nil, err
		}
		if r.Filter == nil || r.Filter.Plugin != plugin || stored.Plugin == digest {
			continue
		}
		if r.Filter.Digest != "" {
			pinned = append(pinned, r.Name)
			continue
		}
		if r, err = r.Pin(digest); err != nil {
			return change, nil, err
		}
		change.changed = append(change.changed, toStore(r, stored.File, stored.Text))
	}
	slices.Sort(pinned)
	slices.SortFunc(change.changed, func(a, b bus.StoredRule) int { return strings.Compare(a.Name, b.Name) })
	return change, pinned, nil
}
