package chain

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/cdc"
)

// Split is the chains of one feed, each with the changes whose key hashes to it: changes of one key keep their order, and
// the chains' objects are put side by side. Each chain answers for all events by their numbers. A Split of one chain is
// that chain. Its methods may be called as those of a [Chain].
type Split struct {
	chains []*Chain
	by     map[string]string
	parts  [][]cdc.Decision // scratch of Write
	key    []byte

	done chan struct{} // closed when Run has ended
	err  error         // why; set before
}

// OpenSplit opens as many chains as cfg.Partitions says, each with its own Progress of the given ones, which may be fewer.
// Errors are those of [Open].
func OpenSplit(ctx context.Context, cfg Config, progress []Progress) (*Split, error) {
	n := max(cfg.Partitions, 1)
	s := &Split{by: cfg.PartitionBy, chains: make([]*Chain, n), parts: make([][]cdc.Decision, n), done: make(chan struct{})}
	for i := range s.chains {
		cfg := cfg
		cfg.Partition, cfg.Progress = uint16(i), Progress{}
		if i < len(progress) {
			cfg.Progress = progress[i]
		}
		c, err := Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		s.chains[i] = c
	}
	return s, nil
}

// Chains returns the chains by partition. It is not to be altered.
func (s *Split) Chains() []*Chain { return s.chains }

// Run runs all chains until ctx ends or one of them fails; then none of them is written any more.
func (s *Split) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range s.chains {
		g.Go(func() error { return c.Run(ctx) })
	}
	s.err = g.Wait()
	close(s.done)
	return s.err
}

// why returns what ended Run, in place of what a chain says that was ended because of another one.
func (s *Split) why(ctx context.Context, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.Canceled) {
		return err
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Write is [Chain.Write] for each chain, with its part of the decisions. After an error, chains that have taken their part
// recognise it when the batch is offered again.
func (s *Split) Write(ctx context.Context, b *cdc.Batch, ds []cdc.Decision) error {
	if len(s.chains) == 1 {
		return s.chains[0].Write(ctx, b, ds)
	}
	for i := range s.parts {
		s.parts[i] = s.parts[i][:0]
	}
	for _, d := range ds {
		p := s.partition(&d)
		s.parts[p] = append(s.parts[p], d)
	}
	for i, c := range s.chains {
		if err := c.Write(ctx, b, s.parts[i]); err != nil {
			return s.why(ctx, err)
		}
	}
	return nil
}

// partition returns the chain of a change: FNV-1a with 64 bits over the values of its key as records have them, each with a
// zero byte behind it; the upper half is folded into the lower; modulo the number of chains. The key is the table's column
// of PartitionBy, else its primary key, as it is after the change; all changes of a table that has neither go together. It
// must never change: a change would be delivered twice or not at all.
func (s *Split) partition(d *cdc.Decision) int {
	t := d.Event.Table()
	columns := t.Key()
	if name, ok := s.by[t.String()]; ok {
		columns = nil
		if i := t.Column(name); i >= 0 {
			columns = []int{i}
		}
	}
	before, after := d.Event.Before(), d.Event.After()
	s.key = append(append(s.key[:0], t.String()...), 0)
	if len(columns) > 0 {
		s.key = s.key[:0]
	}
	for _, i := range columns {
		v := after.Value(i)
		if v.IsAbsent() { // as in a delete and in minimal images
			v = before.Value(i)
		}
		if !v.IsAbsent() {
			s.key = cdc.AppendJSON(s.key, &t.Columns[i], v)
		}
		s.key = append(s.key, 0)
	}
	h := fnv.New64a()
	h.Write(s.key)
	sum := h.Sum64()
	return int((sum ^ sum>>32) % uint64(len(s.chains)))
}

// Begin is [Chain.Begin] for all chains.
func (s *Split) Begin(ctx context.Context, next, seq, epoch uint64, at time.Time) error {
	for _, c := range s.chains {
		if err := c.Begin(ctx, next, seq, epoch, at); err != nil {
			return err
		}
	}
	return nil
}

// Flush commits what waits in all chains.
func (s *Split) Flush(ctx context.Context) error {
	g, flushing := errgroup.WithContext(ctx)
	for _, c := range s.chains {
		g.Go(func() error { return c.Flush(flushing) })
	}
	return s.why(ctx, g.Wait())
}

// Next returns the first event that not all chains have answered for, 0 when one of them is new, and the epoch of its
// numbering.
func (s *Split) Next() (next, epoch uint64) {
	for i, c := range s.chains {
		if n, e := c.Next(); i == 0 || n < next {
			next, epoch = n, e
		}
	}
	return next, epoch
}

// Progress returns that of each chain.
func (s *Split) Progress() []Progress {
	out := make([]Progress, len(s.chains))
	for i, c := range s.chains {
		out[i] = c.Progress()
	}
	return out
}

// Stats returns the figures of all chains together. Its Head is that of the chain whose last object is the youngest.
func (s *Split) Stats() Stats {
	var sum Stats
	for i, c := range s.chains {
		one := c.Stats()
		sum.Objects, sum.Records, sum.Bytes, sum.Waiting = sum.Objects+one.Objects, sum.Records+one.Records, sum.Bytes+one.Bytes, sum.Waiting+one.Waiting
		if sum.WaitingSince.IsZero() || !one.WaitingSince.IsZero() && one.WaitingSince.Before(sum.WaitingSince) {
			sum.WaitingSince = one.WaitingSince
		}
		if i == 0 || one.Head.LastPartNo > sum.Head.LastPartNo {
			sum.Head = one.Head
		}
		if sum.Err == nil && one.Err != nil {
			sum.Err = fmt.Errorf("partition %d: %w", i, one.Err)
			if len(s.chains) == 1 {
				sum.Err = one.Err
			}
		}
	}
	return sum
}

// partitioning is what the pin says of a split feed: nothing of one that is not.
func (c *Config) partitioning() (n int, by []string) {
	if c.Partitions <= 1 {
		return 0, nil
	}
	for table, column := range c.PartitionBy {
		by = append(by, table+"."+column)
	}
	slices.Sort(by)
	return c.Partitions, by
}
