package cdc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is the kind of a [Value]. The numbers are part of the frame's format and never change.
type Kind uint8

// The kinds. Absent (the column is not in this row image) is not Null (its value is SQL NULL).
const (
	KindAbsent    Kind = 0
	KindNull      Kind = 1
	KindBool      Kind = 2
	KindInt64     Kind = 3
	KindUint64    Kind = 4
	KindFloat64   Kind = 5
	KindDecimal   Kind = 6  // text: exact digits, e.g. "-12.50"
	KindString    Kind = 7  // text: UTF-8
	KindBytes     Kind = 8  // bytes
	KindDate      Kind = 9  // packed civil date, zero dates kept
	KindTime      Kind = 10 // microseconds, negative and beyond 24 h too
	KindDatetime  Kind = 11 // packed civil date and time, no zone
	KindTimestamp Kind = 12 // microseconds since 1970-01-01 UTC; 0 is the zero date
	KindJSON      Kind = 13 // text: JSON with all digits of its numbers
	KindEnum      Kind = 14 // text: the member; "" is the error value
	KindSet       Kind = 15 // text: members separated by commas (no member can hold one)
	KindBit       Kind = 16 // up to 64 bits
	KindGeometry  Kind = 17 // bytes: SRID (4, little endian), then WKB
	KindVector    Kind = 18 // bytes: float32, little endian
	kindCount     Kind = 19
)

var kindNames = [...]string{"absent", "null", "bool", "int64", "uint64", "float64", "decimal", "string", "bytes", "date",
	"time", "datetime", "timestamp", "json", "enum", "set", "bit", "geometry", "vector"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// inHeap says whether values of the kind stand in the image's variable part.
func (k Kind) inHeap() bool {
	const heap = 1<<KindDecimal | 1<<KindString | 1<<KindBytes | 1<<KindJSON | 1<<KindEnum | 1<<KindSet |
		1<<KindGeometry | 1<<KindVector
	return heap>>k&1 != 0
}

// Value is one column of a row: a small tagged union, copied freely. Text and bytes alias the frame, which is
// immutable: they may be kept, and keep the frame alive.
type Value struct {
	kind Kind
	num  uint64
	str  string
}

// Kind returns the value's kind.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports SQL NULL.
func (v Value) IsNull() bool { return v.kind == KindNull }

// IsAbsent reports that the column is not in the row image.
func (v Value) IsAbsent() bool { return v.kind == KindAbsent }

// Bool returns a bool.
func (v Value) Bool() bool { return v.num != 0 }

// Int64 returns an int64, or the microseconds of a time or timestamp.
func (v Value) Int64() int64 { return int64(v.num) }

// Uint64 returns a uint64 or the bits of a bit.
func (v Value) Uint64() uint64 { return v.num }

// Float64 returns a float64.
func (v Value) Float64() float64 { return math.Float64frombits(v.num) }

// Text returns the text of a decimal, string, json, enum or set, and the raw bytes of bytes, geometry and vector.
func (v Value) Text() string { return v.str }

// Civil returns the parts of a date or datetime. Zero dates have zero parts.
func (v Value) Civil() Civil { return unpackCivil(v.num) }

// Duration returns a time of day, which MySQL allows between -838:59:59 and 838:59:59.
func (v Value) Duration() time.Duration { return time.Duration(v.num) * time.Microsecond }

// Time returns a timestamp's instant in UTC; the zero time.Time for the zero date.
func (v Value) Time() time.Time {
	if v.num == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(v.num)).UTC()
}

// Equal reports whether both are of the same kind and hold the same bits. Two NaNs with the same bits are equal here.
func (v Value) Equal(w Value) bool { return v == w }

// String returns the value for people.
func (v Value) String() string {
	switch v.kind {
	case KindAbsent, KindNull:
		return v.kind.String()
	case KindBytes, KindGeometry, KindVector:
		return fmt.Sprintf("%x", v.str)
	case KindString, KindEnum, KindSet:
		return strconv.Quote(v.str)
	}
	return string(AppendJSON(nil, &Column{Kind: v.kind, Fsp: 6}, v))
}

// Civil is a date and time of day without a zone, as MySQL keeps them: parts may be zero ("2026-00-00").
type Civil struct {
	Year, Month, Day, Hour, Minute, Second, Micro int
}

func (c Civil) pack() uint64 {
	return uint64(c.Year)<<46 | uint64(c.Month)<<42 | uint64(c.Day)<<37 | uint64(c.Hour)<<32 |
		uint64(c.Minute)<<26 | uint64(c.Second)<<20 | uint64(c.Micro)
}

func unpackCivil(n uint64) Civil {
	return Civil{int(n >> 46), int(n >> 42 & 15), int(n >> 37 & 31), int(n >> 32 & 31), int(n >> 26 & 63),
		int(n >> 20 & 63), int(n & (1<<20 - 1))}
}

// The last moments that servers can write, in microseconds.
const (
	maxTime      = (838*3600+59*60+59)*1_000_000 + 999_999
	maxTimestamp = 253402300799_999_999 // 9999-12-31 23:59:59.999999
)

