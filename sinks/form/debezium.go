package form

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// DebeziumOptions are options of Debezium's MySQL connector and of Kafka Connect's JSON converter, under their names.
type DebeziumOptions struct {
	Decimal        string // decimal.handling.mode: "string" (default), "precise" or "double"
	Time           string // time.precision.mode: "adaptive_time_microseconds" (default), "microseconds", "nanoseconds", "isostring" or "connect"
	BigintUnsigned string // bigint.unsigned.handling.mode: "long" (default) or "precise"
	Binary         string // binary.handling.mode: "bytes" (default), "base64", "base64-url-safe" or "hex"
	Schemas        bool   // schemas.enable: each record has its schema with it
}

// said names the options that are not the default.
func (o DebeziumOptions) said() (out []string) {
	for _, s := range []struct{ name, value, def string }{
		{"decimal.handling.mode", o.Decimal, "string"}, {"time.precision.mode", o.Time, "adaptive_time_microseconds"},
		{"bigint.unsigned.handling.mode", o.BigintUnsigned, "long"}, {"binary.handling.mode", o.Binary, "bytes"},
	} {
		if s.value != s.def {
			out = append(out, s.name+"="+s.value)
		}
	}
	if o.Schemas {
		out = append(out, "schemas.enable=true")
	}
	return out
}

// debezium writes records like those of Debezium's MySQL connector.
type debezium struct {
	o       DebeziumOptions
	batch   *cdc.Batch // the connector's name is known of
	mariadb bool
	schemas map[schemaKey]string
	key     []byte
}

// schemaKey is what a record's schema depends on.
type schemaKey struct {
	table  *cdc.Table
	kinds  string // of the columns as they are delivered, when that is not as they are
	source string // name and connector
}

// complete fills in the defaults and checks the rest.
func (o *DebeziumOptions) complete() error {
	for _, s := range []struct {
		name  string
		value *string
		may   []string
	}{
		{"decimal.handling.mode", &o.Decimal, []string{"string", "precise", "double"}},
		{"time.precision.mode", &o.Time, []string{"adaptive_time_microseconds", "microseconds", "nanoseconds", "isostring", "connect"}},
		{"bigint.unsigned.handling.mode", &o.BigintUnsigned, []string{"long", "precise"}},
		{"binary.handling.mode", &o.Binary, []string{"bytes", "base64", "base64-url-safe", "hex"}},
	} {
		if *s.value == "" {
			*s.value = s.may[0]
		}
		if !slices.Contains(s.may, *s.value) {
			return fmt.Errorf("%s %q is not one of %s", s.name, *s.value, strings.Join(s.may, ", "))
		}
	}
	return nil
}

func (z *debezium) append(dst []byte, d *cdc.Delivery) []byte {
	e, t, p := d.Event, d.Event.Table(), d.Event.Position()
	if b := e.Batch(); b != z.batch {
		z.batch, z.mariadb = b, b.Checkpoint().Flavor == "mariadb"
	}
	h := e.Batch().Header()
	if z.o.Schemas {
		dst = append(append(dst, `{"schema":`...), z.schema(t, d.Columns, h.Source)...)
		dst = append(dst, `,"payload":`...)
	}
	dst = append(dst, `{"before":`...)
	dst = z.appendRow(dst, t, d.Columns, d.Before)
	dst = append(dst, `,"after":`...)
	dst = z.appendRow(dst, t, d.Columns, d.After)

	dst = append(dst, `,"source":{"version":"`+debeziumVersion+`","connector":"`...)
	dst = append(dst, z.connector()...)
	dst = append(dst, `","name":`...)
	dst = cdc.AppendString(dst, h.Source)
	dst = appendMoments(dst, p.CommitTime)
	if e.Op() == cdc.OpSnapshot {
		dst = append(dst, `,"snapshot":"incremental","db":`...)
	} else {
		dst = append(dst, `,"snapshot":"false","db":`...)
	}
	dst = cdc.AppendString(dst, t.Schema)
	dst = append(dst, `,"sequence":null,"table":`...)
	dst = cdc.AppendString(dst, t.Name)
	dst = append(dst, `,"server_id":`...)
	dst = strconv.AppendUint(dst, serverID(p.Server), 10)
	dst = append(dst, `,"gtid":`...)
	if p.GTID == "" {
		dst = append(dst, `null`...)
	} else {
		dst = cdc.AppendString(dst, p.GTID)
	}
	dst = append(dst, `,"file":`...)
	dst = cdc.AppendString(dst, p.File)
	dst = append(dst, `,"pos":`...)
	dst = strconv.AppendUint(dst, p.Pos, 10)
	dst = append(dst, `,"row":`...)
	dst = strconv.AppendUint(dst, uint64(p.Row), 10)
	dst = append(dst, `,"thread":null,"query":null},"transaction":null,"op":"`...)
	dst = append(dst, debeziumOp(d), '"')
	created := h.Created
	if created.IsZero() {
		created = p.CommitTime
	}
	dst = appendMoments(dst, created)
	dst = z.appendExtension(dst, d)
	dst = append(dst, '}')
	if z.o.Schemas {
		dst = append(dst, '}')
	}
	return dst
}

