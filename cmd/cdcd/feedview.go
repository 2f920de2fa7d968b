package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/mask"
	"github.com/cdcd-project/cdcd/internal/mask/method"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/view"
)

// openView makes the view of a feed. Keys that its settings need are read now, those that only rules need when they do.
func openView(cfg *config, name string) (*view.View, error) {
	c := &cfg.Feeds[name].View
	out := view.Config{Feed: name, Select: c.Select, Drop: c.Drop, Keys: func(method string) (view.Mask, error) { return feedMask(cfg, name, method) }}
	for _, method := range slices.Sorted(maps.Keys(c.Mask)) {
		for _, columns := range c.Mask[method] {
			out.Mask = append(out.Mask, view.ColumnMask{Columns: columns, Method: method})
		}
	}
	return view.New(out)
}

// feedMask opens the key of a method for a feed. Unless the feed is to be joined with others, its masks are its own.
func feedMask(cfg *config, feed, method string) (*mask.Mask, error) {
	opened, err := keyedMask(cfg, method)
	if err != nil {
		return nil, err
	}
	if !cfg.Feeds[feed].View.MaskJoin {
		opened = opened.For(feed)
	}
	return opened, nil
}

// keyedMask opens the key of a method.
func keyedMask(cfg *config, method string) (*mask.Mask, error) {
	methods := cfg.methods()
	i := slices.IndexFunc(methods, func(m maskMethod) bool { return string(m.method) == method })
	return openMask(methods[i])
}

// keyedRules checks that there is a key for each method with which rules mask what they deliver, so that no feed has to wait for one.
// wanted says which rules it is about.
func keyedRules(cfg *config, set *rules.Set, wanted func(*rules.Rule) bool) error {
	opened := map[string]bool{}
	for _, r := range set.Rules() {
		if r.Mode != rules.Active || r.Show == nil || !wanted(r) {
			continue
		}
		for _, m := range r.Show.Mask {
			how, err := method.Parse(m.Method)
			if err != nil || !how.Keyed() || opened[how.Name] {
				continue // what cannot be read was said of the rule
			}
			if _, err := keyedMask(cfg, how.Name); err != nil {
				return keylessRule(r, m, err)
			}
			opened[how.Name] = true
		}
	}
	return nil
}

// keylessRule is the error of a rule that masks with a key that cannot be had.
func keylessRule(r *rules.Rule, m cdc.MaskPath, err error) error {
	e := cdc.Errorf("CDCD-4201", "rule %s masks %s.%s with %s: %w", r.Name, m.Of, m.Column, m.Method, err)
	var cause *cdc.Error
	if errors.As(err, &cause) {
		e.What, e.Fix = fmt.Sprintf("rule %s masks %s.%s with %s: %s", r.Name, m.Of, m.Column, m.Method, cause.What), cause.Fix
	}
	return e
}

// viewed is a feed's sink that makes sure that what it is given can be masked before any of it is rendered.
type viewed struct {
	view *view.View
	next feedSink
}

// feedSink is what takes a feed's decisions.
type feedSink interface {
	engine.Sink
	engine.Flusher
}

// Write hands a batch on, or leaves it to be offered again.
func (s viewed) Write(ctx context.Context, b *cdc.Batch, ds []cdc.Decision) error {
	if err := s.view.Prepare(ctx, b, ds); err != nil {
		return err
	}
	return s.next.Write(ctx, b, ds)
}

// Flush returns when everything that was written is committed.
func (s viewed) Flush(ctx context.Context) error { return s.next.Flush(ctx) }
