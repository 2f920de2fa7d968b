package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cdcd-project/cdcd/sinks/chain"
)

// stumbling is a store that does not say what an object is the first time that it is asked for it.
type stumbling struct {
	chain.Store
	asked map[string]bool
}

var errStumbled = errors.New("the store does not answer")

func (s *stumbling) Head(ctx context.Context, key string) (map[string]string, int64, bool, error) {
	if !s.asked[key] {
		s.asked[key] = true
		return nil, 0, false, errStumbled
	}
	return s.Store.Head(ctx, key)
}

func TestAnObjectIsNotPassedOverBecauseTheStoreDidNotAnswer(t *testing.T) {
	dir, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := func(ordinal int) string { return fmt.Sprintf("p=00/dt=2026-11-22/%020d.jsonl.zst", ordinal) }
	for ordinal := 1; ordinal <= 8; ordinal++ {
		meta := map[string]string{"cdcd-chain": "shop/acme/00", "cdcd-ordinal": fmt.Sprint(ordinal), "cdcd-first-part-no": fmt.Sprint(ordinal),
			"cdcd-last-part-no": fmt.Sprint(ordinal), "cdcd-last-seq": "1", "cdcd-records": "1", "cdcd-epoch": "1",
			"cdcd-first-commit": "2026-11-22T01:00:00Z", "cdcd-last-commit": "2026-11-22T01:00:00Z"}
		if _, err := dir.Put(t.Context(), key(ordinal), []byte("{}"), meta); err != nil {
			t.Fatal(err)
		}
	}
	h := newObjectFinder(&stumbling{dir, map[string]bool{}}, "p=00/", "shop/acme/00")
	type found struct {
		key, prev string
	}
	for ordinal := 1; ordinal <= 8; ordinal++ {
		o, prev, ok, err := h.find(t.Context(), uint64(ordinal))
		for attempt := 0; errors.Is(err, errStumbled) && attempt < 10; attempt++ {
			o, prev, ok, err = h.find(t.Context(), uint64(ordinal))
		}
		want := found{key: key(ordinal)}
		if ordinal > 1 {
			want.prev = key(ordinal - 1)
		}
		if got := (found{o.Key, prev}); err != nil || !ok || got != want {
			t.Errorf("find %d: %+v, %v, %v; want %+v", ordinal, got, ok, err, want)
		}
	}
}

// chainInMemory is a chain in memory, and counts what it is asked.
type chainInMemory struct {
	chain.Store
	keys          []string
	listed, asked int // keys and objects
}

func memoryKey(ordinal int) string { return fmt.Sprintf("p=00/dt=2026-11-22/%020d.jsonl.zst", ordinal) }

func (s *chainInMemory) String() string { return "memory://x" }

func (s *chainInMemory) List(_ context.Context, _, after string, yield func(string, int64) bool) error {
	for _, key := range s.keys {
		if key > after {
			s.listed++
			if !yield(key, 1) {
				return nil
			}
		}
	}
	return nil
}

func (s *chainInMemory) Head(_ context.Context, key string) (map[string]string, int64, bool, error) {
	s.asked++
	if !slices.Contains(s.keys, key) {
		return nil, 0, false, nil
	}
	var ordinal int
	fmt.Sscanf(key, "p=00/dt=2026-11-22/%020d", &ordinal)
	return map[string]string{"cdcd-chain": "shop/acme/00", "cdcd-ordinal": fmt.Sprint(ordinal), "cdcd-first-part-no": fmt.Sprint(ordinal),
		"cdcd-last-part-no": fmt.Sprint(ordinal), "cdcd-last-seq": "1", "cdcd-records": "1", "cdcd-epoch": "1",
		"cdcd-first-commit": "2026-11-22T01:00:00Z", "cdcd-last-commit": "2026-11-22T01:00:00Z"}, 1, true, nil
}

