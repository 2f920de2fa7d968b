package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/trigger"
)

type memory = trigger.Memory

// node is a machine with a data folder, on which cdcd runs again and again.
type node struct {
	w      *world
	number int
	frozen int // steps

	// What is on its disk, and survives.
	log    *auditLog
	memory map[string]memory // of tellers, by chain
	hint   []chain.Progress

	life   *life // guarded by world.mu
	ended  bool  // everything was delivered and told of
	fenced int
}

// life is one process on it.
type life struct {
	node    *node
	cancel  context.CancelFunc
	dead    bool // guarded by world.mu
	tellers map[string]*trigger.Teller
}

var errAll = errors.New("everything is delivered")

// run starts cdcd until it has come to its end.
func (n *node) run(ctx context.Context) {
	for {
		ctx, cancel := context.WithCancel(ctx)
		l := &life{node: n, cancel: cancel, tellers: map[string]*trigger.Teller{}}
		n.w.mu.Lock()
		n.life = l
		over := n.w.over
		n.w.mu.Unlock()
		if over {
			cancel()
			return
		}
		done := l.live(ctx)
		cancel()
		n.w.mu.Lock()
		n.w.bury(l)
		n.life, n.ended = nil, done
		over = n.w.over
		n.w.mu.Unlock()
		if done || over {
			return
		}
	}
}

// live is a process from its start on. It reports whether there is nothing left to do.
func (l *life) live(ctx context.Context) (done bool) {
	w := l.node.w
	if w.await(&call{ctx: ctx, life: l, what: "start"}) == dead {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	tellers, telling := errgroup.WithContext(ctx)
	for i := range max(1, w.cfg.Partitions) {
		name := fmt.Sprintf("%s/%s/%02d", source, feed, i)
		l.tellers[name] = l.teller(name)
	}
	for _, t := range l.tellers {
		tellers.Go(func() error { return t.Run(telling) })
	}
	defer func() {
		cancel()
		tellers.Wait() // its errors are those of ctx
	}()
	for {
		err := l.deliver(ctx)
		switch {
		case errors.Is(err, errAll):
			return l.settle(ctx)
		case ctx.Err() != nil:
			return false
		case errors.Is(err, chain.ErrFenced):
			w.mu.Lock()
			l.node.fenced++
			w.mu.Unlock()
		case errors.Is(err, errBroken), errors.Is(err, context.DeadlineExceeded): // logging took too long
		default:
			w.fail(fmt.Errorf("node %d: %w", l.node.number, err))
			return false
		}
		if l.step(ctx, "pause", "") != nil {
			return false
		}
	}
}

// step is something that cannot fail, but may never happen.
func (l *life) step(ctx context.Context, what, on string) error {
	if l.node.w.await(&call{ctx: ctx, life: l, what: what, on: on}) == dead {
		return errBroken
	}
	return ctx.Err()
}

// settle waits until the partner was told of everything; whoever was sent away is asked to come back.
func (l *life) settle(ctx context.Context) bool {
	for {
		if l.step(ctx, "settle", "") != nil {
			return false
		}
		settled := true
		for _, t := range l.tellers {
			s := t.Stats()
			settled = settled && s.Told == s.Audited
			if s.Disabled != "" {
				t.Enable()
			}
		}
		if settled {
			return true
		}
	}
}

// deliver opens the feed's chains and reads the stream into them, as package main does.
func (l *life) deliver(ctx context.Context) error {
	w := l.node.w
	cfg := w.cfg
	cfg.Store, cfg.Writer = &store{l}, fmt.Sprint("node-", l.node.number)
	cfg.Committed, cfg.Audited = l.committed, l.audited
	cfg.Pause = func(ctx context.Context, _ int) error { return l.step(ctx, "pause", "store") }
	w.mu.Lock()
	hint := slices.Clone(l.node.hint)
	w.mu.Unlock()
	split, err := chain.OpenSplit(ctx, cfg, hint)
	if err != nil {
		return err
	}
	for _, t := range l.tellers {
		t.Kick() // what was logged though it seemed not to be is not committed again
	}
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return split.Run(running) })
	g.Go(func() error { return l.read(running, split) })
	err = g.Wait()
	if errors.Is(err, chain.ErrFenced) {
		w.mu.Lock()
		frames := w.bus.frames
		w.mu.Unlock()
		if len(frames) > 0 {
			if err := split.Write(context.Background(), frames[len(frames)-1], nil); err == nil {
				return errors.New("a feed that was overtaken takes more")
			}
		}
	}
	return err
}

