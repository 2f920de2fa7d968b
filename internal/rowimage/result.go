package rowimage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// This file turns the rows of a SELECT into rows of frames, so that they are the same, bit for bit, as what the binlog
// gives of the same rows. Rows come in the binary protocol, that of prepared statements, where numbers and times are
// exact.

// SessionSettings are the statements that make the results of SELECT exact on a connection, and harmless.
func SessionSettings(flavor string) []string {
	settings := []string{
		"SET SESSION time_zone = '+00:00'",         // a TIMESTAMP is an instant
		"SET SESSION character_set_results = NULL", // text stays in its column's character set, as in the binlog
		"SET SESSION sql_mode = ''",                // CHAR without its padding
		"SET SESSION sql_select_limit = 18446744073709551615, SESSION sql_big_selects = 1",
		// ORDER BY looks at whole keys, which have 3072 bytes at most, and at some times that when they become weights.
		"SET SESSION max_sort_length = 32768, SESSION sort_buffer_size = 4194304",
		"SET SESSION net_write_timeout = 86400", // the server waits for a reader that waits for the bus
		"SET SESSION TRANSACTION READ ONLY",
	}
	if flavor == gomysql.MariaDBFlavor {
		return append(settings, "SET SESSION max_statement_time = 0")
	}
	return append(settings, "SET SESSION max_execution_time = 0")
}

// SelectList returns the columns to SELECT, in the order in which [Layout.AppendResult] reads them. Columns that are
// dropped are not among them.
func (l *Layout) SelectList() string { return l.SelectListOf("") }

// SelectListOf is [Layout.SelectList] where several tables are read, of which this one has the alias.
func (l *Layout) SelectListOf(alias string) string {
	var b strings.Builder
	for _, i := range l.selected() {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		if alias != "" {
			b.WriteString(alias + ".")
		}
		b.WriteString(QuoteName(l.source().Columns[i].Name))
	}
	return b.String()
}

// selected returns the indexes of the columns that are not dropped.
func (l *Layout) selected() []int {
	var at []int
	for i := range l.columns {
		if l.columns[i].at >= 0 {
			at = append(at, i)
		}
	}
	return at
}

// source returns the table as the server has it.
func (l *Layout) source() *cdc.Table {
	if l.untreated != nil {
		return l.untreated
	}
	return l.table
}

// QuoteName returns a name as it stands in a statement.
func QuoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Expect checks that the columns of a result are those of the layout: a table may have been altered since
// information_schema was asked.
func (l *Layout) Expect(fields []*gomysql.Field) error {
	selected := l.selected()
	if len(fields) != len(selected) {
		return l.altered("it has %d columns, %d were expected", len(fields), len(selected))
	}
	for i, f := range fields {
		c, t := &l.columns[selected[i]], &l.source().Columns[selected[i]]
		ok := string(f.Name) == t.Name
		switch c.convert {
		case convertInt:
			ok = ok && f.Type == integerTypes[c.fixed] && (f.Flag&gomysql.UNSIGNED_FLAG != 0) == c.unsigned
		case convertYear:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_YEAR
		case convertFloat:
			ok = ok && (f.Type == gomysql.MYSQL_TYPE_FLOAT) == t.Float32 && (t.Float32 || f.Type == gomysql.MYSQL_TYPE_DOUBLE)
		case convertDecimal:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_NEWDECIMAL && f.Decimal == t.Scale
		case convertBit:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_BIT && f.ColumnLength == uint32(t.Precision)
		case convertDate:
			ok = ok && (f.Type == gomysql.MYSQL_TYPE_DATE || f.Type == gomysql.MYSQL_TYPE_NEWDATE)
		case convertTime:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_TIME && f.Decimal == t.Fsp
		case convertDatetime:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_DATETIME && f.Decimal == t.Fsp
		case convertTimestamp:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_TIMESTAMP && f.Decimal == t.Fsp
		case convertText:
			ok = ok && isText(f) && charsetOf(uint64(f.Charset)) == c.charset
		case convertEnum:
			ok = ok && isText(f) && f.Flag&gomysql.ENUM_FLAG != 0 && charsetOf(uint64(f.Charset)) == c.charset
		case convertSet:
			ok = ok && isText(f) && f.Flag&gomysql.SET_FLAG != 0 && charsetOf(uint64(f.Charset)) == c.charset
		case convertBytes, convertBinary:
			switch t.Kind {
			case cdc.KindGeometry:
				ok = ok && f.Type == gomysql.MYSQL_TYPE_GEOMETRY
			case cdc.KindVector:
				ok = ok && f.Type == gomysql.MYSQL_TYPE_VECTOR
			default:
				ok = ok && isText(f) && f.Charset == 63
			}
		case convertUUID, convertInet:
			ok = ok && isText(f)
		case convertJSON:
			ok = ok && f.Type == gomysql.MYSQL_TYPE_JSON
		}
		if !ok {
			return l.altered("column %d is %s of type %d, %s %s was expected", i+1, f.Name, f.Type, t.Name, t.Type)
		}
	}
	return nil
}

