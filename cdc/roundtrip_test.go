package cdc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cdcd-project/cdcd/cdc"
)

func genTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		us := rapid.Int64Range(-1, 253402300799_999_999).Draw(t, "µs")
		if us == 0 {
			return time.Time{} // zero means no time
		}
		return time.UnixMicro(us).UTC()
	})
}

func genText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(100, 300, 900))
}

func genValue(kind cdc.Kind) *rapid.Generator[cdc.Value] {
	return rapid.Custom(func(t *rapid.T) cdc.Value {
		switch rapid.IntRange(0, 9).Draw(t, "present") {
		case 0:
			return cdc.Value{}
		case 1:
			return cdc.NullValue()
		}
		civil := func(k cdc.Kind) cdc.Value {
			c := cdc.Civil{Year: rapid.IntRange(0, 9999).Draw(t, "year"), Month: rapid.IntRange(0, 12).Draw(t, "month"),
				Day: rapid.IntRange(0, 31).Draw(t, "day")}
			if k == cdc.KindDatetime {
				c.Hour, c.Minute, c.Second = rapid.IntRange(0, 23).Draw(t, "h"), rapid.IntRange(0, 59).Draw(t, "m"), rapid.IntRange(0, 59).Draw(t, "s")
				c.Micro = rapid.IntRange(0, 999_999).Draw(t, "µs")
			}
			return cdc.CivilValue(k, c)
		}
		switch kind {
		case cdc.KindBool:
			return cdc.BoolValue(rapid.Bool().Draw(t, "bool"))
		case cdc.KindInt64:
			return cdc.Int64Value(rapid.Int64().Draw(t, "int64"))
		case cdc.KindUint64:
			return cdc.Uint64Value(rapid.Uint64().Draw(t, "uint64"))
		case cdc.KindFloat64:
			return cdc.Float64Value(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Inf(1), math.NaN(), math.Copysign(0, -1)})).Draw(t, "float64"))
		case cdc.KindDecimal:
			return cdc.TextValue(kind, rapid.StringMatching(`-?[0-9]{1,65}(\.[0-9]{1,30})?`).Draw(t, "decimal"))
		case cdc.KindDate, cdc.KindDatetime:
			return civil(kind)
		case cdc.KindTime:
			return cdc.TimeValue(rapid.Int64Range(-3020399_999999, 3020399_999999).Draw(t, "time"))
		case cdc.KindTimestamp:
			return cdc.TimestampValue(rapid.Int64Range(0, 253402300799_999_999).Draw(t, "timestamp"))
		case cdc.KindJSON:
			b, _ := json.Marshal(rapid.MapOf(rapid.String(), rapid.Float64()).Draw(t, "json"))
			return cdc.TextValue(kind, string(b))
		case cdc.KindBit:
			return cdc.BitValue(rapid.Uint64().Draw(t, "bit"))
		case cdc.KindGeometry:
			return cdc.TextValue(kind, string(rapid.SliceOfN(rapid.Byte(), 4, 60).Draw(t, "geometry")))
		case cdc.KindVector:
			return cdc.TextValue(kind, vector(rapid.SliceOf(rapid.Float32()).Draw(t, "vector")...).Text())
		case cdc.KindBytes:
			return cdc.TextValue(kind, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
		}
		return cdc.TextValue(kind, genText().Draw(t, "text"))
	})
}

func genTable(n int) *rapid.Generator[*cdc.Table] {
	return rapid.Custom(func(t *rapid.T) *cdc.Table {
		table := &cdc.Table{Schema: rapid.String().Draw(t, "schema"), Name: fmt.Sprint(rapid.String().Draw(t, "name"), n)}
		columns := rapid.IntRange(0, 20).Draw(t, "columns")
		table.Columns = make([]cdc.Column, columns)
		for i := range table.Columns {
			table.Columns[i] = cdc.Column{
				Name:      rapid.String().Draw(t, "column"),
				Type:      rapid.String().Draw(t, "type"),
				Kind:      cdc.Kind(rapid.IntRange(int(cdc.KindBool), int(cdc.KindVector)).Draw(t, "kind")),
				Nullable:  rapid.Bool().Draw(t, "nullable"),
				Unsigned:  rapid.Bool().Draw(t, "unsigned"),
				Float32:   rapid.Bool().Draw(t, "float32"),
				Fsp:       rapid.Byte().Draw(t, "fsp"),
				Precision: rapid.Byte().Draw(t, "precision"),
				Scale:     rapid.Byte().Draw(t, "scale"),
				Key:       uint16(rapid.IntRange(0, columns).Draw(t, "key")),
				Collation: rapid.Uint16().Draw(t, "collation"),
			}
			if members := rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "members"); len(members) > 0 {
				table.Columns[i].Members = members
			}
		}
		return table
	})
}

