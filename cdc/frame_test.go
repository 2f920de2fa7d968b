package cdc_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

var update = flag.Bool("update", false, "rewrite the golden frames and the example in FORMAT.md")

// frameSpec is a frame as Go values, so that what was read can be compared with what was written as a whole.
type frameSpec struct {
	Header     cdc.Header
	Txs        []cdc.Tx
	Tables     []*cdc.Table
	Events     []eventSpec
	Checkpoint cdc.Checkpoint
}

type eventSpec struct {
	No            uint64
	Tx            int
	Row           uint32
	Table         int
	Op            cdc.Op
	Before, After []cdc.Value // nil: no image
	Incomplete    bool
}

func (s *frameSpec) build(w *cdc.Builder) []byte {
	w.Reset(s.Header)
	for _, tx := range s.Txs {
		w.AddTx(tx)
	}
	for _, e := range s.Events {
		row := func(values []cdc.Value) uint32 {
			if values == nil {
				return 0
			}
			w.BeginRow(len(values))
			for i, v := range values {
				w.Set(i, v)
			}
			return w.EndRow()
		}
		// Tables stand between rows, as where a capture meets them.
		table := w.AddTable(s.Tables[e.Table])
		w.AddEvent(cdc.EventInfo{No: e.No, Tx: e.Tx, Row: e.Row, Table: table, Op: e.Op, Before: row(e.Before), After: row(e.After),
			Incomplete: e.Incomplete})
	}
	return w.Seal(s.Checkpoint)
}

// read is the inverse of build; transactions are those that events point to.
func read(b *cdc.Batch) *frameSpec {
	s := &frameSpec{Header: b.Header(), Checkpoint: b.Checkpoint()}
	tables, txs := map[*cdc.Table]int{}, map[cdc.Tx]int{}
	for i := range b.Len() {
		e := b.Event(i)
		row := func(r cdc.Row) []cdc.Value {
			if !r.Exists() {
				return nil
			}
			values := make([]cdc.Value, r.Len())
			for i := range values {
				values[i] = r.Value(i)
			}
			return values
		}
		p := e.Position()
		tx := cdc.Tx{Server: p.Server, GTID: p.GTID, File: p.File, Pos: p.Pos, CommitTime: e.CommitTime(), Rows: p.Rows, Ends: e.TxEnds()}
		if _, ok := txs[tx]; !ok {
			txs[tx] = len(s.Txs)
			s.Txs = append(s.Txs, tx)
		}
		if _, ok := tables[e.Table()]; !ok {
			tables[e.Table()] = len(s.Tables)
			s.Tables = append(s.Tables, e.Table())
		}
		s.Events = append(s.Events, eventSpec{No: e.No(), Tx: txs[tx], Row: p.Row, Table: tables[e.Table()], Op: e.Op(),
			Before: row(e.Before()), After: row(e.After()), Incomplete: e.Incomplete()})
	}
	return s
}

// diff compares two frames as people would read them, and exactly.
func diff(t *testing.T, got, want *frameSpec) {
	t.Helper()
	text := func(s *frameSpec) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%+v\n%+v\n", s.Header, s.Checkpoint)
		for _, t := range s.Tables {
			fmt.Fprintf(&b, "%s %+v\n", t, t.Columns)
		}
		for _, e := range s.Events {
			fmt.Fprintf(&b, "%d %d %s %+v %+v\n%v\n%v\n", e.No, e.Row, e.Op, s.Txs[e.Tx], s.Tables[e.Table].String(), e.Before, e.After)
		}
		return b.String()
	}
	if g, w := text(got), text(want); g != w {
		t.Fatalf("got\n%s\nwant\n%s", g, w)
	}
	// The texts do not show everything: kinds, bits of floats.
	if !reflect.DeepEqual(got.Header, want.Header) || !reflect.DeepEqual(got.Checkpoint, want.Checkpoint) ||
		!reflect.DeepEqual(got.Txs, want.Txs) || !reflect.DeepEqual(got.Events, want.Events) {
		t.Fatalf("got\n%#v\nwant\n%#v", got, want)
	}
}

func open(t testing.TB, frame []byte, tables *cdc.Tables) *cdc.Batch {
	t.Helper()
	b, err := cdc.Open(frame, tables)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(); err != nil {
		t.Fatal(err)
	}
	return b
}

var commit = time.Date(2026, 11, 21, 2, 0, 0, 123456000, time.UTC)