// debeziumVersion stands where Debezium has its own: that of the envelope.
const debeziumVersion = "cdcd-1"

func (z *debezium) connector() string {
	if z.mariadb {
		return "mariadb"
	}
	return "mysql"
}

// debeziumOp is the operation as Debezium calls it: for a row that enters or leaves a filter, what whoever keeps a copy of the
// filtered table has to do.
func debeziumOp(d *cdc.Delivery) byte {
	op := d.Event.Op()
	switch {
	case op == cdc.OpSnapshot:
		return 'r'
	case op == cdc.OpInsert || d.Change == cdc.Entered && d.Before == nil:
		return 'c'
	case op == cdc.OpDelete || d.Change == cdc.Left && d.After == nil:
		return 'd'
	}
	return 'u'
}

// serverID is the number of the server that wrote a change: MariaDB tells it ("0-1": domain and server), MySQL tells an UUID.
func serverID(server string) uint64 {
	if _, id, ok := strings.Cut(server, "-"); ok && len(server) != 36 {
		n, _ := strconv.ParseUint(id, 10, 32)
		return n
	}
	return 0
}

// appendMoments appends a moment in three units, as Debezium does.
func appendMoments(dst []byte, t time.Time) []byte {
	var micros int64
	if !t.IsZero() {
		micros = t.UnixMicro()
	}
	dst = strconv.AppendInt(append(dst, `,"ts_ms":`...), micros/1000, 10)
	dst = strconv.AppendInt(append(dst, `,"ts_us":`...), micros, 10)
	dst = strconv.AppendInt(append(dst, `,"ts_ns":`...), micros, 10)
	if micros != 0 {
		dst = append(dst, `000`...)
	}
	return dst
}

// appendExtension appends what Debezium knows nothing of, as one member.
func (z *debezium) appendExtension(dst []byte, d *cdc.Delivery) []byte {
	e := d.Event
	dst = append(dst, `,"cdcd":{"id":`...)
	dst = d.AppendID(dst)
	dst = append(dst, `,"feed":`...)
	dst = cdc.AppendString(dst, d.Feed)
	dst = append(dst, `,"rules":`...)
	dst = d.AppendRules(dst)
	if len(d.Tags) > 0 {
		dst = d.AppendTags(append(dst, `,"tags":`...))
	}
	if d.Change != "" {
		dst = append(append(append(dst, `,"change":"`...), d.Change...), '"')
	}
	dst = append(append(append(dst, `,"op":"`...), e.Op().String()...), `","key":`...)
	dst = z.appendKey(dst, d)
	if len(d.Lookups) > 0 {
		dst = append(dst, `,"lookup":{`...)
		for i := range d.Lookups {
			l := &d.Lookups[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(cdc.AppendString(dst, l.Name), ':')
			dst = z.appendFound(dst, l)
		}
		dst = append(dst, '}')
	}
	dst = strconv.AppendUint(append(dst, `,"no":`...), e.No(), 10)
	dst = strconv.AppendUint(append(dst, `,"part_no":`...), e.PartNo(), 10)
	return append(dst, '}')
}

func (z *debezium) appendFound(dst []byte, l *cdc.Found) []byte {
	if !l.Many {
		if len(l.Rows) == 0 {
			return append(dst, `null`...)
		}
		return z.appendRow(dst, l.Table, l.Columns, l.Rows[0])
	}
	dst = append(dst, '[')
	for i, values := range l.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = z.appendRow(dst, l.Table, l.Columns, values)
	}
	return append(dst, ']')
}

