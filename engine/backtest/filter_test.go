package backtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// plugin drops totals below 10, cannot judge 13, and tags those of 20 and more with its configuration.
type plugin struct {
	config string
	open   *atomic.Int64
	world  error
}

func (p *plugin) Judge(_ context.Context, events []cdc.Event, verdicts []cdc.Verdict) error {
	for i, e := range events {
		total := e.After().Value(1).Int64()
		verdicts[i].Keep = total >= 10
		if total == 13 {
			verdicts[i].Err = errors.New("unreachable")
		}
		if total >= 20 {
			verdicts[i].Edits = &cdc.Edits{Tags: []string{p.config}}
		}
	}
	return p.world
}

func (p *plugin) Close() error {
	p.open.Add(-1)
	return nil
}

func filtered(name, when, filter string) string {
	return fmt.Sprintf("  - {name: %s, tables: [shop.orders], when: \"%s\", filter: %s, to: [acme]}", name, when, filter)
}

func TestADraftWithAPluginIsJudgedByIt(t *testing.T) {
	at := "2026-11-01T10:00:00Z"
	history := batches(t, 2, change{1, 5, at}, change{2, 10, at}, change{3, 13, at}, change{4, 20, at}, change{5, 30, at}, change{6, 99, at})
	draft := set(t, filtered("f", "after.total < 90", "{plugin: score, config: {v: 2}}"), filtered("same", "true", "{plugin: score}"))
	active := set(t, filtered("f", "after.total > 10", "{plugin: score, config: {v: 1}}"), filtered("same", "true", "{plugin: score}"))
	var open, opened atomic.Int64
	for _, workers := range []int{1, 3} {
		opened.Store(0)
		got, err := Run(t.Context(), Config{Draft: draft, Active: active, Workers: workers, Examples: 1,
			Filter: func(_ context.Context, r *rules.Rule) (engine.Filter, error) {
				open.Add(1)
				opened.Add(1)
				return &plugin{string(r.Filter.Config), &open, nil}, nil
			}}, from(history))
		if err != nil {
			t.Fatal(err)
		}
		got = plain(got)
		day := "2026-11-01"
		when := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
		failed := Example{Kind: Failed, No: 3, Error: "unreachable"}
		want := Report{
			Read: 6, First: when, Last: when, Matched: 4, Errors: 1, Rows: Count{N: 4}, Days: []Day{{day, 4, 1, 1, 1}}, Feeds: []Feed{},
			Rules: []Rule{
				{Name: "f", Against: "known", Evaluated: 6, Matched: 3, Errors: 1, Rows: Count{N: 3},
					Filter: &Filter{Plugin: "score", Asked: 5, Kept: 3, Edited: 2, Dropped: 1, Failed: 1},
					Added:  1, Changed: 2, Lost: 1, Days: []Day{{day, 3, 1, 1, 1}},
					Examples: []Example{{Kind: Added, No: 2}, {Kind: Lost, No: 6}, {Kind: Changed, No: got.Rules[0].Examples[2].No}, failed}},
				{Name: "same", Against: "known", Evaluated: 6, Matched: 4, Errors: 1, Rows: Count{N: 4},
					Filter: &Filter{Plugin: "score", Asked: 6, Kept: 4, Edited: 3, Dropped: 1, Failed: 1},
					Same:   4, Days: []Day{{day, 4, 0, 0, 1}}, Examples: []Example{failed, {Kind: Same, No: got.Rules[1].Examples[1].No}}},
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers: got\n%s\nwant\n%s", workers, text(got), text(want))
		}
		if open.Load() != 0 || opened.Load() != int64(4*workers) {
			t.Errorf("%d workers: %d plugins were opened, %d are open", workers, opened.Load(), open.Load())
		}
	}
}

func TestABackTestEndsWhenAPluginCannotBeAsked(t *testing.T) {
	var changes []change
	for i := range int64(100) {
		changes = append(changes, change{i, 10, "2026-11-01T10:00:00Z"})
	}
	draft := set(t, filtered("f", "true", "{plugin: score}"))
	var open atomic.Int64
	slow := errors.New("it takes too long")
	for name, tt := range map[string]struct {
		filter func(context.Context, *rules.Rule) (engine.Filter, error)
		why    string
	}{
		"it fails": {func(context.Context, *rules.Rule) (engine.Filter, error) {
			open.Add(1)
			return &plugin{"", &open, slow}, nil
		}, "rule f: plugin score: it takes too long"},
		"there is none": {func(context.Context, *rules.Rule) (engine.Filter, error) { return nil, slow }, "rule f: plugin score: it takes too long"},
		"nobody knows":  {nil, "rule f has a filter, plugin score, and there is nobody to ask for it"},
	} {
		got, err := Run(t.Context(), Config{Draft: draft, Workers: 1, Filter: tt.filter}, from(batches(t, 1, changes...)))
		if err == nil || err.Error() != tt.why || !got.Partial || got.Why != tt.why || got.Read != 0 {
			t.Errorf("%s: %v, %s", name, err, text(got))
		}
		if n := open.Load(); n != 0 {
			t.Errorf("%s: %d plugins are open", name, n)
		}
	}
}

// A source may go on for hours: it is stopped when a plugin cannot be asked, not heard to its end.
func TestASourceIsStoppedWhenAPluginCannotBeAsked(t *testing.T) {
	draft := set(t, filtered("f", "true", "{plugin: score}"))
	slow := errors.New("it takes too long")
	whole := false
	_, err := Run(t.Context(), Config{Draft: draft, Workers: 2, Filter: func(context.Context, *rules.Rule) (engine.Filter, error) {
		return &plugin{"", new(atomic.Int64), slow}, nil
	}}, func(ctx context.Context, next cdc.Handler) error {
		some := batches(t, 1, change{1, 10, "2026-11-01T10:00:00Z"})
		for range 1_000_000 {
			if err := next(ctx, some[0]); err != nil {
				return err
			}
		}
		whole = true
		return nil
	})
	if want := "rule f: plugin score: it takes too long"; err == nil || err.Error() != want || whole {
		t.Errorf("got %v, want %s; heard to the end: %t", err, want, whole)
	}
}
