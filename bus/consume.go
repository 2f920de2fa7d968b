package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

const (
	pullSlots  = 2       // pull requests open at once, so that the line is never empty
	pullFrames = 64      // frames that one may bring
	pullBytes  = 4 << 20 // and bytes; a larger frame comes alone

	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	pullSilence   = 12 * time.Second // without any sign from the server: more than two heartbeats

	handlerWait = 30 * time.Second // longest wait before a batch is offered again
	staleReads  = 5                // reads of a replicated stream's end that must agree before it counts as rolled back
)

// Consume hands on the stream's frames, from sequence from (0: from the first that is still there), in order and each
// after the one before was taken, until ctx ends: it then returns ctx's error. A batch that next does not take is
// offered again, after a wait; nothing overtakes it. Lost connections, restarts and changes of leader are waited out.
//
// It stops with a coded error when something is missing: sequences that are gone (CDCD-3008), a stream that ends before
// from (CDCD-3009), part numbers that are not dense within a partition and epoch (CDCD-3010), a frame that is damaged
// (CDCD-3011), a stream that was deleted (CDCD-3014).
//
// The position is the caller's: nothing is kept on the server. Beside the batch that is being handed on, at most some
// 10 MiB, or a single larger frame, are read ahead.
func (s *Stream) Consume(ctx context.Context, from uint64, next cdc.Handler) error {
	return s.consume(ctx, &consumer{s: s, next: next, seq: from, until: math.MaxUint64, parts: map[uint16]part{}})
}

// Read is Consume up to the frame of sequence last, after which it returns nil. Last must be in the stream already.
func (s *Stream) Read(ctx context.Context, from, last uint64, next cdc.Handler) error {
	if from > last {
		return nil
	}
	err := s.consume(ctx, &consumer{s: s, next: next, seq: from, until: last, parts: map[uint16]part{}})
	if errors.Is(err, errRead) {
		return nil
	}
	return err
}

// At returns the sequence of the first message that the stream took at a time or later; one after the last when there
// is none. A change is in the stream after it was committed, so none that was committed since then stands before it.
func (s *Stream) At(ctx context.Context, t time.Time) (uint64, error) {
	info, err := s.info(ctx)
	if err != nil {
		return 0, s.readError(err)
	}
	first, end := max(info.State.FirstSeq, 1), info.State.LastSeq+1
	for first < end {
		mid := first + (end-first)/2
		m, err := s.stream.GetMsg(ctx, mid)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // trimmed meanwhile
			first = mid + 1
		case err != nil:
			return 0, s.readError(err)
		case m.Time.Before(t):
			first = mid + 1
		default:
			end = mid
		}
	}
	return first, nil
}

// Taken returns when the stream took a message.
func (s *Stream) Taken(ctx context.Context, seq uint64) (time.Time, error) {
	m, err := s.stream.GetMsg(ctx, seq)
	if err != nil {
		return time.Time{}, s.readError(err)
	}
	return m.Time, nil
}

// PartNoAt returns the number, in its partition, of the first change that the message at seq has or that comes behind it.
func (s *Stream) PartNoAt(ctx context.Context, seq uint64) (uint64, error) {
	m, err := s.stream.GetMsg(ctx, seq)
	if err != nil {
		return 0, s.readError(err)
	}
	b, err := openBody(m.Data, nil)
	if err != nil {
		return 0, s.damaged(seq, err)
	}
	return b.Header().FirstPartNo, nil
}

// FrameOf returns the frame that has the change with a number, with the revision that judges it, or nil when the stream does
// not have it: not any more, or not yet. Numbers are dense, so few frames are looked at.
func (s *Stream) FrameOf(ctx context.Context, no uint64) (*cdc.Batch, error) {
	info, err := s.info(ctx)
	if err != nil {
		return nil, s.readError(err)
	}
	var found *cdc.Batch
	var rules string
	for first, end := max(info.State.FirstSeq, 1), info.State.LastSeq+1; first < end; {
		mid := first + (end-first)/2
		m, err := s.stream.GetMsg(ctx, mid)
		if errors.Is(err, jetstream.ErrMsgNotFound) { // trimmed meanwhile
			first = mid + 1
			continue
		}
		if err != nil {
			return nil, s.readError(err)
		}
		b, err := openBody(m.Data, nil)
		if err != nil {
			return nil, s.damaged(mid, err)
		}
		if b.Checkpoint().NextNo <= no {
			first = mid + 1
			continue
		}
		b.Seq = mid
		found, rules, end = b, m.Header.Get(headerRules), mid
	}
	if found == nil || found.Len() == 0 || found.Event(0).No() > no {
		return nil, nil
	}
	if found.Rules, err = s.revisionOf(ctx, found.Seq, rules); err != nil {
		return nil, err
	}
	return found, nil
}

