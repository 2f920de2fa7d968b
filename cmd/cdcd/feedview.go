package main

import (
	"context"
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/mask"
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
	methods := cfg.methods()
	i := slices.IndexFunc(methods, func(m maskMethod) bool { return string(m.method) == method })
	opened, err := openMask(methods[i])
	if err != nil {
		return nil, err
	}
	if !cfg.Feeds[feed].View.MaskJoin {
		opened = opened.For(feed)
	}
	return opened, nil
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
