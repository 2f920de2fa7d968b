package main

import (
	"context"
	"net"
	"net/url"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/nats"
)

// onOwnBus is the store of a feed in the embedded bus, which is open for it alone.
type onOwnBus struct {
	*nats.Store
	bus *bus.Stream
}

// Close lets the store go, and then the bus.
func (s onOwnBus) Close() error {
	err := s.Store.Close()
	s.bus.Close()
	return err
}

// reach makes a store that was opened for reading one that answers although no cdcd need run. One that is in the embedded bus is
// there only while somebody has that open: the cdcd that runs, or, when there is none, this process.
func (a *app) reach(ctx context.Context, cfg *config, store chain.Store) (chain.Store, error) {
	own, ok := store.(*nats.Store)
	if !ok || !cfg.ownBus(own.String()) {
		return store, nil
	}
	listen := cfg.Bus.Embedded.Listen
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", listen)
	if err == nil {
		return store, conn.Close()
	}
	silent := cdc.Errorf(codeNotRunning, "%s is in the embedded bus, and nobody answers at %s: %w", store, listen, err).
		WithFix("start cdcd with `cdcd run`, or mend what keeps it from answering there")
	var stream *bus.Stream
	if err = silent; hasStream(cfg) {
		stream, err = a.unattended(ctx, cfg, silent)
	}
	if err != nil {
		own.Close()
		return nil, err
	}
	return onOwnBus{own, stream}, nil
}

// ownBus reports whether an address is where the embedded bus listens, which is on loopback addresses only.
func (c *config) ownBus(address string) bool {
	e := c.Bus.Embedded
	if e == nil || e.Listen == "" {
		return false
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	_, port, err := net.SplitHostPort(e.Listen)
	host := u.Hostname()
	return err == nil && u.Port() == port && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
