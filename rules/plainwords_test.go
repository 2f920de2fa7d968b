package rules

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

// A mistake is said in plain words, under the characters that it is about, and one click mends it: then it is gone, and nothing
// else is wrong.
func TestMistakesAreSaidInPlainWordsAndMendedWithOneClick(t *testing.T) {
	tables := mustTables(t, `tables:
  shop.orders: {columns: {id: bigint not null, big: bigint unsigned not null, status: "enum('new','paid') not null", amount: "decimal(10,2) not null",
    discount: "decimal(10,2)", total_text: varchar(20) not null, qty: int, ratio: double not null, note: text, zip: varchar(5) not null}, key: [id]}
`)
	for _, tt := range []struct {
		when, code, says string
		under            string
		mended           string // "": no click can know what is meant
	}{
		{"after.total_text > 100", codeType, "after.total_text is text (varchar(20)); 100 is a whole number", "100", "double(after.total_text) > 100"},
		{"after.total_text <= 100.5", codeType, "after.total_text is text (varchar(20)); 100.5 is a floating-point number", "100.5", "double(after.total_text) <= 100.5"},
		{"-5 < after.total_text", codeType, "after.total_text is text (varchar(20)); -5 is a whole number", "-5", "-5 < double(after.total_text)"},
		{"after.total_text * 2 > 10", codeType, "after.total_text is text (varchar(20)); 2 is a whole number", "2", "double(after.total_text) * 2 > 10"},
		{"after.zip == 10115", codeType, "after.zip is text (varchar(5)); 10115 is a whole number", "10115", "after.zip == '10115'"},
		{"after.status == 5", codeType, "after.status is text (enum('new','paid')); 5 is a whole number", "5", ""},
		{"after.id > after.total_text", codeType, "after.id is a whole number (bigint); after.total_text is text (varchar(20))", "after.id > after.total_text", "double(after.id) > double(after.total_text)"},
		{"after.total_text < after.amount", codeType, "after.total_text is text (varchar(20)); after.amount is a decimal number (decimal(10,2))", "after.total_text < after.amount", "decimal(after.total_text) < after.amount"},
		{"after.zip == after.id", codeType, "after.zip is text (varchar(5)); after.id is a whole number (bigint)", "after.zip == after.id", "after.zip == string(after.id)"},
		{"after.id == '5'", codeType, "after.id is a whole number (bigint); '5' is text", "'5'", "after.id == 5"},

		{"after.status = 'paid'", codeCEL, "= is not an operator", "=", "after.status == 'paid'"},
		{"'😀' != '' && after.status='paid'", codeCEL, "= is not an operator", "=", "'😀' != '' && after.status=='paid'"},
		{"after.status == 'paid' and after.id > 1", codeCEL, "'and' is not an operator", "and", "after.status == 'paid' && after.id > 1"},
		{"after.id <> 1", codeCEL, "<> is not an operator", "<>", "after.id != 1"},
		{"after.note is not null", codeCEL, "'is' is not an operator", "is", "after.note != null"},

		{"after.amont > 100", codeColumn, "orders has no column 'amont'", "amont", "after.amount > 100"},
		{"'größe 😀' != '' && after.amont > 100", codeColumn, "orders has no column 'amont'", "amont", "'größe 😀' != '' && after.amount > 100"},
		{"after.xyzzy > 100", codeColumn, "orders has no column 'xyzzy'", "xyzzy", ""},
		{"aftr.id > 1", codeName, "there is no variable 'aftr'", "aftr", "after.id > 1"},
		{"amount > 100", codeName, "there is no variable 'amount'", "amount", "after.amount > 100"},
		{"amont > 100", codeName, "there is no variable 'amont'", "amont", "after.amount > 100"},
		{"after.status == paid", codeName, "there is no variable 'paid'", "paid", "after.status == 'paid'"},
		{"after.status in [paid, 'new']", codeName, "there is no variable 'paid'", "paid", "after.status in ['paid', 'new']"},
		{"after.status == 'payd'", codeMember, "status is never 'payd'", "'payd'", "after.status == 'paid'"},

		{"after.qty > 5", codeNullFails, "this fails when after.qty is NULL", "after.qty", "after.qty != null && after.qty > 5"},
		{"after.id > 1 && after.qty > 5", codeNullFails, "this fails when after.qty is NULL", "after.qty", "after.id > 1 && (after.qty != null && after.qty > 5)"},
		{"after.note.startsWith('x')", codeNullFails, "this fails when after.note is NULL", "after.note", "after.note != null && after.note.startsWith('x')"},
		{"after.discount + 1.5 > 3", codeNullFails, "this fails when after.discount is NULL", "after.discount", "after.discount != null && after.discount + 1.5 > 3"},
		{"after.id > 1 || after.qty * 2 == 4", codeNullFails, "this fails when after.qty is NULL", "after.qty", "after.id > 1 || (after.qty != null && after.qty * 2 == 4)"},

		{"after.id > 1.5", codeType, "after.id is a whole number (bigint); 1.5 is a floating-point number", "1.5", "double(after.id) > 1.5"},
		{"after.big > -1", codeType, "after.big is an unsigned number (bigint unsigned); -1 is a whole number", "-1", "int(after.big) > -1"},
		{"after.amount > after.ratio", codeType, "after.amount is a decimal number (decimal(10,2)); after.ratio is a floating-point number (double)", "after.amount > after.ratio", "double(after.amount) > after.ratio"},
		{"after.amount == after.id", codeType, "after.amount is a decimal number (decimal(10,2)); after.id is a whole number (bigint)", "after.amount == after.id", "after.amount == decimal(after.id)"},
		{"after.amount > 100.5", "", "", "", ""}, // the literal becomes a decimal number
		{"after.amount == '100.50'", "", "", "", ""},
	} {
		t.Run(tt.when, func(t *testing.T) {
			oneClick(t, ReadRuleText(plainRule(tt.when, "[insert, update]")), tables, tt.code, tt.says, tt.under, tt.mended)
		})
	}
}

