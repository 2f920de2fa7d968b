package pluginkit

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

const schemaYAML = `tables:
  shop.orders:
    columns: {id: bigint unsigned not null, status: "enum('new','paid')", total: "decimal(12,2)", note: text}
    key: [id]
`

func TestATestFileIsRead(t *testing.T) {
	tests, err := parseTests("t.yaml", []byte(schemaYAML+`
config: {threshold: 100}
max_fuel: 5000
tests:
  - name: kept
    event: {op: insert, after: {id: 1, status: paid, total: "120"}}
    expect:
      verdict: keep
      set: {after.note: large, after.total: null}
      drop: [after.status]
      tags: [a, b]
      reason: large
      route: [z, a]
  - name: with its own configuration
    config: {}
    max_fuel: 7
    event: {op: delete, table: shop.orders, before: {id: 1}, commit_time: 2026-11-21T10:00:00Z}
    expect: {verdict: error, error: no}
  - name: expects nothing yet
    event: {op: update, captured: true, before: {id: 1}, after: {id: 1}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		name, config, event string
		expect              *Outcome
		fuel                int64
	}
	var got []row
	for _, x := range tests {
		shown := x.Event.Op().String() + " " + x.Event.Table().String() + " " + x.Event.CommitTime().Format("2006-01-02")
		for _, r := range []struct {
			name string
			has  bool
		}{{"before", x.Event.Before().Exists()}, {"after", x.Event.After().Exists()}} {
			if r.has {
				shown += " " + r.name
			}
		}
		got = append(got, row{x.Name, string(x.Config), shown, x.Expect, x.MaxFuel})
	}
	want := []row{
		{"kept", `{"threshold":100}`, "insert shop.orders 2026-01-01 after", &Outcome{Verdict: Keep,
			Set: map[string]json.RawMessage{"after.note": json.RawMessage(`"large"`), "after.total": json.RawMessage("null")}, Drop: []string{"after.status"},
			Tags: []string{"a", "b"}, Reason: "large", Route: []string{"a", "z"}}, 5000},
		{"with its own configuration", "{}", "delete shop.orders 2026-11-21 before", &Outcome{Verdict: Failed, Error: "no"}, 7},
		{"expects nothing yet", `{"threshold":100}`, "update shop.orders 2026-01-01 before after", nil, 5000},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if v, _ := tests[2].Event.After().Get("note"); !v.IsAbsent() {
		t.Errorf("a column that was not captured is %s", v)
	}
	if v, _ := tests[0].Event.After().Get("note"); !v.IsNull() {
		t.Errorf("a column that is not given is %s", v)
	}
}

func TestWhatIsWrongInATestFileIsSaidWithItsPlace(t *testing.T) {
	for _, row := range []struct{ name, tests, want string }{
		{"unknown key", "- {nam: x}", `t.yaml:6:4: error CDCD-2554: unknown key 'nam'|did you mean 'name'?`},
		{"unknown column", "- {name: x, event: {op: insert, after: {amont: 1}}}", `t.yaml:6:41: error CDCD-2554: orders has no column 'amont'`},
		{"wrong value", "- {name: x, event: {op: insert, after: {total: 1.5}}}", `t.yaml:6:48: error CDCD-2554: 1.5 is not a value of total (decimal(12,2))|write the digits in quotes`},
		{"no image", "- {name: x, event: {op: insert}}", `t.yaml:6:20: error CDCD-2554: the event of an insert needs 'after'`},
		{"wrong op", "- {name: x, event: {op: upsert, after: {id: 1}}}", `t.yaml:6:25: error CDCD-2554: 'upsert' is not a known operation`},
		{"wrong table", "- {name: x, event: {op: insert, table: shop.order, after: {id: 1}}}", `t.yaml:6:40: error CDCD-2554: no known table is called 'shop.order'|did you mean 'shop.orders'?`},
		{"wrong verdict", "- {name: x, event: {op: insert, after: {id: 1}}, expect: {verdict: keeps}}", `t.yaml:6:68: error CDCD-2554: 'keeps' is not a verdict|did you mean 'keep'?`},
		{"edits of what is dropped", "- {name: x, event: {op: insert, after: {id: 1}}, expect: {verdict: drop, tags: [a]}}", `with the verdict drop there is no 'tags'`},
		{"no image of an edit", "- {name: x, event: {op: insert, after: {id: 1}}, expect: {verdict: keep, set: {note: a}}}", `'note' is not a column of an image|write after.note`},
		{"no fuel", "- {name: x, max_fuel: 0, event: {op: insert, after: {id: 1}}}", `a budget of fuel is a number above 0`},
		{"twice", "- {name: x, event: {op: insert, after: {id: 1}}}\n- {name: x, event: {op: insert, after: {id: 1}}}", `t.yaml:7:10: error CDCD-2554: two tests are called 'x'`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parseTests("t.yaml", []byte(schemaYAML+"tests:\n"+row.tests+"\n"), nil)
			var found strictyaml.Errors
			if !errors.As(err, &found) {
				t.Fatalf("got %v", err)
			}
			for want := range strings.SplitSeq(row.want, "|") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%s\nwant\n%s", err, want)
				}
			}
		})
	}
	_, err := parseTests("t.yaml", []byte("tests: [{name: x, event: {op: insert, after: {}}}]"), nil)
	if err == nil || !strings.Contains(err.Error(), "--schema FILE") {
		t.Errorf("without tables: %v", err)
	}
}

func TestExpectationsAreWrittenIntoTheFile(t *testing.T) {
	for _, row := range []struct{ name, before, after string }{
		{"in place of another one", `tests:
  - name: a # the first
    event: {op: insert, after: {id: 1}}
    expect:
      verdict: drop

    max_fuel: 9

  # the second
  - name: b
    expect: {verdict: drop}
    event:
      op: insert
      after: {id: 2}
`, `tests:
  - name: a # the first
    event: {op: insert, after: {id: 1}}
    expect: {verdict: keep, set: {after.note: 'x: y'}, tags: ["1", big]}

    max_fuel: 9

  # the second
  - name: b
    expect: {verdict: error, error: no}
    event:
      op: insert
      after: {id: 2}
`},
		{"where there is none", `tests:
- name: a
  event:
    op: insert
    after: {id: 1}

- name: b
  event: {op: insert, after: {id: 2}}`, `tests:
- name: a
  event:
    op: insert
    after: {id: 1}
  expect: {verdict: keep, set: {after.note: 'x: y'}, tags: ["1", big]}

- name: b
  event: {op: insert, after: {id: 2}}
  expect: {verdict: error, error: no}
`},
		{"first", `tests:
- expect: {verdict: drop,
    tags: []}
  name: a
  event: {op: insert, after: {id: 1}}
`, `tests:
- expect: {verdict: keep, set: {after.note: 'x: y'}, tags: ["1", big]}
  name: a
  event: {op: insert, after: {id: 1}}
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			outcomes := map[string]Outcome{
				"a": {Verdict: Keep, Set: map[string]json.RawMessage{"after.note": json.RawMessage(`"x: y"`)}, Tags: []string{"1", "big"}},
				"b": {Verdict: Failed, Error: "no"},
			}
			src := []byte(schemaYAML + row.before)
			var y testFileYAML
			doc, _ := strictyaml.Decode("t.yaml", src, &y, testCodes) // what is wrong does not matter here
			var tests []Test
			for i := range y.Tests {
				tests = append(tests, Test{Name: y.Tests[i].Name, place: doc.At("tests", i)})
			}
			out, err := Update("t.yaml", src, tests, outcomes)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != schemaYAML+row.after {
				t.Errorf("got\n%s\nwant\n%s", out, schemaYAML+row.after)
			}
			again, err := parseTests("t.yaml", out, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range again {
				if x.Expect == nil || len(outcomes[x.Name].meets(*x.Expect)) > 0 {
					t.Errorf("test %s expects %+v", x.Name, x.Expect)
				}
			}
		})
	}
	_, err := Update("t.yaml", []byte("tests: [{name: a}]"), nil, nil)
	if err != nil {
		t.Errorf("nothing to update: %v", err)
	}
}

