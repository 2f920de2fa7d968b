package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
)

// customer is a row of the table of these tests.
type customer struct {
	id     int64
	tier   string
	points *int64 // nil: NULL
}

func (c customer) String() string {
	points := "null"
	if c.points != nil {
		points = fmt.Sprint(*c.points)
	}
	return fmt.Sprintf(`{"id":%d,"tier":%q,"points":%s}`, c.id, c.tier, points)
}

const filterRules = `version: 1
rules:
  - {name: vip, tables: [shop.customers], where: row.tier == 'vip', to: [acme, globex]}
  - {name: rich, tables: [shop.customers], where: row.points != null && row.points >= 5 && row.id % 2 == 0, to: [globex, initech]}
  - {name: became, tables: [shop.customers], on: [update, delete], when: before.id % 3 == 0, to: [globex]}
`

// filters are the rules' conditions by feed, in Go.
var filters = map[string]func(customer) bool{
	"acme":    func(c customer) bool { return c.tier == "vip" },
	"initech": func(c customer) bool { return c.points != nil && *c.points >= 5 && c.id%2 == 0 },
	"globex": func(c customer) bool {
		return c.tier == "vip" || c.points != nil && *c.points >= 5 && c.id%2 == 0
	},
}

// TestACopyOfAFilteredTableIsExact does what docs/objects.md tells a partner to do with the records of a feed with
// filters, and has the rows that satisfy them at every place of the stream behind the snapshot.
func TestACopyOfAFilteredTableIsExact(t *testing.T) {
	set := mustSet(t, filterRules)
	table := mustTables(t, `tables: {shop.customers: {columns: {id: bigint not null, tier: "enum('basic','vip') not null", points: int}, key: [id]}}`)[0]
	rapid.Check(t, func(t *rapid.T) {
		source, copies := map[int64]customer{}, map[string]map[int64]string{}
		for feed := range filters {
			copies[feed] = map[int64]string{}
		}
		w := writer{t: table, deliver: func(e cdc.Event) {
			d := set.Decide(e)
			if len(d.Errors) > 0 {
				t.Fatalf("%s: %v", cdc.AppendEvent(nil, e), d.Errors)
			}
			for feed, rows := range copies {
				if slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, feed) }) {
					apply(t, rows, cdc.AppendRecord(nil, feed, &d))
				}
			}
		}}
		row := rapid.Custom(func(t *rapid.T) customer {
			c := customer{id: rapid.Int64Range(1, 12).Draw(t, "id"), tier: rapid.SampledFrom([]string{"basic", "vip"}).Draw(t, "tier")}
			if n := rapid.Int64Range(0, 9).Draw(t, "points"); n > 0 {
				c.points = &n
			}
			return c
		})
		for range rapid.IntRange(0, 8).Draw(t, "rows that are there") {
			c := row.Draw(t, "row")
			source[c.id] = c
		}
		cursor, read := int64(0), false // of the snapshot
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				c := row.Draw(t, "row")
				if _, ok := source[c.id]; ok {
					t.Skip()
				}
				source[c.id] = c
				w.event(cdc.OpInsert, nil, &c)
			},
			"update": func(t *rapid.T) {
				if len(source) == 0 {
					t.Skip()
				}
				old := source[rapid.SampledFrom(slices.Sorted(maps.Keys(source))).Draw(t, "which")]
				c := row.Draw(t, "becomes")
				if _, taken := source[c.id]; taken || rapid.Bool().Draw(t, "in place") {
					c.id = old.id
				}
				delete(source, old.id)
				source[c.id] = c
				w.event(cdc.OpUpdate, &old, &c)
			},
			"delete": func(t *rapid.T) {
				if len(source) == 0 {
					t.Skip()
				}
				old := source[rapid.SampledFrom(slices.Sorted(maps.Keys(source))).Draw(t, "which")]
				delete(source, old.id)
				w.event(cdc.OpDelete, &old, nil)
			},
			"snapshot goes on": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "rows") {
					id, ok := next(source, cursor)
					if !ok {
						read = true
						return
					}
					c := source[id]
					w.event(cdc.OpSnapshot, nil, &c)
					cursor = id
				}
			},
			"": func(t *rapid.T) {
				w.flush()
				for feed, satisfies := range filters {
					want := map[int64]string{}
					for id, c := range source {
						if satisfies(c) {
							want[id] = c.String()
						}
					}
					if read && !maps.Equal(copies[feed], want) {
						t.Fatalf("the copy of %s\ngot  %v\nwant %v", feed, copies[feed], want)
					}
					for id, c := range copies[feed] {
						if want[id] != c {
							t.Fatalf("the copy of %s has %s, the source %s", feed, c, want[id])
						}
					}
				}
			},
		})
	})
}

