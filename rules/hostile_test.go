package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a rule costs before any event is bounded, too: reading, checking, linting and compiling it take no more than
// their limits allow, however it is written. Each of these is as large as the limits take, or larger.
func TestReadingAndCheckingHostileRulesIsBounded(t *testing.T) {
	tables := mustTables(t, `
tables:
  shop.orders:
    columns: {id: int not null, n: int, s: varchar(100), d: "decimal(12,2)", doc: json, at: datetime, e: "enum('a','b')"}
`)
	chain := func(operator, format string, n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(parts, operator)
	}
	for name, when := range map[string]string{
		"a long chain of and":         chain(" && ", "after.id != %d", 900),
		"a long chain of or":          chain(" || ", "after.n == %d", 900),
		"a long chain of not equal":   chain(" || ", "after.s != '%d'", 900),
		"a chain of both":             chain(" || ", "after.n > %d && after.n < 7", 500),
		"a chain of ?:":               chain(" ", "after.id == %d ? true :", 50) + " false",
		"a long list":                 "after.n in [" + chain(", ", "%d", 2500) + "]",
		"a long list of texts":        "after.e in [" + chain(", ", "'%d'", 1200) + "]",
		"a long sum":                  chain(" + ", "after.n", 1) + " + " + chain(" + ", "%d", 2000) + " > 1",
		"deep parentheses":            strings.Repeat("(", 8000) + "true" + strings.Repeat(")", 8000),
		"deep not":                    strings.Repeat("!", 15_000) + "true",
		"deep minus":                  strings.Repeat("-", 15_000) + "1 > 0",
		"deep members":                "after.doc" + strings.Repeat(".a", 7000) + " == 1",
		"deep optional members":       "after.doc" + strings.Repeat(".?a", 50) + ".orValue(1) == 1",
		"deep lists":                  strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + " == []",
		"deep indexes":                "after.doc" + strings.Repeat("[0]", 5000) + " == 1",
		"deep calls":                  strings.Repeat("string(", 2000) + "1" + strings.Repeat(")", 2000) + " == ''",
		"nested coalesce":             strings.Repeat("coalesce(after.n, ", 55) + "0" + strings.Repeat(")", 55) + " > 1",
		"a long coalesce":             "coalesce(" + strings.Repeat("after.n, ", 1500) + "0) > 1",
		"a coalesce of long ones":     "coalesce(" + strings.Repeat("coalesce("+strings.Repeat("after.n, ", 30)+"after.n), ", 30) + "0) > 1",
		"many columns":                "anyChanged([" + strings.TrimSuffix(strings.Repeat("'id', ", 2500), ", ") + "])",
		"many macros":                 chain(" && ", "[1].exists(x, x == %d)", 600),
		"nested macros":               strings.Repeat("[1].exists(x, ", 50) + "true" + strings.Repeat(")", 50),
		"an optMap of an optMap":      "after.doc" + strings.Repeat(".?a.optMap(x, x)", 50) + ".hasValue()",
		"a large pattern":             "after.s.matches('(((a{1,100}){1,100}){1,100})')",
		"a pattern of alternatives":   "after.s.matches('" + strings.Repeat("a|", 7000) + "')",
		"many patterns":               chain(" || ", "after.s.matches('^(a|b)+%d$')", 400),
		"a text of escapes":           "after.s == '" + strings.Repeat(`\x41`, 4000) + "'",
		"quotes that never close":     strings.Repeat("'a' ' ", 3000),
		"garbage":                     strings.Repeat("?{[(&|=", 2000),
		"keywords":                    strings.Repeat("and or not ", 1500),
		"names that are nearly ours":  chain(" && ", "afte%d.statu == 1", 600),
		"columns that are nearly so":  chain(" && ", "after.doc%d == 1", 900),
		"contradictions all the way":  chain(" && ", "after.id == %d", 900),
		"json paths all the way":      chain(" && ", "after.doc.a%d.b == 1", 700),
		"nulls all the way":           chain(" && ", "(after.n != %d)", 800),
		"unequal texts of large size": "after.s != '" + strings.Repeat("x", 15_000) + "'",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			rs, err := Parse("rules.yaml", []byte(one(when)))
			read := time.Since(began)
			if err == nil {
				set, err := New(rs)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = set.Check(tables)
				checked := time.Since(began)
				set.Decide(readEvent(t, tables, `{"op":"insert","after":{"id":1,"n":1,"s":"a","doc":{}}}`))
				t.Logf("read %v, checked %v, decided %v", read, checked-read, time.Since(began)-checked)
			} else {
				t.Logf("refused after %v: %.120s", read, err)
			}
			// Seconds at most: a cost that grows with the square of the size takes hours.
			if took := time.Since(began); took > 3*time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}
