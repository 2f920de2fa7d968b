package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// outcome is what becomes of a call.
type outcome uint8

const (
	fine   outcome = iota
	failed         // an error, and nothing was done
	lost           // an error, though it was done
	late           // an error, and it will be done later
	gone           // refused for good
	dead           // the process is not alive any more
)

var outcomes = [...]string{"fine", "failed", "failed but done", "failed but will be done", "gone", "dead"}

var errBroken = errors.New("broken on purpose")

// call is what a process is about to do. It waits for its turn.
type call struct {
	ctx     context.Context
	life    *life
	what    string // put, head, …
	on      string // a key
	may     bool   // it may fail
	later   bool   // it may be done later
	ready   func() bool
	outcome chan outcome
}

// event is a line of the trace. It is put into words only when somebody reads it.
type event struct {
	node     int
	what, on string
	outcome  outcome
}

func (e event) String() string {
	if e.node < 0 {
		return fmt.Sprintf("  world: %s %s", e.what, e.on)
	}
	return strings.TrimSpace(fmt.Sprintf("node %d: %s %s: %s", e.node, e.what, e.on, outcomes[e.outcome]))
}

// world is one schedule.
type world struct {
	rng     *rand.Rand
	history *history
	cfg     chain.Config // what all processes agree in
	calm    bool         // nothing breaks any more, all must come to an end

	mu      sync.Mutex // guards what follows
	bus     bus
	bucket  bucket
	partner partner
	nodes   []*node
	parked  []*call
	late    []func() error
	trace   []event
	over    bool
	err     error
}

// Run runs the schedule of a seed, within a bubble of testing/synctest. seen counts what came to pass; it may be nil.
func Run(ctx context.Context, seed uint64, seen map[string]int) error {
	w := newWorld(seed)
	var wg sync.WaitGroup
	for _, n := range w.nodes {
		wg.Go(func() { n.run(ctx) }) // ends when the world is over
	}
	w.play()
	if w.err == nil {
		for _, do := range w.late {
			w.fail(do())
		}
	}
	if w.err == nil {
		w.err = w.check()
	}
	w.end()
	wg.Wait()
	for _, e := range w.trace {
		if seen != nil {
			seen[cmp.Or(map[bool]string{true: e.what}[e.node < 0], outcomes[e.outcome])]++
		}
	}
	if seen != nil {
		for _, n := range w.nodes {
			seen["fenced"] += n.fenced
		}
	}
	if w.err == nil {
		return nil
	}
	var told strings.Builder
	for _, e := range w.trace {
		fmt.Fprintln(&told, e)
	}
	return fmt.Errorf("seed %d: %w\n%d chains, keep_transactions %v, manifests %v, objects of %d\n%s",
		seed, w.err, max(1, w.cfg.Partitions), w.cfg.KeepTransactions, w.cfg.Manifest, w.cfg.Rows, &told)
}

func newWorld(seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := &world{rng: rng, history: newHistory(rng), bus: bus{most: 6}, bucket: bucket{map[string]stored{}, map[string][]cdc.Object{}}, partner: partner{map[string][]string{}}}
	w.cfg = chain.Config{Source: source, Feed: feed, Compress: "none", Rows: 1 + rng.IntN(5), Every: time.Duration(1+rng.IntN(3000)) * time.Millisecond,
		KeepTransactions: rng.IntN(3) == 0, Manifest: rng.IntN(4) == 0, Version: "v1"}
	if rng.IntN(2) == 0 {
		w.cfg.Partitions = 2 + rng.IntN(2)
	}
	for i := range 1 + rng.IntN(3) {
		w.nodes = append(w.nodes, &node{w: w, number: i, log: newAuditLog(), memory: map[string]memory{}})
	}
	return w
}

// play takes step after step until all processes have come to their end.
func (w *world) play() {
	chaos := 10 + w.rng.IntN(90)
	for n := 0; ; n++ {
		synctest.Wait() // until everybody waits for his turn, for time, or for somebody else
		w.mu.Lock()
		w.calm = n > chaos
		if n > chaos+20_000 && w.err == nil {
			w.err = errors.New("no end in sight")
		}
		ended := !slices.ContainsFunc(w.nodes, func(n *node) bool { return !n.ended })
		w.mu.Unlock()
		if ended || w.err != nil {
			return
		}
		w.step()
	}
}

