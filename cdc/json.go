package cdc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// AppendRecord appends the delivered form of a decision's event, one JSON object without a newline: the envelope
// "cdcd" of docs/objects.md, as [Deliver] and [AppendDelivery] make it.
func AppendRecord(dst []byte, feed string, d *Decision) []byte {
	scratch := deliveries.Get().(*Delivery)
	defer deliveries.Put(scratch)
	Deliver(scratch, feed, d)
	return AppendDelivery(dst, scratch)
}

var deliveries = sync.Pool{New: func() any { return new(Delivery) }}

// AppendDelivery appends a delivery as one JSON object without a newline: the envelope "cdcd" of docs/objects.md.
func AppendDelivery(dst []byte, d *Delivery) []byte {
	p := d.Event.Position()
	dst = append(dst, `{"id":`...)
	dst = appendID(dst, p)
	dst = append(dst, `,"feed":`...)
	dst = AppendString(dst, d.Feed)
	dst = d.AppendRules(append(dst, `,"rules":`...))
	if len(d.Tags) > 0 {
		dst = d.AppendTags(append(dst, `,"tags":`...))
	}
	if d.Change != "" {
		dst = append(dst, `,"change":"`...)
		dst = append(dst, d.Change...)
		dst = append(dst, '"')
	}
	dst = append(dst, ',')
	dst = appendChange(dst, d, p)
	return append(dst, '}')
}

// AppendEvent appends an event as one JSON object without a newline: a delivered record without what rules and feeds
// add to it. It is what people see of an event.
func AppendEvent(dst []byte, e Event) []byte {
	scratch := deliveries.Get().(*Delivery)
	defer deliveries.Put(scratch)
	Deliver(scratch, "", &Decision{Event: e})
	p := e.Position()
	dst = append(dst, `{"id":`...)
	dst = appendID(dst, p)
	dst = append(dst, ',')
	dst = appendChange(dst, scratch, p)
	return append(dst, '}')
}

// appendID appends the position's ID as a JSON string. File names may hold anything.
func appendID(dst []byte, p Position) []byte {
	dst = append(dst, '"')
	start := len(dst)
	dst = p.AppendID(dst)
	for _, c := range dst[start:] {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return AppendString(dst[:start-1], string(dst[start:]))
		}
	}
	return append(dst, '"')
}

// appendChange appends the members from "op" on.
func appendChange(dst []byte, d *Delivery, p Position) []byte {
	e, t := d.Event, d.Event.Table()
	names := t.names()
	dst = append(dst, `"op":"`...)
	dst = append(dst, e.Op().String()...)
	dst = append(dst, `","table":`...)
	dst = append(dst, names.table...)
	dst = append(dst, `,"key":`...)
	dst = appendKey(dst, d, names)
	dst = append(dst, `,"before":`...)
	dst = appendValues(dst, names, d.Columns, d.Before)
	dst = append(dst, `,"after":`...)
	dst = appendValues(dst, names, d.Columns, d.After)
	if len(d.Lookups) > 0 {
		dst = appendFound(append(dst, `,"lookup":`...), d.Lookups)
	}
	dst = append(dst, `,"commit_time":"`...)
	dst = appendInstant(dst, p.CommitTime, 6)
	dst = append(dst, `","source":{"name":`...)
	dst = AppendString(dst, e.batch.header.Source)
	dst = append(dst, `,"gtid":`...)
	if p.GTID == "" {
		dst = append(dst, `null`...)
	} else {
		dst = AppendString(dst, p.GTID)
	}
	dst = append(dst, `,"file":`...)
	dst = AppendString(dst, p.File)
	dst = append(dst, `,"pos":`...)
	dst = appendUint(dst, p.Pos)
	dst = append(dst, `,"row":`...)
	dst = appendUint(dst, uint64(p.Row))
	dst = append(dst, `,"no":`...)
	dst = appendUint(dst, e.No())
	dst = append(dst, `,"part_no":`...)
	dst = appendUint(dst, e.PartNo())
	return append(dst, '}')
}

