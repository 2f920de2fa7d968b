package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/cdcd-project/cdcd/cdc"
)

// messageOverhead is what a message may have beside its frame: headers and subject. With the largest frame it stays
// below the 32 MiB that the server's file store takes.
const messageOverhead = 16 << 10

// minFree is how much of the disk has to stay free if nothing else is said.
const minFree = 256 << 20

// embedded is the server inside of this process, with the folder that it alone may use.
type embedded struct {
	srv  *server.Server
	lock *os.File
}

func startEmbedded(cfg *Config) (*embedded, error) {
	opts := &server.Options{
		ServerName: "cdcd-" + cfg.Source,
		DontListen: true,
		NoSigs:     true, // or it would install signal handlers of its own
		JetStream:  true,
		StoreDir:   filepath.Join(cfg.Dir, "jetstream"),
		SyncAlways: !cfg.AllowUnsynced,
		MaxPayload: cdc.MaxFrame + messageOverhead,
		// What is beside the stream: rules, the progress bucket, and room for the server's own accounting.
		JetStreamMaxStore: cfg.MaxBytes + cfg.LookupBytes + rulesBytes + progressBytes + personsBytes + (64 << 20),
	}
	if cfg.Listen != "" {
		host, port, err := listenAddr(cfg.Listen)
		if err != nil {
			return nil, err
		}
		opts.DontListen, opts.Host, opts.Port = false, host, port
	}
	lock, err := lockDir(cfg.Dir)
	var coded *cdc.Error
	switch {
	case errors.As(err, &coded):
		return nil, err
	case err != nil:
		return nil, serverError(cfg, err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		lock.Close()
		return nil, serverError(cfg, err)
	}
	srv.SetLoggerV2(serverLog{cfg.Logger}, false, false, false)
	srv.Start()
	e := &embedded{srv, lock}
	// A big stream whose index was lost is read again from its blocks, which takes as long as reading it.
	if !srv.ReadyForConnections(10 * time.Minute) {
		e.stop()
		return nil, serverError(cfg, fmt.Errorf("not ready within 10 minutes"))
	}
	if !srv.JetStreamEnabled() {
		e.stop()
		return nil, serverError(cfg, fmt.Errorf("JetStream could not be enabled"))
	}
	return e, nil
}

func serverError(cfg *Config, err error) error {
	return cdc.Errorf(codeServer, "embedded NATS server in %s: %w", cfg.Dir, err).
		WithFix("check that %s can be written by this user and that its disk has room", cfg.Dir)
}

// listenAddr allows loopback addresses only: the embedded server knows no users.
func listenAddr(listen string) (string, int, error) {
	refuse := func() error {
		return cdc.Errorf(codeListen, "the embedded server cannot listen on %q: it has no users, so it listens on loopback addresses only", listen).
			WithFix("use 127.0.0.1:4222, or an external NATS server with authentication (bus.nats)")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, refuse()
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, refuse()
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, refuse()
	}
	if n == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(n), nil
}

func (e *embedded) stop() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
	e.lock.Close() // gives the lock back
}

func (e *embedded) healthy() error {
	if h := e.srv.Healthz(&server.HealthzOptions{}); h.Status != "ok" {
		return cdc.Errorf(codeWrite, "the embedded NATS server is not healthy: %s", h.Error).
			WithFix("free disk space if that is the reason, then restart: a failed write is only cleared by a restart")
	}
	return nil
}

// Room reports whether the disk of a data folder has room enough for an embedded server to write.
func Room(dir string) bool {
	free, err := freeBytes(dir)
	return err == nil && free >= minFree
}

// diskLow reports that the embedded server's disk is nearly full. Then nothing must be written: after a failed write the
// server refuses all others to that stream until it is restarted.
func (s *Stream) diskLow() (bool, error) {
	if s.server == nil || s.cfg.MinFree < 0 {
		return false, nil
	}
	free, err := freeBytes(s.cfg.Dir)
	if err != nil {
		return false, fmt.Errorf("free space in %s: %w", s.cfg.Dir, err)
	}
	return free < s.cfg.MinFree, nil
}

// storing reports, after several failed attempts, that the embedded server cannot store any more: a server whose write
// failed does not answer at all. Not after the first, since a server that is only busy (creating another stream, say) calls
// itself unhealthy for a moment too. Of an external server nobody can tell, but others may take over its streams.
func (s *Stream) storing(failures int) error {
	if s.server == nil || failures < 4 {
		return nil
	}
	return s.server.healthy()
}

// serverLog writes the server's log to ours. Its notices are of interest only when looking for something.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l serverLog) Warnf(f string, v ...any) {
	if !strings.HasPrefix(f, "Maximum payloads over") { // frames are large on purpose
		l.log.Warn("nats: " + fmt.Sprintf(f, v...))
	}
}
func (l serverLog) Errorf(f string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(f, v...)) }
func (l serverLog) Fatalf(f string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(f, v...)) }
func (l serverLog) Debugf(string, ...any)     {}
func (l serverLog) Tracef(string, ...any)     {}
