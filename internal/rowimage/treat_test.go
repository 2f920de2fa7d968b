package rowimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// brackets is a mask that shows what it was given.
type brackets struct{ err error }

func (brackets) Column(c cdc.Column) cdc.Column {
	return cdc.Column{Name: c.Name, Type: "text", Kind: cdc.KindString, Nullable: c.Nullable, Key: c.Key}
}

func (m brackets) Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error) {
	return cdc.TextValue(cdc.KindString, fmt.Sprintf("<%s %s %s>", place, c.Type, cdc.AppendText(nil, c, v))), m.err
}

// customers is shop.customers (id int primary key, ssn varchar, email varchar, age tinyint, note varchar).
func customers(t *testing.T) *Layout {
	t.Helper()
	text := func(name string) logged {
		return logged{name: name, tp: gomysql.MYSQL_TYPE_VARCHAR, meta: 80, collation: 45, nullable: true}
	}
	l, err := Read(mapOf("shop", "customers", logged{name: "id", tp: gomysql.MYSQL_TYPE_LONG, key: 1}, text("ssn"), text("email"),
		logged{name: "age", tp: gomysql.MYSQL_TYPE_TINY, nullable: true}, text("note")))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func treat(l *Layout, drop string, mask map[string]Mask) (*Layout, error) {
	return l.Treat(func(column string) Treatment {
		return Treatment{Drop: strings.Contains(drop, column), Mask: mask[column]}
	})
}

// image is a row image of customers; what is nil is NULL.
func image(id int, ssn, email any, age any, note any) []byte {
	nulls, values := byte(0), binary.LittleEndian.AppendUint32(nil, uint32(id))
	for i, v := range []any{ssn, email, age, note} {
		switch v := v.(type) {
		case nil:
			nulls |= 1 << (i + 1)
		case string:
			values = append(append(values, byte(len(v))), v...)
		case int:
			values = append(values, byte(v))
		}
	}
	return append([]byte{nulls}, values...)
}

// written returns a row's JSON, its table's, and the frame.
func written(t *testing.T, l *Layout, write func(b *cdc.Builder) (uint32, error)) (row string, table *cdc.Table, frame []byte) {
	t.Helper()
	var b cdc.Builder
	b.Reset(cdc.Header{Source: "s", Writer: "w"})
	info := cdc.EventInfo{Tx: b.AddTx(cdc.Tx{}), Table: b.AddTable(l.Table()), Op: cdc.OpInsert}
	var err error
	if info.After, err = write(&b); err != nil {
		t.Fatal(err)
	}
	b.AddEvent(info)
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{NextNo: 1, PartNos: []uint64{1}}), &cdc.Tables{})
	if err != nil {
		t.Fatal(err)
	}
	after := batch.Event(0).After()
	return string(cdc.AppendRow(nil, after)), batch.Event(0).Table(), batch.Frame()
}

