package rules

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// withFilter returns the source of a rule file with one rule that has a filter.
func withFilter(filter string) string {
	return "version: 1\nrules:\n  - name: r\n    tables: [shop.orders]\n    on: [insert, update]\n    when: after.total >= 10\n" +
		"    filter: " + filter + "\n    to: [acme, globex]\n"
}

func TestTheConfigurationOfAPluginHasOneFormAndAllItsDigits(t *testing.T) {
	for src, want := range map[string]string{
		`{plugin: p}`:               `{}`,
		`{plugin: p, config: {}}`:   `{}`,
		`{plugin: p, config: null}`: `{}`,
		`{plugin: p, config: {b: 1, a: {y: [x, ~, true], x: "1"}}}`:                                        `{"a":{"x":"1","y":["x",null,true]},"b":1}`,
		`{plugin: p, config: {n: 12345678901234567890.10, e: 1e3, big: 1_000_000, huge: -4e900, neg: -0}}`: `{"big":1000000,"e":1e3,"huge":-4e900,"n":12345678901234567890.10,"neg":-0}`,
		`{plugin: p, config: {"ü<&>": "a\"b\\\n\u2028", 1: x, day: 2026-01-01, "": ""}}`:                   "{\"\":\"\",\"1\":\"x\",\"day\":\"2026-01-01\",\"ü<&>\":\"a\\\"b\\\\\\n\u2028\"}",
		"\n      plugin: p\n      config:\n        text: |\n          two\n          lines\n":              `{"text":"two\nlines\n"}`,
	} {
		r := mustParse(t, withFilter(src))[0]
		want := &Filter{Plugin: "p", Config: []byte(want)}
		if !reflect.DeepEqual(r.Filter, want) {
			t.Errorf("%s\ngot  %s\nwant %s", src, r.Filter.Config, want.Config)
		}
	}
	if r := mustParse(t, withFilter("{plugin: p@"+digestA+", fallback: pass}"))[0]; !reflect.DeepEqual(r.Filter, &Filter{Plugin: "p", Digest: digestA, Config: []byte("{}"), Fallback: FallbackPass}) {
		t.Errorf("got %+v", r.Filter)
	}
}

