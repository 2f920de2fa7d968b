package rowimage

import (
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func selectable(t *testing.T, types ...string) *Layout {
	t.Helper()
	var columns []Column
	for i, sqlType := range types {
		c := Column{}
		if c.Column, c.Known = cdc.ParseType(sqlType); !c.Known {
			t.Fatalf("%s is not a type", sqlType)
		}
		c.Name = string(rune('a' + i))
		if c.Kind == cdc.KindString || c.Kind == cdc.KindEnum || c.Kind == cdc.KindSet {
			c.Charset, c.Collation = "utf8mb4", 255
		}
		columns = append(columns, c)
	}
	l, err := New("shop", "t", columns, "mysql")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSelectedValues(t *testing.T) {
	for _, test := range []struct{ sql, value, want string }{
		{"int", "\xff\xff\xff\xff", `{"a":-1}`},
		{"mediumint unsigned", "\xff\xff\xff\x00", `{"a":16777215}`},
		{"mediumint", "\x00\x00\x80\xff", `{"a":-8388608}`},
		{"year", "\x6d\x07", `{"a":1901}`},
		{"decimal(10,2) unsigned zerofill", "\x0b00000012.50", `{"a":"12.50"}`},
		{"decimal(5,0) zerofill", "\x0500000", `{"a":"0"}`},
		{"decimal(10,2)", "\x05-0.01", `{"a":"-0.01"}`},
		{"bit(12)", "\x02\x0a\xaa", `{"a":2730}`},
		{"date", "\x04\xea\x07\x0b\x15", `{"a":"2026-11-21"}`},
		{"date", "\x00", `{"a":"0000-00-00"}`},
		{"datetime(3)", "\x0b\xea\x07\x0b\x15\x01\x02\x03\x48\xe8\x01\x00", `{"a":"2026-11-21T01:02:03.125"}`},
		{"datetime", "\x07\xea\x07\x0b\x15\x01\x02\x03", `{"a":"2026-11-21T01:02:03"}`},
		{"timestamp", "\x00", `{"a":"0000-00-00T00:00:00"}`},
		{"time", "\x08\x01\x22\x00\x00\x00\x16\x3b\x3b", `{"a":"-838:59:59"}`},
		{"time(6)", "\x00", `{"a":"00:00:00.000000"}`},
		{"enum('x','y')", "\x01y", `{"a":"y"}`},
		{"enum('x','?')", "\x04😀", `{"a":"😀"}`},
		{"set('x','y','z')", "\x03x,z", `{"a":["x","z"]}`},
		{"set('x','y','z')", "\x00", `{"a":[]}`},
		{"json", "\x0f{\"a b\": [1, 2]}", `{"a":{"a b":[1,2]}}`},
		{"json", "\x0b[\"\\\" ,\", 1]", `{"a":["\" ,",1]}`},
		{"json", "\x00", `{"a":null}`},
		{"varchar(9)", "\xfc\x02\x00ab", `{"a":"ab"}`},
		{"blob", "\xfd\x02\x00\x00ab", `{"a":"YWI="}`},
		{"blob", "\xfe\x02\x00\x00\x00\x00\x00\x00\x00ab", `{"a":"YWI="}`},

		{"int", "\xff\xff\xff", "CDCD-1340: shop.t: column a: the row ends within its value"},
		{"int", "\xff\xff\xff\xff\xff", "CDCD-1340: shop.t: the server sent a row with 1 bytes too many"},
		{"blob", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "CDCD-1340: shop.t: column a: the row ends within its value"},
		{"blob", "\xfb", "CDCD-1340: shop.t: column a: the row ends within its value"},
		{"bit(64)", "\x09123456789", "CDCD-1340: shop.t: column a: the server sent 313233343536373839, which is not a bit"},
		{"date", "\x04\xea\x07\x0d\x15", "CDCD-1340: shop.t: column a: the server sent ea070d15, which is not a date"},
		{"time", "\x01\x00", "CDCD-1340: shop.t: column a: the server sent 00, which is not a time"},
		{"timestamp", "\x04\xb1\x07\x01\x01", "CDCD-1340: shop.t: column a: the server sent b1070101, which is not a timestamp"},
		{"enum('x','y')", "\x01z", `CDCD-1340: shop.t: column a: "z" is not a member`},
		{"set('x','y')", "\x03x,z", `CDCD-1340: shop.t: column a: "z" is not a member`},
	} {
		l := selectable(t, test.sql)
		var b cdc.Builder
		b.Reset(cdc.Header{})
		size := b.Size()
		image, err := l.AppendResult(&b, []byte("\x00\x00"+test.value))
		got := ""
		if err != nil {
			if got = err.Error(); b.Size() != size {
				t.Errorf("%s: the frame has the beginning of a row", test.sql)
			}
		} else {
			b.AddEvent(cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(l.Table()), Op: cdc.OpSnapshot, After: image})
			batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
			if err == nil {
				err = batch.Verify()
			}
			if err != nil {
				t.Fatalf("%s: %v", test.sql, err)
			}
			got = string(cdc.AppendRow(nil, batch.Event(0).After()))
		}
		if got != test.want {
			t.Errorf("%s: %q is\n     %s, want\n     %s", test.sql, test.value, got, test.want)
		}
	}
}

func TestWhatIsSelected(t *testing.T) {
	l := selectable(t, "int", "varchar(5)")
	l.Table().Columns[1].Name = "a`b"
	if got := l.SelectList(); got != "`a`, `a``b`" {
		t.Errorf("selected is %s", got)
	}
	var b cdc.Builder
	b.Reset(cdc.Header{})
	for _, packet := range []string{"", "\x00", "\xff\x00\x00"} {
		if _, err := l.AppendResult(&b, []byte(packet)); err == nil || !strings.Contains(err.Error(), "no row") {
			t.Errorf("%q: %v", packet, err)
		}
	}
}

// upper is a mask for tests.
type upper struct{}

func (upper) Column(c cdc.Column) cdc.Column {
	c.Type, c.Kind, c.Members = "varchar(9)", cdc.KindString, nil
	return c
}

func (upper) Value(place string, _ *cdc.Column, v cdc.Value) (cdc.Value, error) {
	return cdc.TextValue(cdc.KindString, place+" "+strings.ToUpper(v.Text())), nil
}

func TestSelectedColumnsAreDroppedAndMasked(t *testing.T) {
	l, err := selectable(t, "int", "varchar(9)", "enum('x','y')", "int").Treat(func(column string) Treatment {
		switch column {
		case "b":
			return Treatment{Drop: true}
		case "c":
			return Treatment{Mask: upper{}}
		}
		return Treatment{}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.SelectList(); got != "`a`, `c`, `d`" {
		t.Errorf("selected is %s", got)
	}
	for packet, want := range map[string]string{
		"\x00\x00\x01\x00\x00\x00\x01y\x02\x00\x00\x00": `{"a":1,"c":"shop.t.c Y","d":2}`,
		"\x00\x0c\x02\x00\x00\x00":                      `{"a":null,"c":null,"d":2}`,
		"\x00\x00\x01\x00\x00\x00\x01z\x02\x00\x00\x00": "CDCD-1340: shop.t: column c: a value cannot be read or masked",
	} {
		var b cdc.Builder
		b.Reset(cdc.Header{})
		image, err := l.AppendResult(&b, []byte(packet))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			b.AddEvent(cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(l.Table()), Op: cdc.OpSnapshot, After: image})
			batch, err := cdc.Open(b.Seal(cdc.Checkpoint{}), nil)
			if err != nil {
				t.Fatal(err)
			}
			got = string(cdc.AppendRow(nil, batch.Event(0).After()))
		}
		if got != want {
			t.Errorf("%q is\n     %s, want\n     %s", packet, got, want)
		}
	}
}
