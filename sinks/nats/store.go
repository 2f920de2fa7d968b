package nats

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
)

// Config says where the stream is. URL, Source and Feed are required.
type Config struct {
	URL       string // nats://host:port/subject; several servers are separated by commas: nats://a:4222,b:4222/subject
	Source    string // of the changes; part of the headers
	Feed      string
	CredsFile string
	Stream    string        // default: the subject in capitals, with _ for what a stream's name cannot hold
	Replicas  int           // of a stream that is made: default 1 on a single server, 3 on a cluster
	MaxAge    time.Duration // of what is kept; 0: for ever
	Timeout   time.Duration // of one call; default 10 s
}

// MaxRecords is how many records an object can have: an atomic batch has room for 1,000 messages.
const MaxRecords = 999

const (
	markers    = "_CDCD" // the first token of all subjects that are not records
	pieceBytes = 512 << 10
	inlined    = 64 << 10 // a body of up to so many bytes stands in its marker
	keyLength  = 1024
)

// The codes of this package; each has a page.
const (
	codeConfig = "CDCD-4301" // the address or the subject cannot be
	codeStream = "CDCD-4302" // the stream is not one that a feed can be written to
	codeTooBig = "CDCD-4303" // a record is larger than a message may be
	codeFull   = "CDCD-4304" // the stream is full
)

// Store is one stream. Its methods may be called by many goroutines at once.
type Store struct {
	cfg     Config
	subject string
	nc      *nats.Conn
	js      jetstream.JetStream

	mu     sync.Mutex // guards what follows
	stream jetstream.Stream
	tidied time.Time
}

// Open connects; a server that is not there yet is waited for by the calls, not by Open. It fails when the configuration
// cannot be.
func Open(cfg Config) (*Store, error) {
	servers, subject, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Stream == "" {
		cfg.Stream = strings.NewReplacer(".", "_", " ", "_", "*", "_", ">", "_").Replace(strings.ToUpper(subject))
	}
	opts := []nats.Option{
		nats.Name("cdcd feed " + cfg.Feed), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.Timeout(cfg.Timeout),
		nats.ReconnectWait(200 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.ReconnectBufSize(-1), // an object is sent again as a whole, not the rest of it
	}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	s := &Store{cfg: cfg, subject: subject}
	if s.nc, err = nats.Connect(servers, opts...); err != nil {
		return nil, cdc.Errorf(codeConfig, "connect to %s: %w", s, err).WithFix("check the address and the credentials")
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		s.nc.Close()
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return s, nil
}

// Close closes the connection.
func (s *Store) Close() error {
	s.nc.Close()
	return nil
}

// String returns the address without credentials.
func (s *Store) String() string {
	u, err := url.Parse(s.cfg.URL)
	if err != nil {
		return "nats:"
	}
	return u.Scheme + "://" + u.Host + "/" + s.subject
}

// CheckURL reports what is wrong with an address.
func CheckURL(text string) error {
	_, _, err := parseURL(text)
	return err
}

// parseURL takes an address apart: the servers for the client, and the subject.
func parseURL(text string) (servers, subject string, err error) {
	const fix = "write it like nats://127.0.0.1:4222/acme; credentials go into creds_file"
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "" {
		return "", "", cdc.Errorf(codeConfig, "%q is not the address of a NATS server and a subject", redacted(text)).WithFix(fix)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", cdc.Errorf(codeConfig, "%q has a user, '?' or '#'", redacted(text)).WithFix(fix)
	}
	subject = strings.Trim(u.Path, "/")
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || strings.ContainsAny(token, "*> /\t\r\n") || token == markers || strings.HasPrefix(token, "$") {
			return "", "", cdc.Errorf(codeConfig, "%q names no subject that records can have", redacted(text)).WithFix(fix)
		}
	}
	for host := range strings.SplitSeq(u.Host, ",") {
		if servers != "" {
			servers += ","
		}
		servers += u.Scheme + "://" + host
	}
	return servers, subject, nil
}

func redacted(text string) string {
	if u, err := url.Parse(text); err == nil {
		return u.Redacted()
	}
	return "the address"
}

// marker is the body of the message that makes an object exist.
type marker struct {
	Meta   map[string]string `json:"meta"`
	Size   int64             `json:"size"`
	Pieces int               `json:"pieces"`         // messages before this one that hold the body; 0: Body does
	Lines  bool              `json:"lines"`          // they are lines without their newlines
	Open   bool              `json:"open,omitempty"` // the last line had none
	Body   []byte            `json:"body,omitempty"`

	seq uint64
}

const headerSize = "Cdcd-Size"

// Put stores an object if there is none under key, and reports whether this call did. With the metadata [cdc.MetaRecords], its
// lines become messages that services can subscribe to; CDCD-4303 when one is too large for the server.
func (s *Store) Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error) {
	stream, err := s.open(ctx, key)
	if err != nil {
		return false, err
	}
	for attempt := 0; ; attempt++ {
		if _, there, err := s.marker(ctx, stream, key); err != nil || there {
			return false, err
		}
		messages, err := s.messages(key, body, meta)
		if err != nil {
			return false, err
		}
		verdict, err := s.send(ctx, messages)
		switch {
		case err != nil:
			return false, fmt.Errorf("put %s to %s: %w", key, s, err)
		case verdict == stored:
			s.tidy(ctx)
			return true, nil
		}
		if err := pause(ctx, attempt); err != nil { // somebody else is at it, or the server has too much to do
			return false, err
		}
		if attempt > 50 {
			return false, fmt.Errorf("put %s to %s: the server does not take it, and there is no such object", key, s)
		}
	}
}

