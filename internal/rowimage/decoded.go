package rowimage

import (
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file writes what go-mysql has decoded into frames. It is the only one that knows its Go types.

// AppendDecoded writes a row image that go-mysql has decoded. It is there to be compared: [Event.Append] must write the same of
// every row. skipped are the columns that the image does not hold, in ascending order.
func (l *Layout) AppendDecoded(b *cdc.Builder, row []any, skipped []int) (uint32, error) {
	if len(row) != len(l.columns) {
		return 0, fmt.Errorf("a row of %d columns where the table has %d", len(row), len(l.columns))
	}
	b.BeginRow(len(l.table.Columns))
	for i, value := range row {
		if len(skipped) > 0 && skipped[0] == i {
			skipped = skipped[1:]
			continue
		}
		c := &l.columns[i]
		if c.at < 0 {
			continue
		}
		if value == nil {
			b.SetNull(c.at)
			continue
		}
		err := c.putDecoded(b, value)
		if err == nil && c.masked != nil {
			err = c.maskLast(b)
		}
		if err != nil {
			b.DropRow()
			return 0, l.valueError(i, err)
		}
	}
	return b.EndRow(), nil
}

func (c *column) putDecoded(b *cdc.Builder, value any) error {
	ok := false
	switch v := value.(type) {
	case int64, int32, int16, int8, uint64, uint32, uint16, uint8:
		ok = c.putInteger(b, value)
	case int:
		if ok = c.convert == convertYear; ok {
			b.SetInt(c.at, int64(v))
		}
	case float32:
		if ok = c.convert == convertFloat; ok {
			b.SetFloat(c.at, float64(v))
		}
	case float64:
		if ok = c.convert == convertFloat; ok {
			b.SetFloat(c.at, v)
		}
	case string:
		return c.putString(b, v)
	case []byte:
		return c.putString(b, string(v))
	}
	if !ok {
		return fmt.Errorf("the binlog holds %T %v, which is not a %s", value, value, c.kind)
	}
	return nil
}

func (c *column) putInteger(b *cdc.Builder, value any) bool {
	n, _ := toInt(value)
	switch c.convert {
	case convertInt:
		if c.unsigned {
			b.SetUint(c.at, uint64(n)&(1<<(8*c.fixed)-1)) // 1<<64 is 0, and 0-1 all ones
		} else {
			b.SetInt(c.at, n)
		}
		return true
	case convertBit:
		b.SetNum(c.at, c.kind, uint64(n))
		return true
	case convertEnum:
		return c.putEnum(b, uint64(n))
	case convertSet:
		return c.putSet(b, uint64(n))
	}
	return false
}

func (c *column) putString(b *cdc.Builder, s string) error {
	ok := false
	switch c.convert {
	case convertDecimal:
		b.SetText(c.at, c.kind, s)
		return nil
	case convertDate, convertDatetime:
		var civil cdc.Civil
		civil, ok = parseCivil(s)
		ok = ok && c.putCivil(b, civil)
	case convertTime:
		var micros int64
		if micros, ok = parseTime(s); ok {
			b.SetNum(c.at, c.kind, uint64(micros))
		}
	case convertTimestamp:
		var civil cdc.Civil
		if civil, ok = parseCivil(s); ok {
			b.SetNum(c.at, c.kind, uint64(instant(civil)))
		}
	case convertText:
		return c.putText(b, []byte(s))
	case convertBytes:
		c.putBytes(b, []byte(s))
		return nil
	case convertBinary:
		b.EndText(c.at, c.kind, c.appendPadded(b.BeginText(), []byte(s)))
		return nil
	case convertUUID:
		ok = c.putUUID(b, []byte(s))
	case convertInet:
		ok = c.putInet(b, []byte(s))
	case convertJSON:
		if s == "" {
			s = "null" // an empty document, which INSERT IGNORE can leave behind
		}
		b.EndText(c.at, c.kind, appendUnescaped(b.BeginText(), s))
		return nil
	}
	if !ok {
		return fmt.Errorf("the binlog holds %.100q, which is not a %s", s, c.kind)
	}
	return nil
}

// appendUnescaped writes as they are the characters that go-mysql's JSON library escapes for the sake of web pages.
func appendUnescaped(out []byte, s string) []byte {
	for {
		at := strings.IndexByte(s, '\\')
		if at < 0 || at+1 >= len(s) {
			return append(out, s...)
		}
		out = append(out, s[:at]...)
		s = s[at:]
		n, plain := 2, s[:2]
		if len(s) >= 6 && s[1] == 'u' {
			n, plain = 6, s[:6]
			switch s[2:6] {
			case "003c":
				plain = "<"
			case "003e":
				plain = ">"
			case "0026":
				plain = "&"
			case "2028":
				plain = "\u2028"
			case "2029":
				plain = "\u2029"
			}
		}
		out = append(out, plain...)
		s = s[n:]
	}
}

func toInt(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case int16:
		return int64(n), true
	case int8:
		return int64(n), true
	case uint64:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint8:
		return int64(n), true
	}
	return 0, false
}

// parseCivil reads "2006-01-02" with " 15:04:05" and a fraction of up to six digits after it, any part of which may be
// zero, and years of more than four digits never happen.
func parseCivil(s string) (c cdc.Civil, ok bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return c, false
	}
	var bad int
	digits := func(from, to int) int {
		n := 0
		for _, d := range []byte(s[from:to]) {
			if d -= '0'; d > 9 {
				bad = 1
			}
			n = n*10 + int(d)
		}
		return n
	}
	c.Year, c.Month, c.Day = digits(0, 4), digits(5, 7), digits(8, 10)
	if len(s) == 10 {
		return c, bad == 0
	}
	if len(s) < 19 || s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return c, false
	}
	c.Hour, c.Minute, c.Second = digits(11, 13), digits(14, 16), digits(17, 19)
	if len(s) > 19 {
		if s[19] != '.' || len(s) > 26 {
			return c, false
		}
		c.Micro = digits(20, len(s))
		for range 26 - len(s) {
			c.Micro *= 10
		}
	}
	return c, bad == 0
}

// parseTime reads "-838:59:59.999999" as microseconds.
func parseTime(s string) (micros int64, ok bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	var parts [3]int64
	part, fraction, scale := 0, int64(0), int64(-1)
	for _, d := range []byte(s) {
		switch {
		case d == ':' && part < 2 && scale < 0:
			part++
		case d == '.' && part == 2 && scale < 0:
			scale = 1_000_000
		case d < '0' || d > '9':
			return 0, false
		case scale >= 0:
			if scale /= 10; scale == 0 {
				return 0, false
			}
			fraction += int64(d-'0') * scale
		default:
			parts[part] = parts[part]*10 + int64(d-'0')
		}
	}
	if part != 2 || s == "" {
		return 0, false
	}
	micros = ((parts[0]*60+parts[1])*60+parts[2])*1_000_000 + fraction
	if negative {
		micros = -micros
	}
	return micros, true
}

// instant returns the microseconds since 1970 of a civil time in UTC; 0 for the zero date.
func instant(c cdc.Civil) int64 {
	if c.Year == 0 {
		return 0
	}
	return ((daysFromCivil(c.Year, c.Month, c.Day)*24+int64(c.Hour))*60+int64(c.Minute))*60_000_000 +
		int64(c.Second)*1_000_000 + int64(c.Micro)
}

// daysFromCivil counts the days from 1970-01-01, see Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
func daysFromCivil(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}
