package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Config says which stream to open, and where. Source and one of Dir and URL must be given.
type Config struct {
	Source string // names the stream CDC_<source> and its subjects cdc.<source>.<partition>: letters, digits, - and _
	Writer string // identity of this process, unique among all captures; default: host, process ID and time

	// The embedded server.
	Dir    string // data folder, used by one process at a time; its server keeps the stream in Dir/jetstream
	Listen string // host:port on a loopback address where NATS tools can look in; default: nowhere

	// An external server or cluster instead.
	URL       string // nats://a:4222,nats://b:4222; tls:// for TLS
	CredsFile string // NATS credentials
	Replicas  int    // copies of the stream; default 1, and 3 when the server belongs to a cluster

	MaxBytes      int64 // size at which the stream is full and the capture waits; default 10 GiB
	MinFree       int64 // embedded: with less free disk space than this the capture waits; default 256 MiB, -1 for none
	LookupBytes   int64 // size at which the oldest answers of look-ups are forgotten; default 1 GiB
	AllowUnsynced bool  // accept acknowledgements that a power cut may undo; the embedded server then syncs every 2 minutes

	AckWait time.Duration // how long an acknowledgement may take before the stream is looked at; default 5 s
	// Observe is told whenever the publisher's state changes; a new publisher begins as Publishing. Only one goroutine
	// calls it at a time, and it must not block.
	Observe func(State)
	Logger  *slog.Logger     // default: none
	Now     func() time.Time // default: time.Now
}

// Stream is one source's opened stream. Its methods may be called by several goroutines at once.
type Stream struct {
	cfg      Config
	name     string // CDC_<source>
	server   *embedded
	nc       *nats.Conn
	js       jetstream.JetStream
	stream   jetstream.Stream
	id       string
	findings []*cdc.Error
	tables   cdc.Tables

	closing    sync.Once
	mu         sync.Mutex          // guards the rest
	publishers map[*Publisher]bool // those that Close must end
	state      State               // that Observe was told last
	revision   cdc.Revision        // of the rules, for frames that are published from now on
	marked     bool                // the stream is known to say that frames name revisions
	progress   jetstream.KeyValue  // opened at first use
	rules      *Rules              // as well
	drafts     *Drafts             // as well
}

// Open opens the stream and creates it if it is not there. With Dir it first starts the server inside of this
// process. It refuses a folder in use (CDCD-3001) and a stream whose settings could lose changes (CDCD-3004).
// Whoever opens, closes.
func Open(ctx context.Context, cfg Config) (*Stream, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Stream{cfg: cfg, name: "CDC_" + cfg.Source, publishers: map[*Publisher]bool{}, state: Publishing}
	if cfg.URL == "" {
		var err error
		if s.server, err = startEmbedded(&s.cfg); err != nil {
			return nil, err
		}
	}
	if err := s.connect(ctx); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.ensureStream(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (c *Config) setDefaults() error {
	if c.Source == "" || strings.Trim(c.Source, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return fmt.Errorf("bus: source name %q must be made of letters, digits, - and _", c.Source)
	}
	if (c.Dir == "") == (c.URL == "") {
		return errors.New("bus: exactly one of Dir and URL must be given")
	}
	if c.Writer == "" {
		host, _ := os.Hostname()
		c.Writer = fmt.Sprintf("%s-%d-%d", host, os.Getpid(), time.Now().UnixNano())
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 30
	}
	if c.LookupBytes <= 0 {
		c.LookupBytes = 1 << 30
	}
	if c.MinFree == 0 {
		c.MinFree = minFree
	}
	if c.AckWait <= 0 {
		c.AckWait = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(State) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

func (s *Stream) connect(ctx context.Context) error {
	opts := []nats.Option{
		nats.Name("cdcd " + s.cfg.Source + " " + s.cfg.Writer),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.ReconnectBufSize(-1), // nothing is sent behind the publisher's back after a reconnect
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.cfg.Logger.Warn("bus connection", "error", err)
		}),
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(time.Until(deadline), time.Millisecond)))
	}
	url := s.cfg.URL
	if s.server != nil {
		opts = append(opts, nats.InProcessServer(s.server.srv))
	}
	if s.cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(s.cfg.CredsFile))
	}
	var err error
	if s.nc, err = nats.Connect(url, opts...); err != nil {
		return cdc.Errorf(codeConnect, "connect to NATS at %s: %w", redact(url), err).
			WithFix("check bus.nats.url and bus.nats.creds_file, and that the server can be reached from here")
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithDefaultTimeout(30*time.Second)); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

