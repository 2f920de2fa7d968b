package deadletter_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

var (
	everything = &cdc.Table{Schema: "shop", Name: "every\"thing", Columns: []cdc.Column{
		{Name: "id", Kind: cdc.KindUint64, Type: "bigint unsigned", Unsigned: true, Key: 1},
		{Name: "gone", Kind: cdc.KindInt64, Type: "int"},
		{Name: "none", Kind: cdc.KindInt64, Type: "int", Nullable: true},
		{Name: "f", Kind: cdc.KindFloat64, Type: "float", Float32: true},
		{Name: "d", Kind: cdc.KindDecimal, Type: "decimal(65,30)", Precision: 65, Scale: 30},
		{Name: "s", Kind: cdc.KindString, Type: "text", Collation: 45},
		{Name: "b", Kind: cdc.KindBytes, Type: "blob"},
		{Name: "day", Kind: cdc.KindDate, Type: "date"},
		{Name: "t", Kind: cdc.KindTime, Type: "time(3)", Fsp: 3},
		{Name: "dt", Kind: cdc.KindDatetime, Type: "datetime(6)", Fsp: 6},
		{Name: "ts", Kind: cdc.KindTimestamp, Type: "timestamp"},
		{Name: "j", Kind: cdc.KindJSON, Type: "json"},
		{Name: "e", Kind: cdc.KindEnum, Type: "enum('new','paid')", Members: []string{"new", "paid"}},
		{Name: "set", Kind: cdc.KindSet, Type: "set('a','b')", Members: []string{"a", "b"}},
		{Name: "bit", Kind: cdc.KindBit, Type: "bit(64)", Precision: 64},
		{Name: "g", Kind: cdc.KindGeometry, Type: "point"},
		{Name: "v", Kind: cdc.KindVector, Type: "vector(1)"},
	}}
	values = []cdc.Value{
		cdc.Uint64Value(math.MaxUint64), {}, cdc.NullValue(), cdc.Float64Value(float64(float32(0.1))),
		cdc.TextValue(cdc.KindDecimal, "-0.000000000000000000000000000001"), cdc.TextValue(cdc.KindString, "a\n\"é\x00"),
		cdc.TextValue(cdc.KindBytes, "\xff\x00"), cdc.CivilValue(cdc.KindDate, cdc.Civil{}), cdc.TimeValue(-838_000_000),
		cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999_999}),
		cdc.TimestampValue(0), cdc.TextValue(cdc.KindJSON, `{"n":123456789012345678901234567890}`), cdc.TextValue(cdc.KindEnum, "paid"),
		cdc.TextValue(cdc.KindSet, "a,b"), cdc.BitValue(1 << 63), cdc.TextValue(cdc.KindGeometry, "\x01\x00\x00\x00wkb"),
		cdc.TextValue(cdc.KindVector, "\x00\x00\x80\x3f"),
	}
	small = &cdc.Table{Schema: "shop", Name: "small", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Type: "int", Key: 1}}}
)

