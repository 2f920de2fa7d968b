package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

// eventsOptions name changes of the stream.
type eventsOptions struct {
	rule, since string
	limit       int
}

func (o *eventsOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.rule, "rule", "", "only changes that the condition of this rule lets through; default: all of the plugin's tables")
	cmd.Flags().IntVar(&o.limit, "limit", 100, "how many changes at most: the last ones, or with --since the first ones")
	cmd.Flags().StringVar(&o.since, "since", "", "only changes that were committed within this time before now, such as 1h or 7d, or after a date")
}

// eventsWish is the same for the one who reads the stream: what POST /events takes.
type eventsWish struct {
	Rules  []ruleText `json:"rules,omitempty"`
	Rule   string     `json:"rule,omitempty"`
	Tables []string   `json:"tables,omitempty"` // globs, instead of a rule
	Limit  int        `json:"limit"`
	From   time.Time  `json:"from,omitzero"`
}

// maxRecorded bounds how many changes are taken out of the stream at once, and what they may have in bytes.
const (
	maxRecorded      = 10_000
	maxRecordedBytes = 256 << 20
)

// wish makes the wish of a project. The rule is nil when none is named.
func (o *eventsOptions) wish(a *app, p *pluginkit.Project) (eventsWish, *rules.Rule, error) {
	w := eventsWish{Rule: o.rule, Limit: o.limit, Tables: p.Tables}
	if o.limit < 1 || o.limit > maxRecorded {
		return w, nil, usagef("--limit cannot be %d", o.limit).WithFix("give 1 to %d", maxRecorded)
	}
	var err error
	if w.From, err = timeOf("--since", o.since, time.Now()); err != nil {
		return w, nil, err
	}
	if len(w.Tables) == 0 {
		w.Tables = []string{"*.*"}
	}
	if o.rule == "" {
		return w, nil, nil
	}
	if w.Rules, err = a.ruleTexts(nil); err != nil {
		return w, nil, err
	}
	set, err := parseTexts(w.Rules)
	if err != nil {
		return w, nil, err
	}
	r, err := ruleNamed(set, o.rule)
	return w, r, err
}

func ruleNamed(set *rules.Set, name string) (*rules.Rule, error) {
	var names []string
	for _, r := range set.Rules() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	err := usagef("there is no rule '%s'", name)
	if near, ok := strictyaml.Nearest(name, names); ok {
		return nil, err.WithFix("did you mean '%s'?", near)
	}
	return nil, err.WithFix("the rules are: %s", strings.Join(names, ", "))
}

// wanted returns what says whether a change is wanted.
func (w *eventsWish) wanted() (func(cdc.Event) bool, error) {
	if w.Rule == "" {
		globs, err := tableGlobs(w.Tables)
		if err != nil {
			return nil, err
		}
		return func(e cdc.Event) bool {
			return slices.ContainsFunc(globs, func(g cdc.TableGlob) bool { return g.Match(e.Table().Schema, e.Table().Name) })
		}, nil
	}
	set, err := parseTexts(w.Rules)
	if err != nil {
		return nil, err
	}
	r, err := ruleNamed(set, w.Rule)
	if err != nil {
		return nil, err
	}
	if set, err = rules.New([]*rules.Rule{r}); err != nil {
		return nil, err
	}
	set = set.As(rules.Active)
	return func(e cdc.Event) bool { return len(set.Decide(e).Matches) > 0 }, nil
}

// find looks for the changes in the stream.
func (w *eventsWish) find(ctx context.Context, stream *bus.Stream, progress func(searched)) ([]foundEvent, error) {
	wanted, err := w.wanted()
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	first, last := max(info.First, 1), info.Last
	parts := backwards(first, last)
	if !w.From.IsZero() {
		if first, err = stream.At(ctx, w.From); err != nil {
			return nil, err
		}
		parts = [][2]uint64{{first, last}}
	}
	s := searched{Of: last + 1 - min(first, last+1)}
	var all []foundEvent
	var single cdc.Builder
	total := 0
	for _, part := range parts {
		var found []foundEvent
		partCtx, stop := context.WithCancelCause(ctx)
		err := stream.Read(partCtx, part[0], part[1], func(_ context.Context, b *cdc.Batch) error {
			s.Frames++
			progress(s)
			for i := range b.Len() {
				e := b.Event(i)
				if !wanted(e) || e.CommitTime().Before(w.From) {
					continue
				}
				f := foundEvent{single.Single(e), b.Seq, b.Rules.String()}
				found = append(found, f)
				if total += len(f.Frame); total > maxRecordedBytes || !w.From.IsZero() && len(found) == w.Limit {
					stop(errFound)
					return errFound
				}
			}
			if n := len(found) - w.Limit; n > 0 {
				found = append(found[:0], found[n:]...)
			}
			return nil
		})
		enough := context.Cause(partCtx) == errFound
		stop(nil)
		if err != nil && !enough {
			return nil, err
		}
		all = append(found, all...)
		if enough || len(all) >= w.Limit {
			break
		}
	}
	return all[max(0, len(all)-w.Limit):], nil
}

