package fuzz

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/cdcd-project/cdcd/internal/jsonb"
)

// jsonDocuments are what MySQL 9.7 logged of
//
//	{"a":"a long text","b":["x","yy",70000],"c":{"d":1.5,"e":"f"},"gone":"soon"}
//	[1,-70000,18446744073709551615,true,"ü\n",{},[]]
//	[-123.45,"2026-11-21 01:02:03.500000","-01:02:03.000000","base64:type15:AP8=","2026-11-21",1e300]
//
// and an object in the large format.
var jsonDocuments = []string{
	"\x00\x04\x00l\x00 \x00\x01\x00!\x00\x01\x00\"\x00\x01\x00#\x00\x04\x00\f'\x00\x023\x00\x00I\x00\fg\x00abcgone\va long text" +
		"\x03\x00\x16\x00\f\r\x00\f\x0f\x00\a\x12\x00\x01x\x02yyp\x11\x01\x00\x02\x00\x1e\x00\x12\x00\x01\x00\x13\x00\x01\x00\v\x14\x00\f\x1c\x00de" +
		"\x00\x00\x00\x00\x00\x00\xf8?\x01f\x04soon",
	"\x02\a\x001\x00\x05\x01\x00\a\x19\x00\n\x1d\x00\x04\x01\x00\f%\x00\x00)\x00\x02-\x00\x90\xee\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03ü\n" +
		"\x00\x00\x04\x00\x00\x00\x04\x00",
	"\x02\x06\x00I\x00\x0f\x16\x00\x0f\x1f\x00\x0f)\x00\x0f3\x00\x0f7\x00\vA\x00\xf6\a\v\x02\x7f\xff\xff\x84\xd2\f\b \xa1\a\x83\x10j\xbb\x19" +
		"\v\b\x00\x00\x00}\xef\xff\xff\xff\x0f\x02\x00\xff\n\b\x00\x00\x00\x00\x00j\xbb\x19\x9cu\x00\x88<\xe47~",
	"\x01\x01\x00\x00\x00\x1c\x00\x00\x00\x13\x00\x00\x00\x01\x00\x03\x14\x00\x00\x00k\x00\x00\x00\x00\x08\x00\x00\x00",
}

// jsonDiffs are what it logged of an update of the first: of JSON_REMOVE(JSON_SET(v, '$.a', 'short', '$.b[0]', 1,
// '$.b[1]', 'yyy'), '$.gone').
const jsonDiffs = "\x00\x03$.a\a\f\x05short\x00\x06$.b[0]\x03\x05\x01\x00\x00\x06$.b[1]\x05\f\x03yyy\x02\x06$.gone"

var jsonSeeds = append(jsonDocuments, "", "\x04\x00", "\x04\x01", "\x05\x00\x80", "\x08\xff\xff\xff\xff", "\x09\x00\x00\x00\x00\x00\x00\x00\x80",
	"\x0b\x9a\x99\x99\x99\x99\x99\xb9\x3f", "\x0b\x00\x00\x00\x00\x00\x00\xf8\x7f", "\x0c\x05<&>\"\\", "\x0c\x80\x01"+strings.Repeat("x", 128),
	"\x0c\xff\xff\xff\xff\x0f", "\x0f\xf6\x05\x05\x02\x7f\x84\xd2", "\x0f\x0a\x08\x00\x00\x00\x00\x00\x2a\xb9\x19", "\x0f\xfc\x3a"+strings.Repeat("b", 58),
	"\x03\xff\xff\xff\xff\x08\x00\x00\x00", "\x02\x01\x00\x07\x00\x02\x00\x00", "\x02\x02\x00\x0c\x00\x0c\x0a\x00\x0c\x0a\x00\x01a")

// FuzzJSONText: a binary document becomes JSON or an error; the text is not larger than the document allows, and says
// what go-mysql says.
func FuzzJSONText(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add([]byte(seed))
	}
	theirs := newTheirJSON(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		got := jsonOrError(t, doc, nil)
		if got == nil || len(doc) == 0 {
			return
		}
		text, err := theirs.text(doc)
		if err != nil {
			t.Fatalf("% x is %s, go-mysql says %v", doc, got, err)
		}
		if a, b := unmarshal(t, got), unmarshal(t, text); !sameJSON(a, b) {
			t.Fatalf("% x is %s, go-mysql says %s", doc, got, text)
		}
	})
}

// FuzzJSONDiff: a document with whatever differences becomes JSON or an error, and without any it is what it was.
func FuzzJSONDiff(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add([]byte(seed), []byte(jsonDiffs))
		f.Add([]byte(seed), []byte("\x00\x03$.a\x03\x05\x01\x00"))
		f.Add([]byte(seed), []byte("\x01\x04$[1]\x02\x04\x01\x02\x0a$[last-1]\x00\x03$[0]\x05\x00\x00\x00\x04\x00\x01\x08$[0].\"x\"\x02\x04\x00"))
		f.Add([]byte(seed), []byte("\x02\x03$.b\x01\x03$.b\x03\x0c\x01x\x00\x03$.c\x00\x01\x0b$.\"\\n\\\"\\u00\"\x02\x04\x00"))
		f.Add([]byte(seed), []byte("\x00\xfc\x03\x00$.a\xfd\x03\x00\x00\x05\x01\x00\x02\xfe\x03\x00\x00\x00\x00\x00\x00\x00$.a"))
	}
	f.Fuzz(func(t *testing.T, doc, diffs []byte) {
		jsonOrError(t, doc, diffs)
	})
}