// messages makes the messages of an object; the last one is its marker.
func (s *Store) messages(key string, body []byte, meta map[string]string) ([]*nats.Msg, error) {
	m := marker{Meta: meta, Size: int64(len(body))}
	var out []*nats.Msg
	switch {
	case meta[cdc.MetaRecords] != "" && len(body) > 0:
		m.Lines, m.Open = true, body[len(body)-1] != '\n'
		n := 0
		for line := range bytes.Lines(body) {
			n++
			out = append(out, s.record(key, n, bytes.TrimSuffix(line, []byte("\n"))))
		}
		if n > MaxRecords {
			return nil, cdc.Errorf(codeTooBig, "object %s of %s has %d records, and %d fit into an atomic batch", key, s, n, MaxRecords).
				WithFix("set rotate.rows of the feed to %d or less", MaxRecords)
		}
	case len(body) <= inlined:
		m.Body = body
	default:
		for piece := range slices.Chunk(body, pieceBytes) {
			out = append(out, &nats.Msg{Subject: markers + "." + s.subject, Data: piece})
		}
	}
	m.Pieces = len(out)
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", key, err)
	}
	out = append(out, &nats.Msg{Subject: s.markerSubject(key), Data: text, Header: nats.Header{
		"Nats-Expected-Last-Subject-Sequence": {"0"}, headerSize: {strconv.FormatInt(m.Size, 10)},
	}})
	for i, msg := range out {
		if room := s.nc.MaxPayload(); room > 0 && int64(len(msg.Data)+4<<10) > room {
			return nil, cdc.Errorf(codeTooBig, "record %d of object %s has %d bytes; the server of %s takes messages of %d bytes", i+1, key, len(msg.Data), s, room).
				WithFix("raise max_payload of the NATS server, or deliver fewer columns with select")
		}
	}
	return out, nil
}

type verdict int

const (
	stored verdict = iota
	unclear
)

// JetStream's error codes that decide what to do next.
const (
	jsWrongLastSequence = 10071
	jsWrongLastConstant = 10164
	jsStoreFailed       = 10077
	jsBatchInFlight     = 10210
	jsDuplicateInBatch  = 10201
	jsTooManyRequests   = 10167
)

