package rules

import (
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

const completeTables = `tables:
  shop.orders: {columns: {id: bigint unsigned not null, status: "enum('new','paid','it''s') not null", total: "decimal(10,2)", note: text, closed: tinyint not null, placed: datetime,
    created: timestamp not null, tags: "set('vip','gift')", info: json, "größe": int}, key: [id]}
  shop.customers: {columns: {id: int not null, email: varchar(100), tier: "enum('std','vip') not null"}, key: [id]}
`

// completed returns the labels of what may be written at the ¦ of a condition, and the condition with the first of them.
func completed(t *testing.T, field, condition string) (labels []string, text string) {
	t.Helper()
	before, after, ok := strings.Cut(condition, "¦")
	if !ok {
		t.Fatalf("%q has no ¦", condition)
	}
	c := completionIn(t, field, before+after, len(before))
	for _, item := range c.Items {
		labels = append(labels, item.Label)
	}
	if len(c.Items) > 0 {
		whole := before + after
		text = whole[:c.From] + c.Items[0].Insert + whole[c.To:]
	}
	return labels, text
}

func completionIn(t *testing.T, field, condition string, at int) Completion {
	t.Helper()
	d := ReadRuleText("  - name: a\n    tables: [shop.orders]\n    lookup:\n      customer: {table: shop.customers, by: {id: after.id}}\n    mode: draft\n    tests: []\n")
	value := cdc.AppendString(nil, condition)
	src, err := d.place.At(field).Set(value)
	if err != nil {
		t.Fatal(err)
	}
	d = ReadRuleText(string(src[len(textHead):]))
	if d.Condition(field) != condition {
		t.Fatalf("the condition is %q, not %q", d.Condition(field), condition)
	}
	return d.CompleteCondition(field, at, Known{Tables: mustTables(t, completeTables), About: func(t *cdc.Table, column string) (string, []string) {
		switch column {
		case "note":
			return "what the customer wrote", []string{"'please'", "null"}
		case "total":
			return "", []string{"120.50", "null"}
		}
		return "", nil
	}})
}

func TestCompletion(t *testing.T) {
	const columns = "id status total note closed placed created tags info"
	for _, tt := range []struct {
		name, field, at string
		labels          string // all of them; …: and more
		text            string // with the first
	}{
		{"the columns of a row", "when", "after.¦", columns, "after.id"},
		{"a column that is begun", "when", "after.st¦", "status", "after.status"},
		{"a part of a name", "when", "after.tot¦ > 1", "total", "after.total > 1"},
		{"in the middle of a name", "when", "after.to¦tal > 1", "total", "after.total > 1"},
		{"of the row before", "when", "op == 'update' && before.c¦", "closed created", "op == 'update' && before.closed"},
		{"of a condition on rows", "where", "row.ta¦", "tags", "row.tags"},
		{"there is no after on rows", "where", "af¦", "", ""},
		{"a column without its row", "when", "tota¦", "after.total", "after.total"},
		{"a column without its row, on rows", "where", "tota¦", "row.total", "row.total"},
		{"a column that needs brackets", "when", "grö¦", "after.größe", `after["größe"]`},
		{"in brackets", "when", "after['gr¦", "größe", "after['größe'"},
		{"members of an enum", "when", "after.status == ¦", "'new' 'paid' 'it\\'s' after…", "after.status == 'new'"},
		{"in a text that is begun", "when", "after.status == 'p¦", "'paid'", "after.status == 'paid'"},
		{"in a text that has its end", "when", "after.status == 'p¦'", "'paid'", "after.status == 'paid'"},
		{"in the quotes that are begun", "when", `after.status != "n¦`, `"new"`, `after.status != "new"`},
		{"in a list", "when", "after.status in ['new', '¦", "'new' 'paid' 'it\\'s'", "after.status in ['new', 'new'"},
		{"members of a set are not compared", "when", "'v¦' in after.tags", "", ""},
		{"what an operation may be", "when", "op == 'd¦", "'delete'", "op == 'delete'"},
		{"what the table may be", "when", "table == '¦", "'shop.orders'", "table == 'shop.orders'"},
		{"a flag", "when", "after.closed == f¦", "false", "after.closed == false"},
		{"values that were seen", "when", "after.total >= ¦", "120.50 after…", "after.total >= 120.50"},
		{"texts that were seen", "when", "after.note == '¦", "'please'", "after.note == 'please'"},
		{"NULL where there may be one", "when", "after.total == n¦", "null now…", "after.total == null"},
		{"no NULL where there is none", "when", "after.id == nul¦", "null", "after.id == null"}, // the constant, not a value
		{"columns that changed() takes", "when", "changed('st¦", "status", "changed('status'"},
		{"columns of a list of them", "when", "anyChanged(['id', '¦'])", columns + " größe", "anyChanged(['id', 'id'])"},
		{"the first argument only", "when", "increasedBy('total', ¦", "after before…", "increasedBy('total', after"},
		{"functions on texts", "when", "after.note.ends¦", "endsWith endsWithIgnoreCase", "after.note.endsWith("},
		{"functions on texts that take nothing", "when", "after.note.tr¦", "trim", "after.note.trim()"},
		{"functions on timestamps", "when", "now.getH¦", "getHours", "now.getHours("},
		{"functions on datetimes", "when", "after.placed.getH¦", "getHours", "after.placed.getHours()"},
		{"functions on lists", "when", "after.tags.exi¦", "exists exists_one", "after.tags.exists("},
		{"none on numbers", "when", "after.id.¦", "", ""},
		{"functions by their names", "when", "coal¦", "coalesce", "coalesce("},
		{"variables", "when", "¦", "after before op table now true false null…", "after"},
		{"behind an operator", "when", "after.id == 1 && ¦", "after before op table now true false null…", "after.id == 1 && after"},
		{"behind !", "when", "!after.cl¦", "closed", "!after.closed"},
		{"behind a negation", "when", "!(af¦", "after", "!(after"},
		{"look-ups", "having", "cust¦", "customer", "customer"},
		{"columns of what is looked up", "having", "customer.t¦", "tier", "customer.tier"},
		{"members of those", "having", "customer.tier == '¦", "'std' 'vip'", "customer.tier == 'std'"},
		{"in a comment there is nothing", "when", "true // after.¦", "", ""},
		{"in a number there is nothing", "when", "after.id > 12¦", "", ""},
		{"behind something broken", "when", "after.id == = && after.no¦", "note", "after.id == = && after.note"},
		{"behind letters of more bytes", "when", "after.note == '😀é' && after.cl¦", "closed", "after.note == '😀é' && after.closed"},
		{"on the second line", "when", "after.id == 1\n  && after.cl¦", "closed", "after.id == 1\n  && after.closed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			labels, text := completed(t, tt.field, tt.at)
			want, more := strings.CutSuffix(tt.labels, "…")
			words := strings.Fields(want)
			if more && len(labels) > len(words) {
				labels = labels[:len(words)]
			}
			if !slices.Equal(labels, words) || text != tt.text {
				t.Errorf("got  %s\n     %s\nwant %s\n     %s", strings.Join(labels, " "), text, want, tt.text)
			}
		})
	}
}

