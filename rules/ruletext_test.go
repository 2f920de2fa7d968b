package rules

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

const writtenRule = `  # asked for by sales
  - name: paid # 😀
    tables: [shop.orders]
    on: [insert, update]
    when: |
      // 😀 big
      after.status == 'paid' && after.total >= 1000
    mode: draft
`

func TestARuleTextSaysWhatItIs(t *testing.T) {
	d := ReadRuleText(writtenRule)
	if d.Rule == nil || len(d.Found) > 0 {
		t.Fatalf("found %v", d.Found)
	}
	fields, err := json.Marshal(d.Fields())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"mode":"draft","name":"paid","on":["insert","update"],"tables":["shop.orders"],` +
		`"when":"// 😀 big\nafter.status == 'paid' \u0026\u0026 after.total \u003e= 1000\n"}`
	if string(fields) != want {
		t.Errorf("fields:\n got %s\nwant %s", fields, want)
	}
	if key, at := d.ConditionAt(strings.Index(d.Text, "status")); key != "when" || d.Condition(key)[at:at+6] != "status" {
		t.Errorf("status is at %s %d", key, at)
	}
	if key, _ := d.ConditionAt(strings.Index(d.Text, "insert")); key != "" {
		t.Errorf("what is in no condition is in %s", key)
	}
}

func TestFindingsOfARuleTextStandWhereTheyStand(t *testing.T) {
	tables := mustTables(t, completeTables)
	for _, tt := range []struct {
		name, from, to string // what is written otherwise
		at, inWhen     string // what is underlined
		code, mended   string
	}{
		{"a column", "after.total", "after.totl", "totl", "totl", "CDCD-2104", "after.total >= 1000"},
		{"an operator, behind letters of four bytes", "after.status ==", "after.status =", "=", "=", "CDCD-2107", "after.status == 'paid'"},
		{"a member", "'paid'", "'payd'", "'payd'", "'payd'", "CDCD-2115", "after.status == 'paid'"},
		{"an operation", "[insert, update]", "[insert, updat]", "updat", "", "CDCD-2103", ""},
		{"a key", "    on:", "    onn:", "onn", "", "CDCD-2102", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := ReadRuleText(strings.Replace(writtenRule, tt.from, tt.to, 1))
			found := d.Check(tables)
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			f := found[0]
			m := d.Mark(f)
			if got := d.Text[m.From:m.To]; got != tt.at || f.Code != tt.code {
				t.Errorf("%s underlines %q, want %s and %q", f.Code, got, tt.code, tt.at)
			}
			inWhen := ""
			if m.Key != "" {
				inWhen = d.Condition(m.Key)[m.KeyFrom:m.KeyTo]
			}
			if inWhen != tt.inWhen {
				t.Errorf("in the condition it underlines %q, want %q", inWhen, tt.inWhen)
			}
			if line := strings.Split(d.Text, "\n")[m.Line-1]; !strings.Contains(line, tt.at) {
				t.Errorf("line %d is %q", m.Line, line)
			}
			if tt.mended != "" && (len(f.Edits) == 0 || !strings.Contains(d.Mended(f), tt.mended)) {
				t.Errorf("mended it is\n%s", d.Mended(f))
			}
		})
	}
}

func TestARuleTextThatIsNoneSaysSo(t *testing.T) {
	for _, text := range []string{"", "\n", "x", "  - name: a\n    tables: [a.b]\n    mode: draft\n  - name: b\n    tables: [a.b]\n    mode: draft\n", "  - [1]\n", "\tx", "  - name: [\n", "]"} {
		d := ReadRuleText(text)
		if d.Rule != nil || len(d.Found) == 0 {
			t.Errorf("%q is rule %v with findings %v", text, d.Rule, d.Found)
		}
		for _, f := range d.Found {
			if m := d.Mark(f); m.From < 0 || m.To < m.From || m.To > len(text) {
				t.Errorf("%q: a finding at [%d, %d)", text, m.From, m.To)
			}
		}
		if d.Judging() != nil {
			t.Errorf("%q judges", text)
		}
	}
}

func TestFieldsOfARuleTextAreSetAndCommentsStay(t *testing.T) {
	for _, tt := range []struct{ name, field, value, from, to string }{
		{"a name", "name", `"big"`, "name: paid # 😀", "name: big # 😀"},
		{"a condition on lines of its own", "when", `"after.total >= 2000"`, "// 😀 big\n      after.status == 'paid' && after.total >= 1000\n", "after.total >= 2000\n"},
		{"the same condition", "when", `" // 😀 big\nafter.status == 'paid' && after.total >= 1000"`, "", ""},
		{"no condition", "when", `""`, "    when: |\n      // 😀 big\n      after.status == 'paid' && after.total >= 1000\n", ""},
		{"a feed", "to", `["acme"]`, "    mode: draft\n", "    to: [acme]\n    mode: draft\n"},
		{"a mode", "mode", `"shadow"`, "mode: draft", "mode: shadow"},
		{"a description, in its place", "description", `"Orders: paid"`, "# 😀\n", "# 😀\n    description: 'Orders: paid'\n"},
		{"look-ups", "lookup", `{"customer":{"table":"shop.customers","by":{"id":"after.id"},"columns":["tier"]}}`, "    mode: draft\n",
			"    lookup: {customer: {table: shop.customers, by: {id: after.id}, columns: [tier]}}\n    mode: draft\n"},
		{"operations", "on", `["delete"]`, "[insert, update]", "[delete]"},
		{"operations that are not said", "on", `null`, "    on: [insert, update]\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadRuleText(writtenRule).Set(tt.field, []byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(writtenRule, tt.from, tt.to, 1)
			if tt.field == "lookup" || tt.field == "to" { // behind what comes before it
				want = strings.Replace(strings.Replace(writtenRule, "1000\n", "1000\n"+strings.TrimSuffix(tt.to, "    mode: draft\n"), 1), "", "", 1)
			}
			if tt.field == "lookup" {
				got = strings.Replace(got, "lookup:\n      customer: {table", "lookup: {customer: {table", 1)
				got = strings.Replace(got, "columns: [tier]}\n", "columns: [tier]}}\n", 1)
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if _, err := ReadRuleText(writtenRule).Set("nam", []byte(`"x"`)); cdc.CodeOf(err) != "CDCD-2138" {
		t.Errorf("a field that there is not: %v", err)
	}
}

func TestARuleFromAnEventMatchesIt(t *testing.T) {
	tables := mustTables(t, completeTables)
	for _, tt := range []struct{ name, event, want string }{
		{"an update, by what it changed", `{"op":"update","table":"shop.orders","before":{"id":1,"status":"new","closed":0,"note":"x"},"after":{"id":1,"status":"it's","closed":0,"note":"y"}}`,
			"  - name: orders-update-2\n    tables: [shop.orders]\n    on: [update]\n    when: |\n      changed('status') && after.status == 'it\\'s' && changed('note')\n    mode: draft\n    tests:\n"},
		{"an insert, by what is few in kind", `{"op":"insert","table":"shop.orders","after":{"id":1,"status":"new","closed":1}}`,
			"  - name: orders-insert\n    tables: [shop.orders]\n    on: [insert]\n    when: |\n      after.status == 'new' && after.closed == 1\n    mode: draft\n    tests:\n"},
		{"a delete, by what was", `{"op":"delete","table":"shop.customers","before":{"id":1,"tier":"vip"}}`,
			"  - name: customers-delete\n    tables: [shop.customers]\n    on: [delete]\n    when: |\n      before.tier == 'vip'\n    mode: draft\n    tests:\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := ParseEvent([]byte(tt.event), tables)
			if err != nil {
				t.Fatal(err)
			}
			text, err := RuleFrom(e, []string{"orders-update"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(text, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", text, tt.want)
			}
			d := ReadRuleText(text)
			if found := d.Check(tables); found.Err() != nil {
				t.Errorf("found %v", found)
			}
			if v, err := d.Judging().Judge(e, d.Rule.Name); err != nil || v.Outcome != Matched {
				t.Errorf("it makes %v of its event (%v)", v, err)
			}
			for _, r := range d.Judging().Test(tables) {
				if !r.Passed {
					t.Errorf("its test: %v", r.Failure)
				}
			}
		})
	}
}

func TestWhatARuleAsksIsTheSameWhateverItsMode(t *testing.T) {
	ask := func(text string) string {
		d := ReadRuleText(text)
		if d.Rule == nil {
			t.Fatal(d.Found)
		}
		return d.Rule.Asks()
	}
	one := ask(writtenRule)
	for _, same := range []string{strings.Replace(writtenRule, "mode: draft", "to: [acme]", 1), strings.Replace(writtenRule, "// 😀 big", "// other words", 1),
		strings.Replace(writtenRule, "paid #", "other #", 1)} {
		if ask(same) != one {
			t.Errorf("asks otherwise:\n%s", same)
		}
	}
	if ask(strings.Replace(writtenRule, "1000", "1001", 1)) == one {
		t.Error("another condition asks the same")
	}
}

func TestVerdictsOfOneEvent(t *testing.T) {
	tables := mustTables(t, completeTables)
	set := mustSet(t, "version: 1\nrules:\n"+strings.Replace(writtenRule, "mode: draft", "to: [acme]", 1)+
		"  - {name: other, tables: [shop.customers], mode: shadow}\n  - {name: gone, tables: [shop.orders], on: [insert], when: before.id == 1, mode: shadow}\n"+
		"  - {name: kept, tables: [shop.orders], where: row.closed == 0, mode: shadow}\n")
	e, err := ParseEvent([]byte(`{"op":"insert","table":"shop.orders","after":{"id":1,"status":"paid","total":"1000.00","closed":0}}`), tables)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(set.Verdicts(e))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"gone":{"outcome":"error","error":{"code":"CDCD-2201","what":"'before' is empty on insert","fix":"ask first: before != null \u0026\u0026 …, or change 'on' of the rule"}},"kept":{"outcome":"match","change":"entered"},"paid":{"outcome":"match"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A keystroke costs a check of the whole rule and 20 verdicts.
func BenchmarkKeystroke(b *testing.B) {
	tables, err := ParseSchema("s", []byte(completeTables))
	if err != nil {
		b.Fatal(err)
	}
	e, err := ParseEvent([]byte(`{"op":"insert","table":"shop.orders","after":{"id":1,"status":"paid","total":"1000.00","closed":0}}`), tables)
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		d := ReadRuleText(strings.Replace(writtenRule, "1000", fmt.Sprint(n), 1))
		d.Check(tables)
		for range 20 {
			if _, err := d.Judging().Judge(e, "paid"); err != nil {
				b.Fatal(err)
			}
		}
	}
	if per := b.Elapsed() / time.Duration(max(b.N, 1)); per > 50*time.Millisecond {
		b.Errorf("a keystroke takes %v", per)
	}
}
