package form_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/form"
)

var update = flag.Bool("update", false, "write the golden files anew")

// column is a column by its SQL type.
func column(name, sqlType string, nullable bool, key uint16) cdc.Column {
	c, ok := cdc.ParseType(sqlType)
	if !ok {
		panic(sqlType)
	}
	c.Name, c.Nullable, c.Key = name, nullable, key
	return c
}

// everything has a column of every type.
var everything = &cdc.Table{Schema: "shop", Name: "everything", Columns: []cdc.Column{
	column("id", "bigint unsigned", false, 1),
	column("tiny", "tinyint", true, 0),
	column("small", "smallint unsigned", true, 0),
	column("big", "bigint", true, 0),
	column("ubig", "bigint unsigned", true, 0),
	column("yr", "year", true, 0),
	column("f", "float", true, 0),
	column("d", "double", true, 0),
	column("price", "decimal(8,2)", true, 0),
	column("amount", "decimal(18,4)", true, 0),
	column("huge", "decimal(38,10)", true, 0),
	column("wide", "decimal(65,30)", true, 0),
	column("name", "varchar(255)", true, 0),
	column("status", "enum('new','paid','sent')", true, 0),
	column("flags", "set('a','b','c')", true, 0),
	column("bits", "bit(12)", true, 0),
	column("bit1", "bit(1)", true, 0),
	column("born", "date", true, 0),
	column("at", "datetime(3)", false, 0),
	column("at6", "datetime(6)", true, 0),
	column("changed", "timestamp(6)", true, 0),
	column("opens", "time", true, 0),
	column("took", "time(6)", true, 0),
	column("doc", "json", true, 0),
	column("bin", "varbinary(20)", true, 0),
	column("place", "geometry", true, 0),
	column("vec", "vector(3)", true, 0),
}}

const point = "\xe6\x10\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40"

func civil(kind cdc.Kind, text string) cdc.Value {
	var c cdc.Civil
	if _, err := fmt.Sscanf(text, "%d-%d-%dT%d:%d:%d.%d", &c.Year, &c.Month, &c.Day, &c.Hour, &c.Minute, &c.Second, &c.Micro); err != nil && kind == cdc.KindDatetime {
		panic(err)
	}
	return cdc.CivilValue(kind, c)
}

// ordinary is a row that every format has a type for, odd one that has what SQL knows and others do not.
func ordinary() []cdc.Value {
	return []cdc.Value{cdc.Uint64Value(math.MaxUint64), cdc.Int64Value(-128), cdc.Uint64Value(65535), cdc.Int64Value(math.MinInt64), cdc.Uint64Value(math.MaxUint64),
		cdc.Int64Value(2026), cdc.Float64Value(float64(float32(1.1))), cdc.Float64Value(-0.1), cdc.TextValue(cdc.KindDecimal, "-123456.78"),
		cdc.TextValue(cdc.KindDecimal, "12345678901234.5678"), cdc.TextValue(cdc.KindDecimal, "-9999999999999999999999999999.9999999999"),
		cdc.TextValue(cdc.KindDecimal, "12345678901234567890123456789012345.123456789012345678901234567890"),
		cdc.TextValue(cdc.KindString, "Ann \"the\" Lee, née\r\nØ 雪 \x00"), cdc.TextValue(cdc.KindEnum, "paid"), cdc.TextValue(cdc.KindSet, "a,c"), cdc.BitValue(0x0fab),
		cdc.BitValue(1), civil(cdc.KindDate, "1969-12-31"), civil(cdc.KindDatetime, "2026-11-21T03:00:00.123000"), civil(cdc.KindDatetime, "1000-01-01T23:59:59.000001"),
		cdc.TimestampValue(1_795_226_400_123_456), cdc.TimeValue(23*3600e6 + 59*60e6), cdc.TimeValue(1), cdc.TextValue(cdc.KindJSON, `{"a":[1.50,null],"b":"é\n"}`),
		cdc.TextValue(cdc.KindBytes, "\x00\xff\x10"), cdc.TextValue(cdc.KindGeometry, point), cdc.TextValue(cdc.KindVector, "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40")}
}

