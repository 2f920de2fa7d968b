package rulegen

import (
	"math"

	"github.com/cdcd-project/cdcd/cdc"
)

// sort is a sort of column: values that rows have, and literals that rules have.
type sort struct {
	name     string
	column   cdc.Column
	values   []cdc.Value
	literals []string
}

var micros = []int64{0, 1, 999_999, 1_000_000, 1_799_999_999_123_456, 1_800_000_000_000_000, 253402300799_999_999}

var sorts = func() []sort {
	texts := func(k cdc.Kind, ss ...string) (vs []cdc.Value) {
		for _, s := range ss {
			vs = append(vs, cdc.TextValue(k, s))
		}
		return vs
	}
	list := func(sqlType string) cdc.Column {
		c, ok := cdc.ParseType(sqlType)
		if !ok {
			panic(sqlType)
		}
		return c
	}
	var ints, uints, floats, bits, times, instants []cdc.Value
	for _, n := range []int64{0, 1, -1, 2, 5, 7, 10, math.MaxInt64, math.MinInt64, 1<<53 - 1, 1 << 53, 1<<53 + 1} {
		ints = append(ints, cdc.Int64Value(n))
	}
	for _, n := range []uint64{0, 1, 2, 5, 1 << 53, 1<<53 + 1, math.MaxInt64, 1 << 63, math.MaxUint64} {
		uints = append(uints, cdc.Uint64Value(n))
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 1.5, 5, 1 << 53, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN()} {
		floats = append(floats, cdc.Float64Value(f))
	}
	for _, n := range []uint64{0, 1, 2, 255, math.MaxUint64} {
		bits = append(bits, cdc.BitValue(n))
	}
	for _, n := range []int64{0, -1_000_000, 1_000_000, 45_000_000_000, 360_000_000_000, 3_020_399_000_000, -3_020_399_000_000} {
		times = append(times, cdc.TimeValue(n))
	}
	for _, n := range micros {
		instants = append(instants, cdc.TimestampValue(n))
	}
	var dates, datetimes []cdc.Value
	for _, c := range []cdc.Civil{{}, {Year: 2026}, {Year: 2026, Month: 1, Day: 31}, {Year: 2026, Month: 2, Day: 1}, {Year: 9999, Month: 12, Day: 31}, {Year: 1, Month: 1, Day: 1}} {
		dates = append(dates, cdc.CivilValue(cdc.KindDate, c))
		datetimes = append(datetimes, cdc.CivilValue(cdc.KindDatetime, c))
		c.Hour, c.Minute, c.Second, c.Micro = 23, 59, 59, 999_000
		datetimes = append(datetimes, cdc.CivilValue(cdc.KindDatetime, c))
	}
	decimals := []string{"0", "0.00", "-0.00", "1", "1.00", "-1.00", "1.50", "1.5", "12.34", "5", "10", "9999999999.99", "-9999999999.99", "007.10", "1.000000000000000000001"}
	words := []string{"", "a", "A", "ab", "abc", "b", " a ", "aé", "É", "日本", "a\x00b", "z\xff", "\xff", "Straße", "\u00a0a", "aab", "ba", "�", "\u212a", "k", "ſ", "ß", "ẞ"}
	quotes := []string{"''", "'a'", "'A'", "'ab'", "'abc'", "'b'", "' a '", "'aé'", "'É'", "'日本'", `'a\x00b'`, `'�'`, "'c'", "'aa'", "'K'", "'s'", "'ẞ'"}
	whole := []string{"0", "1", "-1", "2", "5", "7", "10", "9223372036854775807", "-9223372036854775808", "9007199254740992", "9007199254740993", "9007199254740991"}
	natural := []string{"0", "1", "2", "5", "9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808u", "18446744073709551615u"}
	day := []string{"'0000-00-00'", "'2026-01-31'", "'2026-02-01'", "'9999-12-31'", "'2026-00-00'", "'0001-01-01'", "'2026-01-30'"}
	return []sort{
		{"i", list("bigint"), ints, whole},
		{"u", list("bigint unsigned"), uints, natural},
		{"f", list("double"), floats, []string{"0.0", "-0.0", "0", "1.0", "1", "-1", "1.5", "5", "9007199254740992.0", "1e308", "5e-324", "double('inf')", "double('NaN')", "0.0 / 0.0"}},
		{"d", list("decimal(22,2)"), texts(cdc.KindDecimal, decimals...), []string{"0", "1", "-1", "1.5", "1.50", "'12.34'", "5", "10", "decimal('1.00')", "'-9999999999.99'", "'1.000000000000000000001'"}},
		{"s", list("varchar(20)"), texts(cdc.KindString, words...), quotes},
		{"e", list("enum('a','b','É','ab')"), texts(cdc.KindEnum, "", "a", "b", "É", "ab"), []string{"''", "'a'", "'b'", "'É'", "'ab'"}},
		{"b", list("blob"), texts(cdc.KindBytes, "", "a", "\x00", "\xff\xfe", "ab", "b"), []string{"b''", "b'a'", `b'\x00'`, `b'\xff\xfe'`, "b'ab'"}},
		{"bit", list("bit(64)"), bits, []string{"0", "1", "2", "255", "18446744073709551615u"}},
		{"one", list("bit(1)"), bits[:2], []string{"0", "1"}},
		{"flag", list("tinyint(1)"), ints[:4], []string{"0", "1", "true", "false", "2"}},
		{"bool", cdc.Column{Type: "a bool", Kind: cdc.KindBool}, []cdc.Value{cdc.BoolValue(false), cdc.BoolValue(true)}, []string{"true", "false"}},
		{"day", list("date"), dates, day},
		{"at", list("datetime(3)"), datetimes, []string{"'0000-00-00'", "'2026-01-31'", "'2026-01-31T23:59:59.999'", "'2026-02-01T00:00:00'", "'9999-12-31T23:59:59'", "'2026-01-31 23:59:59.9985'"}},
		{"clock", list("time"), times, []string{"'00:00:00'", "'-00:00:01'", "'00:00:01'", "'12:30'", "'100:00:00'", "'838:59:59'"}},
		{"ts", list("timestamp(6)"), instants, []string{"'0000-00-00'", "'1970-01-01T00:00:00Z'", "'1970-01-01T00:00:00.000001Z'", "'1969-12-31T23:59:59Z'", "'1970-01-01T00:00:00.0000015Z'",
			"'2027-01-15T08:00:00Z'", "'2027-01-15T09:00:00+01:00'", "timestamp('2027-01-15T07:59:59.123456Z')", "timestamp(1800000000)", "'9999-12-31T23:59:59.9999995Z'", "'0001-01-01T00:00:00Z'", "'0001-01-01T00:00:01Z'"}},
		{"tags", list("set('x','y','z')"), texts(cdc.KindSet, "", "x", "y", "x,y", "x,y,z"), []string{"'x'", "'y'", "'z'"}},
		{"doc", list("json"), texts(cdc.KindJSON, `null`, `{}`, `{"a":1}`, `{"a":1.0}`, `{"a":null}`, `{"a":"x","f":true}`, `{"a":18446744073709551615,"f":false}`, `[1,2,"x"]`, `true`, `5`, `"a"`, `{"a":{"b":[1,null]}}`, `9007199254740993`),
			[]string{"1", "1.0", "'x'", "true", "null", "5u", "9007199254740992.0", "'a'"}},
		{"v", list("vector(2)"), texts(cdc.KindVector, "", "\x00\x00\x80\x3f\x00\x00\x00\x00"), []string{"1.0", "0.0"}},
		{"g", list("point"), texts(cdc.KindGeometry, "12345", "1234"), []string{"b'12345'", "b'1234'"}},
	}
}()
