package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// claimSize is the number of messages in a claim, and the most frames that a writer may have under way. Both must be
// the same for all programs that may ever write one stream: raising it means a new streamFormat.
const claimSize = 8

const (
	claimToken  = "claim"      // the subject is cdc.<source>.claim
	headerClaim = "Cdcd-Claim" // the same unique text on all messages of one claim
)

// claim appends a claim after expectedLast and returns its last sequence and frame. The package's comment says what for.
func (s *Stream) claim(ctx context.Context, expectedLast uint64) (uint64, *cdc.Batch, error) {
	id, patience := rand.Text(), s.cfg.AckWait
	var claimed *cdc.Batch // what was sent last
	for attempt := 0; ; attempt++ {
		if err := backoff.Sleep(ctx, pauseAfter(attempt, maxWait)); err != nil {
			return 0, nil, err
		}
		if err := s.storing(attempt); err != nil {
			return 0, nil, err
		}
		t, err := s.tail(ctx, patience)
		var coded *cdc.Error
		switch {
		case errors.As(err, &coded):
			return 0, nil, err
		case err != nil:
			if ctx.Err() != nil {
				return 0, nil, err
			}
			if t.seq != 0 {
				patience = min(2*patience, 16*s.cfg.AckWait)
			}
			continue
		case t.claim == id: // stored, though nobody told us
			return t.seq, claimed, nil
		case t.seq != expectedLast:
			return 0, nil, s.fenced("stream %s ends at %d, not at %d: another capture has written to it", s.name, t.seq, expectedLast)
		}
		low, err := s.diskLow()
		if err != nil {
			return 0, nil, err
		}
		if low {
			s.observe(DiskLow)
			continue
		}
		if claimed, err = s.claimFrame(t); err != nil {
			return 0, nil, err
		}
		if err := s.sendClaim(ctx, id, expectedLast, claimed); err != nil {
			return 0, nil, err
		}
	}
}

// claimFrame repeats the checkpoint of the stream's last frame, and the revision of rules.
func (s *Stream) claimFrame(t tail) (*cdc.Batch, error) {
	h, c := cdc.Header{Source: s.cfg.Source}, cdc.Checkpoint{}
	if t.seq > 0 {
		b, err := openBody(t.data, nil)
		if err != nil {
			return nil, s.damaged(t.seq, err)
		}
		h, c = b.Header(), b.Checkpoint()
	}
	b, err := cdc.Open(repeat(h, c, s.cfg.Writer, s.cfg.Now()), nil)
	if err != nil {
		return nil, s.damaged(t.seq, err)
	}
	b.Rules, err = cdc.ParseRevision(t.rules)
	if err != nil {
		return nil, s.damaged(t.seq, err)
	}
	return b, nil
}

// repeat makes a frame without events that has the checkpoint of another.
func repeat(h cdc.Header, c cdc.Checkpoint, writer string, now time.Time) []byte {
	h.Writer, h.Created, h.Heartbeat, h.Partition, h.FirstPartNo = writer, now, true, 0, 0
	if len(c.PartNos) > 0 {
		h.FirstPartNo = c.PartNos[0]
	}
	var w cdc.Builder
	w.Reset(h)
	return w.Seal(c)
}

// sendClaim sends one atomic batch. It returns an error only when trying again makes no sense: whether the claim is in
// the stream the stream's end tells.
func (s *Stream) sendClaim(ctx context.Context, id string, expectedLast uint64, frame *cdc.Batch) error {
	batch := rand.Text()
	for i := 1; i <= claimSize; i++ {
		h := nats.Header{
			"Nats-Batch-Id":       {batch},
			"Nats-Batch-Sequence": {strconv.Itoa(i)},
			headerClaim:           {id},
		}
		if rules := frame.Rules.String(); rules != "" {
			h[headerRules] = []string{rules}
		}
		if i == 1 {
			h[headerExpectedLast] = []string{strconv.FormatUint(expectedLast, 10)}
		}
		if i == claimSize {
			h["Nats-Batch-Commit"] = []string{"1"}
		}
		try, cancel := context.WithTimeout(ctx, s.cfg.AckWait)
		m, err := s.nc.RequestMsgWithContext(try, &nats.Msg{Subject: s.subject(claimToken), Header: h, Data: frame.Frame()})
		cancel()
		if err != nil {
			return ctx.Err() // else: nobody there, or no answer: the end of the stream tells
		}
		var ack pubAck
		if len(m.Data) == 0 || json.Unmarshal(m.Data, &ack) != nil || ack.Error == nil {
			continue // all but the last are answered with nothing
		}
		switch judge(ack.Error) {
		case lookAtTail, streamFull, serverBusy:
			if judge(ack.Error) == streamFull {
				s.observe(StreamFull)
			}
			return backoff.Sleep(ctx, time.Millisecond)
		case cannotStore:
			return cdc.Errorf(codeWrite, "the server cannot store to stream %s: %w", s.name, ack.Error).
				WithFix("look at the server's disk, then restart the server: a failed write is only cleared by a restart")
		case streamGone:
			return s.gone()
		}
		if ack.Error.Code == 503 || ack.Error.Code == 500 {
			return nil // a batch that was lost on its way: a leader change, or older than 10 s
		}
		return fmt.Errorf("claim stream %s: %w", s.name, ack.Error)
	}
	return nil
}
