package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// State is what a publisher is doing.
type State string

// The states. All but the first mean that the capture is being held back.
const (
	Publishing   State = "publishing"
	StreamFull   State = "stream_full"  // MaxBytes is reached: feeds are behind, Trim has not been called, or MaxBytes is small
	ServerBusy   State = "server_busy"  // the server's queue of the stream is full
	DiskLow      State = "disk_low"     // less than MinFree is free in Dir
	Disconnected State = "disconnected" // no answer from the server, or acknowledgements are overdue
)

const (
	windowFrames = claimSize // see the package's comment: a claim must be as long as a window
	windowBytes  = 16 << 20
	ackBuffer    = 1024
	maxWait      = 2 * time.Second // between attempts
)

// Publisher appends frames to the stream. Several frames are under way at once; they are stored in order, all or none
// of those after the first that fails. The first failure is for good: every later call returns it, and the caller must
// begin again at [Stream.Last] with a new publisher. Waiting is not failing: a full stream, a busy or unreachable
// server are waited out, and after lost acknowledgements the end of the stream tells what has been stored.
type Publisher struct {
	s      *Stream
	in     chan *cdc.Batch
	acks   chan *nats.Msg
	status chan nats.Status
	told   chan struct{} // Stamp was called
	sub    *nats.Subscription
	stop   context.CancelFunc
	done   chan struct{} // closed when run has returned

	// Owned by run.
	inbox       string
	gen         int          // counts the times the window was sent again: a refusal of an older copy means nothing
	acked       uint64       // sequence of the last frame that is known to be stored
	window      []pending    // the frames after it, in order
	bytes       int          // their size
	sentAt      time.Time    // when the oldest was sent, or the window last moved
	rules       cdc.Revision // that frames name
	last        *cdc.Batch   // the newest frame, stored or in the window
	state       State
	checkedDisk time.Time
	misses      int // looks at the end of the stream in a row that found nothing new stored

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when one of these changes
	handed  uint64        // frames taken over by Handle
	durable uint64        // of these, acknowledged
	lastSeq uint64        // acked, for readers
	err     error         // the first failure
}

type pending struct {
	subject string
	body    []byte
	rules   string // the revision that it names
	own     bool   // made here, not handed over
}

// Publisher claims the stream for this writer and returns a publisher that appends after sequence expectedLast, as it
// came from [Stream.Last]. It returns [ErrFenced] when the stream does not end there any more. From the claim on no
// frame of an earlier publisher, here or elsewhere, can be stored. The publisher ends with Close, or with the stream.
func (s *Stream) Publisher(ctx context.Context, expectedLast uint64) (*Publisher, error) {
	last, claimed, err := s.claim(ctx, expectedLast)
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		s: s, in: make(chan *cdc.Batch), acks: make(chan *nats.Msg, ackBuffer), done: make(chan struct{}), told: make(chan struct{}, 1),
		rules: claimed.Rules, last: claimed,
		status: s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED),
		inbox:  s.nc.NewInbox(), acked: last, lastSeq: last, state: Publishing, changed: make(chan struct{}),
	}
	if p.sub, err = s.nc.ChanSubscribe(p.inbox+".*.*", p.acks); err != nil {
		return nil, fmt.Errorf("publish to stream %s: %w", s.name, err)
	}
	s.observe(Publishing)
	run, stop := context.WithCancel(context.Background())
	p.stop = stop
	s.mu.Lock()
	s.publishers[p] = true
	s.mu.Unlock()
	p.told <- struct{}{} // of what Stamp was called with before
	go p.run(run)        // Close waits for it
	return p, nil
}