func odd() []cdc.Value {
	v := ordinary()
	v[0] = cdc.Uint64Value(0)
	v[12], v[14] = cdc.TextValue(cdc.KindString, ""), cdc.TextValue(cdc.KindSet, "")
	v[17], v[18], v[19] = civil(cdc.KindDate, "0000-00-00"), civil(cdc.KindDatetime, "0000-00-00T00:00:00.000000"), civil(cdc.KindDatetime, "2026-02-30T01:02:03.000004")
	v[20], v[21], v[22] = cdc.TimestampValue(0), cdc.TimeValue(-(838*3600e6 + 59*60e6 + 59e6)), cdc.TimeValue(24*3600e6+1)
	return v
}

func nulls() []cdc.Value {
	v := ordinary()
	for i := range v {
		if everything.Columns[i].Nullable {
			v[i] = cdc.NullValue()
		}
	}
	return v
}

func minimal() []cdc.Value {
	v := make([]cdc.Value, len(everything.Columns))
	v[0], v[1] = cdc.Uint64Value(7), cdc.Int64Value(1)
	return v
}

// change is an event of a test and what is known of it.
type change struct {
	table         *cdc.Table
	op            cdc.Op
	before, after []cdc.Value
	matches       []cdc.RuleMatch
}

// events makes the frame that holds the changes, each a transaction.
func events(t testing.TB, changes ...change) []cdc.Decision {
	t.Helper()
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", FirstPartNo: 41, Created: time.Date(2026, 11, 21, 2, 0, 1, 500_000_000, time.UTC)})
	for i, c := range changes {
		tx := cdc.Tx{Server: "0-223344", GTID: fmt.Sprintf("0-223344-%d", 17+i), File: "binlog.000003", Pos: 154 + uint64(i), Rows: 1, Ends: true,
			CommitTime: time.Date(2026, 11, 21, 2, 0, 0, 123_456_000, time.UTC)}
		if c.op == cdc.OpSnapshot {
			tx.GTID, tx.Server, tx.File = "", "", "snapshot/1"
		}
		n := w.AddTx(tx)
		table := w.AddTable(c.table)
		image := func(values []cdc.Value) uint32 {
			if values == nil {
				return 0
			}
			w.BeginRow(len(values))
			for i, v := range values {
				set(&w, i, v)
			}
			return w.EndRow()
		}
		w.AddEvent(cdc.EventInfo{No: 1041 + uint64(i), Tx: n, Table: table, Op: c.op, Before: image(c.before), After: image(c.after)})
	}
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", NextNo: 1041 + uint64(len(changes))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	var ds []cdc.Decision
	for i := range changes {
		m := changes[i].matches
		if m == nil {
			m = []cdc.RuleMatch{{Name: "all", Version: "sha256:1", To: []string{"acme"}}}
		}
		ds = append(ds, cdc.Decision{Event: b.Event(i), RuleSet: "sha256:rules", Matches: m})
	}
	return ds
}

func set(w *cdc.Builder, i int, v cdc.Value) {
	switch k := v.Kind(); k {
	case cdc.KindAbsent:
	case cdc.KindNull:
		w.SetNull(i)
	case cdc.KindBool:
		w.SetNum(i, k, map[bool]uint64{true: 1}[v.Bool()])
	case cdc.KindInt64:
		w.SetInt(i, v.Int64())
	case cdc.KindUint64:
		w.SetUint(i, v.Uint64())
	case cdc.KindFloat64:
		w.SetFloat(i, v.Float64())
	case cdc.KindDate, cdc.KindDatetime:
		w.SetCivil(i, k, v.Civil())
	case cdc.KindTime, cdc.KindTimestamp, cdc.KindBit:
		w.SetNum(i, k, v.Uint64())
	default:
		w.SetText(i, k, v.Text())
	}
}