// send sends messages as one atomic batch. unclear: look whether the marker is there, else send them again.
func (s *Store) send(ctx context.Context, messages []*nats.Msg) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	id, last := rand.Text(), len(messages)-1
	for i, m := range messages {
		if last > 0 {
			if m.Header == nil {
				m.Header = nats.Header{}
			}
			m.Header.Set("Nats-Batch-Id", id)
			m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		}
		if i < last {
			if err := ctx.Err(); err != nil {
				return unclear, err
			}
			if err := s.nc.PublishMsg(m); err != nil {
				return unclear, err
			}
			continue
		}
		if last > 0 {
			m.Header.Set("Nats-Batch-Commit", "1")
		}
		reply, err := s.nc.RequestMsgWithContext(ctx, m)
		if err != nil {
			return unclear, err
		}
		var ack struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(reply.Data, &ack); err != nil {
			return unclear, fmt.Errorf("an answer that is none of JetStream: %w", err)
		}
		return s.judge(ack.Error)
	}
	return unclear, errors.New("there is nothing to send")
}

func (s *Store) judge(refused *jetstream.APIError) (verdict, error) {
	if refused == nil {
		return stored, nil
	}
	switch refused.ErrorCode {
	case jsWrongLastSequence, jsWrongLastConstant, jsDuplicateInBatch, jsBatchInFlight, jsTooManyRequests:
		return unclear, nil
	case jsStoreFailed:
		return unclear, cdc.Errorf(codeFull, "stream %s takes no more: %w", s.cfg.Stream, refused).
			WithFix("raise the stream's limits, set max_age in the feed's nats settings, or give the server more room")
	}
	return unclear, refused
}

// Head returns an object's metadata and size.
func (s *Store) Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error) {
	stream, err := s.open(ctx, key)
	if err != nil {
		return nil, 0, false, err
	}
	m, ok, err := s.marker(ctx, stream, key)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	if m.Meta == nil {
		m.Meta = map[string]string{}
	}
	return m.Meta, m.Size, true, nil
}

// Get returns an object's bytes, which it puts together again.
func (s *Store) Get(ctx context.Context, key string) (body []byte, ok bool, err error) {
	stream, err := s.open(ctx, key)
	if err != nil {
		return nil, false, err
	}
	m, ok, err := s.marker(ctx, stream, key)
	if err != nil || !ok {
		return nil, false, err
	}
	if m.Pieces == 0 {
		return slices.Concat([]byte{}, m.Body), true, nil
	}
	body = make([]byte, 0, m.Size)
	for seq := m.seq - uint64(m.Pieces); seq < m.seq; seq++ {
		msg, err := stream.GetMsg(ctx, seq)
		if err != nil {
			return nil, false, fmt.Errorf("get %s from %s: message %d: %w", key, s, seq, err)
		}
		if body = append(body, msg.Data...); m.Lines && (seq < m.seq-1 || !m.Open) {
			body = append(body, '\n')
		}
	}
	if int64(len(body)) != m.Size {
		return nil, false, fmt.Errorf("get %s from %s: %d bytes are there, %d were stored", key, s, len(body), m.Size)
	}
	return body, true, nil
}

// List calls yield with each key. It reads the markers of all that begin with prefix's folder.
func (s *Store) List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error {
	stream, err := s.open(ctx, "list")
	if err != nil {
		return err
	}
	filter := markers + "." + s.subject
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		filter = s.markerSubject(prefix[:i])
	}
	type found struct {
		key  string
		size int64
	}
	var all []found
	read := func(m jetstream.Msg) {
		key, ok := s.keyOf(m.Subject())
		if size, err := strconv.ParseInt(m.Headers().Get(headerSize), 10, 64); ok && err == nil && strings.HasPrefix(key, prefix) && key > after {
			all = append(all, found{key, size})
		}
	}
	if err := s.each(ctx, stream, filter+".>", read); err != nil {
		return fmt.Errorf("list %s: %w", s, err)
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.key, b.key) })
	for _, f := range all {
		if !yield(f.key, f.size) {
			return nil
		}
	}
	return nil
}

