package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// What is in the stream is kept for feeds that are behind, and else as history for as long as there is room. When the stream is
// full of what feeds still need, capture waits; a feed that may be given up (hold) is, rather than that.

// holder is a feed as the stream sees it.
type holder struct {
	feed   string
	seq    uint64        // the stream is not needed up to here
	behind time.Duration // since when the stream has had what comes next; 0 when there is nothing
	hold   time.Duration // for so long the stream is kept; 0: for ever
}

// room returns the sequence below which the stream can be trimmed to drop about share of its messages, oldest first, and the
// feeds that would have to be given up for it.
func room(info bus.Info, share float64, holders []holder) (upTo uint64, lost []string) {
	upTo = info.First + uint64(share*float64(info.Last-info.First))
	if info.Last < info.First {
		return 0, nil
	}
	given := func(h holder) bool { return h.hold > 0 && h.behind > h.hold }
	for _, h := range holders {
		if !given(h) {
			upTo = min(upTo, h.seq)
		}
	}
	for _, h := range holders {
		if given(h) && h.seq+1 < upTo {
			lost = append(lost, h.feed)
		}
	}
	return upTo, lost
}

// makeRoom drops what all feeds have delivered from a stream that is four fifths full, or that the disk is too small for:
// oldest first, and no more than is needed. The rest is kept: history is what rules are tried on.
func (p *pipeline) makeRoom(ctx context.Context) error {
	info, err := p.stream.Info(ctx)
	if err != nil {
		return err
	}
	holders := p.holders(ctx, info)
	p.filling.look(p, info, holders, time.Now())
	share := 0.0 // of the messages, as if all were of one size
	if p.held.Load() != nil {
		share = 0.5
	}
	if info.MaxBytes > 0 && float64(info.Bytes) >= 0.8*float64(info.MaxBytes) {
		share = max(share, 1-0.75*float64(info.MaxBytes)/float64(info.Bytes))
	}
	upTo, lost := room(info, share, holders)
	if share == 0 || upTo <= info.First {
		return nil
	}
	for _, feed := range lost {
		p.log.Error("the stream is full, and this feed has been behind for longer than it may hold it: changes that it has not delivered are dropped",
			"event", "feed.given_up", "code", "CDCD-4310", "feed", feed, "to", upTo)
	}
	p.log.Info("making room in the stream", "event", "stream.trim", "from", info.First, "to", upTo)
	if err := p.stream.Trim(ctx, upTo); err != nil {
		return err
	}
	return p.lookups.trim(ctx, upTo)
}

// holders says how far the feeds are.
func (p *pipeline) holders(ctx context.Context, info bus.Info) []holder {
	var out []holder
	for _, f := range p.feeds {
		h := holder{feed: f.name, seq: p.heldFrom(ctx, f), hold: time.Duration(f.cfg.Hold)}
		if h.seq < info.Last && info.First <= info.Last {
			taken, err := p.stream.Taken(ctx, max(h.seq+1, info.First))
			if err == nil {
				h.behind = max(time.Since(taken), time.Millisecond)
			}
			if h.seq == 0 { // it is new: what was there before it is no delay of its own
				h.behind = min(h.behind, max(time.Since(p.started), time.Millisecond))
			}
		}
		f.behind.Store(int64(h.behind))
		out = append(out, h)
	}
	return out
}

// heldFrom returns the sequence up to which a feed does not need the stream. Of one whose chain could not be opened yet, because its
// store is down, the hint is asked that an earlier run has left; 0: it has delivered nothing, as far as is known.
func (p *pipeline) heldFrom(ctx context.Context, f *feed) uint64 {
	f.noting.Lock()
	seq, noted := f.notedSeq, f.noted != ""
	f.noting.Unlock()
	if noted {
		return seq
	}
	progress, err := p.progress(ctx, f)
	if err != nil || len(progress) == 0 {
		return 0
	}
	return slices.MinFunc(progress, func(a, b chain.Progress) int { return cmp.Compare(a.Seq, b.Seq) }).Seq
}

// givenUp says that the stream has not any more what a feed goes on with.
func givenUp(f *feed, next, first uint64) error {
	return cdc.Errorf("CDCD-4310", "feed %s goes on with event %d, and the stream begins with event %d: it was given up when the stream was full", f.name, next, first).
		WithFix("deliver to a new prefix under a new feed name, and take a snapshot of its tables (`cdcd snapshot TABLE`)")
}

// filling is how the stream fills up with what feeds have not delivered.
type filling struct {
	mu       sync.Mutex // guards all
	undone   int64      // bytes that a feed still needs, about
	slowest  string     // the feed that is farthest behind
	rate     float64    // bytes a second that come in, over some minutes
	at       time.Time
	in       uint64 // bytes captured until then
	warned   int    // in tenths of the stream
	maxBytes int64
}

// rateOver is the time over which the rate is averaged.
const rateOver = 5 * time.Minute

// look takes the state of the stream, and says in the log when it gets full.
func (w *filling) look(p *pipeline, info bus.Info, holders []holder, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := p.frameBytes.Load()
	if !w.at.IsZero() && now.After(w.at) {
		span := now.Sub(w.at)
		weight := min(1, span.Seconds()/rateOver.Seconds())
		if w.rate == 0 {
			weight = 1
		}
		w.rate += weight * (float64(in-w.in)/span.Seconds() - w.rate)
	}
	w.at, w.in, w.maxBytes = now, in, info.MaxBytes
	w.undone, w.slowest = undelivered(info, holders)
	level := 0
	if info.MaxBytes > 0 {
		level = int(10 * w.undone / info.MaxBytes)
	}
	if level >= 5 && level > w.warned {
		p.log.Warn("the stream fills up with changes that a feed has not delivered; when it is full, capture waits",
			"event", "stream.filling", "feed", w.slowest, "bytes", w.undone, "max_bytes", info.MaxBytes, "full_in_seconds", w.fullIn())
	}
	w.warned = level
}

// undelivered returns about how many bytes of the stream are not delivered by all feeds, and which feed is farthest behind.
func undelivered(info bus.Info, holders []holder) (bytes int64, slowest string) {
	if info.Messages == 0 || len(holders) == 0 {
		return 0, ""
	}
	h := slices.MinFunc(holders, func(a, b holder) int { return int(int64(a.seq) - int64(b.seq)) })
	if h.seq >= info.Last {
		return 0, ""
	}
	left := min(info.Last-h.seq, info.Messages)
	return int64(float64(info.Bytes) * float64(left) / float64(info.Messages)), h.feed
}

// fullIn returns the seconds until the stream is full if the feed that is farthest behind delivers nothing; nil when it does not
// fill up.
func (w *filling) fullIn() *float64 {
	if w.rate < 1 || w.maxBytes <= 0 || w.undone == 0 {
		return nil
	}
	seconds := max(0, float64(w.maxBytes-w.undone)/w.rate)
	return &seconds
}

// state fills in what people see.
func (w *filling) state(s *api.StreamStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Undelivered, s.Slowest, s.FullIn = w.undone, w.slowest, w.fullIn()
}
