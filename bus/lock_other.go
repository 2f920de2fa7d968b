//go:build !unix

package bus

import (
	"errors"
	"math"
	"os"
)

// lockDir refuses: without a lock that dies with its process, two servers could destroy one data folder.
func lockDir(string) (*os.File, error) {
	return nil, errors.New("the embedded bus needs a system with flock; use an external NATS server here")
}

func freeBytes(string) (int64, error) { return math.MaxInt64, nil }