// step lets the world or a process do something.
func (w *world) step() {
	w.mu.Lock()
	now := time.Duration(0)
	switch r := w.rng.IntN(100); {
	case r < 3 && !w.calm:
		w.kill(w.nodes[w.rng.IntN(len(w.nodes))], w.rng.IntN(4) > 0)
	case r < 4 && !w.calm:
		n := 1 + w.rng.IntN(8)
		w.bus.lose(n, 1+w.rng.IntN(10))
		w.happened("the stream loses frames", fmt.Sprint(n))
	case r < 6 && !w.calm:
		w.nodes[w.rng.IntN(len(w.nodes))].frozen = 10 + w.rng.IntN(60)
		w.happened("a process is frozen", "")
	case r < 12 && len(w.late) > 0:
		i := w.rng.IntN(len(w.late))
		w.happened("what was sent long ago arrives", "")
		if err := w.late[i](); err != nil && w.err == nil {
			w.err = err
		}
		w.late = slices.Delete(w.late, i, i+1)
	case (r < 22 || w.calm) && w.bus.captured < w.history.total:
		if err := w.bus.append(w.history, w.rng.IntN(w.bus.most+1)); err != nil {
			w.err = err
		}
	case r < 26 || !w.turn():
		now = time.Duration(1+w.rng.IntN(2000)) * time.Millisecond
	}
	w.mu.Unlock()
	time.Sleep(now)
}

// turn lets one call go on, if there is one that can. The caller holds mu.
func (w *world) turn() bool {
	slices.SortFunc(w.parked, func(a, b *call) int { // who came first is the scheduler's whim
		return cmp.Or(a.life.node.number-b.life.node.number, strings.Compare(a.what, b.what), strings.Compare(a.on, b.on))
	})
	var can [32]int
	n := 0
	for i, c := range w.parked {
		if node := c.life.node; node.frozen > 0 && !w.calm {
			node.frozen--
			continue
		}
		if n < len(can) && (c.ready == nil || c.ready()) {
			can[n], n = i, n+1
		}
	}
	if n == 0 {
		return false
	}
	i := can[w.rng.IntN(n)]
	c := w.parked[i]
	w.parked = slices.Delete(w.parked, i, i+1)
	o := fine
	if c.may && !w.calm {
		switch w.rng.IntN(14) {
		case 0:
			o = failed
		case 1:
			o = lost
		case 2:
			if o = lost; c.later {
				o = late
			}
		case 3:
			if c.what == "send" {
				o = gone
			}
		}
	}
	if o == fine && c.ctx.Err() != nil {
		if o = failed; c.later && !w.calm {
			o = late
		}
	}
	w.trace = append(w.trace, event{c.life.node.number, c.what, c.on, o})
	c.outcome <- o
	return true
}

// kill ends a process: at once, or by asking it to. The caller holds mu.
func (w *world) kill(n *node, hard bool) {
	l := n.life
	if l == nil {
		return
	}
	l.cancel()
	if !hard {
		w.happened("a process is asked to end", fmt.Sprint(n.number))
		return
	}
	w.happened("a process is killed", fmt.Sprint(n.number))
	w.bury(l)
}

// bury makes the calls of a process that was killed end. The caller holds mu.
func (w *world) bury(l *life) {
	l.dead = true
	w.parked = slices.DeleteFunc(w.parked, func(c *call) bool {
		if c.life == l {
			c.outcome <- dead
		}
		return c.life == l
	})
}

// end lets go of those that are left.
func (w *world) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, n := range w.nodes {
		if n.life != nil {
			n.life.cancel()
			w.bury(n.life)
		}
	}
}

func (w *world) happened(what, on string) { w.trace = append(w.trace, event{-1, what, on, fine}) }

func (w *world) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && w.err == nil {
		w.err = err
	}
}

// await waits for the turn of a call.
func (w *world) await(c *call) outcome {
	c.outcome = make(chan outcome, 1)
	w.mu.Lock()
	if c.life.dead || w.over {
		w.mu.Unlock()
		return dead
	}
	w.parked = append(w.parked, c)
	w.mu.Unlock()
	return <-c.outcome
}

// do waits for the turn of a call and carries it out, or not.
func (w *world) do(c *call, work func() error) error {
	switch o := w.await(c); o {
	case fine, lost:
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := work(); err != nil && !errors.Is(err, errBroken) {
			if w.err == nil {
				w.err = err
			}
			return err
		}
		if o == lost {
			return errBroken
		}
		return nil
	case late:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.late = append(w.late, work)
		return errBroken
	case gone:
		return errGone{}
	}
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return errBroken
}

type errGone struct{}

func (errGone) Error() string { return "gone" }
func (errGone) Gone() bool    { return true }
