package tck

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// kinds are the kinds of values, in the order of the columns.
func kinds() []cdc.Kind {
	var all []cdc.Kind
	for k := cdc.KindBool; k <= cdc.KindVector; k++ {
		all = append(all, k)
	}
	return all
}

// column returns a column of a kind.
func column(name string, k cdc.Kind) cdc.Column {
	c := cdc.Column{Name: name, Kind: k, Nullable: true}
	switch k {
	case cdc.KindUint64:
		c.Unsigned = true
	case cdc.KindDecimal:
		c.Precision, c.Scale = 65, 2
	case cdc.KindTime, cdc.KindDatetime, cdc.KindTimestamp:
		c.Fsp = 6
	case cdc.KindEnum:
		c.Members = []string{"new", "paid"}
	case cdc.KindSet:
		c.Members = []string{"a", "b", "ü"}
	case cdc.KindBit:
		c.Precision = 64
	}
	return c
}

// table returns one of the suite's tables. Its columns are not in the order of the manifest.
func table(name string, optional bool) *cdc.Table {
	t := &cdc.Table{Schema: "tck", Name: name, Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}}}
	for _, k := range kinds() {
		t.Columns = append(t.Columns, column("e_"+k.String(), k))
	}
	for _, k := range kinds() {
		t.Columns = append(t.Columns, column("v_"+k.String(), k))
	}
	if optional {
		t.Columns = append(t.Columns, cdc.Column{Name: "v_optional", Kind: cdc.KindString, Nullable: true})
	}
	t.Columns = append(t.Columns, cdc.Column{Name: "do", Kind: cdc.KindString, Nullable: true})
	return t
}

var (
	tableCases = table("cases", true)
	tablePlain = table("plain", false)
)

// commit is when the suite's transactions committed.
var commit = time.UnixMicro(1795226400123456).UTC()

// values are what columns hold, by kind; a kind that is missing is absent, and the zero value is null.
type values map[cdc.Kind]cdc.Value

// sets are values of every kind: usual ones, the least and the largest ones.
var sets = []values{
	{
		cdc.KindBool: cdc.BoolValue(true), cdc.KindInt64: cdc.Int64Value(-42), cdc.KindUint64: cdc.Uint64Value(42), cdc.KindFloat64: cdc.Float64Value(1.5),
		cdc.KindDecimal: cdc.TextValue(cdc.KindDecimal, "-12.50"), cdc.KindString: cdc.TextValue(cdc.KindString, "Grüße, 世界 🎉"),
		cdc.KindBytes: cdc.TextValue(cdc.KindBytes, "\x00\xff\x80abc"),
		cdc.KindDate:  cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21}),
		cdc.KindTime:  cdc.TimeValue(-3_723_000_004),
		cdc.KindDatetime: cdc.CivilValue(cdc.KindDatetime,
			cdc.Civil{Year: 2026, Month: 11, Day: 21, Hour: 23, Minute: 59, Second: 58, Micro: 123456}),
		cdc.KindTimestamp: cdc.TimestampValue(1795226400123456), cdc.KindJSON: cdc.TextValue(cdc.KindJSON, `{"a": [1, 2.50, null, "ü"]}`),
		cdc.KindEnum: cdc.TextValue(cdc.KindEnum, "paid"), cdc.KindSet: cdc.TextValue(cdc.KindSet, "a,ü"), cdc.KindBit: cdc.BitValue(5),
		cdc.KindGeometry: point(4326, 13.4, 52.5), cdc.KindVector: vector(1, -0.5, 3.25),
	},
	{
		cdc.KindBool: cdc.BoolValue(false), cdc.KindInt64: cdc.Int64Value(math.MinInt64), cdc.KindUint64: cdc.Uint64Value(0),
		cdc.KindFloat64: cdc.Float64Value(math.Copysign(0, -1)), cdc.KindDecimal: cdc.TextValue(cdc.KindDecimal, "0.00"),
		cdc.KindString: cdc.TextValue(cdc.KindString, ""), cdc.KindBytes: cdc.TextValue(cdc.KindBytes, ""),
		cdc.KindDate: cdc.CivilValue(cdc.KindDate, cdc.Civil{}), cdc.KindTime: cdc.TimeValue(-3_020_399_000_000),
		cdc.KindDatetime: cdc.CivilValue(cdc.KindDatetime, cdc.Civil{}), cdc.KindTimestamp: cdc.TimestampValue(0),
		cdc.KindJSON: cdc.TextValue(cdc.KindJSON, "null"), cdc.KindEnum: cdc.TextValue(cdc.KindEnum, ""), cdc.KindSet: cdc.TextValue(cdc.KindSet, ""),
		cdc.KindBit: cdc.BitValue(0), cdc.KindGeometry: point(0, 0, 0), cdc.KindVector: vector(0),
	},
	{
		cdc.KindBool: cdc.BoolValue(true), cdc.KindInt64: cdc.Int64Value(math.MaxInt64), cdc.KindUint64: cdc.Uint64Value(math.MaxUint64),
		cdc.KindFloat64: cdc.Float64Value(math.MaxFloat64), cdc.KindDecimal: cdc.TextValue(cdc.KindDecimal, strings.Repeat("9", 63)+".99"),
		cdc.KindString: cdc.TextValue(cdc.KindString, strings.Repeat("long \x00\n\t\"\\", 500)),
		cdc.KindBytes:  cdc.TextValue(cdc.KindBytes, strings.Repeat("\xff", 3001)),
		cdc.KindDate:   cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 9999, Month: 12, Day: 31}), cdc.KindTime: cdc.TimeValue(3_020_399_999_999),
		cdc.KindDatetime: cdc.CivilValue(cdc.KindDatetime,
			cdc.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}),
		cdc.KindTimestamp: cdc.TimestampValue(4102444799999999), cdc.KindJSON: cdc.TextValue(cdc.KindJSON, `[`+strings.Repeat(`{"k": 1e400},`, 300)+`0]`),
		cdc.KindEnum: cdc.TextValue(cdc.KindEnum, "new"), cdc.KindSet: cdc.TextValue(cdc.KindSet, "a,b,ü"), cdc.KindBit: cdc.BitValue(math.MaxUint64),
		cdc.KindGeometry: point(math.MaxUint32, -180, 90), cdc.KindVector: vector(make([]float32, 1536)...),
	},
}

