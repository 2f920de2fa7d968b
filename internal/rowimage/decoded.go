package rowimage

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file turns the values that go-mysql has decoded into columns of a frame. It is the only one that knows their Go
// types.

// AppendDecoded writes a row image that go-mysql has decoded. skipped are the columns that the image does not hold, in
// ascending order. After an error the row is taken back.
func (l *Layout) AppendDecoded(b *cdc.Builder, row []any, skipped []int, scratch *[]byte) (uint32, error) {
	if len(row) != len(l.columns) {
		return 0, cdc.Errorf("CDCD-1307", "%s: a row of %d columns where the table has %d", l.table, len(row), len(l.columns))
	}
	b.BeginRow(len(l.table.Columns))
	for i, value := range row {
		if len(skipped) > 0 && skipped[0] == i {
			skipped = skipped[1:]
			continue
		}
		c := &l.columns[i]
		if value == nil {
			b.SetNull(c.at)
			continue
		}
		if err := c.set(b, c.at, value, &l.table.Columns[c.at], scratch); err != nil {
			b.DropRow()
			return 0, cdc.Errorf("CDCD-1307", "column %s of %s: %w", l.table.Columns[c.at].Name, l.table, err)
		}
	}
	return b.EndRow(), nil
}

func (c *column) set(b *cdc.Builder, i int, value any, meta *cdc.Column, scratch *[]byte) error {
	switch c.convert {
	case convertInt:
		n, ok := toInt(value)
		if !ok {
			break
		}
		if c.unsigned {
			b.SetUint(i, uint64(n)&(1<<(8*c.size)-1)) // 1<<64 is 0, and 0-1 all ones
			return nil
		}
		b.SetInt(i, n)
		return nil
	case convertYear:
		if n, ok := value.(int); ok {
			b.SetInt(i, int64(n))
			return nil
		}
	case convertFloat:
		switch f := value.(type) {
		case float32:
			b.SetFloat(i, float64(f))
			return nil
		case float64:
			b.SetFloat(i, f)
			return nil
		}
	case convertDecimal:
		if s, ok := value.(string); ok {
			b.SetText(i, cdc.KindDecimal, s)
			return nil
		}
	case convertBit:
		if n, ok := value.(int64); ok {
			b.SetNum(i, cdc.KindBit, uint64(n))
			return nil
		}
	case convertDate:
		if s, ok := value.(string); ok {
			if civil, ok := parseCivil(s); ok {
				b.SetCivil(i, cdc.KindDate, civil)
				return nil
			}
		}
	case convertTime:
		if s, ok := value.(string); ok {
			if micros, ok := parseTime(s); ok {
				b.SetNum(i, cdc.KindTime, uint64(micros))
				return nil
			}
		}
	case convertDatetime:
		if s, ok := value.(string); ok {
			if civil, ok := parseCivil(s); ok {
				b.SetCivil(i, cdc.KindDatetime, civil)
				return nil
			}
		}
	case convertTimestamp:
		if s, ok := value.(string); ok {
			if civil, ok := parseCivil(s); ok {
				b.SetNum(i, cdc.KindTimestamp, uint64(instant(civil)))
				return nil
			}
		}
	case convertText:
		s, ok := toText(value)
		if !ok {
			break
		}
		text, err := c.charset.decode(s)
		if err != nil {
			return err
		}
		b.SetText(i, meta.Kind, text)
		return nil
	case convertBytes:
		switch s := value.(type) {
		case []byte:
			b.SetBytes(i, meta.Kind, s)
			return nil
		case string:
			b.SetText(i, meta.Kind, s)
			return nil
		}
	case convertBinary:
		if s, ok := value.(string); ok {
			b.SetBytes(i, meta.Kind, c.padded(s, scratch))
			return nil
		}
	case convertUUID:
		if s, ok := value.(string); ok {
			if raw := c.padded(s, scratch); len(raw) == 16 {
				b.SetText(i, cdc.KindString, uuidText(raw))
				return nil
			}
		}
	case convertInet:
		if s, ok := value.(string); ok {
			if addr, ok := netip.AddrFromSlice(c.padded(s, scratch)); ok {
				b.SetText(i, cdc.KindString, addr.String())
				return nil
			}
		}
	case convertEnum:
		if n, ok := value.(int64); ok && n >= 0 && n <= int64(len(c.members)) {
			if n == 0 {
				b.SetText(i, cdc.KindEnum, "") // the error value
			} else {
				b.SetText(i, cdc.KindEnum, c.members[n-1])
			}
			return nil
		}
	case convertSet:
		n, ok := value.(int64)
		if !ok || len(c.members) < 64 && uint64(n)>>len(c.members) != 0 {
			break
		}
		text := (*scratch)[:0]
		for at, member := range c.members {
			if uint64(n)>>at&1 != 0 {
				if len(text) > 0 {
					text = append(text, ',')
				}
				text = append(text, member...)
			}
		}
		*scratch = text
		b.SetBytes(i, cdc.KindSet, text)
		return nil
	case convertJSON:
		s, ok := toText(value)
		if !ok {
			break
		}
		if s == "" {
			s = "null" // an empty document, which INSERT IGNORE can leave behind
		}
		b.SetBytes(i, cdc.KindJSON, unescapeHTML(s, scratch))
		return nil
	}
	return fmt.Errorf("the binlog holds %T %v, which is not a %s", value, value, meta.Type)
}

// unescapeHTML writes as they are the characters that go-mysql's JSON library escapes for the sake of web pages.
func unescapeHTML(s string, scratch *[]byte) []byte {
	out := (*scratch)[:0]
	for {
		at := strings.IndexByte(s, '\\')
		if at < 0 || at+1 >= len(s) {
			out = append(out, s...)
			*scratch = out
			return out
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

// padded undoes what the server does to BINARY: the log leaves out trailing zero bytes.
func (c *column) padded(s string, scratch *[]byte) []byte {
	b := append((*scratch)[:0], s...)
	for len(b) < c.size {
		b = append(b, 0)
	}
	*scratch = b
	return b
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

func toText(value any) (string, bool) {
	switch s := value.(type) {
	case string:
		return s, true
	case []byte:
		return string(s), true
	}
	return "", false
}

func uuidText(raw []byte) string {
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:36], raw[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
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
