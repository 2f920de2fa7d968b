package form

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/cdcd-project/cdcd/cdc"
)

// parquetFile is a Parquet file whose rows are records of one table. A record is the JSON of the envelope cdcd, as in all
// proofs; the file holds it in typed columns, from which the very same text can be made again.
type parquetFile struct{ codec string }

func (parquetFile) extension() string { return ".parquet" }
func (parquetFile) single() bool      { return true }
func (parquetFile) next(lines []byte) (record, rest []byte) {
	return jsonl{}.next(lines)
}

// Where the leaves of the fixed columns stand. Those of the table's columns follow: first before_…, then after_….
const (
	leafID = iota
	leafOp
	leafChange
	leafCommit
	leafTable
	leafFeed
	leafRuleName
	leafRuleVersion
	leafRuleChange
	leafRuleReason
	leafTags
	leafKey
	leafLookup
	leafAbsent
	leafUnfit
	leafSource
	leafGTID
	leafFile
	leafPos
	leafRow
	leafNo
	leafPartNo
	leafColumns
)

// named is a field of a group that keeps its order; the library's own group sorts its fields.
type named struct {
	parquet.Node
	name string
}

// ordered is a group whose fields stand as they are listed.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (g ordered) Fields() []parquet.Field { return g.fields }

func group(fields ...named) ordered {
	g := parquet.Group{}
	for _, f := range fields {
		g[f.name] = f.Node
	}
	byName := map[string]parquet.Field{}
	for _, f := range g.Fields() {
		byName[f.Name()] = f
	}
	out := ordered{Group: g}
	for _, f := range fields {
		out.fields = append(out.fields, byName[f.name])
	}
	return out
}

// schemaOf returns the schema of a file of rows of that kind.
func schemaOf(k *Kind) *parquet.Schema {
	text := parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	micros := parquet.Timestamp(parquet.Microsecond)
	rule := group(named{text, "name"}, named{text, "version"}, named{parquet.Optional(text), "change"}, named{parquet.Optional(text), "reason"})
	fields := []named{
		{parquet.String(), "id"}, {text, "op"}, {parquet.Optional(text), "change"}, {micros, "commit_time"}, {text, "table"}, {text, "feed"},
		{parquet.List(rule), "rules"}, {parquet.List(text), "tags"}, {parquet.Optional(parquet.JSON()), "key"}, {parquet.Optional(parquet.JSON()), "lookup"},
		{parquet.List(text), "absent"}, {parquet.Optional(parquet.JSON()), "unfit"},
		{text, "source"}, {parquet.Optional(parquet.String()), "gtid"}, {text, "file"}, {parquet.Uint(64), "pos"}, {parquet.Uint(32), "row"},
		{parquet.Uint(64), "no"}, {parquet.Uint(64), "part_no"},
	}
	for _, image := range [...]string{"before_", "after_"} {
		for i := range k.Columns {
			fields = append(fields, named{parquet.Optional(nodeOf(&k.Columns[i])), image + k.Columns[i].Name})
		}
	}
	return parquet.NewSchema("record", group(fields...))
}

// nodeOf is the type of a column's values.
func nodeOf(c *cdc.Column) parquet.Node {
	switch c.Kind {
	case cdc.KindBool:
		return parquet.Leaf(parquet.BooleanType)
	case cdc.KindInt64:
		return parquet.Int(64)
	case cdc.KindUint64, cdc.KindBit:
		return parquet.Uint(64)
	case cdc.KindFloat64:
		if c.Float32 {
			return parquet.Leaf(parquet.FloatType)
		}
		return parquet.Leaf(parquet.DoubleType)
	case cdc.KindDecimal:
		switch p, s := int(c.Precision), int(c.Scale); {
		case p == 0 || p > 38 || s > p: // what most readers stop at
			return parquet.String()
		case p <= 9:
			return parquet.Decimal(s, p, parquet.Int32Type)
		case p <= 18:
			return parquet.Decimal(s, p, parquet.Int64Type)
		default:
			return parquet.Decimal(s, p, parquet.FixedLenByteArrayType(decimalBytes(p)))
		}
	case cdc.KindBytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case cdc.KindDate:
		return parquet.Date()
	case cdc.KindDatetime:
		return parquet.TimestampAdjusted(parquet.Microsecond, false)
	case cdc.KindTimestamp:
		return parquet.Timestamp(parquet.Microsecond)
	case cdc.KindTime:
		return parquet.TimeAdjusted(parquet.Microsecond, false)
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
		return parquet.JSON()
	}
	return parquet.String()
}

