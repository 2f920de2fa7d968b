package cdc_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestValuesAreRenderedByTheTypeOfTheirColumn(t *testing.T) {
	date := func(y, m, d int) cdc.Value { return cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: y, Month: m, Day: d}) }
	dt := func(y, mo, d, h, mi, s, us int) cdc.Value {
		return cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: y, Month: mo, Day: d, Hour: h, Minute: mi, Second: s, Micro: us})
	}
	const h, m, s = 3600_000_000, 60_000_000, 1_000_000
	str := func(s string) cdc.Value { return text(cdc.KindString, s) }
	single := cdc.Column{Float32: true}
	fsp := func(n uint8) cdc.Column { return cdc.Column{Fsp: n} }
	for _, tt := range []struct {
		name   string
		column cdc.Column
		value  cdc.Value
		want   string
	}{
		{"absent, where something must stand", cdc.Column{}, cdc.Value{}, `null`},
		{"null", cdc.Column{}, cdc.NullValue(), `null`},
		{"false", cdc.Column{}, cdc.BoolValue(false), `false`},
		{"true", cdc.Column{}, cdc.BoolValue(true), `true`},

		{"tinyint", cdc.Column{}, cdc.Int64Value(-128), `-128`},
		{"year", cdc.Column{}, cdc.Int64Value(2026), `2026`},
		{"zero year", cdc.Column{}, cdc.Int64Value(0), `0`},
		{"beyond 2^53", cdc.Column{}, cdc.Int64Value(9007199254740993), `9007199254740993`},
		{"least bigint", cdc.Column{}, cdc.Int64Value(math.MinInt64), `-9223372036854775808`},
		{"greatest bigint", cdc.Column{}, cdc.Int64Value(math.MaxInt64), `9223372036854775807`},
		{"greatest bigint unsigned", cdc.Column{}, cdc.Uint64Value(math.MaxUint64), `18446744073709551615`},
		{"bit(1)", cdc.Column{Precision: 1}, cdc.BitValue(1), `1`},
		{"bit(64)", cdc.Column{Precision: 64}, cdc.BitValue(1 << 63), `9223372036854775808`},

		{"float", single, cdc.Float64Value(float64(float32(1.1))), `1.1`},
		{"the same number in a double", cdc.Column{}, cdc.Float64Value(float64(float32(1.1))), `1.100000023841858`},
		{"double", cdc.Column{}, cdc.Float64Value(0.1), `0.1`},
		{"whole double", cdc.Column{}, cdc.Float64Value(100), `100`},
		{"zero", cdc.Column{}, cdc.Float64Value(0), `0`},
		{"minus zero", cdc.Column{}, cdc.Float64Value(math.Copysign(0, -1)), `-0`},
		{"small, written out", cdc.Column{}, cdc.Float64Value(0.000001), `0.000001`},
		{"smaller", cdc.Column{}, cdc.Float64Value(-0.0000001), `-1e-7`},
		{"small exponent of two digits", cdc.Column{}, cdc.Float64Value(1.5e-10), `1.5e-10`},
		{"large, written out", cdc.Column{}, cdc.Float64Value(1e20), `100000000000000000000`},
		{"larger", cdc.Column{}, cdc.Float64Value(1e21), `1e+21`},
		{"greatest double", cdc.Column{}, cdc.Float64Value(math.MaxFloat64), `1.7976931348623157e+308`},
		{"least double", cdc.Column{}, cdc.Float64Value(math.SmallestNonzeroFloat64), `5e-324`},
		{"greatest float", single, cdc.Float64Value(math.MaxFloat32), `3.4028235e+38`},
		{"a double in a float", single, cdc.Float64Value(1e300), `1e+300`},
		{"more digits than a float has", single, cdc.Float64Value(0.1), `0.1`},
		{"not a number", cdc.Column{}, cdc.Float64Value(math.NaN()), `null`},
		{"infinity", single, cdc.Float64Value(math.Inf(-1)), `null`},

		{"decimal", cdc.Column{}, text(cdc.KindDecimal, "1200.00"), `"1200.00"`},
		{"negative decimal", cdc.Column{}, text(cdc.KindDecimal, "-0.01"), `"-0.01"`},
		{"65 digits", cdc.Column{}, text(cdc.KindDecimal, strings.Repeat("9", 65)), `"` + strings.Repeat("9", 65) + `"`},
		{"a decimal that is none", cdc.Column{}, text(cdc.KindDecimal, `1","x":"`), `"1\",\"x\":\""`},

		{"string", cdc.Column{}, str("plain"), `"plain"`},
		{"empty string", cdc.Column{}, str(""), `""`},
		{"a string that looks like a number", cdc.Column{}, str("1e5"), `"1e5"`},
		{"escapes", cdc.Column{}, str("\"\\/\b\f\n\r\t\x00\x1f\x7f"), "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\\u0000\\u001f\x7f\""},
		{"not HTML", cdc.Column{}, str("<a&b>"), `"<a&b>"`},
		{"all planes", cdc.Column{}, str("é €\u2028 🚀 \ufffd"), "\"é €\u2028 🚀 \ufffd\""},
		{"not UTF-8", cdc.Column{}, str("a\xffb\xc3"), "\"a\ufffdb\ufffd\""},
		{"cut off, then a quote", cdc.Column{}, str("\xe2\x82\""), "\"\ufffd\ufffd\\\"\""},
		{"surrogate", cdc.Column{}, str("\xed\xa0\x80"), "\"\ufffd\ufffd\ufffd\""},

		{"bytes", cdc.Column{}, text(cdc.KindBytes, "\x00\x01\xfe\xff"), `"AAH+/w=="`},
		{"no bytes", cdc.Column{}, text(cdc.KindBytes, ""), `""`},

		{"date", cdc.Column{}, date(2026, 11, 21), `"2026-11-21"`},
		{"first day", cdc.Column{}, date(1, 1, 1), `"0001-01-01"`},
		{"last day", cdc.Column{}, date(9999, 12, 31), `"9999-12-31"`},
		{"zero date", cdc.Column{}, date(0, 0, 0), `"0000-00-00"`},
		{"date without a day", cdc.Column{}, date(2026, 11, 0), `"2026-11-00"`},
		{"date without a month", cdc.Column{}, date(2026, 0, 0), `"2026-00-00"`},
		{"a day that is none", cdc.Column{}, date(2026, 2, 31), `"2026-02-31"`},

		{"datetime", fsp(0), dt(2026, 11, 21, 3, 4, 5, 0), `"2026-11-21T03:04:05"`},
		{"datetime(1)", fsp(1), dt(2026, 11, 21, 3, 4, 5, 100000), `"2026-11-21T03:04:05.1"`},
		{"datetime(2)", fsp(2), dt(2026, 11, 21, 3, 4, 5, 120000), `"2026-11-21T03:04:05.12"`},
		{"datetime(3)", fsp(3), dt(2026, 11, 21, 3, 4, 5, 123000), `"2026-11-21T03:04:05.123"`},
		{"datetime(4)", fsp(4), dt(2026, 11, 21, 3, 4, 5, 123400), `"2026-11-21T03:04:05.1234"`},
		{"datetime(5)", fsp(5), dt(2026, 11, 21, 3, 4, 5, 123450), `"2026-11-21T03:04:05.12345"`},
		{"datetime(6)", fsp(6), dt(2026, 11, 21, 3, 4, 5, 123456), `"2026-11-21T03:04:05.123456"`},
		{"datetime(6) of no fraction", fsp(6), dt(2026, 11, 21, 3, 4, 5, 7), `"2026-11-21T03:04:05.000007"`},
		{"zero datetime", fsp(0), dt(0, 0, 0, 0, 0, 0, 0), `"0000-00-00T00:00:00"`},
		{"zero datetime(3)", fsp(3), dt(0, 0, 0, 0, 0, 0, 0), `"0000-00-00T00:00:00.000"`},
		{"partial datetime", fsp(0), dt(2026, 0, 0, 23, 59, 59, 0), `"2026-00-00T23:59:59"`},

		{"timestamp", fsp(0), cdc.TimestampValue(1_795_226_400_000_000), `"2026-11-21T02:00:00Z"`},
		{"timestamp(1)", fsp(1), cdc.TimestampValue(1_795_226_400_900_000), `"2026-11-21T02:00:00.9Z"`},
		{"timestamp(2)", fsp(2), cdc.TimestampValue(1_795_226_400_990_000), `"2026-11-21T02:00:00.99Z"`},
		{"timestamp(3)", fsp(3), cdc.TimestampValue(1_795_226_400_120_000), `"2026-11-21T02:00:00.120Z"`},
		{"timestamp(4)", fsp(4), cdc.TimestampValue(1_795_226_400_000_100), `"2026-11-21T02:00:00.0001Z"`},
		{"timestamp(5)", fsp(5), cdc.TimestampValue(1_795_226_400_000_010), `"2026-11-21T02:00:00.00001Z"`},
		{"timestamp(6)", fsp(6), cdc.TimestampValue(1_795_226_400_000_001), `"2026-11-21T02:00:00.000001Z"`},
		{"leap day", fsp(0), cdc.TimestampValue(1_709_164_800_000_000), `"2024-02-29T00:00:00Z"`},
		{"zero timestamp", fsp(0), cdc.TimestampValue(0), `"0000-00-00T00:00:00"`},
		{"zero timestamp(2)", fsp(2), cdc.TimestampValue(0), `"0000-00-00T00:00:00.00"`},

		{"time", fsp(0), cdc.TimeValue(1*h + 2*m + 3*s), `"01:02:03"`},
		{"midnight", fsp(0), cdc.TimeValue(0), `"00:00:00"`},
		{"time(1)", fsp(1), cdc.TimeValue(100_000), `"00:00:00.1"`},
		{"time(2)", fsp(2), cdc.TimeValue(120_000), `"00:00:00.12"`},
		{"time(3)", fsp(3), cdc.TimeValue(123_000), `"00:00:00.123"`},
		{"time(4)", fsp(4), cdc.TimeValue(123_400), `"00:00:00.1234"`},
		{"time(5)", fsp(5), cdc.TimeValue(123_450), `"00:00:00.12345"`},
		{"time(6)", fsp(6), cdc.TimeValue(-123_456), `"-00:00:00.123456"`},
		{"more than a day", fsp(0), cdc.TimeValue(99*h + 59*m + 59*s), `"99:59:59"`},
		{"more than 99 hours", fsp(0), cdc.TimeValue(100 * h), `"100:00:00"`},
		{"longest", fsp(6), cdc.TimeValue(838*h + 59*m + 59*s + 999_999), `"838:59:59.999999"`},
		{"longest negative", fsp(0), cdc.TimeValue(-(838*h + 59*m + 59*s)), `"-838:59:59"`},
		{"negative", fsp(0), cdc.TimeValue(-(1*h + 2*m + 3*s)), `"-01:02:03"`},

		{"JSON keeps its digits", cdc.Column{}, text(cdc.KindJSON, `{"n":12345678901234567890.12300,"e":1E400}`), `{"n":12345678901234567890.12300,"e":1E400}`},
		{"JSON keeps its spaces", cdc.Column{}, text(cdc.KindJSON, `[1, {"a": "b  c"}]`), `[1, {"a": "b  c"}]`},
		{"JSON string", cdc.Column{}, text(cdc.KindJSON, `"a\nb"`), `"a\nb"`},
		{"JSON null is not NULL", cdc.Column{}, text(cdc.KindJSON, `null`), `null`},
		{"JSON of several lines", cdc.Column{}, text(cdc.KindJSON, "{\n\t\"a\": 1.50,\r\n \"b\": \"x  y\" }\n"), `{"a":1.50,"b":"x  y"}`},
		{"JSON of no text", cdc.Column{}, text(cdc.KindJSON, ""), `null`},
		{"JSON that is none", cdc.Column{}, text(cdc.KindJSON, "{\"a\":\n"), `"{\"a\":\n"`},
		{"JSON that leaves its place", cdc.Column{}, text(cdc.KindJSON, `1},"after":{"x":2`), `"1},\"after\":{\"x\":2"`},
		{"JSON that is not UTF-8", cdc.Column{}, text(cdc.KindJSON, "[\"\xff\"]"), "[\"\ufffd\"]"},

		{"enum", cdc.Column{}, text(cdc.KindEnum, "it's"), `"it's"`},
		{"enum's error value", cdc.Column{}, text(cdc.KindEnum, ""), `""`},
		{"set", cdc.Column{}, text(cdc.KindSet, `a,b "c",ü`), `["a","b \"c\"","ü"]`},
		{"set of one", cdc.Column{}, text(cdc.KindSet, "a"), `["a"]`},
		{"empty set", cdc.Column{}, text(cdc.KindSet, ""), `[]`},

		{"geometry", cdc.Column{}, point, `{"srid":4326,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}`},
		{"greatest SRID", cdc.Column{}, text(cdc.KindGeometry, "\xff\xff\xff\xff\x01"), `{"srid":4294967295,"wkb":"AQ=="}`},
		{"geometry that is none", cdc.Column{}, text(cdc.KindGeometry, "abc"), `null`},
		{"vector", cdc.Column{}, vector(1.1, 0, -2.5e-8, float32(math.Inf(1))), `[1.1,0,-2.5e-8,null]`},
		{"empty vector", cdc.Column{}, vector(), `[]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.column
			c.Kind = tt.value.Kind()
			got := string(cdc.AppendJSON([]byte("x"), &c, tt.value))
			if got != "x"+tt.want {
				t.Errorf("got  %s\nwant x%s", got, tt.want)
			}
			if !json.Valid([]byte(got[1:])) {
				t.Errorf("not JSON: %s", got[1:])
			}
		})
	}
}

func TestTextIsJSONWithoutQuotesAndEscapes(t *testing.T) {
	for _, tt := range []struct {
		column cdc.Column
		value  cdc.Value
		want   string
	}{
		{cdc.Column{}, text(cdc.KindString, "a\"b\\\nü"), "a\"b\\\nü"},
		{cdc.Column{}, text(cdc.KindString, ""), ""},
		{cdc.Column{}, text(cdc.KindEnum, "new"), "new"},
		{cdc.Column{}, text(cdc.KindDecimal, "-1.50"), "-1.50"},
		{cdc.Column{}, text(cdc.KindBytes, "\x00\xff"), "AP8="},
		{cdc.Column{}, text(cdc.KindBytes, ""), ""},
		{cdc.Column{}, text(cdc.KindJSON, `{"a":"b"}`), `{"a":"b"}`},
		{cdc.Column{}, text(cdc.KindSet, "a,b"), `["a","b"]`},
		{cdc.Column{}, cdc.Int64Value(-5), "-5"},
		{cdc.Column{Fsp: 3}, cdc.TimeValue(-1500_000), "-00:00:01.500"},
		{cdc.Column{}, cdc.TimestampValue(0), "0000-00-00T00:00:00"},
		{cdc.Column{}, cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21}), "2026-11-21"},
	} {
		if got := string(cdc.AppendText([]byte("x"), &tt.column, tt.value)); got != "x"+tt.want {
			t.Errorf("%v: got %s, want x%s", tt.value, got, tt.want)
		}
	}
}

func TestValuesHaveATextForPeople(t *testing.T) {
	for _, tt := range []struct {
		value cdc.Value
		want  string
	}{
		{cdc.Value{}, "absent"}, {cdc.NullValue(), "null"}, {cdc.Int64Value(-1), "-1"}, {text(cdc.KindString, "null"), `"null"`},
		{text(cdc.KindBytes, "\x00\xff"), "00ff"}, {text(cdc.KindDecimal, "1.50"), `"1.50"`}, {cdc.TimeValue(-1), `"-00:00:00.000001"`},
		{text(cdc.KindJSON, `{"a":1}`), `{"a":1}`},
	} {
		if got := tt.value.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestValuesGiveBackWhatTheyWereMadeOf(t *testing.T) {
	civil := cdc.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}
	if got := cdc.CivilValue(cdc.KindDatetime, civil).Civil(); got != civil {
		t.Errorf("got %+v, want %+v", got, civil)
	}
	if got, want := cdc.TimeValue(-3_000_001).Duration(), -3*time.Second-time.Microsecond; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := cdc.TimestampValue(commit.UnixMicro()).Time(); got != commit {
		t.Errorf("got %v, want %v", got, commit)
	}
	if got := cdc.TimestampValue(0).Time(); !got.IsZero() {
		t.Errorf("got %v, want the zero time", got)
	}
}

func TestARecordIsOneLine(t *testing.T) {
	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{
		{Name: "no", Kind: cdc.KindInt64, Key: 2}, {Name: "status", Kind: cdc.KindString}, {Name: "total", Kind: cdc.KindDecimal},
		{Name: "region", Kind: cdc.KindString, Key: 1}}}
	keyless := &cdc.Table{Schema: `a"b`, Name: "c\nd", Columns: []cdc.Column{{Name: `q"\`, Kind: cdc.KindString}}}
	str := func(s string) cdc.Value { return text(cdc.KindString, s) }
	spec := frameSpec{
		Header: cdc.Header{Source: "shop", FirstPartNo: 501},
		Txs: []cdc.Tx{
			{Server: "0-1", GTID: "0-1-17", File: "binlog.000001", Pos: 1234, CommitTime: commit},
			{Server: "s", File: `C:\log"1`, Pos: 4, CommitTime: commit.Truncate(time.Second)},
		},
		Tables: []*cdc.Table{orders, keyless},
		Events: []eventSpec{
			{No: 1001, Tx: 0, Row: 0, Op: cdc.OpInsert, After: []cdc.Value{cdc.Int64Value(42), str("new"), text(cdc.KindDecimal, "9.50"), str("eu")}},
			{No: 1002, Tx: 0, Row: 1, Op: cdc.OpUpdate, Before: []cdc.Value{cdc.Int64Value(42), str("new"), {}, str("eu")},
				After: []cdc.Value{cdc.Int64Value(43), cdc.NullValue(), {}, {}}},
			{No: 1003, Tx: 0, Row: 2, Op: cdc.OpDelete, Before: []cdc.Value{cdc.Int64Value(43), {}, {}, str("eu")}},
			{No: 1004, Tx: 1, Row: 0, Table: 1, Op: cdc.OpInsert, After: []cdc.Value{str("a\nb\xff")}},
			{No: 1005, Tx: 1, Row: 1, Table: 1, Op: cdc.OpSnapshot, After: []cdc.Value{{}}},
			{No: 1006, Tx: 1, Row: 2, Op: cdc.OpUpdate, Before: make([]cdc.Value, 4), After: make([]cdc.Value, 4)},
		},
	}
	b := open(t, spec.build(new(cdc.Builder)), nil)
	paid := cdc.RuleMatch{Name: "paid-big-order", Version: "sha256:ab", To: []string{"acme", "globex"}}
	vip := func(change string) cdc.RuleMatch {
		return cdc.RuleMatch{Name: `vip "gold"`, Version: "sha256:cd", Change: change, To: []string{"acme"}}
	}
	other := func(change string) cdc.RuleMatch {
		return cdc.RuleMatch{Name: "other", Version: "sha256:ef", Change: change, To: []string{"globex"}}
	}
	both := func(change string) cdc.RuleMatch {
		return cdc.RuleMatch{Name: "both", Version: "sha256:01", Change: change, To: []string{"acme", "globex"}}
	}
	const v1 = `{"name":"paid-big-order","version":"sha256:ab"}`
	v2 := func(change string) string {
		return `{"name":"vip \"gold\"","version":"sha256:cd","change":"` + change + `"}`
	}
	v3 := func(change string) string { return `{"name":"other","version":"sha256:ef","change":"` + change + `"}` }
	v4 := func(change string) string { return `{"name":"both","version":"sha256:01","change":"` + change + `"}` }
	const at2 = `"commit_time":"2026-11-21T02:00:00.123456Z",` +
		`"source":{"name":"shop","gtid":"0-1-17","file":"binlog.000001","pos":1234,"row":1,"no":1002,"part_no":502}}`
	const before2, after2 = `{"no":42,"status":"new","region":"eu"}`, `{"no":43,"status":null}`
	for _, tt := range []struct {
		name    string
		event   int
		feed    string
		matches []cdc.RuleMatch
		want    string
	}{
		{"insert, composite key in key order", 0, "acme", []cdc.RuleMatch{paid},
			`{"id":"0-1-17/0","feed":"acme","rules":[` + v1 + `],"op":"insert","table":"shop.orders","key":{"region":"eu","no":42},` +
				`"before":null,"after":{"no":42,"status":"new","total":"9.50","region":"eu"},"commit_time":"2026-11-21T02:00:00.123456Z",` +
				`"source":{"name":"shop","gtid":"0-1-17","file":"binlog.000001","pos":1234,"row":0,"no":1001,"part_no":501}}`},
		{"update of a minimal image, only the feed's rules", 1, "acme", []cdc.RuleMatch{paid, other("left")},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v1 + `],"op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"entered: the row as it is, and was not the partner's before", 1, "acme", []cdc.RuleMatch{vip("entered"), other("left")},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v2("entered") + `],"change":"entered","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":null,"after":` + after2 + `,` + at2},
		{"stayed: both", 1, "acme", []cdc.RuleMatch{vip("stayed")},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v2("stayed") + `],"change":"stayed","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"left: the row as it was, by the key that it had", 1, "acme", []cdc.RuleMatch{vip("left")},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v2("left") + `],"change":"left","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":42},"before":` + before2 + `,"after":null,` + at2},
		{"left one filter of the feed and entered the other: stayed", 1, "acme", []cdc.RuleMatch{vip("left"), both("entered")},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v2("left") + `,` + v4("entered") + `],"change":"stayed","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"left one filter and stayed in the other: stayed", 1, "globex", []cdc.RuleMatch{other("left"), both("stayed")},
			`{"id":"0-1-17/1","feed":"globex","rules":[` + v3("left") + `,` + v4("stayed") + `],"change":"stayed","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"left, but a rule on changes shows the change", 1, "acme", []cdc.RuleMatch{vip("left"), paid},
			`{"id":"0-1-17/1","feed":"acme","rules":[` + v2("left") + `,` + v1 + `],"change":"left","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":42},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"all feeds see all", 1, "", []cdc.RuleMatch{vip("left")},
			`{"id":"0-1-17/1","feed":"","rules":[` + v2("left") + `],"change":"left","op":"update","table":"shop.orders",` +
				`"key":{"region":"eu","no":42},"before":` + before2 + `,"after":` + after2 + `,` + at2},
		{"delete, all feeds", 2, "", []cdc.RuleMatch{other("left"), vip("left")},
			`{"id":"0-1-17/2","feed":"","rules":[` + v3("left") + `,` + v2("left") + `],"change":"left","op":"delete","table":"shop.orders",` +
				`"key":{"region":"eu","no":43},"before":{"no":43,"region":"eu"},"after":null,"commit_time":"2026-11-21T02:00:00.123456Z",` +
				`"source":{"name":"shop","gtid":"0-1-17","file":"binlog.000001","pos":1234,"row":2,"no":1003,"part_no":503}}`},
		{"no key, no GTID, names that need escapes", 3, `a"`, nil,
			`{"id":"s:C:\\log\"1:4/0","feed":"a\"","rules":[],"op":"insert","table":"a\"b.c\nd","key":null,` +
				`"before":null,"after":{"q\"\\":"a\nb` + "\ufffd" + `"},"commit_time":"2026-11-21T02:00:00.000000Z",` +
				`"source":{"name":"shop","gtid":null,"file":"C:\\log\"1","pos":4,"row":0,"no":1004,"part_no":504}}`},
		{"snapshot of nothing", 4, "acme", nil,
			`{"id":"s:C:\\log\"1:4/1","feed":"acme","rules":[],"op":"snapshot","table":"a\"b.c\nd","key":null,` +
				`"before":null,"after":{},"commit_time":"2026-11-21T02:00:00.000000Z",` +
				`"source":{"name":"shop","gtid":null,"file":"C:\\log\"1","pos":4,"row":1,"no":1005,"part_no":505}}`},
		{"key in neither image", 5, "acme", nil,
			`{"id":"s:C:\\log\"1:4/2","feed":"acme","rules":[],"op":"update","table":"shop.orders","key":{},` +
				`"before":{},"after":{},"commit_time":"2026-11-21T02:00:00.000000Z",` +
				`"source":{"name":"shop","gtid":null,"file":"C:\\log\"1","pos":4,"row":2,"no":1006,"part_no":506}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := b.Event(tt.event)
			got := string(cdc.AppendRecord([]byte("x"), tt.feed, &cdc.Decision{Event: e, Matches: tt.matches}))
			if got != "x"+tt.want {
				t.Errorf("record\ngot  %s\nwant x%s", got, tt.want)
			}
			if !json.Valid([]byte(tt.want)) {
				t.Error("not JSON")
			}
			if strings.Contains(tt.want, `"change"`) {
				return
			}
			// An event is a record without what rules and feeds add to it.
			from, to := strings.Index(tt.want, `"feed"`), strings.Index(tt.want, `"op"`)
			if got, want := string(cdc.AppendEvent(nil, e)), tt.want[:from]+tt.want[to:]; got != want {
				t.Errorf("event\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func TestEditsAreMadeInWhatAFeedGets(t *testing.T) {
	table := &cdc.Table{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "a", Kind: cdc.KindString},
		{Name: "b", Kind: cdc.KindDecimal}, {Name: "c", Kind: cdc.KindTimestamp, Fsp: 3}}}
	str := func(s string) cdc.Value { return text(cdc.KindString, s) }
	spec := frameSpec{
		Header: cdc.Header{Source: "shop"}, Txs: []cdc.Tx{{GTID: "0-1-17", CommitTime: commit}}, Tables: []*cdc.Table{table},
		Events: []eventSpec{
			{Op: cdc.OpUpdate, Before: []cdc.Value{cdc.Int64Value(1), str("x"), text(cdc.KindDecimal, "1.50"), cdc.NullValue()},
				After: []cdc.Value{cdc.Int64Value(2), str("y"), {}, cdc.TimestampValue(commit.UnixMicro())}},
			{Op: cdc.OpInsert, After: []cdc.Value{cdc.Int64Value(3), str("z"), text(cdc.KindDecimal, "1.50"), cdc.NullValue()}},
			{Op: cdc.OpUpdate, Before: make([]cdc.Value, 4), After: make([]cdc.Value, 4)},
		},
	}
	b := open(t, spec.build(new(cdc.Builder)), nil)
	set := func(column, value string) cdc.ColumnEdit { return cdc.ColumnEdit{Column: column, Value: str(value)} }
	before := func(e cdc.ColumnEdit) cdc.ColumnEdit { e.Before = true; return e }
	drop := func(column string) cdc.ColumnEdit { return cdc.ColumnEdit{Column: column, Drop: true} }
	columns := func(edits ...cdc.ColumnEdit) *cdc.Edits { return &cdc.Edits{Columns: edits} }
	match := func(name string, e *cdc.Edits, to ...string) cdc.RuleMatch {
		return cdc.RuleMatch{Name: name, Version: "v", To: to, Edits: e}
	}
	const at = `"c":"2026-11-21T02:00:00.123Z"`
	for _, tt := range []struct {
		name    string
		event   int
		feed    string
		matches []cdc.RuleMatch
		rules   string // and what follows up to op
		rows    string // key, before and after
	}{
		{"no edit", 0, "acme", []cdc.RuleMatch{match("r", &cdc.Edits{}, "acme")}, `{"name":"r","version":"v"}],`,
			`"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50","c":null},"after":{"id":2,"a":"y",` + at + `}`},
		{"set, null and drop, each in its image", 0, "acme",
			[]cdc.RuleMatch{match("r", columns(set("a", "\"new\""), before(drop("a")), before(cdc.ColumnEdit{Column: "b", Value: cdc.NullValue()}), drop("c")), "acme")}, `{"name":"r","version":"v"}],`,
			`"key":{"id":2},"before":{"id":1,"b":null,"c":null},"after":{"id":2,"a":"\"new\""}`},
		{"a value where the image has none, as its column demands", 0, "acme",
			[]cdc.RuleMatch{match("r", columns(cdc.ColumnEdit{Column: "b", Value: text(cdc.KindDecimal, "7.00")}, before(cdc.ColumnEdit{Column: "c", Value: cdc.TimestampValue(commit.UnixMicro())})), "acme")},
			`{"name":"r","version":"v"}],`, `"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50",` + at + `},"after":{"id":2,"a":"y","b":"7.00",` + at + `}`},
		{"the last of a column counts, over all rules", 0, "acme",
			[]cdc.RuleMatch{match("r", columns(set("a", "1"), drop("a"), set("a", "2"), drop("c")), "acme"), match("none", nil, "acme"), match("s", columns(set("a", "3")), "acme")},
			`{"name":"r","version":"v"},{"name":"none","version":"v"},{"name":"s","version":"v"}],`, `"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50","c":null},"after":{"id":2,"a":"3"}`},
		{"rules of other feeds edit nothing", 0, "acme",
			[]cdc.RuleMatch{match("r", &cdc.Edits{Columns: []cdc.ColumnEdit{drop("a")}, Tags: []string{"t"}, Reason: "why"}, "bolt"), match("s", columns(drop("c")), "acme", "bolt")},
			`{"name":"s","version":"v"}],`, `"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50","c":null},"after":{"id":2,"a":"y"}`},
		{"all feeds: all edits", 0, "",
			[]cdc.RuleMatch{match("r", columns(drop("a")), "bolt"), match("shadow", columns(drop("c")))},
			`{"name":"r","version":"v"},{"name":"shadow","version":"v"}],`, `"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50","c":null},"after":{"id":2}`},
		{"the key is nobody's to edit", 0, "acme",
			[]cdc.RuleMatch{match("r", columns(cdc.ColumnEdit{Column: "id", Value: cdc.Int64Value(9)}, before(drop("id"))), "acme")},
			`{"name":"r","version":"v"}],`, `"key":{"id":2},"before":{"id":1,"a":"x","b":"1.50","c":null},"after":{"id":2,"a":"y",` + at + `}`},
		{"an image that is not there, and a column that is not", 1, "acme",
			[]cdc.RuleMatch{match("r", columns(before(set("a", "1")), before(drop("id")), set("gone", "1")), "acme")},
			`{"name":"r","version":"v"}],`, `"key":{"id":3},"before":null,"after":{"id":3,"a":"z","b":"1.50","c":null}`},
		{"nothing is left", 2, "acme", []cdc.RuleMatch{match("r", columns(drop("a")), "acme")}, `{"name":"r","version":"v"}],`, `"key":{},"before":{},"after":{}`},
		{"tags once each, reasons with their rules", 1, "acme",
			[]cdc.RuleMatch{match("r", &cdc.Edits{Tags: []string{"b", "a\n"}, Reason: "score \"91\""}, "acme"), match("s", &cdc.Edits{Tags: []string{"c", "b"}}, "acme")},
			`{"name":"r","version":"v","reason":"score \"91\""},{"name":"s","version":"v"}],"tags":["b","a\n","c"],`, `"key":{"id":3},"before":null,"after":{"id":3,"a":"z","b":"1.50","c":null}`},
		{"with a rule on rows in the same feed, both images are shown and edited", 0, "acme",
			[]cdc.RuleMatch{{Name: "w", Version: "v", Change: cdc.Entered, To: []string{"acme"}}, match("r", &cdc.Edits{Columns: []cdc.ColumnEdit{before(drop("a"))}, Tags: []string{"t"}}, "acme")},
			`{"name":"w","version":"v","change":"entered"},{"name":"r","version":"v"}],"tags":["t"],"change":"entered",`, `"key":{"id":2},"before":{"id":1,"b":"1.50","c":null},"after":{"id":2,"a":"y",` + at + `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := cdc.Decision{Event: b.Event(tt.event), Matches: tt.matches}
			got := string(cdc.AppendRecord(nil, tt.feed, &d))
			if !json.Valid([]byte(got)) {
				t.Errorf("not JSON: %s", got)
			}
			_, got, _ = strings.Cut(got, `"rules":[`)
			head, rest, _ := strings.Cut(got, `"op":`)
			_, rest, _ = strings.Cut(rest, `"table":"s.t",`)
			rows, _, _ := strings.Cut(rest, `,"commit_time"`)
			if head != tt.rules || rows != tt.rows {
				t.Errorf("got\n%s\n%s\nwant\n%s\n%s", head, rows, tt.rules, tt.rows)
			}
		})
	}
}

func ExampleAppendJSON() {
	total, _ := cdc.ParseType("decimal(12,2)")
	at, _ := cdc.ParseType("datetime(3)")
	fmt.Printf("%s\n", cdc.AppendJSON(nil, &total, cdc.TextValue(cdc.KindDecimal, "1200.00")))
	fmt.Printf("%s\n", cdc.AppendJSON(nil, &at, cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: 2026, Month: 11, Day: 21, Hour: 3})))
	// Output:
	// "1200.00"
	// "2026-11-21T03:00:00.000"
}