// check says what is wrong with a value; "" if nothing is.
func (v Value) check() string {
	switch v.kind {
	case KindBool:
		if v.num > 1 {
			return "a bool is neither 0 nor 1"
		}
	case KindDecimal:
		if !isDecimal(v.str) {
			return fmt.Sprintf("%.80q is not a decimal", v.str)
		}
	case KindDate, KindDatetime:
		c := v.Civil()
		if c.Year > 9999 || c.Month > 12 || c.Hour > 23 || c.Minute > 59 || c.Second > 59 || c.Micro > 999_999 {
			return fmt.Sprintf("%+v is not a %s", c, v.kind)
		}
		if v.kind == KindDate && v.num&(1<<37-1) != 0 {
			return "a date has a time of day"
		}
	case KindTime:
		if n := v.Int64(); n < -maxTime || n > maxTime {
			return fmt.Sprintf("%d microseconds are not a time", n)
		}
	case KindTimestamp:
		if v.num > maxTimestamp {
			return fmt.Sprintf("%d microseconds are not a timestamp", v.Int64())
		}
	case KindJSON:
		if !json.Valid(unview(v.str)) {
			return "its text is not JSON"
		}
	case KindGeometry:
		if len(v.str) < 4 {
			return fmt.Sprintf("%d bytes are not a geometry", len(v.str))
		}
	case KindVector:
		if len(v.str)%4 != 0 {
			return fmt.Sprintf("%d bytes are not a vector", len(v.str))
		}
	}
	return ""
}

// Check says what is wrong with a value that somebody wants to put into the column; nil if nothing is. It knows what the
// column's type says, as far as it is known here: not how long a text may be, for example.
func (c *Column) Check(v Value) error {
	switch v.kind {
	case c.Kind:
	case KindNull:
		if !c.Nullable {
			return fmt.Errorf("it must not be null")
		}
		return nil
	default:
		return fmt.Errorf("a value of kind %s in a column of %s", v.kind, c.Kind)
	}
	if what := v.check(); what != "" {
		return errors.New(what)
	}
	switch v.kind {
	case KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%v is not a number that SQL knows", f)
		}
	case KindDecimal:
		whole, fraction, _ := strings.Cut(strings.TrimPrefix(v.str, "-"), ".")
		if c.Precision > 0 && (len(fraction) > int(c.Scale) || len(strings.TrimLeft(whole, "0")) > int(c.Precision)-int(c.Scale)) {
			return fmt.Errorf("%.80s does not fit into decimal(%d,%d)", v.str, c.Precision, c.Scale)
		}
		if c.Unsigned && v.str[0] == '-' {
			return fmt.Errorf("%.80s in an unsigned column", v.str)
		}
	case KindString, KindJSON:
		if !utf8.ValidString(v.str) {
			return fmt.Errorf("a text that is not UTF-8")
		}
	case KindEnum:
		if v.str != "" && !slices.Contains(c.Members, v.str) { // "" is the error value, which every enum can have
			return fmt.Errorf("%.80q is not a member of the enum", v.str)
		}
	case KindSet:
		for member := range strings.SplitSeq(v.str, ",") {
			if v.str != "" && !slices.Contains(c.Members, member) {
				return fmt.Errorf("%.80q is not a member of the set", member)
			}
		}
	case KindBit:
		if c.Precision > 0 && c.Precision < 64 && v.num>>c.Precision != 0 {
			return fmt.Errorf("%d does not fit into bit(%d)", v.num, c.Precision)
		}
	}
	return nil
}

// isDecimal says whether s is digits, with a sign and a fraction or without.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(s, ".")
	return isDigits(whole) && (isDigits(fraction) || !point)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// NullValue returns SQL NULL.
func NullValue() Value { return Value{kind: KindNull} }

// BoolValue returns a bool.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Int64Value returns an int64.
func Int64Value(n int64) Value { return Value{kind: KindInt64, num: uint64(n)} }

// Uint64Value returns a uint64.
func Uint64Value(n uint64) Value { return Value{kind: KindUint64, num: n} }

// Float64Value returns a float64.
func Float64Value(f float64) Value { return Value{kind: KindFloat64, num: math.Float64bits(f)} }

// TextValue returns a value of one of the kinds that are text or bytes.
func TextValue(k Kind, s string) Value { return Value{kind: k, str: s} }

// NumValue returns a value of one of the kinds that are 64 bits, as [Builder.SetNum] takes it.
func NumValue(k Kind, num uint64) Value { return Value{kind: k, num: num} }

// CivilValue returns a date or datetime.
func CivilValue(k Kind, c Civil) Value { return Value{kind: k, num: c.pack()} }

// TimeValue returns a time of day in microseconds.
func TimeValue(micros int64) Value { return Value{kind: KindTime, num: uint64(micros)} }

// TimestampValue returns an instant in microseconds since 1970; 0 is the zero date.
func TimestampValue(micros int64) Value { return Value{kind: KindTimestamp, num: uint64(micros)} }

// BitValue returns bits.
func BitValue(n uint64) Value { return Value{kind: KindBit, num: n} }
