package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
	"github.com/cdcd-project/cdcd/internal/rulegen"
)

// Every comparison that the index makes by itself gives what CEL gives, for every value at an edge of its kind. If an
// upgrade of cel-go changes what == or < means for some of them, this finds it.
func TestTheIndexComparesAsCELDoes(t *testing.T) {
	for _, c := range rulegen.Edges() {
		rs := mustParse(t, c.Source())
		fit := rs[:0]
		site, err := newSite(c.Table, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if _, found := compile(r, site); found.Err() == nil {
				fit = append(fit, r)
			}
		}
		for some := range slices.Chunk(fit, maxPlain/2) {
			set, err := New(some)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.Events {
				got, want := set.Decide(e), set.DecidePlainly(e)
				for _, r := range some {
					if a, b := outcomeOf(got, r.Name), outcomeOf(want, r.Name); a.class != b.class {
						t.Errorf("%s: %s, %v → %v: the index says %s, CEL %s", c.Table.Columns[0].Type, r.When, e.Before().Value(0), e.After().Value(0), a.text, b.text)
					}
				}
			}
		}
	}
}

// What a condition becomes: an atom is written as its test, slot and constants, what stays CEL as cel.
func TestLowering(t *testing.T) {
	const schema = `
tables:
  shop.orders:
    columns: {id: bigint unsigned not null, qty: int, status: "enum('new','paid')", total: "decimal(12,2)", name: varchar(20), flag: tinyint(1), price: double, at: datetime(3),
      day: date, ts: timestamp, tags: "set('a','b')", doc: json, raw: blob, bit: bit(1) not null}
    key: [id]
`
	for _, test := range [][2]string{
		{"after.qty > 5", "after.qty > 5"},
		{"5 < after.qty", "after.qty > 5"},
		{"!(after.qty > 5)", "!after.qty > 5"},
		{"after.qty != 5", "!after.qty == 5"},
		{"!(after.qty == 5 && before.qty == 4)", "(!after.qty == 5 || !before.qty == 4)"},
		{"!!(after.qty == 2 * 3 - 1)", "after.qty == 5"},
		{"after.qty in [1, 2, 3]", "after.qty in [1 2 3]"},
		{"after.qty in [1, null]", "(after.qty == 1 || after.qty null)"},
		{"after.qty in []", "after.qty in []"},
		{"after.qty == null", "after.qty null"},
		{"after.tags != null", "!after.tags null"},
		{"after.doc == null", "cel"},
		{"has(after.doc)", "after.doc present"},
		{"after.total >= 1000 && after.total < 12.5", `(after.total >= "1000" && after.total < "12.5")`},
		{"after.price == -0.0", "after.price == -0"},
		{"after.id > 18446744073709551615u", "after.id > 18446744073709551615"},
		{"after.flag", "(!after.flag null && !after.flag == 0)"},
		{"!after.flag", "(after.flag null || after.flag == 0)"},
		{"after.bit == true", "!after.bit == 0"},
		{"after.name.startsWith('a')", `after.name prefix "a"`},
		{"!after.name.endsWith('a')", `!after.name suffix "a"`},
		{"after.name.contains('a')", `after.name contains "a"`},
		{"after.name.lowerAscii() == 'a'", `lower(after.name) == "a"`},
		{"after.name.trim() in ['a', 'b']", `trim(after.name) in ["a" "b"]`},
		{"after.name.trim().lowerAscii() == 'a'", "cel"},
		{"after.name.equalsIgnoreCase('Aé')", `fold(after.name) == "AÉ"`},
		{"!after.name.containsIgnoreCase('k')", `!fold(after.name) contains "K"`},
		{"after.name.matches('^ab+')", `(after.name prefix "a" && cel)`},
		{"after.name.matches('x.*yy')", `(after.name contains "yy" && cel)`},
		{"after.name.matches('(?i)x')", "cel"},
		{"after.raw == b'\\x00'", "after.raw == 00"},
		{"after.day >= '2026-01-31'", `civil(after.day) >= "2026-01-31"`},
		{"after.at == '2026-01-31'", `civil(after.at) == "2026-01-31T00:00:00.000"`},
		{"after.ts > '2026-01-31T00:00:00Z'", `after.ts > "2026-01-31T00:00:00.000000Z"`},
		{"after.ts < '1970-01-01T00:00:00Z'", `after.ts < "1970-01-01T00:00:00.000001Z"`},
		{"after.ts == '1970-01-01T00:00:00Z'", "after.ts in []"},
		{"after.ts == '0000-00-00'", `after.ts == "0000-00-00T00:00:00.000000"`},
		{"changed('qty')", "changed qty"},
		{"before.qty != after.qty", "changed qty"},
		{"after.status == before.status", "!changed status"},
		{"before.price != after.price", "cel"},
		{"before.total != after.total", "cel"},
		{"anyChanged(['qty', 'name'])", "(changed qty || changed name)"},
		{"after.qty > before.qty", "cel"},
		{"after.qty + 1 > 5 && after.name == 'a'", `(cel && after.name == "a")`},
		{"'a' in after.tags", "cel"},
		{"after.doc.a == 1", "cel"},
		{"after.ts < now", "cel"},
		{"op == 'insert' || after.qty == 1", "after.qty == 1"},
		{"has(after.qty) ? after.qty == 1 : changed('name')", "((after.qty present && after.qty == 1) || (!after.qty present && changed name) || (after.qty present && !after.qty present))"},
		{"after.doc.list.exists(x, after.doc.list.exists(y, after.doc.list.exists(z, x + y == z)))", "cel"},
		{"after.qty == 1 && after.doc.list.exists(x, after.doc.list.exists(y, x == y)) && after.qty == 2", "(after.qty == 1 && cel)"},
	} {
		table := mustTables(t, schema)[0]
		site, err := newSite(table, nil)
		if err != nil {
			t.Fatal(err)
		}
		byOp, found := compile(mustParse(t, one(test[0]+" // "))[0], site)
		if err := found.Err(); err != nil && byOp[cdc.OpUpdate].err != nil {
			t.Errorf("%s: %v", test[0], err)
			continue
		}
		if got := formulaText(table, byOp[cdc.OpUpdate].when.formula); got != test[1] {
			t.Errorf("%s\ngot  %s\nwant %s", test[0], got, test[1])
		}
	}
}