// genFrame makes frames of which every transaction and table has an event, in the order of the events, so that reading
// finds all of them. Events of several tables are mixed.
func genFrame() *rapid.Generator[*frameSpec] {
	return rapid.Custom(func(t *rapid.T) *frameSpec {
		s := &frameSpec{
			Header: cdc.Header{
				Source: rapid.String().Draw(t, "source"), Writer: rapid.String().Draw(t, "writer"), Epoch: rapid.Uint64().Draw(t, "epoch"),
				Partition: rapid.Uint16().Draw(t, "partition"), Partitions: rapid.Uint16Min(1).Draw(t, "partitions"),
				FirstPartNo: rapid.Uint64().Draw(t, "first part no"), Created: genTime().Draw(t, "created"),
			},
			Checkpoint: cdc.Checkpoint{
				Flavor: rapid.SampledFrom([]string{"mysql", "mariadb"}).Draw(t, "flavor"), Server: rapid.String().Draw(t, "server"),
				GTIDSet: rapid.StringN(0, 100, 5000).Draw(t, "gtid set"), File: rapid.String().Draw(t, "file"), Pos: rapid.Uint64().Draw(t, "pos"),
				TxGTID: rapid.String().Draw(t, "tx gtid"), TxRows: rapid.Uint32().Draw(t, "tx rows"), NextNo: rapid.Uint64().Draw(t, "next no"),
				Commit: genTime().Draw(t, "commit"), Snapshot: rapid.StringN(0, 100, 5000).Draw(t, "snapshot"),
				Prepared: rapid.StringN(0, 100, 5000).Draw(t, "prepared"),
			},
		}
		if nos := rapid.SliceOfN(rapid.Uint64(), 0, 20).Draw(t, "part nos"); len(nos) > 0 {
			s.Checkpoint.PartNos = nos
		}
		for n := range rapid.IntRange(0, 20).Draw(t, "events") {
			if n == 0 || rapid.IntRange(0, 3).Draw(t, "new tx") == 0 {
				s.Txs = append(s.Txs, cdc.Tx{
					Server: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "tx server"), GTID: fmt.Sprint("g", n),
					File: rapid.SampledFrom([]string{"", "f1", "f2"}).Draw(t, "tx file"), Pos: rapid.Uint64().Draw(t, "tx pos"),
					CommitTime: genTime().Draw(t, "tx commit"), Rows: rapid.Uint32().Draw(t, "tx rows"), Ends: rapid.Bool().Draw(t, "tx ends"),
				})
			}
			table := len(s.Tables)
			if n == 0 || rapid.IntRange(0, 3).Draw(t, "new table") == 0 {
				s.Tables = append(s.Tables, genTable(n).Draw(t, "table"))
			} else {
				table = rapid.IntRange(0, table-1).Draw(t, "which table")
			}
			e := eventSpec{No: rapid.Uint64().Draw(t, "no"), Tx: len(s.Txs) - 1, Row: rapid.Uint32().Draw(t, "row"), Table: table, Incomplete: rapid.Bool().Draw(t, "incomplete"),
				Op: cdc.Op(rapid.IntRange(1, 4).Draw(t, "op"))}
			row := func() []cdc.Value {
				values := []cdc.Value{}
				for _, c := range s.Tables[table].Columns {
					values = append(values, genValue(c.Kind).Draw(t, "value"))
				}
				return values
			}
			if e.Op == cdc.OpUpdate || e.Op == cdc.OpDelete {
				e.Before = row()
			}
			if e.Op != cdc.OpDelete {
				e.After = row()
			}
			s.Events = append(s.Events, e)
		}
		s.Header.Heartbeat = len(s.Events) == 0
		return s
	})
}

// equal compares frames; NaN is equal to itself, as its bits are.
func equal(t *rapid.T, got, want *frameSpec) {
	t.Helper()
	strip := func(s *frameSpec) []cdc.Table { // what was made when they were read
		var out []cdc.Table
		for _, t := range s.Tables {
			out = append(out, cdc.Table{Schema: t.Schema, Name: t.Name, Columns: t.Columns})
		}
		return out
	}
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"header", got.Header, want.Header}, {"checkpoint", got.Checkpoint, want.Checkpoint}, {"transactions", got.Txs, want.Txs},
		{"tables", strip(got), strip(want)}, {"events", got.Events, want.Events},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", part.name, part.got, part.want)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var w cdc.Builder // one for all: nothing may be left over from the frame before
	var tables cdc.Tables
	rapid.Check(t, func(t *rapid.T) {
		want := genFrame().Draw(t, "frame")
		frame := want.build(&w)
		if len(frame)%8 != 0 {
			t.Fatalf("%d bytes are not a multiple of 8", len(frame))
		}
		for _, known := range []*cdc.Tables{nil, &tables} {
			b, err := cdc.Open(frame, known)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(); err != nil {
				t.Fatal(err)
			}
			equal(t, read(b), want)
			for i := range b.Len() {
				if line := cdc.AppendEvent(nil, b.Event(i)); !json.Valid(line) || bytes.IndexByte(line, '\n') >= 0 {
					t.Fatalf("not one line of JSON: %s", line)
				}
			}
		}
		if again := want.build(new(cdc.Builder)); !bytes.Equal(frame, again) {
			t.Fatalf("a used builder wrote\n%q\na new one\n%q", frame, again)
		}
	})
}