// appendKey appends the record's key as Debezium's key has it.
func (z *debezium) appendKey(dst []byte, d *cdc.Delivery) []byte {
	if d.Key == nil {
		return append(dst, `null`...)
	}
	dst = append(dst, '{')
	first := true
	for n, i := range d.Event.Table().Key() {
		if d.Key[n].IsAbsent() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(cdc.AppendString(dst, d.Columns[i].Name), ':')
		dst = z.appendValue(dst, &d.Columns[i], d.Key[n])
	}
	return append(dst, '}')
}

func (z *debezium) appendRow(dst []byte, t *cdc.Table, columns []cdc.Column, values []cdc.Value) []byte {
	if values == nil {
		return append(dst, `null`...)
	}
	dst = append(dst, '{')
	first := true
	for i := range values {
		if values[i].IsAbsent() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(cdc.AppendString(dst, t.Columns[i].Name), ':')
		dst = z.appendValue(dst, &columns[i], values[i])
	}
	return append(dst, '}')
}

func (z *debezium) appendValue(dst []byte, c *cdc.Column, v cdc.Value) []byte {
	switch v.Kind() {
	case cdc.KindUint64:
		if z.o.BigintUnsigned == "precise" && isBigint(c) {
			return appendUnscaled(dst, new(big.Int).SetUint64(v.Uint64()))
		}
	case cdc.KindDecimal:
		switch z.o.Decimal {
		case "precise":
			return appendUnscaled(dst, unscaled(v.Text(), int(c.Scale)))
		case "double":
			f, _ := strconv.ParseFloat(v.Text(), 64)
			return cdc.AppendJSON(dst, &cdc.Column{Kind: cdc.KindFloat64}, cdc.Float64Value(f))
		}
	case cdc.KindBytes:
		return z.appendBytes(dst, v.Text())
	case cdc.KindBit:
		if c.Precision == 1 {
			return strconv.AppendBool(dst, v.Uint64() != 0)
		}
		var le [8]byte
		for i := range le {
			le[i] = byte(v.Uint64() >> (8 * i))
		}
		n := (int(c.Precision) + 7) / 8
		if n == 0 || n > 8 {
			n = 8
		}
		return appendQuoted(dst, base64.StdEncoding, le[:n])
	case cdc.KindSet:
		return cdc.AppendString(dst, v.Text())
	case cdc.KindJSON:
		return cdc.AppendString(dst, v.Text())
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTimestamp, cdc.KindTime:
		return z.appendTemporal(dst, c, v)
	}
	return cdc.AppendJSON(dst, c, v)
}

func (z *debezium) appendBytes(dst []byte, s string) []byte {
	switch z.o.Binary {
	case "hex":
		dst = append(dst, '"')
		return append(hex.AppendEncode(dst, []byte(s)), '"')
	case "base64-url-safe":
		return appendQuoted(dst, base64.URLEncoding, []byte(s))
	}
	return appendQuoted(dst, base64.StdEncoding, []byte(s))
}

func appendQuoted(dst []byte, enc *base64.Encoding, b []byte) []byte {
	dst = enc.AppendEncode(append(dst, '"'), b)
	return append(dst, '"')
}

// unscaled returns a decimal times ten to its column's scale.
func unscaled(text string, scale int) *big.Int {
	whole, fraction, _ := strings.Cut(text, ".")
	if missing := scale - len(fraction); missing > 0 {
		fraction += strings.Repeat("0", missing)
	}
	n, _ := new(big.Int).SetString(whole+fraction, 10)
	if n == nil {
		return new(big.Int)
	}
	return n
}