var integerTypes = [...]byte{1: gomysql.MYSQL_TYPE_TINY, 2: gomysql.MYSQL_TYPE_SHORT, 3: gomysql.MYSQL_TYPE_INT24,
	4: gomysql.MYSQL_TYPE_LONG, 8: gomysql.MYSQL_TYPE_LONGLONG}

func isText(f *gomysql.Field) bool {
	switch f.Type {
	case gomysql.MYSQL_TYPE_STRING, gomysql.MYSQL_TYPE_VAR_STRING, gomysql.MYSQL_TYPE_VARCHAR, gomysql.MYSQL_TYPE_TINY_BLOB,
		gomysql.MYSQL_TYPE_BLOB, gomysql.MYSQL_TYPE_MEDIUM_BLOB, gomysql.MYSQL_TYPE_LONG_BLOB:
		return true
	}
	return false
}

// codeAltered says that a table is not what its layout says any more.
const codeAltered = "CDCD-1341"

// Altered reports whether err says that a table was altered while it was read: it has another layout now.
func Altered(err error) bool { return cdc.CodeOf(err) == codeAltered }

func (l *Layout) altered(format string, args ...any) error {
	return cdc.Errorf(codeAltered, "%s was altered while it was read: %s", l.table, fmt.Sprintf(format, args...)).
		WithFix("read the table again")
}

// AppendResult writes a row of a SELECT of the layout's columns and returns its place in the frame; packet is the row in
// the binary protocol. After an error the row is taken back.
func (l *Layout) AppendResult(b *cdc.Builder, packet []byte) (row uint32, err error) {
	nulls := (len(l.table.Columns) + 2 + 7) / 8 // the first two bits mean nothing
	if len(packet) < 1+nulls || packet[0] != 0 {
		return 0, cdc.Errorf("CDCD-1340", "%s: the server sent no row", l.table)
	}
	null, rest := packet[1:1+nulls], packet[1+nulls:]
	b.BeginRow(len(l.table.Columns))
	at := 1 // of the bits
	for i := range l.columns {
		c := &l.columns[i]
		if c.at < 0 {
			continue
		}
		if at++; bit(null, at) {
			b.SetNull(c.at)
			continue
		}
		var value []byte
		var ok bool
		if value, rest, ok = c.cutResult(rest); !ok {
			err = errShort
		} else if err = c.putResult(b, value); err == nil && c.masked != nil {
			err = c.maskLast(b)
		}
		if err != nil {
			b.DropRow()
			return 0, cdc.Errorf("CDCD-1340", "%s: %w", l.table, l.valueError(i, err))
		}
	}
	if len(rest) > 0 {
		b.DropRow()
		return 0, cdc.Errorf("CDCD-1340", "%s: the server sent a row with %d bytes too many", l.table, len(rest))
	}
	return b.EndRow(), nil
}

// cutResult cuts off a value, without its length.
func (c *column) cutResult(data []byte) (value, rest []byte, ok bool) {
	n := uint64(0)
	switch c.convert {
	case convertInt, convertFloat:
		if n = uint64(c.fixed); n == 3 {
			n = 4
		}
	case convertYear:
		n = 2
	default:
		if n, data, ok = cutLength(data); !ok {
			return nil, nil, false
		}
	}
	if n > uint64(len(data)) {
		return nil, nil, false
	}
	return data[:n], data[n:], true
}

// cutLength cuts off the length of a value: one byte, or a byte that tells how many follow.
func cutLength(data []byte) (n uint64, rest []byte, ok bool) {
	if len(data) == 0 {
		return 0, nil, false
	}
	width := 0
	switch data[0] {
	case 0xfb, 0xff:
		return 0, nil, false
	case 0xfc:
		width = 2
	case 0xfd:
		width = 3
	case 0xfe:
		width = 8
	default:
		return uint64(data[0]), data[1:], true
	}
	if len(data) < 1+width {
		return 0, nil, false
	}
	return uintLE(data[1 : 1+width]), data[1+width:], true
}

