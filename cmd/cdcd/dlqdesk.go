package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// dlqWish is what is to be done with dead letters: what POST /dlq takes.
type dlqWish struct {
	Do    string          `json:"do"`              // retest, redrive or discard
	Feeds []string        `json:"feeds,omitempty"` // only of these
	What  []string        `json:"what"`            // IDs of letters and groups
	Rules []ruleText      `json:"rules,omitempty"` // retest: instead of those in force
	Edit  json.RawMessage `json:"edit,omitempty"`  // of the one letter: {"before":{…},"after":{…}}
	Yes   bool            `json:"yes,omitempty"`   // do it; else only say what would be done
	Why   string          `json:"why,omitempty"`
	By    string          `json:"by"`
}

// What would become, or became, of a letter.
const (
	letterMatches   = "matches"   // its record is for delivery
	letterNoMatch   = "no_match"  // it does not matter by the rules of now
	letterFails     = "fails"     // still
	letterNoRule    = "no_rule"   // the rules that could not judge it are not there any more
	letterDelivered = "delivered" // by other rules, in its place
	letterUnknown   = "unknown"   // whether it was delivered by other rules: an older cdcd did not note it
	letterSettled   = "settled"   // by an earlier job
	letterDiscarded = "discarded"
)

// dlqLetter is one letter in an answer.
type dlqLetter struct {
	ID      string   `json:"id"`
	Event   string   `json:"event"`
	Table   string   `json:"table"`
	Outcome string   `json:"outcome"`
	Rules   []string `json:"rules,omitempty"` // that match
	Why     string   `json:"why,omitempty"`
	Edits   int      `json:"edits,omitempty"` // corrections that it has
}

// dlqResult is the answer.
type dlqResult struct {
	Do      string           `json:"do"`
	DryRun  bool             `json:"dry_run"`
	RuleSet string           `json:"rule_set,omitempty"`
	Counts  map[string]int64 `json:"counts"`
	Jobs    []string         `json:"jobs"` // feed/number
	Into    []string         `json:"into"` // the chains that got records
	Letters []dlqLetter      `json:"letters"`
	More    int              `json:"more,omitempty"` // letters that are not in the list
}

// dlqProgress is how far a job is.
type dlqProgress struct {
	Letters   int64 `json:"letters"`
	Delivered int64 `json:"delivered"`
}

type dlqLine = slowLine[dlqProgress, dlqResult]

const (
	dlqListed    = 1000    // letters in an answer
	dlqJob       = 1000    // letters in a job
	dlqJobBytes  = 8 << 20 // of records in a job
	redrivenName = "redriven"
	// The numbers of redriven records are of no stream: they have a lineage of their own.
	redrivenEpoch = 1 << 32
)

// askDLQ answers POST /dlq.
func (p *pipeline) askDLQ(w http.ResponseWriter, r *http.Request) {
	var wish dlqWish
	if !readWish(w, r, 2*maxDraft, &wish) {
		return
	}
	say := sayLines[dlqProgress, dlqResult](w)
	result, err := p.deadLetters(r.Context(), wish, func(at dlqProgress) { say(dlqLine{Progress: &at}) })
	line := dlqLine{Result: &result}
	if err != nil {
		no := refusalOf(err)
		line.Error = &no
	}
	say(line)
}

// dlqWork is one wish under way.
type dlqWork struct {
	p        *pipeline
	wish     dlqWish
	set      *rules.Set // that judges
	plugins  *plugins
	progress func(dlqProgress)
	result   dlqResult
	at       dlqProgress
}

