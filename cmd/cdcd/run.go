package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
)

func newRunCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Capture, decide and deliver, until stopped",
		Long: `Run reads the source into the stream and delivers every feed from there, until it is stopped (Ctrl-C, SIGTERM).
It may be killed at any moment: what is delivered is found again in the stores, and everything else in the stream and
the binlog. With source.binlog it ends by itself when all files are delivered.

Changed rule files are taken up while it runs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return runPipeline(cmd.Context(), a, cfg)
		},
	}
}

// runPipeline runs cfg until ctx ends, which is no error. An embedded server whose write failed takes nothing more until it is
// started again. That is done here when the disk has room; but not for ever, since a disk may be broken.
func runPipeline(ctx context.Context, a *app, cfg *config) error {
	boundMemory(cfg)
	var restarted time.Time
	for {
		err := runOnce(ctx, a, cfg)
		if cdc.CodeOf(err) != "CDCD-3006" || cfg.Bus.Embedded == nil || bus.Room(cfg.Data) && time.Since(restarted) < time.Minute {
			return err
		}
		a.log.Error("the stream could not be written; starting again when the disk has room", "event", "run.restart", "data", cfg.Data, "err", err)
		for restarted = time.Now(); !bus.Room(cfg.Data); restarted = time.Now() {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				a.log.Info("stopped", "event", "run.stopped")
				return nil
			}
		}
	}
}

func runOnce(ctx context.Context, a *app, cfg *config) error {
	p, err := openPipeline(ctx, a, cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	a.log.Info("running", "event", "run.started", "source", cfg.Name, "writer", p.writer, "feeds", feedNames(cfg), "data", cfg.Data)

	g, gctx := errgroup.WithContext(ctx)
	if listen := cfg.Console.Listen; listen != "" && listen != "off" {
		listener, err := cfg.listen()
		if err != nil {
			return cdc.Errorf("CDCD-1032", "console.listen: %w", err).
				WithFix("stop what uses %s, set console.listen to another address, or to off", listen)
		}
		if err := cfg.Console.guarded(listener.Addr()); err != nil {
			listener.Close()
			return err
		}
		a.log.Info("the console is at http://"+listener.Addr().String(), "event", "console.listening", "address", "http://"+listener.Addr().String(),
			"asks_who", cfg.Console.asks())
		g.Go(func() error { return serve(gctx, listener, p.handler()) })
	}
	g.Go(func() error {
		if err := p.Run(gctx); err != nil {
			return err
		}
		return errDelivered // ends the console
	})
	switch err := g.Wait(); {
	case errors.Is(err, errDelivered):
		return nil
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		a.log.Info("stopped", "event", "run.stopped")
		return nil
	default:
		return err
	}
}

// listen returns the listener that there is already, once, or a new one.
func (c *config) listen() (net.Listener, error) {
	if l := c.listener; l != nil {
		c.listener = nil
		return l, nil
	}
	return net.Listen("tcp", c.Console.Listen)
}

// boundMemory tells the garbage collector from what use of memory on it has to work harder: what the stream and the
// capture hold at full speed, and for each feed two objects that grow or are stored, and one batch. It is no hard limit,
// and it must not be tight: beneath what is in use the collector runs all the time, and the embedded server reads
// blocks of 8 MiB again and again that it keeps by weak pointers. GOMEMLIMIT in the environment overrides it.
func boundMemory(cfg *config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(112 << 20)
	for _, f := range cfg.Feeds {
		limit += 2*int64(f.Rotate.Bytes) + 8<<20
	}
	debug.SetMemoryLimit(limit)
}

// serve answers on the listener until ctx ends.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return ctx.Err()
}