func TestAConfigurationReadAgainIsTheSame(t *testing.T) {
	scalar := rapid.OneOf(rapid.Just("null"), rapid.Just("true"), rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?`),
		rapid.Map(rapid.StringMatching(`[ -~äß世\n\t]{0,12}`), func(s string) string { return string(cdc.AppendString(nil, s)) }))
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return scalar
		}
		inner := value(depth - 1)
		return rapid.OneOf(scalar,
			rapid.Map(rapid.SliceOfN(inner, 0, 4), func(items []string) string { return "[" + strings.Join(items, ", ") + "]" }),
			rapid.Map(rapid.MapOfN(rapid.StringMatching(`[ -~ä]{0,6}`), inner, 0, 4), func(m map[string]string) string {
				var parts []string
				for key, v := range m { // in any order
					parts = append(parts, string(cdc.AppendString(nil, key))+": "+v)
				}
				return "{" + strings.Join(parts, ", ") + "}"
			}))
	}
	rapid.Check(t, func(rt *rapid.T) {
		src := `{"a": ` + value(3).Draw(rt, "config") + `}`
		first := mustParse(t, withFilter("{plugin: p, config: "+src+"}"))[0].Filter.Config
		again := mustParse(t, withFilter("{plugin: p, config: "+string(first)+"}"))[0].Filter.Config
		if string(first) != string(again) || !sameJSON(rt, src, string(first)) {
			rt.Fatalf("%s\nbecomes %s\nand then %s", src, first, again)
		}
	})
}

func sameJSON(t *rapid.T, a, b string) bool {
	read := func(text string) (v any) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	return reflect.DeepEqual(read(a), read(b))
}

func TestWhatDecidesInAFilterIsPartOfTheVersion(t *testing.T) {
	base := mustParse(t, withFilter("{plugin: p, config: {a: 1, b: 2}}"))[0].Version
	if got := mustParse(t, withFilter("\n      fallback: halt  # the default\n      config: {b: 2, a: 1}\n      plugin: 'p'"))[0].Version; got != base {
		t.Error("layout, order and defaults changed the version")
	}
	for name, src := range map[string]string{"plugin": "{plugin: q, config: {a: 1, b: 2}}", "config": "{plugin: p, config: {a: 1, b: 2.0}}",
		"digest": "{plugin: p@" + digestA + ", config: {a: 1, b: 2}}", "fallback": "{plugin: p, config: {a: 1, b: 2}, fallback: drop}"} {
		if got := mustParse(t, withFilter(src))[0].Version; got == base {
			t.Errorf("%s: the version did not change", name)
		}
	}
}

// The version of a rule without a filter is what it was before there were filters.
func TestVersionsOfRulesWithoutAFilterAreForEver(t *testing.T) {
	got := mustParse(t, one("after.total >= 10"))[0].Version
	if want := "sha256:47ca7bc16a178ec6251c6b137c4fd73da2bb85555c8dd29f3d2242abdd8f0cdc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPinningMakesAnotherVersionAndKeepsTheRest(t *testing.T) {
	free, text := mustParse(t, withFilter("{plugin: p}"))[0], mustParse(t, withFilter("{plugin: p@"+digestA+"}"))[0]
	a, err := free.Pin(digestA)
	if err != nil {
		t.Fatal(err)
	}
	b, err := a.Pin(digestB)
	if err != nil {
		t.Fatal(err)
	}
	if a.Version != text.Version || a.Version == free.Version || b.Version == a.Version || free.Filter.Digest != "" || a.Filter.Digest != digestA || b.Filter.Digest != digestB {
		t.Errorf("versions %s, %s, %s, %s; digests %q, %q, %q", free.Version, text.Version, a.Version, b.Version, free.Filter.Digest, a.Filter.Digest, b.Filter.Digest)
	}
	if again, err := text.Pin(digestA); err != nil || again != text {
		t.Errorf("pinned to what it is pinned to: %v", err)
	}
	_, err = text.Pin(digestB)
	var f *Finding
	if !errors.As(err, &f) || f.Line != 7 || f.Code != codeValue || !strings.Contains(f.Suggestion, "p@"+digestB) {
		t.Errorf("another module than the text says: %v", err)
	}
	if _, err := free.Pin("sha256:12"); err == nil {
		t.Error("pinned to what is no digest")
	}
	plain := mustParse(t, one("true"))[0]
	if same, err := plain.Pin(digestA); err != nil || same != plain {
		t.Errorf("a rule without a filter: %v", err)
	}
}

func TestAPinnedRuleDecidesAndIsCutOutOfItsFileAsBefore(t *testing.T) {
	src := "version: 1\nrules:\n  # ours\n  - name: r\n    tables: [shop.orders]\n    on: [insert]\n    when: after.total >= 10\n    filter: {plugin: p}\n    to: [acme]\n"
	r := mustParse(t, src)[0]
	pinned, err := r.Pin(digestA)
	if err != nil {
		t.Fatal(err)
	}
	_, want := Split([]byte(src), []*Rule{r})
	if _, got := Split([]byte(src), []*Rule{pinned}); !reflect.DeepEqual(got, want) {
		t.Errorf("text %q, want %q", got, want)
	}
	tables := mustTables(t, ordersSchema)
	e := readEvent(t, tables, `{"op":"insert","after":{"id":1,"total":"10.00"}}`)
	first, err := New([]*Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	next, err := New([]*Rule{pinned})
	if err != nil {
		t.Fatal(err)
	}
	first.Decide(e)
	next = next.After(first)
	if got := next.Decide(e).Matches; len(got) != 1 || got[0].Version != pinned.Version {
		t.Errorf("decided %+v", got)
	}
	if first.Digest() == next.Digest() {
		t.Error("pinning did not change the digest of the set")
	}
	read := func(string) ([]byte, error) { return []byte(src), nil }
	if rec, err := next.Record(e, "r", "one", read); err == nil {
		t.Errorf("recorded without asking the plugin: %s", rec.Text)
	}
	asking := next.Asking(func(r *Rule, e cdc.Event) (Answer, error) {
		if r.Filter.Digest != digestA {
			t.Errorf("plugin %s is asked", r.Filter.Digest)
		}
		return Answer{Verdict: cdc.Verdict{Keep: true, Edits: &cdc.Edits{Tags: []string{"z", "a, b"}, Reason: "it's so", Columns: []cdc.ColumnEdit{
			{Column: "note", Value: cdc.TextValue(cdc.KindString, "x")}, {Column: "country", Drop: true}}}}}, nil
	})
	rec, err := asking.Record(e, "r", "one", read)
	if err != nil {
		t.Fatal(err)
	}
	expect := `expect: {match: true, to: [acme], reason: it's so, tags: ['a, b', z], after: {note: x}, without: [after.country]}`
	if !strings.Contains(string(rec.Text), expect) {
		t.Errorf("recorded\n%s\nwant %s", rec.Text, expect)
	}
}

func TestTheSetSaysWhichRulesHaveAPlugin(t *testing.T) {
	rule := func(name, more string) string {
		return "  - {name: " + name + ", tables: [s.t], to: [x]" + more + "}\n"
	}
	set := mustSet(t, "version: 1\nrules:\n"+rule("a", ", filter: {plugin: p}")+rule("b", "")+rule("c", ", filter: {plugin: p}, mode: shadow")+
		rule("d", ", filter: {plugin: p}, mode: 'off'")+rule("e", ", filter: {plugin: p}, mode: draft"))
	var got []string
	for _, r := range set.Filters() {
		got = append(got, r.Name)
	}
	if want := []string{"a", "c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAConfigurationIsNotEndless(t *testing.T) {
	_, err := Parse("rules.yaml", []byte(withFilter("{plugin: p, config: {a: '"+strings.Repeat("x", maxConfig)+"'}}")))
	want := "the configuration has 65544 bytes as JSON; at most 65536 are read"
	if err == nil || !strings.Contains(err.Error(), "rules.yaml:7:33: error CDCD-2111: "+want) {
		t.Errorf("got %.200v", err)
	}
}

// A document is what it says, not how it is written.
func TestATestExpectsJSONByItsMeaning(t *testing.T) {
	const src = `version: 1
rules:
  - name: r
    tables: [shop.t]
    on: [insert]
    filter: {plugin: p}
    to: [acme]
    tests:
      - name: same
        event: {op: insert, after: {id: 1, doc: {}}}
        expect: {after: {doc: {a: [1, 2.50], b: {c: null}}}}
      - name: another number
        event: {op: insert, after: {id: 1, doc: {}}}
        expect: {after: {doc: {a: [1, 2.5], b: {c: null}}}}
`
	tables := mustTables(t, "tables: {shop.t: {columns: {id: int not null, doc: json}}}")
	set := mustSet(t, src).Asking(func(*Rule, cdc.Event) (Answer, error) {
		edit := cdc.ColumnEdit{Column: "doc", Value: cdc.TextValue(cdc.KindJSON, `{"b": {"c": null}, "a": [1,2.50]}`)}
		return Answer{Verdict: cdc.Verdict{Keep: true, Edits: &cdc.Edits{Columns: []cdc.ColumnEdit{edit}}}}, nil
	})
	var got []bool
	for _, r := range set.Test(tables) {
		got = append(got, r.Passed)
	}
	if want := []bool{true, false}; !reflect.DeepEqual(got, want) {
		t.Errorf("passed %v, want %v", got, want)
	}
}

func TestTheIndexSaysWhosePluginJudgesEveryChange(t *testing.T) {
	rule := func(name, more string) string {
		return "  - {name: " + name + ", tables: [shop.orders], on: [insert, update], to: [x]" + more + "}\n"
	}
	set := mustSet(t, "version: 1\nrules:\n"+rule("every", ", filter: {plugin: p}")+rule("some", ", filter: {plugin: p}, when: after.id == 1")+rule("none", ""))
	got := map[string][2][]string{}
	for _, in := range set.Indexing(mustTables(t, ordersSchema)) {
		got[in.Rule.Name] = [2][]string{in.Any, in.Every}
	}
	want := map[string][2][]string{"every": {nil, {"plugin p"}}, "some": {{"after.id == 1"}, nil}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