// appendFound appends what was looked up, by its name.
func appendFound(dst []byte, found []Found) []byte {
	dst = append(dst, '{')
	for i := range found {
		f := &found[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, f.Name), ':')
		if f.Many {
			dst = append(dst, '[')
		} else if len(f.Rows) == 0 {
			dst = append(dst, `null`...)
		}
		for j, values := range f.Rows {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendValues(dst, f.Table.names(), f.Columns, values)
			if !f.Many {
				break
			}
		}
		if f.Many {
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// appendValues appends the columns of a row as a JSON object; null when there is none. Absent columns are left out.
func appendValues(dst []byte, names *jsonNames, columns []Column, values []Value) []byte {
	if values == nil {
		return append(dst, `null`...)
	}
	open := byte('{')
	for i := range values {
		if values[i].kind == KindAbsent {
			continue
		}
		dst = append(dst, open)
		dst = append(dst, names.columns[i]...)
		dst = AppendJSON(dst, &columns[i], values[i])
		open = ','
	}
	if open == '{' {
		dst = append(dst, open)
	}
	return append(dst, '}')
}

// AppendRow appends a row image as a JSON object; null when there is none. Absent columns are left out.
func AppendRow(dst []byte, r Row) []byte {
	if !r.Exists() {
		return append(dst, `null`...)
	}
	return appendValues(dst, r.table.names(), r.table.Columns, r.appendValues(make([]Value, 0, len(r.table.Columns))))
}

// appendKey appends the primary key's columns as they became; null when there is no key.
func appendKey(dst []byte, d *Delivery, names *jsonNames) []byte {
	key := d.Event.Table().Key()
	if len(key) == 0 {
		return append(dst, `null`...)
	}
	open := byte('{')
	for n, i := range key {
		if d.Key[n].kind == KindAbsent {
			continue
		}
		dst = append(dst, open)
		dst = append(dst, names.columns[i]...)
		dst = AppendJSON(dst, &d.Columns[i], d.Key[n])
		open = ','
	}
	if open == '{' {
		dst = append(dst, open)
	}
	return append(dst, '}')
}

// AppendJSON appends a value as the type of its column demands, never as its content would suggest: integers are
// numbers with all digits, decimals strings, dates and times ISO 8601, bytes base64.
func AppendJSON(dst []byte, c *Column, v Value) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.Bool())
	case KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case KindUint64, KindBit:
		return appendUint(dst, v.num)
	case KindFloat64:
		return appendFloat(dst, v.Float64(), c.Float32)
	case KindDecimal, KindString, KindEnum:
		return AppendString(dst, v.str)
	case KindSet:
		return appendSet(dst, v.str)
	case KindBytes:
		return appendBase64(dst, v.str)
	case KindDate:
		dst = append(dst, '"')
		dst = appendDate(dst, v.Civil())
		return append(dst, '"')
	case KindDatetime:
		dst = append(dst, '"')
		dst = appendCivil(dst, v.Civil(), c.Fsp)
		return append(dst, '"')
	case KindTimestamp:
		dst = append(dst, '"')
		if v.num == 0 {
			dst = appendCivil(dst, Civil{}, c.Fsp)
		} else {
			dst = appendInstant(dst, time.UnixMicro(int64(v.num)), c.Fsp)
		}
		return append(dst, '"')
	case KindTime:
		dst = append(dst, '"')
		dst = appendTime(dst, v.Int64(), c.Fsp)
		return append(dst, '"')
	case KindJSON:
		return appendRawJSON(dst, v.str)
	case KindGeometry:
		return appendGeometry(dst, v.str)
	case KindVector:
		return appendVector(dst, v.str)
	}
	return append(dst, `null`...)
}

// AppendText appends a value as [AppendJSON] does, but what JSON has in quotes without them and without escapes. It is
// what masks are made of, so it never changes.
func AppendText(dst []byte, c *Column, v Value) []byte {
	switch v.kind {
	case KindDecimal, KindString, KindEnum:
		return append(dst, v.str...)
	case KindBytes, KindDate, KindDatetime, KindTimestamp, KindTime: // nothing in these is escaped
		start := len(dst)
		dst = AppendJSON(dst, c, v)
		end := len(dst) - 2
		copy(dst[start:], dst[start+1:end+1])
		return dst[:end]
	}
	return AppendJSON(dst, c, v)
}

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// appendFloat writes the shortest text that reads back as the same number, as ECMAScript does, but for
// -0.
func appendFloat(dst []byte, f float64, single bool) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, `null`...) // neither server stores them
	}
	bits := 64
	if single && float64(float32(f)) == f {
		bits = 32
	}
	abs, format := math.Abs(f), byte('f')
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, bits)
	if n := len(dst); format == 'e' && dst[n-2] == '0' && dst[n-3] == '-' { // e-09 is e-9
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

func appendSet(dst []byte, members string) []byte {
	dst = append(dst, '[')
	for i := 0; members != ""; i++ {
		var m string
		m, members, _ = strings.Cut(members, ",")
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, m)
	}
	return append(dst, ']')
}