// Receipts come in any order. Whoever sends them must not have the whole chain gone over for each.
func TestObjectsAreFoundInAnyOrderWithoutListingAllOfTheChain(t *testing.T) {
	const all = 7_345
	s := &chainInMemory{}
	for ordinal := 1; ordinal <= all; ordinal++ {
		s.keys = append(s.keys, memoryKey(ordinal))
	}
	h := newObjectFinder(s, "p=00/", "shop/acme/00")
	find := func(ordinal, want, most int) {
		t.Helper()
		s.listed, s.asked = 0, 0
		o, prev, ok, err := h.find(t.Context(), uint64(ordinal))
		wantPrev := memoryKey(want - 1)
		if !slices.Contains(s.keys, wantPrev) {
			wantPrev = ""
		}
		if err != nil || ok != (want > 0) || want > 0 && (o.Ordinal != uint64(want) || o.Key != memoryKey(want) || prev != wantPrev) {
			t.Errorf("find %d: object %d, %s after %s, %v", ordinal, o.Ordinal, o.Key, prev, err)
		}
		if s.listed > most || s.asked > 100 {
			t.Errorf("find %d: %d keys were listed, want %d at most; %d objects were asked for", ordinal, s.listed, most, s.asked)
		}
	}
	find(all, all, 3*all)
	for ordinal := all - 1; ordinal > 0; ordinal -= 97 {
		find(ordinal, ordinal, 7*listedKeys)
	}
	for _, ordinal := range []int{3001, 3000, 1002, 1001, 1000, 1, 7001, 7000, 2, all, 1} {
		find(ordinal, ordinal, 4*listedKeys)
	}
	for ordinal := all + 1; ordinal <= all+2*listedKeys; ordinal++ { // the chain grows
		s.keys = append(s.keys, memoryKey(ordinal))
	}
	find(all+listedKeys, all+listedKeys, 6*listedKeys)
	find(4711, 4711, 4*listedKeys)
	s.keys = s.keys[2_500:] // and loses its oldest objects
	find(4711, 4711, 4*listedKeys)
	find(17, 2_501, 5*listedKeys)
	find(2_501, 2_501, 4*listedKeys)
	s.keys = nil
	find(4711, 0, 0)
}

// What lies among a chain's objects and is none of them is not the object before.
func TestAForeignKeyIsNotTheObjectBefore(t *testing.T) {
	dir, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := func(ordinal int) string { return fmt.Sprintf("p=00/dt=2026-11-22/%020d.jsonl.zst", 10*ordinal) }
	for ordinal := 1; ordinal <= 3; ordinal++ {
		meta := map[string]string{"cdcd-chain": "shop/acme/00", "cdcd-ordinal": fmt.Sprint(ordinal), "cdcd-first-part-no": fmt.Sprint(ordinal),
			"cdcd-last-part-no": fmt.Sprint(ordinal), "cdcd-last-seq": "1", "cdcd-records": "1", "cdcd-epoch": "1",
			"cdcd-first-commit": "2026-11-22T01:00:00Z", "cdcd-last-commit": "2026-11-22T01:00:00Z"}
		if _, err := dir.Put(t.Context(), key(ordinal), []byte("{}"), meta); err != nil {
			t.Fatal(err)
		}
		foreign := fmt.Sprintf("p=00/dt=2026-11-22/%020d.jsonl.zst", 10*ordinal+5)
		if _, err := dir.Put(t.Context(), foreign, []byte("{}"), map[string]string{"cdcd-chain": "other"}); err != nil {
			t.Fatal(err)
		}
	}
	for from := 1; from <= 3; from++ {
		h := newObjectFinder(dir, "p=00/", "shop/acme/00")
		for ordinal := from; ordinal <= 3; ordinal++ {
			want := ""
			if ordinal > 1 {
				want = key(ordinal - 1)
			}
			if o, prev, ok, err := h.find(t.Context(), uint64(ordinal)); err != nil || !ok || o.Key != key(ordinal) || prev != want {
				t.Errorf("from %d, find %d: %s after %q, %v, %v; want %q before it", from, ordinal, o.Key, prev, ok, err, want)
			}
		}
	}
}
