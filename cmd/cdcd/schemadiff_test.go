package main

import (
	"reflect"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestDiffOfColumnsNamesWhatPeopleChanged(t *testing.T) {
	column := func(name, sqlType string, change ...func(*cdc.Column)) cdc.Column {
		c, ok := cdc.ParseType(sqlType)
		if !ok {
			t.Fatalf("type %s", sqlType)
		}
		c.Name = name
		for _, f := range change {
			f(&c)
		}
		return c
	}
	key := func(n uint16) func(*cdc.Column) {
		return func(c *cdc.Column) { c.Key, c.Nullable = n, false }
	}
	collation := func(n uint16) func(*cdc.Column) { return func(c *cdc.Column) { c.Collation = n } }
	notNull := func(c *cdc.Column) { c.Nullable = false }
	for _, tt := range []struct {
		name     string
		was, now []cdc.Column
		want     []difference
	}{
		{"nothing", []cdc.Column{column("id", "bigint unsigned", key(1))}, []cdc.Column{column("id", "bigint(20) unsigned", key(1))}, nil},
		{"renamed", []cdc.Column{column("a", "int")}, []cdc.Column{column("b", "int")},
			[]difference{{"a", "column", "int", ""}, {"b", "column", "", "int"}}},
		{"renamed in case only", []cdc.Column{column("a", "int")}, []cdc.Column{column("A", "int")},
			[]difference{{"a", "column", "int", ""}, {"A", "column", "", "int"}}},
		{"swapped", []cdc.Column{column("a", "int"), column("b", "int")}, []cdc.Column{column("b", "int"), column("a", "int")},
			[]difference{{"", "order", "a, b", "b, a"}}},
		{"wider", []cdc.Column{column("a", "varchar(10)")}, []cdc.Column{column("a", "varchar(20)")},
			[]difference{{"a", "type", "varchar(10)", "varchar(20)"}}},
		{"fraction", []cdc.Column{column("a", "datetime")}, []cdc.Column{column("a", "datetime(3)")},
			[]difference{{"a", "type", "datetime", "datetime(3)"}}},
		{"member", []cdc.Column{column("a", "set('x')")}, []cdc.Column{column("a", "set('x','y')")},
			[]difference{{"a", "type", "set('x')", "set('x','y')"}}},
		{"display width, ZEROFILL and comments are not in the binlog", []cdc.Column{column("a", "int unsigned"), column("b", "text")},
			[]cdc.Column{column("a", "int(10) unsigned zerofill"), column("b", "text /* comment */")}, nil},
		{"geometry without its kind", []cdc.Column{column("a", "geometry")}, []cdc.Column{column("a", "point")}, nil},
		{"key, null", []cdc.Column{column("a", "int", key(1)), column("b", "int")}, []cdc.Column{column("a", "int", notNull), column("b", "int", key(1))},
			[]difference{{"a", "key", "place 1", "no"}, {"b", "nullable", "null", "not null"}, {"b", "key", "no", "place 1"}}},
		{"collation", []cdc.Column{column("a", "text", collation(45)), column("b", "text")}, []cdc.Column{column("a", "text", collation(46)), column("b", "text", collation(46))},
			[]difference{{"a", "collation", "id 45", "id 46"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := diffColumns(&cdc.Table{Columns: tt.was}, &cdc.Table{Columns: tt.now}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
