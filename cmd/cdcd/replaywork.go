package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// replayAsk is what is to be replayed. Two replays that ask for the same are the same.
type replayAsk struct {
	From   string     `json:"from,omitempty"`
	To     string     `json:"to,omitempty"`
	Feeds  []string   `json:"feeds"`
	Rules  string     `json:"rules"` // then, now, revision:N or files
	Files  []ruleText `json:"files,omitempty"`
	Source []string   `json:"source,omitempty"` // binlog files; none: the stream
	Into   string     `json:"into"`
	Lookup string     `json:"lookup"`
}

// replayWish is what POST /replay takes.
type replayWish struct {
	replayAsk
	Yes bool   `json:"yes,omitempty"`
	By  string `json:"by"`
}

type replayProgress struct {
	Feed    string `json:"feed"`
	Changes uint64 `json:"changes"`
	Seq     uint64 `json:"seq,omitempty"`
	LastSeq uint64 `json:"last_seq,omitempty"`
}

type replayLine = slowLine[replayProgress, replayResult]

type replayResult struct {
	DryRun  bool         `json:"dry_run"`
	Resumed bool         `json:"resumed,omitempty"` // an earlier run had begun; the figures are of what was left
	Into    string       `json:"into"`
	Plan    *replayPlan  `json:"plan"`
	Feeds   []replayFeed `json:"feeds"`
}

type replayFeed struct {
	Feed    string                 `json:"feed"`
	Into    string                 `json:"into"`
	Changes uint64                 `json:"changes"` // that were looked at
	Records uint64                 `json:"records"`
	Objects uint64                 `json:"objects"`
	Written uint64                 `json:"written"` // objects that are there, with those of earlier runs
	Bytes   uint64                 `json:"bytes"`
	Failed  uint64                 `json:"failed"` // changes that a rule could not judge
	First   time.Time              `json:"first,omitzero"`
	Last    time.Time              `json:"last,omitzero"`
	Rules   map[string]*replayRule `json:"rules"`
	Heads   []string               `json:"heads"` // sha256 of the last object of each chain
}

type replayRule struct {
	Records uint64 `json:"records"`
	Errors  uint64 `json:"errors"`
}

// replayPoint is an end of a stretch of history. At most one of its fields is set.
type replayPoint struct {
	Time time.Time `json:"time,omitzero"`
	Seq  uint64    `json:"seq,omitempty"`
	File string    `json:"file,omitempty"`
	Pos  uint64    `json:"pos,omitempty"`
}

// replayPlan is what a replay comes to, once and for all: it is in its place as replay.json.
type replayPlan struct {
	Version  int         `json:"version"`
	Source   string      `json:"source"`
	Asked    replayAsk   `json:"asked"`
	From     replayPoint `json:"from"`
	To       replayPoint `json:"to"`
	FirstSeq uint64      `json:"first_seq,omitempty"` // of the stream
	LastSeq  uint64      `json:"last_seq,omitempty"`
	Revision uint64      `json:"revision,omitempty"` // of the rules
	By       string      `json:"by"`
	At       time.Time   `json:"at"`
}

// parsePoint reads a time, a position or a frame's sequence.
func parsePoint(flag, text string) (replayPoint, error) {
	if number, ok := strings.CutPrefix(text, "seq:"); ok {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n == 0 {
			return replayPoint{}, usagef("%s cannot be '%s'", flag, text).WithFix("write the sequence of a frame as seq:812")
		}
		return replayPoint{Seq: n}, nil
	}
	if i := strings.LastIndexByte(text, ':'); i > 0 && strings.Contains(text[:i], ".") {
		if pos, err := strconv.ParseUint(text[i+1:], 10, 64); err == nil {
			return replayPoint{File: text[:i], Pos: pos}, nil
		}
	}
	t, err := timeOf(flag, text, time.Now())
	return replayPoint{Time: t.UTC()}, err
}

// before reports whether an event lies before the point; seqs are compared by who reads the stream.
func (at *replayPoint) before(e cdc.Event) bool {
	if at.File != "" {
		p := e.Position()
		return cmp.Or(cmp.Compare(len(p.File), len(at.File)), strings.Compare(p.File, at.File), cmp.Compare(p.Pos, at.Pos)) < 0
	}
	return e.CommitTime().Before(at.Time)
}

// has reports whether an event is in the stretch.
func (plan *replayPlan) has(e cdc.Event) bool {
	if (plan.From.File != "" || !plan.From.Time.IsZero()) && plan.From.before(e) {
		return false
	}
	return plan.To.File == "" && plan.To.Time.IsZero() || plan.To.before(e)
}

