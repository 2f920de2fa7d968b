package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/backoff"
)

// Each frame names the revision of the rules that its events are judged by: the newest that its writer knew when it was
// taken. The stream has one writer, so a revision becomes effective at one sequence, for all who consume, and a frame
// is judged by the same rules whenever it is read again.

const headerRules = "Cdcd-Rules" // cdc.Revision as text

// Stamp has all frames that are published from now on name a revision of the rules. When no frame is being published, an
// empty one tells; an older revision than before is ignored. Until it is called, a publisher goes on with what the stream's last frame names.
func (s *Stream) Stamp(r cdc.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.No <= s.revision.No { // somebody who has looked earlier
		return
	}
	s.revision = r
	for p := range s.publishers {
		select {
		case p.told <- struct{}{}:
		default: // it has not heard the last yet
		}
	}
}

// Stamped returns the revision that the stream's last message names, zero if none, and its sequence.
func (s *Stream) Stamped(ctx context.Context) (cdc.Revision, uint64, error) {
	t, err := s.tail(ctx, 16*s.cfg.AckWait)
	if err != nil {
		return cdc.Revision{}, 0, err
	}
	r, err := cdc.ParseRevision(t.rules)
	if err != nil {
		return cdc.Revision{}, 0, s.damaged(t.seq, err)
	}
	return r, t.seq, nil
}

// InForce returns the sequence of the first frame behind after that names a revision of the rules, or a newer one. When
// there is none it is waited for until ctx ends, but not in a stream in which nothing has been captured yet: then it is 0.
func (s *Stream) InForce(ctx context.Context, r cdc.Revision, after uint64) (uint64, error) {
	var last uint64
	for n := 0; last == 0; n++ {
		if err := backoff.Sleep(ctx, pauseAfter(n, 100*time.Millisecond)); err != nil {
			return 0, fmt.Errorf("no frame of stream %s names revision %s yet: %w", s.name, r, err)
		}
		t, err := s.tail(ctx, s.cfg.AckWait)
		if err != nil {
			return 0, err
		}
		if t.seq == 0 {
			return 0, nil
		}
		named, err := cdc.ParseRevision(t.rules)
		if err != nil {
			return 0, s.damaged(t.seq, err)
		}
		if t.seq > after && named.No >= r.No {
			last = t.seq
			continue
		}
		b, err := openBody(t.data, nil)
		if err != nil {
			return 0, s.damaged(t.seq, err)
		}
		if len(b.Checkpoint().PartNos) == 0 {
			return 0, nil
		}
	}
	for first := after + 1; first < last; { // revisions only grow, and last names it
		mid := first + (last-first)/2
		m, err := s.stream.GetMsg(ctx, mid)
		if errors.Is(err, jetstream.ErrMsgNotFound) { // trimmed meanwhile
			first = mid + 1
			continue
		}
		if err != nil {
			return 0, s.readError(err)
		}
		named, err := cdc.ParseRevision(m.Header.Get(headerRules))
		if err != nil {
			return 0, s.damaged(mid, err)
		}
		if named.No >= r.No {
			last = mid
		} else {
			first = mid + 1
		}
	}
	return last, nil
}

// markStamped notes in the stream that frames name revisions from a sequence on, once and for all. Programs that do not
// know of them refuse the stream from then on.
func (s *Stream) markStamped(ctx context.Context, from uint64) error {
	s.mu.Lock()
	marked := s.marked
	s.mu.Unlock()
	if marked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.AckWait)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return s.readError(err)
	}
	if info.Config.Metadata[metaFormat] != stampedFormat {
		want := info.Config
		want.Metadata = maps.Clone(want.Metadata)
		want.Metadata[metaFormat], want.Metadata[metaStamps] = stampedFormat, strconv.FormatUint(from, 10)
		if _, err := s.js.UpdateStream(ctx, want); err != nil {
			return fmt.Errorf("note in stream %s that frames name revisions of rules: %w", s.name, err)
		}
	}
	s.mu.Lock()
	s.marked = true
	s.mu.Unlock()
	return nil
}

// revisionOf returns what the frame of a sequence is judged by, which names a revision or none.
func (s *Stream) revisionOf(ctx context.Context, seq uint64, text string) (cdc.Revision, error) {
	if text == "" {
		return s.revisionBefore(ctx, seq)
	}
	r, err := cdc.ParseRevision(text)
	if err != nil {
		return cdc.Revision{}, s.damaged(seq, err)
	}
	return r, nil
}

// revision returns what the next frame is judged by: the revision that it names. One that names none was written by a
// program that knows of no revisions. Before all that do name one it has none; after one it goes on with that.
func (c *consumer) revision(ctx context.Context, text string) (cdc.Revision, error) {
	r, err := cdc.ParseRevision(text)
	if err != nil {
		return cdc.Revision{}, c.s.damaged(c.seq, err)
	}
	if text == "" {
		if !c.asked {
			if c.rules, err = c.s.revisionBefore(ctx, c.seq); err != nil {
				return cdc.Revision{}, err
			}
		}
		r = c.rules
	}
	c.rules, c.asked = r, true
	return r, nil
}

// revisionBefore returns the revision that the last frame before seq names of those that name one.
func (s *Stream) revisionBefore(ctx context.Context, seq uint64) (cdc.Revision, error) {
	info, err := s.info(ctx)
	if err != nil {
		return cdc.Revision{}, s.readError(err)
	}
	if info.Config.Metadata[metaFormat] != stampedFormat {
		return cdc.Revision{}, nil
	}
	from, err := strconv.ParseUint(info.Config.Metadata[metaStamps], 10, 64)
	if err != nil {
		return cdc.Revision{}, fmt.Errorf("metadata %s of stream %s: %w", metaStamps, s.name, err)
	}
	for seq--; seq >= max(from, info.State.FirstSeq); seq-- {
		msg, err := s.stream.GetMsg(ctx, seq)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound): // trimmed in the meantime
			return cdc.Revision{}, s.gap(seq, seq, "they were trimmed or lost")
		case err != nil:
			return cdc.Revision{}, s.readError(err)
		}
		if text := msg.Header.Get(headerRules); text != "" {
			return s.revisionOf(ctx, seq, text)
		}
	}
	if info.State.FirstSeq > from {
		return cdc.Revision{}, s.gap(from, info.State.FirstSeq-1, "they were trimmed, and with them what says which rules the next frames are judged by")
	}
	return cdc.Revision{}, nil
}
