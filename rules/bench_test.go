package rules

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkDecide measures what one event costs. The bar for one rule that does not match is 100 ns.
func BenchmarkDecide(b *testing.B) {
	tables := mustTables(b, ordersSchema)
	event := `{"op":"update","before":{"id":1,"customer_id":8,"status":"new","total":"1200.00","country":"US","created":"2026-01-01T00:00:00Z"},"after":{"id":1,"customer_id":8,"status":"paid","total":"1200.00","country":"US","created":"2026-01-01T00:00:00Z"}}`
	for _, bench := range []struct{ name, when string }{
		{"int-miss", "after.customer_id == 7"},
		{"enum-miss", "after.status == 'shipped'"},
		{"text-miss", "after.country == 'DE'"},
		{"decimal-miss", "after.total >= 5000"},
		{"two-columns-miss", "after.status == 'shipped' && after.total >= 1000"},
		{"changed-miss", "changed('country')"},
		{"example-hit", "after.status == 'paid' && changed('status') && after.total >= 1000"},
		{"in-miss", "after.country in ['DE', 'FR', 'IT', 'ES']"},
		{"pattern-miss", "after.country.matches('^D[EK]$')"},
		{"text-function-miss", "after.country.lowerAscii() == 'de'"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			set := mustSet(b, one(bench.when))
			e := readEvent(b, tables, event)
			if want, got := strings.HasSuffix(bench.name, "hit"), len(set.Decide(e).Matches) == 1; got != want {
				b.Fatalf("matched: %v", got)
			}
			b.ReportAllocs()
			for b.Loop() {
				set.Decide(e)
			}
		})
	}
	b.Run("no-rule", func(b *testing.B) {
		set := mustSet(b, one("true"))
		e := readEvent(b, tables, `{"op":"delete","before":{"id":1}}`)
		for b.Loop() {
			set.Decide(e)
		}
	})
	for _, n := range []int{10, 100} {
		b.Run(fmt.Sprintf("rules-%d", n), func(b *testing.B) {
			var src strings.Builder
			src.WriteString("version: 1\nrules:\n")
			for i := range n {
				fmt.Fprintf(&src, "  - {name: r%d, tables: [shop.orders], on: [update], to: [acme], when: after.customer_id == %d}\n", i, 1000+i)
			}
			set := mustSet(b, src.String())
			e := readEvent(b, tables, event)
			b.ReportAllocs()
			for b.Loop() {
				set.Decide(e)
			}
		})
	}
}

// BenchmarkCompile measures what a rule costs when a table is first seen.
func BenchmarkCompile(b *testing.B) {
	table := mustTables(b, ordersSchema)[0]
	rs := mustParse(b, one("after.status == 'paid' && changed('status') && after.total >= 1000"))
	site, err := newSite(table, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("rule", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			compile(rs[0], site)
		}
	})
	b.Run("table", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newTablePlan(rs, table, nil)
		}
	})
}

// manyRules returns rules on one table, each for a customer and a total of its own.
func manyRules(t testing.TB, n int, changed string) []*Rule {
	var src strings.Builder
	src.WriteString("version: 1\nrules:\n")
	for i := range n {
		when := fmt.Sprintf("after.customer_id == %d && after.total >= %d && changed('status')", 1000+i, i%100)
		if i == n/2 && changed != "" {
			when = changed
		}
		fmt.Fprintf(&src, "  - {name: r%d, tables: [shop.orders], on: [insert, update], to: [acme], when: \"%s\"}\n", i, when)
	}
	return mustParse(t, src.String())
}

// BenchmarkPublish measures how long it takes from new rules, one of 10,000 changed, to the first decision by them. The
// bar is 100 ms.
func BenchmarkPublish(b *testing.B) {
	tables := mustTables(b, ordersSchema)
	e := readEvent(b, tables, `{"op":"update","before":{"id":1,"customer_id":8,"status":"new","total":"1200.00","country":"US","created":"2026-01-01T00:00:00Z"},"after":{"id":1,"customer_id":8,"status":"paid","total":"1200.00","country":"US","created":"2026-01-01T00:00:00Z"}}`)
	sets := [2][]*Rule{manyRules(b, 10_000, ""), manyRules(b, 10_000, "after.country == 'XX' && after.total > 7")}
	set, err := New(sets[0])
	if err != nil {
		b.Fatal(err)
	}
	set.Decide(e)
	for i := 1; b.Loop(); i++ {
		next, err := New(sets[i%2])
		if err != nil {
			b.Fatal(err)
		}
		set = next.After(set)
		set.Decide(e)
	}
}