// everything has a column of every kind that a frame can hold.
var everything = &cdc.Table{Schema: "shop", Name: "everything", Columns: []cdc.Column{
	{Name: "id", Type: "bigint unsigned", Kind: cdc.KindUint64, Unsigned: true, Key: 2},
	{Name: "region", Type: "char(2)", Kind: cdc.KindString, Key: 1, Collation: 45},
	{Name: "flag", Kind: cdc.KindBool, Nullable: true},
	{Name: "n", Type: "bigint", Kind: cdc.KindInt64, Nullable: true},
	{Name: "d", Type: "double", Kind: cdc.KindFloat64, Nullable: true},
	{Name: "f", Type: "float", Kind: cdc.KindFloat64, Nullable: true, Float32: true},
	{Name: "price", Type: "decimal(12,2)", Kind: cdc.KindDecimal, Nullable: true, Precision: 12, Scale: 2},
	{Name: "note", Type: "text", Kind: cdc.KindString, Nullable: true, Collation: 255},
	{Name: "raw", Type: "varbinary(16)", Kind: cdc.KindBytes, Nullable: true},
	{Name: "day", Type: "date", Kind: cdc.KindDate, Nullable: true},
	{Name: "t", Type: "time(2)", Kind: cdc.KindTime, Nullable: true, Fsp: 2},
	{Name: "dt", Type: "datetime(3)", Kind: cdc.KindDatetime, Nullable: true, Fsp: 3},
	{Name: "ts", Type: "timestamp(6)", Kind: cdc.KindTimestamp, Nullable: true, Fsp: 6},
	{Name: "doc", Type: "json", Kind: cdc.KindJSON, Nullable: true},
	{Name: "state", Type: "enum('new','paid')", Kind: cdc.KindEnum, Nullable: true, Members: []string{"new", "paid"}},
	{Name: "tags", Type: "set('a','b','ü')", Kind: cdc.KindSet, Nullable: true, Members: []string{"a", "b", "ü"}},
	{Name: "bits", Type: "bit(64)", Kind: cdc.KindBit, Nullable: true, Precision: 64},
	{Name: "place", Type: "point", Kind: cdc.KindGeometry, Nullable: true},
	{Name: "embedding", Type: "vector(3)", Kind: cdc.KindVector, Nullable: true},
}}

var log = &cdc.Table{Schema: "shop", Name: "log", Columns: []cdc.Column{{Name: "line \"1\"\n", Kind: cdc.KindString}}}

func text(k cdc.Kind, s string) cdc.Value { return cdc.TextValue(k, s) }

func vector(floats ...float32) cdc.Value {
	var b []byte
	for _, f := range floats {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return text(cdc.KindVector, string(b))
}

var (
	point = text(cdc.KindGeometry, "\xe6\x10\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40")

	ordinary = []cdc.Value{cdc.Uint64Value(42), text(cdc.KindString, "eu"), cdc.BoolValue(true), cdc.Int64Value(-7),
		cdc.Float64Value(0.1), cdc.Float64Value(float64(float32(1.1))), text(cdc.KindDecimal, "-1200.50"),
		text(cdc.KindString, "Grüße 🚀"), text(cdc.KindBytes, "\x00\xff\x10"),
		cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026, Month: 11, Day: 21}), cdc.TimeValue(3_723_450_000),
		cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: 2026, Month: 11, Day: 21, Hour: 3, Micro: 123000}),
		cdc.TimestampValue(commit.UnixMicro()), text(cdc.KindJSON, `{"n":12345678901234567890.10}`), text(cdc.KindEnum, "paid"),
		text(cdc.KindSet, "a,ü"), cdc.BitValue(5), point, vector(1.1, -2, 3e10)}

	extreme = []cdc.Value{cdc.Uint64Value(math.MaxUint64), text(cdc.KindString, ""), cdc.BoolValue(false), cdc.Int64Value(math.MinInt64),
		cdc.Float64Value(math.MaxFloat64), cdc.Float64Value(math.SmallestNonzeroFloat32),
		text(cdc.KindDecimal, "-"+strings.Repeat("9", 35)+"."+strings.Repeat("9", 30)), text(cdc.KindString, ""), text(cdc.KindBytes, ""),
		cdc.CivilValue(cdc.KindDate, cdc.Civil{}), cdc.TimeValue(-(838*3600 + 59*60 + 59) * 1_000_000),
		cdc.CivilValue(cdc.KindDatetime, cdc.Civil{}), cdc.TimestampValue(0), text(cdc.KindJSON, "null"), text(cdc.KindEnum, ""),
		text(cdc.KindSet, ""), cdc.BitValue(math.MaxUint64), text(cdc.KindGeometry, "\x00\x00\x00\x00"), vector()}

	partial = []cdc.Value{cdc.Uint64Value(0), text(cdc.KindString, "us"), {}, cdc.NullValue(), {}, cdc.NullValue(), {}, cdc.NullValue(),
		{}, cdc.CivilValue(cdc.KindDate, cdc.Civil{Year: 2026}), cdc.TimeValue(-1),
		cdc.CivilValue(cdc.KindDatetime, cdc.Civil{Year: 9999, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}),
		cdc.NullValue(), {}, cdc.NullValue(), {}, cdc.NullValue(), {}, cdc.NullValue()}
)