func TestAPluginFileThatIsWrongIsSaidSoWithItsPlace(t *testing.T) {
	const good = "name: p\nversion: 1.0.0\noutput: p.wasm\n"
	for _, row := range []struct{ yaml, want string }{
		{"name: p\n", "output is missing|add 'output: …'"},
		{good + "image: both\n", "p/plugin.yaml:4:1: error CDCD-2550: unknown key 'image'|did you mean 'images'?"},
		{good + "images: all\n", "p/plugin.yaml:4:9: error CDCD-2550: 'all' is not known|one of after, before, both"},
		{good + "columns: [a, {name: b, kind: [int64]}]\n", "a column has no key 'kind'|did you mean 'kinds'?"},
		{good + "columns: [{name: b, kinds: [integer]}]\n", "'integer' is not a kind of values"},
		{good + "columns: [a, a]\n", "'a' is declared twice"},
		{good + "tables: [orders]\n", "write schema.table"},
		{good + "metrics: [Scored]\n", "'Scored' cannot be the name of a metric"},
		{good + "abi: cdc2\n", "write cdc1"},
		{"name: P\nversion: '1'\noutput: ../p.wasm\n", "'P' cannot be the name|'1' is not a version|'../p.wasm' is not a module in this folder"},
	} {
		_, err := parseProject("p", "p/plugin.yaml", []byte(row.yaml))
		if err == nil {
			t.Errorf("%q is taken", row.yaml)
			continue
		}
		for want := range strings.SplitSeq(row.want, "|") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got\n%s\nwant\n%s", err, want)
			}
		}
	}
	p, err := parseProject("p", "p/plugin.yaml", []byte(good+"columns: [a, {name: b, optional: true}]\nconfig: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.Manifest), `{"abi":"cdc1","name":"p","version":"1.0.0","columns":["a",{"name":"b","optional":true}],"config":{}}`; got != want {
		t.Errorf("manifest %s, want %s", got, want)
	}
	if want := []Column{{"a", false}, {"b", true}}; !reflect.DeepEqual(p.Columns, want) {
		t.Errorf("columns %v", p.Columns)
	}
}

func TestJSONTestsAreUpdated(t *testing.T) {
	const src = `{"tables": {"a.b": {"columns": {"id": "int"}}}, "tests": [{"name": "x", "event": {"op": "insert", "after": {"id": 1}}}]}`
	file := filepath.Join(t.TempDir(), "t.json")
	out, err := Update(file, []byte(src), nil, map[string]Outcome{"x": {Verdict: Drop}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	tests, err := ReadTests([]string{file}, nil)
	if err != nil || len(tests) != 1 || tests[0].Expect == nil || tests[0].Expect.Verdict != Drop {
		t.Errorf("%v %v\n%s", tests, err, out)
	}
}
