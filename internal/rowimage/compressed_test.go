package rowimage

import (
	"bytes"
	"compress/zlib"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

func TestCompressedImagesMustBeAsLongAsTheySay(t *testing.T) {
	images := bytes.Repeat([]byte("row "), 1000)
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(images); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	event := func(head ...byte) []byte { return append(head, packed.Bytes()...) }
	var f Inflater
	for _, tt := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"as MariaDB writes it", event(0x82, 0x0f, 0xa0), true},
		{"again", event(0x84, 0, 0, 0x0f, 0xa0), true},
		{"nothing", nil, false},
		{"no length", []byte{0x84, 0, 0}, false},
		{"another algorithm", event(0x92, 0x0f, 0xa0), false},
		{"too short a length", event(0x82, 0x0f, 0x9f), false},
		{"too long a length, by far", event(0x87, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), false},
		{"cut off", event(0x82, 0x0f, 0xa0)[:20], false},
		{"not compressed", []byte{0x81, 4, 'r', 'o', 'w', 's'}, false},
		{"after all that", event(0x82, 0x0f, 0xa0), true},
	} {
		got, err := f.Inflate(tt.data)
		if tt.ok != (err == nil) || tt.ok && !bytes.Equal(got, images) {
			t.Errorf("%s: %d bytes, error %v", tt.name, len(got), err)
		}
	}
}

// The values are what MariaDB 10.11 writes.
func TestValuesOfCompressedColumns(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value string // hex
		most  uint64
		want  string // or "refused"
	}{
		{"empty", "", 100, ""},
		{"too short to be compressed", "00 61 62", 100, "ab"},
		{"stored, and nothing in it", "00", 100, ""},
		{"without zlib's head", "89 64 4b 4c 4a a4 39 04 00", 400, strings.Repeat("ab", 50)},
		{"of two bytes of length", "8a 01 2c 4b 4c 4a 1c 85 44 42 00", 300, strings.Repeat("ab", 150)},
		{"with zlib's head", "82 07 d0 78 9c 4b 4c 4a 1c 85 a3 70 14 8e c2 51 38 0a 47 e1 10 87 00 a7 e7 f9 d7", 65535, strings.Repeat("ab", 1000)},
		{"wrong in zlib's checksum", "82 07 d0 78 9c 4b 4c 4a 1c 85 a3 70 14 8e c2 51 38 0a 47 e1 10 87 00 a7 e7 f9 d8", 65535, "refused"},
		{"longer than its column", "8a 01 2c 4b 4c 4a 1c 85 44 42 00", 299, "refused"},
		{"shorter than it says", "8a 01 2d 4b 4c 4a 1c 85 44 42 00", 400, "refused"},
		{"longer than it says", "8a 01 2b 4b 4c 4a 1c 85 44 42 00", 400, "refused"},
		{"cut short", "8a 01 2c 4b 4c 4a 1c 85", 300, "refused"},
		{"cut short in its length", "8a 01", 300, "refused"},
		{"far longer than it can be", "8f 7f ff ff ff ff ff ff 4b 4c 4a 04 00", 1<<32 - 1, "refused"},
		{"compressed in an unknown way", "99 64 4b 4c 4a a4 39 04 00", 400, "refused"},
	} {
		var f Inflater
		got, err := f.value(hexBytes(t, tt.value), tt.most)
		if err != nil {
			got = []byte("refused")
		}
		if string(got) != tt.want {
			t.Errorf("%s: got %.200q, %v, want %.200q", tt.name, got, err, tt.want)
		}
	}
}

func TestCompressedColumnsAreReadMaskedAndDropped(t *testing.T) {
	l, err := Read(mapOf("s", "t", logged{name: "id", tp: gomysql.MYSQL_TYPE_TINY}, logged{name: "v", tp: typeVarcharCompressed, meta: 401, collation: 45},
		logged{name: "w", tp: typeBlobCompressed, meta: 2, collation: 63}))
	if err != nil {
		t.Fatal(err)
	}
	image := hexBytes(t, "00 01 0900 8964 4b4c4aa4390400 0300 006162")
	text := strings.Repeat("ab", 50)
	for _, tt := range []struct {
		name, drop string
		mask       map[string]Mask
		want       []string
	}{
		{"as they are", "", nil, []string{"tinyint ", "varchar(100) " + text, "blob ab"}},
		{"dropped", "v", nil, []string{"tinyint ", "blob ab"}},
		{"masked", "w", map[string]Mask{"v": brackets{}}, []string{"tinyint ", "text <s.t.v varchar(100) " + text + ">"}},
	} {
		treated, err := treat(l, tt.drop, tt.mask)
		if err != nil {
			t.Fatal(err)
		}
		var frame cdc.Builder
		frame.Reset(cdc.Header{Source: "test", FirstPartNo: 1})
		frame.AddTx(cdc.Tx{})
		frame.AddTable(treated.Table())
		at, rest, err := treated.appendImage(&frame, image, []byte{7}, nil)
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: %d bytes are left, %v", tt.name, len(rest), err)
			continue
		}
		frame.AddEvent(cdc.EventInfo{Op: cdc.OpInsert, After: at})
		b, err := cdc.Open(frame.Seal(cdc.Checkpoint{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, c := range treated.Table().Columns {
			got = append(got, c.Type+" "+b.Event(0).After().Value(i).Text())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}