func formulaText(t *cdc.Table, f *match.Formula) string {
	switch f.Op {
	case match.And, match.Or:
		sign := map[match.Op]string{match.And: " && ", match.Or: " || "}[f.Op]
		var kids []string
		for _, k := range f.Kids {
			kids = append(kids, formulaText(t, k))
		}
		return "(" + strings.Join(kids, sign) + ")"
	case match.Always:
		return fmt.Sprint(f.Value)
	}
	a, not := f.Atom, ""
	if f.Negated {
		not = "!"
	}
	if a.Test == match.Opaque {
		return not + "cel"
	}
	if a.Test == match.Changed {
		return not + "changed " + t.Columns[a.Slot.Column].Name
	}
	slot := images[a.Slot.Image] + "." + t.Columns[a.Slot.Column].Name
	if a.Slot.Derived != match.Itself {
		slot = [...]string{"", "lower", "upper", "trim", "fold", "civil"}[a.Slot.Derived] + "(" + slot + ")"
	}
	text := not + slot + " " + map[match.Test]string{match.Equal: "==", match.In: "in", match.Less: "<", match.LessEqual: "<=", match.Greater: ">", match.GreaterEqual: ">=",
		match.Prefix: "prefix", match.Suffix: "suffix", match.Contains: "contains", match.Null: "null", match.Present: "present"}[a.Test]
	switch a.Test {
	case match.Null, match.Present:
		return text
	case match.In:
		return fmt.Sprint(text, " ", append([]cdc.Value{}, a.Consts...))
	}
	return text + " " + a.Const.String()
}

// What one rule decides does not depend on the others, nor on how it is written.
func TestRulesDoNotInfluenceEachOther(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		data := make([]byte, 2000)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		c := rulegen.New(data).Case(24, 24)
		all := mustParse(t, c.Source())
		decide := func(rs []*Rule, after *Set) []string {
			set, err := New(rs)
			if err != nil {
				t.Fatal(err)
			}
			if after != nil {
				set = set.After(after)
			}
			var out []string
			for _, e := range c.Events {
				d := set.Decide(e)
				line := ""
				for _, r := range all {
					if slices.Contains(rs, r) {
						line += outcomeOf(d, r.Name).text + "; "
					} else {
						line += "–; "
					}
				}
				out = append(out, line)
			}
			return out
		}
		whole, err := New(all)
		if err != nil {
			t.Fatal(err)
		}
		want := decide(all, nil)
		backwards := slices.Clone(all)
		slices.Reverse(backwards)
		for name, got := range map[string][]string{"in another order": decide(backwards, nil), "after themselves": decide(all, whole), "after half of them": decide(all, mustHalf(t, all, whole))} {
			if !slices.Equal(got, want) {
				t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		half := decide(all[:12], whole)
		for i := range half {
			if got, want := strings.Split(half[i], "; ")[:12], strings.Split(want[i], "; ")[:12]; !slices.Equal(got, want) {
				t.Errorf("half of them, event %d:\ngot  %s\nwant %s", i, got, want)
			}
		}
		// Other ways to write the same.
		var twice []rulegen.Rule
		for _, r := range c.Rules {
			for i, form := range []string{"%s", "!(!(%s))", "(%s) && true", "(%[1]s) || (%[1]s)", "true ? (%s) : false", "!(!(%[1]s) || !(%[1]s))"} {
				again := r
				again.Name, again.When = fmt.Sprintf("%s-%d", r.Name, i), fmt.Sprintf(form, r.When)
				twice = append(twice, again)
			}
		}
		set := mustSet(t, rulegen.Source(twice...))
		for _, e := range c.Events {
			d := set.Decide(e)
			for _, r := range c.Rules {
				for i := 1; i < 6; i++ {
					if a, b := outcomeOf(d, r.Name+"-0"), outcomeOf(d, fmt.Sprintf("%s-%d", r.Name, i)); a.class != b.class {
						t.Errorf("%s, form %d: %s, by itself %s", r.When, i, b.text, a.text)
					}
				}
			}
		}
	}
}

func mustHalf(t *testing.T, all []*Rule, whole *Set) *Set {
	set, err := New(all[:len(all)/2])
	if err != nil {
		t.Fatal(err)
	}
	return set.After(whole)
}