func TestColumnsAreDroppedAndMaskedOnEveryWayIntoAFrame(t *testing.T) {
	plain := customers(t)
	l, err := treat(plain, "ssn note", map[string]Mask{"email": brackets{}, "age": brackets{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name             string
		ssn, email, note any
		age              any
		want             string
	}{
		{"values", "123-45", "a@b.c", "secret", -7,
			`{"id":1,"email":"<shop.customers.email varchar(20) a@b.c>","age":"<shop.customers.age tinyint -7>"}`},
		{"NULL stays NULL", nil, nil, nil, nil, `{"id":1,"email":null,"age":null}`},
		{"empty text", "", "", "", 0, `{"id":1,"email":"<shop.customers.email varchar(20) >","age":"<shop.customers.age tinyint 0>"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw := image(1, test.ssn, test.email, test.age, test.note)
			row, table, frame := written(t, l, func(b *cdc.Builder) (uint32, error) {
				at, rest, err := l.appendImage(b, raw, []byte{0b11111}, nil)
				if len(rest) > 0 {
					t.Errorf("%d bytes are left", len(rest))
				}
				return at, err
			})
			if row != test.want {
				t.Errorf("got  %s\nwant %s", row, test.want)
			}
			decoded, _, _ := written(t, l, func(b *cdc.Builder) (uint32, error) {
				age := test.age
				if n, ok := age.(int); ok {
					age = int8(n)
				}
				return l.AppendDecoded(b, []any{int32(1), test.ssn, test.email, age, test.note}, nil)
			})
			if decoded != row {
				t.Errorf("decoded by go-mysql: %s", decoded)
			}
			if len(table.Columns) != 3 || table.Column("ssn") >= 0 || table.Columns[1].Type != "text" {
				t.Errorf("table %+v", table.Columns)
			}
			for _, secret := range []string{"123-45", "ssn", "note", "secret"} {
				if strings.Contains(string(frame), secret) {
					t.Errorf("%s is in the frame", secret)
				}
			}
		})
	}
	if plain.Table().Column("ssn") != 1 {
		t.Error("the layout that was treated has changed")
	}
}

func TestMinimalImagesOfTreatedTables(t *testing.T) {
	l, err := treat(customers(t), "ssn", map[string]Mask{"email": brackets{}})
	if err != nil {
		t.Fatal(err)
	}
	for present, want := range map[byte]string{
		0b00001: `{"id":1}`,
		0b00011: `{"id":1}`,
		0b00101: `{"id":1,"email":"<shop.customers.email varchar(20) x>"}`,
	} {
		raw := binary.LittleEndian.AppendUint32([]byte{0}, 1)
		if present != 1 {
			raw = append(raw, 1, 'x')
		}
		got, _, _ := written(t, l, func(b *cdc.Builder) (uint32, error) {
			at, _, err := l.appendImage(b, raw, []byte{present}, nil)
			return at, err
		})
		if got != want {
			t.Errorf("%05b: got %s, want %s", present, got, want)
		}
	}
}

func TestWhatLeavesNoUsableRowIsRefused(t *testing.T) {
	for drop, want := range map[string]string{
		"id":                    "CDCD-1212: drop_columns would take id from shop.customers, which is part of its primary key",
		"ssn email age note id": "CDCD-1212: drop_columns would take id from shop.customers, which is part of its primary key",
	} {
		if _, err := treat(customers(t), drop, nil); err == nil || err.Error() != want {
			t.Errorf("drop %s: %v, want %s", drop, err, want)
		}
	}
	keyless := &cdc.Table{Schema: "s", Name: "t", Columns: []cdc.Column{{Name: "a"}, {Name: "b"}}}
	drop := func(string) Treatment { return Treatment{Drop: true} }
	if _, _, err := Treat(keyless, drop); err == nil || err.Error() != "CDCD-1212: drop_columns would take every column of s.t" {
		t.Error(err)
	}
	if l, err := treat(customers(t), "", map[string]Mask{"id": brackets{}}); err != nil || l.Table().Columns[0].Key != 1 {
		t.Errorf("a masked key: %+v, %v", l.Table().Columns[0], err)
	}
}

func TestUntreatedLayoutsStayTheSame(t *testing.T) {
	l := customers(t)
	if out, err := treat(l, "", nil); out != l || err != nil {
		t.Errorf("another layout, %v", err)
	}
}

func TestErrorsDoNotShowWhatIsDroppedOrMasked(t *testing.T) {
	l, err := treat(customers(t), "ssn", map[string]Mask{"email": brackets{errors.New("no luck with x\xff")}})
	if err != nil {
		t.Fatal(err)
	}
	var b cdc.Builder
	b.Reset(cdc.Header{})
	const want = "column email: a value cannot be read or masked"
	_, _, err = l.appendImage(&b, image(1, "123-45", "x\xff", 3, "n"), []byte{0b11111}, nil)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = l.AppendDecoded(&b, []any{int32(1), "123-45", 3.5, int8(1), nil}, nil)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