// decimalBytes is how many bytes hold every decimal of that many digits.
func decimalBytes(precision int) int {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return limit.BitLen()/8 + 1
}

// Row groups are cut at this many rows or bytes of records, so that neither writer nor reader needs room for more at once.
const (
	groupRows  = 100_000
	groupBytes = 64 << 20
)

// The keys of the file's own metadata.
const (
	keyTable  = "cdcd.table"
	keyFormat = "cdcd.format"
)

func (f parquetFile) seal(k *Kind, lines []byte) ([]byte, error) {
	if k.Table == nil {
		return nil, errors.New("a Parquet file is of one table")
	}
	delivered := *k.Table
	delivered.Columns = k.Columns
	out := bytes.NewBuffer(make([]byte, 0, len(lines)/4+4096))
	w := parquet.NewGenericWriter[any](out, k.parquetSchema(), parquet.Compression(codecOf(f.codec)), parquet.CreatedBy("cdcd", "1", ""),
		parquet.KeyValueMetadata(keyFormat, "1"), parquet.KeyValueMetadata(keyTable, string((&delivered).AppendDescription(nil))),
		parquet.PageBufferSize(256<<10), parquet.DataPageStatistics(true))
	enc := newEncoder(k)
	rows, size := 0, 0
	for n := 1; len(lines) > 0; n++ {
		var record []byte
		record, lines = jsonl{}.next(lines)
		if err := enc.add(record); err != nil {
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
		rows, size = rows+1, size+len(record)
		full := rows >= groupRows || size >= groupBytes
		if full || len(enc.rows) == atOnce || len(lines) == 0 {
			if err := enc.write(w); err != nil {
				return nil, fmt.Errorf("record %d: %w", n, err)
			}
		}
		if full {
			if err := w.Flush(); err != nil {
				return nil, err
			}
			rows, size = 0, 0
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// parquetSchema returns the schema of files of that kind. Objects have it in common.
func (k *Kind) parquetSchema() *parquet.Schema {
	k.once.Do(func() { k.schema = schemaOf(k) })
	return k.schema
}

func codecOf(name string) compress.Codec {
	switch name {
	case "zstd":
		return &parquet.Zstd
	case "gzip":
		return &parquet.Gzip
	}
	return &parquet.Uncompressed
}

// encoder makes rows of records. It has them written by the dozen: a call for each would cost as much as making them.
type encoder struct {
	k       *Kind
	names   []string      // `"name":` by column
	rows    []parquet.Row // to be written; what is behind them is used again
	values  []parquet.Value
	images  []parquet.Value
	memory  []byte // what values point to; it lives as long as the rows are not written
	absent  []string
	unfit   []byte
	scratch []byte

	said  []byte // the rules of the record before, as it has them
	rules []parquet.Value
}

// atOnce is how many rows are written at once.
const atOnce = 64

func newEncoder(k *Kind) *encoder {
	e := &encoder{k: k, rows: make([]parquet.Row, 0, atOnce)}
	for i := range k.Columns {
		e.names = append(e.names, string(append(cdc.AppendString(nil, k.Table.Columns[i].Name), ':')))
	}
	return e
}

// add makes the row of a record.
func (e *encoder) add(record []byte) error {
	n := len(e.rows)
	e.rows = e.rows[:n+1]
	var err error
	e.rows[n], err = e.row(e.rows[n][:0], record)
	return err
}

// write writes the rows.
func (e *encoder) write(w *parquet.GenericWriter[any]) error {
	_, err := w.WriteRows(e.rows)
	e.rows, e.memory = e.rows[:0], e.memory[:0]
	return err
}

// row makes the row of a record, in what it is given.
func (e *encoder) row(into parquet.Row, record []byte) (parquet.Row, error) {
	e.values, e.absent, e.unfit = into, e.absent[:0], e.unfit[:0]
	e.room(2*len(record) + 64*len(e.k.Columns) + 256)
	r := reader{b: record}
	r.expect(`{"id":`)
	e.one(leafID, 0, r.text(e))
	r.expect(`,"feed":`)
	feed := r.text(e)
	r.expect(`,"rules":`)
	if err := e.matched(r.raw()); err != nil {
		return nil, err
	}
	var tags []parquet.Value
	if r.accept(`,"tags":[`) {
		for more := true; more; more = r.accept(",") {
			tags = append(tags, r.text(e))
		}
		r.expect("]")
	}
	change := parquet.NullValue()
	if r.accept(`,"change":`) {
		change = r.text(e)
	}
	r.expect(`,"op":`)
	e.one(leafOp, 0, r.text(e))
	e.optional(leafChange, change)
	r.expect(`,"table":`)
	table := r.text(e)
	r.expect(`,"key":`)
	key := r.raw()
	r.expect(`,"before":`)
	before := r.b[r.at:]
	r.raw()
	r.expect(`,"after":`)
	after := r.b[r.at:]
	r.raw()
	lookup := parquet.NullValue()
	if r.accept(`,"lookup":`) {
		lookup = parquet.ByteArrayValue(r.raw())
	}
	r.expect(`,"commit_time":`)
	commit, ok := parseInstant(r.raw(), 6, true)
	if !ok {
		r.fail("commit_time is not a time")
	}
	e.one(leafCommit, 0, parquet.Int64Value(commit))
	e.one(leafTable, 0, table)
	e.one(leafFeed, 0, feed)
	e.values = append(e.values, e.rules...)
	e.list(leafTags, tags)
	if string(key) == "null" {
		e.optional(leafKey, parquet.NullValue())
	} else {
		e.optional(leafKey, parquet.ByteArrayValue(key))
	}
	e.optional(leafLookup, lookup)

	r.expect(`,"source":{"name":`)
	source := r.text(e)
	r.expect(`,"gtid":`)
	gtid := parquet.NullValue()
	if !r.accept("null") {
		gtid = r.text(e)
	}
	r.expect(`,"file":`)
	file := r.text(e)
	var numbers [4]uint64
	for i, name := range [...]string{`,"pos":`, `,"row":`, `,"no":`, `,"part_no":`} {
		r.expect(name)
		numbers[i], _ = strconv.ParseUint(string(r.raw()), 10, 64)
	}
	r.expect("}}")
	if r.err == nil && r.at != len(record) {
		r.fail("something follows its end")
	}

	row := e.values
	e.values = e.images[:0]
	if err := e.image("before", leafColumns, before); err != nil {
		return nil, err
	}
	if err := e.image("after", leafColumns+len(e.k.Columns), after); err != nil {
		return nil, err
	}
	e.values, e.images = row, e.values
	e.tail(source, gtid, file, numbers)
	return append(e.values, e.images...), r.err
}

// room makes sure that as much can be kept without what is kept being moved: values point to it.
func (e *encoder) room(bytes int) {
	if cap(e.memory)-len(e.memory) < bytes {
		e.memory = make([]byte, 0, max(2*bytes, 128<<10))
	}
}

// tail adds the columns between the change's and the table's.
func (e *encoder) tail(source, gtid, file parquet.Value, numbers [4]uint64) {
	absent := make([]parquet.Value, len(e.absent))
	for i, name := range e.absent {
		absent[i] = parquet.ByteArrayValue([]byte(name))
	}
	e.list(leafAbsent, absent)
	if len(e.unfit) > 0 {
		e.optional(leafUnfit, parquet.ByteArrayValue(append(bytes.Clone(e.unfit), '}')))
	} else {
		e.optional(leafUnfit, parquet.NullValue())
	}
	e.one(leafSource, 0, source)
	e.optional(leafGTID, gtid)
	e.one(leafFile, 0, file)
	e.one(leafPos, 0, parquet.Int64Value(int64(numbers[0])))
	e.one(leafRow, 0, parquet.Int32Value(int32(uint32(numbers[1]))))
	e.one(leafNo, 0, parquet.Int64Value(int64(numbers[2])))
	e.one(leafPartNo, 0, parquet.Int64Value(int64(numbers[3])))
}

func (e *encoder) one(leaf, level int, v parquet.Value) {
	e.values = append(e.values, v.Level(0, level, leaf))
}

func (e *encoder) optional(leaf int, v parquet.Value) {
	level := 1
	if v.IsNull() {
		level = 0
	}
	e.one(leaf, level, v)
}

func (e *encoder) list(leaf int, values []parquet.Value) {
	if len(values) == 0 {
		e.one(leaf, 0, parquet.NullValue())
	}
	for i, v := range values {
		e.values = append(e.values, v.Level(min(i, 1), 1, leaf))
	}
}

// matched makes the leaves of the list of rules. It is the same for one record after another, so it is kept: in memory of its own.
func (e *encoder) matched(list []byte) error {
	if e.said != nil && bytes.Equal(e.said, list) {
		return nil
	}
	memory := e.memory
	e.memory = make([]byte, 0, len(list))
	r := reader{b: list}
	r.expect("[")
	e.rules = e.leavesOfRules(&r)
	e.memory, e.said = memory, list
	return r.err
}

// leavesOfRules returns the leaves of the list of rules, after its bracket has been read.
func (e *encoder) leavesOfRules(r *reader) []parquet.Value {
	var columns [4][]parquet.Value
	for i := 0; !r.accept("]") && r.err == nil; i++ {
		if i > 0 {
			r.expect(",")
		}
		rep := min(i, 1)
		r.expect(`{"name":`)
		columns[0] = append(columns[0], r.text(e).Level(rep, 1, leafRuleName))
		r.expect(`,"version":`)
		columns[1] = append(columns[1], r.text(e).Level(rep, 1, leafRuleVersion))
		for n, name := range [...]string{`,"change":`, `,"reason":`} {
			v := parquet.NullValue().Level(rep, 1, leafRuleChange+n)
			if r.accept(name) {
				v = r.text(e).Level(rep, 2, leafRuleChange+n)
			}
			columns[2+n] = append(columns[2+n], v)
		}
		r.expect("}")
	}
	var out []parquet.Value
	for n := range columns {
		if len(columns[n]) == 0 {
			columns[n] = []parquet.Value{parquet.NullValue().Level(0, 0, leafRuleName+n)}
		}
		out = append(out, columns[n]...)
	}
	return out
}

// image adds the columns of a row image.
func (e *encoder) image(name string, leaf int, text []byte) error {
	r := reader{b: text}
	if r.accept("null") {
		e.absent = append(e.absent, name)
		for i := range e.k.Columns {
			e.optional(leaf+i, parquet.NullValue())
		}
		return r.err
	}
	r.expect("{")
	first := true
	for i := range e.k.Columns {
		c := &e.k.Columns[i]
		at := r.at
		if !first {
			r.accept(",")
		}
		if !r.accept(e.names[i]) {
			r.at = at
			e.absent = append(e.absent, name+"_"+c.Name)
			e.optional(leaf+i, parquet.NullValue())
			continue
		}
		first = false
		raw := r.raw()
		v, fits := e.value(c, raw)
		if !fits {
			if len(e.unfit) == 0 {
				e.unfit = append(e.unfit, '{')
			} else {
				e.unfit = append(e.unfit, ',')
			}
			e.unfit = append(cdc.AppendString(e.unfit, name+"_"+c.Name), ':')
			e.unfit = append(e.unfit, raw...)
		}
		e.optional(leaf+i, v)
	}
	r.expect("}")
	return r.err
}

// value returns the value of a column, or false when the column's type cannot hold what stands there: then it is null.
func (e *encoder) value(c *cdc.Column, raw []byte) (parquet.Value, bool) {
	null := parquet.NullValue()
	if string(raw) == "null" {
		return null, true
	}
	quoted := raw[0] == '"'
	switch c.Kind {
	case cdc.KindBool:
		switch string(raw) {
		case "true":
			return parquet.BooleanValue(true), true
		case "false":
			return parquet.BooleanValue(false), true
		}
		return null, false
	case cdc.KindInt64:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		return orNull(parquet.Int64Value(n), err == nil)
	case cdc.KindUint64, cdc.KindBit:
		n, err := strconv.ParseUint(string(raw), 10, 64)
		return orNull(parquet.Int64Value(int64(n)), err == nil)
	case cdc.KindFloat64:
		f, err := strconv.ParseFloat(string(raw), 64)
		if c.Float32 {
			f = float64(float32(f))
		}
		if e.scratch = cdc.AppendJSON(e.scratch[:0], c, cdc.Float64Value(f)); err != nil || !bytes.Equal(e.scratch, raw) {
			return null, false
		}
		if c.Float32 {
			return parquet.FloatValue(float32(f)), true
		}
		return parquet.DoubleValue(f), true
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
		return parquet.ByteArrayValue(raw), true
	case cdc.KindSet:
		return e.set(raw)
	}
	if !quoted {
		return null, false
	}
	switch c.Kind {
	case cdc.KindDecimal:
		return e.decimal(c, raw)
	case cdc.KindBytes:
		start := len(e.memory)
		b, err := base64.StdEncoding.AppendDecode(e.memory, raw[1:len(raw)-1])
		if err != nil {
			return null, false
		}
		e.memory = b
		if e.scratch = base64.StdEncoding.AppendEncode(e.scratch[:0], b[start:]); !bytes.Equal(e.scratch, raw[1:len(raw)-1]) {
			return null, false
		}
		return parquet.ByteArrayValue(b[start:]), true
	case cdc.KindDate:
		n, ok := parseInstant(raw, 0, false)
		if !ok || len(raw) != len(`"2026-11-21"`) {
			return null, false
		}
		return parquet.Int32Value(int32(floorDiv(n, 86400e6))), true
	case cdc.KindDatetime:
		n, ok := parseInstant(raw, c.Fsp, false)
		return orNull(parquet.Int64Value(n), ok)
	case cdc.KindTimestamp:
		n, ok := parseInstant(raw, c.Fsp, true)
		return orNull(parquet.Int64Value(n), ok)
	case cdc.KindTime:
		n, ok := e.timeOfDay(c, raw)
		return orNull(parquet.Int64Value(n), ok)
	}
	return unquote(e, raw), true
}

func orNull(v parquet.Value, ok bool) (parquet.Value, bool) {
	if !ok {
		return parquet.NullValue(), false
	}
	return v, true
}

// set makes "a,b" of ["a","b"].
func (e *encoder) set(raw []byte) (parquet.Value, bool) {
	r := reader{b: raw}
	if !r.accept("[") {
		return parquet.NullValue(), false
	}
	start := len(e.memory)
	for n := 0; !r.accept("]") && r.err == nil; n++ {
		if n > 0 {
			r.expect(",")
			e.memory = append(e.memory, ',')
		}
		r.text(e)
	}
	text := e.memory[start:]
	if e.scratch = cdc.AppendJSON(e.scratch[:0], &cdc.Column{}, cdc.TextValue(cdc.KindSet, string(text))); r.err != nil || !bytes.Equal(e.scratch, raw) {
		return parquet.NullValue(), false
	}
	return parquet.ByteArrayValue(text), true
}

// decimal makes a number of digits; those that the column's type would write otherwise do not fit.
func (e *encoder) decimal(c *cdc.Column, raw []byte) (parquet.Value, bool) {
	null := parquet.NullValue()
	p, s := int(c.Precision), int(c.Scale)
	if p == 0 || p > 38 || s > p {
		return unquote(e, raw), true
	}
	text := raw[1 : len(raw)-1]
	digits, negative := bytes.CutPrefix(text, []byte{'-'})
	whole, fraction, point := bytes.Cut(digits, []byte{'.'})
	if len(fraction) != s || point != (s > 0) || len(whole) == 0 || whole[0] == '0' && len(whole) > 1 || len(whole) > max(p-s, 1) ||
		string(whole) != "0" && len(whole) > p-s {
		return null, false
	}
	if p <= 18 {
		n, ok := int64(0), true
		for _, part := range [...][]byte{whole, fraction} {
			for _, c := range part {
				n, ok = 10*n+int64(c-'0'), ok && c >= '0' && c <= '9'
			}
		}
		if negative {
			n = -n
		}
		if !ok || negative && n == 0 {
			return null, false
		}
		if p <= 9 {
			return parquet.Int32Value(int32(n)), true
		}
		return parquet.Int64Value(n), true
	}
	n, ok := new(big.Int).SetString(strings.Replace(string(text), ".", "", 1), 10)
	if !ok || n.Sign() == 0 && negative {
		return null, false
	}
	return parquet.FixedLenByteArrayValue(twosComplement(n, decimalBytes(p))), true
}

// timeOfDay returns the microseconds of a time that a clock shows; others do not fit.
func (e *encoder) timeOfDay(c *cdc.Column, raw []byte) (int64, bool) {
	text := raw[1 : len(raw)-1]
	if len(text) < 8 || text[2] != ':' {
		return 0, false
	}
	e.scratch = append(append(append(e.scratch[:0], `"1970-01-01T`...), text...), '"')
	return parseInstant(e.scratch, c.Fsp, false)
}

// parseInstant reads `"2026-11-21T02:00:00.123Z"`, or a date alone, and returns the microseconds since 1970; false when there is
// no such moment, or when it is not written with that many digits.
func parseInstant(raw []byte, fsp uint8, zone bool) (int64, bool) {
	if len(raw) < 12 || raw[0] != '"' {
		return 0, false
	}
	text := raw[1 : len(raw)-1]
	if zone {
		if text[len(text)-1] != 'Z' {
			return 0, false
		}
		text = text[:len(text)-1]
	}
	number := func(from, to int) int {
		n := 0
		for _, c := range text[from:to] {
			if c < '0' || c > '9' {
				return -1 << 20
			}
			n = 10*n + int(c-'0')
		}
		return n
	}
	c := cdc.Civil{Year: number(0, 4), Month: number(5, 7), Day: number(8, 10)}
	if text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	if len(text) > 10 {
		want := 19
		if fsp > 0 {
			want += 1 + int(fsp)
		}
		if len(text) != want || text[10] != 'T' || text[13] != ':' || text[16] != ':' || fsp > 6 || fsp > 0 && text[19] != '.' {
			return 0, false
		}
		c.Hour, c.Minute, c.Second = number(11, 13), number(14, 16), number(17, 19)
		if fsp > 0 {
			c.Micro = number(20, want)
			for i := fsp; i < 6; i++ {
				c.Micro *= 10
			}
		}
	}
	t, ok := instantOf(c)
	if !ok || c.Hour < 0 || c.Hour > 23 || c.Minute < 0 || c.Minute > 59 || c.Second < 0 || c.Second > 59 || c.Micro < 0 {
		return 0, false
	}
	return t.UnixMicro(), true
}

// reader reads what AppendDelivery has written.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("it is not a record of envelope cdcd: at byte %d %s", r.at, what)
		r.at = len(r.b)
	}
}

func (r *reader) accept(text string) bool {
	if len(r.b)-r.at < len(text) || string(r.b[r.at:r.at+len(text)]) != text {
		return false
	}
	r.at += len(text)
	return true
}

func (r *reader) expect(text string) {
	if !r.accept(text) {
		r.fail("should stand " + text)
	}
}

// raw reads a JSON value as it stands.
func (r *reader) raw() []byte {
	start, depth := r.at, 0
	for r.at < len(r.b) {
		switch c := r.b[r.at]; c {
		case '"':
			if !r.skipText() {
				return []byte("null")
			}
			if depth == 0 {
				return r.b[start:r.at]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return r.done(start)
			}
			if r.at++; depth == 0 {
				return r.b[start:r.at]
			}
			continue
		case ',':
			if depth == 0 {
				return r.done(start)
			}
		}
		r.at++
	}
	return r.done(start)
}

func (r *reader) done(start int) []byte {
	if r.at == start {
		r.fail("a value is missing")
		return []byte("null")
	}
	return r.b[start:r.at]
}

// skipText moves behind a JSON string.
func (r *reader) skipText() bool {
	for i := r.at + 1; i < len(r.b); i++ {
		switch r.b[i] {
		case '\\':
			i++
		case '"':
			r.at = i + 1
			return true
		}
	}
	r.fail("a text does not end")
	return false
}

// text reads a JSON string.
func (r *reader) text(e *encoder) parquet.Value {
	start := r.at
	if r.at >= len(r.b) || r.b[r.at] != '"' || !r.skipText() {
		r.fail("a text is missing")
		return parquet.ByteArrayValue(nil)
	}
	return unquote(e, r.b[start:r.at])
}

// unquote returns the text of a JSON string, which is kept in the encoder's memory.
func unquote(e *encoder, raw []byte) parquet.Value {
	start := len(e.memory)
	raw = raw[1 : len(raw)-1]
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			break
		}
		e.memory = append(e.memory, raw[:i]...)
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			if len(raw) < 4 {
				continue
			}
			n, _ := strconv.ParseUint(string(raw[:4]), 16, 32)
			raw = raw[4:]
			e.memory = utf8.AppendRune(e.memory, rune(n))
			continue
		}
		e.memory = append(e.memory, c)
	}
	e.memory = append(e.memory, raw...)
	return parquet.ByteArrayValue(e.memory[start:len(e.memory):len(e.memory)])
}

