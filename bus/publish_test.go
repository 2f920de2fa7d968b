package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

func TestWhatIsPublishedIsConsumedInOrder(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Writer: "a"})
	p, f := begin(t, s)
	for range 50 {
		publish(t, p, f.frame(t, 3, 0))
	}
	flush(t, p)
	c, h, seq, err := s.Last(t.Context())
	if err != nil || c.NextNo != 151 || h.Writer != "a" || seq != claimSize+50 || p.LastSeq() != seq {
		t.Fatalf("last: got next %d, writer %q, sequence %d (publisher: %d), %v; want 151, a, %d", c.NextNo, h.Writer, seq, p.LastSeq(), err, claimSize+50)
	}
	if got, want := changes(t, s, 0, 150), count(1, 150); !slices.Equal(got, want) {
		t.Fatalf("changes:\n got %v\nwant %v", got, want)
	}
	if got, want := changes(t, s, claimSize+11, 150), count(31, 150); !slices.Equal(got, want) {
		t.Fatalf("changes from the middle:\n got %v\nwant %v", got, want)
	}
	s.Close()

	s = open(t, Config{Dir: dir, Writer: "b"})
	if c, h, again, err := s.Last(t.Context()); err != nil || c.NextNo != 151 || h.Writer != "a" || again != seq {
		t.Fatalf("last after a restart: got next %d, writer %q, sequence %d, %v", c.NextNo, h.Writer, again, err)
	}
	p, f = begin(t, s)
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 0, 0))
	flush(t, p)
	if got, want := changes(t, s, seq, 151), count(148, 151); !slices.Equal(got, want) {
		t.Fatalf("changes after a restart:\n got %v\nwant %v", got, want)
	}
}

// The boundary is between the server and the publisher; what breaks there must neither lose nor double a frame.
func TestBrokenConnectionsNeitherLoseNorDoubleFrames(t *testing.T) {
	for _, test := range []struct {
		name string
		// during is called while frames are under way; stored says whether the first of them is in the stream already
		during func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool)
	}{
		{"the connection is cut at any time", func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool) {
			for range 10 {
				time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
				line.Cut()
			}
		}},
		{"stored, but the acknowledgements are lost", func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool) {
			line.Delay(300 * time.Millisecond)
			eventually(t, "a frame is stored whose acknowledgement is on its way", stored)
			line.Cut()
			line.Delay(0)
		}},
		{"not stored, lost on the way", func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool) {
			line.Refuse()
			time.Sleep(300 * time.Millisecond)
			line.Restore(t)
		}},
		{"nobody answers for longer than an acknowledgement may take", func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool) {
			line.Stall()
			time.Sleep(700 * time.Millisecond)
			line.Restore(t)
		}},
		{"the server is restarted", func(t *testing.T, line *testenv.Proxy, srv *natsServer, stored func() bool) {
			srv.stop()
			srv.start(t)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			line := testenv.NewProxy(t, srv.addr())
			s := open(t, Config{URL: "nats://" + line.Addr, AckWait: 400 * time.Millisecond})
			direct := open(t, Config{URL: srv.url()})
			p, f := begin(t, s)
			publish(t, p, f.frame(t, 2, 0))
			flush(t, p)
			_, _, before, err := direct.Last(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			broken := make(chan struct{})
			go func() { // waited for below
				defer close(broken)
				acked := func() bool { return p.LastSeq() > before }
				test.during(t, line, srv, func() bool {
					_, _, seq, err := direct.Last(t.Context())
					return err == nil && seq > before && !acked()
				})
			}()
			n := 0
			for running := true; running || n < 30; n++ {
				select {
				case <-broken:
					running = false
				default:
				}
				publish(t, p, f.frame(t, 2, 0))
			}
			<-broken
			flush(t, p)
			if got, want := changes(t, direct, 0, f.next-1), count(1, int64(f.next-1)); !slices.Equal(got, want) {
				t.Fatalf("%d changes, want %d: %v", len(got), len(want), got)
			}
			if _, _, last, err := direct.Last(t.Context()); err != nil || last != before+uint64(n) {
				t.Fatalf("the stream ends at %d, want %d (%v)", last, before+uint64(n), err)
			}
		})
	}
}