// nulls are null in every column.
func nulls() values {
	v := values{}
	for _, k := range kinds() {
		v[k] = cdc.NullValue()
	}
	return v
}

func point(srid uint32, x, y float64) cdc.Value {
	b := binary.LittleEndian.AppendUint32(nil, srid)
	b = append(b, 1, 1, 0, 0, 0)
	for _, f := range [...]float64{x, y} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
	}
	return cdc.TextValue(cdc.KindGeometry, string(b))
}

func vector(floats ...float32) cdc.Value {
	var b []byte
	for _, f := range floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return cdc.TextValue(cdc.KindVector, string(b))
}

// change is an event of the suite.
type change struct {
	op            cdc.Op
	plain         bool // of the table without v_optional
	do            string
	before, after values
	optional      string // value of v_optional in both images; "": null
}

func (c *change) table() *cdc.Table {
	if c.plain {
		return tablePlain
	}
	return tableCases
}

// images returns which images the change has.
func (c *change) images() (before, after bool) {
	return c.op == cdc.OpUpdate || c.op == cdc.OpDelete, c.op != cdc.OpDelete
}

// batch makes the events of changes. They are numbered from 1001.
func batch(changes []change) ([]cdc.Event, error) {
	var rows cdc.Builder
	rows.Reset(cdc.Header{Source: "tck", FirstPartNo: 1})
	tx := rows.AddTx(cdc.Tx{GTID: "0-1-1", CommitTime: commit, Rows: uint32(len(changes)), Ends: true})
	for i := range changes {
		c := &changes[i]
		t := c.table()
		info := cdc.EventInfo{No: 1001 + uint64(i), Tx: tx, Row: uint32(i), Table: rows.AddTable(t), Op: c.op}
		before, after := c.images()
		if before {
			info.Before = row(&rows, t, c.before, c.do, c.optional)
		}
		if after {
			info.After = row(&rows, t, c.after, c.do, c.optional)
		}
		rows.AddEvent(info)
	}
	b, err := cdc.Open(rows.Seal(cdc.Checkpoint{}), nil)
	if err != nil {
		return nil, fmt.Errorf("tck: %w", err)
	}
	events := make([]cdc.Event, b.Len())
	for i := range events {
		events[i] = b.Event(i)
	}
	return events, nil
}

func row(rows *cdc.Builder, t *cdc.Table, v values, do, optional string) uint32 {
	rows.BeginRow(len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		switch {
		case c.Name == "id":
			rows.SetInt(i, 1)
		case c.Name == "do":
			rows.SetText(i, cdc.KindString, do)
		case c.Name == "v_optional" && optional != "":
			rows.SetText(i, cdc.KindString, optional)
		case c.Name == "v_optional":
			rows.SetNull(i)
		case strings.HasPrefix(c.Name, "e_"):
			rows.SetNull(i)
		default:
			if value, has := v[c.Kind]; has {
				rows.Set(i, value)
			}
		}
	}
	return rows.EndRow()
}
