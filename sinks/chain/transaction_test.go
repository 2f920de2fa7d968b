package chain_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cdcd-project/cdcd/sinks/chain"
)

// inTxs makes the stream's events transactions of these sizes; whatever follows is one of one event each.
func inTxs(sizes ...int) func(uint64) uint64 {
	var begins []uint64
	for _, n := range sizes {
		first := uint64(len(begins) + 1)
		for range n {
			begins = append(begins, first)
		}
	}
	return func(no uint64) uint64 {
		if no == 0 || no > uint64(len(begins)) {
			return no
		}
		return begins[no-1]
	}
}

func TestObjectsEndWhereTransactionsDo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		txs    []int
		frames []int
		match  string // the events that match, as letters from a; "" all
		rows   int
		want   string
	}{
		{"a full object waits for the transaction's end", []int{3, 2, 3}, []int{8}, "", 2, "1-3:3 4-5:2 6-8:3"},
		{"that stands in the next frame", []int{3, 2, 3}, []int{2, 2, 4}, "", 2, "1-3:3 4-5:2 6-8:3"},
		{"that is not told before the next transaction begins", []int{2, 6}, []int{2, 6}, "", 2, "1-2:2 3-8:6"},
		{"an object covers what did not match of its last transaction", []int{4, 4}, []int{8}, "abe", 2, "1-4:2 5-8:1"},
		{"and of those that begin after it, up to the one that is in the next object", []int{2, 2, 2, 2}, []int{3, 5}, "ag", 1, "1-6:1 7-8:1"},
		{"a transaction of four times the limit is whole", []int{8, 1}, []int{3, 3, 3}, "", 2, "1-8:8 9-9:1"},
		{"a larger one is cut, and said to be", []int{19, 1}, []int{5, 5, 5, 5}, "", 2, "1-8:8 9-16:8 17-19:3 20-20:1"},
		{"one record each", []int{1, 1, 1}, []int{3}, "", 1, "1-1:1 2-2:1 3-3:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &stream{commit: func(uint64) time.Time { return noon }, begins: inTxs(tt.txs...), keeps: true}
			s.match = func(no uint64) bool { return tt.match == "" || strings.ContainsRune(tt.match, rune('a'+no-1)) }
			s.append(t, testEpoch, tt.frames...)
			store := newMemory()
			cfg := config(store, tt.rows)
			cfg.KeepTransactions = true
			c := open(t, cfg)
			if err := deliver(t.Context(), c.Chain, s); err != nil {
				t.Fatal(err)
			}
			if got := spans(t, s, store); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestATransactionThatIsJudgedByTwoRuleSetsIsCut(t *testing.T) {
	s := &stream{commit: func(uint64) time.Time { return noon }, begins: inTxs(4, 2), keeps: true, match: func(uint64) bool { return true }}
	s.append(t, testEpoch, 2, 2, 2)
	store := newMemory()
	cfg := config(store, 0)
	cfg.KeepTransactions = true
	c := open(t, cfg)
	for i, rules := range []string{"sha256:1", "sha256:2", "sha256:3"} {
		if err := c.Write(t.Context(), s.frames[i], s.decide(s.frames[i], rules)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := spans(t, s, store), "1-2:2 3-4:2 5-6:2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnObjectThatIsDueWaitsForTheEndOfItsTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stream{commit: func(uint64) time.Time { return noon }, begins: inTxs(4, 2, 2), keeps: true, match: func(uint64) bool { return true }}
		s.append(t, testEpoch, 3, 0, 1, 1, 1, 1, 1)
		store := newMemory()
		cfg := config(store, 0)
		cfg.KeepTransactions, cfg.Every = true, time.Second
		c := open(t, cfg)
		at := func(frame int, want string) {
			t.Helper()
			write(t, c, s, frame)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if got := spans(t, s, store); got != want {
				t.Errorf("after frame %d: got %q, want %q", frame, got, want)
			}
		}
		at(1, "")
		at(2, "") // a heartbeat within the transaction
		at(3, "1-4:4")
		at(4, "1-4:4")
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := spans(t, s, store), "1-4:4"; got != want {
			t.Errorf("flushed: got %q, want %q", got, want)
		}
		at(5, "1-4:4 5-6:2")
		at(6, "1-4:4 5-6:2")
	})
}

func TestAManifestTellsWhatAnObjectIsAbout(t *testing.T) {
	s := newStream(t, 3, 2)
	s.manifest = true
	store := newMemory()
	cfg := config(store, 3)
	cfg.Manifest, cfg.Version = true, "v1"
	if err := deliver(t.Context(), open(t, cfg).Chain, s); err != nil {
		t.Fatal(err)
	}
	objects, err := checkAll(s, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Lost, they are made anew, the same: by nothing but what is in the store.
	last := chain.ManifestKey(objects[1].Key)
	want := store.objects[last].body
	delete(store.objects, last)
	c := open(t, cfg)
	if got := store.objects[last].body; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	c.stop()
	// A chain that is opened without manifests has none from there on, and one that had none before is none the worse.
	delete(store.objects, last)
	open(t, config(store, 3)).stop()
	if _, there := store.objects[last]; there {
		t.Error("a manifest that nobody asked for")
	}
	plain := newMemory()
	if err := deliver(t.Context(), open(t, config(plain, 3)).Chain, s); err != nil {
		t.Fatal(err)
	}
	cfg.Store = plain
	open(t, cfg)
	if n := len(plain.objects); n != 4 {
		t.Errorf("%d objects", n)
	}
	var context struct{ Version int }
	for key, o := range store.objects {
		if strings.Contains(key, "/context/") {
			if err := json.Unmarshal(o.body, &context); err != nil || context.Version != 1 {
				t.Errorf("%s: %s", key, o.body)
			}
		}
	}
	if context.Version == 0 {
		t.Error("no context")
	}
}

func TestAManifestWhoseContextIsGoneStopsTheChain(t *testing.T) {
	s := newStream(t, 1)
	store := newMemory()
	cfg := config(store, 1)
	cfg.Manifest = true
	if err := deliver(t.Context(), open(t, cfg).Chain, s); err != nil {
		t.Fatal(err)
	}
	for key := range store.objects {
		if strings.Contains(key, "/context/") || strings.Contains(key, "manifest") {
			delete(store.objects, key)
		}
	}
	if _, err := chain.Open(t.Context(), cfg); code(err) != "CDCD-4103" {
		t.Errorf("got %v, want CDCD-4103", err)
	}
}