// deadLetters does what is wished. One wish is fulfilled at a time.
func (p *pipeline) deadLetters(ctx context.Context, wish dlqWish, progress func(dlqProgress)) (dlqResult, error) {
	p.dlq.Lock()
	defer p.dlq.Unlock()
	w := &dlqWork{p: p, wish: wish, plugins: p.pluginsAside(p.cfg), progress: progress,
		result: dlqResult{Do: wish.Do, DryRun: !wish.Yes, Counts: map[string]int64{}, Jobs: []string{}, Into: []string{}, Letters: []dlqLetter{}}}
	defer w.plugins.Close()
	if err := w.rules(ctx); err != nil {
		return w.result, err
	}
	if wish.Edit != nil && (len(wish.What) != 1 || !strings.Contains(wish.What[0], "/")) {
		return w.result, usagef("--edit corrects one dead letter: name its ID")
	}
	feeds := slices.DeleteFunc(slices.Clone(p.feeds), func(f *feed) bool { return len(wish.Feeds) > 0 && !slices.Contains(wish.Feeds, f.name) })
	if err := w.find(ctx, feeds); err != nil {
		return w.result, err
	}
	for _, f := range feeds {
		if err := w.feed(ctx, f); err != nil {
			return w.result, fmt.Errorf("feed %s: %w", f.name, err)
		}
	}
	if wish.Do != "discard" && !wish.Yes {
		now := time.Now().UTC()
		return w.result, p.audit.Note(ctx, audit.Note{Kind: audit.TypeRetested, ID: fmt.Sprintf("%s/%s", wish.Do, now.Format(time.RFC3339Nano)), By: wish.By,
			Why: wish.Why, Outcome: "dry_run", Digest: w.result.RuleSet, Counts: w.result.Counts})
	}
	return w.result, nil
}