// appendUnscaled appends a number as Kafka Connect's Decimal has it: the shortest big-endian two's complement.
func appendUnscaled(dst []byte, n *big.Int) []byte {
	return appendQuoted(dst, base64.StdEncoding, twosComplement(n, 0))
}

// twosComplement returns n in size bytes, or in as few as can hold it when size is 0.
func twosComplement(n *big.Int, size int) []byte {
	if size == 0 {
		bits := n.BitLen()
		if n.Sign() < 0 { // -128 needs a byte only
			bits = new(big.Int).Not(n).BitLen()
		}
		size = bits/8 + 1
	}
	out := make([]byte, size)
	if n.Sign() >= 0 {
		return n.FillBytes(out)
	}
	new(big.Int).Not(n).FillBytes(out)
	for i := range out {
		out[i] = ^out[i]
	}
	return out
}

// appendTemporal appends dates and times. Those that are none ("0000-00-00", "2026-02-30") are null where the column may be
// null, else the first moment of 1970, as in Debezium.
func (z *debezium) appendTemporal(dst []byte, c *cdc.Column, v cdc.Value) []byte {
	var at time.Time
	real := true
	switch v.Kind() {
	case cdc.KindTimestamp:
		at, real = v.Time(), v.Int64() != 0
	case cdc.KindDate, cdc.KindDatetime:
		at, real = instantOf(v.Civil())
	}
	if !real {
		if c.Nullable {
			return append(dst, `null`...)
		}
		at = time.Unix(0, 0).UTC()
	}
	switch v.Kind() {
	case cdc.KindTimestamp:
		return append(cdc.AppendInstant(append(dst, '"'), at, c.Fsp), '"')
	case cdc.KindTime:
		switch z.o.Time {
		case "isostring":
			dst = cdc.AppendJSON(dst, c, v)
			return append(dst[:len(dst)-1], `Z"`...)
		case "connect":
			return strconv.AppendInt(dst, v.Int64()/1000, 10)
		case "nanoseconds":
			return strconv.AppendInt(dst, v.Int64()*1000, 10)
		}
		return strconv.AppendInt(dst, v.Int64(), 10)
	case cdc.KindDate:
		if z.o.Time == "isostring" {
			return append(at.AppendFormat(append(dst, '"'), time.DateOnly), `Z"`...)
		}
		return strconv.AppendInt(dst, floorDiv(at.Unix(), 86400), 10)
	}
	switch {
	case z.o.Time == "isostring":
		return append(cdc.AppendInstant(append(dst, '"'), at, c.Fsp), '"')
	case z.o.Time == "nanoseconds":
		return new(big.Int).Mul(big.NewInt(at.UnixMicro()), big.NewInt(1000)).Append(dst, 10)
	case z.o.Time == "microseconds", z.o.Time == "adaptive_time_microseconds" && c.Fsp > 3:
		return strconv.AppendInt(dst, at.UnixMicro(), 10)
	}
	return strconv.AppendInt(dst, floorDiv(at.UnixMicro(), 1000), 10)
}

// instantOf returns a civil time as if it were UTC, and whether there is such a day.
func instantOf(c cdc.Civil) (time.Time, bool) {
	t := time.Date(c.Year, time.Month(c.Month), c.Day, c.Hour, c.Minute, c.Second, c.Micro*1000, time.UTC)
	year, month, day := t.Date()
	return t, c.Month != 0 && c.Day != 0 && year == c.Year && int(month) == c.Month && day == c.Day
}

func floorDiv(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}

func isBigint(c *cdc.Column) bool {
	word := sqlWord(c)
	return word == "bigint" || word == "serial" || word == ""
}

// sqlWord is the first word of the column's SQL type, "" when that is not known.
func sqlWord(c *cdc.Column) string {
	word := strings.ToLower(c.Type)
	if i := strings.IndexAny(word, " ("); i >= 0 {
		word = word[:i]
	}
	return word
}
