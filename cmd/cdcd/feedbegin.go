package main

import (
	"context"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/sinks/chain"
)

// beginOf returns the time that the setting begin of a feed means; zero for the oldest change that there is.
func beginOf(text string, now time.Time) (time.Time, error) {
	switch text {
	case "", "oldest":
		return time.Time{}, nil
	case "now":
		return now, nil
	}
	return timeOf("begin", text, now)
}

// begin settles where a new feed begins, before anything is delivered: after a crash it must not begin later. A stream that
// has nothing yet is waited for, since only what it holds has a number.
func (p *pipeline) begin(ctx context.Context, f *feed, c *chain.Split) error {
	now := time.Now()
	from, err := beginOf(f.cfg.Begin, now)
	if next, _ := c.Next(); err != nil || from.IsZero() || next != 0 {
		return err
	}
	last, err := p.last(ctx)
	for ; err == nil && last.Epoch == 0; last, err = p.last(ctx) {
		if err := pause(ctx, 0); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	info, err := p.stream.Info(ctx)
	if err != nil {
		return err
	}
	seq, err := p.stream.At(ctx, from)
	if err != nil {
		return err
	}
	first := last.PartNos[0]
	if seq <= last.Seq {
		if first, err = p.stream.PartNoAt(ctx, seq); err != nil {
			return fmt.Errorf("where the feed begins: %w", err)
		}
	}
	if seq <= info.First && info.First > 1 {
		p.log.Warn("the stream does not reach back as far as the feed is to begin; it begins with the oldest change that there is",
			"event", "feed.begin", "feed", f.name, "begin", f.cfg.Begin)
	}
	p.log.Info("feed begins", "event", "feed.begin", "feed", f.name, "begin", f.cfg.Begin, "part_no", first, "seq", min(seq, last.Seq))
	return c.Begin(ctx, first, min(seq, last.Seq), last.Epoch, from)
}
