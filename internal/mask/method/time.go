package method

import (
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// midnight returns the microseconds since 1970 at which a day begins in UTC. That of 1970 itself is moved on by one
// microsecond, since 0 is the zero date.
func midnight(c cdc.Civil) int64 {
	if at := time.Date(c.Year, time.Month(c.Month), c.Day, 0, 0, 0, 0, time.UTC).UnixMicro(); at != 0 {
		return at
	}
	return 1
}
