package rules

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestAnExplanationSaysWhatWasLookedUp(t *testing.T) {
	tables, err := ParseSchema("schema.yaml", []byte(`
tables:
  shop.orders: {columns: {id: int not null, customer_id: int, status: varchar(10)}, key: [id]}
  shop.customers: {columns: {id: int not null, name: varchar(20), tier: varchar(10)}, key: [id]}
`))
	if err != nil {
		t.Fatal(err)
	}
	// The source has customers 1, a vip, and 2, who is none. Of 3 nobody can say.
	source := func(q *cdc.Query) (*cdc.Answer, error) {
		id := q.Keys[0][0].Int64()
		if id == 3 {
			return nil, errors.New("the replica is down")
		}
		if id > 3 {
			return &cdc.Answer{Rows: [][]int{nil}}, nil
		}
		e, fail := newEvent(tables[1], eventSpec{op: cdc.OpSnapshot, after: map[string]any{"id": json.Number(strconv.FormatInt(id, 10)), "name": "Ada", "tier": map[bool]string{true: "vip", false: "basic"}[id == 1]}},
			func(image, column, msg, _ string) *Finding { return &Finding{Msg: msg} })
		if fail != nil {
			t.Fatal(fail)
		}
		return &cdc.Answer{Batch: e.Batch(), Rows: [][]int{{0}}, At: "0-1-7"}, nil
	}
	for _, tt := range []struct {
		name, spec, event string
		ask               LookUp
		outcome           Outcome
		want              string
	}{
		{"found", "where: row.tier == 'vip', missing: drop", `{"customer_id":1}`, source, Matched,
			"r matches because after.status is 'paid' | lookup |   ✓ customer in shop.customers by id = 1: one row |       {\"id\":1,\"name\":\"Ada\",\"tier\":\"vip\"}"},
		{"as it is delivered", "missing: drop}\n    select: [after.id, customer.id, customer.name]\n    mask: {customer.name: last4", `{"customer_id":1}`, source, Matched,
			"r matches because after.status is 'paid' | lookup |   ✓ customer in shop.customers by id = 1: one row |       {\"id\":1,\"name\":\"***\"}"},
		{"not as the rule wants", "where: row.tier == 'vip', missing: drop", `{"customer_id":2}`, source, NotMatched,
			"r does not match because look-up customer finds one row in shop.customers, of which none satisfies its where; its condition is true because after.status is 'paid'"},
		{"not there", "missing: drop", `{"customer_id":4}`, source, NotMatched, "r does not match because look-up customer finds no row in shop.customers"},
		{"not there, and it must be", "missing: error", `{"customer_id":4}`, source, Failing, "r fails: look-up customer found no row in shop.customers"},
		{"NULL", "missing: null", `{"customer_id":null}`, source, Matched, "a part of its key is NULL, so there is no row"},
		{"the source is down", "missing: drop", `{"customer_id":3}`, source, Undecided, "r matches if look-up customer finds what it should, but it could not be made: the replica is down"},
		{"nobody looks", "missing: drop", `{"customer_id":1}`, nil, Undecided, "r matches if customer is found as the rule wants, but nobody looked; its condition is true because"},
		{"nobody looks, and it does not matter", "missing: null", `{"customer_id":1}`, nil, Matched, "customer in shop.customers by id = 1: nobody looked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rs, err := Parse("rules.yaml", []byte("version: 1\nrules:\n  - name: r\n    tables: [shop.orders]\n    on: [insert]\n    when: after.status == 'paid'\n"+
				"    lookup:\n      customer: {table: shop.customers, by: {id: after.customer_id}, "+tt.spec+"}\n    to: [acme]\n"))
			if err != nil {
				t.Fatal(err)
			}
			set, err := New(rs)
			if err != nil {
				t.Fatal(err)
			}
			e, err := ParseEvent([]byte(`{"op":"insert","after":{"id":1,"status":"paid",`+tt.event[1:]+`}`), tables[:1])
			if err != nil {
				t.Fatal(err)
			}
			x := set.LookingIn(tt.ask).ExplainAll(e)[0]
			got := strings.Join(strings.FieldsFunc(x.String(), func(r rune) bool { return r == '\n' }), " | ")
			if x.Outcome != tt.outcome || !containsInOrder(got, strings.Split(tt.want, " | ")) {
				t.Errorf("got %s: %s", x.Outcome, got)
			}
		})
	}
}

func containsInOrder(text string, parts []string) bool {
	for _, part := range parts {
		_, rest, ok := strings.Cut(text, strings.TrimSpace(part))
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

func TestCoverageSeesWhatJudgesTheRowsOfLookUps(t *testing.T) {
	tables, err := ParseSchema("schema.yaml", []byte("tables: {shop.orders: {columns: {id: int not null, customer_id: int}, key: [id]}}"))
	if err != nil {
		t.Fatal(err)
	}
	looked, err := ParseSchema("looked.yaml", []byte("tables: {shop.customers: {columns: {id: int not null, tier: varchar(10), open: tinyint(1)}, key: [id]}}"))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Parse("rules.yaml", []byte(`version: 1
rules:
  - name: r
    tables: [shop.orders]
    on: [insert]
    lookup:
      customer: {table: shop.customers, by: {id: after.customer_id}, where: row.open, missing: drop}
    having: customer.tier == 'vip'
    to: [acme]
    tests:
      - name: vip
        event: {op: insert, after: {id: 1, customer_id: 7}}
        lookup: {customer: {id: 7, tier: vip, open: 1}}
        expect: {match: true}
      - name: closed
        base: vip
        lookup: {customer: {id: 7, tier: vip, open: 0}}
        expect: {match: false}
`))
	if err != nil {
		t.Fatal(err)
	}
	set, err := New(rs)
	if err != nil {
		t.Fatal(err)
	}
	all, found := set.Coverage(tables, looked...)
	want := []Part{{Text: "where of customer: row.open", True: 1, False: 1}, {Text: "having: customer.tier == 'vip'", True: 1}}
	if !reflect.DeepEqual(all[0].Parts, want) {
		t.Errorf("got  %+v\nwant %+v", all[0].Parts, want)
	}
	if len(found) != 1 || !strings.Contains(found[0].Error(), "rules.yaml:8:") || !strings.Contains(found[0].Error(), "in the tests of 'r', 'having' is never false") {
		t.Errorf("found %v", found)
	}
}