// description is a table as the file's metadata describe it.
type description struct {
	Table   string `json:"table"`
	Columns []struct {
		Name      string `json:"name"`
		Type      string `json:"type"`
		Kind      string `json:"kind"`
		Fsp       uint8  `json:"fsp"`
		Precision uint8  `json:"precision"`
		Scale     uint8  `json:"scale"`
		Float32   bool   `json:"float32"`
		Unsigned  bool   `json:"unsigned"`
	} `json:"columns"`
}

// unseal makes the records of a file again.
func (parquetFile) unseal(body []byte) ([]byte, error) {
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	text, ok := file.Lookup(keyTable)
	format, _ := file.Lookup(keyFormat)
	if !ok || format != "1" {
		return nil, fmt.Errorf("its metadata have no %s, or %s is not 1", keyTable, keyFormat)
	}
	var d description
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("%s: %w", keyTable, err)
	}
	dec := &decoder{columns: make([]cdc.Column, len(d.Columns))}
	for i, c := range d.Columns {
		kind, ok := kinds[c.Kind]
		if !ok {
			return nil, fmt.Errorf("column %s is of kind %q", c.Name, c.Kind)
		}
		dec.columns[i] = cdc.Column{Name: c.Name, Type: c.Type, Kind: kind, Fsp: c.Fsp, Precision: c.Precision, Scale: c.Scale, Float32: c.Float32,
			Unsigned: c.Unsigned}
	}
	if got, want := len(file.Schema().Columns()), leafColumns+2*len(d.Columns); got != want {
		return nil, fmt.Errorf("it has %d columns and should have %d", got, want)
	}
	var lines []byte
	rows := parquet.NewReader(file)
	defer rows.Close()
	buf := make([]parquet.Row, 64)
	for left := file.NumRows(); left > 0; {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			lines = append(dec.record(lines, row), '\n')
		}
		if left -= int64(n); n == 0 || err != nil && left > 0 {
			return nil, fmt.Errorf("%d rows are missing: %w", left, err)
		}
	}
	return lines, nil
}

