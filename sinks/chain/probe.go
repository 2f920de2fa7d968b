package chain

import (
	"context"
	"fmt"

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

// prove puts one object twice. The second put must find the first.
func prove(ctx context.Context, store Store, key string, body []byte, meta map[string]string) error {
	for attempt := range 2 {
		created, err := store.Put(ctx, key, body, meta)
		if err != nil {
			return fmt.Errorf("put %s to %s: %w", key, store, err)
		}
		if created && attempt == 1 {
			return cdc.Errorf("CDCD-4101", "%s ignores If-None-Match: it let an object be created twice", store).
				WithFix("use a store with conditional writes (AWS S3, R2, MinIO, versitygw, …), or file://")
		}
	}
	return nil
}