func nulls(n int) []cdc.Value {
	row := make([]cdc.Value, n)
	for i := range row {
		row[i] = cdc.NullValue()
	}
	return row
}

// golden are the frames in testdata. They are a contract: a change here is a change of the format.
var golden = []struct {
	name string
	spec frameSpec
}{
	{"kinds", frameSpec{
		Header: cdc.Header{Source: "shop", Writer: "cdcd/1.0.0 host 123", Epoch: 3, Partitions: 1, FirstPartNo: 1001, Created: commit.Add(2 * time.Millisecond)},
		Txs:    []cdc.Tx{{Server: "0-1", GTID: "0-1-17", File: "binlog.000001", Pos: 1234, CommitTime: commit, Rows: 5, Ends: true}},
		Tables: []*cdc.Table{everything},
		Events: []eventSpec{
			{No: 1001, Row: 0, Op: cdc.OpInsert, After: ordinary},
			{No: 1002, Row: 1, Op: cdc.OpUpdate, Before: ordinary, After: extreme},
			{No: 1003, Row: 2, Op: cdc.OpUpdate, Before: partial, After: make([]cdc.Value, len(partial))},
			{No: 1004, Row: 3, Op: cdc.OpDelete, Before: nulls(len(partial))},
			{No: 1005, Row: 4, Op: cdc.OpSnapshot, After: extreme},
		},
		Checkpoint: cdc.Checkpoint{Flavor: "mariadb", Server: "0-1", GTIDSet: "0-1-17", File: "binlog.000001", Pos: 5678, NextNo: 1006,
			PartNos: []uint64{1006}, Commit: commit},
	}},
	{"transactions", frameSpec{
		Header: cdc.Header{Source: "shop", Epoch: 1, Partition: 1, Partitions: 2, FirstPartNo: 70},
		Txs: []cdc.Tx{
			{Server: "s1", GTID: "s1:23", File: "binlog.000001", Pos: 4, CommitTime: commit, Rows: 3, Ends: true},
			{Server: "s1", GTID: "s1:24", File: "binlog.000001", Pos: 900, CommitTime: commit.Add(time.Second), Rows: 1, Ends: true},
			{Server: "s2", File: "binlog.000002", Pos: 4, CommitTime: commit.Add(2 * time.Second)},
		},
		Tables: []*cdc.Table{log, everything},
		Events: []eventSpec{
			{No: 100, Tx: 0, Row: 2, Op: cdc.OpInsert, After: []cdc.Value{text(cdc.KindString, "a\xff\x01\"")}},
			{No: 102, Tx: 1, Row: 0, Table: 1, Op: cdc.OpDelete, Before: partial},
			{No: 103, Tx: 2, Row: 0, Op: cdc.OpUpdate, Before: []cdc.Value{{}}, After: []cdc.Value{cdc.NullValue()}},
		},
		Checkpoint: cdc.Checkpoint{Flavor: "mysql", Server: "s2", GTIDSet: "s1:1-24", File: "binlog.000002", Pos: 4, TxGTID: "s2:1",
			TxRows: 1, NextNo: 104, PartNos: []uint64{31, 73}, Commit: commit.Add(2 * time.Second)},
	}},
	{"heartbeat", frameSpec{
		Header: cdc.Header{Source: "shop", Writer: "w", Epoch: math.MaxUint64, Partition: 15, Partitions: 16, FirstPartNo: 8,
			Created: commit, Heartbeat: true},
		Checkpoint: cdc.Checkpoint{Flavor: "mysql", GTIDSet: strings.Repeat("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7-9,", 3), NextNo: 9,
			PartNos: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 8}},
	}},
	{"snapshot", frameSpec{
		Header: cdc.Header{Source: "shop", Epoch: 1, Partitions: 1, FirstPartNo: 12, Created: commit},
		Txs:    []cdc.Tx{{Server: "0-1", File: "snapshot/1", Pos: 12, CommitTime: commit}},
		Tables: []*cdc.Table{log},
		Events: []eventSpec{
			{No: 12, Op: cdc.OpSnapshot, After: []cdc.Value{text(cdc.KindString, "present")}},
			{No: 13, Row: 1, Op: cdc.OpSnapshot, After: []cdc.Value{{}}, Incomplete: true},
		},
		Checkpoint: cdc.Checkpoint{Flavor: "mariadb", Server: "0-1", GTIDSet: "0-1-17", File: "binlog.000001", Pos: 5678, NextNo: 14,
			PartNos: []uint64{14}, Commit: commit, Snapshot: `{"table":"shop.log","after":["x"]}`, Prepared: `{"seen":["x"]}`},
	}},
	{"empty", frameSpec{Header: cdc.Header{Partitions: 1}}},
}

