package rules

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
)

const ordersSchema = `
tables:
  shop.orders:
    columns:
      id: bigint unsigned not null
      customer_id: int not null
      status: enum('new','paid','shipped') not null
      total: decimal(12,2) not null
      country: varchar(2) not null
      note: varchar(200)
      created: timestamp not null
    key: [id]
`

func mustParse(t testing.TB, src string) []*Rule {
	t.Helper()
	rs, err := Parse("rules.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func mustSet(t testing.TB, src string) *Set {
	t.Helper()
	set, err := New(mustParse(t, src))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func mustTables(t testing.TB, src string) []*cdc.Table {
	t.Helper()
	tables, err := ParseSchema("schema.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// one returns the source of a rule file with one rule.
func one(when string) string {
	return "version: 1\nrules:\n  - name: r\n    tables: [shop.orders]\n    on: [insert, update]\n    to: [acme]\n    when: |\n      " +
		strings.ReplaceAll(when, "\n", "\n      ") + "\n"
}

func TestVersionIsOfWhatDecidesNotOfHowItIsWritten(t *testing.T) {
	base := mustParse(t, `
version: 1
rules:
  - name: a
    tables: [shop.orders, shop.items]
    on: [insert, update]
    when: after.status == 'a  b' && after.total >= 1000
    to: [acme, globex]
`)[0].Version
	same := map[string]string{
		"layout": `
version: 1
rules:
- name: a
  tables: [shop.orders, shop.items]
  on: [insert, update]
  when: |
    after.status=='a  b'   // a comment
      && after . total >= 1000
  to: [acme, globex]
`,
		"order, defaults and what is for people": `
version: 1
rules:
  - description: what it is for
    owner: me
    tables: [shop.items, shop.orders, shop.items]
    on: [update, insert]
    mode: active
    on_error: dead_letter
    when: "after.status == 'a  b' && after.total >= 1000"
    to: [globex, acme]
    name: a
    tests:
      - {name: x, event: {op: insert, after: {}}, expect: {match: true}}
`,
	}
	for name, src := range same {
		if got := mustParse(t, src)[0].Version; got != base {
			t.Errorf("%s: version changed:\n%s", name, mustParse(t, src)[0].canonical())
		}
	}
	other := map[string][2]string{
		"name":            {"name: a\n", "name: b\n"},
		"blanks in texts": {"'a  b'", "'a b'"},
		"expression":      {"1000", "1001"},
		"tables":          {"shop.items", "shop.item"},
		"operations":      {"[insert, update]", "[insert]"},
		"feeds":           {"[acme, globex]", "[acme]"},
		"mode":            {"to:", "mode: shadow\n  to:"},
		"on_error":        {"to:", "on_error: halt\n  to:"},
	}
	for name, change := range other {
		src := strings.Replace(same["layout"], change[0], change[1], 1)
		if src == same["layout"] {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got := mustParse(t, src)[0].Version; got == base {
			t.Errorf("%s: version did not change", name)
		}
	}
}

func TestCanonicalExpressionKeepsTexts(t *testing.T) {
	for src, want := range map[string]string{
		`a=="x // y"  // z`:          `a = = "x // y"`,
		"a == r'\\' && b":            `a = = r'\' & & b`,
		`a == 'it\'s  ok'`:           `a = = 'it\'s  ok'`,
		`a == """x " y""" && b`:      `a = = """x " y""" & & b`,
		"x in['a',b'c']":             "x in [ 'a' , b'c' ]",
		"after.`my  col` == br'\\x'": "after . `my  col` = = br'\\x'",
		"größe>1.5":                  "größe > 1 . 5",
	} {
		if got := canonicalExpr(src); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", src, got, want)
		}
	}
}

func TestDigestIsOfAllRulesInAnyOrder(t *testing.T) {
	const a, b = "  - {name: a, tables: [s.t], to: [x]}\n", "  - {name: b, tables: [s.t], to: [y]}\n"
	const head = "version: 1\nrules:\n"
	ab, ba := mustSet(t, head+a+b), mustSet(t, head+b+a)
	if ab.Digest() != ba.Digest() {
		t.Error("the order of rules changed the digest")
	}
	if ab.Digest() == mustSet(t, head+a).Digest() {
		t.Error("a rule less did not change the digest")
	}
	if got := ab.Only("x").Digest(); got != mustSet(t, head+a).Digest() {
		t.Error("Only(x) is not the set of rule a")
	}
	if got, want := ab.Feeds(), []string{"x", "y"}; !reflect.DeepEqual(got, want) {
		t.Errorf("feeds %v, want %v", got, want)
	}
	if got := len(ab.Only("z").Rules()); got != 0 {
		t.Errorf("Only(z) has %d rules", got)
	}
}

func TestTwoRulesOfOneNameInTwoFiles(t *testing.T) {
	var rs []*Rule
	for _, file := range []string{"a.yaml", "b.yaml"} {
		r, err := Parse(file, []byte("version: 1\nrules:\n  - name: r\n    tables: [s.t]\n    to: [x]\n"))
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r...)
	}
	_, err := New(rs)
	want := "b.yaml:3:11: error CDCD-2106: there are two rules 'r'\n   3 |   - name: r\n     |           ^ the first is at a.yaml:3:11"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestDecimalsBehaveLikeRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?0{0,3}[0-9]{1,20}(\.[0-9]{1,12})?`)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		ra, _ := new(big.Rat).SetString(a)
		rb, _ := new(big.Rat).SetString(b)
		da, db := decimal(a), decimal(b)
		if got, want := da.compare(db), ra.Cmp(rb); got != want {
			t.Fatalf("compare(%s, %s) = %d, want %d", a, b, got, want)
		}
		for sign, results := range map[string][2]any{
			"+": {da.Add(db), new(big.Rat).Add(ra, rb)}, "-": {da.Subtract(db), new(big.Rat).Sub(ra, rb)},
			"*": {da.Multiply(db), new(big.Rat).Mul(ra, rb)}, "negated": {da.Negate(), new(big.Rat).Neg(ra)},
		} {
			got, ok := results[0].(decimal)
			if !ok {
				t.Fatalf("%s %s %s: %v", a, sign, b, results[0])
			}
			if r, ok := new(big.Rat).SetString(string(got)); !ok || r.Cmp(results[1].(*big.Rat)) != 0 {
				t.Fatalf("%s %s %s = %s, want %s", a, sign, b, got, results[1])
			}
			if _, err := parseDecimal(string(got)); err != nil {
				t.Fatalf("%s %s %s = %s: %v", a, sign, b, got, err)
			}
		}
	})
}

func TestDecimalsDoNotGrowWithoutEnd(t *testing.T) {
	d := decimal(strings.Repeat("9", maxDecimal))
	if v := d.Multiply(d); !types.IsError(v) {
		t.Errorf("a product of %d digits", len(v.(decimal)))
	}
	if v := d.Add(d); !types.IsError(v) {
		t.Errorf("a sum of %d digits", len(v.(decimal)))
	}
}

// The road to a column's value that costs nothing is not documented by CEL: if it is ever lost, this test says so.
func TestReadingAColumnDoesNotAllocateForItself(t *testing.T) {
	tables := mustTables(t, ordersSchema)
	set := mustSet(t, one("after.customer_id == 7 && after.country == 'ZZ'"))
	e := readEvent(t, tables, `{"op":"insert","after":{"id":1,"customer_id":8,"status":"new","total":"1.00","country":"US","created":"2026-01-01T00:00:00Z"}}`)
	set.Decide(e)
	if n := testing.AllocsPerRun(1000, func() { set.Decide(e) }); n > 2 {
		t.Errorf("a rule that does not match allocates %v times per event", n)
	}
}

func TestEventsThatNoRuleNamesCostNothing(t *testing.T) {
	tables := mustTables(t, ordersSchema)
	set := mustSet(t, one("true"))
	e := readEvent(t, tables, `{"op":"delete","before":{"id":1}}`)
	set.Decide(e)
	if n := testing.AllocsPerRun(1000, func() { set.Decide(e) }); n != 0 {
		t.Errorf("an event that no rule names allocates %v times", n)
	}
}

func TestATableThatChangedIsAnErrorOfTheRule(t *testing.T) {
	old := mustTables(t, ordersSchema)
	changed := mustTables(t, strings.Replace(ordersSchema, "total: decimal", "amount: decimal", 1))
	set := mustSet(t, one("after.total >= 10"))
	if _, err := set.Check(old); err != nil {
		t.Fatal(err)
	}
	before := readEvent(t, old, `{"op":"insert","after":{"id":1,"total":"10.00"}}`)
	after := readEvent(t, changed, `{"op":"insert","after":{"id":1,"amount":"10.00"}}`)
	for range 2 { // old rows can follow new ones, when a log is read again
		if d := set.Decide(before); len(d.Matches) != 1 || len(d.Errors) != 0 {
			t.Errorf("before: %s", printDecision(d))
		}
		d := set.Decide(after)
		got := printDecision(d)
		want := "    r: dead_letter: CDCD-2203: the rule does not fit shop.orders as it is now: orders has no column 'total'\n"
		if got != want {
			t.Errorf("after:\ngot  %swant %s", got, want)
		}
		var e *cdc.Error
		if !errors.As(d.Errors[0].Err, &e) || e.Code != codeStale {
			t.Errorf("the error is %#v", d.Errors[0].Err)
		}
	}
}

func TestTablesOfOneDefinitionAreCompiledOnce(t *testing.T) {
	set := mustSet(t, one("after.total >= 10"))
	seen := map[*tablePlan]bool{}
	for range 100 {
		tables := mustTables(t, ordersSchema)
		seen[set.plans.of(tables[0])] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d plans of one definition", len(seen))
	}
}

func TestMemoryOfTablesIsBounded(t *testing.T) {
	set := mustSet(t, one("after.total >= 10"))
	base := *mustTables(t, ordersSchema)[0]
	for i := range maxPointers + 500 {
		table := base // one pointer each, as from batches opened without a memory of tables
		if i%1000 == 0 {
			table.Columns = append([]cdc.Column{{Name: fmt.Sprint("c", i), Kind: cdc.KindInt64}}, base.Columns...)
		}
		set.plans.of(&table)
	}
	n := 0
	set.plans.known.Load().Range(func(_, _ any) bool { n++; return true })
	if n > maxPointers {
		t.Errorf("%d tables are remembered", n)
	}
}

func TestManyGoroutinesMayDecide(t *testing.T) {
	tables := mustTables(t, ordersSchema)
	set := mustSet(t, one("after.total >= 10 && after.note != null && changed('status')"))
	events := []cdc.Event{
		readEvent(t, tables, `{"op":"insert","after":{"id":1,"status":"new","total":"10.00","note":"x"}}`),
		readEvent(t, tables, `{"op":"insert","after":{"id":1,"status":"new","total":"9.00","note":"x"}}`),
		readEvent(t, tables, `{"op":"update","before":{"id":1},"after":{"id":1,"status":"new","total":"10.00","note":"x"}}`),
	}
	want := []string{"    r → acme\n", "    –\n", "    r: dead_letter: CDCD-2201: column status is not in the row image\n"}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() { // waited for below
			defer wg.Done()
			for i := range 300 {
				n := (i + g) % len(events)
				if got := printDecision(set.Decide(events[n])); got != want[n] {
					t.Errorf("got %s want %s", got, want[n])
					return
				}
			}
		}()
	}
	wg.Wait()
}

func TestARuleThatFailsHidesNoOther(t *testing.T) {
	tables := mustTables(t, ordersSchema)
	var src strings.Builder
	src.WriteString("version: 1\nrules:\n")
	for i := range 6 {
		when := []string{"after.total >= 10", "after.note > 'a'"}[i%2]
		fmt.Fprintf(&src, "  - {name: r%d, tables: [shop.orders], to: [acme], on: [insert], when: \"%s\"}\n", i, when)
	}
	d := mustSet(t, src.String()).Decide(readEvent(t, tables, `{"op":"insert","after":{"id":1,"total":"10.00"}}`))
	var matched, failed []string
	for _, m := range d.Matches {
		matched = append(matched, m.Name)
	}
	for _, e := range d.Errors {
		failed = append(failed, e.Rule.Name)
	}
	if !reflect.DeepEqual(matched, []string{"r0", "r2", "r4"}) || !reflect.DeepEqual(failed, []string{"r1", "r3", "r5"}) {
		t.Errorf("matched %v, failed %v", matched, failed)
	}
}

// A hostile rule can take time, but only so much, and the same on every machine.
func TestHostileRulesAreBounded(t *testing.T) {
	tables := mustTables(t, `
tables:
  shop.orders:
    columns: {id: int not null, doc: json not null, body: longtext not null}
`)
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + "]"
	body := strings.Repeat("a", 200_000)
	e := readEvent(t, tables, fmt.Sprintf(`{"op":"insert","after":{"id":1,"doc":%s,"body":%q}}`, list, body))
	for _, when := range []string{
		"after.doc.all(a, after.doc.all(b, after.doc.all(c, a + b + c > 0)))",
		"after.doc.map(a, after.doc.map(b, after.doc)).size() == 0",
		"after.doc.exists(a, after.body.matches('(a|aa)*b'))",
		"after.doc.exists(a, after.body.contains('aaaaaaaaaaaaaaaaaaaaaaaab'))",
		"after.doc.map(a, after.body + after.body).size() == 0",
		"after.doc.exists(a, after.body.lowerAscii().upperAscii().trim() == '')",
		"after.doc.exists(b, after.doc.exists(a, (a + 5) in after.doc))",
	} {
		set := mustSet(t, one(when))
		if _, err := set.Check(tables); err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		d := set.Decide(e)
		if len(d.Errors) != 1 || !strings.Contains(d.Errors[0].Err.Error(), codeCost) {
			t.Errorf("%s: %s", when, printDecision(d))
		}
	}
}

// Conditions mean what plain CEL means: the oracle is a program without any of our options, over a map.
func TestConditionsMeanWhatCELMeans(t *testing.T) {
	tables := mustTables(t, `
tables:
  shop.orders:
    columns: {i: int, u: int unsigned, f: double, s: varchar(20), m: "enum('a','b')"}
`)
	env, err := cel.NewEnv(cel.Variable("after", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		t.Fatal(err)
	}
	ints := []any{nil, int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1) << 53}
	uints := []any{nil, uint64(0), uint64(1), uint64(math.MaxUint64)}
	floats := []any{nil, 0.0, math.Copysign(0, -1), 1.0, 1.5, -1.0, 9007199254740992.0, 1e300}
	texts := []any{nil, "", "a", "b", "A", "É", "日本"}
	atoms := []string{"after.i == 1", "after.i != 1", "after.i < 1", "after.i >= 9007199254740992", "after.i in [0, 1]", "after.i in [0, null]", "after.u == 1u",
		"after.u > 0u", "after.u in [1u, 18446744073709551615u]", "after.f == 1.0", "after.f <= 1.5", "after.f in [1.5, 0.0]", "after.f != 0.0",
		"after.s == 'a'", "after.s < 'b'", "after.s.startsWith('a')", "after.s.matches('^[a-z]?$')", "after.s in ['a', '日本']", "size(after.s) > 1",
		"after.m == 'a'", "after.m != 'b'", "after.s == after.m", "after.i == null", "after.s != null", "after.i + 1 > 0", "10 / after.i > 1", "after.s + 'x' == 'ax'",
		"after.i == (after.i > 0 ? 1 : 2)", "after.s.contains(after.m)", "[1, 2].exists(x, x == after.i)", "after.i % 2 == 1"}
	rapid.Check(t, func(t *rapid.T) {
		var expr func(depth int) string
		expr = func(depth int) string {
			switch n := rapid.IntRange(0, 5).Draw(t, "shape"); {
			case depth == 0 || n < 2:
				return rapid.SampledFrom(atoms).Draw(t, "atom")
			case n == 2:
				return "!(" + expr(depth-1) + ")"
			case n == 3:
				return "(" + expr(depth-1) + " && " + expr(depth-1) + ")"
			case n == 4:
				return "(" + expr(depth-1) + " || " + expr(depth-1) + ")"
			default:
				return "(" + expr(depth-1) + " ? " + expr(depth-1) + " : " + expr(depth-1) + ")"
			}
		}
		when := expr(3)
		values := map[string]any{"i": rapid.SampledFrom(ints).Draw(t, "i"), "u": rapid.SampledFrom(uints).Draw(t, "u"), "f": rapid.SampledFrom(floats).Draw(t, "f"),
			"s": rapid.SampledFrom(texts).Draw(t, "s"), "m": rapid.SampledFrom([]any{nil, "a", "b"}).Draw(t, "m")}
		row := map[string]any{}
		for k, v := range values {
			if v != nil {
				row[k] = v
			} else {
				row[k] = types.NullValue
			}
		}
		ast, issues := env.Compile(when)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		prg, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		want := "error"
		if out, _, err := prg.Eval(map[string]any{"after": row}); err == nil {
			want = fmt.Sprint(out.Value())
		}

		rs, err := Parse("rules.yaml", []byte(one(when)))
		if err != nil {
			t.Fatal(err)
		}
		set, _ := New(rs)
		if _, err := set.Check(tables); err != nil {
			t.Fatalf("%v", err)
		}
		var b cdc.Builder
		b.Reset(cdc.Header{})
		info := cdc.EventInfo{Op: cdc.OpInsert, Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(tables[0])}
		b.BeginRow(len(tables[0].Columns))
		for i, c := range tables[0].Columns {
			switch v := values[c.Name].(type) {
			case nil:
				b.SetNull(i)
			case int64:
				b.SetInt(i, v)
			case uint64:
				b.SetUint(i, v)
			case float64:
				b.SetFloat(i, v)
			case string:
				b.SetText(i, c.Kind, v)
			}
		}
		info.After = b.EndRow()
		b.AddEvent(info)
		batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{1}}), nil)
		if err != nil {
			t.Fatal(err)
		}
		d := set.Decide(batch.Event(0))
		got := fmt.Sprint(len(d.Matches) == 1)
		if len(d.Errors) > 0 {
			got = "error"
		}
		if got != want {
			t.Fatalf("%s with %v: got %s (%v), CEL says %s", when, values, got, d.Errors, want)
		}
	})
}