// jsonOrError returns what becomes of the document, nil if it is refused.
func jsonOrError(t *testing.T, doc, diffs []byte) []byte {
	t.Helper()
	whole, wholeErr := jsonb.AppendText([]byte("x"), doc)
	got, err := jsonb.AppendPatched([]byte("x"), doc, diffs)
	if len(diffs) == 0 && (!bytes.Equal(got, whole) || fmt.Sprint(err) != fmt.Sprint(wholeErr)) {
		t.Fatalf("% x is %s, error %v; without differences %s, error %v", doc, whole, wholeErr, got, err)
	}
	if err != nil {
		if string(got) != "x" {
			t.Fatalf("% x: what was there became %s with error %v", doc, got, err)
		}
		return nil
	}
	if got[0] != 'x' || !json.Valid(got[1:]) || !utf8.Valid(got) || bytes.ContainsAny(got, "\n\r") {
		t.Fatalf("% x is %q, which is not one line of JSON", doc, got)
	}
	if limit := 6*(len(doc)+len(diffs)) + 8; len(got) > limit {
		t.Fatalf("% x, % x: %d bytes of text, more than %d", doc, diffs, len(got), limit)
	}
	return got[1:]
}

func unmarshal(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// sameJSON compares our value with go-mysql's, which writes doubles in another form, leaves the fraction off times that
// are zero, and does not break the lines of base64.
func sameJSON(ours, theirs any) bool {
	switch a := ours.(type) {
	case []any:
		b, ok := theirs.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameJSON(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := theirs.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key := range a {
			if value, ok := b[key]; !ok || !sameJSON(a[key], value) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := theirs.(json.Number)
		if a == b || !ok {
			return ok
		}
		x, errA := strconv.ParseFloat(a.String(), 64)
		y, errB := strconv.ParseFloat(b.String(), 64)
		return errA == nil && errB == nil && x == y && strings.ContainsAny(a.String(), ".e") && strings.ContainsAny(b.String(), ".e")
	case string:
		b, ok := theirs.(string)
		return ok && (a == b || strings.HasPrefix(a, "base64:type") && strings.ReplaceAll(a, "\n", "") == b ||
			strings.HasSuffix(a, "00:00:00.000000") && strings.TrimSuffix(a, ".000000") == b)
	}
	return reflect.DeepEqual(ours, theirs)
}

// theirJSON reads documents with go-mysql, wrapped in events as that reads them.
type theirJSON struct{ parser *replication.BinlogParser }

func newTheirJSON(f *testing.F) theirJSON {
	f.Helper()
	p := replication.NewBinlogParser()
	p.SetFlavor("mysql")
	p.SetRenderJSONAsMySQLText(true)
	format := binary.LittleEndian.AppendUint16(nil, 4)
	format = append(format, "8.0.0"+strings.Repeat("\x00", 45+4)...)
	format = append(format, replication.EventHeaderSize)
	format = append(format, bytes.Repeat([]byte{8}, 40)...)                                   // the lengths of post-headers
	format = append(format, byte(replication.BINLOG_CHECKSUM_ALG_OFF), 0, 0, 0, 0)            // no checksums
	table := []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x01d\x00\x01t\x00\x01\xf5\x01\x04\x01") // one column, JSON, its length in four bytes
	for _, e := range [][]byte{event(replication.FORMAT_DESCRIPTION_EVENT, format), event(replication.TABLE_MAP_EVENT, table)} {
		if _, err := p.Parse(e); err != nil {
			f.Fatal(err)
		}
	}
	return theirJSON{p}
}

func (j theirJSON) text(doc []byte) ([]byte, error) {
	row := []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x01\x00") // the table goes on; one column, not NULL
	row = append(binary.LittleEndian.AppendUint32(row, uint32(len(doc))), doc...)
	e, err := j.parser.Parse(event(replication.WRITE_ROWS_EVENTv2, row))
	if err != nil {
		return nil, err
	}
	switch text := e.Event.(*replication.RowsEvent).Rows[0][0].(type) {
	case string:
		return []byte(text), nil
	case []byte:
		return text, nil
	default:
		return nil, fmt.Errorf("a document of type %T", text)
	}
}

func event(typ replication.EventType, body []byte) []byte {
	e := make([]byte, replication.EventHeaderSize, replication.EventHeaderSize+len(body))
	e[4] = byte(typ)
	binary.LittleEndian.PutUint32(e[9:], uint32(len(e)+len(body)))
	return append(e, body...)
}
