package chain_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

var (
	simSeeds = flag.Int("sim.seeds", 2000, "schedules to simulate; CDCD_SIM_SEEDS overrides it")
	simSeed  = flag.Uint64("sim.seed", 0, "simulate just this schedule, and tell what happens in it")
)

// Some writers deliver one stream to one store at once. Each call to the store, each batch and each pause is a step;
// the seed decides whose step is next, what becomes of it, and who dies when. Time is that of the bubble.
func TestSimulatedWritersDeliverEachRecordOnce(t *testing.T) {
	first, n := uint64(1), uint64(*simSeeds)
	if text := os.Getenv("CDCD_SIM_SEEDS"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if *simSeed > 0 {
		first, n = *simSeed, 1
	}
	began := time.Now()
	totals := map[string]int{}
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			s := simulate(t, seed)
			for what, times := range s.seen {
				totals[what] += times
			}
			if s.err != nil {
				t.Errorf("seed %d (go test ./sinks/chain -run Simulated -sim.seed=%d): %v", seed, seed, s.err)
			}
			if *simSeed > 0 || s.err != nil {
				t.Logf("seed %d:\n%s", seed, strings.Join(s.trace, "\n"))
			}
		})
	}
	t.Logf("%d schedules, %.0f a second; %v", n, float64(n)/time.Since(began).Seconds(), totals)
	for _, what := range []string{"fenced", "crashed", "failed", "failed but persisted", "batch offered again", "hint", "moved back", "began elsewhere",
		"keeps transactions true, manifest true", "keeps transactions true, manifest false", "keeps transactions false, manifest true"} {
		if totals[what] == 0 && n >= 1000 {
			t.Errorf("no schedule had: %s", what)
		}
	}
}

type simulation struct {
	rng    *rand.Rand
	stream *stream
	store  *memory
	audit  audit
	calm   bool // no more faults: all must come to an end
	trace  []string

	mu     sync.Mutex // guards what follows: writers come from several goroutines
	err    error
	seen   map[string]int
	parked []*step
	hint   chain.Progress
	ended  int // writers that have delivered everything
}

// step is what a writer is about to do.
type step struct {
	writer int
	what   string
	fault  bool // it may fail
	crash  context.CancelFunc
	go_    chan outcome
}

func simulate(t *testing.T, seed uint64) *simulation {
	s := &simulation{rng: rand.New(rand.NewPCG(seed, 0)), store: newMemory(), seen: map[string]int{}}
	s.stream = s.newStream(t)
	writers := 2 + s.rng.IntN(2)
	done := make(chan struct{})
	for i := range writers {
		rng := rand.New(rand.NewPCG(seed, uint64(i+1)))
		go func() { // waited for below
			s.write(t.Context(), i, rng)
			done <- struct{}{}
		}()
	}
	chaos := 50 + s.rng.IntN(250)
	for n := 0; ; n++ {
		synctest.Wait() // until everybody waits for a step, for time, or for somebody else
		s.calm = n > chaos
		if n > chaos+5000 {
			s.fail(errors.New("no end in sight"))
		}
		s.mu.Lock()
		over := s.ended == writers || s.err != nil
		s.mu.Unlock()
		if over {
			break
		}
		s.next()
	}
	if s.err == nil {
		s.store.before = nil
		_, s.err = checkAll(s.stream, s.store, &s.audit)
	}
	// Let go of those that are left.
	s.mu.Lock()
	s.ended = -1
	for _, p := range s.parked {
		p.crash()
	}
	s.mu.Unlock()
	for range writers {
		<-done
	}
	return s
}

