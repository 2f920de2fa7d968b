package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pause returns how long to wait before the next attempt after n failures beyond the first: twice as long each time, from first up to
// most, of which between a half and all at random.
func Pause(n int, first, most time.Duration) time.Duration {
	d := most
	if n = max(n, 0); n < 62 && first <= most>>n {
		d = first << n
	}
	return d/2 + rand.N(d/2+1)
}

// Sleep waits that long, or until ctx ends, which is its error.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
