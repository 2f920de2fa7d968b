package cdcd

import (
	"math"
	"strconv"
	"unsafe"
)

// Kind is the kind of a [Value].
type Kind uint8

// The kinds. Absent (the column is not in the image) is not null (its value is SQL NULL).
const (
	KindAbsent    Kind = 0
	KindNull      Kind = 1
	KindBool      Kind = 2
	KindInt64     Kind = 3
	KindUint64    Kind = 4
	KindFloat64   Kind = 5
	KindDecimal   Kind = 6  // text: exact digits, such as -12.50
	KindString    Kind = 7  // text: UTF-8, as a rule
	KindBytes     Kind = 8  // bytes
	KindDate      Kind = 9  // civil, without a time of day
	KindTime      Kind = 10 // microseconds, from -838:59:59.999999 to 838:59:59.999999
	KindDatetime  Kind = 11 // civil, without a zone
	KindTimestamp Kind = 12 // microseconds since 1970-01-01 UTC; 0 is the zero date
	KindJSON      Kind = 13 // text
	KindEnum      Kind = 14 // text: the member; empty is the error value
	KindSet       Kind = 15 // text: the members, with commas in between
	KindBit       Kind = 16 // up to 64 bits
	KindGeometry  Kind = 17 // bytes: SRID (4, little endian), then WKB
	KindVector    Kind = 18 // bytes: float32, little endian
)

var kindNames = [...]string{"absent", "null", "bool", "int64", "uint64", "float64", "decimal", "string", "bytes", "date",
	"time", "datetime", "timestamp", "json", "enum", "set", "bit", "geometry", "vector"}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// isText says whether values of the kind are text or bytes.
func (k Kind) isText() bool {
	const texts = 1<<KindDecimal | 1<<KindString | 1<<KindBytes | 1<<KindJSON | 1<<KindEnum | 1<<KindSet | 1<<KindGeometry | 1<<KindVector
	return texts>>k&1 != 0
}

// Value is one column of an image. Two values are equal (==) if they are of the same kind and have the same bits. The zero value is absent.
type Value struct {
	kind   Kind
	number uint64
	text   string
}

// Kind returns the kind.
func (v Value) Kind() Kind { return v.kind }

// IsNull says whether it is SQL NULL.
func (v Value) IsNull() bool { return v.kind == KindNull }

// IsAbsent says whether the column is not in the image.
func (v Value) IsAbsent() bool { return v.kind == KindAbsent }

// Bool returns a bool.
func (v Value) Bool() bool { return v.number != 0 }

// Int returns a signed integer.
func (v Value) Int() int64 { return int64(v.number) }

// Uint returns an unsigned integer, or the bits of a bit.
func (v Value) Uint() uint64 { return v.number }

// Float returns a float.
func (v Value) Float() float64 { return math.Float64frombits(v.number) }

// Text returns the text of a decimal, string, json, enum or set, and the bytes of the other kinds that have any; of numbers it is
// empty. It is a view: see "What lives how long".
func (v Value) Text() string { return v.text }

// Bytes returns the same as [Value.Text]. The bytes must not be written to.
func (v Value) Bytes() []byte { return unsafe.Slice(unsafe.StringData(v.text), len(v.text)) }

// Civil returns the parts of a date or a datetime.
func (v Value) Civil() Civil {
	n := v.number
	return Civil{int(n >> 46), int(n >> 42 & 15), int(n >> 37 & 31), int(n >> 32 & 31), int(n >> 26 & 63), int(n >> 20 & 63), int(n & (1<<20 - 1))}
}

// Micros returns the microseconds of a time, or of a timestamp since 1970-01-01 UTC.
func (v Value) Micros() int64 { return int64(v.number) }

// String returns the value for people.
func (v Value) String() string {
	switch v.kind {
	case KindAbsent, KindNull:
		return v.kind.String()
	case KindBool:
		return strconv.FormatBool(v.Bool())
	case KindInt64, KindTime, KindTimestamp:
		return strconv.FormatInt(v.Int(), 10)
	case KindUint64, KindBit:
		return strconv.FormatUint(v.Uint(), 10)
	case KindFloat64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case KindDate, KindDatetime:
		return v.Civil().String()
	}
	return strconv.Quote(v.text)
}

// Civil is a date and a time of day without a zone. Parts may be zero, and the day one that its month does not have.
type Civil struct {
	Year, Month, Day, Hour, Minute, Second, Micro int
}

// String returns the date and, if there is any, the time of day.
func (c Civil) String() string {
	text := digits(c.Year, 4) + "-" + digits(c.Month, 2) + "-" + digits(c.Day, 2)
	if c.Hour|c.Minute|c.Second|c.Micro != 0 {
		text += " " + digits(c.Hour, 2) + ":" + digits(c.Minute, 2) + ":" + digits(c.Second, 2)
	}
	if c.Micro != 0 {
		text += "." + digits(c.Micro, 6)
	}
	return text
}

// digits writes a number with so many digits.
func digits(n, width int) string {
	text := strconv.Itoa(n)
	for len(text) < width {
		text = "0" + text
	}
	return text
}