// newStream has commits around midnight, now and then earlier than the one before, and frames of all sizes.
func (s *simulation) newStream(t *testing.T) *stream {
	st := &stream{}
	at, commits := time.Date(2026, 11, 20, 23, 50, 0, 0, time.UTC), []time.Time{{}}
	for range 300 {
		at = at.Add(time.Duration(s.rng.IntN(120)) * time.Second)
		commit := at
		if s.rng.IntN(10) == 0 {
			commit = at.Add(-time.Duration(s.rng.IntN(4000)) * time.Second)
		}
		commits = append(commits, commit)
	}
	st.commit = func(no uint64) time.Time { return commits[st.tx(no)] }
	dense, salt := s.rng.IntN(100), s.rng.Uint64()
	st.match = func(no uint64) bool { return int((no*0x9e3779b97f4a7c15^salt)>>32%100) < dense }
	sizes, total := make([]int, 3+s.rng.IntN(25)), uint64(0)
	for i := range sizes {
		sizes[i] = s.rng.IntN(8)
		total += uint64(sizes[i])
	}
	if st.keeps, st.manifest = s.rng.IntN(3) == 0, s.rng.IntN(4) == 0; st.keeps {
		begins, first := make([]uint64, len(commits)+1), uint64(1)
		for no := range begins {
			if s.rng.IntN(4) == 0 {
				first = uint64(no)
			}
			begins[no] = first
		}
		st.begins = func(no uint64) uint64 {
			if no > total { // the stream ends where a transaction does
				return no
			}
			return begins[no]
		}
	}
	epoch := uint64(testEpoch)
	for _, size := range sizes {
		if s.rng.IntN(15) == 0 {
			epoch++ // another selection of tables; the numbering goes on
		}
		st.append(t, epoch, size)
	}
	s.note(fmt.Sprintf("keeps transactions %v, manifest %v", st.keeps, st.manifest))
	return st
}

func (s *simulation) note(what string) { s.mu.Lock(); s.seen[what]++; s.mu.Unlock() }