// sample is one of everything: all operations, odd values, images that are not whole, rules with all that they can say.
func sample(t testing.TB) []cdc.Decision {
	full := []cdc.RuleMatch{
		{Name: "vip", Version: "sha256:1", Change: cdc.Left, To: []string{"acme"}, Edits: &cdc.Edits{Tags: []string{"risky", "new"}, Reason: "score \"91\""}},
		{Name: "other", Version: "sha256:2", Change: cdc.Left, To: []string{"acme"}},
	}
	entered := []cdc.RuleMatch{{Name: "vip", Version: "sha256:1", Change: cdc.Entered, To: []string{"acme"}}}
	ds := events(t,
		change{everything, cdc.OpInsert, nil, ordinary(), nil},
		change{everything, cdc.OpUpdate, ordinary(), odd(), nil},
		change{everything, cdc.OpDelete, odd(), nil, nil},
		change{everything, cdc.OpSnapshot, nil, nulls(), nil},
		change{everything, cdc.OpUpdate, minimal(), minimal(), nil},
		change{everything, cdc.OpUpdate, ordinary(), nulls(), full},
		change{everything, cdc.OpUpdate, ordinary(), nulls(), entered},
	)
	customers := &cdc.Table{Schema: "shop", Name: "customers", Columns: []cdc.Column{column("id", "int", false, 1), column("joined", "date", true, 0)}}
	found := events(t, change{customers, cdc.OpSnapshot, nil, []cdc.Value{cdc.Int64Value(9), civil(cdc.KindDate, "2026-11-21")}, nil})
	ds[1].Matches = []cdc.RuleMatch{{Name: "all", Version: "sha256:1", To: []string{"acme"}, Lookups: []cdc.Looked{
		{Name: "customer", Rows: []cdc.Row{found[0].Event.After()}}, {Name: "friends", Many: true, Rows: []cdc.Row{found[0].Event.After(), found[0].Event.After()}},
		{Name: "nobody"},
	}}}
	return ds
}

// lines renders decisions as a chain does.
func lines(f *form.Form, ds []cdc.Decision) []byte {
	var out []byte
	var d cdc.Delivery
	for i := range ds {
		cdc.Deliver(&d, "acme", &ds[i])
		out = append(f.Append(out, &d), '\n')
	}
	return out
}

func newForm(t testing.TB, o form.Options) *form.Form {
	t.Helper()
	f, err := form.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -run %s -update, and look at the difference):\ngot\n%.4000s\nwant\n%.4000s", file, t.Name(), got, want)
	}
}

func TestRecordsOfEveryEnvelopeAreAsTheyWere(t *testing.T) {
	ds := sample(t)
	for _, tt := range []struct {
		name string
		o    form.Options
	}{
		{"cdcd.jsonl", form.Options{}},
		{"cloudevents.jsonl", form.Options{Envelope: form.CloudEvents}},
		{"debezium.jsonl", form.Options{Envelope: form.Debezium}},
		{"debezium-precise.jsonl", form.Options{Envelope: form.Debezium, Debezium: form.DebeziumOptions{Decimal: "precise", BigintUnsigned: "precise", Binary: "hex", Time: "connect"}}},
		{"debezium-double.jsonl", form.Options{Envelope: form.Debezium, Debezium: form.DebeziumOptions{Decimal: "double", Binary: "base64-url-safe", Time: "isostring"}}},
		{"debezium-nano.jsonl", form.Options{Envelope: form.Debezium, Debezium: form.DebeziumOptions{Time: "nanoseconds"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := lines(newForm(t, tt.o), ds)
			for n, line := range bytes.Split(bytes.TrimSuffix(got, []byte("\n")), []byte("\n")) {
				if !json.Valid(line) {
					t.Errorf("record %d is not JSON: %s", n, line)
				}
			}
			golden(t, tt.name, got)
		})
	}
}

func TestTheCSVOfEveryTypeIsAsItWas(t *testing.T) {
	f := newForm(t, form.Options{Format: form.CSV})
	ds := sample(t)
	body, err := f.Seal(f.Kind(ds[0].Event), lines(f, ds))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "everything.csv", body)
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(rows) != len(ds)+1 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if got := rows[1][slices.Index(rows[0], "after_name")]; got != "Ann \"the\" Lee, née\nØ 雪 \x00" { // encoding/csv drops carriage returns before line feeds
		t.Errorf("got %q", got)
	}
}

