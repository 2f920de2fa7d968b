package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Table is a table whose rows are Go values. It is immutable.
type Table struct {
	table  *cdc.Table
	row    reflect.Type // of structs; nil if there is none
	fields [][]int      // of row, by column
}

// TableOf returns the table that a struct type stands for: each exported field is a column. name is schema.table.
//
// A field's tag `cdc:"name,key"` names the column and makes it part of the primary key, in the order of the fields;
// without a tag the column has the field's name in small letters, and `cdc:"-"` leaves it out. Integers, floats,
// booleans, strings, []byte, time.Time (a TIMESTAMP) and time.Duration (a TIME) have the column type that goes with them, everything
// else is JSON; a tag `sql:"decimal(12,2)"` gives another type, as SHOW CREATE TABLE writes it. Pointers are columns that
// may be NULL.
func TableOf(name string, row any) (*Table, error) {
	typ := reflect.TypeOf(row)
	if typ != nil && typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ == nil || typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("events: table %s: %T is not a struct", name, row)
	}
	schema, table, ok := strings.Cut(name, ".")
	if !ok || schema == "" || table == "" {
		return nil, fmt.Errorf("events: '%s' is not the name of a table: write schema.table", name)
	}
	t := &Table{table: &cdc.Table{Schema: schema, Name: table}, row: typ}
	keys := uint16(0)
	for _, f := range reflect.VisibleFields(typ) {
		tag, options, _ := strings.Cut(f.Tag.Get("cdc"), ",")
		if !f.IsExported() || f.Anonymous || tag == "-" {
			continue
		}
		c, err := column(f)
		if err != nil {
			return nil, fmt.Errorf("events: table %s: field %s: %w", name, f.Name, err)
		}
		if c.Name = tag; tag == "" {
			c.Name = strings.ToLower(f.Name)
		}
		if t.table.Column(c.Name) >= 0 {
			return nil, fmt.Errorf("events: table %s has two columns '%s'", name, c.Name)
		}
		switch options {
		case "":
		case "key":
			keys++
			c.Key = keys
		default:
			return nil, fmt.Errorf("events: table %s: field %s: unknown option '%s'", name, f.Name, options)
		}
		t.table.Columns, t.fields = append(t.table.Columns, c), append(t.fields, f.Index)
	}
	if len(t.fields) == 0 {
		return nil, fmt.Errorf("events: table %s: %s has no exported field", name, typ)
	}
	return t, nil
}

// Of returns a table whose rows are maps by column.
func Of(t *cdc.Table) *Table { return &Table{table: t} }

// Table returns the table as rules see it, for rules.Set.Check and rules.Set.Test.
func (t *Table) Table() *cdc.Table { return t.table }

// column returns the column of a field, but for its name.
func column(f reflect.StructField) (cdc.Column, error) {
	typ, nullable := f.Type, false
	if typ.Kind() == reflect.Pointer {
		typ, nullable = typ.Elem(), true
	}
	if sql := f.Tag.Get("sql"); sql != "" {
		c, ok := cdc.ParseType(sql)
		if !ok {
			return c, fmt.Errorf("'%s' is not an SQL type", sql)
		}
		c.Nullable = nullable
		return c, nil
	}
	c := cdc.Column{Nullable: nullable, Kind: cdc.KindJSON}
	switch typ {
	case reflect.TypeFor[time.Time]():
		c.Kind, c.Fsp = cdc.KindTimestamp, 6
		return c, nil
	case reflect.TypeFor[time.Duration]():
		c.Kind, c.Fsp = cdc.KindTime, 6
		return c, nil
	case reflect.TypeFor[json.RawMessage]():
		return c, nil
	}
	switch typ.Kind() {
	case reflect.Bool:
		c.Kind = cdc.KindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.Kind = cdc.KindInt64
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.Kind, c.Unsigned = cdc.KindUint64, true
	case reflect.Float32, reflect.Float64:
		c.Kind, c.Float32 = cdc.KindFloat64, typ.Kind() == reflect.Float32
	case reflect.String:
		c.Kind = cdc.KindString
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			c.Kind = cdc.KindBytes
		}
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return c, fmt.Errorf("a %s cannot be a column", typ)
	}
	return c, nil
}

