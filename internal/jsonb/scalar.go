package jsonb

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
)

// The types of opaque values are those of columns. All others than these are bytes.
const (
	columnTimestamp = 7
	columnDate      = 10
	columnTime      = 11
	columnDatetime  = 12
	columnDecimal   = 246
)

func appendInt(dst []byte, n int64) []byte   { return strconv.AppendInt(dst, n, 10) }
func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// appendDouble writes a double as the server does: with the fewest digits that mean the same double, a point or an
// exponent always, and an exponent where the point would stand more than 15 places away.
func appendDouble(dst []byte, bits uint64) ([]byte, error) {
	f := math.Float64frombits(bits)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, fmt.Errorf("the double %v is no JSON number", f)
	}
	start := len(dst)
	if abs := math.Abs(f); abs >= 1e-15 && abs < 1e15 || abs == 0 {
		dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
		if bytes.IndexByte(dst[start:], '.') < 0 {
			dst = append(dst, '.', '0')
		}
		return dst, nil
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64) // -1.234567890123456e+15
	e := start + bytes.IndexByte(dst[start:], 'e')
	exponent, digits := dst[e+1:], e-start
	if dst[start] == '-' {
		digits--
	}
	if digits == 18 && string(exponent) == "+15" { // 17 digits and the point: it goes between the last two
		return strconv.AppendFloat(dst[:start], f, 'f', -1, 64), nil
	}
	at := e + 1
	if exponent[0] == '-' {
		at++
	}
	n := bytes.TrimLeft(exponent[1:], "0")
	return append(dst[:at], n...), nil
}

// appendOpaque writes a value that JSON has no type for: decimals as numbers, the rest as strings.
func appendOpaque(dst []byte, typ byte, data []byte) ([]byte, error) {
	switch typ {
	case columnDecimal:
		return appendDecimal(dst, data)
	case columnDate, columnTime, columnDatetime, columnTimestamp:
		if len(data) != 8 {
			return dst, fmt.Errorf("a date or time of %d bytes", len(data))
		}
		packed := int64(le.Uint64(data))
		if typ == columnTime {
			return appendTime(dst, packed)
		}
		return appendDatetime(dst, packed, typ == columnDate)
	}
	dst = append(dst, `"base64:type`...)
	dst = appendUint(dst, uint64(typ))
	dst = append(dst, ':')
	const line = 57 // the server begins a new line after 76 characters
	for len(data) > line {
		dst = base64.StdEncoding.AppendEncode(dst, data[:line])
		dst = append(dst, '\\', 'n')
		data = data[line:]
	}
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"'), nil
}

// appendTime writes a packed TIME: hours, minutes and seconds in 10, 6 and 6 bits above 24 bits of microseconds.
func appendTime(dst []byte, packed int64) ([]byte, error) {
	n := uint64(packed)
	dst = append(dst, '"')
	if packed < 0 {
		n = -n
		dst = append(dst, '-')
	}
	hms, micros := n>>24, n&(1<<24-1)
	hour, minute, second := hms>>12, hms>>6&63, hms&63
	if hour > 838 || minute > 59 || second > 59 || micros > 999999 {
		return dst, fmt.Errorf("%#x is no packed time", packed)
	}
	if hour < 10 {
		dst = append(dst, '0')
	}
	dst = appendUint(dst, hour)
	return append(appendClock(dst, minute, second, micros), '"'), nil
}

// appendDatetime writes a packed DATETIME: the month counted from year 0 in thirteenths of a year, the day in 5 bits,
// hour, minute and second in 5, 6 and 6 bits above 24 bits of microseconds.
func appendDatetime(dst []byte, packed int64, dateOnly bool) ([]byte, error) {
	n := uint64(packed)
	ymd, hms, micros := n>>41, n>>24&(1<<17-1), n&(1<<24-1)
	year, month, day := ymd>>5/13, ymd>>5%13, ymd&31
	hour, minute, second := hms>>12, hms>>6&63, hms&63
	if year > 9999 || hour > 23 || minute > 59 || second > 59 || micros > 999999 { // a negative one has a year beyond
		return dst, fmt.Errorf("%#x is no packed date", packed)
	}
	dst = append2(append2(append(dst, '"'), year/100), year%100)
	dst = append2(append(dst, '-'), month)
	dst = append2(append(dst, '-'), day)
	if !dateOnly {
		dst = append2(append(dst, ' '), hour)
		dst = appendClock(dst, minute, second, micros)
	}
	return append(dst, '"'), nil
}

func appendClock(dst []byte, minute, second, micros uint64) []byte {
	dst = append2(append(dst, ':'), minute)
	dst = append2(append(dst, ':'), second)
	dst = append2(append(dst, '.'), micros/10000)
	return append2(append2(dst, micros/100%100), micros%100)
}

func append2(dst []byte, n uint64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// maxPrecision is what the server has room for, nine groups of nine digits. A DECIMAL has 65 at most, but in JSON its
// digits before the point are counted as whole groups.
const maxPrecision = 81

// appendDecimal writes a DECIMAL: precision, scale, then the digits before and behind the point in groups of nine, each a
// big-endian number of four bytes, or fewer where a group has fewer digits. The short group before the point comes first,
// the one behind it last. The highest bit is set; in negative numbers all bits are the other way round.
func appendDecimal(dst, data []byte) ([]byte, error) {
	if len(data) < 3 {
		return dst, fmt.Errorf("a decimal of %d bytes", len(data))
	}
	precision, scale, data := int(data[0]), int(data[1]), data[2:]
	whole := precision - scale
	if precision > maxPrecision || scale > 30 || whole < 0 || precision == 0 ||
		len(data) != whole/9*4+groupBytes[whole%9]+scale/9*4+groupBytes[scale%9] {
		return dst, fmt.Errorf("a decimal (%d,%d) of %d bytes", precision, scale, len(data))
	}
	invert, flip := byte(0), byte(0x80)
	if data[0] < 0x80 {
		invert = 0xff
		dst = append(dst, '-')
	}
	var text [maxPrecision]byte
	digits := text[:0]
	group := func(size int) bool {
		n, limit := uint64(0), uint64(1)
		for range groupBytes[size] {
			n = n<<8 | uint64(data[0]^invert^flip)
			flip, data = 0, data[1:]
		}
		for range size {
			limit *= 10
			digits = append(digits, '0')
		}
		for at, rest := len(digits)-1, n; rest > 0 && at >= len(digits)-size; at-- {
			digits[at] = byte('0' + rest%10)
			rest /= 10
		}
		return n < limit
	}
	ok := group(whole % 9)
	for range whole / 9 {
		ok = group(9) && ok
	}
	for range scale / 9 {
		ok = group(9) && ok
	}
	if ok = group(scale%9) && ok; !ok {
		return dst, fmt.Errorf("a decimal (%d,%d) with a group of digits that is too large", precision, scale)
	}
	before := bytes.TrimLeft(digits[:whole], "0")
	if len(before) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, before...)
	if scale > 0 {
		dst = append(append(dst, '.'), digits[whole:]...)
	}
	return dst, nil
}

// groupBytes is how many bytes a group of so many digits has.
var groupBytes = [...]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}