// replay answers POST /replay.
func (p *pipeline) replay(w http.ResponseWriter, r *http.Request) {
	var wish replayWish
	if !readWish(w, r, 2*maxDraft, &wish) {
		return
	}
	if !enter(w, &p.backtests, maxBacktests, "a back-test or a replay is running already") {
		return
	}
	defer p.backtests.Add(-1)
	say := sayLines[replayProgress, replayResult](w)
	result, err := p.replayHistory(r.Context(), wish, func(at replayProgress) { say(replayLine{Progress: &at}) })
	line := replayLine{Result: &result}
	if err != nil {
		no := refusalOf(err)
		line.Error = &no
	}
	say(line)
}

// replayHistory does what is wished, one feed after the other.
func (p *pipeline) replayHistory(ctx context.Context, wish replayWish, progress func(replayProgress)) (r replayResult, err error) {
	r = replayResult{DryRun: !wish.Yes, Into: wish.Into, Feeds: []replayFeed{}}
	plan, err := p.planReplay(ctx, wish)
	if err != nil {
		return r, err
	}
	if r.Plan, r.Resumed, err = p.claimPlace(ctx, wish, plan); err != nil {
		return r, err
	}
	for _, f := range p.feeds {
		if !slices.Contains(wish.Feeds, f.name) {
			continue
		}
		run := replayRun{p: p, plan: r.Plan, feed: f, wish: wish, progress: progress}
		done, err := run.do(ctx)
		if err != nil {
			return r, fmt.Errorf("feed %s: %w", f.name, err)
		}
		r.Feeds = append(r.Feeds, done)
	}
	if !wish.Yes {
		return r, nil
	}
	text, err := json.Marshal(r.Plan)
	if err != nil {
		return r, err
	}
	sum := sha256.Sum256(text)
	n := audit.Note{Kind: audit.TypeReplayed, ID: hex.EncodeToString(sum[:]), By: r.Plan.By, At: &r.Plan.At, Outcome: "written", Digest: hex.EncodeToString(sum[:]),
		Counts: map[string]int64{}}
	for _, f := range r.Feeds {
		n.Counts[f.Feed] = int64(f.Written)
		n.Items = append(n.Items, f.Heads...)
	}
	return r, p.audit.Note(ctx, n)
}

// planReplay settles what is asked for: what is "now" is not the same when the replay is taken up again.
func (p *pipeline) planReplay(ctx context.Context, wish replayWish) (*replayPlan, error) {
	plan := &replayPlan{Version: 1, Source: p.cfg.Name, Asked: wish.replayAsk, By: wish.By, At: time.Now().UTC()}
	var err error
	if plan.From, err = parsePoint("--from", wish.From); err != nil {
		return nil, err
	}
	if plan.To, err = parsePoint("--to", wish.To); err != nil {
		return nil, err
	}
	switch number, ok := strings.CutPrefix(wish.Rules, "revision:"); {
	case ok:
		if plan.Revision, err = strconv.ParseUint(number, 10, 64); err != nil || plan.Revision == 0 {
			return nil, usagef("--rules cannot be '%s'", wish.Rules).WithFix("write the number of a revision as revision:3; `cdcd rules history` has them")
		}
		if _, err := p.desk.book.store.At(ctx, plan.Revision); err != nil {
			return nil, err
		}
	case wish.Rules == "now":
		newest, err := p.desk.book.store.Newest(ctx)
		if err != nil {
			return nil, err
		}
		if plan.Revision = newest.Revision.No; plan.Revision == 0 {
			return nil, cdc.Errorf("CDCD-4604", "no rules are in force yet").WithFix("start cdcd run once, which publishes those of the files, or name files with --rules")
		}
	}
	if len(wish.Source) > 0 {
		return plan, nil
	}
	info, err := p.stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	plan.FirstSeq, plan.LastSeq = max(info.First, 1), info.Last
	switch {
	case plan.From.Seq > 0 && (plan.From.Seq < plan.FirstSeq || plan.From.Seq > plan.LastSeq),
		plan.To.Seq > 0 && (plan.To.Seq < plan.FirstSeq || plan.To.Seq > plan.LastSeq), plan.LastSeq == 0,
		plan.From.Seq > 0 && plan.To.Seq > 0 && plan.From.Seq > plan.To.Seq:
		return nil, cdc.Errorf("CDCD-4623", "the stream has the frames %d to %d, not %s to %s", plan.FirstSeq, plan.LastSeq, cmp.Or(wish.From, "the first"), cmp.Or(wish.To, "the last")).
			WithFix("name others, or binlog files with --source")
	}
	plan.FirstSeq = max(plan.FirstSeq, plan.From.Seq)
	if plan.To.Seq > 0 {
		plan.LastSeq = plan.To.Seq
	}
	if !plan.From.Time.IsZero() {
		first, err := p.stream.At(ctx, plan.From.Time)
		if err != nil {
			return nil, err
		}
		plan.FirstSeq = max(plan.FirstSeq, min(first, plan.LastSeq))
	}
	return plan, nil
}