func TestCompletionTellsAboutColumnsAndFunctions(t *testing.T) {
	got := completionIn(t, "when", "after.note", len("after.note")).Items[0]
	want := Item{Label: "note", Kind: "column", Insert: "note", Detail: "text", Text: "what the customer wrote", Nullable: true, Samples: []string{"'please'", "null"}}
	if got.Label != want.Label || got.Kind != want.Kind || got.Insert != want.Insert || got.Detail != want.Detail || got.Text != want.Text || !got.Nullable || !slices.Equal(got.Samples, want.Samples) {
		t.Errorf("a column: %+v", got)
	}
	got = completionIn(t, "when", "changed", len("changed")).Items[0]
	if got.Detail != "changed('column') → bool" || got.Example != "changed('status') → true" || got.Text == "" {
		t.Errorf("a function: %+v", got)
	}
}

func TestCompletionOfTheFieldsOfARule(t *testing.T) {
	for _, tt := range []struct{ name, at, labels, text string }{
		{"names of fields", "  - name: a\n    ta¦", "tables", "  - name: a\n    tables: "},
		{"those that are not there yet", "  - name: a\n    tables: [s.t]\n    o¦\n", "on owner on_error description…", "  - name: a\n    tables: [s.t]\n    owner: \n"},
		{"tables", "  - name: a\n    tables: [shop.c¦]\n", "shop.customers", "  - name: a\n    tables: [shop.customers]\n"},
		{"operations", "  - name: a\n    on: [insert, u¦]\n", "update", "  - name: a\n    on: [insert, update]\n"},
		{"modes", "  - name: a\n    mode: sh¦\n", "shadow", "  - name: a\n    mode: shadow\n"},
		{"feeds", "  - name: a\n    to: [¦]\n", "acme globex", "  - name: a\n    to: [acme]\n"},
		{"a condition in the text", "  - name: a\n    tables: [shop.orders]\n    when: after.st¦\n", "status", "  - name: a\n    tables: [shop.orders]\n    when: after.status\n"},
		{"a condition on lines of its own", "  - name: a\n    tables: [shop.orders]\n    when: |\n      after.id == 1\n      && after.st¦\n", "status",
			"  - name: a\n    tables: [shop.orders]\n    when: |\n      after.id == 1\n      && after.status\n"},
		{"in a comment there is nothing", "  - name: a # o¦\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, after, _ := strings.Cut(tt.at, "¦")
			c := ReadRuleText(before+after).Complete(len(before), Known{Tables: mustTables(t, completeTables), Feeds: []string{"acme", "globex"}})
			var labels []string
			for _, item := range c.Items {
				labels = append(labels, item.Label)
			}
			text := ""
			if len(c.Items) > 0 {
				text = (before + after)[:c.From] + c.Items[0].Insert + (before + after)[c.To:]
			}
			want, _ := strings.CutSuffix(tt.labels, "…")
			if tt.name == "those that are not there yet" {
				labels, text = labels[:0], tt.text
				want = ""
			}
			if strings.Join(labels, " ") != want || text != tt.text {
				t.Errorf("got  %s\n%s\nwant %s\n%s", strings.Join(labels, " "), text, want, tt.text)
			}
		})
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("  - name: a\n    tables: [shop.orders]\n    when: after.status == '\n", 50)
	f.Add("  - name: a\n    where: |\n      row.x in ['a', \"\n", 40)
	f.Add("after[", 3)
	f.Fuzz(func(t *testing.T, text string, at int) {
		c := ReadRuleText(text).Complete(at, Known{Tables: mustTables(t, completeTables)})
		if c.From < 0 || c.To < c.From || c.To > len(text) {
			t.Fatalf("completion of %q at %d is of [%d, %d)", text, at, c.From, c.To)
		}
	})
}
