package mysql_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// typeGroup is a chapter of docs/types.md.
type typeGroup struct {
	title string
	text  string
	cases []typeCase
}

// typeCase is a column with one value per row.
type typeCase struct {
	flavor string // "" is both
	sql    string // the column's definition
	kind   cdc.Kind
	typ    string   // Column.Type, or "" if it is sql in lower case
	values []string // SQL literal, then the JSON it shall become
	silent bool     // checked as the others, but not a line of the page
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// session makes both servers take zero dates, invalid dates and values that are no members.
var session = []string{"SET NAMES utf8mb4", "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", "SET SESSION time_zone = '+03:00'"}

var typeGroups = []typeGroup{
	{"Whole numbers", "All digits are delivered, as a JSON number: a reader that keeps numbers as doubles loses digits beyond 2^53. " +
		"ZEROFILL is for display and is not delivered; it makes a column unsigned.", append(integers(),
		typeCase{sql: "BOOLEAN", kind: cdc.KindInt64, typ: "tinyint", values: []string{"TRUE", "1", "FALSE", "0"}},
		typeCase{sql: "INT(6) ZEROFILL", kind: cdc.KindUint64, typ: "int unsigned", values: []string{"42", "42"}},
		typeCase{sql: "YEAR", kind: cdc.KindInt64, values: []string{"1901", "1901", "2155", "2155", "0", "0", "1970", "1970"}},
		typeCase{sql: "BIT(1)", kind: cdc.KindBit, values: []string{"b'1'", "1", "b'0'", "0"}},
		typeCase{sql: "BIT(8)", kind: cdc.KindBit, values: []string{"b'10000000'", "128"}},
		typeCase{sql: "BIT(9)", kind: cdc.KindBit, values: []string{"b'100000001'", "257"}},
		typeCase{sql: "BIT(12)", kind: cdc.KindBit, values: []string{"b'101010101010'", "2730"}},
		typeCase{sql: "BIT(63)", kind: cdc.KindBit, values: []string{"b'1" + repeat("0", 62) + "'", "4611686018427387904"}},
		typeCase{sql: "BIT(64)", kind: cdc.KindBit, values: []string{"b'" + repeat("1", 64) + "'", "18446744073709551615", "0", "0"}},
	)},
	{"DECIMAL", "Exact, and so a string: all digits after the point, none before it that need not be. ZEROFILL is not delivered.", append(decimals(),
		typeCase{sql: "DECIMAL(12,2)", kind: cdc.KindDecimal, values: []string{"0", `"0.00"`, "-0.01", `"-0.01"`, "9999999999.99", `"9999999999.99"`, "-9999999999.99", `"-9999999999.99"`, "1000000000.10", `"1000000000.10"`}},
		typeCase{sql: "DECIMAL(65,30)", kind: cdc.KindDecimal, values: []string{repeat("9", 35) + "." + repeat("9", 30), `"` + repeat("9", 35) + "." + repeat("9", 30) + `"`,
			"-" + repeat("9", 35) + "." + repeat("9", 30), `"-` + repeat("9", 35) + "." + repeat("9", 30) + `"`, "-1e-30", `"-0.000000000000000000000000000001"`}},
		typeCase{sql: "DECIMAL(20,0) UNSIGNED", kind: cdc.KindDecimal, values: []string{"18446744073709551616", `"18446744073709551616"`}},
		typeCase{sql: "DECIMAL(10,2) ZEROFILL", kind: cdc.KindDecimal, typ: "decimal(10,2) unsigned", values: []string{"12.5", `"12.50"`, "0", `"0.00"`}},
		typeCase{sql: "DECIMAL(9,9)", kind: cdc.KindDecimal, values: []string{"0.123456789", `"0.123456789"`, "-0.000000001", `"-0.000000001"`}},
	)},
	{"FLOAT and DOUBLE", "The shortest number that reads back as the same bits. FLOAT is a 32-bit number: `1.1` stays `1.1`.", []typeCase{
		{sql: "FLOAT", kind: cdc.KindFloat64, values: []string{"1.1", "1.1", "3.4028234663852886e38", "3.4028235e+38", "-3.4028234663852886e38", "-3.4028235e+38", "1.1754943508222875e-38", "1.1754944e-38",
			"1.401298464324817e-45", "1e-45", "0", "0", "16777216", "16777216"}},
		{sql: "DOUBLE", kind: cdc.KindFloat64, values: []string{"1.1", "1.1", "1.7976931348623157e308", "1.7976931348623157e+308", "-1.7976931348623157e308", "-1.7976931348623157e+308", "2.2250738585072014e-308", "2.2250738585072014e-308",
			"4.9406564584124654e-324", "5e-324", "0.1e0 + 0.2e0", "0.30000000000000004", "1e21", "1e+21"}},
		{flavor: "mysql", sql: "DOUBLE", kind: cdc.KindFloat64, values: []string{"'-0'", "-0"}},
		{flavor: "mariadb", sql: "DOUBLE", kind: cdc.KindFloat64, values: []string{"'-0'", "0"}},
		{sql: "FLOAT(7,3)", kind: cdc.KindFloat64, typ: "float", values: []string{"1234.5678", "1234.568"}},
		{sql: "DOUBLE UNSIGNED", kind: cdc.KindFloat64, values: []string{"1.5", "1.5"}},
	}},
	{"Dates and times", "DATE, DATETIME and TIME have no zone and are delivered as they stand. TIMESTAMP is an instant, in UTC, whatever the zone of the session that wrote it " +
		"(the values below are written at +03:00). There are as many digits after the second as the column has. Zero dates and dates that no calendar has are delivered as they are.", temporals()},
	{"Text", "Text of every character set becomes UTF-8. CHAR loses the spaces at its end, as it does on the server; all others keep them.", texts()},
	{"Character sets", "Each of these reads the same in `VARCHAR`, `CHAR`, `TEXT`, `ENUM` and `SET`. Bytes that mean nothing in their character set become U+FFFD.", charsetCases()},
	{"Bytes", "Base64. BINARY has the zero bytes at its end that the server pads it with.", []typeCase{
		{sql: "BINARY(4)", kind: cdc.KindBytes, values: []string{"x'01'", `"AQAAAA=="`, "x'00000000'", `"AAAAAA=="`, "x'01020304'", `"AQIDBA=="`, "x'20'", `"IAAAAA=="`}},
		{sql: "BINARY(16)", kind: cdc.KindBytes, values: []string{"x'ff00'", `"/wAAAAAAAAAAAAAAAAAAAA=="`}},
		{sql: "BINARY(255)", kind: cdc.KindBytes, values: []string{"''", `"` + repeat("A", 340) + `"`}},
		{sql: "VARBINARY(10)", kind: cdc.KindBytes, values: []string{"x'0100'", `"AQA="`, "''", `""`, "x'2020'", `"ICA="`}},
		{sql: "VARBINARY(256)", kind: cdc.KindBytes, values: []string{"REPEAT(x'00', 255)", `"` + repeat("A", 340) + `"`, "REPEAT(x'00', 256)", `"` + repeat("A", 342) + `=="`}},
		{sql: "CHAR(3) CHARACTER SET binary", kind: cdc.KindBytes, typ: "binary(3)", values: []string{"'a'", `"YQAA"`}},
		{sql: "TINYBLOB", kind: cdc.KindBytes, values: []string{"'a'", `"YQ=="`, "REPEAT(x'00', 255)", `"` + repeat("A", 340) + `"`}},
		{sql: "BLOB", kind: cdc.KindBytes, values: []string{"x'fffe00'", `"//4A"`, "REPEAT(x'00', 65535)", `"` + repeat("A", 87380) + `"`}},
		{sql: "MEDIUMBLOB", kind: cdc.KindBytes, values: []string{"REPEAT(x'00', 65536)", `"` + repeat("A", 87382) + `=="`}},
		{sql: "LONGBLOB", kind: cdc.KindBytes, values: []string{"'abc'", `"YWJj"`, "REPEAT(x'00', 65535)", `"` + repeat("A", 87380) + `"`}},
	}},
	{"COMPRESSED", "MariaDB's COMPRESSED columns are what they would be without that, whatever a session sets for their compression.", compressedCases()},
	{"ENUM and SET", "Members by name, never by number. The error value of an ENUM, which a server that is not strict stores in place of what is no member, is the empty string.", members()},
	{"Geometry", "SRID and WKB in base64. In an `EMPTY` collection the WKB has no members. A column that is NOT NULL and got no geometry from a server that is not strict is null.", geometries()},
	{"JSON", "On MySQL the document itself: members in the order of the server (shorter names first), numbers with all their digits, dates and times as strings, other values that JSON has no type for as `base64:type…`, as SELECT shows them. " +
		"On MariaDB JSON is LONGTEXT, and a string.", []typeCase{
		{flavor: "mysql", sql: "JSON", kind: cdc.KindJSON, values: []string{
			`'{"b":1,"aa":[true,false,null],"c":"ä\\"<&>"}'`, `{"b":1,"c":"ä\"<&>","aa":[true,false,null]}`,
			"'18446744073709551615'", "18446744073709551615",
			"'-9223372036854775808'", "-9223372036854775808",
			"CAST(CAST('12345678901234567890.12345678901234567890' AS DECIMAL(65,30)) AS JSON)", "12345678901234567890.123456789012345678900000000000",
			"'1.1'", "1.1", "'1.0'", "1.0", "'-0.0'", "-0.0", "'1e300'", "1e300", "'1.5e-7'", "0.00000015", "'1e15'", "1e15",
			"'[]'", "[]", "'{}'", "{}", "'null'", "null", "NULL", "null", `'"x"'`, `"x"`,
			"CAST(DATE'2026-11-21' AS JSON)", `"2026-11-21"`,
			"CAST(TIMESTAMP'2026-11-21 01:02:03' AS JSON)", `"2026-11-21 01:02:03.000000"`,
			"CAST(CAST('-838:59:59' AS TIME) AS JSON)", `"-838:59:59.000000"`,
			"CAST(x'00ff' AS JSON)", `"base64:type15:AP8="`, "CAST(b'101' AS JSON)", `"base64:type15:BQ=="`,
			"JSON_ARRAY(9007199254740993, -1, 70000, 5000000000)", "[9007199254740993,-1,70000,5000000000]",
		}},
		{flavor: "mariadb", sql: "JSON", kind: cdc.KindString, typ: "longtext", values: []string{`'{"a": 1}'`, `"{\"a\": 1}"`}},
	}},
	{"Types of one server", "VECTOR is MySQL's, from 9.0; MariaDB's of 11.7 and later is not checked here. UUID, INET4 and INET6 are MariaDB's: the binlog has them as BINARY, so their names come from information_schema " +
		"whatever the metadata; where that cannot be asked (binlog files) they are bytes.", []typeCase{
		{flavor: "mysql", sql: "VECTOR(3)", kind: cdc.KindVector, typ: "vector", values: []string{"TO_VECTOR('[1.5,-2,0.1]')", "[1.5,-2,0.1]"}},
		{flavor: "mariadb", sql: "UUID", kind: cdc.KindString, values: []string{"'123e4567-e89b-12d3-a456-426655440000'", `"123e4567-e89b-12d3-a456-426655440000"`, "'FFFFFFFF-ffff-7fff-bfff-ffffffffff00'", `"ffffffff-ffff-7fff-bfff-ffffffffff00"`, "NULL", "null"}},
		{flavor: "mariadb", sql: "INET6", kind: cdc.KindString, values: []string{"'2001:db8::ff00:42:8329'", `"2001:db8::ff00:42:8329"`, "'::'", `"::"`, "'::ffff:192.0.2.1'", `"::ffff:192.0.2.1"`, "'::192.0.2.1'", `"::c000:201"`}},
		{flavor: "mariadb", sql: "INET4", kind: cdc.KindString, values: []string{"'192.0.2.1'", `"192.0.2.1"`, "'10.0.0.0'", `"10.0.0.0"`}},
	}},
}

func compressedCases() (cases []typeCase) {
	text := []string{"''", `""`, "'a'", `"a"`, "'ä€'", `"ä€"`, "REPEAT('ab', 60)", `"` + repeat("ab", 60) + `"`, "CONCAT(REPEAT('ä', 99), '€')", `"` + repeat("ä", 99) + `€"`, "NULL", "null"}
	binary := []string{"''", `""`, "x'00'", `"AA=="`, "REPEAT(x'00', 120)", `"` + repeat("A", 160) + `"`, "NULL", "null"}
	long := append(slices.Clone(text), "REPEAT('long ', 13000)", `"`+repeat("long ", 13000)+`"`)
	for _, c := range []typeCase{
		{sql: "VARCHAR(120) COMPRESSED CHARACTER SET utf8mb4", typ: "varchar(120)", values: text},
		{sql: "VARCHAR(254) COMPRESSED CHARACTER SET cp1250", typ: "varchar(254)", values: text},
		{sql: "VARCHAR(255) COMPRESSED CHARACTER SET cp1250", typ: "varchar(255)", values: text},
		{sql: "TINYTEXT COMPRESSED CHARACTER SET utf8mb4", typ: "tinytext", values: text},
		{sql: "TEXT COMPRESSED CHARACTER SET utf16", typ: "text", values: text},
		{sql: "MEDIUMTEXT COMPRESSED CHARACTER SET utf8mb4", typ: "mediumtext", values: long},
		{sql: "LONGTEXT COMPRESSED CHARACTER SET latin1", typ: "longtext", values: long},
		{sql: "VARBINARY(120) COMPRESSED", typ: "varbinary(120)", kind: cdc.KindBytes, values: binary},
		{sql: "TINYBLOB COMPRESSED", typ: "tinyblob", kind: cdc.KindBytes, values: binary},
		{sql: "BLOB COMPRESSED", typ: "blob", kind: cdc.KindBytes, values: binary},
		{sql: "LONGBLOB COMPRESSED", typ: "longblob", kind: cdc.KindBytes, values: binary},
	} {
		c.flavor = "mariadb"
		if c.kind == 0 {
			c.kind = cdc.KindString
		}
		cases = append(cases, c)
	}
	return cases
}

func integers() (cases []typeCase) {
	for _, w := range []struct {
		name string
		bits uint
	}{{"TINYINT", 8}, {"SMALLINT", 16}, {"MEDIUMINT", 24}, {"INT", 32}, {"BIGINT", 64}} {
		top := uint64(1) << (w.bits - 1)
		signed := []string{fmt.Sprint(-int64(top)), "", "-1", "", "0", "", fmt.Sprint(top - 1), ""}
		unsigned := []string{"0", "", fmt.Sprint(top), "", fmt.Sprint(top - 1 + top), ""}
		for i := 0; i < len(signed); i += 2 {
			signed[i+1] = signed[i]
		}
		for i := 0; i < len(unsigned); i += 2 {
			unsigned[i+1] = unsigned[i]
		}
		cases = append(cases, typeCase{sql: w.name, kind: cdc.KindInt64, values: append(signed, "NULL", "null")},
			typeCase{sql: w.name + " UNSIGNED", kind: cdc.KindUint64, values: unsigned})
	}
	return cases
}

// decimals has every boundary of the groups of nine digits that decimals are stored in.
func decimals() (cases []typeCase) {
	for _, whole := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 18, 19, 27, 35} {
		for _, scale := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 19, 27, 30} {
			if whole+scale == 0 || whole > 0 && scale > 0 && whole%9 != scale%9 && (whole+scale)%7 != 0 {
				continue // each length of the first and of the last group is there, and some of both
			}
			text := repeat("9", whole)
			if whole == 0 {
				text = "0"
			}
			if scale > 0 {
				text += "." + repeat("9", scale)
			}
			zero := "0"
			if scale > 0 {
				zero += "." + repeat("0", scale)
			}
			cases = append(cases, typeCase{sql: fmt.Sprintf("DECIMAL(%d,%d)", whole+scale, scale), kind: cdc.KindDecimal, silent: true,
				values: []string{text, `"` + text + `"`, "-" + text, `"-` + text + `"`, "0", `"` + zero + `"`}})
		}
	}
	return cases
}