const planName = "replay.json"

// claimPlace puts the plan into the place, or takes up the one of an earlier run of the same replay. A place with anything else is
// refused, also when nothing is to be written.
func (p *pipeline) claimPlace(ctx context.Context, wish replayWish, plan *replayPlan) (*replayPlan, bool, error) {
	if into, err := replayInto(p.cfg, wish.replayAsk); err != nil || into != wish.Into {
		return nil, false, cmp.Or(err, error(usagef("--into cannot be '%s'", wish.Into)))
	}
	if dir, ok := strings.CutPrefix(wish.Into, "file://"); ok && !wish.Yes && isMissing(dir) {
		return plan, false, nil // a look must not make it
	}
	place, err := p.replayStore(ctx, wish.Feeds[0], wish.Into)
	if err != nil {
		return nil, false, err
	}
	defer closeStore(place)
	there, ok, err := p.readPlan(ctx, place)
	if err != nil {
		return nil, false, err
	}
	if !ok {
		var other string
		if err := place.List(ctx, "", "", func(key string, _ int64) bool { other = key; return false }); err != nil {
			return nil, false, err
		}
		if other != "" {
			return nil, false, cdc.Errorf("CDCD-4621", "there is something in %s already: %s", wish.Into, other).WithFix("name an empty place")
		}
		if !wish.Yes {
			return plan, false, nil
		}
		text, err := json.Marshal(plan)
		if err != nil {
			return nil, false, err
		}
		created, err := place.Put(ctx, planName, append(text, '\n'), map[string]string{"cdcd-source": p.cfg.Name})
		if err != nil || created {
			return plan, false, err
		}
		if there, ok, err = p.readPlan(ctx, place); err != nil || !ok {
			return nil, false, cmp.Or(err, fmt.Errorf("%s/%s was there and is gone", wish.Into, planName))
		}
	}
	if there.Source != p.cfg.Name || !reflect.DeepEqual(there.Asked, wish.replayAsk) {
		return nil, false, cdc.Errorf("CDCD-4621", "another replay was written to %s, by %s at %s", wish.Into, there.By, there.At.Format(time.RFC3339)).
			WithFix("name another place; to take that one up again, give its own flags: %s/%s has them", wish.Into, planName)
	}
	return there, true, nil
}

func isMissing(name string) bool {
	_, err := os.Stat(filepath.FromSlash(name))
	return errors.Is(err, fs.ErrNotExist)
}

func (p *pipeline) readPlan(ctx context.Context, place chain.Store) (*replayPlan, bool, error) {
	text, ok, err := place.Get(ctx, planName)
	if err != nil || !ok {
		return nil, false, err
	}
	plan := new(replayPlan)
	if err := json.Unmarshal(text, plan); err != nil || plan.Version != 1 {
		return nil, false, cdc.Errorf("CDCD-4621", "%s in %s is not that of a replay of this version", planName, place).WithFix("name another place")
	}
	return plan, true, nil
}

// replayStore opens a place with the access that a feed has.
func (p *pipeline) replayStore(ctx context.Context, feed, url string) (chain.Store, error) {
	own := *p.cfg.Feeds[feed]
	own.To = url
	return openPlace(ctx, p.env, p.cfg.Name, feed, &own)
}

// replayRun replays what one feed gets.
type replayRun struct {
	p        *pipeline
	plan     *replayPlan
	feed     *feed
	wish     replayWish
	progress func(replayProgress)
	plugins  *plugins
	lookups  *replayLookups
	done     replayFeed
	first    uint64 // event that an earlier run has not answered for
	told     time.Time
}

// forEver keeps time out of where objects end: they are the same in every run.
const forEver = 100 * 365 * 24 * time.Hour