// next returns the first id behind one.
func next(rows map[int64]customer, behind int64) (int64, bool) {
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if id > behind {
			return id, true
		}
	}
	return 0, false
}

// apply does with a record what its change says.
func apply(t *rapid.T, rows map[int64]string, line []byte) {
	type key struct {
		ID int64 `json:"id"`
	}
	var r struct {
		Change        string
		Key           key
		Before, After json.RawMessage
	}
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	switch r.Change {
	case cdc.Stayed:
		var was key
		if err := json.Unmarshal(r.Before, &was); err != nil {
			t.Fatal(err)
		}
		delete(rows, was.ID)
		rows[r.Key.ID] = string(r.After)
	case cdc.Entered:
		rows[r.Key.ID] = string(r.After)
	case cdc.Left:
		delete(rows, r.Key.ID)
	}
}

// writer makes frames of a few events each.
type writer struct {
	t       *cdc.Table
	b       cdc.Builder
	n, no   int
	deliver func(cdc.Event)
}

func (w *writer) event(op cdc.Op, before, after *customer) {
	if w.n == 0 {
		w.b.Reset(cdc.Header{Source: "shop", FirstPartNo: uint64(w.no + 1)})
		w.b.AddTx(cdc.Tx{GTID: fmt.Sprintf("0-1-%d", w.no+1), CommitTime: time.Unix(int64(w.no), 0)})
		w.b.AddTable(w.t)
	}
	w.no++
	info := cdc.EventInfo{No: uint64(w.no), Row: uint32(w.n), Op: op, Before: w.row(before), After: w.row(after)}
	w.b.AddEvent(info)
	if w.n++; w.n == 3 {
		w.flush()
	}
}

func (w *writer) row(c *customer) uint32 {
	if c == nil {
		return 0
	}
	w.b.BeginRow(3)
	w.b.SetInt(0, c.id)
	w.b.SetText(1, cdc.KindEnum, c.tier)
	if w.b.SetNull(2); c.points != nil {
		w.b.SetInt(2, *c.points)
	}
	return w.b.EndRow()
}

func (w *writer) flush() {
	if w.n == 0 {
		return
	}
	w.n = 0
	batch, err := cdc.Open(w.b.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		panic(err)
	}
	for i := range batch.Len() {
		w.deliver(batch.Event(i))
	}
}

func TestAFilterIsPartOfTheVersion(t *testing.T) {
	version := func(condition string) string {
		return mustParse(t, "version: 1\nrules:\n  - {name: r, tables: [a.b], on: [insert, update, delete, snapshot], "+condition+", to: [x]}\n")[0].Version
	}
	const (
		where = "sha256:d7d5e1a837568fdb2a77e7e52a9a624b1b53c51be38a15b0760fa2f99e625ec0"
		when  = "sha256:c950db8663a99a0f11039e78e9db636286f11379d63a6ed554caa69a26731b50"
	)
	for condition, want := range map[string]string{
		"where: row.a == 1": where, "where: 'row . a==1 // once'": where, "when: row.a == 1": when,
	} {
		if got := version(condition); got != want {
			t.Errorf("%s: version %s, want %s: versions must not change", condition, got, want)
		}
	}
}
