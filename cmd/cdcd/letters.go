package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// letterGroups groups the dead letters by cause; with all also those groups of which nothing is open any more.
func letterGroups(ctx context.Context, cfg *config, feeds []string, all bool) (api.DLQList, error) {
	list := api.DLQList{Groups: []api.DLQGroup{}}
	groups := map[string]*api.DLQGroup{}
	err := eachLetter(ctx, cfg, feeds, func(l *letterState) error {
		c := l.Cause()
		g := groups[c.ID()]
		if g == nil {
			g = &api.DLQGroup{ID: c.ID(), DLQCause: api.DLQCause(c), Settled: map[string]int{}, Fix: fixOf(c.Code)}
			groups[g.ID] = g
		}
		countLetter(g, l)
		return nil
	})
	if err != nil {
		return list, err
	}
	for _, g := range groups {
		if list.Open += g.Open; g.Open > 0 || all {
			list.Groups = append(list.Groups, *g)
		}
	}
	slices.SortFunc(list.Groups, func(a, b api.DLQGroup) int {
		return cmp.Or(cmp.Compare(a.Feed, b.Feed), cmp.Compare(b.Open, a.Open), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

func countLetter(g *api.DLQGroup, l *letterState) {
	at := l.Batch.Event(0).CommitTime().UTC()
	if g.First.IsZero() || at.Before(g.First) {
		g.First = at
	}
	if at.After(g.Last) {
		g.Last = at
	}
	if l.Edits > 0 {
		g.Edited++
	}
	if l.Settled == "" {
		g.Open++
	} else {
		g.Settled[l.Settled]++
	}
	if g.Example == "" || l.Settled == "" && g.Open == 1 {
		g.Example = l.ID()
		for _, f := range l.Errors {
			if f.Rule == g.Rule {
				g.Error = f.Error
				break
			}
		}
	}
}

// lettersNamed returns the dead letters with these IDs or of these groups, in a state or in any: up to limit behind the first ones that
// are passed over.
func lettersNamed(ctx context.Context, cfg *config, names []string, state string, pass, limit int) (api.DeadLetters, error) {
	some, found := api.DeadLetters{Letters: []api.DeadLetter{}}, map[string]bool{}
	err := eachLetter(ctx, cfg, nil, func(l *letterState) error {
		wanted := false
		for _, name := range []string{l.ID(), l.Cause().ID()} {
			if slices.Contains(names, name) {
				found[name], wanted = true, true
			}
		}
		if !wanted || state != "" && state != l.state() {
			return nil
		}
		if some.Of++; some.Of <= pass {
			return nil
		}
		if len(some.Letters) >= limit {
			some.More++
			return nil
		}
		one, err := l.show(ctx)
		some.Letters = append(some.Letters, one)
		return err
	})
	if err != nil {
		return some, err
	}
	for _, name := range names {
		if !found[name] {
			return some, noLetter(name)
		}
	}
	return some, nil
}

// letterState is a letter, with what became of it.
type letterState struct {
	*deadletter.Letter
	Settled string // "": it is open
	Job     *deadletter.Job
	Edits   int
	book    *deadletter.Book
	cfg     *config
}

// eachLetter reads the dead letters of feeds; none: of all.
func eachLetter(ctx context.Context, cfg *config, feeds []string, yield func(*letterState) error) error {
	if err := knownFeeds(cfg, feeds); err != nil {
		return err
	}
	for _, name := range feedNames(cfg) {
		dir := filepath.Join(cfg.DeadLetters.Dir, name)
		if len(feeds) > 0 && !slices.Contains(feeds, name) {
			continue
		}
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			continue // it was never run
		}
		store, err := openFolder(dir)
		if err != nil {
			return fmt.Errorf("dead letters of feed %s: %w", name, err)
		}
		book := deadletter.NewBook(name, store)
		jobs, err := book.Jobs(ctx)
		if err != nil {
			return err
		}
		edits, err := book.Corrected(ctx)
		if err != nil {
			return err
		}
		type fate struct {
			outcome string
			job     *deadletter.Job
		}
		fates := map[uint64]fate{}
		for i := range jobs {
			for _, s := range jobs[i].Settled {
				fates[s.No] = fate{s.Outcome, &jobs[i]}
			}
		}
		if err := book.Letters(ctx, func(l *deadletter.Letter) error {
			f := fates[l.No()]
			return yield(&letterState{l, f.outcome, f.job, edits[l.No()], book, cfg})
		}); err != nil {
			return err
		}
	}
	return nil
}

// state is what became of it, in a word.
func (l *letterState) state() string { return cmp.Or(l.Settled, "open") }

// show writes a letter as it is printed.
func (l *letterState) show(ctx context.Context) (api.DeadLetter, error) {
	e := l.Batch.Event(0)
	s := api.DeadLetter{ID: l.ID(), Group: l.Cause().ID(), Feed: l.Feed, Frame: l.Seq, RuleSet: l.RuleSet, State: l.state(), SHA256: l.SHA256,
		DeliveredBy: l.DeliveredBy, Incomplete: e.Incomplete(), Event: cdc.AppendEvent(nil, e)}
	for _, f := range l.Errors {
		s.Errors = append(s.Errors, api.DLQError{Rule: f.Rule, Version: f.Version, Code: f.Code, OnError: f.OnError, Error: f.Error, Fix: fixOf(f.Code)})
	}
	if l.Job != nil {
		s.Job, s.By, s.Why = fmt.Sprintf("%s/%d", l.Feed, l.Job.No), l.Job.By, l.Job.Why
	}
	if l.Edits == 0 {
		return s, nil
	}
	edits, err := l.book.Edits(ctx, l.No())
	for _, one := range edits {
		s.Edits = append(s.Edits, api.DLQEdit{Letter: one.Letter, No: one.No, At: one.At, By: one.By, Why: one.Why, Set: one.Set})
	}
	if err != nil || len(edits) == 0 {
		return s, err
	}
	b, err := editLetter(l.cfg, l.Letter, edits[len(edits)-1].Set)
	if err == nil { // it was written by a cdcd that could
		s.Edited = string(cdc.AppendEvent(nil, b.Event(0)))
	}
	return s, nil
}

// fixOf returns what the page of a code says that is to be done: its first paragraph or item.
func fixOf(code string) string { return pageFixes()[code] }

var pageFixes = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, page := range readCodePages() {
		_, text, _ := strings.Cut(page.Text, "\n## What to do\n")
		text = strings.TrimSpace(text)
		for _, end := range []string{"\n\n", "\n- ", "\n1. ", "\n2. ", "\n```"} {
			text, _, _ = strings.Cut(text, end)
		}
		text = strings.TrimPrefix(strings.TrimPrefix(text, "- "), "1. ")
		all[page.Code] = strings.Join(strings.Fields(text), " ")
	}
	return all
})
