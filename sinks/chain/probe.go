package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// probeKey is the object that [Probe] leaves behind: always the same, so that it does not grow into litter in a store
// where cdcd may not delete.
const probeKey = "cdcd-check"

// Probe checks that objects can be created in the store and that it honours put-if-absent; if it does not, the error is
// CDCD-4101. No chain is begun.
func Probe(ctx context.Context, store Store) error {
	return prove(ctx, store, probeKey, []byte("written by cdcd check\n"), nil)
}

// Timing is how long a store takes.
type Timing struct{ Put, Get, List time.Duration }

// Examine is [Probe] for all that a chain asks of a store: it also reads the object back, finds it in the list, and
// says how long each took.
func Examine(ctx context.Context, store Store) (t Timing, err error) {
	began := time.Now()
	took := func() time.Duration {
		d := time.Since(began)
		began = time.Now()
		return d
	}
	if err := Probe(ctx, store); err != nil {
		return t, err
	}
	t.Put = took() / 2 // it puts twice
	if _, ok, err := store.Get(ctx, probeKey); err != nil || !ok {
		return t, fmt.Errorf("get %s from %s, where it was just put: there is %w", probeKey, store, cmp.Or(err, errors.New("none")))
	}
	t.Get = took()
	listed := false
	err = store.List(ctx, probeKey, "", func(key string, _ int64) bool {
		listed = listed || key == probeKey
		return false
	})
	t.List = took()
	if err != nil {
		return t, fmt.Errorf("list %s: %w", store, err)
	}
	if !listed {
		return t, fmt.Errorf("%s does not list %s, which was just put", store, probeKey)
	}
	return t, nil
}

// prove puts one object twice. The second put must find the first.
func prove(ctx context.Context, store Store, key string, body []byte, meta map[string]string) error {
	for attempt := range 2 {
		created, err := store.Put(ctx, key, body, meta)
		if err != nil {
			return fmt.Errorf("put %s to %s: %w", key, store, err)
		}
		if created && attempt == 1 {
			return cdc.Errorf(codeIgnores, "%s ignores If-None-Match: it let an object be created twice", store).
				WithFix("use a store with conditional writes (AWS S3, R2, MinIO, versitygw, …), or file://")
		}
	}
	return nil
}
