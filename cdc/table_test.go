package cdc_test

import (
	"reflect"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestParseTypeReadsColumnTypesOfInformationSchema(t *testing.T) {
	type col = cdc.Column
	for _, tt := range []struct {
		sql  string
		want cdc.Column // without Type and Nullable
	}{
		{"tinyint(1)", col{Kind: cdc.KindInt64}},
		{"smallint(6)", col{Kind: cdc.KindInt64}},
		{"int", col{Kind: cdc.KindInt64}},
		{"int(5) unsigned zerofill", col{Kind: cdc.KindUint64, Unsigned: true}},
		{"BIGINT(20) UNSIGNED", col{Kind: cdc.KindUint64, Unsigned: true}},
		{"bigint zerofill", col{Kind: cdc.KindUint64, Unsigned: true}},
		{"serial", col{Kind: cdc.KindUint64, Unsigned: true}},
		{"year(4)", col{Kind: cdc.KindInt64}},
		{"float", col{Kind: cdc.KindFloat64, Float32: true}},
		{"float unsigned", col{Kind: cdc.KindFloat64, Float32: true, Unsigned: true}},
		{"float(7,3)", col{Kind: cdc.KindFloat64, Float32: true}},
		{"float(24)", col{Kind: cdc.KindFloat64, Float32: true}},
		{"float(25)", col{Kind: cdc.KindFloat64}},
		{"double(10,2)", col{Kind: cdc.KindFloat64}},
		{"double precision", col{Kind: cdc.KindFloat64}},
		{"decimal", col{Kind: cdc.KindDecimal, Precision: 10}},
		{"decimal(5)", col{Kind: cdc.KindDecimal, Precision: 5}},
		{"decimal(65, 30) unsigned", col{Kind: cdc.KindDecimal, Precision: 65, Scale: 30, Unsigned: true}},
		{"char(1)", col{Kind: cdc.KindString}},
		{" varchar(10) /*M!100301 COMPRESSED*/", col{Kind: cdc.KindString}},
		{"longtext", col{Kind: cdc.KindString}},
		{"uuid", col{Kind: cdc.KindString}},
		{"inet6", col{Kind: cdc.KindString}},
		{"varbinary(16)", col{Kind: cdc.KindBytes}},
		{"mediumblob", col{Kind: cdc.KindBytes}},
		{"date", col{Kind: cdc.KindDate}},
		{"time", col{Kind: cdc.KindTime}},
		{"time(6)", col{Kind: cdc.KindTime, Fsp: 6}},
		{"datetime(3)", col{Kind: cdc.KindDatetime, Fsp: 3}},
		{"timestamp(1)", col{Kind: cdc.KindTimestamp, Fsp: 1}},
		{"json", col{Kind: cdc.KindJSON}},
		{"bit", col{Kind: cdc.KindBit, Precision: 1}},
		{"bit(64)", col{Kind: cdc.KindBit, Precision: 64}},
		{"point", col{Kind: cdc.KindGeometry}},
		{"geometrycollection", col{Kind: cdc.KindGeometry}},
		{"vector(3)", col{Kind: cdc.KindVector}},
		{"enum('new','paid')", col{Kind: cdc.KindEnum, Members: []string{"new", "paid"}}},
		{"ENUM('It''s','x,y','p)','(',' unsigned','')", col{Kind: cdc.KindEnum, Members: []string{"It's", "x,y", "p)", "(", " unsigned", ""}}},
		{`enum('a\\b','n\n\r\0','''')`, col{Kind: cdc.KindEnum, Members: []string{`a\b`, "n\n\r\x00", "'"}}},
		{"set('a','é')", col{Kind: cdc.KindSet, Members: []string{"a", "é"}}},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			want := tt.want
			want.Type, want.Nullable = tt.sql, true
			got, ok := cdc.ParseType(tt.sql)
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("ParseType(%q)\ngot  %+v, %v\nwant %+v, true", tt.sql, got, ok, want)
			}
		})
	}
	for _, sql := range []string{"", "(", "xmltype", "sdo_geometry"} {
		if got, ok := cdc.ParseType(sql); ok {
			t.Errorf("ParseType(%q) = %+v, %v", sql, got, ok)
		}
	}
}

func TestParseTypeSurvivesUnfinishedTypes(t *testing.T) {
	for _, sql := range []string{"enum('", "enum('a", `enum('a\`, "enum('a'", "enum(')", "decimal(", "decimal)(", "decimal(,,", "set(''')"} {
		cdc.ParseType(sql) // must not panic
	}
	if got, _ := cdc.ParseType(`enum('a\')`); !reflect.DeepEqual(got.Members, []string{`a'`}) {
		t.Errorf("members %q", got.Members)
	}
}

func TestKeyColumnsComeInKeyOrder(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys []uint16
		want []int
	}{
		{"no key", []uint16{0, 0}, []int{}},
		{"one", []uint16{0, 1}, []int{1}},
		{"composite, out of order", []uint16{3, 0, 1, 2}, []int{2, 3, 0}},
		{"places beyond the columns", []uint16{9, 0, 7}, []int{2, 0}},
		{"the same place twice", []uint16{1, 1}, []int{0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := &cdc.Table{Schema: "s", Name: "t"}
			for i, k := range tt.keys {
				table.Columns = append(table.Columns, cdc.Column{Name: string(rune('a' + i)), Kind: cdc.KindInt64, Key: k})
			}
			if got := table.Key(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestColumnNamesAreComparedExactly(t *testing.T) {
	table := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "id"}, {Name: "ID"}}}
	got := []any{table.String(), table.Column("id"), table.Column("ID"), table.Column("Id")}
	if want := []any{"shop.orders", 0, 1, -1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
