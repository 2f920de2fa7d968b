package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cdcd-project/cdcd/cdc"
)

func revision(no uint64) cdc.Revision { return cdc.Revision{No: no, ID: fmt.Sprintf("%016x", no)} }

// stamps returns what the frames from a sequence on name, as "rows@revision", until one of change upTo-1 has come.
func stamps(t *testing.T, s *Stream, from, upTo uint64) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	err := s.Consume(ctx, from, func(ctx context.Context, b *cdc.Batch) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		got = append(got, fmt.Sprintf("%d@%d", b.Len(), b.Rules.No))
		if b.Header().FirstPartNo+uint64(b.Len()) >= upTo && b.Len() > 0 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("consume: %v after %v", err, got)
	}
	return got
}

func TestFramesNameTheNewestRevisionThatTheirWriterKnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Writer: "a"})
	s.Stamp(revision(1)) // before there is a publisher
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 2, 0))
	flush(t, p)
	s.Stamp(revision(2)) // while nothing is captured
	eventually(t, "an empty frame names the revision", func() bool {
		r, _, err := s.Stamped(t.Context())
		return err == nil && r == revision(2)
	})
	if c, h, _, err := s.Last(t.Context()); err != nil || c.NextNo != 3 || !slices.Equal(c.PartNos, []uint64{3}) || !h.Heartbeat || h.Epoch != f.epoch {
		t.Fatalf("checkpoint of the empty frame: got %+v in %+v, %v; want that of the frame before", c, h, err)
	}
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	p.Close()
	p, f = begin(t, s) // as after a fence: nobody has to say it again
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	s.Close()

	s = open(t, Config{Dir: dir, Writer: "b"})
	p, f = begin(t, s) // a program that has not read the store, like resync
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p) // a frame gets its stamp when it is written, not when it is handed over
	s.Stamp(revision(3))
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	if got, want := strings.Join(stamps(t, s, 0, 7), " "), "2@1 0@2 1@2 1@2 1@2 0@3 1@3"; got != want && got != strings.Replace(want, "0@3 ", "", 1) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestARevisionIsInForceFromTheFirstFrameThatNamesItOrANewerOne(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	inForce := func(no, after, want uint64) {
		t.Helper()
		if got, err := s.InForce(t.Context(), revision(no), after); err != nil || got != want {
			t.Fatalf("revision %d behind %d: got frame %d, %v; want %d", no, after, got, err, want)
		}
	}
	inForce(1, 0, 0) // an empty stream
	p, f := begin(t, s)
	inForce(1, 0, 0) // and one that nothing has been captured to
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	first := p.LastSeq()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := s.InForce(ctx, revision(1), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("nobody stamps: got frame %d, %v", got, err)
	}
	s.Stamp(revision(1)) // an empty frame
	inForce(1, first, first+1)
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 1, 0))
	flush(t, p)
	s.Stamp(revision(3))
	inForce(3, first, first+4)
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 1, 0), f.frame(t, 1, 0))
	flush(t, p)
	inForce(1, first, first+1)
	inForce(2, first, first+4)
	inForce(3, first+4, first+5)
	inForce(3, 0, first+4)
}

func TestFlushWaitsForTheFramesHandedOverAndNotForOthers(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	for i := range uint64(20) {
		s.Stamp(revision(i + 1))
		before := p.LastSeq()
		publish(t, p, f.frame(t, 1, 0))
		flush(t, p)
		c, _, _, err := s.Last(t.Context())
		if err != nil || c.NextNo != f.next {
			t.Fatalf("flushed behind %d: the stream's end says that change %d is next (%v), want %d", before, c.NextNo, err, f.next)
		}
	}
}

func TestARevisionIsNotAnnouncedBeforeAnythingIsCaptured(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	s.Stamp(revision(1))
	time.Sleep(50 * time.Millisecond)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	if got, want := strings.Join(stamps(t, s, 0, 2), " "), "1@1"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// Streams of versions before revisions name none; and one such writer may, as a standby that was not restarted, follow a
// newer one.
func TestFramesWithoutARevisionGoOnWithTheOneBefore(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 1, 0))
	flush(t, p)
	if got := s.stream.CachedInfo().Config.Metadata[metaFormat]; got != streamFormat {
		t.Fatalf("format before the first revision: got %s, want %s", got, streamFormat)
	}
	s.Stamp(revision(7))
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	p.Close()
	for range 2 { // an old writer: same frames, no header
		b := f.frame(t, 1, 0)
		if m, err := s.nc.RequestMsg(&nats.Msg{Subject: s.subject("0"), Data: pack(b.Frame())}, 5*time.Second); err != nil || strings.Contains(string(m.Data), "error") {
			t.Fatalf("publish: %v %s", err, m.Data)
		}
	}
	want := []string{"1@0", "1@0", "1@7", "1@7", "1@7"}
	all := slices.DeleteFunc(stamps(t, s, 0, f.next), func(one string) bool { return one == "0@7" })
	if !slices.Equal(all, want) {
		t.Fatalf("got %v, want %v", all, want)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := stamps(t, s, info.Last, f.next); !slices.Equal(got, []string{"1@7"}) { // begins behind the frame that names it
		t.Fatalf("from the last frame on: got %v, want 1@7", got)
	}
	if got := stamps(t, s, claimSize+2, 3); !slices.Equal(got, []string{"1@0"}) {
		t.Fatalf("from within the old frames: got %v, want 1@0", got)
	}
}