func TestParquetHoldsTheVeryRecords(t *testing.T) {
	ds := sample(t)
	want := lines(newForm(t, form.Options{}), ds)
	for _, compress := range []string{"zstd", "gzip", "none"} {
		f := newForm(t, form.Options{Format: form.Parquet, Compress: compress})
		records := lines(f, ds)
		body, err := f.Seal(f.Kind(ds[0].Event), records)
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.Seal(f.Kind(ds[0].Event), records)
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("%s: the same records make other bytes: %v", compress, err)
		}
		if !bytes.Contains(body, []byte(`"type":"enum","kind":"enum"`)) || bytes.Contains(body, []byte("enum(")) {
			t.Errorf("%s: the members of an ENUM are in the description of the table", compress)
		}
		got, err := f.Unseal(body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", compress, got, want)
		}
	}
}

// genColumn draws a column of any type, genValue a value of it.
func genColumn(n int) *rapid.Generator[cdc.Column] {
	return rapid.Custom(func(t *rapid.T) cdc.Column {
		p := rapid.IntRange(1, 65).Draw(t, "precision")
		sqlType := rapid.SampledFrom([]string{"tinyint", "bigint", "int unsigned", "bigint unsigned", "float", "double", "decimal", "varchar(9)", "varbinary(9)", "date",
			"time", "datetime", "timestamp", "json", "enum('a','b,c','')", "set('a','b')", "bit(64)", "geometry", "vector(2)"}).Draw(t, "type")
		switch sqlType {
		case "decimal":
			sqlType = fmt.Sprintf("decimal(%d,%d)", p, rapid.IntRange(0, min(p, 30)).Draw(t, "scale"))
		case "time", "datetime", "timestamp":
			sqlType += fmt.Sprintf("(%d)", rapid.IntRange(0, 6).Draw(t, "fsp"))
		}
		c := column(fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"c", `é "`, "a,b", "x.y"}).Draw(t, "name"), n), sqlType, true, 0)
		c.Nullable = rapid.Bool().Draw(t, "nullable")
		return c
	})
}