// putResult writes a value. It is put for the values that a SELECT has in another form than a row image.
func (c *column) putResult(b *cdc.Builder, value []byte) error {
	switch c.convert {
	case convertYear:
		b.SetInt(c.at, int64(uintLE(value)))
		return nil
	case convertDecimal:
		b.EndText(c.at, c.kind, appendPlainDecimal(b.BeginText(), value))
		return nil
	case convertBit:
		if len(value) <= 8 {
			return c.put(b, value)
		}
	case convertDate, convertDatetime:
		if civil, ok := resultCivil(value); ok && c.putCivil(b, civil) {
			return nil
		}
	case convertTimestamp:
		if civil, ok := resultCivil(value); ok && (civil.Year == 0 || civil.Year >= 1970) {
			b.SetNum(c.at, c.kind, uint64(instant(civil)))
			return nil
		}
	case convertTime:
		if micros, ok := resultTime(value); ok {
			b.SetNum(c.at, c.kind, uint64(micros))
			return nil
		}
	case convertUUID:
		b.SetBytes(c.at, c.kind, value)
		return nil
	case convertInet:
		addr, err := netip.ParseAddr(string(value))
		if err != nil {
			return err
		}
		b.EndText(c.at, c.kind, addr.AppendTo(b.BeginText())) // the servers write some addresses in their own way
		return nil
	case convertEnum, convertSet:
		return c.putMembers(b, value)
	case convertJSON:
		b.EndText(c.at, c.kind, appendCompactJSON(b.BeginText(), value))
		return nil
	default:
		return c.put(b, value)
	}
	return fmt.Errorf("the server sent %x, which is not a %s", value[:min(len(value), 100)], c.kind)
}

// putMembers writes an enum or set. What is no member here was none when information_schema was asked.
func (c *column) putMembers(b *cdc.Builder, value []byte) error {
	text, _, err := c.charset.appendUTF8(b.BeginText(), value)
	if err != nil {
		return err
	}
	start := len(b.BeginText())
	for rest, more := text[start:], len(text) > start; more; {
		one := rest
		if more = c.convert == convertSet; more {
			one, rest, more = bytes.Cut(rest, []byte{','})
		}
		if _, ok := c.isMember[string(one)]; !ok && !c.isUnshown(string(one)) {
			return fmt.Errorf("%q is not a member", one)
		}
	}
	b.EndText(c.at, c.kind, text)
	return nil
}

// isUnshown reports whether a text is a member that [Column] shows with question marks.
func (c *column) isUnshown(text string) bool {
	shown := strings.Map(func(r rune) rune {
		if r > 0xffff {
			return '?'
		}
		return r
	}, text)
	_, ok := c.isMember[shown]
	return ok && shown != text
}

// appendPlainDecimal leaves out the zeros that ZEROFILL puts before a number.
func appendPlainDecimal(dst, text []byte) []byte {
	if len(text) > 0 && text[0] == '-' {
		dst, text = append(dst, '-'), text[1:]
	}
	for len(text) > 1 && text[0] == '0' && text[1] != '.' {
		text = text[1:]
	}
	return append(dst, text...)
}

// appendCompactJSON leaves out the spaces that the server puts between the parts of a document. All else is as
// internal/jsonb writes it.
func appendCompactJSON(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, "null"...)
	}
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\ufffd"))
	}
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++
		case ' ':
			if !quoted {
				dst = append(dst, text[start:i]...)
				start = i + 1
			}
		}
	}
	return append(dst, text[start:]...)
}

// resultCivil reads a date, with the time of day and microseconds if they are not zero.
func resultCivil(value []byte) (c cdc.Civil, ok bool) {
	switch len(value) {
	case 11:
		c.Micro = int(binary.LittleEndian.Uint32(value[7:]))
		fallthrough
	case 7:
		c.Hour, c.Minute, c.Second = int(value[4]), int(value[5]), int(value[6])
		fallthrough
	case 4:
		c.Year, c.Month, c.Day = int(binary.LittleEndian.Uint16(value)), int(value[2]), int(value[3])
	case 0:
	default:
		return c, false
	}
	return c, c.Year <= 9999 && c.Month <= 12 && c.Day <= 31 && c.Hour <= 23 && c.Minute <= 59 && c.Second <= 59 && c.Micro <= 999_999
}

// resultTime reads microseconds: a sign, days, the time of day, and microseconds if they are not zero.
func resultTime(value []byte) (micros int64, ok bool) {
	switch len(value) {
	case 12:
		micros = int64(binary.LittleEndian.Uint32(value[8:]))
		fallthrough
	case 8:
		hours := int64(binary.LittleEndian.Uint32(value[1:]))*24 + int64(value[5])
		micros += ((hours*60+int64(value[6]))*60 + int64(value[7])) * 1_000_000
		if value[0] != 0 {
			micros = -micros
		}
	case 0:
	default:
		return 0, false
	}
	const end = 839 * 3600 * 1_000_000
	return micros, -end < micros && micros < end
}