// Writer collects events and seals them into batches. It is used by one goroutine at a time.
type Writer struct {
	source  string
	no      uint64 // of the next event
	pending []event
	builder cdc.Builder
	tables  cdc.Tables
}

type event struct {
	table         *Table
	op            cdc.Op
	before, after []cdc.Value
}

// NewWriter returns a writer of events of a source, which they are named after. The first event has number 1.
func NewWriter(source string) *Writer { return &Writer{source: source, no: 1} }

// Insert adds an event: a row has come.
func (w *Writer) Insert(t *Table, after any) error { return w.add(t, cdc.OpInsert, nil, after) }

// Update adds an event: a row has changed. Both images are whole rows.
func (w *Writer) Update(t *Table, before, after any) error {
	return w.add(t, cdc.OpUpdate, before, after)
}

// Delete adds an event: a row has gone.
func (w *Writer) Delete(t *Table, before any) error { return w.add(t, cdc.OpDelete, before, nil) }

// Snapshot adds an event: a row is there.
func (w *Writer) Snapshot(t *Table, after any) error { return w.add(t, cdc.OpSnapshot, nil, after) }

func (w *Writer) add(t *Table, op cdc.Op, before, after any) (err error) {
	e := event{table: t, op: op}
	for _, image := range [...]struct {
		row  any
		need bool
		to   *[]cdc.Value
	}{{before, op == cdc.OpUpdate || op == cdc.OpDelete, &e.before}, {after, op != cdc.OpDelete, &e.after}} {
		if !image.need {
			continue
		}
		if *image.to, err = t.values(image.row); err != nil {
			return fmt.Errorf("events: %s of %s: %w", op, t.table, err)
		}
	}
	w.pending = append(w.pending, e)
	return nil
}

// Batch returns what was added since the last one, as one transaction: id and the number of the event in it are the events'
// identity, so it must be another for each. committed is what rules see as now.
func (w *Writer) Batch(id string, committed time.Time) (*cdc.Batch, error) {
	if id == "" {
		return nil, errors.New("events: a batch needs an id")
	}
	b := &w.builder
	b.Reset(cdc.Header{Source: w.source, Partitions: 1, FirstPartNo: w.no})
	tx := b.AddTx(cdc.Tx{GTID: id, CommitTime: committed, Rows: uint32(len(w.pending)), Ends: true})
	for i, e := range w.pending {
		info := cdc.EventInfo{No: w.no + uint64(i), Tx: tx, Row: uint32(i), Table: b.AddTable(e.table.table), Op: e.op}
		info.Before, info.After = row(b, e.before), row(b, e.after)
		b.AddEvent(info)
	}
	next := w.no + uint64(len(w.pending))
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{NextNo: next, PartNos: []uint64{next}}), &w.tables)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	w.no, w.pending = next, w.pending[:0]
	return batch, nil
}

func row(b *cdc.Builder, values []cdc.Value) uint32 {
	if values == nil {
		return 0
	}
	b.BeginRow(len(values))
	for i, v := range values {
		b.Set(i, v)
	}
	return b.EndRow()
}