func TestGoldenFramesAreWrittenAndReadByteForByte(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			frame := tt.spec.build(new(cdc.Builder))
			b := open(t, frame, nil)
			var lines []byte
			lines = fmt.Appendf(lines, "%s\n%s\n", mustJSON(t, b.Header()), mustJSON(t, b.Checkpoint()))
			for i := range b.Len() {
				lines = append(cdc.AppendEvent(lines, b.Event(i)), '\n')
			}
			for ext, got := range map[string][]byte{".frame": frame, ".json": lines} {
				file := filepath.Join("testdata", tt.name+ext)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if at := differ(got, want); at >= 0 {
					t.Errorf("%s, %d bytes, differs at byte %d of %d (if the format was meant to change, see FORMAT.md, \"Rule for change\")\ngot  %.80q\nwant %.80q",
						file, len(want), at, len(got), got[at:], want[at:])
				}
			}
			stored, err := os.ReadFile(filepath.Join("testdata", tt.name+".frame"))
			if err != nil {
				t.Fatal(err)
			}
			diff(t, read(open(t, stored, nil)), &tt.spec)
		})
	}
}

// differ returns the first byte that is not the same, or -1.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	return at
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenFramesHoldEveryKind(t *testing.T) {
	seen := map[cdc.Kind]bool{}
	for _, tt := range golden {
		for _, e := range tt.spec.Events {
			for _, v := range append(e.Before, e.After...) {
				seen[v.Kind()] = true
			}
		}
	}
	for k := cdc.KindAbsent; k <= cdc.KindVector; k++ {
		if !seen[k] {
			t.Errorf("no %s", k)
		}
	}
}

var le = binary.LittleEndian

// reseal makes the checksum right again after a change.
func reseal(frame []byte) []byte {
	le.PutUint32(frame[12:], 0)
	le.PutUint32(frame[12:], crc32.Checksum(frame, crc32.MakeTable(crc32.Castagnoli)))
	return frame
}