var errRead = errors.New("all that was asked for has been read")

func (s *Stream) consume(ctx context.Context, c *consumer) error {
	for failures := 0; ; failures++ {
		if err := backoff.Sleep(ctx, pauseAfter(failures, maxWait)); err != nil {
			return err
		}
		before := c.seq
		err := c.run(ctx)
		var coded *cdc.Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &coded), errors.Is(err, errRead):
			return err
		case s.nc.IsClosed():
			return fmt.Errorf("consume stream %s: %w", s.name, err)
		}
		s.cfg.Logger.Debug("bus: consuming again", "stream", s.name, "seq", c.seq, "after", err)
		if c.seq != before {
			failures = 0
		}
	}
}

type consumer struct {
	s      *Stream
	next   cdc.Handler
	seq    uint64 // sequence of the next message
	until  uint64 // sequence of the last that is wanted
	parts  map[uint16]part
	rules  cdc.Revision // that the frame before named
	asked  bool         // and whether that is known
	beyond int          // reads in a row by which the stream ends before seq
}

// part is where a partition stands.
type part struct {
	epoch, next uint64
}

// slot is one of the pull requests that are open.
type slot struct {
	inbox string
	sub   *nats.Subscription
	n     int // number of the request; statuses of earlier ones mean nothing
	got   int // messages that it brought
	left  int // messages that it may still bring
}