// eventsOf returns changes of the stream: the running cdcd is asked, and the stream is read itself when there is none.
func (a *app) eventsOf(ctx context.Context, wish eventsWish) ([]cdc.Event, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	live := living{ui: a.ui}
	defer live.end()
	progress := func(s searched) {
		live.show("search: ", fmt.Sprintf("looked into %s of %s frames", grouped(s.Frames), grouped(s.Of)))
	}
	found, unanswered := eventsOfRunning(ctx, cfg, wish, progress)
	if cdc.CodeOf(unanswered) == codeNotRunning {
		if !hasStream(cfg) {
			return nil, cdc.Errorf("CDCD-2557", "there is no history: nothing has been captured into %s", cfg.Data).
				WithFix("run cdcd first, or name files with events")
		}
		stream, err := a.unattended(ctx, cfg, unanswered)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		found, err = wish.find(ctx, stream, progress)
		if err != nil {
			return nil, err
		}
	} else if unanswered != nil {
		return nil, unanswered
	}
	if len(found) == 0 {
		e := cdc.Errorf("CDCD-2557", "the stream has no change of %s", strings.Join(wish.Tables, ", "))
		if wish.Rule != "" {
			e = cdc.Errorf("CDCD-2557", "the condition of rule '%s' has let no change in the stream through", wish.Rule)
		}
		return nil, e.WithFix("make one in the database, or look further back: --since 7d")
	}
	events := make([]cdc.Event, len(found))
	tables := &cdc.Tables{} // equal tables are one
	for i := range found {
		b, err := cdc.Open(found[i].Frame, tables)
		if err != nil || b.Len() != 1 {
			return nil, fmt.Errorf("%s/events: a frame that is none: %w", cfg.Console.Listen, err)
		}
		events[i] = b.Event(0)
	}
	return events, nil
}

func eventsOfRunning(ctx context.Context, cfg *config, wish eventsWish, progress func(searched)) ([]foundEvent, error) {
	text, err := json.Marshal(wish)
	if err != nil {
		return nil, err
	}
	resp, err := callRunning(ctx, cfg, http.MethodPost, "/events", bytes.NewReader(text), 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // it explains the status, if it can
		return nil, fmt.Errorf("%s/events: %s: %s", cfg.Console.Listen, resp.Status, bytes.TrimSpace(text))
	}
	return hearLines[searched, []foundEvent](ctx, resp.Body, progress)
}

// events answers POST /events with changes, which are searched until they are found or who asked goes away.
func (p *pipeline) events(w http.ResponseWriter, r *http.Request) {
	var wish eventsWish
	if !readWish(w, r, 3*maxDraft, &wish) {
		return
	}
	if wish.Limit < 1 || wish.Limit > maxRecorded {
		http.Error(w, fmt.Sprintf("limit is 1 to %d", maxRecorded), http.StatusBadRequest)
		return
	}
	if !enter(w, &p.searches, maxSearches, "enough searches are running already") {
		return
	}
	defer p.searches.Add(-1)
	say := sayLines[searched, []foundEvent](w)
	said := time.Now()
	found, err := wish.find(r.Context(), p.stream, func(s searched) {
		if now := time.Now(); now.Sub(said) > 200*time.Millisecond {
			said = now
			say(slowLine[searched, []foundEvent]{Progress: &s})
		}
	})
	if err != nil {
		no := refusalOf(err)
		say(slowLine[searched, []foundEvent]{Error: &no})
		return
	}
	if found == nil {
		found = []foundEvent{}
	}
	say(slowLine[searched, []foundEvent]{Result: &found})
}
