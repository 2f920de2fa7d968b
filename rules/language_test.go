package rules

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// double returns twice a number, and near whether two texts begin alike.
func ownLanguage(t *testing.T, version int) *Language {
	t.Helper()
	l, err := NewLanguage(
		Func{Name: "twice", Args: []Type{Decimal}, Result: Decimal, Version: version, Call: func(args []any) (any, error) {
			d, err := parseDecimal(args[0].(string))
			return string(d.Add(d).(decimal)), err
		}},
		Func{Name: "near", Args: []Type{Text, Text}, Result: Bool, Call: func(args []any) (any, error) {
			a, b := args[0].(string), args[1].(string)
			if a == "" || b == "" {
				return nil, errors.New("one of the texts is empty")
			}
			return a[0] == b[0], nil
		}},
		Func{Name: "age", Args: []Type{Timestamp, Int}, Result: Duration, Call: func(args []any) (any, error) {
			return time.Duration(args[1].(int64)) * time.Hour, nil
		}},
		Func{Name: "wrong", Result: Int, Call: func([]any) (any, error) { return "x", nil }},
	)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const ownTables = `tables: {a.b: {columns: {id: int not null, total: "decimal(10,2)", name: varchar(10), at: timestamp}}}`

func TestFunctionsOfTheEmbeddingProgram(t *testing.T) {
	tables := mustTables(t, ownTables)
	e := readEvent(t, tables, `{"op":"insert","after":{"id":2,"total":"5.00","name":"Ada","at":"2026-01-01T00:00:00Z"}}`)
	null := readEvent(t, tables, `{"op":"insert","after":{"id":2,"total":null,"name":""}}`)
	for _, tt := range []struct{ when, want, forNull string }{
		{"twice(after.total) >= 10", "match", "CDCD-2201: the condition cannot use NULL: after.total is NULL"},
		{"twice(6) > after.total && near(after.name, 'Abc')", "match", "CDCD-2201: the condition cannot use NULL: after.total is NULL"},
		{"near(after.name, 'Abc')", "match", "CDCD-2201: the condition failed: near(): one of the texts is empty"},
		{"near(after.name, 'x') || after.id == 2", "match", "match"},
		{"age(now, after.id) > duration('1h')", "match", "match"},
		{"age(after.at, 1) == duration('2h')", "", "CDCD-2201: the condition cannot use NULL: after.at is NULL"},
		{"wrong() == 1", "CDCD-2201: the condition failed: wrong() gave a string", "CDCD-2201: the condition failed: wrong() gave a string"},
	} {
		rs, err := ownLanguage(t, 1).Parse("rules.yaml", []byte(fmt.Sprintf("version: 1\nrules:\n  - {name: r, tables: [a.b], on: [insert], to: [x], when: \"%s\"}\n", tt.when)))
		if err != nil {
			t.Fatalf("%s: %v", tt.when, err)
		}
		set, err := New(rs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.Check(tables); err != nil {
			t.Errorf("%s: %v", tt.when, err)
		}
		for event, want := range map[string]string{"e": tt.want, "null": tt.forNull} {
			d := set.Decide(map[string]cdc.Event{"e": e, "null": null}[event])
			got := ""
			switch {
			case len(d.Matches) > 0:
				got = "match"
			case len(d.Errors) > 0:
				got = d.Errors[0].Err.Error()
			}
			if got != want {
				t.Errorf("%s on %s: got %q, want %q", tt.when, event, got, want)
			}
			checkExplanation(t, set, d, set.ExplainAll(d.Event)[0])
		}
	}
}

func TestCallsOfFunctionsAreChecked(t *testing.T) {
	tables := mustTables(t, ownTables)
	for when, want := range map[string]string{
		"near(after.name)":                 "error CDCD-2108: near() takes 2 values, not 1",
		"near(after.name, after.id)":       "error CDCD-2108: after.id is a whole number (int); near() takes text here",
		"near(after.name, 5)":              "error CDCD-2108",
		"twice(after.id) > 1":              "error CDCD-2108: after.id is a whole number (int); twice() takes a decimal number here",
		"nearly(after.name, 'a')":          "error CDCD-2109: there is no function 'nearly'",
		"after.name.near('a')":             "error CDCD-2109: there is no function 'near'",
		"twice(after.total) == after.name": "error CDCD-2108",
	} {
		rs, err := ownLanguage(t, 1).Parse("rules.yaml", []byte(fmt.Sprintf("version: 1\nrules:\n  - {name: r, tables: [a.b], on: [insert], to: [x], when: \"%s\"}\n", when)))
		if err != nil {
			t.Fatal(err)
		}
		set, err := New(rs)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.Check(tables); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", when, err, want)
		}
	}
}

func TestVersionsNameTheFunctionsThatRulesCall(t *testing.T) {
	src := []byte("version: 1\nrules:\n  - {name: calls, tables: [a.b], on: [insert], to: [x], when: twice(after.total) > 1}\n  - {name: none, tables: [a.b], on: [insert], to: [x], when: after.id > 1}\n")
	parse := func(l *Language) []*Rule {
		rs, err := l.Parse("rules.yaml", src)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	one, again, two := parse(ownLanguage(t, 1)), parse(ownLanguage(t, 1)), parse(ownLanguage(t, 2))
	if one[0].Version != again[0].Version || one[0].Version == two[0].Version {
		t.Errorf("versions %s, %s and of another function %s", one[0].Version, again[0].Version, two[0].Version)
	}
	if plain := mustParse(t, "version: 1\nrules:\n  - {name: none, tables: [a.b], on: [insert], to: [x], when: after.id > 1}\n"); plain[0].Version != one[1].Version {
		t.Errorf("a rule that calls nothing has version %s, and %s in another language", plain[0].Version, one[1].Version)
	}
	if _, err := New([]*Rule{one[0], two[1]}); err == nil {
		t.Error("rules of two languages went into one set")
	}
}

func TestNamesOfFunctionsAreRefused(t *testing.T) {
	call := func([]any) (any, error) { return nil, nil }
	for _, f := range []Func{{Name: "size", Call: call}, {Name: "has", Call: call}, {Name: "after", Call: call}, {Name: "a-b", Call: call}, {Name: "in", Call: call}, {Name: "ok"},
		{Name: "ok", Result: 99, Call: call}} {
		if _, err := NewLanguage(f); err == nil {
			t.Errorf("%+v was taken", f.Name)
		}
	}
	if _, err := NewLanguage(Func{Name: "a", Call: call}, Func{Name: "a", Call: call}); err == nil {
		t.Error("two of one name were taken")
	}
}