func (r *replayRun) do(ctx context.Context) (replayFeed, error) {
	r.done = replayFeed{Feed: r.feed.name, Into: r.wish.Into + "/" + r.feed.name, Rules: map[string]*replayRule{}, Heads: []string{}}
	r.plugins = r.p.pluginsAside(r.p.cfg)
	defer r.plugins.Close()
	sets, err := r.sets(ctx)
	if err != nil {
		return r.done, err
	}
	var store chain.Store = &nowhere{at: r.done.Into, have: map[string]kept{}}
	if r.wish.Yes {
		if store, err = r.p.replayStore(ctx, r.feed.name, r.done.Into); err != nil {
			return r.done, err
		}
		defer closeStore(store)
	}
	cfg := r.p.chainConfig(r.feed)
	cfg.Feed, cfg.Store, cfg.Writer, cfg.Every = r.feed.name+replayChain, store, "replay", forEver
	cfg.Committed, cfg.Audited = nil, nil
	c, err := chain.OpenSplit(ctx, cfg, nil)
	if err != nil {
		return r.done, err
	}
	r.lookups = &replayLookups{p: r.p, feed: r.feed.name, how: r.wish.Lookup}
	r.first, _ = c.Next()
	running, stop := context.WithCancelCause(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := c.Run(running); running.Err() == nil {
			stop(err)
		}
	})
	defer func() { stop(nil); ended.Wait() }()
	judge := rangedSink{r: r, next: viewed{r.feed.view, c}}
	eng, err := engine.New(engine.Config{Sets: sets, Sinks: map[string]engine.Sink{r.feed.name: &judge}, DeadLetter: nobody{},
		Filter: r.plugins.engineFilter, Lookup: r.lookups, Observe: r.observe})
	if err != nil {
		return r.done, err
	}
	defer eng.Close()
	err = r.read(running, c, func(ctx context.Context, b *cdc.Batch) error {
		err := r.handle(ctx, eng, &judge, b)
		if err != nil {
			stop(err) // a stream would offer it again
		}
		return err
	})
	if err == nil {
		err = c.Flush(running)
	}
	if cause := context.Cause(running); cause != nil && ctx.Err() == nil {
		err = cause
	}
	if err != nil {
		return r.done, err
	}
	s := c.Stats()
	r.done.Objects, r.done.Bytes = s.Objects, s.Bytes
	for _, one := range c.Chains() {
		head := one.Stats().Head
		r.done.Heads, r.done.Written = append(r.done.Heads, head.SHA256), r.done.Written+head.Ordinal
	}
	return r.done, nil
}

// handle judges a batch, unless nothing of it is in the stretch.
func (r *replayRun) handle(ctx context.Context, eng *engine.Engine, sink *rangedSink, b *cdc.Batch) error {
	some := 0
	for i := range b.Len() {
		if e := b.Event(i); r.plan.has(e) {
			if some++; e.PartNo() >= r.first {
				r.done.Changes++
			}
		}
	}
	if now := time.Now(); r.progress != nil && now.Sub(r.told) > time.Second {
		r.told = now
		r.progress(replayProgress{Feed: r.feed.name, Changes: r.done.Changes, Seq: b.Seq, LastSeq: r.plan.LastSeq})
	}
	if some == 0 {
		return sink.Write(ctx, b, nil)
	}
	r.lookups.frame, r.lookups.untimed = b.Seq, ctx
	err := eng.Handle(ctx, b)
	if cdc.CodeOf(err) == "CDCD-2240" && r.wish.Lookup != "now" { // the rule waits, where another one did not
		err = cdc.Errorf("CDCD-4624", "what was looked up for frame %d came too late then, and a rule is to wait for it: %w", b.Seq, err).
			WithFix("replay with --lookup now or --lookup none")
	}
	return err
}

// observe counts.
func (r *replayRun) observe(_ *cdc.Batch, ds []cdc.Decision) {
	rule := func(name string) *replayRule {
		if r.done.Rules[name] == nil {
			r.done.Rules[name] = &replayRule{}
		}
		return r.done.Rules[name]
	}
	for i := range ds {
		d := &ds[i]
		if d.Event.PartNo() < r.first || !r.plan.has(d.Event) {
			continue
		}
		record := false
		for _, m := range d.Matches {
			if slices.Contains(m.To, r.feed.name) {
				rule(m.Name).Records++
				record = true
			}
		}
		for _, e := range d.Errors {
			rule(e.Rule.Name).Errors++
		}
		if len(d.Errors) > 0 {
			r.done.Failed++
		}
		if !record {
			continue
		}
		r.done.Records++
		at := d.Event.CommitTime().UTC()
		if r.done.First.IsZero() || at.Before(r.done.First) {
			r.done.First = at
		}
		if at.After(r.done.Last) {
			r.done.Last = at
		}
	}
}