// TestRowsAreCopiedWhole copies all rows of a frame into another, as a partitioner does.
func TestRowsAreCopiedWhole(t *testing.T) {
	var w, c cdc.Builder
	rapid.Check(t, func(t *rapid.T) {
		want := genFrame().Draw(t, "frame")
		b, err := cdc.Open(want.build(&w), nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Reset(b.Header())
		for _, tx := range want.Txs {
			c.AddTx(tx)
		}
		for i := range b.Len() {
			e := b.Event(i)
			c.AddEvent(cdc.EventInfo{No: e.No(), Tx: want.Events[i].Tx, Row: e.Position().Row, Table: c.AddTable(e.Table()), Op: e.Op(), Incomplete: e.Incomplete(),
				Before: c.CopyRow(e.Before()), After: c.CopyRow(e.After())})
		}
		b, err = cdc.Open(c.Seal(b.Checkpoint()), nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, read(b), want)
		for i := range b.Len() {
			e, row := b.Event(i), want.Events[i].After
			for j := range row {
				if e.Before().Exists() && e.Before().Equal(e.After(), j) != want.Events[i].Before[j].Equal(row[j]) {
					t.Fatalf("event %d, column %d: before %v, after %v", i, j, want.Events[i].Before[j], row[j])
				}
			}
		}
	})
}

func TestSealedFramesAreNeverWrittenToAgain(t *testing.T) {
	var w cdc.Builder
	var frames, copies [][]byte
	for range 20 {
		for _, g := range golden {
			f := g.spec.build(&w)
			frames, copies = append(frames, f), append(copies, bytes.Clone(f))
		}
	}
	for i := range frames {
		if !bytes.Equal(frames[i], copies[i]) {
			t.Fatalf("frame %d was changed by a later one", i)
		}
	}
}

func TestABuilderTakesBackARow(t *testing.T) {
	spec := golden[0].spec
	want := spec.build(new(cdc.Builder))
	var w cdc.Builder
	w.Reset(spec.Header)
	w.AddTx(cdc.Tx{})
	w.UpdateTx(0, func(tx *cdc.Tx) { *tx = spec.Txs[0] })
	table := w.AddTable(everything)
	row := func(values []cdc.Value) uint32 {
		if values == nil {
			return 0
		}
		w.BeginRow(len(values))
		for i := range values { // dirt that the next row must not see
			w.SetText(i, cdc.KindString, "not this")
		}
		w.DropRow()
		w.BeginRow(len(values))
		first := w.EndRow()
		w.BeginRow(len(values))
		w.EndRow()
		w.DropRows(first)
		w.BeginRow(len(values))
		for i, v := range values {
			switch v.Kind() {
			case cdc.KindNull:
				w.SetNull(i)
			case cdc.KindInt64:
				w.SetInt(i, v.Int64())
			case cdc.KindUint64:
				w.SetUint(i, v.Uint64())
			case cdc.KindFloat64:
				w.SetFloat(i, v.Float64())
			case cdc.KindDate, cdc.KindDatetime:
				w.SetCivil(i, v.Kind(), v.Civil())
			case cdc.KindTime, cdc.KindTimestamp:
				w.SetNum(i, v.Kind(), uint64(v.Int64()))
			case cdc.KindString:
				w.SetText(i, v.Kind(), v.Text())
			case cdc.KindBytes:
				w.SetBytes(i, v.Kind(), []byte(v.Text()))
			case cdc.KindEnum:
				_ = append(w.BeginText(), "not ended, so not there"...)
				w.EndText(i, v.Kind(), append(w.BeginText(), v.Text()...))
			case cdc.KindAbsent:
			default:
				w.Set(i, v)
			}
		}
		return w.EndRow()
	}
	for _, e := range spec.Events {
		w.AddEvent(cdc.EventInfo{No: e.No, Tx: e.Tx, Row: e.Row, Table: table, Op: e.Op, Before: row(e.Before), After: row(e.After)})
	}
	size := w.Size()
	if got := w.Seal(spec.Checkpoint); !bytes.Equal(got, want) || len(got) < size || len(got) > size+300 { // the texts are short here
		t.Errorf("Size said %d of %d bytes\ngot  %q\nwant %q", size, len(got), got, want)
	}
	if w.Reset(cdc.Header{}); w.Len() != 0 {
		t.Errorf("%d events after Reset", w.Len())
	}
}
