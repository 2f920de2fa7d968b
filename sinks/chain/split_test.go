package chain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/sinks/chain"
)

// delivered returns the numbers of the records in each partition's objects, in chain order.
func delivered(t *testing.T, store *memory) map[string][]uint64 {
	t.Helper()
	got := map[string][]uint64{}
	err := store.List(t.Context(), "", "", func(key string, _ int64) bool {
		if !strings.HasSuffix(key, ".jsonl") {
			return true
		}
		for line := range strings.Lines(string(store.objects[key].body)) {
			var r struct{ Source struct{ No uint64 } }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			got[key[:4]] = append(got[key[:4]], r.Source.No)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Writers come and go at random places, some with what another one noted, in front of a store that fails now and then.
func TestASplitFeedDeliversEachChangeOnceInTheChainOfItsKeyInOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newStream(t)
		for range 30 {
			s.append(t, testEpoch, random.IntN(6))
		}
		s.match = func(no uint64) bool { return no%7 != seed%7 }
		store := newMemory()
		cfg := config(store, 3)
		cfg.Partitions, cfg.Every = 2+random.IntN(4), time.Hour
		if seed%2 == 0 {
			cfg.PartitionBy = map[string]string{"shop.orders": "note"}
		}
		var notes []chain.Progress
		for round := 0; ; round++ {
			if round == 50 {
				t.Fatalf("seed %d: it does not come to an end", seed)
			}
			if done := writeSplit(t, cfg, notes, s, random, &notes); done {
				break
			}
			if random.IntN(3) == 0 {
				notes = nil
			}
		}
		var all []uint64
		owner := map[string]string{} // by key
		for p, nos := range delivered(t, store) {
			if !slices.IsSorted(nos) {
				t.Errorf("seed %d: partition %s has the order %d", seed, p, nos)
			}
			for _, no := range nos {
				key := fmt.Sprint(no)
				if cfg.PartitionBy != nil {
					key = fmt.Sprint(no % 4) // of the note
				}
				if other, ok := owner[key]; ok && other != p {
					t.Errorf("seed %d: changes of key %s are in %s and in %s", seed, key, other, p)
				}
				owner[key] = p
			}
			all = append(all, nos...)
		}
		var want []uint64
		for no := uint64(1); no <= s.total; no++ {
			if s.match(no) {
				want = append(want, no)
			}
		}
		if slices.Sort(all); !slices.Equal(all, want) {
			t.Fatalf("seed %d: delivered %d\nwant %d", seed, all, want)
		}
	}
}

// writeSplit opens the feed and writes from where it is, up to the end or a random place; done says that it was the end.
func writeSplit(t *testing.T, cfg chain.Config, progress []chain.Progress, s *stream, random *rand.Rand, notes *[]chain.Progress) (done bool) {
	c, err := chain.OpenSplit(t.Context(), cfg, progress)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	from := uint64(len(s.frames))
	for _, one := range c.Chains() {
		from = min(from, one.Resume())
	}
	stop := random.IntN(2 * len(s.frames))
	for seq := from; seq <= uint64(len(s.frames)); seq++ {
		if int(seq) > stop && random.IntN(3) == 0 {
			return false
		}
		b := s.frames[seq-1]
		if err := c.Write(ctx, b, s.decide(b, "sha256:rules")); err != nil {
			t.Fatal(err)
		}
		*notes = c.Progress()
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	return true
}

func TestASplitFeedIsRefusedWhenItIsSplitOtherwiseThanItBegan(t *testing.T) {
	begun := config(newMemory(), 0)
	begun.Partitions, begun.PartitionBy = 3, map[string]string{"shop.orders": "note"}
	if _, err := chain.OpenSplit(t.Context(), begun, nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		set  func(*chain.Config)
		want string
	}{
		{"as it was", func(*chain.Config) {}, ""},
		{"more partitions", func(c *chain.Config) { c.Partitions = 4 },
			"CDCD-4102: the feed in mem://acme was begun with 3 partitions by primary key, or by shop.orders.note; the configuration says 4 partitions by primary key, or by shop.orders.note"},
		{"by other columns", func(c *chain.Config) { c.PartitionBy = nil },
			"CDCD-4102: the feed in mem://acme was begun with 3 partitions by primary key, or by shop.orders.note; the configuration says 3 partitions by primary key"},
		{"not at all", func(c *chain.Config) { c.Partitions = 0 },
			"CDCD-4102: the feed in mem://acme was begun with 3 partitions by primary key, or by shop.orders.note; the configuration says one partition"},
	} {
		cfg := begun
		tt.set(&cfg)
		_, err := chain.OpenSplit(t.Context(), cfg, nil)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s: got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// What a key hashes to must never change: the numbers are part of docs/objects.md.
func TestTheChainOfAKeyIsAFunctionOfItsValues(t *testing.T) {
	s := newStream(t, 12)
	store := newMemory()
	cfg := config(store, 0)
	cfg.Partitions = 3
	c, err := chain.OpenSplit(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	if err := c.Write(ctx, s.frames[0], s.decide(s.frames[0], "sha256:rules")); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	got, want := fmt.Sprint(delivered(t, store)), "map[p=00:[5 6] p=01:[1 2 4 8 9 11 12] p=02:[3 7 10]]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestANewFeedBeginsWhereItIsToldAndNowhereElseAfterwards(t *testing.T) {
	s := newStream(t, 3, 2, 4)
	store := newMemory()
	cfg := config(store, 0)
	cfg.Partitions = 2
	stranger, err := chain.OpenSplit(t.Context(), cfg, nil) // who has not heard of it
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := chain.OpenSplit(t.Context(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Begin(t.Context(), 4, 2, testEpoch, noon); err != nil {
			t.Fatal(err)
		}
		if next, epoch := c.Next(); next != 4 || epoch != testEpoch {
			t.Errorf("it goes on with event %d of epoch %x", next, epoch)
		}
	}
	late, err := chain.OpenSplit(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Begin(t.Context(), 8, 3, testEpoch, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	put := func(c *chain.Split) error {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		for _, b := range s.frames {
			if err := c.Write(ctx, b, s.decide(b, "sha256:rules")); err != nil {
				return err
			}
		}
		return c.Flush(ctx)
	}
	if err := put(stranger); !errors.Is(err, chain.ErrFenced) {
		t.Errorf("a writer that would begin elsewhere: %v", err)
	}
	if err := put(late); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(delivered(t, store)), "map[p=00:[4 6 8] p=01:[5 7 9]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