// kinds by their names.
var kinds = func() map[string]cdc.Kind {
	m := map[string]cdc.Kind{}
	for k := cdc.KindAbsent; k <= cdc.KindVector; k++ {
		m[k.String()] = k
	}
	return m
}()

// decoder makes records of rows.
type decoder struct {
	columns []cdc.Column
	leaves  [][]parquet.Value
	absent  map[string]bool
	unfit   map[string]json.RawMessage
}

func (d *decoder) record(dst []byte, row parquet.Row) []byte {
	d.leaves = d.leaves[:0]
	for i := 0; i < len(row); {
		j := i + 1
		for j < len(row) && row[j].Column() == row[i].Column() {
			j++
		}
		d.leaves = append(d.leaves, row[i:j])
		i = j
	}
	one := func(leaf int) parquet.Value { return d.leaves[leaf][0] }
	str := func(dst []byte, v parquet.Value) []byte { return cdc.AppendString(dst, string(v.ByteArray())) }
	d.absent, d.unfit = map[string]bool{}, nil
	for _, v := range d.leaves[leafAbsent] {
		if !v.IsNull() {
			d.absent[string(v.ByteArray())] = true
		}
	}
	if v := one(leafUnfit); !v.IsNull() {
		_ = json.Unmarshal(v.ByteArray(), &d.unfit)
	}
	dst = str(append(dst, `{"id":`...), one(leafID))
	dst = str(append(dst, `,"feed":`...), one(leafFeed))
	dst = append(dst, `,"rules":[`...)
	for i, v := range d.leaves[leafRuleName] {
		if v.IsNull() {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = str(append(dst, `{"name":`...), v)
		dst = str(append(dst, `,"version":`...), d.leaves[leafRuleVersion][i])
		if c := d.leaves[leafRuleChange][i]; !c.IsNull() {
			dst = str(append(dst, `,"change":`...), c)
		}
		if c := d.leaves[leafRuleReason][i]; !c.IsNull() {
			dst = str(append(dst, `,"reason":`...), c)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	for i, v := range d.leaves[leafTags] {
		if v.IsNull() {
			break
		}
		if i == 0 {
			dst = append(dst, `,"tags":[`...)
		} else {
			dst = append(dst, ',')
		}
		if dst = str(dst, v); i == len(d.leaves[leafTags])-1 {
			dst = append(dst, ']')
		}
	}
	if v := one(leafChange); !v.IsNull() {
		dst = str(append(dst, `,"change":`...), v)
	}
	dst = str(append(dst, `,"op":`...), one(leafOp))
	dst = str(append(dst, `,"table":`...), one(leafTable))
	dst = append(dst, `,"key":`...)
	if v := one(leafKey); v.IsNull() {
		dst = append(dst, `null`...)
	} else {
		dst = append(dst, v.ByteArray()...)
	}
	dst = d.image(append(dst, `,"before":`...), "before", leafColumns)
	dst = d.image(append(dst, `,"after":`...), "after", leafColumns+len(d.columns))
	if v := one(leafLookup); !v.IsNull() {
		dst = append(append(dst, `,"lookup":`...), v.ByteArray()...)
	}
	dst = append(dst, `,"commit_time":"`...)
	dst = cdc.AppendInstant(dst, time.UnixMicro(one(leafCommit).Int64()), 6)
	dst = str(append(dst, `","source":{"name":`...), one(leafSource))
	dst = append(dst, `,"gtid":`...)
	if v := one(leafGTID); v.IsNull() {
		dst = append(dst, `null`...)
	} else {
		dst = str(dst, v)
	}
	dst = str(append(dst, `,"file":`...), one(leafFile))
	dst = strconv.AppendUint(append(dst, `,"pos":`...), one(leafPos).Uint64(), 10)
	dst = strconv.AppendUint(append(dst, `,"row":`...), uint64(one(leafRow).Uint32()), 10)
	dst = strconv.AppendUint(append(dst, `,"no":`...), one(leafNo).Uint64(), 10)
	dst = strconv.AppendUint(append(dst, `,"part_no":`...), one(leafPartNo).Uint64(), 10)
	return append(dst, "}}"...)
}

func (d *decoder) image(dst []byte, name string, leaf int) []byte {
	if d.absent[name] {
		return append(dst, `null`...)
	}
	open := byte('{')
	for i := range d.columns {
		c := &d.columns[i]
		if len(d.absent) > 0 && d.absent[name+"_"+c.Name] {
			continue
		}
		dst = append(dst, open)
		open = ','
		dst = append(cdc.AppendString(dst, c.Name), ':')
		if raw, ok := d.unfit[name+"_"+c.Name]; ok {
			dst = append(dst, raw...)
			continue
		}
		dst = appendParquet(dst, c, d.leaves[leaf+i][0])
	}
	if open == '{' {
		dst = append(dst, open)
	}
	return append(dst, '}')
}

// appendParquet appends a value as records have it.
func appendParquet(dst []byte, c *cdc.Column, v parquet.Value) []byte {
	if v.IsNull() {
		return append(dst, `null`...)
	}
	switch c.Kind {
	case cdc.KindBool:
		return strconv.AppendBool(dst, v.Boolean())
	case cdc.KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case cdc.KindUint64, cdc.KindBit:
		return strconv.AppendUint(dst, v.Uint64(), 10)
	case cdc.KindFloat64:
		f := v.Double()
		if c.Float32 {
			f = float64(v.Float())
		}
		return cdc.AppendJSON(dst, c, cdc.Float64Value(f))
	case cdc.KindDecimal:
		return cdc.AppendString(dst, decimalText(c, v))
	case cdc.KindBytes:
		return appendQuoted(dst, base64.StdEncoding, v.ByteArray())
	case cdc.KindDate:
		return append(time.Unix(86400*int64(v.Int32()), 0).UTC().AppendFormat(append(dst, '"'), time.DateOnly), '"')
	case cdc.KindDatetime:
		dst = cdc.AppendInstant(append(dst, '"'), time.UnixMicro(v.Int64()), c.Fsp)
		dst[len(dst)-1] = '"' // it has no zone
		return dst
	case cdc.KindTimestamp:
		return append(cdc.AppendInstant(append(dst, '"'), time.UnixMicro(v.Int64()), c.Fsp), '"')
	case cdc.KindTime:
		return cdc.AppendJSON(dst, c, cdc.TimeValue(v.Int64()))
	case cdc.KindJSON, cdc.KindGeometry, cdc.KindVector:
		return append(dst, v.ByteArray()...)
	case cdc.KindSet:
		return cdc.AppendJSON(dst, c, cdc.TextValue(cdc.KindSet, string(v.ByteArray())))
	}
	return cdc.AppendString(dst, string(v.ByteArray()))
}

func decimalText(c *cdc.Column, v parquet.Value) string {
	p, s := int(c.Precision), int(c.Scale)
	var n *big.Int
	switch {
	case p == 0 || p > 38 || s > p:
		return string(v.ByteArray())
	case p <= 9:
		n = big.NewInt(int64(v.Int32()))
	case p <= 18:
		n = big.NewInt(v.Int64())
	default:
		b := v.ByteArray()
		if n = new(big.Int).SetBytes(b); len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := new(big.Int).Abs(n).String()
	if s > 0 {
		if len(digits) <= s {
			digits = strings.Repeat("0", s+1-len(digits)) + digits
		}
		digits = digits[:len(digits)-s] + "." + digits[len(digits)-s:]
	}
	if n.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}
