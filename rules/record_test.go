package rules

import (
	"errors"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

const recordTables = `tables:
  shop.orders: {columns: {id: int not null, status: "enum('new','paid','yes') not null", total: "decimal(10,2)", note: text, info: json, raw: blob, at: timestamp}, key: [id]}
`

const recordedFile = `# Rules of the shop.
version: 1
rules:
  - name: paid   # the first
    tables: [shop.orders]
    on: [insert, update]
    when: |
      after.status == 'paid'
        && after.total > 10 // a comment

    to: [acme]
    # tests come here
    tests:
      - name: one
        event: {op: insert, after: {id: 1, status: paid, total: "11.00"}}
        expect: {match: true}   # yes

  # The second rule.
  - name: all
    tables: [shop.*]
    when: now > after.at || op == 'delete'
    on: [insert, update]
    to: [acme, globex]

# The end.
`

func TestARecordedTestIsAddedToTheFileAndNothingElseChanges(t *testing.T) {
	tables := mustTables(t, recordTables)
	const event = `{"id":"0-1-17/0","op":"update","table":"shop.orders","key":{"id":42},"before":{"id":42,"status":"new","total":"1200.00","note":"a, b: c","info":null,"raw":null,"at":null},` +
		`"after":{"id":42,"status":"paid","total":"1200.00","note":"line\n\"two\" — ü 😀","info":{"a":[1,2.50,"x"],"b c":null},"raw":"AQID","at":"2026-01-01T00:00:00Z"},` +
		`"commit_time":"2026-11-21T02:00:00.123456Z","source":{"name":"shop","gtid":"0-1-17","file":"b","pos":4,"row":0,"no":1,"part_no":1}}`
	const rows = `before: {id: 42, status: new, total: "1200.00", note: 'a, b: c', info: null, raw: null, at: null}
          after: {id: 42, status: paid, total: "1200.00", note: "line\n\"two\" — ü \U0001F600", info: {a: [1, 2.50, x], b c: null}, raw: AQID, at: "2026-01-01T00:00:00Z"}
`
	set := mustSet(t, recordedFile)
	e, err := ParseEvent([]byte(event), tables)
	if err != nil {
		t.Fatal(err)
	}
	read := func(string) ([]byte, error) { return []byte(recordedFile), nil }
	for _, tt := range []struct{ rule, behind, want string }{
		{"paid", "expect: {match: true}   # yes\n", `      - name: event 0-1-17/0
        event:
          op: update
          table: shop.orders
          ` + rows + `        expect: {match: true, to: [acme]}
`},
		{"all", "    to: [acme, globex]\n", `    tests:
      - name: event 0-1-17/0
        event:
          op: update
          table: shop.orders
          commit_time: 2026-11-21T02:00:00.123456Z
          ` + rows + `        expect: {match: true, to: [acme, globex]}
`},
	} {
		got, err := set.Record(e, tt.rule, "", read)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		want := strings.Replace(recordedFile, tt.behind, tt.behind+tt.want, 1)
		if string(got.Text) != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.rule, got.Text, want)
		}
		if line := strings.Split(string(got.Text), "\n")[got.Line-1]; strings.TrimSpace(line) != "- name: event 0-1-17/0" {
			t.Errorf("%s: line %d is %s", tt.rule, got.Line, line)
		}
	}
	crlf := strings.ReplaceAll(recordedFile, "\n", "\r\n")
	got, err := mustSet(t, crlf).Record(e, "all", "x", func(string) ([]byte, error) { return []byte(crlf), nil })
	if err != nil || strings.Count(string(got.Text), "\n") != strings.Count(string(got.Text), "\r\n") {
		t.Errorf("line ends are mixed: %v\n%q", err, got.Text)
	}
}

func TestWhatCannotBeRecorded(t *testing.T) {
	tables := mustTables(t, recordTables)
	e := readEvent(t, tables, `{"op":"insert","after":{"id":1,"status":"new"}}`)
	partial, err := ParseEvent([]byte(`{"id":"0-1-1/0","op":"insert","table":"shop.orders","after":{"id":1,"status":"new"},`+
		`"commit_time":"2026-11-21T02:00:00Z","source":{"name":"shop","gtid":"0-1-1","file":"b","pos":4,"row":0,"no":1,"part_no":1}}`), tables)
	if err != nil {
		t.Fatal(err)
	}
	const file = `version: 1
rules:
  - {name: braces, tables: [shop.orders], on: [insert], to: [x]}
  - name: brackets
    tables: [shop.orders]
    on: [insert]
    to: [x]
    tests: [{name: a, event: {op: insert, after: {id: 1}}, expect: {match: true}}]
  - {name: elsewhere, tables: [crm.*], to: [x]}
  - name: absent
    tables: [shop.orders]
    on: [insert]
    when: has(after.note)
    to: [x]
`
	for _, tt := range []struct {
		event      cdc.Event
		rule, name string
		want, fix  string
	}{
		{e, "", "", "3 rules are for inserts of shop.orders: braces, brackets and absent", "say which: --rule braces"},
		{e, "braces", "", "event 0-1-1/0 cannot be made a test of rule 'braces': it is written in braces", "write the rule in block form, each key on a line of its own"},
		{e, "brackets", "b", "event 0-1-1/0 cannot be made a test of rule 'brackets': its tests are written in brackets", "write the rule in block form, each key on a line of its own"},
		{e, "brackets", "a", "event 0-1-1/0 cannot be made a test of rule 'brackets': it has a test 'a'", "give the test another name: --name …"},
		{e, "elsewhere", "", "rule 'elsewhere' is not for shop.orders", ""},
		{e, "braecs", "", "there is no rule 'braecs'", "did you mean 'braces'?"},
		{partial, "absent", "", "event 0-1-1/0 cannot be made a test of rule 'absent': as a test it comes out otherwise: 'event 0-1-1/0': the rule matches, but it should not", ""},
	} {
		_, err := mustSet(t, file).Record(tt.event, tt.rule, tt.name, func(string) ([]byte, error) { return []byte(file), nil })
		var coded *cdc.Error
		if !errors.As(err, &coded) || coded.What != tt.want || coded.Fix != tt.fix {
			t.Errorf("%s: got %+v\nwant %s; %s", tt.rule, err, tt.want, tt.fix)
		}
	}
}
