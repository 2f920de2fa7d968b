package bus

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

func TestABatchThatIsNotTakenIsOfferedAgainAndNothingOvertakesIt(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	for range 5 {
		publish(t, p, f.frame(t, 1, 0))
	}
	flush(t, p)
	var got []uint64
	ctx, cancel := context.WithCancel(t.Context())
	refused := 0
	err := s.Consume(ctx, 0, func(_ context.Context, b *cdc.Batch) error {
		got = append(got, b.Seq-claimSize)
		if b.Seq == claimSize+2 && refused < 3 {
			refused++
			return errors.New("the store is down")
		}
		if b.Seq == claimSize+5 {
			cancel()
		}
		return nil
	})
	if want := []uint64{1, 2, 2, 2, 2, 3, 4, 5}; !errors.Is(err, context.Canceled) || !slices.Equal(got, want) {
		t.Fatalf("offered: got %v (%v), want %v", got, err, want)
	}
}

func TestHeartbeatsArePassedOnAndClaimsAreNot(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 2, 0), f.frame(t, 0, 0))
	flush(t, p)
	p, f = begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	type batch struct {
		Seq       uint64
		Heartbeat bool
		Len       int
	}
	var got []batch
	ctx, cancel := context.WithCancel(t.Context())
	s.Consume(ctx, 1, func(_ context.Context, b *cdc.Batch) error {
		if got = append(got, batch{b.Seq, b.Header().Heartbeat, b.Len()}); len(got) == 3 {
			cancel()
		}
		return nil
	})
	if want := []batch{{9, false, 2}, {10, true, 0}, {19, false, 1}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestConsumingOutlivesCutConnectionsAndRestarts(t *testing.T) {
	srv := newServer(t)
	line := testenv.NewProxy(t, srv.addr())
	s := open(t, Config{URL: "nats://" + line.Addr})
	w := open(t, Config{URL: srv.url(), AckWait: time.Second})
	p, f := begin(t, w)
	const upTo = 400
	var mu sync.Mutex
	var got []int64
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() { // waited for below
		done <- s.Consume(ctx, 0, func(_ context.Context, b *cdc.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range b.Len() {
				if got = append(got, idOf(b.Event(i))); len(got) == upTo {
					cancel()
				}
			}
			return nil
		})
	}()
	for n := range upTo {
		publish(t, p, f.frame(t, 1, 0))
		switch {
		case n%100 == 50:
			line.Cut()
		case n%100 == 99:
			flush(t, p)
			srv.stop()
			time.Sleep(50 * time.Millisecond)
			srv.start(t)
		}
	}
	flush(t, p)
	err := <-done
	if want := count(1, upTo); !errors.Is(err, context.Canceled) || !slices.Equal(got, want) {
		t.Fatalf("%v, changes: got %d %v, want %d", err, len(got), got, len(want))
	}
}

// rawMessages opens a stream whose messages can be damaged by tests: deleted one by one, or published past all checks.
func rawStream(t *testing.T, frames ...[]byte) *Stream {
	t.Helper()
	srv := newServer(t)
	maker := &Stream{cfg: Config{Source: "shop", MaxBytes: 1 << 30}, name: "CDC_shop"}
	cfg := maker.wanted(1)
	cfg.DenyDelete = false
	first := open(t, Config{URL: srv.url(), Source: "other"})
	if _, err := first.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{URL: srv.url(), MaxBytes: 1 << 30})
	for _, frame := range frames {
		if _, err := s.js.Publish(t.Context(), s.subject("0"), frame); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestConsumingStopsWhereSomethingIsMissing(t *testing.T) {
	f := &frames{writer: "a", next: 1}
	one, two, three := f.frame(t, 2, 0).Frame(), f.frame(t, 2, 0).Frame(), f.frame(t, 2, 0).Frame()
	damaged := slices.Clone(two)
	damaged[len(damaged)/2] ^= 1
	other := &frames{writer: "a", next: 40}
	for _, test := range []struct {
		name   string
		frames [][]byte
		breaks func(t *testing.T, s *Stream)
		from   uint64
		want   string
		taken  []int64
	}{
		{"a message was deleted", [][]byte{one, two, three}, func(t *testing.T, s *Stream) {
			if err := s.stream.DeleteMsg(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}, 1, codeGap, []int64{1, 2}},
		{"the beginning was trimmed", [][]byte{one, two, three}, func(t *testing.T, s *Stream) {
			if err := s.Trim(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
		}, 2, codeGap, nil},
		{"everything was purged", [][]byte{one, two, three}, func(t *testing.T, s *Stream) {
			if err := s.stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, 1, codeGap, nil},
		{"the stream ends before the position", [][]byte{one}, nil, 3, codeBeyond, nil},
		{"changes are missing", [][]byte{one, three}, nil, 1, codePartGap, []int64{1, 2}},
		{"changes come twice", [][]byte{one, two, two}, nil, 1, codePartGap, []int64{1, 2, 3, 4}},
		{"a heartbeat that does not continue", [][]byte{one, other.frame(t, 0, 0).Frame()}, nil, 1, codePartGap, []int64{1, 2}},
		{"a frame is damaged", [][]byte{one, damaged}, nil, 1, codeDamaged, []int64{1, 2}},
		{"a message is no frame", [][]byte{one, []byte("hello")}, nil, 1, codeDamaged, []int64{1, 2}},
		{"the stream is deleted", [][]byte{one}, func(t *testing.T, s *Stream) {
			if err := s.js.DeleteStream(t.Context(), s.name); err != nil {
				t.Fatal(err)
			}
		}, 1, codeGone, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := rawStream(t, test.frames...)
			if test.breaks != nil {
				test.breaks(t, s)
			}
			var taken []int64
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := s.Consume(ctx, test.from, func(_ context.Context, b *cdc.Batch) error {
				for i := range b.Len() {
					taken = append(taken, idOf(b.Event(i)))
				}
				return nil
			})
			if code(err) != test.want || !slices.Equal(taken, test.taken) {
				t.Fatalf("got %v after %v, want %s after %v", err, taken, test.want, test.taken)
			}
		})
	}
}

func TestAnotherLineageBeginsItsOwnNumbersAndAnotherEpochOfOneGoesOn(t *testing.T) {
	a := &frames{writer: "a", next: 1, epoch: 1<<32 | 1}
	other := &frames{writer: "a", next: 100, epoch: 2<<32 | 1}
	s := rawStream(t, a.frame(t, 1, 0).Frame(), other.frame(t, 2, 0).Frame())
	if got, want := changes(t, s, 1, 101), []int64{1, 100, 101}; !slices.Equal(got, want) {
		t.Errorf("another lineage: got %v, want %v", got, want)
	}

	gap := &frames{writer: "a", next: 100, epoch: 1<<32 | 2}
	s = rawStream(t, a.frame(t, 1, 0).Frame(), gap.frame(t, 2, 0).Frame())
	if err := s.Consume(t.Context(), 1, func(context.Context, *cdc.Batch) error { return nil }); code(err) != "CDCD-3010" {
		t.Errorf("another epoch that leaves numbers out: got %v, want CDCD-3010", err)
	}
}

func TestTheCheckpointOfAnEmptiedStreamIsNotZero(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	if _, _, seq, err := s.Last(t.Context()); err != nil || seq != 0 {
		t.Fatalf("an empty stream: got %d, %v", seq, err)
	}
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	if err := s.Trim(t.Context(), 1<<40); err != nil {
		t.Fatal(err)
	}
	if c, _, seq, err := s.Last(t.Context()); err != nil || seq != claimSize+1 || c.NextNo != 2 {
		t.Fatalf("a trimmed stream: got %d, next %d, %v", seq, c.NextNo, err)
	}
	if err := s.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Last(t.Context()); code(err) != codeCheckpoint {
		t.Fatalf("a purged stream: got %v, want %s", err, codeCheckpoint)
	}
	if _, err := s.Publisher(t.Context(), 0); code(err) != codeCheckpoint {
		t.Fatalf("a publisher on a purged stream: got %v, want %s", err, codeCheckpoint)
	}
}

func TestAStandbyWaitsUntilTheOtherWriterIsSilent(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Writer: "a"})
	if err := s.WaitIdle(t.Context(), "b", time.Hour); err != nil {
		t.Fatalf("an empty stream: %v", err)
	}
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	stop := time.Now().Add(500 * time.Millisecond)
	idle := make(chan time.Time, 1)
	go func() { // waited for below
		if err := s.WaitIdle(t.Context(), "b", 250*time.Millisecond); err == nil {
			idle <- time.Now()
		}
		close(idle)
	}()
	last := time.Now()
	for ; time.Now().Before(stop); time.Sleep(20 * time.Millisecond) {
		publish(t, p, f.frame(t, 1, 0))
		flush(t, p)
		last = time.Now()
	}
	if at := <-idle; at.Sub(last) < 200*time.Millisecond {
		t.Fatalf("idle %s after the last frame, want 250ms", at.Sub(last))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.WaitIdle(ctx, "b", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func TestProgressIsKept(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if got, err := s.Progress(t.Context(), "acme.0"); err != nil || got != nil {
		t.Fatalf("none yet: got %q, %v", got, err)
	}
	for _, v := range []string{"1", "2"} {
		if err := s.SetProgress(t.Context(), "acme.0", []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open(t, Config{Dir: dir})
	if got, err := s.Progress(t.Context(), "acme.0"); err != nil || string(got) != "2" {
		t.Fatalf("after a restart: got %q, %v", got, err)
	}
}

func TestReadEndsAfterTheFrameThatWasAskedForAndClaimsDoNotHoldItUp(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	for range 3 {
		publish(t, p, f.frame(t, 1, 0))
	}
	flush(t, p)
	if _, err := s.Publisher(t.Context(), claimSize+3); err != nil { // its claims are the end of the stream
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		from, last uint64
		want       []uint64
	}{{1, info.Last, []uint64{1, 2, 3}}, {claimSize + 2, claimSize + 2, []uint64{2}}, {claimSize + 3, claimSize + 2, nil}} {
		var got []uint64
		err := s.Read(t.Context(), row.from, row.last, func(_ context.Context, b *cdc.Batch) error {
			got = append(got, b.Seq-claimSize)
			return nil
		})
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("from %d to %d: got %v (%v), want %v", row.from, row.last, got, err, row.want)
		}
	}
}

func TestAtFindsTheFirstFrameOfATime(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	time.Sleep(2 * time.Millisecond)
	between := time.Now()
	time.Sleep(2 * time.Millisecond)
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 1, 0))
	flush(t, p)
	for _, row := range []struct {
		at   time.Time
		want uint64
	}{{time.Time{}, 1}, {between, claimSize + 2}, {time.Now().Add(time.Hour), claimSize + 4}} {
		if got, err := s.At(t.Context(), row.at); err != nil || got != row.want {
			t.Errorf("at %v: got %d (%v), want %d", row.at, got, err, row.want)
		}
	}
}

func TestFrameOfFindsAChangeByItsNumber(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 3, 0), f.frame(t, 0, 0), f.frame(t, 1, 0), f.frame(t, 0, 0), f.frame(t, 0, 0), f.frame(t, 5, 0), f.frame(t, 0, 0))
	flush(t, p)
	for no, want := range map[uint64]uint64{0: 0, 1: 1, 3: 1, 4: 3, 5: 6, 9: 6, 10: 0} { // 0: none
		b, err := s.FrameOf(t.Context(), no)
		switch {
		case err != nil:
			t.Errorf("%d: %v", no, err)
		case b == nil && want != 0, b != nil && b.Seq != claimSize+want:
			t.Errorf("%d: got %+v, want the frame of sequence %d", no, b, want)
		}
	}
}

func TestFrameOfNamesTheRevisionThatJudgesTheFrame(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	s.Stamp(revision(7))
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	p.Close()
	b := f.frame(t, 1, 0) // of a writer that knows of no revisions
	if m, err := s.nc.RequestMsg(&nats.Msg{Subject: s.subject("0"), Data: pack(b.Frame())}, 5*time.Second); err != nil || strings.Contains(string(m.Data), "error") {
		t.Fatalf("publish: %v %s", err, m.Data)
	}
	for no, want := range map[uint64]cdc.Revision{1: {}, 2: revision(7), 3: revision(7)} {
		if b, err := s.FrameOf(t.Context(), no); err != nil || b == nil || b.Rules != want {
			t.Errorf("change %d: got %+v, %v; want revision %v", no, b, err, want)
		}
	}
}
