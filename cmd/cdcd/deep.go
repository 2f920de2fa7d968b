package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// deep is `check --deep`: it does for trial what run does. It tells on stderr what it is at.
func (c *checker) deep(limit time.Duration) {
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	c.ui.note("looking at the stream …")
	from := c.deepBus(ctx)
	for _, name := range feedNames(c.cfg) {
		c.ui.note("looking at the store of feed %s …", name)
		c.deepStore(ctx, name)
	}
	if c.cfg.Source.MySQL == nil {
		return
	}
	server, err := serverConfig(c.cfg, c.env)
	if err != nil {
		return // the plain check has said it
	}
	findings, err := mysql.Deep(ctx, server, from, func(what string) { c.ui.note("looking at %s …", what) })
	c.found(findings)
	if err != nil {
		c.deepFailed(ctx, "mysql.deep", err)
	}
}

// deepFailed adds an error, unless it is only that the time is over.
func (c *checker) deepFailed(ctx context.Context, name string, err error) {
	if ctx.Err() == nil {
		c.failed(name, err)
		return
	}
	item := c.add(name, "warn", "not looked at to the end: the time was over")
	item.Code, item.Fix = "CDCD-1225", "cdcd check --deep --limit 5m"
}

func (c *checker) found(findings []mysql.Finding) {
	for _, f := range findings {
		item := c.add(f.Name, f.Verdict.String(), "%s", f.Detail)
		item.Code, item.Fix = f.Code, f.Fix
	}
}

// deepBus measures what the stream takes to keep something, in the bucket beside it, and returns where capture goes on.
// A stream that a running cdcd has is not disturbed: that one is asked.
func (c *checker) deepBus(ctx context.Context) (from cdc.Checkpoint) {
	stream, err := openBus(ctx, c.app, c.cfg, writerName(), nil)
	if bus.InUse(err) {
		return c.deepRunning(ctx)
	}
	if err != nil {
		c.deepFailed(ctx, "bus.latency", err)
		return from
	}
	defer stream.Close()
	var took []time.Duration
	for n := range 5 {
		began := time.Now()
		text := fmt.Appendf(nil, "%d %d", n, began.UnixNano())
		err := stream.SetProgress(ctx, "check", text)
		var back []byte
		if err == nil {
			back, err = stream.Progress(ctx, "check")
		}
		if err != nil {
			c.deepFailed(ctx, "bus.latency", err)
			return from
		}
		if string(back) != string(text) {
			c.add("bus.latency", "warn", "what was just kept is not read back yet: a replica that lags answers")
			return from
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	c.add("bus.latency", "ok", "kept durably and read back in %s (median of %d)", round(took[len(took)/2]), len(took))
	from, _, _, err = stream.Last(ctx)
	if err != nil {
		c.deepFailed(ctx, "bus.checkpoint", err)
	}
	return from
}

// deepRunning asks the running cdcd how it is.
func (c *checker) deepRunning(ctx context.Context) (from cdc.Checkpoint) {
	body, err := askRunning(ctx, c.cfg, "/status", 10*time.Second)
	if err != nil {
		c.deepFailed(ctx, "run.status", err)
		return from
	}
	defer body.Close()
	var s state
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		c.failed("run.status", fmt.Errorf("status of the running cdcd: %w", err))
		return from
	}
	if !s.Ready {
		c.failed("run.status", fmt.Errorf("the running cdcd is not ready: %s", s.Why))
	} else {
		c.add("run.status", "ok", "the running cdcd is ready, %.1f s behind", s.Capture.LagSeconds)
	}
	return cdc.Checkpoint{Server: s.Capture.Server, File: s.Capture.File, Pos: s.Capture.Pos}
}

// deepStore measures what a feed's store takes.
func (c *checker) deepStore(ctx context.Context, name string) {
	store, err := openStore(ctx, c.env, c.cfg, name)
	if err != nil {
		return // the plain check has said it
	}
	defer closeStore(store)
	t, err := chain.Examine(ctx, store)
	if err != nil {
		c.deepFailed(ctx, "feed."+name+".latency", err)
		return
	}
	c.add("feed."+name+".latency", "ok", "put in %s, read back in %s, found in the list in %s", round(t.Put), round(t.Get), round(t.List))
}

func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
