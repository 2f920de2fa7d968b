package bus

import (
	"time"

	"github.com/cdcd-project/cdcd/internal/backoff"
)

// pauseAfter returns how long to wait after n failed attempts: not at all before the first.
func pauseAfter(n int, limit time.Duration) time.Duration {
	if n == 0 {
		return 0
	}
	return backoff.Pause(n, 10*time.Millisecond, limit)
}