func TestAnImageThatIsEmptyIsMendedWithOneClick(t *testing.T) {
	tables := mustTables(t, "tables:\n  shop.orders: {columns: {id: bigint not null, status: varchar(9) not null}, key: [id]}\n")
	for _, tt := range []struct{ name, when, on, says, under, mended string }{
		{"before, on inserts too", "before.status == 'new'", "[insert, update]", "'before' is empty on insert, which this rule is for too", "before.status", "on: [update]"},
		{"before, whatever happens", "before.status == 'new'", "", "'before' is empty on insert, which this rule is for too", "before.status", "on: [update, delete]"},
		{"after, on deletes", "after.status == 'new'", "[update, delete]", "'after' is empty on delete, which this rule is for too", "after.status", "on: [update]"},
		{"before, on inserts alone", "before.status == 'new'", "[insert]", "an insert has no 'before', and the rule is for nothing else", "before.status", ""},
		{"before, asked for", "before != null && before.status == 'new'", "[insert, update]", "", "", ""},
		{"before, by operation", "op == 'update' && before.status == 'new'", "[insert, update]", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := codeImage
			if tt.says == "" {
				code = ""
			}
			d := ReadRuleText(plainRule(tt.when, tt.on))
			oneClick(t, d, tables, code, tt.says, tt.under, "")
			if tt.mended == "" {
				return
			}
			if mended := d.Mended(d.Check(tables)[0]); !strings.Contains(mended, tt.mended+"\n") || len(ReadRuleText(mended).Check(tables)) > 0 {
				t.Errorf("mended it is\n%s\nand wrong: %v", mended, ReadRuleText(mended).Check(tables))
			}
		})
	}
}

func plainRule(when, on string) string {
	text := "  - name: a\n    tables: [shop.orders]\n"
	if on != "" {
		text += "    on: " + on + "\n"
	}
	return text + "    when: |\n      " + when + "\n    mode: shadow\n"
}

// oneClick checks that the only finding about a text is that, and what its edit makes of the condition.
func oneClick(t *testing.T, d *RuleText, tables []*cdc.Table, code, says, under, mended string) {
	t.Helper()
	found := d.Check(tables)
	if code == "" {
		if len(found) > 0 {
			t.Errorf("found %v", found)
		}
		return
	}
	if len(found) != 1 {
		t.Fatalf("found %v, want one", found)
	}
	f := found[0]
	m := d.Mark(f)
	if f.Code != code || f.Msg != says || d.Text[m.From:m.To] != under || d.Condition("when")[m.KeyFrom:m.KeyTo] != under {
		t.Errorf("found %s %q under %q (%q of the condition), want %s %q under %q", f.Code, f.Msg, d.Text[m.From:m.To], d.Condition("when")[m.KeyFrom:m.KeyTo], code, says, under)
	}
	if mended == "" {
		return
	}
	after := ReadRuleText(d.Mended(f))
	if got := strings.TrimSpace(after.Condition("when")); got != mended {
		t.Errorf("mended it is %q, want %q", got, mended)
	}
	if again := after.Check(tables); len(again) > 0 {
		t.Errorf("mended, this is wrong: %v", again)
	}
}