// values returns the columns of a row.
func (t *Table) values(row any) ([]cdc.Value, error) {
	out := make([]cdc.Value, len(t.table.Columns))
	v := reflect.ValueOf(row)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	m, isMap := row.(map[string]any)
	if !isMap && (t.row == nil || v.Kind() != reflect.Struct || v.Type() != t.row) {
		return nil, fmt.Errorf("a row cannot be a %T", row)
	}
	for name := range m {
		if t.table.Column(name) < 0 {
			return nil, fmt.Errorf("there is no column '%s'", name)
		}
	}
	for i := range t.table.Columns {
		c := &t.table.Columns[i]
		var field reflect.Value
		if isMap {
			field = reflect.ValueOf(m[c.Name])
		} else if f, err := v.FieldByIndexErr(t.fields[i]); err == nil { // else it is within a nil pointer
			field = f
		}
		var err error
		if out[i], err = value(c, field); err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return out, nil
}

var digits = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// value returns a Go value as one of a column.
func value(c *cdc.Column, v reflect.Value) (cdc.Value, error) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		if !c.Nullable {
			return cdc.Value{}, errors.New("it is not there, and cannot be NULL")
		}
		return cdc.NullValue(), nil
	}
	no := fmt.Errorf("a %s cannot be a %s", v.Type(), c.Kind)
	switch c.Kind {
	case cdc.KindBool:
		if v.Kind() == reflect.Bool {
			return cdc.BoolValue(v.Bool()), nil
		}
	case cdc.KindInt64:
		switch {
		case v.CanInt():
			return cdc.Int64Value(v.Int()), nil
		case v.CanUint() && v.Uint() <= math.MaxInt64:
			return cdc.Int64Value(int64(v.Uint())), nil
		case v.Kind() == reflect.Bool && v.Bool():
			return cdc.Int64Value(1), nil
		case v.Kind() == reflect.Bool:
			return cdc.Int64Value(0), nil
		}
	case cdc.KindUint64, cdc.KindBit:
		n, ok := uint64(0), true
		switch {
		case v.CanUint():
			n = v.Uint()
		case v.CanInt() && v.Int() >= 0:
			n = uint64(v.Int())
		default:
			ok = false
		}
		if ok && c.Kind == cdc.KindBit {
			return cdc.BitValue(n), nil
		}
		if ok {
			return cdc.Uint64Value(n), nil
		}
	case cdc.KindFloat64:
		switch {
		case v.CanFloat() && !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0):
			return cdc.Float64Value(v.Float()), nil
		case v.CanInt():
			return cdc.Float64Value(float64(v.Int())), nil
		}
	case cdc.KindDecimal:
		text := fmt.Sprint(v.Interface())
		if (v.Kind() == reflect.String || v.CanInt() || v.CanUint() || isStringer(v)) && digits.MatchString(text) {
			return cdc.TextValue(cdc.KindDecimal, text), nil
		}
		return cdc.Value{}, fmt.Errorf("'%s' is not a decimal number such as \"12.50\"", text)
	case cdc.KindString, cdc.KindEnum:
		if v.Kind() != reflect.String && !isStringer(v) {
			break
		}
		text := fmt.Sprint(v.Interface())
		if c.Kind == cdc.KindEnum && len(c.Members) > 0 && !slices.Contains(c.Members, text) {
			return cdc.Value{}, fmt.Errorf("'%s' is none of '%s'", text, strings.Join(c.Members, "', '"))
		}
		return cdc.TextValue(c.Kind, text), nil
	case cdc.KindSet:
		if members, ok := v.Interface().([]string); ok {
			return cdc.TextValue(c.Kind, strings.Join(members, ",")), nil
		}
	case cdc.KindBytes:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			return cdc.TextValue(c.Kind, string(v.Bytes())), nil
		}
	case cdc.KindTimestamp:
		if t, ok := v.Interface().(time.Time); ok {
			return cdc.TimestampValue(t.UnixMicro()), nil
		}
	case cdc.KindDate, cdc.KindDatetime:
		if t, ok := v.Interface().(time.Time); ok { // as the clock on the wall says
			civil := cdc.Civil{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}
			if c.Kind == cdc.KindDatetime {
				civil.Hour, civil.Minute, civil.Second, civil.Micro = t.Hour(), t.Minute(), t.Second(), t.Nanosecond()/1000
			}
			return cdc.CivilValue(c.Kind, civil), nil
		}
	case cdc.KindTime:
		if d, ok := v.Interface().(time.Duration); ok {
			return cdc.TimeValue(d.Microseconds()), nil
		}
	case cdc.KindJSON:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return cdc.Value{}, err
		}
		if string(text) == "null" && c.Nullable {
			return cdc.NullValue(), nil
		}
		return cdc.TextValue(c.Kind, string(text)), nil
	}
	return cdc.Value{}, no
}

func isStringer(v reflect.Value) bool {
	_, ok := v.Interface().(fmt.Stringer)
	return ok
}
