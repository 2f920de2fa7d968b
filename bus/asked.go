package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
)

// Asked answers the questions of one feed: with what is kept for the frame that is being judged, or else with what Source says, which
// is kept then. Source's errors are handed on.
type Asked struct {
	Feed   string
	Source func(ctx context.Context, q *cdc.Query) (*cdc.Answer, error)
	Again  func() // if set: called when an answer was kept already

	mu     sync.Mutex // guards the rest; nothing is asked of anybody while it is held
	frame  uint64     // that is being judged
	again  bool       // it has been before, by this process
	newest uint64     // that was begun by this process
	last   uint64     // the newest that anything was kept for when the feed began
	known  bool       // last is
}

// Begin says which frame the questions from now on are about.
func (f *Asked) Begin(frame uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again = frame <= f.newest
	f.frame, f.newest = frame, max(f.newest, frame)
}

// LookUp answers a question about the frame.
func (f *Asked) LookUp(ctx context.Context, kept *Lookups, q *cdc.Query) (*cdc.Answer, error) {
	frame, again, err := f.place(ctx, kept)
	if err != nil {
		return nil, err
	}
	if frame == 0 {
		return f.Source(ctx, q) // it is in no stream
	}
	if again {
		a, err := kept.Answer(ctx, f.Feed, frame, q)
		if err == nil && f.Again != nil {
			f.Again()
		}
		if !errors.Is(err, ErrNoAnswer) {
			return a, err
		}
	}
	a, err := f.Source(ctx, q)
	if err != nil {
		return nil, err
	}
	return kept.Keep(ctx, f.Feed, frame, q, a)
}

// Late keeps that a question about the frame was not answered in time, before anything is delivered that says so. It fails if an
// answer is kept already: then the frame has to be judged by that.
func (f *Asked) Late(ctx context.Context, kept *Lookups, q *cdc.Query) error {
	f.mu.Lock()
	frame := f.frame
	f.mu.Unlock()
	if frame == 0 {
		return nil
	}
	late := &cdc.Answer{Rows: make([][]int, len(q.Keys)), Late: make([]bool, len(q.Keys))}
	for i := range late.Late {
		late.Late[i] = true
	}
	holds, err := kept.Keep(ctx, f.Feed, frame, q, late)
	if err == nil && !slices.Equal(holds.Late, late.Late) {
		err = fmt.Errorf("what was looked up in %s for frame %d came late, but is there now", q.Table, frame)
	}
	return err
}

// place returns the frame, and whether there may be an answer already. Somebody who writes at the same time is found out when an
// answer is kept.
func (f *Asked) place(ctx context.Context, kept *Lookups) (frame uint64, again bool, err error) {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	if !known { // several may find that at once: none of them is told less than there was at the beginning
		last, err := kept.Last(ctx, f.Feed)
		if err != nil {
			return 0, false, err
		}
		f.mu.Lock()
		f.last, f.known = max(f.last, last), true
		f.mu.Unlock()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frame, f.again || f.frame <= f.last, nil
}