// Handle takes a frame over; it is a [cdc.Handler] for one goroutine. It returns when the frame is under way, and
// blocks while too many are. An error of ctx leaves the publisher as it was, without the frame; every other error is
// the publisher's first failure, and which of the frames handed over before are stored only [Stream.Last] can tell.
func (p *Publisher) Handle(ctx context.Context, b *cdc.Batch) error {
	if n, limit := len(b.Frame()), p.s.MaxFrame(); n > limit {
		return cdc.Errorf(codeTooBig, "a frame of %d bytes is larger than the %d that the bus takes", n, limit).
			WithFix("raise max_payload of the NATS servers, at most to 32 MB")
	}
	select {
	case <-p.done:
		return p.failure()
	default:
	}
	select {
	case p.in <- b:
		p.mu.Lock()
		p.handed++
		p.mu.Unlock()
		return nil
	case <-p.done:
		return p.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Flush returns nil when all frames handed over before are stored durably.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	target := p.handed
	p.mu.Unlock()
	for {
		p.mu.Lock()
		durable, err, changed := p.durable, p.err, p.changed
		p.mu.Unlock()
		switch {
		case durable >= target:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// LastSeq returns the sequence of the last frame known to be stored.
func (p *Publisher) LastSeq() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastSeq
}

// Close ends the publisher without waiting for acknowledgements. It may be called more than once.
func (p *Publisher) Close() {
	p.stop()
	<-p.done
}

func (p *Publisher) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

var errClosed = errors.New("bus: the publisher is closed")

// run is the only goroutine that sends, and the only one that decides what has been stored.
func (p *Publisher) run(ctx context.Context) {
	err := p.loop(ctx)
	if ctx.Err() != nil {
		err = errClosed
	}
	p.sub.Unsubscribe()
	p.s.nc.RemoveStatusListener(p.status)
	p.s.mu.Lock()
	delete(p.s.publishers, p)
	p.s.mu.Unlock()
	p.mu.Lock()
	p.err = err
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	close(p.done)
	p.stop()
}

func (p *Publisher) loop(ctx context.Context) error {
	tick := time.NewTicker(max(p.s.cfg.AckWait/10, time.Millisecond))
	defer tick.Stop()
	for {
		in, told := p.in, p.told
		if len(p.window) >= windowFrames || len(p.window) > 0 && p.bytes >= windowBytes {
			in, told = nil, nil
		}
		var err error
		select {
		case b := <-in:
			if err = p.revise(ctx); err == nil {
				err = p.take(ctx, b, false)
			}
		case <-told:
			err = p.announce(ctx)
		case m := <-p.acks:
			err = p.answer(ctx, m)
		case st := <-p.status:
			if st == nats.CLOSED {
				return errClosed
			}
			if len(p.window) > 0 { // reconnected: what was under way may have been lost
				err = p.settle(ctx, Disconnected)
			}
		case <-tick.C:
			if len(p.window) > 0 && time.Since(p.sentAt) > p.s.cfg.AckWait {
				err = p.settle(ctx, Disconnected)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// revise takes up the newest revision of rules: every frame names the newest that was known when it was taken.
func (p *Publisher) revise(ctx context.Context) error {
	p.s.mu.Lock()
	r := p.s.revision
	p.s.mu.Unlock()
	if r == p.rules || r == (cdc.Revision{}) {
		return nil
	}
	if err := p.s.markStamped(ctx, p.acked+uint64(len(p.window))+1); err != nil {
		return err
	}
	p.rules = r
	return nil
}

// announce has a new revision become effective without waiting for a change: a frame without events, that repeats the
// checkpoint of the one before it, names it. In a stream in which nothing has been captured yet, the first frame does.
func (p *Publisher) announce(ctx context.Context) error {
	before := p.rules
	if err := p.revise(ctx); err != nil || p.rules == before {
		return err
	}
	checkpoint := p.last.Checkpoint()
	if len(checkpoint.PartNos) == 0 {
		return nil
	}
	frame, err := cdc.Open(repeat(p.last.Header(), checkpoint, p.s.cfg.Writer, p.s.cfg.Now()), nil)
	if err != nil {
		return fmt.Errorf("publish to stream %s: %w", p.s.name, err)
	}
	return p.take(ctx, frame, true)
}

func (p *Publisher) take(ctx context.Context, b *cdc.Batch, own bool) error {
	if err := p.waitForDisk(ctx); err != nil {
		return err
	}
	if len(p.window) == 0 {
		p.sentAt = time.Now()
	}
	f := pending{p.s.subject(strconv.Itoa(int(b.Header().Partition))), pack(b.Frame()), p.rules.String(), own}
	p.window, p.last = append(p.window, f), b
	p.bytes += len(f.body)
	if err := p.send(len(p.window) - 1); err != nil {
		return p.settle(ctx, Disconnected)
	}
	return nil
}

// waitForDisk holds the capture back before the server's disk is full.
func (p *Publisher) waitForDisk(ctx context.Context) error {
	if time.Since(p.checkedDisk) < time.Second {
		return nil
	}
	for {
		low, err := p.s.diskLow()
		if err != nil {
			return err
		}
		if p.checkedDisk = time.Now(); !low {
			p.setState(Publishing)
			return nil
		}
		p.setState(DiskLow)
		if err := backoff.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// send publishes the i-th frame of the window with the sequence it must follow. An error means that it was not sent.
func (p *Publisher) send(i int) error {
	seq := p.acked + uint64(i) + 1
	h := nats.Header{headerExpectedLast: {strconv.FormatUint(seq-1, 10)}}
	if rules := p.window[i].rules; rules != "" {
		h[headerRules] = []string{rules}
	}
	return p.s.nc.PublishMsg(&nats.Msg{
		Subject: p.window[i].subject,
		Reply:   p.inbox + "." + strconv.Itoa(p.gen) + "." + strconv.FormatUint(seq, 10),
		Header:  h,
		Data:    p.window[i].body,
	})
}

const headerExpectedLast = "Nats-Expected-Last-Sequence"

// pubAck is the answer to a message.
type pubAck struct {
	Seq   uint64              `json:"seq"`
	Error *jetstream.APIError `json:"error"`
}

// answer handles what the server said about one message.
func (p *Publisher) answer(ctx context.Context, m *nats.Msg) error {
	genText, seqText, _ := strings.Cut(strings.TrimPrefix(m.Subject, p.inbox+"."), ".")
	gen, _ := strconv.Atoi(genText)
	seq, err := strconv.ParseUint(seqText, 10, 64)
	if err != nil || seq <= p.acked {
		return nil // known
	}
	var ack pubAck
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &ack); err != nil {
			return fmt.Errorf("publish to stream %s: the server answered %q: %w", p.s.name, m.Data, err)
		}
	}
	switch {
	case ack.Error == nil && ack.Seq == seq:
		p.stored(seq)
		p.setState(Publishing)
		return nil
	case gen != p.gen:
		return nil // a copy that was sent before; the answer to the newer one counts
	case ack.Error == nil && ack.Seq == 0: // nobody answers for the stream: no leader, or a server that is starting
		return p.settle(ctx, Disconnected)
	case ack.Error == nil:
		return fmt.Errorf("publish to stream %s: stored as %d instead of %d", p.s.name, ack.Seq, seq)
	}
	switch judge(ack.Error) {
	case lookAtTail:
		return p.settle(ctx, p.state)
	case streamFull:
		return p.settle(ctx, StreamFull)
	case serverBusy:
		return p.settle(ctx, ServerBusy)
	case cannotStore:
		return cdc.Errorf(codeWrite, "the server cannot store to stream %s: %w", p.s.name, ack.Error).
			WithFix("look at the server's disk, then restart the server: a failed write is only cleared by a restart")
	case frameTooBig:
		return cdc.Errorf(codeTooBig, "stream %s refuses a frame of %d bytes: %w", p.s.name, len(p.window[seq-p.acked-1].body), ack.Error).
			WithFix("nats stream edit %s --max-msg-size=-1", p.s.name)
	case streamGone:
		return p.s.gone()
	}
	return fmt.Errorf("publish to stream %s: %w", p.s.name, ack.Error)
}

// stored forgets the frames up to seq: what is stored at seq is ours, hence so is all between the claim and seq.
func (p *Publisher) stored(seq uint64) {
	n, handed := int(seq-p.acked), 0
	for i := range n {
		p.bytes -= len(p.window[i].body)
		if !p.window[i].own {
			handed++
		}
		p.window[i] = pending{}
	}
	p.window = p.window[n:]
	p.acked, p.sentAt, p.misses = seq, time.Now(), 0
	p.mu.Lock()
	p.durable += uint64(handed)
	p.lastSeq = seq
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}

// settle finds out what of the window is stored and sends the rest again, in order. Until the end of the stream can be
// read it waits, in the given state; frames that somebody else stored end it with [ErrFenced].
func (p *Publisher) settle(ctx context.Context, why State) error {
	for patience := p.s.cfg.AckWait; ; {
		if p.misses > 0 || why != Publishing {
			p.setState(why)
		}
		if err := backoff.Sleep(ctx, pauseAfter(p.misses, maxWait)); err != nil {
			return err
		}
		if err := p.s.storing(p.misses); err != nil {
			return err
		}
		p.misses++
		t, err := p.s.tail(ctx, patience)
		if err != nil {
			if t.seq != 0 {
				patience = min(2*patience, 16*p.s.cfg.AckWait)
			}
			var coded *cdc.Error
			if errors.As(err, &coded) || ctx.Err() != nil {
				return err
			}
			why = Disconnected
			continue
		}
		switch n := len(p.window); {
		case t.seq < p.acked:
			return cdc.Errorf(codeLostAcked, "stream %s ends at %d, but had acknowledged %d", p.s.name, t.seq, p.acked).
				WithFix("start again: the missing frames are read from the binlog once more; then find out why the bus lost them (`cdcd errors %s`)", codeLostAcked)
		case t.seq > p.acked+uint64(n), t.seq > p.acked && !bytes.Equal(t.data, p.window[t.seq-p.acked-1].body):
			return p.s.fenced("stream %s was taken over at %d by another capture", p.s.name, t.seq)
		case t.seq > p.acked:
			p.stored(t.seq)
		}
		p.gen++
		p.sentAt = time.Now()
		if p.sendAll() {
			return nil
		}
		why = Disconnected
	}
}

func (p *Publisher) sendAll() bool {
	for i := range p.window {
		if p.send(i) != nil {
			return false
		}
	}
	return true
}

func (p *Publisher) setState(st State) {
	if st != p.state {
		p.state = st
		p.s.observe(st)
	}
}

// observe tells Observe of a change. What it was told last is the stream's: the publisher may not be the one that told it.
func (s *Stream) observe(st State) {
	s.mu.Lock()
	changed := s.state != st
	s.state = st
	s.mu.Unlock()
	if changed {
		s.cfg.Observe(st)
	}
}
