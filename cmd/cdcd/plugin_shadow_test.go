package main

import (
	"errors"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// A rule may be changed while a version of its plugin is tried: what ran for the rule as it was is let go of.
func TestATrialRunsOnceForARule(t *testing.T) {
	plugins := testPlugins(t, time.Minute)
	s := &shadows{p: &pipeline{plugins: plugins}}
	defer s.Close()
	c, err := s.begin(t.Context(), "guest", &pluginFile{module: guestPlugin(t, "guest", "2.0.0", "act")})
	if err != nil {
		t.Fatal(err)
	}
	batch := someOrders(t, 1) // keep
	for _, more := range []string{"", ", on_error: skip", ", on_error: halt"} {
		c.jobs <- shadowJob{feed: "acme", rule: filterRule(t, "r", "guest", more), events: []cdc.Event{batch.Event(0)}, verdicts: []cdc.Verdict{{Keep: true}}}
	}
	for deadline := time.Now().Add(time.Minute); c.said().Judged < 3 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	if r, n := c.said(), c.plugin.Stats().Instances; r.Same != 3 || n != 1 {
		t.Errorf("%d run, after %+v", n, r)
	}
}

func TestNothingIsTriedAfterTheEnd(t *testing.T) {
	s := &shadows{p: &pipeline{plugins: testPlugins(t, time.Minute)}}
	s.Close()
	if _, err := s.begin(t.Context(), "guest", &pluginFile{module: guestPlugin(t, "guest", "2.0.0", "act")}); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}