// redact takes user names and passwords out of a list of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if at := strings.LastIndexByte(u, '@'); at >= 0 {
			scheme, _, ok := strings.Cut(u, "://")
			if list[i] = u[at+1:]; ok {
				list[i] = scheme + "://" + list[i]
			}
		}
	}
	return strings.Join(list, ",")
}

// Close ends the publishers, closes the connection and, if there is one, stops the server and gives the folder back.
// Frames that are not yet acknowledged may or may not be in the stream; [Publisher.Flush] before, to know.
func (s *Stream) Close() { s.closing.Do(s.close) }

func (s *Stream) close() {
	s.mu.Lock()
	var pubs []*Publisher
	for p := range s.publishers {
		pubs = append(pubs, p)
	}
	s.mu.Unlock()
	for _, p := range pubs {
		p.Close()
	}
	if s.nc != nil {
		s.nc.Close()
	}
	if s.server != nil {
		s.server.stop()
	}
}

// MaxFrame returns the size of the largest frame that the bus takes, in bytes.
func (s *Stream) MaxFrame() int {
	return int(min(cdc.MaxFrame, s.nc.MaxPayload()-messageOverhead))
}

// Healthy returns nil while the bus can be used: for a readiness probe. It may take up to two seconds.
func (s *Stream) Healthy() error {
	if s.server != nil {
		return s.server.healthy()
	}
	if st := s.nc.Status(); st != nats.CONNECTED {
		return cdc.Errorf(codeConnect, "NATS at %s is %s", redact(s.cfg.URL), st).
			WithFix("check the server and the network; the connection is tried again all the time")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := s.stream.Info(ctx); err != nil {
		return fmt.Errorf("stream %s: %w", s.name, err)
	}
	return nil
}

// Last returns the checkpoint: what the stream's last message says about how far the source's log is in the stream,
// with that frame's header and its sequence, read from the stream's leader. All are zero when the stream is empty; the
// checkpoint alone is zero when a writer has been there but has not captured anything yet.
func (s *Stream) Last(ctx context.Context) (cdc.Checkpoint, cdc.Header, uint64, error) {
	t, err := s.tail(ctx, 16*s.cfg.AckWait)
	if err != nil || t.seq == 0 {
		return cdc.Checkpoint{}, cdc.Header{}, 0, err
	}
	b, err := openBody(t.data, nil)
	if err != nil {
		return cdc.Checkpoint{}, cdc.Header{}, 0, s.damaged(t.seq, err)
	}
	return b.Checkpoint(), b.Header(), t.seq, nil
}

func (s *Stream) damaged(seq uint64, err error) error {
	return cdc.Errorf(codeDamaged, "message %d of stream %s is not an intact frame: %w", seq, s.name, err).
		WithFix("check the disk that the stream is on; `cdcd errors %s` says how to go on", codeDamaged)
}

// tail is the stream's last message.
type tail struct {
	seq   uint64 // 0 when the stream is empty
	claim string // which claim it is part of, if any
	rules string // the revision of rules that it names, if any
	data  []byte
}

// tail reads the last message from the leader: the sequence from the stream's state, since that is what the next
// append is compared with even when messages have been deleted. A request is lost with the server that it was sent to,
// so the state is waited for no longer than AckWait, but a large message takes its time on a slow line: patience. When
// only the message could not be read, the tail returned with the error has its sequence.
func (s *Stream) tail(ctx context.Context, patience time.Duration) (tail, error) {
	for previous := uint64(0); ; {
		info, err := s.info(ctx)
		if err != nil {
			return tail{}, s.readError(err)
		}
		last := info.State.LastSeq
		if last == 0 {
			return tail{}, nil
		}
		try, cancel := context.WithTimeout(ctx, patience)
		msg, err := s.stream.GetMsg(try, last)
		cancel()
		switch {
		case err == nil:
			return tail{last, msg.Header.Get(headerClaim), msg.Header.Get(headerRules), msg.Data}, nil
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return tail{seq: last}, s.readError(err)
		case last == previous:
			return tail{}, cdc.Errorf(codeCheckpoint, "the last message (%d) of stream %s has been deleted, and the checkpoint with it", last, s.name).
				WithFix("`cdcd errors %s` says how to resume", codeCheckpoint)
		}
		previous = last // it may have been appended to and trimmed in between
	}
}

// ask asks until there is an answer, four times at most: a question is lost with the server that it was sent to. Each try is
// given twice as long as the one before, since a large answer takes its time on a slow line.
func (s *Stream) ask(ctx context.Context, question func(context.Context) error) error {
	for n := 0; ; n++ {
		try, cancel := context.WithTimeout(ctx, s.cfg.AckWait<<n)
		err := question(try)
		cancel()
		if err == nil || n == 3 || ctx.Err() != nil || !unanswered(err) {
			return err
		}
		if err := backoff.Sleep(ctx, pauseAfter(n, maxWait)); err != nil {
			return err
		}
	}
}

func (s *Stream) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AckWait)
	defer cancel()
	return s.stream.Info(ctx)
}