func temporals() []typeCase {
	cases := []typeCase{
		{sql: "DATE", kind: cdc.KindDate, values: []string{"'1000-01-01'", `"1000-01-01"`, "'9999-12-31'", `"9999-12-31"`, "'0000-00-00'", `"0000-00-00"`,
			"'2026-00-00'", `"2026-00-00"`, "'2026-02-31'", `"2026-02-31"`, "'0001-01-01'", `"0001-01-01"`}},
	}
	for fsp := range 7 {
		suffix, zeros, nines, one := "", "", "", ""
		if fsp > 0 {
			suffix = fmt.Sprintf("(%d)", fsp)
			zeros, nines, one = "."+repeat("0", fsp), "."+repeat("9", fsp), "."+repeat("0", fsp-1)+"1"
		}
		values := func(pairs ...string) []string { return pairs }
		cases = append(cases,
			typeCase{sql: "TIME" + suffix, kind: cdc.KindTime, values: values("'-838:59:59"+zeros+"'", `"-838:59:59`+zeros+`"`, "'838:59:59"+zeros+"'", `"838:59:59`+zeros+`"`,
				"'838:59:58"+nines+"'", `"838:59:58`+nines+`"`, "'-00:00:00"+one+"'", `"`+negative("00:00:00"+one)+`"`, "'00:00:00'", `"00:00:00`+zeros+`"`,
				"'-00:00:01"+nines+"'", `"-00:00:01`+nines+`"`, "'100:00:00"+one+"'", `"100:00:00`+one+`"`)},
			typeCase{sql: "DATETIME" + suffix, kind: cdc.KindDatetime, values: values("'1000-01-01 00:00:00"+zeros+"'", `"1000-01-01T00:00:00`+zeros+`"`, "'9999-12-31 23:59:59"+nines+"'", `"9999-12-31T23:59:59`+nines+`"`,
				"'0000-00-00 00:00:00'", `"0000-00-00T00:00:00`+zeros+`"`, "'2026-02-31 10:00:00"+one+"'", `"2026-02-31T10:00:00`+one+`"`, "'2026-11-00 01:02:03'", `"2026-11-00T01:02:03`+zeros+`"`)},
			typeCase{sql: "TIMESTAMP" + suffix + " NULL", kind: cdc.KindTimestamp, typ: "timestamp" + suffix, values: values("'1970-01-01 03:00:01"+zeros+"'", `"1970-01-01T00:00:01`+zeros+`Z"`,
				"'2038-01-19 06:14:07"+nines+"'", `"2038-01-19T03:14:07`+nines+`Z"`, "0", `"0000-00-00T00:00:00`+zeros+`"`, "'2026-03-29 03:30:00"+one+"'", `"2026-03-29T00:30:00`+one+`Z"`, "NULL", "null")})
	}
	return cases
}