func TestOpenRefusesWhatIsNotAFrame(t *testing.T) {
	le32 := le.PutUint32
	section := func(f []byte, at int) []byte { return f[le.Uint32(f[at:]):] }
	event := func(f []byte, n int) []byte { return section(f, 72)[32*n:] }
	table := func(f []byte) []byte { return f[le.Uint32(section(f, 64)):] }
	column := func(f []byte, n int) []byte { return table(f)[32+32*n:] }
	for _, tt := range []struct {
		name   string
		change func(f []byte) []byte // of the golden frame "kinds"; the checksum is made right
		want   string
	}{
		{"nothing", func(f []byte) []byte { return nil }, "0 bytes are less than a header"},
		{"too short", func(f []byte) []byte { return f[:111] }, "111 bytes are less than a header"},
		{"too long", func(f []byte) []byte { return make([]byte, cdc.MaxFrame+1) }, "32505857 bytes are more than the limit of 32505856"},
		{"magic", func(f []byte) []byte { f[0] = 'X'; return f }, "magic is 0x46434458"},
		{"version", func(f []byte) []byte { f[4] = 2; return f }, "version is 2, this program reads 1"},
		{"cut off", func(f []byte) []byte { return f[:len(f)-8] }, "size says"},
		{"source outside", func(f []byte) []byte { le32(f[80:], math.MaxUint32); return f }, "a name in the header"},
		{"writer too long", func(f []byte) []byte { le32(f[84:], 0); le32(f[88:], 1025); return f }, "a name in the header"},
		{"transactions outside", func(f []byte) []byte { le32(f[52:], math.MaxUint32); return f }, "4294967295 transactions at"},
		{"transactions in the header", func(f []byte) []byte { le32(f[56:], 8); return f }, "1 transactions at 8"},
		{"events not aligned", func(f []byte) []byte { le32(f[72:], le.Uint32(f[72:])+4); return f }, "5 events at"},
		{"events outside", func(f []byte) []byte { le32(f[72:], math.MaxUint32-7); return f }, "5 events at 4294967288"},
		{"tables outside", func(f []byte) []byte { le32(f[60:], 1<<30); return f }, "1073741824 tables at"},
		{"table outside", func(f []byte) []byte { le32(section(f, 64), uint32(len(f))&^7-8); return f }, "table 0 lies outside"},
		{"one table twice", func(f []byte) []byte {
			return appendTableRefs(f, le.Uint32(section(f, 64)), 64)
		}, "lies outside or overlaps another"},
		{"table too small", func(f []byte) []byte { le32(table(f), 64); return f }, "a table of 19 columns in 64 bytes"},
		{"too many columns", func(f []byte) []byte { le.PutUint16(table(f)[4:], 4097); return f }, "a table of 4097 columns"},
		{"column name outside", func(f []byte) []byte { le32(column(f, 3), 1<<20); return f }, "a table's texts point outside"},
		{"column name too long", func(f []byte) []byte { le32(column(f, 3), 0); le32(column(f, 3)[4:], 1025); return f }, "a table's texts point outside"},
		{"column texts overlap", func(f []byte) []byte {
			for i := range 19 {
				le32(column(f, i), 0)
				le32(column(f, i)[4:], 500)
			}
			return f
		}, "a table's texts point outside, overlap or are too long"},
		{"kind not known", func(f []byte) []byte { column(f, 0)[16] = 19; return f }, `column "id" has kind 19`},
		{"members outside", func(f []byte) []byte { le.PutUint16(column(f, 14)[26:], 65535); return f }, `column "state" has 65535 members`},
		{"members not aligned", func(f []byte) []byte { column(f, 14)[28]++; return f }, `column "state" has 2 members`},
		{"file name outside", func(f []byte) []byte { le32(section(f, 56)[12:], 1<<20); return f }, "transaction 0 has a name"},
		{"heartbeat with events", func(f []byte) []byte { f[6] |= 1; return f }, "a heartbeat has 5 events"},
		{"transaction not there", func(f []byte) []byte { event(f, 1)[8] = 1; return f }, "event 1 names a transaction or table that is not there"},
		{"table not there", func(f []byte) []byte { event(f, 1)[16] = 1; return f }, "event 1 names a transaction or table that is not there"},
		{"operation 0", func(f []byte) []byte { event(f, 0)[18] = 0; return f }, "event 0 has operation 0"},
		{"operation 5", func(f []byte) []byte { event(f, 0)[18] = 5; return f }, "event 0 has operation 5"},
		{"insert with before", func(f []byte) []byte { copy(event(f, 0)[20:24], event(f, 0)[24:28]); return f }, "event 0 (insert) has a row image too many"},
		{"insert without after", func(f []byte) []byte { le32(event(f, 0)[24:], 0); return f }, "event 0 (insert) has a row image too many or too few"},
		{"update without before", func(f []byte) []byte { le32(event(f, 1)[20:], 0); return f }, "event 1 (update) has a row image too many or too few"},
		{"delete with after", func(f []byte) []byte { copy(event(f, 3)[24:28], event(f, 0)[24:28]); return f }, "event 3 (delete) has"},
		{"image outside", func(f []byte) []byte { le32(event(f, 0)[24:], math.MaxUint32-7); return f }, "event 0 has a row image outside"},
		{"image not aligned", func(f []byte) []byte { event(f, 0)[24] += 4; return f }, "event 0 has a row image outside"},
		{"image of another table", func(f []byte) []byte { f[le.Uint32(event(f, 0)[24:])+4] = 3; return f }, "event 0 has a row image of 3 columns"},
		{"one image for many events", func(f []byte) []byte { return manyEventsOneImage(f, 200) }, "row images overlap"},
		{"checkpoint outside", func(f []byte) []byte { le32(f[92:], uint32(len(f))); return f }, "the checkpoint lies outside"},
		{"source's texts outside", func(f []byte) []byte { le32(f[96:], 1); le32(f[100:], uint32(len(f))); return f }, "the source's state lies outside"},
		{"source's text outside", func(f []byte) []byte { le32(f[96:], 1); le32(f[100:], 36); return f }, "the source's state lies outside"},
		{"too many texts of the source", func(f []byte) []byte { le32(f[96:], 1025); return f }, "the source's state lies outside"},
		{"checkpoint points outside", func(f []byte) []byte { le32(section(f, 92)[20:], 1<<31); return f }, "the checkpoint points outside"},
		{"partitions outside", func(f []byte) []byte { le32(section(f, 92)[60:], 1<<31); return f }, "the checkpoint's 2147483648 partitions do not fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frame := golden[0].spec.build(new(cdc.Builder))
			frame = tt.change(frame)
			if len(frame) >= 16 {
				reseal(frame)
			}
			b, err := cdc.Open(frame, nil)
			var fe *cdc.FrameError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), tt.want) || b != nil {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// appendTableRefs replaces the table dictionary by one that names the entry at off n times.
func appendTableRefs(f []byte, off uint32, n int) []byte {
	le.PutUint32(f[60:], uint32(n))
	le.PutUint32(f[64:], uint32(len(f)))
	for range n {
		f = le.AppendUint32(f, off)
	}
	le.PutUint32(f[8:], uint32(len(f)))
	return f
}

// manyEventsOneImage replaces the events by copies of the first.
func manyEventsOneImage(f []byte, n int) []byte {
	first := bytes.Clone(f[le.Uint32(f[72:]):][:32])
	le.PutUint32(f[68:], uint32(n))
	le.PutUint32(f[72:], uint32(len(f)))
	for range n {
		f = append(f, first...)
	}
	le.PutUint32(f[8:], uint32(len(f)))
	return f
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	frame := golden[1].spec.build(new(cdc.Builder))
	for i := range frame {
		for bit := range 8 {
			frame[i] ^= 1 << bit
			if _, err := cdc.Open(frame, nil); err == nil {
				t.Fatalf("bit %d of byte %d", bit, i)
			}
			frame[i] ^= 1 << bit
		}
	}
	open(t, frame, nil)
}

func TestVerifyRefusesValuesThatNoServerWrites(t *testing.T) {
	civil := func(k cdc.Kind, c cdc.Civil) cdc.Value { return cdc.CivilValue(k, c) }
	for _, tt := range []struct {
		name  string
		kind  cdc.Kind
		value cdc.Value
		want  string
	}{
		{"another kind", cdc.KindInt64, cdc.Uint64Value(1), "a value of kind uint64 in a column of int64"},
		{"decimal of nothing", cdc.KindDecimal, text(cdc.KindDecimal, ""), `"" is not a decimal`},
		{"decimal with quote", cdc.KindDecimal, text(cdc.KindDecimal, `1"`), "is not a decimal"},
		{"decimal without digits", cdc.KindDecimal, text(cdc.KindDecimal, "-.5"), "is not a decimal"},
		{"decimal with open end", cdc.KindDecimal, text(cdc.KindDecimal, "5."), "is not a decimal"},
		{"decimal with exponent", cdc.KindDecimal, text(cdc.KindDecimal, "5e3"), "is not a decimal"},
		{"month 13", cdc.KindDate, civil(cdc.KindDate, cdc.Civil{Month: 13}), "is not a date"},
		{"year 10000", cdc.KindDate, civil(cdc.KindDate, cdc.Civil{Year: 10000}), "is not a date"},
		{"date at noon", cdc.KindDate, civil(cdc.KindDate, cdc.Civil{Hour: 12}), "a date has a time of day"},
		{"hour 24", cdc.KindDatetime, civil(cdc.KindDatetime, cdc.Civil{Hour: 24}), "is not a datetime"},
		{"second 60", cdc.KindDatetime, civil(cdc.KindDatetime, cdc.Civil{Second: 60}), "is not a datetime"},
		{"a million microseconds", cdc.KindDatetime, civil(cdc.KindDatetime, cdc.Civil{Micro: 1_000_000}), "is not a datetime"},
		{"time too long", cdc.KindTime, cdc.TimeValue(839 * 3600_000_000), "are not a time"},
		{"least time", cdc.KindTime, cdc.TimeValue(math.MinInt64), "are not a time"},
		{"timestamp before 1970", cdc.KindTimestamp, cdc.TimestampValue(-1), "are not a timestamp"},
		{"timestamp after 9999", cdc.KindTimestamp, cdc.TimestampValue(253402300800_000_000), "are not a timestamp"},
		{"half a document", cdc.KindJSON, text(cdc.KindJSON, `{"a":`), "its text is not JSON"},
		{"two documents", cdc.KindJSON, text(cdc.KindJSON, `{},"x":{}`), "its text is not JSON"},
		{"geometry without SRID", cdc.KindGeometry, text(cdc.KindGeometry, "abc"), "3 bytes are not a geometry"},
		{"vector and a half", cdc.KindVector, text(cdc.KindVector, "abcdef"), "6 bytes are not a vector"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := oneColumn(tt.kind, tt.value)
			b, err := cdc.Open(spec.build(new(cdc.Builder)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "event 0, table s.t, column c: ") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if line := cdc.AppendEvent(nil, b.Event(0)); !json.Valid(line) {
				t.Errorf("not JSON: %q", line)
			}
		})
	}
}

func oneColumn(k cdc.Kind, v cdc.Value) *frameSpec {
	return &frameSpec{
		Txs:    []cdc.Tx{{}},
		Tables: []*cdc.Table{{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "c", Kind: k}}}},
		Events: []eventSpec{{Op: cdc.OpInsert, After: []cdc.Value{v}}},
	}
}

