package bus

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff returns how long to wait before the attempt after n failed ones: nothing at first, then twice as long each
// time up to limit, of which between a half and all at random.
func backoff(n int, limit time.Duration) time.Duration {
	if n == 0 {
		return 0
	}
	d := min(limit, 10*time.Millisecond<<min(n, 20))
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
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