// newBatch has four events of two tables and transactions, in partition 3 of 8.
func newBatch(t testing.TB) *cdc.Batch {
	var w cdc.Builder
	w.Reset(cdc.Header{Source: "shop", Writer: "capture-1", Epoch: 0xabcd<<32 | 7, Partition: 3, Partitions: 8, FirstPartNo: 100,
		Created: time.Date(2026, 11, 21, 2, 0, 1, 5000, time.UTC)})
	row := func(table *cdc.Table, vs []cdc.Value) uint32 {
		w.BeginRow(len(table.Columns))
		for i, v := range vs {
			w.Set(i, v)
		}
		return w.EndRow()
	}
	one := w.AddTx(cdc.Tx{Server: "0-1", GTID: "0-1-17", File: "binlog.000001", Pos: 4, CommitTime: time.Date(2026, 11, 21, 2, 0, 0, 123456000, time.UTC), Rows: 3})
	two := w.AddTx(cdc.Tx{Server: "0-1", File: "binlog.000002", Pos: 1 << 40, CommitTime: time.Date(2026, 11, 21, 2, 0, 1, 0, time.UTC), Ends: true})
	big, little := w.AddTable(everything), w.AddTable(small)
	w.AddEvent(cdc.EventInfo{No: 900, Tx: one, Row: 0, Table: big, Op: cdc.OpInsert, After: row(everything, values), Incomplete: true})
	w.AddEvent(cdc.EventInfo{No: 905, Tx: one, Row: 1, Table: little, Op: cdc.OpDelete, Before: row(small, []cdc.Value{cdc.Int64Value(-1)})})
	w.AddEvent(cdc.EventInfo{No: 906, Tx: one, Row: 2, Table: big, Op: cdc.OpUpdate, Before: row(everything, nil), After: row(everything, values)})
	w.AddEvent(cdc.EventInfo{No: 907, Tx: two, Row: 0, Table: little, Op: cdc.OpSnapshot, After: row(small, []cdc.Value{cdc.Int64Value(2)})})
	b, err := cdc.Open(w.Seal(cdc.Checkpoint{Flavor: "mariadb", GTIDSet: "0-1-17"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Seq = 812
	return b
}

// decision has errors, and edits of another rule that are for delivery: a letter has the event as it was captured.
func decision(e cdc.Event) cdc.Decision {
	edits := &cdc.Edits{Columns: []cdc.ColumnEdit{{Column: "s", Drop: true}, {Column: "id", Value: cdc.NullValue()}}, Tags: []string{"t"}, Reason: "why"}
	return cdc.Decision{Event: e, RuleSet: "sha256:set", Matches: []cdc.RuleMatch{
		{Name: "other", To: []string{"ac\"me", "acme"}, Edits: edits}, {Name: "elsewhere", To: []string{"globex"}}, {Name: "more", To: []string{"ac\"me"}}}, Errors: []cdc.RuleError{
		{Rule: cdc.RuleMatch{Name: "paid", Version: "sha256:1", To: []string{"acme"}}, Err: errors.New("no such key: \"a\"\nmore")},
		{Rule: cdc.RuleMatch{Name: "big", Version: "sha256:2"}, OnError: cdc.Skip, Err: cdc.Errorf("CDCD-2201", "too big")},
	}}
}

// event is one event as values.
type event struct {
	Header        cdc.Header
	Position      cdc.Position
	No, PartNo    uint64
	Op            cdc.Op
	Incomplete    bool
	Table         string
	Columns       []cdc.Column
	Before, After []cdc.Value
	Text          string
}

func read(e cdc.Event) event {
	row := func(r cdc.Row) (vs []cdc.Value) {
		for i := range r.Len() {
			vs = append(vs, r.Value(i))
		}
		return vs
	}
	h := e.Batch().Header()
	h.FirstPartNo = 0
	return event{h, e.Position(), e.No(), e.PartNo(), e.Op(), e.Incomplete(), e.Table().String(), e.Table().Columns,
		row(e.Before()), row(e.After()), string(cdc.AppendEvent(nil, e))}
}

func TestAppendAndParseAreInverse(t *testing.T) {
	b := newBatch(t)
	render := deadletter.Append("ac\"me")
	for i := range b.Len() {
		d := decision(b.Event(i))
		line := render([]byte("before "), &d)
		text, ok := strings.CutPrefix(string(line), "before ")
		if !ok || strings.ContainsAny(text, "\n\r") || !json.Valid([]byte(text)) {
			t.Fatalf("event %d: not one line of JSON after what was there:\n%s", i, line)
		}
		got, err := deadletter.Parse([]byte(text))
		if err != nil {
			t.Fatalf("event %d: %v\n%s", i, err, text)
		}
		if got, want := read(got.Batch.Event(0)), read(b.Event(i)); !reflect.DeepEqual(got, want) {
			t.Errorf("event %d:\ngot  %+v\nwant %+v", i, got, want)
		}
		if got.Batch.Len() != 1 || got.Batch.Seq != 812 {
			t.Errorf("event %d: got %d events of frame %d", i, got.Batch.Len(), got.Batch.Seq)
		}
		got.Batch = nil
		want := deadletter.Letter{Feed: "ac\"me", Seq: 812, RuleSet: "sha256:set", DeliveredBy: []string{"other", "more"}, Errors: []deadletter.Failure{
			{Rule: "paid", Version: "sha256:1", OnError: "dead_letter", Error: "no such key: \"a\"\nmore"},
			{Rule: "big", Version: "sha256:2", Code: "CDCD-2201", OnError: "skip", Error: "CDCD-2201: too big"}}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("event %d:\ngot  %+v\nwant %+v", i, got, want)
		}
		var public struct {
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal([]byte(text), &public); err != nil || string(public.Event) != string(cdc.AppendEvent(nil, b.Event(i))) {
			t.Errorf("event %d: for people: %s, %v", i, public.Event, err)
		}
	}
}

func TestALetterOfALetterIsTheSame(t *testing.T) {
	b := newBatch(t)
	d := decision(b.Event(2))
	first := deadletter.Append("acme")(nil, &d)
	l, err := deadletter.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	d.Event = l.Batch.Event(0)
	if second := deadletter.Append("acme")(nil, &d); string(second) != string(first) {
		t.Errorf("got\n%s\nwant\n%s", second, first)
	}
}

func TestParseRefusesWhatCanNotBeJudged(t *testing.T) {
	b := newBatch(t)
	var empty cdc.Builder
	empty.Reset(cdc.Header{Heartbeat: true})
	var bad cdc.Builder
	bad.Reset(cdc.Header{})
	bad.BeginRow(1)
	bad.SetText(0, cdc.KindString, "not an int")
	row := bad.EndRow()
	bad.AddEvent(cdc.EventInfo{Tx: bad.AddTx(cdc.Tx{}), Table: bad.AddTable(small), Op: cdc.OpInsert, After: row})
	letter := func(frame []byte) string {
		return fmt.Sprintf(`{"feed":"acme","frame":%q}`, base64.StdEncoding.EncodeToString(frame))
	}
	for _, tt := range []struct{ line, want string }{
		{"", "dead letter: unexpected end of JSON input"},
		{"{}", "dead letter: frame: 0 bytes are less than a header"},
		{`{"frame":"!"}`, "dead letter: illegal base64 data at input byte 0"},
		{letter(b.Frame()), "dead letter: its frame has 4 events"},
		{letter(empty.Seal(cdc.Checkpoint{})), "dead letter: its frame has 0 events"},
		{letter(bad.Seal(cdc.Checkpoint{})), "dead letter: frame: event 0, table shop.small, column id: a value of kind string in a column of int64"},
	} {
		if _, err := deadletter.Parse([]byte(tt.line)); err == nil || err.Error() != tt.want {
			t.Errorf("%.60s: got %v, want %s", tt.line, err, tt.want)
		}
	}
}
