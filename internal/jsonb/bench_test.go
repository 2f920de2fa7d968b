package jsonb_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/cdcd-project/cdcd/internal/jsonb"
)

// order is a document of an ordinary size: 60 lines of an order.
func order() []byte {
	object := func(keys []string, values ...[]byte) []byte {
		head := 4 + 7*len(keys)
		var names, data []byte
		b := doc(0, len(keys), 0, 0, 0)
		for _, key := range keys {
			b = doc(b, (head+len(names))&255, (head+len(names))>>8, len(key), 0)
			names = append(names, key...)
		}
		for _, value := range values {
			if value[0] == 5 {
				b = append(b, value...)
				continue
			}
			at := head + len(names) + len(data)
			b = doc(b, int(value[0]), at&255, at>>8)
			data = append(data, value[1:]...)
		}
		b = append(append(b, names...), data...)
		binary.LittleEndian.PutUint16(b[3:], uint16(len(b)-1))
		return b
	}
	text := func(s string) []byte { return doc(12, len(s), s) }
	line := object([]string{"id", "qty", "sku", "name", "price", "weight"}, doc(9, uint64(1<<40)), doc(5, 3, 0), text("AB-1234-XY"),
		text("A cup of tea, large, with \"milk\" – übergroß"), doc(15, 246, 5, 5, 2, 0x80, 0x7b, 45), doc(11, 0.375))
	list := doc(2, 60, 0, 0, 0)
	for i := range 60 {
		at := 4 + 3*60 + i*(len(line)-1)
		list = doc(list, 0, at&255, at>>8)
	}
	list = append(list, bytes.Repeat(line[1:], 60)...)
	binary.LittleEndian.PutUint16(list[3:], uint16(len(list)-1))
	return object([]string{"note", "lines"}, text(strings.Repeat("n", 100)), list)
}

func BenchmarkAppendText(b *testing.B) {
	d := order()
	out, err := jsonb.AppendText(nil, d)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		out, _ = jsonb.AppendText(out[:0], d)
	}
}

func BenchmarkAppendPatched(b *testing.B) {
	d, diffs := order(), doc(difference(0, "$.lines[7].qty", doc(5, 9, 0)), difference(2, "$.lines[9]", nil))
	out, err := jsonb.AppendPatched(nil, d, diffs)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		out, _ = jsonb.AppendPatched(out[:0], d, diffs)
	}
}

// BenchmarkGoMySQL reads the same document as go-mysql does, as the one column of a row.
func BenchmarkGoMySQL(b *testing.B) {
	p := replication.NewBinlogParser()
	p.SetFlavor("mysql")
	p.SetRenderJSONAsMySQLText(true)
	event := func(typ replication.EventType, body []byte) []byte {
		e := make([]byte, replication.EventHeaderSize)
		e[4] = byte(typ)
		binary.LittleEndian.PutUint32(e[9:], uint32(len(e)+len(body)))
		return append(e, body...)
	}
	d := order()
	format := doc(4, 0, "8.0.0", make([]byte, 49), replication.EventHeaderSize, bytes.Repeat([]byte{8}, 40), make([]byte, 5))
	table := doc(1, 0, 0, 0, 0, 0, 0, 0, 1, "d", 0, 1, "t", 0, 1, 245, 1, 4, 1)
	for _, e := range [][]byte{event(replication.FORMAT_DESCRIPTION_EVENT, format), event(replication.TABLE_MAP_EVENT, table)} {
		if _, err := p.Parse(e); err != nil {
			b.Fatal(err)
		}
	}
	row := event(replication.WRITE_ROWS_EVENTv2, doc(1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0, uint32(len(d)), d))
	b.ReportAllocs()
	for b.Loop() {
		e, err := p.Parse(row)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(e.Event.(*replication.RowsEvent).Rows[0][0].(string))))
	}
}