func genValue(c cdc.Column) *rapid.Generator[cdc.Value] {
	return rapid.Custom(func(t *rapid.T) cdc.Value {
		switch rapid.IntRange(0, 9).Draw(t, "present") {
		case 0:
			return cdc.Value{}
		case 1:
			return cdc.NullValue()
		}
		text := func(s string) cdc.Value { return cdc.TextValue(c.Kind, s) }
		switch c.Kind {
		case cdc.KindInt64:
			return cdc.Int64Value(rapid.Int64().Draw(t, "int"))
		case cdc.KindUint64, cdc.KindBit:
			return cdc.NumValue(c.Kind, rapid.Uint64().Draw(t, "uint"))
		case cdc.KindFloat64:
			f := rapid.Float64().Draw(t, "float")
			if c.Float32 && rapid.Bool().Draw(t, "float32") {
				f = float64(float32(f))
			}
			return cdc.Float64Value(f)
		case cdc.KindDecimal:
			p, s := int(c.Precision), int(c.Scale)
			if rapid.IntRange(0, 9).Draw(t, "strange") == 0 {
				return text(rapid.StringMatching(`-?[0-9]{1,65}(\.[0-9]{1,30})?`).Draw(t, "decimal"))
			}
			digits := rapid.StringMatching(fmt.Sprintf(`-?(0|[1-9][0-9]{0,%d})`, max(p-s-1, 0))).Draw(t, "whole")
			if s > 0 {
				digits += "." + rapid.StringMatching(fmt.Sprintf(`[0-9]{%d}`, s)).Draw(t, "fraction")
			}
			return text(digits)
		case cdc.KindDate, cdc.KindDatetime:
			v := cdc.Civil{Year: rapid.IntRange(0, 9999).Draw(t, "year"), Month: rapid.IntRange(0, 12).Draw(t, "month"), Day: rapid.IntRange(0, 31).Draw(t, "day")}
			if c.Kind == cdc.KindDatetime {
				v.Hour, v.Minute, v.Second = rapid.IntRange(0, 23).Draw(t, "h"), rapid.IntRange(0, 59).Draw(t, "m"), rapid.IntRange(0, 59).Draw(t, "s")
				v.Micro = rapid.IntRange(0, 999_999).Draw(t, "µs")
			}
			return cdc.CivilValue(c.Kind, v)
		case cdc.KindTime:
			return cdc.TimeValue(rapid.Int64Range(-3020399_999999, 3020399_999999).Draw(t, "time"))
		case cdc.KindTimestamp:
			return cdc.TimestampValue(rapid.Int64Range(0, 253402300799_999_999).Draw(t, "timestamp"))
		case cdc.KindJSON:
			b, _ := json.Marshal(rapid.MapOf(rapid.String(), rapid.Float64()).Draw(t, "json"))
			return text(string(b))
		case cdc.KindSet:
			return text(rapid.SampledFrom([]string{"", "a", "a,b"}).Draw(t, "set"))
		case cdc.KindGeometry:
			return text(string(rapid.SliceOfN(rapid.Byte(), 4, 30).Draw(t, "geometry")))
		case cdc.KindVector:
			return text(strings.Repeat("\x00\x00\x80\x3f", rapid.IntRange(0, 3).Draw(t, "vector")))
		case cdc.KindBytes:
			return text(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		}
		return text(rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\,\r\n\x00-\x1f ]{0,5}`)).Draw(t, "text"))
	})
}

func genChanges(t *rapid.T) []change {
	table := &cdc.Table{Schema: "s", Name: rapid.SampledFrom([]string{"t", `t"`, "té"}).Draw(t, "table")}
	for n := range rapid.IntRange(1, 12).Draw(t, "columns") {
		table.Columns = append(table.Columns, genColumn(n).Draw(t, "column"))
	}
	for i := range table.Columns {
		if rapid.IntRange(0, 3).Draw(t, "key") == 0 {
			table.Columns[i].Key = uint16(i + 1)
		}
	}
	image := func() []cdc.Value {
		var values []cdc.Value
		for _, c := range table.Columns {
			values = append(values, genValue(c).Draw(t, "value"))
		}
		return values
	}
	var changes []change
	for range rapid.IntRange(1, 10).Draw(t, "changes") {
		c := change{table: table, op: cdc.Op(rapid.IntRange(1, 4).Draw(t, "op"))}
		if c.op == cdc.OpUpdate || c.op == cdc.OpDelete {
			c.before = image()
		}
		if c.op != cdc.OpDelete {
			c.after = image()
		}
		switch rapid.IntRange(0, 3).Draw(t, "rules") {
		case 0:
			c.matches = []cdc.RuleMatch{{Name: "a", Version: "sha256:1", To: []string{"acme"}, Change: rapid.SampledFrom([]string{cdc.Entered, cdc.Left, cdc.Stayed}).Draw(t, "change"),
				Edits: &cdc.Edits{Reason: rapid.String().Draw(t, "reason"), Tags: rapid.SliceOfDistinct(rapid.String(), rapid.ID).Draw(t, "tags")}}, {Name: "b", Version: "sha256:2", To: []string{"acme"}}}
		case 1:
			c.matches = []cdc.RuleMatch{}
		}
		changes = append(changes, c)
	}
	return changes
}

func TestEveryContainerGivesBackTheRecordsThatItWasMadeOf(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ds := events(t, genChanges(rt)...)
		for _, o := range []form.Options{{}, {Envelope: form.Debezium, Debezium: form.DebeziumOptions{Schemas: true}}, {Envelope: form.CloudEvents}, {Format: form.CSV}, {Format: form.Parquet}} {
			f := newForm(t, o)
			f.Extension()
			records := lines(f, ds)
			body, err := f.Seal(f.Kind(ds[0].Event), records)
			if err != nil {
				rt.Fatalf("%s: %v", f.Name(), err)
			}
			o.Compress = "none"
			plain := newForm(t, o)
			got, err := plain.Unseal(body)
			if err != nil {
				rt.Fatalf("%s: %v", f.Name(), err)
			}
			if !bytes.Equal(got, records) {
				rt.Fatalf("%s: got\n%s\nwant\n%s", f.Name(), got, records)
			}
			n := 0
			for record := range f.Records(got) {
				if n++; f.Single() && o.Format == form.CSV {
					continue
				} else if !json.Valid(record) {
					rt.Fatalf("%s: not JSON: %s", f.Name(), record)
				}
			}
			if n != len(ds) {
				rt.Fatalf("%s: %d records, want %d", f.Name(), n, len(ds))
			}
		}
	})
}