// read hands the stream to the chains, from the frame on that has the first event which one of them has not answered for.
func (l *life) read(ctx context.Context, split *chain.Split) error {
	w := l.node.w
	w.mu.Lock()
	generation := w.bus.generation
	seq := uint64(len(w.bus.frames) + 1)
	for _, c := range split.Chains() {
		from, err := w.from(ctx, c)
		if err != nil {
			w.mu.Unlock()
			return err
		}
		seq = min(seq, from)
	}
	w.mu.Unlock()
	for ; ; seq++ {
		all := false
		var b *cdc.Batch
		err := w.do(&call{ctx: ctx, life: l, what: "read", ready: func() bool {
			return seq <= uint64(len(w.bus.frames)) || w.bus.generation != generation || w.bus.captured == w.history.total || ctx.Err() != nil
		}}, func() error {
			switch {
			case w.bus.generation != generation:
				return errBroken
			case seq <= uint64(len(w.bus.frames)):
				b = w.bus.frames[seq-1]
			default:
				all = true
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case all:
			if err := split.Flush(ctx); err != nil {
				return err
			}
			return errAll
		case b == nil:
			return errBroken
		}
		if err := split.Write(ctx, b, w.history.decide(b)); err != nil {
			return err
		}
		w.mu.Lock()
		if !l.dead && b.Seq%3 == 0 {
			l.node.hint = split.Progress()
		}
		w.mu.Unlock()
	}
}

// from returns the sequence from which a chain has to be continued.
func (w *world) from(ctx context.Context, c *chain.Chain) (uint64, error) {
	if next, _ := c.Next(); next == 0 {
		return 1, nil
	}
	return c.Locate(ctx, 1, uint64(len(w.bus.frames)), w.bus.captured+1, func(_ context.Context, seq uint64) (uint64, error) {
		return w.bus.frames[seq-1].Header().FirstPartNo, nil
	})
}

// committed is the order of things: the log first, then whoever tells.
func (l *life) committed(ctx context.Context, o cdc.Object) error {
	err := l.node.w.do(&call{ctx: ctx, life: l, what: "audit", on: o.Key, may: true}, func() error { return l.node.log.add(o) })
	if err != nil {
		return err
	}
	l.tellers[o.Chain].Kick()
	return nil
}

func (l *life) audited(name string) uint64 {
	l.node.w.mu.Lock()
	defer l.node.w.mu.Unlock()
	return l.node.log.heads[name].Ordinal
}

// teller tells the partner of a chain's objects.
func (l *life) teller(name string) *trigger.Teller {
	w, n := l.node.w, l.node
	do := func(ctx context.Context, what string, work func() error) error {
		return w.do(&call{ctx: ctx, life: l, what: what, on: name, may: true, later: what == "send"}, work)
	}
	return trigger.New(trigger.Config{
		Chain: name, By: "webhook", Place: "partner", Keep: "partner", GiveUp: time.Duration(5+n.number*60) * time.Second,
		Audited: func() uint64 { return l.audited(name) },
		Told: func() uint64 {
			w.mu.Lock()
			defer w.mu.Unlock()
			return n.log.noted[name]
		},
		Note: func(ctx context.Context, d trigger.Done) error {
			return do(ctx, "note", func() error { return n.log.note(d.Object, d.ID) })
		},
		Find: func(ctx context.Context, ordinal uint64) (o cdc.Object, prev string, ok bool, err error) {
			err = do(ctx, "find", func() error {
				there := w.bucket.chains[name]
				if ok = ordinal <= uint64(len(there)); ok {
					o = there[ordinal-1]
				}
				return nil
			})
			return o, prev, ok, err
		},
		Event: func(_ context.Context, o cdc.Object, prev string) ([]byte, error) {
			return trigger.ObjectEvent(o, prev, "", "").JSON(), nil
		},
		Send: func(ctx context.Context, id string, body []byte) error {
			return do(ctx, "send", func() error { return w.partner.receive(&w.bucket, n.log, id, body) })
		},
		Load: func() (m memory, err error) {
			err = do(context.Background(), "load", func() error { m = n.memory[name]; return nil })
			return m, err
		},
		Save: func(m memory) error {
			return do(context.Background(), "save", func() error { n.memory[name] = m; return nil })
		},
		Pause: func(ctx context.Context, _ time.Duration) error { return l.step(ctx, "pause", name) },
	})
}

// store is the bucket as one process sees it.
type store struct{ *life }

func (s *store) String() string { return place }

func (s *store) call(ctx context.Context, what, key string, work func() error) error {
	return s.node.w.do(&call{ctx: ctx, life: s.life, what: what, on: key, may: true, later: what == "put"}, work)
}

func (s *store) Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error) {
	body = slices.Clone(body) // it may arrive when the caller uses it for something else
	err = s.call(ctx, "put", key, func() (err error) {
		created, err = s.node.w.bucket.put(key, body, meta)
		return err
	})
	return created && err == nil, err
}

func (s *store) Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error) {
	err = s.call(ctx, "head", key, func() error {
		var o stored
		o, ok = s.node.w.bucket.objects[key]
		meta, size = o.meta, int64(len(o.body))
		return nil
	})
	return meta, size, ok && err == nil, err
}

func (s *store) Get(ctx context.Context, key string) (body []byte, ok bool, err error) {
	err = s.call(ctx, "get", key, func() error {
		var o stored
		o, ok = s.node.w.bucket.objects[key]
		body = slices.Clone(o.body)
		return nil
	})
	return body, ok && err == nil, err
}

func (s *store) List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error {
	var keys []string
	err := s.call(ctx, "list", prefix, func() error {
		for key := range s.node.w.bucket.objects {
			if strings.HasPrefix(key, prefix) && key > after {
				keys = append(keys, key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !yield(key, 0) {
			break
		}
	}
	return nil
}