// Two captures publish the same changes at once, each from where the stream ended when it began, until one is fenced
// and begins again. However that goes, every change is in the stream once, in order.
func TestOfTwoCapturesOneWins(t *testing.T) {
	srv := newServer(t)
	const upTo = 3000
	var fenced atomic.Int64
	capture := func(writer string) error {
		s, err := Open(t.Context(), Config{Source: "shop", URL: srv.url(), Writer: writer})
		if err != nil {
			return err
		}
		defer s.Close()
		for {
			err := captureUpTo(t, s, upTo)
			if !errors.Is(err, ErrFenced) {
				return err
			}
			if code(err) != codeFenced {
				return fmt.Errorf("fenced without its code: %w", err)
			}
			fenced.Add(1)
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
	}
	var g errgroup.Group
	for _, writer := range []string{"a", "b", "c"} {
		g.Go(func() error { return capture(writer) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if fenced.Load() == 0 {
		t.Fatal("nobody was ever fenced: the captures did not meet")
	}
	t.Logf("fenced %d times", fenced.Load())
	s := open(t, Config{URL: srv.url()})
	var writers []string
	ids := changes(t, s, 0, upTo)
	for _, id := range ids {
		writers = append(writers, strconv.FormatInt(id, 10))
	}
	if want := count(1, int64(len(ids))); !slices.Equal(ids, want) || len(ids) < upTo {
		t.Fatalf("changes are not each there once, in order: %v", writers)
	}
}

// captureUpTo publishes frames of random size from where the stream ends.
func captureUpTo(t testing.TB, s *Stream, upTo uint64) error {
	c, _, last, err := s.Last(t.Context())
	if err != nil {
		return err
	}
	f := &frames{writer: s.cfg.Writer, next: 1}
	if len(c.PartNos) > 0 {
		f.next = c.PartNos[0]
	}
	p, err := s.Publisher(t.Context(), last)
	if err != nil {
		return err
	}
	defer p.Close()
	for f.next <= upTo {
		if err := p.Handle(t.Context(), f.frame(t, 1+rand.IntN(3), 0)); err != nil {
			return err
		}
	}
	return p.Flush(t.Context())
}

// The hole that claims close: without them, frame 2 of the old writer is stored after frame 1 of the new one.
func TestFramesUnderWayOfAnOldWriterCannotFollowANewOne(t *testing.T) {
	srv := newServer(t)
	line := testenv.NewProxy(t, srv.addr())
	old := open(t, Config{URL: "nats://" + line.Addr, Writer: "old", AckWait: time.Minute})
	p, f := begin(t, old)
	flush(t, p)
	_, _, last, err := old.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line.Delay(500 * time.Millisecond) // a whole window is on its way when the new writer takes over
	for range windowFrames {
		publish(t, p, f.frame(t, 1, 0))
	}

	s := open(t, Config{URL: srv.url(), Writer: "new"})
	q, g := begin(t, s)
	publish(t, q, g.frame(t, 5, 0))
	flush(t, q)
	if err := p.Flush(t.Context()); !errors.Is(err, ErrFenced) {
		t.Fatalf("the old writer: got %v, want %v", err, ErrFenced)
	}
	if err := p.Handle(t.Context(), f.frame(t, 1, 0)); !errors.Is(err, ErrFenced) {
		t.Fatalf("the old writer, later: got %v, want %v", err, ErrFenced)
	}
	if got, want := changes(t, s, 0, 5), count(1, 5); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %v", got, want)
	}
	if _, h, seq, err := s.Last(t.Context()); err != nil || h.Writer != "new" || seq != last+claimSize+1 {
		t.Fatalf("the stream ends at %d by %q (%v), want %d by new", seq, h.Writer, err, last+claimSize+1)
	}
}

func TestAFullStreamHoldsTheCaptureBackUntilItIsTrimmed(t *testing.T) {
	states := make(chan State, 100)
	s := open(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20, Observe: func(st State) { states <- st }})
	p, f := begin(t, s)
	held := make(chan error, 1)
	go func() { // ends with the publishing, waited for below
		for range 100 {
			if err := p.Handle(t.Context(), f.frame(t, 1, 30<<10)); err != nil {
				held <- err
				return
			}
		}
		held <- p.Flush(t.Context())
	}()
	if st := <-states; st != StreamFull {
		t.Fatalf("state: got %s, want %s", st, StreamFull)
	}
	select {
	case err := <-held:
		t.Fatalf("a full stream took 100 frames: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for done := false; !done; {
		i, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i.Bytes > i.MaxBytes {
			t.Fatalf("%d bytes in a stream of %d", i.Bytes, i.MaxBytes)
		}
		if err := s.Trim(t.Context(), i.First+5); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-held:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	i, err := s.Info(t.Context())
	if err != nil || i.Last != claimSize+100 {
		t.Fatalf("the stream ends at %d, want %d (%v)", i.Last, claimSize+100, err)
	}
	var want []int64
	for id := int64(i.First) - claimSize; id <= 100; id++ {
		want = append(want, id)
	}
	if got := changes(t, s, i.First, 100); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %v", got, want)
	}
}

func TestAFullStreamCanBeGivenUp(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20})
	p, f := begin(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		err = p.Handle(ctx, f.frame(t, 1, 30<<10))
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

func TestLargeFramesPass(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	for range 3 {
		publish(t, p, f.frame(t, 1, 20<<20), f.frame(t, 1, 0))
	}
	publish(t, p, f.frame(t, 1, 0), f.frame(t, 1, cdc.MaxFrame-1<<16))
	flush(t, p)
	if got, want := changes(t, s, 0, 8), count(1, 8); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %v", got, want)
	}
	if _, _, seq, err := s.Last(t.Context()); err != nil || seq != claimSize+8 {
		t.Fatalf("last: %d, %v", seq, err)
	}
}

func TestAFrameLargerThanTheServerTakesIsRefusedBeforeItIsSent(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 1 << 34})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("not ready")
	}
	s := open(t, Config{URL: srv.ClientURL()})
	if got, want := s.MaxFrame(), 1<<20-messageOverhead; got != want {
		t.Fatalf("largest frame: got %d, want %d", got, want)
	}
	p, f := begin(t, s)
	if err := p.Handle(t.Context(), f.frame(t, 1, 2<<20)); code(err) != codeTooBig {
		t.Fatalf("got %v, want %s", err, codeTooBig)
	}
}