func TestColumnsCannotShareTheirBytes(t *testing.T) {
	spec := frameSpec{
		Txs: []cdc.Tx{{}},
		Tables: []*cdc.Table{{Schema: "s", Name: "t", Columns: []cdc.Column{
			{Name: "a", Kind: cdc.KindString}, {Name: "b", Kind: cdc.KindString}, {Name: "c", Kind: cdc.KindString}}}},
		Events: []eventSpec{{Op: cdc.OpInsert, After: []cdc.Value{text(cdc.KindString, "0123456789abcdef"), text(cdc.KindString, ""), {}}}},
	}
	frame := spec.build(new(cdc.Builder))
	img := frame[le.Uint32(frame[le.Uint32(frame[72:])+24:]):]
	for _, tt := range []struct {
		name     string
		at, size uint32
		want     string
	}{
		{"the texts of another column", 40, 16, "column b: its bytes are those of other columns"},
		{"kinds and slots", 0, 1, "column b: its bytes are those of other columns"},
		{"outside", 40, 17, "column b: its bytes lie outside of the row image"},
		{"far outside", math.MaxUint32, math.MaxUint32, "column b: its bytes lie outside of the row image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			le.PutUint32(img[16+8:], tt.at)
			le.PutUint32(img[16+12:], tt.size)
			b, err := cdc.Open(reseal(frame), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestEqualTablesOfManyFramesAreOnePointer(t *testing.T) {
	var w cdc.Builder
	var tables cdc.Tables
	a := open(t, golden[0].spec.build(&w), &tables)
	same := *everything // another table for the builder, the same bytes in the frame
	spec := golden[0].spec
	spec.Tables = []*cdc.Table{&same}
	b := open(t, spec.build(&w), &tables)
	if a.Event(0).Table() != b.Event(0).Table() {
		t.Error("the same definition gave two tables")
	}
	other := *everything
	other.Columns = append([]cdc.Column{}, other.Columns...)
	other.Columns[3].Type = "int"
	spec.Tables = []*cdc.Table{&other}
	if c := open(t, spec.build(&w), &tables); c.Event(0).Table() == a.Event(0).Table() {
		t.Error("another definition gave the same table")
	}
	frame := golden[0].spec.build(&w)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := cdc.Open(frame, &tables); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("opening a frame of known tables allocates %v times, want 2: the batch and its list of tables", n)
	}
}

func TestKnownTablesAreBounded(t *testing.T) {
	var tables cdc.Tables
	var w cdc.Builder
	name := strings.Repeat("x", 1<<20)
	first := open(t, wide(&w, 0, name), &tables).Event(0).Table()
	for i := range 70 {
		open(t, wide(&w, i, name), &tables)
	}
	if got := open(t, wide(&w, 0, name), &tables).Event(0).Table(); got == first {
		t.Error("70 MiB of table definitions were kept")
	}
}

func wide(w *cdc.Builder, n int, sqlType string) []byte {
	spec := oneColumn(cdc.KindInt64, cdc.Int64Value(1))
	spec.Tables[0].Columns[0].Type = fmt.Sprintf("%s %d", sqlType, n)
	return spec.build(w)
}

func TestAReplacedValueLeavesNothingInTheFrame(t *testing.T) {
	table := &cdc.Table{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "a", Kind: cdc.KindString}, {Name: "b", Kind: cdc.KindString}}}
	for _, test := range []struct {
		name      string
		old, want cdc.Value
		with      func(cdc.Value) (cdc.Value, error)
	}{
		{"by something longer", text(cdc.KindString, "secret"), text(cdc.KindString, "<6 bytes of it>"),
			func(v cdc.Value) (cdc.Value, error) {
				return text(cdc.KindString, fmt.Sprintf("<%d bytes of it>", len(v.Text()))), nil
			}},
		{"by something shorter", text(cdc.KindString, "secret"), text(cdc.KindString, "-"),
			func(cdc.Value) (cdc.Value, error) { return text(cdc.KindString, "-"), nil }},
		{"by a part of itself", text(cdc.KindString, "secret 42"), text(cdc.KindString, "42"),
			func(v cdc.Value) (cdc.Value, error) { return text(cdc.KindString, v.Text()[7:]), nil }},
		{"a number by text", cdc.Int64Value(7), text(cdc.KindString, "7"),
			func(v cdc.Value) (cdc.Value, error) { return text(cdc.KindString, fmt.Sprint(v.Int64())), nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b cdc.Builder
			b.Reset(cdc.Header{})
			info := cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(table), Op: cdc.OpInsert}
			b.BeginRow(2)
			b.SetText(1, cdc.KindString, "kept")
			b.Set(0, test.old)
			if err := b.Replace(0, func(v cdc.Value) (cdc.Value, error) {
				if v != test.old {
					t.Errorf("it gets %v, not %v", v, test.old)
				}
				return test.with(v)
			}); err != nil {
				t.Fatal(err)
			}
			info.After = b.EndRow()
			b.AddEvent(info)
			batch, err := cdc.Open(b.Seal(cdc.Checkpoint{NextNo: 1, PartNos: []uint64{1}}), nil)
			if err != nil {
				t.Fatal(err)
			}
			after := batch.Event(0).After()
			if after.Value(0) != test.want || after.Value(1) != text(cdc.KindString, "kept") {
				t.Errorf("got %v and %v, want %v", after.Value(0), after.Value(1), test.want)
			}
			if bytes.Contains(batch.Frame(), []byte("secret")) {
				t.Error("the old value is still there")
			}
		})
	}
}