// read reads the history from where the chains end.
func (r *replayRun) read(ctx context.Context, c *chain.Split, next cdc.Handler) error {
	if len(r.wish.Source) > 0 {
		m := mysql.Config{Name: r.p.cfg.Name, Epoch: redrivenEpoch, Logger: r.p.log}
		if err := selectInto(&m, r.p.cfg); err != nil {
			return err
		}
		files, err := mysql.Files(m, r.wish.Source...)
		if err != nil {
			return err
		}
		return files.Run(ctx, cdc.Checkpoint{}, next)
	}
	from := r.plan.LastSeq
	for _, one := range c.Chains() {
		from = min(from, max(one.Resume(), r.plan.FirstSeq))
	}
	return r.p.stream.Read(ctx, from, r.plan.LastSeq, next)
}

// sets returns what says by which rules a batch is judged.
func (r *replayRun) sets(ctx context.Context) (func(context.Context, *cdc.Batch) (*rules.Set, error), error) {
	if r.wish.Rules == "then" {
		return r.p.desk.book.Set, nil
	}
	var set *rules.Set
	var err error
	if r.wish.Rules == "files" {
		set, err = parseTexts(r.wish.Files)
		if err == nil {
			set, err = r.plugins.pinAll(set)
		}
	} else {
		var st *bus.RuleState
		if st, err = r.p.desk.book.store.At(ctx, r.plan.Revision); err == nil {
			set, err = r.p.desk.book.set(st)
		}
	}
	return func(context.Context, *cdc.Batch) (*rules.Set, error) { return set, nil }, err
}

// rangedSink hands on the decisions on events in the stretch.
type rangedSink struct {
	r    *replayRun
	next engine.Sink
	some []cdc.Decision
}

func (s *rangedSink) Write(ctx context.Context, b *cdc.Batch, ds []cdc.Decision) error {
	s.some = s.some[:0]
	for _, d := range ds {
		if s.r.plan.has(d.Event) {
			s.some = append(s.some, d)
		}
	}
	return s.next.Write(ctx, b, s.some)
}

// nobody takes dead letters: they are counted.
type nobody struct{}

func (nobody) Write(context.Context, *cdc.Batch, []cdc.Decision) error { return nil }

// nowhere is the store of a replay that is not written: it knows what it was given, and keeps little of it.
type nowhere struct {
	at   string
	mu   sync.Mutex
	have map[string]kept
}

type kept struct {
	meta map[string]string
	body []byte // of what is read back: where a chain begins
	size int64
}

func (s *nowhere) Put(_ context.Context, key string, body []byte, meta map[string]string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.have[key]; ok {
		return false, nil
	}
	one := kept{meta: meta, size: int64(len(body))}
	if strings.HasSuffix(key, "/chain.json") || strings.HasSuffix(key, "/begin.json") {
		one.body = slices.Clone(body)
	}
	s.have[key] = one
	return true, nil
}

func (s *nowhere) Head(_ context.Context, key string) (map[string]string, int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.have[key]
	return one.meta, one.size, ok, nil
}

func (s *nowhere) Get(_ context.Context, key string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.have[key]
	return one.body, ok, nil
}

func (s *nowhere) List(context.Context, string, string, func(string, int64) bool) error { return nil }

func (s *nowhere) String() string { return s.at }

// replayLookups answers look-ups as the replay is asked to: with what was read at the time, as the source is now, or not at all.
type replayLookups struct {
	p     *pipeline
	feed  string
	how   string
	frame uint64
	now   *feedLookups

	untimed context.Context // of the frame: how long a rule waits says nothing about reading what is recorded
}

// LookUp implements [engine.Lookups].
func (l *replayLookups) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	switch l.how {
	case "none":
		return &cdc.Answer{Rows: make([][]int, len(q.Keys))}, nil
	case "now":
		if l.now == nil {
			l.now = l.p.lookups.of(l.feed)
		}
		return l.now.source(ctx, q)
	}
	kept, err := l.p.lookups.store(l.untimed)
	if err != nil {
		return nil, err
	}
	a, err := kept.Recorded(l.untimed, l.feed, l.frame, q)
	if errors.Is(err, bus.ErrNoAnswer) {
		return nil, cdc.Errorf("CDCD-4624", "what was looked up in %s for frame %d is not recorded", q.Table, l.frame).
			WithFix("replay with --lookup now or --lookup none")
	}
	return a, err
}