func (s *simulation) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// await parks the writer until it is its turn, and returns what is to become of what it does.
func (s *simulation) await(ctx context.Context, writer int, what string, fault bool, crash context.CancelFunc) outcome {
	p := &step{writer, what, fault, crash, make(chan outcome, 1)}
	s.mu.Lock()
	if s.ended < 0 {
		s.mu.Unlock()
		crash()
		return failed
	}
	s.parked = append(s.parked, p)
	s.mu.Unlock()
	select {
	case o := <-p.go_:
		return o
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.parked = slices.DeleteFunc(s.parked, func(q *step) bool { return q == p })
	s.mu.Unlock()
	return failed
}

// next takes one step, of somebody or of time.
func (s *simulation) next() {
	s.mu.Lock()
	slices.SortStableFunc(s.parked, func(a, b *step) int { // who came first is the scheduler's whim
		if a.writer != b.writer {
			return a.writer - b.writer
		}
		return strings.Compare(a.what, b.what)
	})
	n := len(s.parked)
	if n == 0 || s.rng.IntN(12) == 0 {
		s.mu.Unlock()
		time.Sleep(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
		return
	}
	i := s.rng.IntN(n)
	p := s.parked[i]
	s.parked = slices.Delete(s.parked, i, i+1)
	o := fine
	crash := false
	if !s.calm {
		if p.fault {
			if k := s.rng.IntN(10); k == 0 {
				o = failed
			} else if k == 1 {
				o = lost
			}
		}
		crash = s.rng.IntN(25) == 0
	}
	s.seen[o.String()]++
	text := fmt.Sprintf("writer %d: %s: %s", p.writer, p.what, o)
	if crash {
		s.seen["crashed"]++
		text += ", crashed"
	}
	s.trace = append(s.trace, text)
	s.mu.Unlock()
	if crash {
		p.crash()
	}
	p.go_ <- o
}

// write is one writer: it opens the chain, reads the stream into it, and begins anew whenever something fails.
func (s *simulation) write(ctx context.Context, number int, rng *rand.Rand) {
	for life := 0; ; life++ {
		s.mu.Lock()
		over, hint := s.ended < 0, s.hint
		s.mu.Unlock()
		if over {
			return
		}
		life, crash := context.WithCancel(ctx)
		err := s.live(life, crash, number, rng, hint)
		crash()
		switch {
		case err == nil:
			s.mu.Lock()
			if s.ended >= 0 {
				s.ended++
			}
			s.mu.Unlock()
			return
		case errors.Is(err, chain.ErrFenced):
			s.note("fenced")
			if strings.Contains(err.Error(), "begin.json") {
				s.note("began elsewhere")
			}
		case errors.Is(err, errBroken), errors.Is(err, context.Canceled):
		default:
			s.fail(fmt.Errorf("writer %d: %w", number, err))
			return
		}
	}
}

// live is one life of a writer, from opening the chain until something fails.
func (s *simulation) live(ctx context.Context, crash context.CancelFunc, number int, rng *rand.Rand, hint chain.Progress) error {
	await := func(ctx context.Context, what string, fault bool) outcome {
		return s.await(ctx, number, what, fault, crash)
	}
	store := &memory{shelf: s.store.shelf, before: func(ctx context.Context, call, key string) outcome { return await(ctx, call+" "+key, true) }}
	cfg := config(store, 1+rng.IntN(6))
	cfg.Every = time.Duration(1+rng.IntN(5000)) * time.Millisecond
	if rng.IntN(3) == 0 {
		cfg.Bytes = 1 + rng.IntN(2000)
	}
	cfg.Writer = fmt.Sprint("writer-", number)
	cfg.Pause = func(ctx context.Context, _ int) error { await(ctx, "pause", false); return ctx.Err() }
	cfg.KeepTransactions, cfg.Manifest, cfg.Version = s.stream.keeps, s.stream.manifest, "v1"
	cfg.Audited = s.audit.audited
	cfg.Committed = func(ctx context.Context, o cdc.Object) error {
		what := await(ctx, "committed "+o.Key, true)
		if what == failed || what == fine && ctx.Err() != nil {
			return errBroken
		}
		err := s.audit.committed(ctx, o)
		if what == lost {
			return errBroken
		}
		return err
	}
	if rng.IntN(2) == 0 {
		cfg.Progress = hint
	}
	c, err := chain.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if next, _ := c.Next(); next == 0 && rng.IntN(4) == 0 { // a stream whose first events were trimmed after others had read them
		for seq, b := range s.stream.frames {
			if b.Len() > 0 && !slices.ContainsFunc(s.stream.frames[:seq+1], func(b *cdc.Batch) bool { return len(s.stream.decide(b, "")) > 0 }) {
				c.Advance(b.Header().FirstPartNo+uint64(b.Len()), b.Seq, b.Header().Epoch)
			}
		}
	}
	if next, _ := c.Next(); cfg.Progress.Next > 0 && next == cfg.Progress.Next {
		s.note("hint")
	}
	r := start(ctx, c)
	err = s.feed(ctx, c, rng, await)
	if err == nil {
		r.stop()
		return nil
	}
	// As in a group of goroutines: whoever fails first ends the others.
	if errors.Is(err, errBroken) || errors.Is(err, chain.ErrFenced) {
		r.stop()
		return err
	}
	return errors.Join(err, r.stop())
}

func (s *simulation) feed(ctx context.Context, c *chain.Chain, rng *rand.Rand, await func(context.Context, string, bool) outcome) error {
	seq := c.Resume()
	if seq > 1 && rng.IntN(3) == 0 {
		s.note("moved back")
		seq = 1 + rng.Uint64N(seq) // the bus may deliver again what was taken
	}
	rules := rng.IntN(3)
	impatient := func(do func(ctx context.Context) error) error {
		for {
			limited, cancel := context.WithTimeout(ctx, time.Duration(1+rng.IntN(20_000))*time.Millisecond)
			err := do(limited)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				return err
			}
			s.note("batch offered again")
		}
	}
	for ; seq <= uint64(len(s.stream.frames)); seq++ {
		b := s.stream.frames[seq-1]
		await(ctx, fmt.Sprint("batch ", seq), false)
		if err := ctx.Err(); err != nil {
			return err
		}
		if rng.IntN(10) == 0 {
			rules++
		}
		ds := s.stream.decide(b, fmt.Sprint("sha256:", rules))
		if err := impatient(func(ctx context.Context) error { return c.Write(ctx, b, ds) }); err != nil {
			return err
		}
		switch rng.IntN(10) {
		case 0:
			if err := impatient(c.Flush); err != nil {
				return err
			}
		case 1, 2:
			s.mu.Lock()
			s.hint = c.Progress()
			s.mu.Unlock()
		}
	}
	return impatient(c.Flush)
}
