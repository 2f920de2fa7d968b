package form

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/cdcd-project/cdcd/cdc"
)

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
