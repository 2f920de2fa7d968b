package backtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

var orders = &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
	{Name: "id", Kind: cdc.KindInt64, Type: "bigint", Key: 1},
	{Name: "total", Kind: cdc.KindInt64, Type: "int", Nullable: true},
}}

// change is an insert of a row; a total of less than nothing is NULL.
type change struct {
	id, total int64
	at        string // commit time
}

// batches makes frames of some changes each.
func batches(t testing.TB, each int, changes ...change) []*cdc.Batch {
	t.Helper()
	var out []*cdc.Batch
	no := uint64(1)
	for part := range slices.Chunk(changes, each) {
		var w cdc.Builder
		w.Reset(cdc.Header{Source: "shop", FirstPartNo: no})
		for _, c := range part {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			e := cdc.EventInfo{No: no, Tx: w.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", no), CommitTime: at}), Table: w.AddTable(orders), Op: cdc.OpInsert}
			w.BeginRow(2)
			w.SetInt(0, c.id)
			w.SetInt(1, c.total)
			if c.total < 0 {
				w.SetNull(1)
			}
			e.After = w.EndRow()
			w.AddEvent(e)
			no++
		}
		b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Seq = uint64(len(out) + 1)
		out = append(out, b)
	}
	return out
}

func from(bs []*cdc.Batch) func(context.Context, cdc.Handler) error {
	return func(ctx context.Context, next cdc.Handler) error {
		for _, b := range bs {
			if err := next(ctx, b); err != nil {
				return err
			}
		}
		return nil
	}
}

func set(t testing.TB, lines ...string) *rules.Set {
	t.Helper()
	rs, err := rules.Parse("rules.yaml", []byte("version: 1\nrules:\n"+strings.Join(lines, "\n")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := rules.New(rs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rule(name, when, more string) string {
	return fmt.Sprintf("  - {name: %s, tables: [shop.orders], when: \"%s\", to: [acme]%s}", name, when, more)
}

// plain is what tests compare of a report: all but what depends on the machine.
func plain(r Report) Report {
	r.Seconds, r.Draft, r.Active, r.NotSimulated = 0, Cost{}, Cost{}, nil
	for i := range r.Rules {
		r.Rules[i].Version, r.Rules[i].Against = "", min(r.Rules[i].Against, "known")
		for j := range r.Rules[i].Examples {
			x := &r.Rules[i].Examples[j]
			x.ID, x.Event = "", nil
		}
	}
	return r
}

func TestADraftIsComparedWithTheRuleInForce(t *testing.T) {
	history := batches(t, 2,
		change{1, 50, "2026-11-01T10:00:00Z"},
		change{2, 150, "2026-11-01T11:00:00Z"},
		change{3, 250, "2026-11-01T23:59:59Z"},
		change{4, -1, "2026-11-02T00:00:00Z"},
		change{1, 150, "2026-11-02T10:00:00Z"},
	)
	draft := set(t, rule("big", "after.total >= 100 && after.total < 200", ", mode: 'off'"), rule("any", "true", ", mode: shadow"))
	active := set(t, rule("big", "after.total != null && after.total > 200", ""), rule("other", "true", ""))
	for _, workers := range []int{1, 3} {
		got, err := Run(t.Context(), Config{Draft: draft, Active: active, Workers: workers, Feeds: map[string]Delivery{"acme": {Every: time.Hour}}}, from(history))
		if err != nil {
			t.Fatal(err)
		}
		got = plain(got)
		sizes := got.Feeds
		got.Feeds = nil
		day1, day2 := "2026-11-01", "2026-11-02"
		want := Report{
			Read: 5, First: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC), Last: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC),
			Matched: 5, Errors: 1, Rows: Count{N: 4},
			Days: []Day{{day1, 3, 3, 1, 0}, {day2, 2, 2, 0, 1}},
			Rules: []Rule{
				{Name: "big", Against: "known", Evaluated: 5, Matched: 2, Errors: 1, Rows: Count{N: 2}, Added: 2, Lost: 1,
					Days: []Day{{day1, 1, 1, 1, 0}, {day2, 1, 1, 0, 1}},
					Examples: []Example{{Kind: Added, No: 2}, {Kind: Added, No: 5}, {Kind: Lost, No: 3},
						{Kind: Failed, No: 4, Error: "CDCD-2201: the condition cannot use NULL: after.total is NULL"}}},
				{Name: "any", Evaluated: 5, Matched: 5, Rows: Count{N: 4}, Added: 5,
					Days:     []Day{{day1, 3, 3, 0, 0}, {day2, 2, 2, 0, 0}},
					Examples: []Example{{Kind: Added, No: 1}, {Kind: Added, No: 2}, {Kind: Added, No: 3}, {Kind: Added, No: 4}, {Kind: Added, No: 5}}},
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers: got\n%s\nwant\n%s", workers, text(got), text(want))
		}
		if len(sizes) != 1 || sizes[0].Draft.Records != 5 || sizes[0].Draft.Objects != 5 || sizes[0].Active.Records != 1 || sizes[0].Active.Objects != 1 {
			t.Errorf("%d workers: volumes %s", workers, text(sizes))
		}
	}
}

func text(v any) string {
	b, _ := json.MarshalIndent(v, "", " ")
	return string(b)
}

func TestOnlyTheTimeThatWasAskedForCounts(t *testing.T) {
	history := batches(t, 10,
		change{1, 1, "2026-11-01T00:00:00Z"}, change{2, 1, "2026-11-02T00:00:00Z"}, change{3, 1, "2026-11-03T00:00:00Z"})
	got, err := Run(t.Context(), Config{Draft: set(t, rule("any", "true", "")),
		From: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)}, from(history))
	if err != nil || got.Read != 1 || got.Rules[0].Examples[0].No != 2 {
		t.Errorf("%s, %v", text(got), err)
	}
}

func TestAStoppedBackTestSaysWhatItFound(t *testing.T) {
	history := batches(t, 1, change{1, 1, "2026-11-01T00:00:00Z"}, change{2, 1, "2026-11-02T00:00:00Z"})
	ctx, stop := context.WithCancel(t.Context())
	got, err := Run(ctx, Config{Draft: set(t, rule("any", "true", ""))}, func(ctx context.Context, next cdc.Handler) error {
		if err := next(ctx, history[0]); err != nil {
			return err
		}
		stop()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || !got.Partial || got.Why != "it was stopped" || got.Read != 1 || got.Matched != 1 {
		t.Errorf("%s, %v", text(got), err)
	}
	broken := errors.New("the file is torn")
	got, err = Run(t.Context(), Config{Draft: set(t, rule("any", "true", ""))}, func(context.Context, cdc.Handler) error { return broken })
	if !errors.Is(err, broken) || !got.Partial || got.Why != broken.Error() {
		t.Errorf("%s, %v", text(got), err)
	}
}

// The outcome must not depend on how the history was cut into frames, nor on how many judged it.
func TestTheOutcomeDoesNotDependOnTheWorkers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var changes []change
	for range 5000 {
		changes = append(changes, change{random.Int64N(700), random.Int64N(400) - 10,
			time.Unix(1_790_000_000+random.Int64N(10*secondsPerDay), 0).UTC().Format(time.RFC3339)})
	}
	draft := set(t, rule("big", "after.total > 100", ""), rule("odd", "after.id % 2 == 1", ""))
	active := set(t, rule("big", "after.total > 200", ""))
	var first Report
	for i, workers := range []int{1, 2, 7} {
		got, err := Run(t.Context(), Config{Draft: draft, Active: active, Workers: workers, Examples: 4}, from(batches(t, 1+97*i, changes...)))
		if err != nil {
			t.Fatal(err)
		}
		got = plain(got)
		if i == 0 {
			first = got
		} else if !reflect.DeepEqual(got, first) {
			t.Errorf("%d workers: got\n%s\nwant\n%s", workers, text(got), text(first))
		}
	}
}

// Changes that come as JSON may all have the same number.
func TestExamplesOfChangesWithOneNumberAreTheSameInAnyOrder(t *testing.T) {
	var history []*cdc.Batch
	for id := range int64(100) {
		history = append(history, batches(t, 1, change{id, id, "2026-11-01T00:00:00Z"})...)
	}
	var first []Example
	for _, workers := range []int{1, 1, 3} {
		got, err := Run(t.Context(), Config{Draft: set(t, rule("any", "true", "")), Workers: workers, Examples: 3}, from(history))
		if err != nil {
			t.Fatal(err)
		}
		examples := got.Rules[0].Examples
		if first == nil {
			first = examples
		}
		if len(examples) != 3 || !reflect.DeepEqual(examples, first) {
			t.Errorf("%d workers: got\n%s\nwant\n%s", workers, text(examples), text(first))
		}
		slices.Reverse(history)
	}
}

func TestDistinctThingsAreCountedExactlyOrNearly(t *testing.T) {
	for _, n := range []int{0, 1, 200, 255, 256, 5_000, 300_000} {
		all, parts := newSketch(1024), []*sketch{newSketch(1024), newSketch(1024), newSketch(1024)}
		for i := range n {
			all.add(mix(uint64(i)))
			all.add(mix(uint64(i / 2)))
			parts[i%3].add(mix(uint64(i)))
			parts[0].add(mix(uint64(i / 2)))
		}
		parts[1].merge(parts[2])
		parts[0].merge(parts[1])
		for _, s := range []*sketch{all, parts[0]} {
			got := s.count()
			if n <= 1024 && got != (Count{N: uint64(n)}) {
				t.Errorf("%d: %+v", n, got)
			}
			if off := float64(got.N)/float64(max(n, 1)) - 1; n > 2048 && (off > 0.1 || off < -0.1 || !got.Estimated) {
				t.Errorf("%d: %+v", n, got)
			}
		}
		if all.count() != parts[0].count() {
			t.Errorf("%d: %+v in one piece, %+v in three", n, all.count(), parts[0].count())
		}
	}
}

func BenchmarkRun(b *testing.B) {
	var changes []change
	for i := range int64(100_000) {
		changes = append(changes, change{i, i % 1000, "2026-11-01T00:00:00Z"})
	}
	history := batches(b, 1024, changes...)
	draft := set(b, rule("big", "after.total > 990", ""))
	active := set(b, rule("big", "after.total > 995", ""))
	for b.Loop() {
		if _, err := Run(b.Context(), Config{Draft: draft, Active: active}, from(history)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(changes))/b.Elapsed().Seconds(), "changes/s")
}
