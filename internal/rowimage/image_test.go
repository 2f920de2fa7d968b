package rowimage

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// oneColumn returns the layout of a table of one column, and its error.
func oneColumn(tp byte, meta uint16, collation uint64, unsigned bool, members ...string) (*Layout, error) {
	return Read(mapOf("s", "t", logged{name: "c", tp: tp, meta: meta, nullable: true, unsigned: unsigned, collation: collation, members: members}))
}

// mapOf is a TABLE_MAP of the columns, whose types are those in the log.
func mapOf(schema, table string, columns ...logged) *TableMap {
	for i := range columns {
		columns[i].tp, columns[i].size = realType(columns[i].tp, columns[i].meta)
	}
	return &TableMap{Schema: schema, Table: table, columns: columns, named: true, signs: true}
}

func hexBytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValuesOfTheLogBecomeValuesOfFrames(t *testing.T) {
	const utf8mb4, latin1, sjis, binary = 45, 8, 13, 63
	for _, tt := range []struct {
		name      string
		tp        byte
		meta      uint16
		collation uint64
		unsigned  bool
		members   []string
		value     string // hex
		want      string // kind, then the value as text, or "refused"
	}{
		{"tinyint", gomysql.MYSQL_TYPE_TINY, 0, 0, false, nil, "80", "int64 -128"},
		{"mediumint", gomysql.MYSQL_TYPE_INT24, 0, 0, false, nil, "ff ff ff", "int64 -1"},
		{"mediumint unsigned", gomysql.MYSQL_TYPE_INT24, 0, 0, true, nil, "ff ff ff", "uint64 16777215"},
		{"bigint unsigned", gomysql.MYSQL_TYPE_LONGLONG, 0, 0, true, nil, "ff ff ff ff ff ff ff ff", "uint64 18446744073709551615"},
		{"year 0", gomysql.MYSQL_TYPE_YEAR, 0, 0, false, nil, "00", "int64 0"},
		{"year", gomysql.MYSQL_TYPE_YEAR, 0, 0, false, nil, "7e", "int64 2026"},
		{"bit(9)", gomysql.MYSQL_TYPE_BIT, 1<<8 | 1, 0, false, nil, "01 02", "bit 258"},
		{"decimal", gomysql.MYSQL_TYPE_NEWDECIMAL, 14<<8 | 4, 0, false, nil, "81 0d fb 38 d2 04 d2", "decimal 1234567890.1234"},
		{"negative decimal", gomysql.MYSQL_TYPE_NEWDECIMAL, 14<<8 | 4, 0, false, nil, "7e f2 04 c7 2d fb 2d", "decimal -1234567890.1234"},
		{"decimal below one", gomysql.MYSQL_TYPE_NEWDECIMAL, 4<<8 | 4, 0, false, nil, "80 05", "decimal 0.0005"},
		{"decimal with a digit too large", gomysql.MYSQL_TYPE_NEWDECIMAL, 3<<8 | 2, 0, false, nil, "89 64", "refused"},
		{"zero date", gomysql.MYSQL_TYPE_DATE, 0, 0, false, nil, "00 00 00", `date "0000-00-00"`},
		{"month 13", gomysql.MYSQL_TYPE_DATE, 0, 0, false, nil, "a1 d5 0f", "refused"},
		{"time", gomysql.MYSQL_TYPE_TIME2, 0, 0, false, nil, "7f ff ff", `time "-00:00:01"`},
		{"time just below zero", gomysql.MYSQL_TYPE_TIME2, 2, 0, false, nil, "7f ff ff ff", `time "-00:00:00.01"`},
		{"longest negative time", gomysql.MYSQL_TYPE_TIME2, 6, 0, false, nil, "4b 91 05 00 00 00", `time "-838:59:59.000000"`},
		{"minute 60", gomysql.MYSQL_TYPE_TIME2, 0, 0, false, nil, "80 0f 00", "refused"},
		{"datetime", gomysql.MYSQL_TYPE_DATETIME2, 3, 0, false, nil, "99 b9 6a 30 c5 03 e8", `datetime "2026-03-21T03:03:05.100"`},
		{"fraction of too many digits", gomysql.MYSQL_TYPE_DATETIME2, 3, 0, false, nil, "99 b9 6a 30 c5 03 e9", "refused"},
		{"timestamp", gomysql.MYSQL_TYPE_TIMESTAMP2, 0, 0, false, nil, "00 00 00 01", `timestamp "1970-01-01T00:00:01Z"`},
		{"varchar of latin1", gomysql.MYSQL_TYPE_VARCHAR, 20, latin1, false, nil, "03 80 e9 41", `string "€éA"`},
		{"varchar of sjis", gomysql.MYSQL_TYPE_VARCHAR, 300, sjis, false, nil, "0200 83 65", `string "テ"`},
		{"binary is padded", gomysql.MYSQL_TYPE_STRING, 0xfe<<8 | 4, binary, false, nil, "02 01 02", `bytes "AQIAAA=="`},
		{"enum", gomysql.MYSQL_TYPE_STRING, 0xf7<<8 | 1, 0, false, []string{"a", "b"}, "02", `enum "b"`},
		{"enum's error value", gomysql.MYSQL_TYPE_STRING, 0xf7<<8 | 1, 0, false, []string{"a", "b"}, "00", `enum ""`},
		{"enum without such a member", gomysql.MYSQL_TYPE_STRING, 0xf7<<8 | 1, 0, false, []string{"a", "b"}, "03", "refused"},
		{"set", gomysql.MYSQL_TYPE_STRING, 0xf8<<8 | 1, 0, false, []string{"a", "", "c"}, "07", `set ["a","","c"]`},
		{"set without such a member", gomysql.MYSQL_TYPE_STRING, 0xf8<<8 | 1, 0, false, []string{"a", "b"}, "04", "refused"},
		{"json", gomysql.MYSQL_TYPE_JSON, 4, 0, false, nil, "03000000 05 2a00", "json 42"},
		{"a length beyond the end", gomysql.MYSQL_TYPE_BLOB, 4, binary, false, nil, "ffffffff 00", "refused"},
		{"a length cut off", gomysql.MYSQL_TYPE_BLOB, 3, binary, false, nil, "0100", "refused"},
	} {
		l, err := oneColumn(tt.tp, tt.meta, tt.collation, tt.unsigned, tt.members...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := "refused"
		if b, err := frameOf(l, append([]byte{0}, hexBytes(t, tt.value)...)); err == nil {
			v := b.Event(0).After().Value(0)
			got = fmt.Sprintf("%s %s", v.Kind(), cdc.AppendJSON(nil, &l.Table().Columns[0], v))
			got = strings.ReplaceAll(got, `"18446744073709551615"`, "18446744073709551615")
		}
		if unquoted := strings.ReplaceAll(got, `"`, ""); got != tt.want && unquoted != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// frameOf returns a frame with the rows of an insert.
func frameOf(l *Layout, images []byte) (*cdc.Batch, error) {
	var frame cdc.Builder
	frame.Reset(cdc.Header{Source: "test", FirstPartNo: 1})
	frame.AddTx(cdc.Tx{})
	frame.AddTable(l.Table())
	present := make([]byte, (l.Columns()+7)/8)
	for i := range l.Columns() {
		present[i/8] |= 1 << (i % 8)
	}
	e := Event{Layout: l, After: present}
	for len(images) > 0 {
		info := cdc.EventInfo{Op: cdc.OpInsert}
		var err error
		if info.Before, info.After, images, err = e.Append(&frame, images); err != nil {
			return nil, err
		}
		frame.AddEvent(info)
	}
	return cdc.Open(frame.Seal(cdc.Checkpoint{}), nil)
}

// There is no type that go-mysql can decode and the transcoder cannot, so none for which it would have to fall back.
func TestEveryTypeIsTranscodedOrRefusedWithItsTable(t *testing.T) {
	accepted := 0
	for tp := range 256 {
		for at := range 16 * 16 {
			meta := []int{0, 1, 2, 4, 7, 8, 12, 65, 66, 100, 0xc8, 0xee, 0xf7, 0xf8, 0xfe, 0xff}[at/16]<<8 |
				[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 30, 64, 65, 66, 255}[at%16]
			l, err := oneColumn(byte(tp), uint16(meta), 45, false, "a")
			if err != nil {
				continue
			}
			accepted++
			c := &l.columns[0]
			if c.convert == 0 || c.kind == 0 || (c.fixed == 0) == (c.prefix == 0) {
				t.Fatalf("type %d, metadata %#x: %+v cannot be cut", tp, meta, c)
			}
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d types were accepted", accepted)
	}
}

func TestRowsTakeNoMemoryOfTheirOwn(t *testing.T) {
	l, err := Read(mapOf("s", "t", logged{name: "a", tp: gomysql.MYSQL_TYPE_LONG}, logged{name: "b", tp: gomysql.MYSQL_TYPE_NEWDECIMAL, meta: 12<<8 | 2},
		logged{name: "c", tp: gomysql.MYSQL_TYPE_TIME2, meta: 6}, logged{name: "d", tp: gomysql.MYSQL_TYPE_VARCHAR, meta: 40, collation: 8},
		logged{name: "e", tp: gomysql.MYSQL_TYPE_VARCHAR, meta: 40, collation: 13}, logged{name: "f", tp: gomysql.MYSQL_TYPE_JSON, meta: 4}))
	if err != nil {
		t.Fatal(err)
	}
	row := hexBytes(t, "00 01000000 8000000001 01 800000000001 02e941 028365 03000000052a00")
	var frame cdc.Builder
	frame.Reset(cdc.Header{Source: "test"})
	append1 := func() {
		at, rest, err := l.appendImage(&frame, row, []byte{0x3f}, nil)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%d bytes are left, error %v", len(rest), err)
		}
		frame.DropRows(at)
	}
	if n := testing.AllocsPerRun(100, append1); n > 0 {
		t.Errorf("%v allocations for each row", n)
	}
}