// each reads the headers of all messages of a subject that are in the stream now.
func (s *Store) each(ctx context.Context, stream jetstream.Stream, subject string, read func(jetstream.Msg)) error {
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true})
	if err != nil {
		return err
	}
	for {
		batch, err := consumer.FetchNoWait(1000)
		if err != nil {
			return err
		}
		pending := uint64(0)
		n := 0
		for m := range batch.Messages() {
			read(m)
			n++
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			pending = meta.NumPending
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if n == 0 || pending == 0 {
			return nil
		}
	}
}

// marker returns the marker of a key as the stream's leader has it.
func (s *Store) marker(ctx context.Context, stream jetstream.Stream, key string) (m marker, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	msg, err := stream.GetLastMsgForSubject(ctx, s.markerSubject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, false, nil
	}
	if err == nil {
		err = json.Unmarshal(msg.Data, &m)
	}
	if err != nil {
		return m, false, fmt.Errorf("object %s in %s: %w", key, s, err)
	}
	m.seq = msg.Sequence
	return m, true, nil
}

// open returns the stream, which it makes if it is not there, and refuses keys that are none.
func (s *Store) open(ctx context.Context, key string) (jetstream.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if key == "" || len(key) > keyLength || key[0] == '/' || key != path.Clean(key) || key == ".." || strings.HasPrefix(key, "../") {
		return nil, fmt.Errorf("%q is not the key of an object", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		return s.stream, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	for !s.nc.IsConnected() {
		if err := pause(ctx, 5); err != nil {
			return nil, fmt.Errorf("there is no connection to %s: %w", s, err)
		}
	}
	want := []string{s.subject + ".>", markers + "." + s.subject, markers + "." + s.subject + ".>"}
	stream, err := s.js.Stream(ctx, s.cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		replicas := s.cfg.Replicas
		if replicas == 0 {
			if replicas = 1; s.nc.ConnectedClusterName() != "" {
				replicas = 3
			}
		}
		stream, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: s.cfg.Stream, Description: "what feed " + s.cfg.Feed + " of " + s.cfg.Source + " delivers, by cdcd", Subjects: want, Storage: jetstream.FileStorage,
			Replicas: replicas, Discard: jetstream.DiscardNew, AllowAtomicPublish: true, AllowDirect: false,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s at %s: %w", s.cfg.Stream, s, err)
	}
	have := stream.CachedInfo().Config
	for _, subject := range want {
		if !slices.Contains(have.Subjects, subject) {
			return nil, cdc.Errorf(codeStream, "stream %s at %s does not take the subject %s", s.cfg.Stream, s, subject).
				WithFix("add it: nats stream edit %s --subjects %s", s.cfg.Stream, strings.Join(append(have.Subjects, subject), ","))
		}
	}
	for _, wrong := range []struct {
		is  bool
		why string
	}{
		{!have.AllowAtomicPublish, "does not allow atomic batches (allow_atomic)"},
		{have.AllowDirect, "lets followers answer (allow_direct), which may be late"},
		{have.Discard != jetstream.DiscardNew, "discards old messages when it is full"},
		{have.Retention != jetstream.LimitsPolicy, "removes what consumers have read"},
		{have.MaxAge > 0 || have.MaxMsgsPerSubject > 0 && have.MaxMsgsPerSubject != -1, "removes messages by itself (max_age, max_msgs_per_subject), and so the object that the feed goes on from"},
	} {
		if wrong.is {
			return nil, cdc.Errorf(codeStream, "stream %s at %s %s", s.cfg.Stream, s, wrong.why).
				WithFix("change its settings, or name another stream in the feed's nats settings: cdcd makes one as it has to be")
		}
	}
	s.stream = stream
	return stream, nil
}

// tidy removes what is older than MaxAge, now and then; never the object that was put last.
func (s *Store) tidy(ctx context.Context) {
	s.mu.Lock()
	due := s.cfg.MaxAge > 0 && time.Since(s.tidied) > time.Minute
	if due {
		s.tidied = time.Now()
	}
	s.mu.Unlock()
	if due {
		s.Trim(ctx, time.Now().Add(-s.cfg.MaxAge)) // a failure is made up for the next time
	}
}