func (c Civil) pack() uint64 {
	return uint64(c.Year)<<46 | uint64(c.Month)<<42 | uint64(c.Day)<<37 | uint64(c.Hour)<<32 | uint64(c.Minute)<<26 | uint64(c.Second)<<20 | uint64(c.Micro)
}

// Null returns SQL NULL.
func Null() Value { return Value{kind: KindNull} }

// Bool returns a bool.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, number: 1}
	}
	return Value{kind: KindBool}
}

// Int returns a signed integer.
func Int(n int64) Value { return Value{kind: KindInt64, number: uint64(n)} }

// Uint returns an unsigned integer.
func Uint(n uint64) Value { return Value{kind: KindUint64, number: n} }

// Float returns a float.
func Float(f float64) Value { return Value{kind: KindFloat64, number: math.Float64bits(f)} }

// Decimal returns a decimal of its digits: -12.50.
func Decimal(digits string) Value { return Value{kind: KindDecimal, text: digits} }

// String returns a string.
func String(text string) Value { return Value{kind: KindString, text: text} }

// Bytes returns bytes, without copying them.
func Bytes(b []byte) Value { return bytesValue(KindBytes, b) }

// Date returns a date; the time of day is left out.
func Date(c Civil) Value { return Value{kind: KindDate, number: c.pack() &^ (1<<37 - 1)} }

// Time returns a time of day or a span, in microseconds.
func Time(micros int64) Value { return Value{kind: KindTime, number: uint64(micros)} }

// Datetime returns a date and a time of day.
func Datetime(c Civil) Value { return Value{kind: KindDatetime, number: c.pack()} }

// Timestamp returns an instant, in microseconds since 1970-01-01 UTC.
func Timestamp(micros int64) Value { return Value{kind: KindTimestamp, number: uint64(micros)} }

// JSON returns a JSON document.
func JSON(text string) Value { return Value{kind: KindJSON, text: text} }

// Enum returns a member of an enum.
func Enum(member string) Value { return Value{kind: KindEnum, text: member} }

// Set returns members of a set, separated by commas.
func Set(members string) Value { return Value{kind: KindSet, text: members} }

// Bit returns bits.
func Bit(bits uint64) Value { return Value{kind: KindBit, number: bits} }

// Geometry returns a geometry of its bytes, without copying them.
func Geometry(b []byte) Value { return bytesValue(KindGeometry, b) }

// Vector returns a vector of its bytes, without copying them.
func Vector(b []byte) Value { return bytesValue(KindVector, b) }

func bytesValue(kind Kind, b []byte) Value {
	return Value{kind: kind, text: unsafe.String(unsafe.SliceData(b), len(b))}
}

// CompareDecimals compares two numbers exactly, however long they are: -1 if a is less than b, 0 if they are the same number, 1 if a is
// greater. They are written as the texts of decimals are, or as numbers in JSON: -12.50, 1000, 1e6.
func CompareDecimals(a, b string) int {
	x, y := decimalOf(a), decimalOf(b)
	switch {
	case x.sign != y.sign:
		return order(x.sign < y.sign)
	case x.sign < 0:
		return compareDigits(y, x)
	}
	return compareDigits(x, y)
}

// decimal is a number taken apart.
type decimal struct {
	sign   int    // -1, 0 or 1
	digits string // from the first one that is not zero; there may be a point in it
	point  int    // how many of the digits stand before the point
}

func decimalOf(s string) decimal {
	sign, from := 1, 0
	if s != "" && s[0] == '-' {
		sign, from = -1, 1
	}
	from = digitsEnd(s, from, '0')
	point := digitsEnd(s, from, '9')
	d := decimal{sign: sign, point: point - from}
	end := point
	if end < len(s) && s[end] == '.' {
		if from == point { // there is nothing before it
			from = digitsEnd(s, point+1, '0')
			d.point = point + 1 - from
		}
		end = digitsEnd(s, max(from, point+1), '9')
	}
	if from >= end {
		return decimal{}
	}
	d.digits = s[from:end]
	if end < len(s) {
		d.point += exponent(s[end+1:])
	}
	return d
}

// digitsEnd returns where the digits end that are no greater than most.
func digitsEnd(s string, from int, most byte) int {
	for from < len(s) && '0' <= s[from] && s[from] <= most {
		from++
	}
	return from
}

// exponent reads what stands behind the e of a number, as far as it makes a difference.
func exponent(s string) int {
	negative := s != "" && s[0] == '-'
	n := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n = min(10*n+int(s[i]-'0'), 1e9)
		}
	}
	if negative {
		return -n
	}
	return n
}

// compareDigits compares two numbers by what they have of digits.
func compareDigits(x, y decimal) int {
	if x.point != y.point {
		return order(x.point < y.point)
	}
	for i, j := 0, 0; i < len(x.digits) || j < len(y.digits); i, j = i+1, j+1 {
		digitX, digitY := byte('0'), byte('0')
		if i < len(x.digits) && x.digits[i] == '.' {
			i++
		}
		if j < len(y.digits) && y.digits[j] == '.' {
			j++
		}
		if i < len(x.digits) {
			digitX = x.digits[i]
		}
		if j < len(y.digits) {
			digitY = y.digits[j]
		}
		if digitX != digitY {
			return order(digitX < digitY)
		}
	}
	return 0
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}
