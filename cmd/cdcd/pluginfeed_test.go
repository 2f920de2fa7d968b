package main

import (
	"testing"
	"time"
)

func TestAPaceLetsSomeThroughAtOnceAndCountsTheRest(t *testing.T) {
	p := pace{every: time.Second, most: 2}
	at := time.Unix(1000, 0)
	for i, step := range []struct {
		after  time.Duration
		missed uint64
		ok     bool
	}{
		{0, 0, true}, {0, 0, true}, {0, 0, false}, {500 * time.Millisecond, 0, false}, {600 * time.Millisecond, 2, true}, {0, 0, false},
		{10 * time.Second, 1, true}, {0, 0, true}, {0, 0, false},
	} {
		at = at.Add(step.after)
		if missed, ok := p.take(at); missed != step.missed || ok != step.ok {
			t.Errorf("step %d: %d, %v, want %d, %v", i, missed, ok, step.missed, step.ok)
		}
	}
}