func TestAnEventIsAViewIntoItsBatch(t *testing.T) {
	frame := golden[0].spec.build(new(cdc.Builder))
	b := open(t, frame, nil)
	e := b.Event(2)
	if e.Batch() != b || e.Index() != 2 || &b.Frame()[0] != &frame[0] {
		t.Errorf("event %d of %p, want 2 of %p", e.Index(), e.Batch(), b)
	}
	before := e.Before()
	if before.Table() != e.Table() || before.Len() != len(everything.Columns) {
		t.Errorf("%d columns of %v", before.Len(), before.Table())
	}
	for _, tt := range []struct {
		column string
		want   cdc.Value
		has    bool
	}{{"region", text(cdc.KindString, "us"), true}, {"flag", cdc.Value{}, true}, {"n", cdc.NullValue(), true}, {"REGION", cdc.Value{}, false}} {
		if got, has := before.Get(tt.column); got != tt.want || has != tt.has {
			t.Errorf("Get(%q) = %v, %v, want %v, %v", tt.column, got, has, tt.want, tt.has)
		}
	}
	if n, _ := before.Get("n"); !n.IsNull() || n.IsAbsent() {
		t.Errorf("%v is not NULL", n)
	}
	// An image that is not there has no columns, and a column out of range is absent.
	none := b.Event(0).Before()
	if v, has := none.Get("id"); none.Exists() || none.Len() != 0 || !none.Value(0).IsAbsent() || has || !v.IsAbsent() {
		t.Errorf("no image has %d columns", none.Len())
	}
	for _, i := range []int{-1, len(everything.Columns)} {
		if !before.Value(i).IsAbsent() || before.Kind(i) != cdc.KindAbsent {
			t.Errorf("column %d is %v", i, before.Value(i))
		}
	}
}
