package cdc

import (
	"strings"
	"testing"
)

func TestGlobMatchesWholeNames(t *testing.T) {
	for _, test := range []struct {
		pattern Glob
		name    string
		want    bool
	}{
		{"*", "", true}, {"*", "orders", true}, {"orders", "orders", true}, {"orders", "Orders", false}, {"o*s", "orders", true},
		{"o*x", "orders", false}, {"*r*r*", "orders", true}, {"?rders", "orders", true}, {"?", "", false}, {"?", "日", true},
		{"??", "日", false}, {"*本", "日本", true}, {"", "", true}, {"", "a", false}, {"a*c", "abcd", false}, {"*bb", "abbb", true},
		{"a**b", "ab", true}, {"a**", "a", true}, {"[a]", "a", false}, {"*a*a*a*a*b", strings.Repeat("a", 200), false},
	} {
		if got := test.pattern.Match(test.name); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.name, got)
		}
	}
}

func TestTableAndColumnGlobs(t *testing.T) {
	for _, test := range []struct {
		text            string
		tables, columns string // what is wrong with it as a pattern of tables and of columns; "" if nothing is
	}{
		{"shop.orders", "", "it does not have the three parts schema.table.column"},
		{"Web Shop.*", "", "it does not have the three parts schema.table.column"},
		{" a.b", "it has a comma, a bracket or outer blanks (? stands for what belongs to a name)",
			"it has a comma, a bracket or outer blanks (? stands for what belongs to a name)"},
		{"shop_?.*", "", "it does not have the three parts schema.table.column"},
		{"shop.orders.id", "", ""},
		{"*.*.*pass?", "", ""},
		{"a.b.c.d", "", ""},
		{"orders", "there is no '.' in it", "it does not have the three parts schema.table.column"},
		{"", "it is empty", "it is empty"},
		{"shop..id", "", "a name is missing beside the '.'"},
		{"shop.", "a name is missing beside the '.'", "a name is missing beside the '.'"},
		{"a.b, c.d", "it has a comma, a bracket or outer blanks (? stands for what belongs to a name)",
			"it has a comma, a bracket or outer blanks (? stands for what belongs to a name)"},
		{"a.b." + strings.Repeat("c", 800), "it is longer than names can be", "it is longer than names can be"},
	} {
		said := func(err error) string {
			if err == nil {
				return ""
			}
			return err.Error()
		}
		tables, err := ParseTableGlob(test.text)
		if said(err) != test.tables || err == nil && tables.String() != test.text {
			t.Errorf("%q as tables: %s, %v; want %s", test.text, tables, err, test.tables)
		}
		columns, err := ParseColumnGlob(test.text)
		if said(err) != test.columns || err == nil && columns.String() != test.text {
			t.Errorf("%q as columns: %s, %v; want %s", test.text, columns, err, test.columns)
		}
	}
	if g, _ := ParseTableGlob("a.b.c"); g != (TableGlob{"a", "b.c"}) {
		t.Errorf("a.b.c is %q", g)
	}
	g, err := ParseColumnGlob("shop_*.Customers.*passWord*")
	if err != nil {
		t.Fatal(err)
	}
	for column, want := range map[string]bool{"shop_eu.customers.password_hash": true, "shop_eu.customers.name": false, "Shop_EU.CUSTOMERS.OldPassword": true,
		"shop_eu.orders.password": false, "crm.customers.password": false} {
		names := strings.Split(column, ".")
		if got := g.Match(names[0], names[1], names[2]); got != want {
			t.Errorf("%s matches %s: %v", g, column, got)
		}
	}
}

func TestGlobsMatchWithoutAllocation(t *testing.T) {
	g := ColumnGlob{TableGlob{"shop*", "*s"}, "*mail?"}
	if n := testing.AllocsPerRun(100, func() { g.Match("shop_eu", "customers", "e_mail1") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
