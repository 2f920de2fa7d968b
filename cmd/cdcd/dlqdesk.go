package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
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

// needs says which role may wish it.
func (wish *dlqWish) needs() api.Role {
	if wish.Do == "retest" && !wish.Yes {
		return api.Analyst
	}
	return api.Operator
}

type dlqLine = slowLine[api.DLQProgress, api.DLQResult]

const (
	dlqListed    = 1000    // letters in an answer
	dlqJob       = 1000    // letters in a job
	dlqJobBytes  = 8 << 20 // of records in a job
	redrivenName = "redriven"
	// The numbers of redriven records are of no stream: they have a lineage of their own.
	redrivenEpoch = 1 << 32
)

// turn is had by one at a time; whoever waits for it may stop waiting.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// askDLQ answers POST /dlq.
func (p *pipeline) askDLQ(w http.ResponseWriter, r *http.Request) {
	var wish dlqWish
	if !readWish(w, r, 2*maxDraft, &wish) {
		return
	}
	if !may(w, r, wish.needs()) {
		return
	}
	wish.By = by(r, wish.By)
	say := sayLines[api.DLQProgress, api.DLQResult](w)
	result, err := p.deadLetters(r.Context(), wish, func(at api.DLQProgress) { say(dlqLine{Progress: &at}) })
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
	progress func(api.DLQProgress)
	result   api.DLQResult
	at       api.DLQProgress
}

// deadLetters does what is wished. One wish is fulfilled at a time.
func (p *pipeline) deadLetters(ctx context.Context, wish dlqWish, progress func(api.DLQProgress)) (api.DLQResult, error) {
	switch {
	case wish.Do == "retest" && wish.Yes:
		return api.DLQResult{}, usagef("to try dead letters again settles none").WithFix("redrive settles them")
	case wish.Do != "retest" && wish.Do != "redrive" && wish.Do != "discard":
		return api.DLQResult{}, usagef("'%s' is nothing that is done with dead letters", wish.Do)
	}
	if err := p.dlq.take(ctx); err != nil {
		return api.DLQResult{}, err
	}
	defer p.dlq.give()
	w := &dlqWork{p: p, wish: wish, plugins: p.pluginsAside(p.cfg), progress: progress,
		result: api.DLQResult{Do: wish.Do, DryRun: !wish.Yes, Counts: map[string]int64{}, Jobs: []string{}, Into: []string{}, Letters: []api.DLQOutcome{}}}
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
		out := api.DLQOutcome{ID: l.ID(), Event: l.Batch.Event(0).ID(), Table: l.Batch.Event(0).Table().String()}
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
func (w *dlqWork) tell(out api.DLQOutcome) {
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
func (w *dlqWork) judge(ctx context.Context, f *feed, book *deadletter.Book, judge *letterJudge, l *deadletter.Letter, out *api.DLQOutcome, entry *deadletter.Settled) error {
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
		b, err = editLetter(w.p.cfg, l, corrected)
		if cdc.CodeOf(err) == codeSecretEdit && w.wish.Edit == nil { // of an older cdcd, or the column was none then
			out.Outcome, out.Why = letterFails, err.Error()
			return nil
		}
		if err != nil {
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