func appendBase64(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, unview(s))
	return append(dst, '"')
}

func appendGeometry(dst []byte, s string) []byte {
	if len(s) < 4 {
		return append(dst, `null`...)
	}
	dst = append(dst, `{"srid":`...)
	dst = appendUint(dst, uint64(le.Uint32(unview(s))))
	dst = append(dst, `,"wkb":`...)
	dst = appendBase64(dst, s[4:])
	return append(dst, '}')
}

func appendVector(dst []byte, s string) []byte {
	dst = append(dst, '[')
	for i := 0; i+4 <= len(s); i += 4 {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFloat(dst, float64(math.Float32frombits(le.Uint32(unview(s[i:])))), true)
	}
	return append(dst, ']')
}

// appendRawJSON keeps a JSON text as it is, digits and all, but on one line. A text that is not JSON would break the
// record around it, so it becomes a string.
func appendRawJSON(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, `null`...)
	}
	if !json.Valid(unview(s)) {
		return AppendString(dst, s)
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 {
		return append(dst, s...)
	}
	b := bytes.NewBuffer(dst)
	_ = json.Compact(b, unview(s)) // it is valid
	return b.Bytes()
}

func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10%10), byte('0'+n%10)) }

func appendDate(dst []byte, c Civil) []byte {
	dst = append2(append2(dst, c.Year/100), c.Year%100)
	dst = append2(append(dst, '-'), c.Month)
	return append2(append(dst, '-'), c.Day)
}

func appendCivil(dst []byte, c Civil, fsp uint8) []byte {
	dst = append(appendDate(dst, c), 'T')
	dst = append2(dst, c.Hour)
	dst = append2(append(dst, ':'), c.Minute)
	dst = append2(append(dst, ':'), c.Second)
	return appendFraction(dst, c.Micro, fsp)
}

func appendInstant(dst []byte, t time.Time, fsp uint8) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendCivil(dst, Civil{year, int(month), day, hour, minute, second, t.Nanosecond() / 1000}, fsp)
	return append(dst, 'Z')
}

func appendTime(dst []byte, micros int64, fsp uint8) []byte {
	n := uint64(micros)
	if micros < 0 {
		dst, n = append(dst, '-'), -n
	}
	seconds := n / 1_000_000
	if hours := seconds / 3600; hours >= 100 {
		dst = appendUint(dst, hours)
	} else {
		dst = append2(dst, int(hours))
	}
	dst = append2(append(dst, ':'), int(seconds/60%60))
	dst = append2(append(dst, ':'), int(seconds%60))
	return appendFraction(dst, int(n%1_000_000), fsp)
}

func appendFraction(dst []byte, micros int, fsp uint8) []byte {
	if fsp == 0 {
		return dst
	}
	dst = append(dst, '.')
	for div := 100_000; fsp > 0 && div > 0; fsp, div = fsp-1, div/10 {
		dst = append(dst, byte('0'+micros/div%10))
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				i++
				start = i
				continue
			}
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// jsonNames are a table's names as JSON, made once for tables that come out of frames.
type jsonNames struct {
	table   string
	columns []string // `"name":`
}

func (t *Table) names() *jsonNames {
	if t.json != nil {
		return t.json
	}
	return t.makeNames()
}

func (t *Table) makeNames() *jsonNames {
	n := &jsonNames{table: string(AppendString(nil, t.String())), columns: make([]string, len(t.Columns))}
	for i := range t.Columns {
		n.columns[i] = string(append(AppendString(nil, t.Columns[i].Name), ':'))
	}
	return n
}