// find makes sure, before anything is done, that all that is named is there.
func (w *dlqWork) find(ctx context.Context, feeds []*feed) error {
	found := map[string]bool{}
	for _, f := range feeds {
		if len(w.wish.What) == 0 {
			break
		}
		err := deadletter.NewBook(f.name, f.dead).Letters(ctx, func(l *deadletter.Letter) error {
			found[l.ID()], found[l.Cause().ID()] = true, true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, what := range w.wish.What {
		if !found[what] {
			return noLetter(what)
		}
	}
	return nil
}

// noLetter is the error of a name that no letter and no group has.
func noLetter(what string) error {
	return cdc.Errorf("CDCD-4601", "there is no dead letter and no group '%s'", what).
		WithFix("`cdcd dlq list` has the groups, `cdcd dlq show GROUP` the letters of one, with their IDs")
}

// rules finds the rules that judge.
func (w *dlqWork) rules(ctx context.Context) (err error) {
	switch {
	case w.wish.Do == "discard":
		return nil
	case len(w.wish.Rules) > 0:
		w.set, err = parseTexts(w.wish.Rules)
		if err == nil {
			w.set, err = w.plugins.pinAll(w.set)
		}
	default:
		w.set, err = w.p.desk.book.newest(ctx)
		if err == nil && w.set == nil {
			err = cdc.Errorf("CDCD-4604", "no rules are in force yet").WithFix("start cdcd run once, which publishes those of the files, or name files with --rules")
		}
	}
	if err == nil {
		w.result.RuleSet = w.set.Digest()
	}
	return err
}

// feed does it for the letters of one feed.
func (w *dlqWork) feed(ctx context.Context, f *feed) error {
	book := deadletter.NewBook(f.name, f.dead)
	jobs, err := book.Jobs(ctx)
	if err != nil {
		return err
	}
	if w.wish.Yes {
		if err := w.p.finishJobs(ctx, f, book, jobs, 0, nil); err != nil {
			return err
		}
	}
	settled := settledLetters(jobs)
	judge := letterJudge{p: w.p, plugins: w.plugins, feed: f, set: w.set, engines: map[string]*judging{}}
	defer judge.Close()
	batch := jobDraft{letters: map[uint64]*deadletter.Letter{}}
	err = book.Letters(ctx, func(l *deadletter.Letter) error {
		if !w.wanted(l) {
			return nil
		}
		w.at.Letters++
		out := dlqLetter{ID: l.ID(), Event: l.Batch.Event(0).ID(), Table: l.Batch.Event(0).Table().String()}
		entry := deadletter.Settled{No: l.No(), SHA256: l.SHA256}
		switch done, ok := settled[l.No()]; {
		case ok:
			out.Outcome, out.Why = letterSettled, "it was settled before: "+done
		case w.wish.Do == "discard":
			out.Outcome, entry.Outcome = letterDiscarded, deadletter.Discarded
		default:
			if err := w.judge(ctx, f, book, &judge, l, &out, &entry); err != nil {
				return fmt.Errorf("dead letter %s: %w", l.ID(), err)
			}
		}
		w.tell(out)
		if entry.Outcome != "" && w.wish.Yes {
			batch.add(l, entry)
			if batch.full() {
				return w.settle(ctx, f, book, &jobs, &batch)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.settle(ctx, f, book, &jobs, &batch)
}

// wanted reports whether a letter is asked for.
func (w *dlqWork) wanted(l *deadletter.Letter) bool {
	return len(w.wish.What) == 0 || slices.Contains(w.wish.What, l.ID()) || slices.Contains(w.wish.What, l.Cause().ID())
}

// tell puts a letter into the answer.
func (w *dlqWork) tell(out dlqLetter) {
	w.result.Counts[out.Outcome]++
	if len(w.result.Letters) < dlqListed {
		w.result.Letters = append(w.result.Letters, out)
	} else {
		w.result.More++
	}
	if w.at.Letters%100 == 0 && w.progress != nil {
		w.progress(w.at)
	}
}

// judge judges a letter, with the last of its corrections, and says what a job has to do with it: nothing if entry gets no outcome.
func (w *dlqWork) judge(ctx context.Context, f *feed, book *deadletter.Book, judge *letterJudge, l *deadletter.Letter, out *dlqLetter, entry *deadletter.Settled) error {
	edits, err := book.Edits(ctx, l.No())
	if err != nil {
		return err
	}
	b, corrected := l.Batch, []byte(nil)
	if out.Edits = len(edits); out.Edits > 0 {
		corrected = edits[out.Edits-1].Set
	}
	if w.wish.Edit != nil {
		corrected = w.wish.Edit
	}
	if corrected != nil {
		if b, err = editLetter(l, corrected); err != nil {
			return err
		}
	}
	if w.wish.Edit != nil && w.wish.Yes && w.wish.Do == "redrive" && !sameJSON(corrected, edits) {
		digest, err := book.AddEdit(ctx, l.No(), deadletter.Edit{Letter: l.ID(), At: time.Now().UTC(), By: w.wish.By, Why: w.wish.Why, Set: w.wish.Edit})
		if err != nil {
			return err
		}
		out.Edits++
		if err := w.p.audit.Note(ctx, audit.Note{Kind: audit.TypeEdited, ID: fmt.Sprintf("%s/%d", l.ID(), out.Edits), Feed: f.name, By: w.wish.By, Why: w.wish.Why,
			Digest: digest, Items: []string{l.SHA256}}); err != nil {
			return err
		}
	}
	switch {
	case l.DeliveredBy == nil && w.wish.Do == "redrive":
		out.Outcome, out.Why = letterUnknown, "it was kept by an older cdcd, which did not note whether other rules had it delivered"
		return nil
	case len(l.DeliveredBy) > 0:
		out.Outcome, out.Why = letterDelivered, "its event is in an object already, because of "+strings.Join(l.DeliveredBy, ", ")
		return nil
	}
	d, why, err := judge.judge(ctx, l.Failed(), b)
	if err != nil {
		return err
	}
	out.Outcome, out.Why = d.outcome, why
	switch d.outcome {
	case letterNoMatch:
		entry.Outcome = deadletter.NoMatch
	case letterMatches:
		entry.Outcome = deadletter.Redriven
		for _, m := range d.Matches {
			out.Rules = append(out.Rules, m.Name)
		}
		if w.wish.Yes {
			entry.Line, err = w.p.redrivenLine(ctx, f, l, b, d.Decision, corrected != nil)
		}
	}
	return err
}

// sameJSON reports whether a correction says what the last one says.
func sameJSON(set []byte, edits []deadletter.Edit) bool {
	if len(edits) == 0 {
		return false
	}
	var a, b bytes.Buffer
	return json.Compact(&a, set) == nil && json.Compact(&b, edits[len(edits)-1].Set) == nil && bytes.Equal(a.Bytes(), b.Bytes())
}

// redrivenLine renders the record of a letter as the feed gets records. In the envelope cdcd it says that it comes late.
func (p *pipeline) redrivenLine(ctx context.Context, f *feed, l *deadletter.Letter, b *cdc.Batch, d cdc.Decision, edited bool) ([]byte, error) {
	if err := f.view.Prepare(ctx, b, []cdc.Decision{d}); err != nil {
		return nil, err
	}
	cfg := p.chainConfig(f)
	line := cfg.Append(nil, &d)
	if cfg.Envelope != "cdcd" || !bytes.HasSuffix(line, []byte("}")) {
		return line, nil
	}
	line = append(line[:len(line)-1], `,"redriven":{"letter":`...)
	line = cdc.AppendString(line, l.ID())
	line = time.Now().UTC().AppendFormat(append(line, `,"at":"`...), "2006-01-02T15:04:05.000000Z")
	if line = append(line, '"'); edited {
		line = append(line, `,"edited":true`...)
	}
	return append(line, "}}"...), nil
}

// jobDraft is a job while it grows.
type jobDraft struct {
	records, others []deadletter.Settled
	letters         map[uint64]*deadletter.Letter
	bytes           int
}

func (d *jobDraft) add(l *deadletter.Letter, s deadletter.Settled) {
	if s.Outcome == deadletter.Redriven {
		d.records = append(d.records, s)
		d.letters[s.No] = l
		d.bytes += len(s.Line) + len(l.Batch.Frame())
	} else {
		d.others = append(d.others, s)
	}
}

func (d *jobDraft) full() bool {
	return len(d.records)+len(d.others) >= dlqJob || d.bytes >= dlqJobBytes
}

// settle makes a job of the draft, behind those that there are, and carries it out.
func (w *dlqWork) settle(ctx context.Context, f *feed, book *deadletter.Book, jobs *[]deadletter.Job, d *jobDraft) error {
	if len(d.records)+len(d.others) == 0 {
		return nil
	}
	defer func() { *d = jobDraft{letters: map[uint64]*deadletter.Letter{}} }()
	job, err := book.AddJob(ctx, *jobs, deadletter.Job{Do: w.wish.Do, At: time.Now().UTC(), By: w.wish.By, Why: w.wish.Why, RuleSet: w.result.RuleSet,
		Settled: append(d.records, d.others...)})
	if errors.Is(err, deadletter.ErrTaken) {
		return cdc.Errorf("CDCD-4605", "somebody else has settled dead letters of this feed at the same time").WithFix("look at `cdcd dlq list`, and say it again")
	}
	if err != nil {
		return err
	}
	w.result.Jobs = append(w.result.Jobs, fmt.Sprintf("%s/%d", f.name, job.No))
	if into := redrivenURL(f.cfg); job.Records > 0 && !slices.Contains(w.result.Into, into) {
		w.result.Into = append(w.result.Into, into)
	}
	*jobs = append(*jobs, job)
	last := len(*jobs) - 1
	if err := w.p.finishJobs(ctx, f, book, *jobs, last, d.letters); err != nil {
		return err
	}
	for i := range job.Settled {
		(*jobs)[last].Settled[i].Line = nil // it is delivered
	}
	w.at.Delivered += int64(job.Records)
	if w.progress != nil {
		w.progress(w.at)
	}
	return nil
}

// settledLetters returns what became of letters, by their numbers.
func settledLetters(jobs []deadletter.Job) map[uint64]string {
	settled := map[uint64]string{}
	for _, j := range jobs {
		for _, s := range j.Settled {
			settled[s.No] = fmt.Sprintf("%s by job %s/%d", s.Outcome, j.Do, j.No)
		}
	}
	return settled
}

// finishAllJobs carries out what was decided before the program was killed.
func (p *pipeline) finishAllJobs(ctx context.Context) error {
	for _, f := range p.feeds {
		for attempt := 0; ; attempt++ {
			p.dlq.Lock()
			book := deadletter.NewBook(f.name, f.dead)
			jobs, err := book.Jobs(ctx)
			if err == nil {
				err = p.finishJobs(ctx, f, book, jobs, 0, nil)
			}
			p.dlq.Unlock()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.log.Warn("redriven dead letters are not delivered yet", "event", "dlq.retry", "feed", f.name, "err", err)
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishJobs delivers the records of jobs that are not delivered yet, and logs the jobs from one on. It may be called again at any
// time: the chain says how far it has come. letters are those of the last job, if they are at hand.
func (p *pipeline) finishJobs(ctx context.Context, f *feed, book *deadletter.Book, jobs []deadletter.Job, from int, letters map[uint64]*deadletter.Letter) error {
	if records := slices.ContainsFunc(jobs[from:], func(j deadletter.Job) bool { return j.Records > 0 }); records {
		if err := p.deliverJobs(ctx, f, book, jobs, letters); err != nil {
			return err
		}
	}
	for _, j := range jobs[from:] {
		n := audit.Note{Kind: audit.TypeRedriven, ID: fmt.Sprintf("%s/%d", f.name, j.No), Feed: f.name, By: j.By, Why: j.Why, At: &j.At, Outcome: j.Do,
			Digest: j.RuleSet, Job: fmt.Sprint(j.No), Counts: map[string]int64{}}
		if j.Do == deadletter.Discard {
			n.Kind = audit.TypeDiscarded
		}
		for _, s := range j.Settled {
			n.Counts[s.Outcome]++
			n.Items = append(n.Items, s.SHA256)
		}
		if err := p.audit.Note(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// redrivenURL is where redriven records of a feed go: beside its objects, where nobody who reads the feed in order stumbles over
// them. Records of a NATS feed have a subject of their own.
func redrivenURL(f *feedConfig) string {
	if f.toNATS() {
		return f.To + "-" + redrivenName
	}
	return strings.TrimSuffix(f.To, "/") + "/" + redrivenName
}

// openRedriven opens the store of a feed's redriven records.
func openRedriven(ctx context.Context, env []string, cfg *config, feed string) (chain.Store, error) {
	own := *cfg.Feeds[feed]
	own.To = redrivenURL(&own)
	if own.Nats != nil && own.Nats.Stream != "" {
		nats := *own.Nats
		nats.Stream += "-" + strings.ToUpper(redrivenName)
		own.Nats = &nats
	}
	with := *cfg
	with.Feeds = map[string]*feedConfig{feed: &own}
	return openStore(ctx, env, &with, feed)
}

// deliverJobs delivers what the chain of redriven records does not have yet.
func (p *pipeline) deliverJobs(ctx context.Context, f *feed, book *deadletter.Book, jobs []deadletter.Job, letters map[uint64]*deadletter.Letter) error {
	store, err := openRedriven(ctx, p.env, p.cfg, f.name)
	if err != nil {
		return err
	}
	defer closeStore(store)
	var line []byte
	cfg := p.chainConfig(f)
	cfg.Feed, cfg.Store, cfg.Partitions, cfg.PartitionBy = f.name+"."+redrivenName, store, 1, nil
	cfg.Audited, cfg.KeepTransactions = p.audited(store), false
	cfg.Append = func(dst []byte, _ *cdc.Decision) []byte { return append(dst, line...) }
	c, err := chain.Open(ctx, cfg)
	if err != nil {
		return err
	}
	next, _ := c.Next()
	if next >= deadletter.NextRecord(jobs) {
		return nil
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	defer func() { stop(); <-ended }()
	for _, j := range jobs {
		if j.Records == 0 || j.First+uint64(j.Records) <= next {
			continue
		}
		if letters, err = lettersOf(ctx, book, &j, letters); err != nil {
			return err
		}
		for i, s := range j.Settled[:j.Records] {
			b, err := letters[s.No].Renumber(j.First+uint64(i), redrivenEpoch)
			if err != nil {
				return err
			}
			line = s.Line
			if err := c.Write(ctx, b, []cdc.Decision{{Event: b.Event(0), RuleSet: j.RuleSet}}); err != nil {
				return err
			}
		}
	}
	return c.Flush(ctx)
}

// lettersOf returns the letters of a job, which may be at hand.
func lettersOf(ctx context.Context, book *deadletter.Book, j *deadletter.Job, have map[uint64]*deadletter.Letter) (map[uint64]*deadletter.Letter, error) {
	wanted, missing := map[uint64]bool{}, false
	for _, s := range j.Settled[:j.Records] {
		wanted[s.No] = true
		missing = missing || have[s.No] == nil
	}
	if !missing {
		return have, nil
	}
	have = map[uint64]*deadletter.Letter{}
	err := book.Letters(ctx, func(l *deadletter.Letter) error {
		if wanted[l.No()] { // a folder may hold more than the memory
			have[l.No()] = l
		}
		return nil
	})
	for no := range wanted {
		if err == nil && have[no] == nil {
			err = cdc.Errorf("CDCD-4603", "dead letter %d of job %d is gone", no, j.No).WithFix("restore the folder of the dead letters from a backup")
		}
	}
	return have, err
}

// letterJudge judges letters by the rules that could not judge them, as they are now.
type letterJudge struct {
	p       *pipeline
	plugins *plugins
	feed    *feed
	set     *rules.Set
	engines map[string]*judging // by the names of the rules
}

// judging is an engine over some rules, and what it made of the last event.
type judging struct {
	*engine.Engine
	last cdc.Decision
	some bool
}

// judged is a decision and what it comes to.
type judged struct {
	cdc.Decision
	outcome string
}

// Write implements [engine.Sink], for letters and for what is delivered: what there is to know comes by Observe.
func (j *judging) Write(context.Context, *cdc.Batch, []cdc.Decision) error { return nil }

func (j *letterJudge) Close() {
	for _, e := range j.engines {
		if e != nil {
			e.Close()
		}
	}
}

// engine returns what judges by the rules of these names; nil if there are none.
func (j *letterJudge) engine(names []string) (*judging, error) {
	key := strings.Join(names, "\x00")
	if e, ok := j.engines[key]; ok {
		return e, nil
	}
	var some []*rules.Rule
	for _, r := range j.set.Rules() {
		if slices.Contains(names, r.Name) && (len(r.To) == 0 || slices.Contains(r.To, j.feed.name)) {
			some = append(some, r)
		}
	}
	j.engines[key] = nil
	if len(some) == 0 {
		return nil, nil
	}
	set, err := rules.New(some)
	if err != nil {
		return nil, err
	}
	e := &judging{}
	e.Engine, err = engine.New(engine.Config{Rules: set, Sinks: map[string]engine.Sink{j.feed.name: e}, DeadLetter: e, Filter: j.plugins.engineFilter,
		Lookup: sourceLookups{j.p.lookups.of(j.feed.name)},
		Observe: func(_ *cdc.Batch, ds []cdc.Decision) {
			if len(ds) > 0 {
				e.last, e.some = ds[0], true
			}
		}})
	if err != nil {
		return nil, err
	}
	j.engines[key] = e
	return e, nil
}

// sourceLookups asks the source as it is now. Nothing is kept: the answers kept for the frame are of all its changes together.
type sourceLookups struct{ feed *feedLookups }

func (s sourceLookups) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	return s.feed.source(ctx, q)
}

// judge judges the one event of a batch.
func (j *letterJudge) judge(ctx context.Context, names []string, b *cdc.Batch) (d judged, why string, err error) {
	e, err := j.engine(names)
	if err != nil {
		return d, "", err
	}
	if e == nil {
		d.outcome = letterNoRule
		return d, "there is no rule " + strings.Join(names, ", ") + " for this feed any more: name it so again, or discard the letter", nil
	}
	e.last, e.some = cdc.Decision{}, false
	if err := e.Handle(ctx, b); cdc.CodeOf(err) == "CDCD-5001" { // on_error: halt
		d.outcome = letterFails
		return d, err.Error(), nil
	} else if err != nil {
		return d, "", err
	}
	d.Decision = e.last
	d.RuleSet = j.set.Digest()
	for _, failed := range d.Errors {
		if failed.OnError == cdc.DeadLetter {
			d.outcome = letterFails
			return d, fmt.Sprintf("rule %s: %s", failed.Rule.Name, failed.Err), nil
		}
	}
	d.outcome = letterNoMatch
	if slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, j.feed.name) }) {
		d.outcome = letterMatches
	}
	return d, "", nil
}

// editLetter returns a letter's event with corrected values: {"before":{column: value},"after":{…}}, values as records have them.
func editLetter(l *deadletter.Letter, text []byte) (*cdc.Batch, error) {
	e := l.Batch.Event(0)
	t := e.Table()
	wrong := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-4602", "the correction of dead letter %s cannot be made: %w", l.ID(), fmt.Errorf(format, args...)).
			WithFix(`write the values that are to be others, as cdcd dlq show has them: {"after": {"column": value}}`)
	}
	var set struct {
		Before map[string]json.RawMessage `json:"before"`
		After  map[string]json.RawMessage `json:"after"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&set); err != nil {
		return nil, wrong("%w", err)
	}
	if len(set.Before)+len(set.After) == 0 {
		return nil, wrong("it corrects nothing")
	}
	values := map[[2]int]cdc.Value{} // after, column
	for side, columns := range []map[string]json.RawMessage{set.Before, set.After} {
		image, row := "before", e.Before()
		if side == 1 {
			image, row = "after", e.After()
		}
		if len(columns) == 0 {
			continue
		}
		if !row.Exists() {
			return nil, wrong("the event has no '%s'", image)
		}
		for name := range columns {
			switch i := t.Column(name); {
			case i < 0:
				return nil, wrong("%s has no column '%s'", t, name)
			case t.Columns[i].Key != 0:
				return nil, wrong("column '%s' is part of the key: it would be another row", name)
			}
		}
		// It is read as the record of an insert, which needs nothing but these columns.
		record, err := json.Marshal(map[string]any{"id": "x/0", "op": "insert", "table": t.String(), "after": columns,
			"source": map[string]any{"file": "x"}, "commit_time": e.CommitTime()})
		if err != nil {
			return nil, wrong("%w", err)
		}
		read, err := rules.ParseEvent(record, []*cdc.Table{t})
		if err != nil {
			return nil, wrong("%w", err)
		}
		for name := range columns {
			i := t.Column(name)
			values[[2]int{side, i}] = read.After().Value(i)
		}
	}
	b, err := l.Edited(func(after bool, column int) (cdc.Value, bool) {
		side := 0
		if after {
			side = 1
		}
		v, ok := values[[2]int{side, column}]
		return v, ok
	})
	if err != nil {
		return nil, wrong("%w", err)
	}
	return b, nil
}

// aside is what works on the stores and the stream of a configuration while no cdcd runs: nothing is captured or delivered by it.
func (a *app) aside(ctx context.Context, cfg *config, unanswered error) (*pipeline, error) {
	if !hasStream(cfg) {
		return nil, cdc.Errorf("CDCD-2301", "there is no history: nothing has been captured into %s", cfg.Data).WithFix("run cdcd first")
	}
	p := &pipeline{app: a, cfg: cfg, writer: writerName(), rules: newRuleWatch(), triggers: &triggers{}}
	var err error
	if p.stream, err = a.unattended(ctx, cfg, unanswered); err != nil {
		return nil, err
	}
	fail := func(err error) (*pipeline, error) { p.closeAside(); return nil, err }
	p.lookups = openLookups(cfg, a.env, p.stream, nil) // so that it can be closed
	if p.persons, err = openPersons(ctx, cfg, p.stream); err != nil {
		return fail(err)
	}
	p.lookups.persons = p.persons
	store, err := p.stream.Rules(ctx)
	if err != nil {
		return fail(err)
	}
	p.desk = newRuleDesk(a, cfg, newRuleBook(store), a.pluginsAside(cfg))
	if err := p.openFeeds(ctx); err != nil {
		return fail(err)
	}
	p.audit, err = audit.Open(ctx, audit.Config{Dir: cfg.Audit.Dir, KeyFile: cfg.Audit.KeyFile, Origin: "cdcd/" + cfg.Name, Logger: a.log})
	if err != nil {
		return fail(err)
	}
	return p, nil
}

func (p *pipeline) closeAside() {
	if p.audit != nil {
		p.audit.Close()
	}
	if p.lookups != nil {
		p.lookups.Close()
	}
	p.stream.Close()
	if p.desk != nil {
		p.desk.plugins.Close()
	}
	for _, f := range p.feeds {
		closeStore(f.store)
	}
}
