package backtest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
)

// even finds a row for even keys.
type even struct{ err error }

func (ev even) LookUp(_ context.Context, q *cdc.Query) (*cdc.Answer, error) {
	var w cdc.Builder
	w.Reset(cdc.Header{FirstPartNo: 1})
	tx, n := w.AddTx(cdc.Tx{Ends: true}), 0
	table := w.AddTable(&cdc.Table{Schema: "shop", Name: "parts", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Type: "int"}}})
	a := &cdc.Answer{}
	for _, key := range q.Keys {
		var rows []int
		if key[0].Int64()%2 == 0 {
			w.BeginRow(1)
			w.SetInt(0, key[0].Int64())
			w.AddEvent(cdc.EventInfo{No: uint64(n + 1), Op: cdc.OpSnapshot, Tx: tx, Table: table, After: w.EndRow()})
			rows, n = []int{n}, n+1
		}
		a.Rows = append(a.Rows, rows)
	}
	var err error
	a.Batch, err = cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	return a, errors.Join(err, ev.err)
}

func answers(source engine.Lookups) func(context.Context, uint64, *cdc.Query) (*cdc.Answer, error) {
	return func(ctx context.Context, _ uint64, q *cdc.Query) (*cdc.Answer, error) { return source.LookUp(ctx, q) }
}

func TestADraftThatLooksUpIsJudgedByWhatIsFound(t *testing.T) {
	at := "2026-11-01T10:00:00Z"
	history := batches(t, 2, change{1, 4, at}, change{2, 5, at}, change{3, 6, at}, change{4, 7, at})
	looks := func(missing string) string {
		return "  - {name: f, tables: [shop.orders], on: [insert, update], lookup: {part: {table: shop.parts, by: {id: after.total}, missing: " + missing + "}}, to: [acme]}"
	}
	draft, active := set(t, looks("drop")), set(t, looks("error"))
	late := func(ctx context.Context, frame uint64, q *cdc.Query) (*cdc.Answer, error) {
		if _, timed := ctx.Deadline(); timed {
			return nil, errors.New("reading what is recorded has a deadline that a rule gave the source")
		}
		a := &cdc.Answer{Rows: make([][]int, len(q.Keys)), Late: make([]bool, len(q.Keys))}
		a.Late[0] = frame == 1
		return a, nil
	}
	without := set(t, "  - {name: f, tables: [shop.orders], on: [insert, update], lookup: {part: {table: shop.parts, by: {id: after.total}, on_timeout: null}}, to: [acme]}")
	down := errors.New("the replica is down")
	for _, tt := range []struct {
		name                        string
		draft                       *rules.Set
		lookup                      func(context.Context, uint64, *cdc.Query) (*cdc.Answer, error)
		matched, same, added, fails uint64
		unknown                     uint64 // changes
		says                        bool   // that nothing was looked up
		err                         error
	}{
		{name: "with somebody to ask", lookup: answers(even{}), matched: 2, same: 2},
		{name: "with nobody to ask, as if all were there", matched: 4, same: 4, says: true},
		{name: "the source is down", lookup: answers(even{down}), err: down},
		{name: "some frames are recorded, the others as if all were there", lookup: func(ctx context.Context, frame uint64, q *cdc.Query) (*cdc.Answer, error) {
			if frame != 1 {
				return nil, ErrNotRecorded
			}
			return even{}.LookUp(ctx, q)
		}, matched: 3, same: 3, unknown: 2},
		{name: "it was late then, and the draft does without", draft: without, lookup: late, matched: 4, same: 2, added: 2, unknown: 2},
		{name: "it was late then, and the draft waits", lookup: late, matched: 2, same: 2, unknown: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.draft == nil {
				tt.draft = draft
			}
			got, err := Run(t.Context(), Config{Draft: tt.draft, Active: active, Workers: 2, Lookup: tt.lookup}, from(history))
			if !errors.Is(err, tt.err) || got.Partial != (tt.err != nil) {
				t.Fatalf("error: %v", err)
			}
			r := got.Rules[0]
			if tt.err == nil && (r.Matched != tt.matched || r.Same != tt.same || r.Added != tt.added || r.Errors != tt.fails) {
				t.Errorf("got %+v", r)
			}
			if got.NotRecorded != tt.unknown {
				t.Errorf("%d changes are not recorded, want %d", got.NotRecorded, tt.unknown)
			}
			if says := slices.Contains(got.NotSimulated, NotLookedUp); says != tt.says {
				t.Errorf("not simulated: %q", got.NotSimulated)
			}
		})
	}
}