// negative is a time with its sign, which zero does not have.
func negative(text string) string {
	if strings.Trim(text, "0:.") == "" {
		return text
	}
	return "-" + text
}

func texts() []typeCase {
	return []typeCase{
		{sql: "CHAR(10)", kind: cdc.KindString, values: []string{"'a'", `"a"`, "''", `""`, "'äöü€😀'", `"äöü€😀"`, "' x '", `" x"`}},
		{sql: "CHAR(255)", kind: cdc.KindString, values: []string{"REPEAT('😀', 255)", `"` + repeat("😀", 255) + `"`, "'a'", `"a"`}},
		{sql: "VARCHAR(0)", kind: cdc.KindString, values: []string{"''", `""`}},
		{sql: "VARCHAR(20)", kind: cdc.KindString, values: []string{`'a"\\\n'`, `"a\"\\\n"`, "' x '", `" x "`, `'\0'`, `"\u0000"`}},
		{sql: "VARCHAR(63)", kind: cdc.KindString, values: []string{"REPEAT('😀', 63)", `"` + repeat("😀", 63) + `"`}},
		{sql: "VARCHAR(64)", kind: cdc.KindString, values: []string{"REPEAT('😀', 64)", `"` + repeat("😀", 64) + `"`, "'x'", `"x"`}},
		{sql: "VARCHAR(400)", kind: cdc.KindString, values: []string{"REPEAT('x', 255)", `"` + repeat("x", 255) + `"`, "REPEAT('x', 256)", `"` + repeat("x", 256) + `"`}},
		{sql: "VARCHAR(5) COLLATE utf8mb4_bin", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä'", `"ä"`}},
		{flavor: "mariadb", sql: "VARCHAR(5) COLLATE utf8mb4_general_nopad_ci", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä '", `"ä "`}},
		{flavor: "mariadb", sql: "VARCHAR(5) COLLATE uca1400_ai_ci", kind: cdc.KindString, typ: "varchar(5)", values: []string{"'ä'", `"ä"`}},
		{flavor: "mysql", sql: "CHAR(5) COLLATE utf8mb4_0900_as_cs", kind: cdc.KindString, typ: "char(5)", values: []string{"'ä '", `"ä"`}},
		{sql: "TINYTEXT", kind: cdc.KindString, values: []string{"'ä'", `"ä"`, "REPEAT('x', 255)", `"` + repeat("x", 255) + `"`}},
		{sql: "TEXT", kind: cdc.KindString, values: []string{"REPEAT('x', 256)", `"` + repeat("x", 256) + `"`, "REPEAT('x', 65535)", `"` + repeat("x", 65535) + `"`}},
		{sql: "MEDIUMTEXT", kind: cdc.KindString, values: []string{"REPEAT('x', 65535)", `"` + repeat("x", 65535) + `"`, "REPEAT('x', 65536)", `"` + repeat("x", 65536) + `"`}},
		{sql: "LONGTEXT", kind: cdc.KindString, values: []string{"'é '", `"é "`, "REPEAT('x', 65536)", `"` + repeat("x", 65536) + `"`}},
	}
}

func charsetCases() (cases []typeCase) {
	for _, c := range [][3]string{
		{"ascii", "abc~", ""}, {"utf8mb3", "a€日", ""}, {"utf8mb4", "a€日😀", ""}, {"latin1", "äß€", ""}, {"latin2", "ąłż", ""}, {"latin5", "ğşİ", ""}, {"latin7", "āčž", ""},
		{"greek", "αβγ", ""}, {"hebrew", "אבג", ""}, {"cp1250", "ąőž", ""}, {"cp1251", "Жук", ""}, {"cp1256", "سلام", ""}, {"cp1257", "āčž", ""}, {"cp850", "äÆß", ""}, {"cp852", "ąőž", ""},
		{"cp866", "Жук", ""}, {"koi8r", "Жук", ""}, {"koi8u", "Їжа", ""}, {"tis620", "ไทย", ""}, {"macroman", "äÆß", ""}, {"gbk", "中文", ""}, {"gb2312", "中文", ""}, {"gb18030", "中文😀", "mysql"},
		{"big5", "中文", ""}, {"sjis", "日本ｱ", ""}, {"cp932", "日本①", ""}, {"ujis", "日本ｱ", ""}, {"eucjpms", "日本①", ""}, {"euckr", "한국", ""}, {"ucs2", "aä日", ""}, {"utf16", "aä😀", ""},
		{"utf16le", "aä😀", ""}, {"utf32", "aä😀", ""},
	} {
		cases = append(cases, typeCase{flavor: c[2], sql: "VARCHAR(5) CHARACTER SET " + c[0], kind: cdc.KindString, typ: "varchar(5)", values: []string{"'" + c[1] + "'", `"` + c[1] + `"`, "''", `""`}},
			typeCase{flavor: c[2], sql: "CHAR(6) CHARACTER SET " + c[0], kind: cdc.KindString, typ: "char(6)", silent: true, values: []string{"'" + c[1] + "'", `"` + c[1] + `"`, "'a '", `"a"`}})
	}
	return cases
}

func members() []typeCase {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("'m%d'", i)
	}
	sixtyFour := many[:64]
	all := make([]string, 64)
	for i := range all {
		all[i] = fmt.Sprintf(`"m%d"`, i)
	}
	return []typeCase{
		{sql: "ENUM('new','it''s','ä')", kind: cdc.KindEnum, values: []string{"'new'", `"new"`, "'it''s'", `"it's"`, "'ä'", `"ä"`, "0", `""`}},
		{sql: "ENUM('ä','b') CHARACTER SET latin1", kind: cdc.KindEnum, typ: "enum('ä','b')", values: []string{"'ä'", `"ä"`, "'b'", `"b"`}},
		{sql: "ENUM('ä','日') CHARACTER SET utf16", kind: cdc.KindEnum, typ: "enum('ä','日')", values: []string{"'日'", `"日"`}},
		{sql: `ENUM('a,b','c\\d','e"f','(',')','')`, kind: cdc.KindEnum, typ: `enum('a,b','c\d','e"f','(',')','')`, values: []string{"1", `"a,b"`, "2", `"c\\d"`, "3", `"e\"f"`, "5", `")"`, "6", `""`}},
		{sql: "ENUM(" + strings.Join(many[:255], ",") + ")", kind: cdc.KindEnum, values: []string{"255", `"m254"`, "128", `"m127"`}},
		{sql: "ENUM(" + strings.Join(many, ",") + ")", kind: cdc.KindEnum, values: []string{"256", `"m255"`, "300", `"m299"`, "1", `"m0"`}},
		{sql: "SET('a','b','ü')", kind: cdc.KindSet, values: []string{"'a,ü'", `["a","ü"]`, "''", `[]`, "'b'", `["b"]`}},
		{sql: "SET('ä','日') CHARACTER SET utf16", kind: cdc.KindSet, typ: "set('ä','日')", values: []string{"3", `["ä","日"]`}},
		{sql: "SET(" + strings.Join(many[:9], ",") + ")", kind: cdc.KindSet, values: []string{"256", `["m8"]`, "257", `["m0","m8"]`}},
		{sql: "SET(" + strings.Join(many[:33], ",") + ")", kind: cdc.KindSet, values: []string{"4294967296", `["m32"]`}},
		{sql: "SET(" + strings.Join(sixtyFour, ",") + ")", kind: cdc.KindSet, values: []string{"9223372036854775808", `["m63"]`, "18446744073709551615", "[" + strings.Join(all, ",") + "]", "0", "[]"}},
	}
}

func geometries() []typeCase {
	c := func(sql, text, wkb string) typeCase {
		return typeCase{sql: sql, kind: cdc.KindGeometry, values: []string{"ST_GeomFromText('" + text + "')", `{"srid":0,"wkb":"` + wkb + `"}`, "NULL", "null"}}
	}
	return []typeCase{
		c("POINT", "POINT(1 2)", "AQEAAAAAAAAAAADwPwAAAAAAAABA"),
		c("LINESTRING", "LINESTRING(0 0,1 1)", "AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8="),
		c("POLYGON", "POLYGON((0 0,0 1,1 1,0 0))", "AQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8AAAAAAADwPwAAAAAAAAAAAAAAAAAAAAA="),
		c("MULTIPOINT", "MULTIPOINT(1 2)", "AQQAAAABAAAAAQEAAAAAAAAAAADwPwAAAAAAAABA"),
		c("MULTILINESTRING", "MULTILINESTRING((0 0,1 1))", "AQUAAAABAAAAAQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8="),
		c("MULTIPOLYGON", "MULTIPOLYGON(((0 0,0 1,1 1,0 0)))", "AQYAAAABAAAAAQMAAAABAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8AAAAAAADwPwAAAAAAAAAAAAAAAAAAAAA="),
		c("GEOMETRYCOLLECTION", "GEOMETRYCOLLECTION(POINT(1 2))", "AQcAAAABAAAAAQEAAAAAAAAAAADwPwAAAAAAAABA"),
		{sql: "GEOMETRY", kind: cdc.KindGeometry, values: []string{"ST_GeomFromText('LINESTRING(0 0,1 1)', 4326)", `{"srid":4326,"wkb":"AQIAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPA/AAAAAAAA8D8="}`,
			"ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')", `{"srid":0,"wkb":"AQcAAAAAAAAA"}`}},
	}
}
