package mysql

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
)

// queue passes events from the goroutine that reads the log to the one that builds frames, bounded by their size in
// memory. It holds at least one event, however large.
type queue struct {
	limit  int
	filled chan struct{} // has a token when there may be something to take
	space  chan struct{} // has a token when there may be room

	mu     sync.Mutex
	events []*replication.BinlogEvent
	bytes  int
	poked  bool  // take shall return, whether there are events or not
	err    error // why no more events come
}

var errQueueClosed = errors.New("reading the log has been stopped")

func newQueue(limit int) *queue {
	return &queue{limit: limit, filled: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// put adds an event and waits while the queue is full. It fails when the queue has been closed.
func (q *queue) put(ev *replication.BinlogEvent, bytes int) error {
	for {
		q.mu.Lock()
		if q.err != nil {
			q.mu.Unlock()
			return q.err
		}
		if q.bytes == 0 || q.bytes+bytes <= q.limit {
			q.events = append(q.events, ev)
			q.bytes += bytes
			q.mu.Unlock()
			wake(q.filled)
			return nil
		}
		q.mu.Unlock()
		<-q.space
	}
}

// close ends the queue: put fails from now on, take fails with err when all events have been taken.
func (q *queue) close(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	wake(q.filled)
	wake(q.space)
}

// poke has take return, the present one or the next.
func (q *queue) poke() {
	q.mu.Lock()
	q.poked = true
	q.mu.Unlock()
	wake(q.filled)
}

// take returns all events that are there, waiting at most that long for the first; none when the time is over.
// The events that it returned before must have been used up: spare is their slice, to be filled again.
func (q *queue) take(ctx context.Context, wait time.Duration, spare []*replication.BinlogEvent) ([]*replication.BinlogEvent, error) {
	var timer *time.Timer
	for {
		q.mu.Lock()
		poked := q.poked
		q.poked = false
		if len(q.events) > 0 {
			events := q.events
			clear(spare)
			q.events, q.bytes = spare[:0], 0
			q.mu.Unlock()
			wake(q.space)
			return events, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if wait <= 0 || poked {
			return nil, ctx.Err()
		}
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		}
		select {
		case <-q.filled:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
