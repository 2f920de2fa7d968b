package mysql_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// typeCase is a column with one value per row.
type typeCase struct {
	flavor string // "" is both
	sql    string // the column's definition
	kind   cdc.Kind
	typ    string   // Column.Type, or "" if it is sql in lower case
	values []string // SQL literal, then the JSON it shall become
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

var typeCases = []typeCase{
	{sql: "TINYINT", kind: cdc.KindInt64, values: []string{"-128", "-128", "127", "127", "NULL", "null"}},
	{sql: "TINYINT UNSIGNED", kind: cdc.KindUint64, values: []string{"0", "0", "255", "255", "128", "128"}},
	{sql: "YEAR", kind: cdc.KindInt64, values: []string{"1901", "1901", "2155", "2155", "0", "0"}},
	{sql: "SMALLINT", kind: cdc.KindInt64, values: []string{"-32768", "-32768", "32767", "32767"}},
	{sql: "SMALLINT UNSIGNED", kind: cdc.KindUint64, values: []string{"65535", "65535", "32768", "32768"}},
	{sql: "MEDIUMINT", kind: cdc.KindInt64, values: []string{"-8388608", "-8388608", "8388607", "8388607"}},
	{sql: "MEDIUMINT UNSIGNED", kind: cdc.KindUint64, values: []string{"16777215", "16777215", "8388608", "8388608"}},
	{sql: "INT", kind: cdc.KindInt64, values: []string{"-2147483648", "-2147483648", "2147483647", "2147483647"}},
	{sql: "INT UNSIGNED", kind: cdc.KindUint64, values: []string{"4294967295", "4294967295", "2147483648", "2147483648"}},
	{sql: "BIGINT", kind: cdc.KindInt64, values: []string{"-9223372036854775808", "-9223372036854775808", "9223372036854775807", "9223372036854775807"}},
	{sql: "BIGINT UNSIGNED", kind: cdc.KindUint64, values: []string{"18446744073709551615", "18446744073709551615", "9223372036854775808", "9223372036854775808", "1", "1"}},
	{sql: "BOOLEAN", kind: cdc.KindInt64, typ: "tinyint", values: []string{"TRUE", "1", "FALSE", "0"}},
	{sql: "FLOAT", kind: cdc.KindFloat64, values: []string{"1.1", "1.1", "-3.4e38", "-3.4e+38", "0", "0", "16777216", "16777216"}},
	{sql: "DOUBLE", kind: cdc.KindFloat64, values: []string{"1.1", "1.1", "-1.7976931348623157e308", "-1.7976931348623157e+308", "2.2250738585072014e-308", "2.2250738585072014e-308", "0.1e0 + 0.2e0", "0.30000000000000004"}},
	{sql: "DECIMAL(12,2)", kind: cdc.KindDecimal, values: []string{"0", `"0.00"`, "-0.01", `"-0.01"`, "9999999999.99", `"9999999999.99"`, "-9999999999.99", `"-9999999999.99"`, "1000000000.10", `"1000000000.10"`}},
	{sql: "DECIMAL(65,30)", kind: cdc.KindDecimal, values: []string{repeat("9", 35) + "." + repeat("9", 30), `"` + repeat("9", 35) + "." + repeat("9", 30) + `"`,
		"-1e-30", `"-0.000000000000000000000000000001"`}},
	{sql: "DECIMAL(20,0) UNSIGNED", kind: cdc.KindDecimal, typ: "decimal(20,0) unsigned", values: []string{"18446744073709551616", `"18446744073709551616"`}},
	{sql: "DECIMAL(9,9)", kind: cdc.KindDecimal, values: []string{"0.123456789", `"0.123456789"`, "-0.000000001", `"-0.000000001"`}},
	{sql: "BIT(1)", kind: cdc.KindBit, values: []string{"b'1'", "1", "b'0'", "0"}},
	{sql: "BIT(12)", kind: cdc.KindBit, values: []string{"b'101010101010'", "2730"}},
	{sql: "BIT(64)", kind: cdc.KindBit, values: []string{"b'" + repeat("1", 64) + "'", "18446744073709551615"}},
	{sql: "DATE", kind: cdc.KindDate, values: []string{"'1000-01-01'", `"1000-01-01"`, "'9999-12-31'", `"9999-12-31"`, "'0000-00-00'", `"0000-00-00"`,
		"'2026-00-00'", `"2026-00-00"`, "'2026-02-31'", `"2026-02-31"`, "'2026-11-21'", `"2026-11-21"`}},
	{sql: "TIME", kind: cdc.KindTime, values: []string{"'-838:59:59'", `"-838:59:59"`, "'838:59:59'", `"838:59:59"`, "'00:00:00'", `"00:00:00"`, "'-00:00:01'", `"-00:00:01"`, "'23:59:59'", `"23:59:59"`}},
	{sql: "TIME(1)", kind: cdc.KindTime, values: []string{"'-00:00:00.1'", `"-00:00:00.1"`, "'100:00:00.9'", `"100:00:00.9"`, "'-00:00:01.0'", `"-00:00:01.0"`}},
	{sql: "TIME(3)", kind: cdc.KindTime, values: []string{"'-12:34:56.789'", `"-12:34:56.789"`, "'00:00:00.001'", `"00:00:00.001"`, "'-838:59:58.999'", `"-838:59:58.999"`}},
	{sql: "TIME(6)", kind: cdc.KindTime, values: []string{"'-00:00:00.000001'", `"-00:00:00.000001"`, "'838:59:58.999999'", `"838:59:58.999999"`, "'00:00:00'", `"00:00:00.000000"`}},
	{sql: "DATETIME", kind: cdc.KindDatetime, values: []string{"'1000-01-01 00:00:00'", `"1000-01-01T00:00:00"`, "'9999-12-31 23:59:59'", `"9999-12-31T23:59:59"`,
		"'0000-00-00 00:00:00'", `"0000-00-00T00:00:00"`, "'2026-02-31 10:00:00'", `"2026-02-31T10:00:00"`, "'2026-11-00 01:02:03'", `"2026-11-00T01:02:03"`}},
	{sql: "DATETIME(1)", kind: cdc.KindDatetime, values: []string{"'2026-11-21 03:00:00.5'", `"2026-11-21T03:00:00.5"`}},
	{sql: "DATETIME(3)", kind: cdc.KindDatetime, values: []string{"'2026-11-21 03:00:00.123'", `"2026-11-21T03:00:00.123"`, "'0000-00-00'", `"0000-00-00T00:00:00.000"`}},
	{sql: "DATETIME(6)", kind: cdc.KindDatetime, values: []string{"'2026-11-21 03:00:00.000001'", `"2026-11-21T03:00:00.000001"`, "'9999-12-31 23:59:59.999999'", `"9999-12-31T23:59:59.999999"`}},
	// The session's zone is +03:00: what is delivered is the instant.
	{sql: "TIMESTAMP NULL", kind: cdc.KindTimestamp, typ: "timestamp", values: []string{"'1970-01-01 03:00:01'", `"1970-01-01T00:00:01Z"`, "'2038-01-19 06:14:07'", `"2038-01-19T03:14:07Z"`, "0", `"0000-00-00T00:00:00"`, "NULL", "null"}},
	{sql: "TIMESTAMP(2) NULL", kind: cdc.KindTimestamp, typ: "timestamp(2)", values: []string{"'2026-03-29 03:30:00.25'", `"2026-03-29T00:30:00.25Z"`, "0", `"0000-00-00T00:00:00.00"`}},
	{sql: "TIMESTAMP(6) NULL", kind: cdc.KindTimestamp, typ: "timestamp(6)", values: []string{"'2026-11-21 03:00:00.000001'", `"2026-11-21T00:00:00.000001Z"`}},
	{sql: "CHAR(10)", kind: cdc.KindString, values: []string{"'a'", `"a"`, "''", `""`, "'äöü€😀'", `"äöü€😀"`}},
	{sql: "CHAR(255)", kind: cdc.KindString, values: []string{"REPEAT('😀', 255)", `"` + repeat("😀", 255) + `"`}},
	{sql: "VARCHAR(20)", kind: cdc.KindString, values: []string{`'a"\\\n'`, `"a\"\\\n"`, "' x '", `" x "`}},
	{sql: "VARCHAR(400)", kind: cdc.KindString, values: []string{"REPEAT('x', 400)", `"` + repeat("x", 400) + `"`}},
	{sql: "VARCHAR(20) CHARACTER SET utf8mb3", kind: cdc.KindString, typ: "varchar(20)", values: []string{"'€'", `"€"`}},
	{sql: "VARCHAR(20) CHARACTER SET latin1", kind: cdc.KindString, typ: "varchar(20)", values: []string{"'äß€'", `"äß€"`, "'plain'", `"plain"`}},
	{sql: "VARCHAR(20) CHARACTER SET ascii", kind: cdc.KindString, typ: "varchar(20)", values: []string{"'abc'", `"abc"`}},
	{sql: "CHAR(5) CHARACTER SET cp1251", kind: cdc.KindString, typ: "char(5)", values: []string{"'Жук'", `"Жук"`}},
	{sql: "VARCHAR(5) CHARACTER SET utf16", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'aä😀'", `"aä😀"`}},
	{sql: "VARCHAR(5) CHARACTER SET sjis", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'日本'", `"日本"`}},
	{sql: "VARCHAR(5) CHARACTER SET gbk", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'中文'", `"中文"`}},
	{sql: "VARCHAR(5) COLLATE utf8mb4_bin", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä'", `"ä"`}},
	{flavor: "mariadb", sql: "VARCHAR(5) COLLATE utf8mb4_general_nopad_ci", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä'", `"ä"`}},
	{flavor: "mariadb", sql: "VARCHAR(5) COLLATE uca1400_ai_ci", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä'", `"ä"`}},
	{sql: "TINYTEXT", kind: cdc.KindString, values: []string{"'ä'", `"ä"`}},
	{sql: "TEXT", kind: cdc.KindString, values: []string{"REPEAT('ab', 10000)", `"` + repeat("ab", 10000) + `"`}},
	{sql: "MEDIUMTEXT", kind: cdc.KindString, values: []string{"REPEAT('x', 70000)", `"` + repeat("x", 70000) + `"`}},
	{sql: "LONGTEXT CHARACTER SET latin1", kind: cdc.KindString, typ: "longtext", values: []string{"'é'", `"é"`}},
	{sql: "BINARY(4)", kind: cdc.KindBytes, values: []string{"x'01'", `"AQAAAA=="`, "x'00000000'", `"AAAAAA=="`, "x'01020304'", `"AQIDBA=="`}},
	{sql: "BINARY(16)", kind: cdc.KindBytes, values: []string{"x'ff00'", `"/wAAAAAAAAAAAAAAAAAAAA=="`}},
	{sql: "VARBINARY(10)", kind: cdc.KindBytes, values: []string{"x'0100'", `"AQA="`, "''", `""`}},
	{sql: "BLOB", kind: cdc.KindBytes, values: []string{"x'fffe00'", `"//4A"`}},
	{sql: "TINYBLOB", kind: cdc.KindBytes, values: []string{"'a'", `"YQ=="`}},
	{sql: "LONGBLOB", kind: cdc.KindBytes, values: []string{"'abc'", `"YWJj"`}},
	{sql: "ENUM('new','it''s','ä')", kind: cdc.KindEnum, values: []string{"'new'", `"new"`, "'it''s'", `"it's"`, "'ä'", `"ä"`, "0", `""`}},
	{sql: "ENUM('ä','b') CHARACTER SET latin1", kind: cdc.KindEnum, typ: "enum('ä','b')", values: []string{"'ä'", `"ä"`, "'b'", `"b"`}},
	{sql: "SET('a','b','ü')", kind: cdc.KindSet, values: []string{"'a,ü'", `["a","ü"]`, "''", `[]`, "'b'", `["b"]`}},
	{sql: "POINT", kind: cdc.KindGeometry, values: []string{"ST_GeomFromText('POINT(1 2)')", `{"srid":0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}`, "NULL", "null"}},
	{sql: "GEOMETRY", kind: cdc.KindGeometry, values: []string{"ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)", `{"srid":4326,"wkb":"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8="}`}},

	{flavor: "mysql", sql: "JSON", kind: cdc.KindJSON, values: []string{
		`'{"b":1,"aa":[true,false,null],"c":"ä\\"<&>"}'`, `{"b":1,"c":"ä\"<&>","aa":[true,false,null]}`,
		"'18446744073709551615'", "18446744073709551615",
		"'-9223372036854775808'", "-9223372036854775808",
		"CAST(CAST('12345678901234567890.12345678901234567890' AS DECIMAL(65,30)) AS JSON)", "12345678901234567890.123456789012345678900000000000",
		"'1.1'", "1.1", "'1.0'", "1.0", "'1e300'", "", "'1.5e-7'", "0.00000015",
		"'[]'", "[]", "'{}'", "{}", "'null'", "null", "NULL", "null", `'"x"'`, `"x"`,
		"CAST(CAST('2026-11-21' AS DATE) AS JSON)", `"2026-11-21"`,
		"CAST(CAST('2026-11-21 01:02:03' AS DATETIME) AS JSON)", `"2026-11-21 01:02:03.000000"`,
		"JSON_ARRAY(9007199254740993, -1, 70000, 5000000000)", "[9007199254740993,-1,70000,5000000000]",
	}},
	{flavor: "mysql", sql: "VECTOR(3)", kind: cdc.KindVector, typ: "vector", values: []string{"TO_VECTOR('[1.5,-2,0.1]')", "[1.5,-2,0.1]"}},
	{flavor: "mariadb", sql: "JSON", kind: cdc.KindString, typ: "longtext", values: []string{`'{"a":1}'`, `"{\"a\":1}"`}},
	{flavor: "mariadb", sql: "UUID", kind: cdc.KindString, values: []string{"'123e4567-e89b-12d3-a456-426655440000'", `"123e4567-e89b-12d3-a456-426655440000"`, "NULL", "null"}},
	{flavor: "mariadb", sql: "INET6", kind: cdc.KindString, values: []string{"'2001:db8::ff00:42:8329'", `"2001:db8::ff00:42:8329"`, "'::'", `"::"`, "'::ffff:192.0.2.1'", `"::ffff:192.0.2.1"`}},
	{flavor: "mariadb", sql: "INET4", kind: cdc.KindString, values: []string{"'192.0.2.1'", `"192.0.2.1"`, "'10.0.0.0'", `"10.0.0.0"`}},
}

// session makes both servers take zero dates, invalid dates and values that are no members.
var session = []string{"SET NAMES utf8mb4", "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", "SET SESSION time_zone = '+03:00'"}

func TestEveryTypeOnBothServers(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) { typeTable(t, s, "FULL") })
}

func TestEveryTypeWithoutMetadata(t *testing.T) {
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "SET GLOBAL binlog_row_metadata = 'MINIMAL'")
		typeTable(t, s, "MINIMAL")
	})
}

func TestEveryTypeWithoutAnyMetadataOnMariaDB(t *testing.T) {
	s := testenv.MariaDB(t, "--binlog-row-metadata=NO_LOG")
	typeTable(t, s, "NO_LOG")
}

func typeTable(t *testing.T, s *testenv.Server, metadata string) {
	t.Helper()
	s.Exec(t, "CREATE DATABASE shop CHARACTER SET utf8mb4")
	var want, types []string
	statements := append([]string(nil), session...)
	var all []string // one table with every column too: types in one row must not disturb each other
	var allValues []string
	for i, c := range typeCases {
		if c.flavor != "" && c.flavor != s.Flavor {
			continue
		}
		name := fmt.Sprintf("t%02d", i)
		statements = append(statements, fmt.Sprintf("CREATE TABLE shop.%s (id INT PRIMARY KEY, v %s)", name, c.sql))
		for j := 0; j < len(c.values); j += 2 {
			statements = append(statements, fmt.Sprintf("INSERT INTO shop.%s VALUES (%d, %s)", name, j/2, c.values[j]))
			want = append(want, fmt.Sprintf(`%s %s %d -> %s`, name, c.sql, j/2, c.values[j+1]))
			typ := c.typ
			if typ == "" {
				typ = strings.ToLower(c.sql)
			}
			types = append(types, fmt.Sprintf("%s %s", c.kind, typ))
		}
		all = append(all, fmt.Sprintf("c%02d %s", i, c.sql))
		allValues = append(allValues, c.values[0])
	}
	const perTable = 24 // a row cannot be longer than 64 KiB
	for from := 0; from < len(all); from += perTable {
		to := min(from+perTable, len(all))
		statements = append(statements, fmt.Sprintf("CREATE TABLE shop.wide%d (%s)", from, strings.Join(all[from:to], ", ")),
			fmt.Sprintf("INSERT INTO shop.wide%d VALUES (%s)", from, strings.Join(allValues[from:to], ", ")))
		want = append(want, "")
		types = append(types, "")
	}
	r := begin(t, config(s), cdc.Checkpoint{}, nil)
	s.Exec(t, statements...)
	r.wait(t, len(want))
	single := map[string]string{}
	wide := 0
	n := 0
	for _, b := range r.frames {
		for i := range b.Len() {
			e := b.Event(i)
			table := e.Table()
			if strings.HasPrefix(table.Name, "wide") {
				wide++
				for at := range table.Columns {
					name := "t" + table.Columns[at].Name[1:]
					if got := string(cdc.AppendJSON(nil, &table.Columns[at], e.After().Value(at))); got != single[name] {
						t.Errorf("%s in a wide table is %.200s, want %.200s", name, got, single[name])
					}
				}
				n++
				continue
			}
			v := e.After().Value(1)
			text := string(cdc.AppendJSON(nil, &table.Columns[1], v))
			if e.After().Value(0).Int64() == 0 {
				single[table.Name] = text
			}
			if !json.Valid([]byte(text)) {
				t.Errorf("%s: not JSON: %.200s", want[n], text)
			}
			w := want[n]
			prefix, wantText, _ := strings.Cut(w, " -> ")
			if wantText == "" { // any text of the number 1e300 will do
				var f float64
				if err := json.Unmarshal([]byte(text), &f); err != nil || f != 1e300 {
					t.Errorf("%s: got %s", prefix, text)
				}
			} else if text != wantText {
				t.Errorf("%s:\n got %.300s\nwant %.300s", prefix, text, wantText)
			}
			column := table.Columns[1]
			gotType := fmt.Sprintf("%s %s", column.Kind, column.Type)
			if metadata != "FULL" { // then the type is what information_schema says
				gotType = column.Kind.String()
				types[n], _, _ = strings.Cut(types[n], " ")
			}
			if gotType != types[n] {
				t.Errorf("%s: type %q, want %q", prefix, gotType, types[n])
			}
			n++
		}
	}
	if wide == 0 {
		t.Error("no wide table was seen")
	}
	// information_schema must not say anything else than the log.
	tables, err := mysql.Schema(t.Context(), config(s))
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) == 0 {
		t.Fatal("Schema knows no tables")
	}
	logged := map[string]*cdc.Table{}
	for _, b := range r.frames {
		for i := range b.Len() {
			logged[b.Event(i).Table().Name] = b.Event(i).Table()
		}
	}
	for _, table := range tables {
		l := logged[table.Name]
		if l == nil {
			t.Errorf("%s was not seen in the log", table)
			continue
		}
		for i := range table.Columns {
			a, b := l.Columns[i], table.Columns[i]
			a.Type, b.Type = "", ""
			if b.Kind == cdc.KindJSON && s.Flavor == "mariadb" {
				b.Kind = a.Kind
			}
			if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
				t.Errorf("%s:\n in the log            %+v\n in information_schema %+v", table, a, b)
			}
		}
	}
}
