package main

import (
	"context"
	"errors"
	"fmt"
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
