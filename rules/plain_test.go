package rules

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// A mistake in the index costs the rule its place there, and nothing else: it is judged plainly from then on, and so it
// is in sets that follow.
func TestARuleThatTheIndexJudgesWronglyIsTakenOffIt(t *testing.T) {
	const src = `
version: 1
rules:
  - {name: right, tables: [shop.orders], on: [insert], to: [acme], when: after.customer_id == 7}
  - {name: wrong, tables: [shop.orders], on: [insert], to: [acme], when: after.customer_id == 8}
  - {name: filter, tables: [shop.orders], to: [acme], where: row.customer_id == 8}
`
	for _, seeded := range []string{"wrong", "filter"} {
		tables := mustTables(t, ordersSchema)
		set := mustSet(t, src)
		e := readEvent(t, tables, `{"op":"insert","after":{"id":1,"customer_id":8,"status":"new","total":"1.00","country":"US","created":"2026-01-01T00:00:00Z"}}`)
		plan := set.plans.of(tables[0])
		for _, prog := range plan.programs[cdc.OpInsert] {
			if prog.rule.Name == seeded && prog.when != nil {
				prog.when.formula = always(match.False)
			} else if prog.rule.Name == seeded {
				prog.where[1].when.formula = always(match.Failed)
			}
		}
		d := set.Decide(e)
		if got, want := outcomeOf(d, seeded).class, outcomeOf(set.DecidePlainly(e), seeded).class; got == want {
			t.Fatalf("%s: nothing is wrong: %s", seeded, got)
		}
		wrong := set.Verify(d, 10)
		if len(wrong) != 1 || wrong[0].Rule.Name != seeded || !strings.Contains(wrong[0].String(), seeded) {
			t.Fatalf("%s: %v", seeded, wrong)
		}
		for name, set := range map[string]*Set{"the set": set, "the next set": mustSet(t, src).After(set)} {
			if got, want := printDecision(set.Decide(e)), printDecision(set.DecidePlainly(e)); got != want {
				t.Errorf("%s: %s afterwards:\ngot  %swant %s", seeded, name, got, want)
			}
			if wrong := set.Verify(set.Decide(e), 10); len(wrong) != 0 {
				t.Errorf("%s: %s is still wrong: %v", seeded, name, wrong)
			}
		}
	}
}

func TestAboutOneInSoManyEventsIsVerified(t *testing.T) {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop"})
	table := w.AddTable(mustTables(t, ordersSchema)[0])
	tx := w.AddTx(cdc.Tx{GTID: "0-1-1"})
	for no := range uint64(20_000) {
		w.BeginRow(7)
		w.AddEvent(cdc.EventInfo{No: no, Tx: tx, Table: table, Op: cdc.OpInsert, After: w.EndRow()})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range b.Len() {
		if Sampled(b.Event(i), 100) {
			n++
		}
	}
	if n < 100 || n > 400 {
		t.Errorf("%d of 20,000 are sampled, not about 200", n)
	}
}