func TestAPublisherBeginsOnlyWhereTheStreamEnds(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	for _, last := range []uint64{0, 1, p.LastSeq() - 1, p.LastSeq() + 1} {
		if _, err := s.Publisher(t.Context(), last); !errors.Is(err, ErrFenced) {
			t.Errorf("after %d of %d: got %v, want %v", last, p.LastSeq(), err, ErrFenced)
		}
	}
	publish(t, p, f.frame(t, 1, 0)) // the publisher is still the writer
	flush(t, p)
}

// What held a publisher back is not what holds the next one back: a capture that starts again must not look held for ever.
func TestANewPublisherIsNotHeldByWhatHeldTheOneBefore(t *testing.T) {
	var mu sync.Mutex
	var states []State
	s := open(t, Config{Dir: t.TempDir(), MaxBytes: 1 << 20, Observe: func(st State) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, st)
	}})
	seen := func() []State {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
	p, f := begin(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { // ends with the publisher
		for p.Handle(ctx, f.frame(t, 1, 30<<10)) == nil {
		}
	}()
	for len(seen()) == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	p.Close()
	i, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(t.Context(), i.Last); err != nil {
		t.Fatal(err)
	}
	_, _, last, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Publisher(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if got, want := seen(), []State{StreamFull, Publishing}; !slices.Equal(got, want) {
		t.Fatalf("states: got %v, want %v", got, want)
	}
}