func (s *Stream) readError(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return s.gone()
	}
	return fmt.Errorf("read the end of stream %s: %w", s.name, err)
}

func (s *Stream) gone() error {
	return cdc.Errorf(codeGone, "stream %s has been deleted", s.name).
		WithFix("`cdcd errors %s` says how to resume without a gap", codeGone)
}

// Info is what is known about a stream.
type Info struct {
	Name     string
	ID       string // made when the stream was created: a stream of the same name and another ID is another stream
	First    uint64 // sequence of the first message that is still there
	Last     uint64 // sequence of the last one; First is Last+1 when there is none
	Messages uint64
	Bytes    int64
	MaxBytes int64
	Replicas int
	Server   string // version of the server
	Embedded bool
	Synced   bool // whether acknowledged frames are known to survive a power cut
	// Findings are worth knowing and do not stop anything; each has a code and a fix.
	Findings []*cdc.Error
}

// Info asks the stream's leader for its state.
func (s *Stream) Info(ctx context.Context) (Info, error) {
	i, err := s.info(ctx)
	if err != nil {
		return Info{}, s.readError(err)
	}
	return Info{
		Name: s.name, ID: s.id,
		First: i.State.FirstSeq, Last: i.State.LastSeq, Messages: i.State.Msgs,
		Bytes: int64(i.State.Bytes), MaxBytes: i.Config.MaxBytes, Replicas: i.Config.Replicas,
		Server: s.nc.ConnectedServerVersion(), Embedded: s.server != nil,
		Synced: s.server != nil && !s.cfg.AllowUnsynced, Findings: s.findings,
	}, nil
}

// Trim forgets all messages before sequence upTo. The last message always stays: it is the checkpoint. Trimming what
// has been trimmed is nothing.
func (s *Stream) Trim(ctx context.Context, upTo uint64) error {
	i, err := s.info(ctx)
	if err != nil {
		return s.readError(err)
	}
	upTo = min(upTo, i.State.LastSeq)
	if upTo <= i.State.FirstSeq {
		return nil
	}
	if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo)); err != nil {
		return fmt.Errorf("trim stream %s: %w", s.name, err)
	}
	return nil
}

// WaitIdle returns when for the time idle no message of another writer than the given one has arrived: the standby's
// way to wait for its turn. On an empty stream it returns at once. It asks every second, or more often when idle is
// short. Errors of asking are waited out: a stream that cannot be read does not become idle. It returns ctx's error
// when that ends first.
func (s *Stream) WaitIdle(ctx context.Context, writer string, idle time.Duration) error {
	every := max(min(time.Second, idle/4), 10*time.Millisecond)
	last, since := uint64(0), time.Now()
	for {
		i, err := s.info(ctx)
		if err == nil && i.State.LastSeq != last {
			var h cdc.Header
			if _, h, last, err = s.Last(ctx); err == nil && h.Writer != writer {
				since = time.Now()
			}
		}
		switch {
		case err != nil:
			since = time.Now()
		case last == 0 || time.Since(since) >= idle:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}