// run consumes through one consumer of the server's, until that is of no use any more.
func (c *consumer) run(ctx context.Context) error {
	name, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer c.remove(name)
	status := c.s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer c.s.nc.RemoveStatusListener(status)
	msgs := make(chan *nats.Msg, pullSlots*(pullFrames+16))
	slots := map[*nats.Subscription]*slot{}
	for range pullSlots {
		sl := &slot{inbox: c.s.nc.NewInbox()}
		if sl.sub, err = c.s.nc.ChanSubscribe(sl.inbox+".*", msgs); err != nil {
			return err
		}
		defer sl.sub.Unsubscribe()
		slots[sl.sub] = sl
		if err := c.pull(name, sl, false); err != nil {
			return err
		}
	}
	silence := time.NewTimer(pullSilence)
	defer silence.Stop()
	for {
		select {
		case m := <-msgs:
			sl := slots[m.Sub]
			if m.Reply == "" || m.Header.Get("Status") != "" {
				if err := c.statusOf(name, sl, m); err != nil {
					return err
				}
			} else {
				if sl.got, sl.left = sl.got+1, sl.left-1; sl.left == 0 {
					if err := c.pull(name, sl, false); err != nil {
						return err
					}
				}
				if err := c.message(ctx, m); err != nil {
					return err
				}
				if c.seq > c.until {
					return errRead
				}
			}
			silence.Reset(pullSilence)
		case <-silence.C:
			return errors.New("no sign from the server")
		case <-status:
			return errors.New("reconnected")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open makes a consumer at the position. It gives up soon: a request is lost with the server it was sent to.
func (c *consumer) open(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.AckWait)
	defer cancel()
	if err := c.checkPosition(ctx); err != nil {
		return "", err
	}
	return c.create(ctx)
}

// checkPosition compares the position with the stream's ends.
func (c *consumer) checkPosition(ctx context.Context) error {
	info, err := c.s.stream.Info(ctx)
	if err != nil {
		return c.s.readError(err)
	}
	first, last := max(info.State.FirstSeq, 1), info.State.LastSeq
	if c.seq == 0 {
		c.seq = first
	}
	switch {
	case c.seq < first:
		return c.s.gap(c.seq, first-1, "the stream begins later: they were trimmed or lost")
	case c.seq > last+1:
		if c.beyond++; c.beyond < staleReads && info.Config.Replicas > 1 {
			return fmt.Errorf("stream %s ends at %d", c.s.name, last) // a leader that lost its place may say so for a while
		}
		return cdc.Errorf(codeBeyond, "stream %s ends at %d, but %d has been consumed: it was made anew or has lost its end", c.s.name, last, c.seq-1).
			WithFix("`cdcd errors %s` says how to tell and how to go on", codeBeyond)
	}
	c.beyond = 0
	return nil
}

func (s *Stream) gap(first, last uint64, why string) error {
	return cdc.Errorf(codeGap, "messages %d to %d of stream %s are missing: %s", first, last, s.name, why).
		WithFix("`cdcd errors %s` says how to repair the gap from the binlog", codeGap)
}

// create makes a consumer that the server forgets by itself: our position is the only one.
func (c *consumer) create(ctx context.Context) (string, error) {
	made, err := c.s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Description:       "cdcd " + c.s.cfg.Writer,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       c.seq,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return "", c.s.readError(err)
	}
	return made.CachedInfo().Name, nil
}

func (c *consumer) remove(name string) {
	if !c.s.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.s.stream.DeleteConsumer(ctx, name) // it would go by itself
}

// pull opens the slot's next request: for some frames, or for a single one of any size.
func (c *consumer) pull(name string, sl *slot, single bool) error {
	req := struct {
		Expires   time.Duration `json:"expires"`
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes,omitempty"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{pullExpires, pullFrames, pullBytes, pullHeartbeat}
	if single {
		req.Batch, req.MaxBytes = 1, 0
	}
	sl.n, sl.got, sl.left = sl.n+1, 0, req.Batch
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	return c.s.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+c.s.name+"."+name, sl.inbox+"."+strconv.Itoa(sl.n), body)
}

// statusOf handles what the server says about a request. An error means that the consumer is of no use any more.
func (c *consumer) statusOf(name string, sl *slot, m *nats.Msg) error {
	if m.Subject != sl.inbox+"."+strconv.Itoa(sl.n) {
		return nil
	}
	switch code, text := m.Header.Get("Status"), m.Header.Get("Description"); {
	case code == "100": // heartbeat
		return nil
	case code == "404", code == "408", code == "409" && text == "Batch Completed":
		return c.pull(name, sl, false)
	case code == "409" && text == "Message Size Exceeds MaxBytes":
		return c.pull(name, sl, sl.got == 0)
	default:
		return fmt.Errorf("the server ended the request: %s %s", code, text)
	}
}

// message checks a message and hands it on.
func (c *consumer) message(ctx context.Context, m *nats.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("consume stream %s: %w", c.s.name, err)
	}
	seq := meta.Sequence.Stream
	switch {
	case seq < c.seq:
		return nil // delivered before
	case seq > c.seq:
		return c.missing(ctx, seq)
	}
	if m.Subject == c.s.subject(claimToken) { // it names what the frame before it does
		c.seq++
		return nil
	}
	b, err := openBody(m.Data, &c.s.tables)
	if err != nil {
		return c.s.damaged(seq, err)
	}
	b.Seq = seq
	if b.Rules, err = c.revision(ctx, m.Header.Get(headerRules)); err != nil {
		return err
	}
	after, err := c.follow(b)
	if err != nil {
		return err
	}
	if err := c.offer(ctx, b); err != nil {
		return err
	}
	c.parts[b.Header().Partition] = after
	c.seq++
	return nil
}

// missing tells a message that was lost on its way, which comes again, from one that is not there any more.
func (c *consumer) missing(ctx context.Context, got uint64) error {
	_, err := c.s.stream.GetMsg(ctx, c.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return c.s.gap(c.seq, got-1, "they were deleted or lost")
	}
	return fmt.Errorf("message %d came instead of %d: %w", got, c.seq, err)
}

// follow checks that the frame continues its partition, and returns where the partition then stands.
func (c *consumer) follow(b *cdc.Batch) (part, error) {
	h := b.Header()
	if have, ok := c.parts[h.Partition]; ok && have.epoch>>32 == h.Epoch>>32 && have.next != h.FirstPartNo {
		return part{}, cdc.Errorf(codePartGap, "message %d of stream %s begins with change %d of partition %d, where %d had to follow",
			b.Seq, c.s.name, h.FirstPartNo, h.Partition, have.next).
			WithFix("`cdcd errors %s` says how to repair this from the binlog", codePartGap)
	}
	return part{h.Epoch, h.FirstPartNo + uint64(b.Len())}, nil
}

// offer offers the batch until it is taken.
func (c *consumer) offer(ctx context.Context, b *cdc.Batch) error {
	for n := 1; ; n++ {
		err := c.next(ctx, b)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait := pauseAfter(n, handlerWait)
		c.s.cfg.Logger.Warn("a batch was not taken and will be offered again", "stream", c.s.name, "seq", b.Seq, "attempt", n, "in", wait, "error", err)
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
