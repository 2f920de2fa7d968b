package jsonb_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/jsonb"
)

// doc joins bytes, numbers and texts to a document.
func doc(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch p := part.(type) {
		case int:
			b = append(b, byte(p))
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, p)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, p)
		case float64:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p))
		default:
			panic(fmt.Sprintf("a part of type %T", part))
		}
	}
	return b
}

// nested is a number in so many small arrays.
func nested(depth int) []byte {
	b := doc(0x02, 1, 0, 7, 0, 0x05, 1, 0)
	for range depth - 1 {
		inner := b
		b = doc(0x02, 1, 0, 0, 0, int(inner[0]), 7, 0, inner[1:])
		binary.LittleEndian.PutUint16(b[3:], uint16(len(b)-1))
	}
	return b
}

func TestAppendText(t *testing.T) {
	for _, tt := range []struct {
		name string
		doc  []byte
		want string
	}{
		{"empty", nil, `null`},
		{"null", doc(4, 0), `null`},
		{"true", doc(4, 1), `true`},
		{"false", doc(4, 2), `false`},
		{"int16", doc(5, 0x00, 0x80), `-32768`},
		{"uint16", doc(6, 0xff, 0xff), `65535`},
		{"int32", doc(7, uint32(1<<31)), `-2147483648`},
		{"uint32", doc(8, uint32(math.MaxUint32)), `4294967295`},
		{"int64", doc(9, uint64(1<<63)), `-9223372036854775808`},
		{"uint64", doc(10, uint64(math.MaxUint64)), `18446744073709551615`},
		{"double", doc(11, 0.1), `0.1`},
		{"double without fraction", doc(11, -3.0), `-3.0`},
		{"double zero", doc(11, math.Copysign(0, -1)), `-0.0`},
		{"double that is large", doc(11, 1e300), `1e300`},
		{"double that is small", doc(11, -1.5e-20), `-1.5e-20`},
		{"double of 15 places", doc(11, 999999999999999.9), `999999999999999.9`},
		{"double of 16 places", doc(11, 1e15), `1e15`},
		{"double of 16 places and a fraction", doc(11, -1234567890123456.8), `-1234567890123456.8`},
		{"double just above 1e-15", doc(11, 1.5e-15), `0.0000000000000015`},
		{"double just below 1e-15", doc(11, 9.5e-16), `9.5e-16`},
		{"string", doc(12, 3, "a\"\\"), `"a\"\\"`},
		{"string with controls", doc(12, 8, "\b\f\n\r\t\x00\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""},
		{"string of web pages", doc(12, 12, "<&>é🚀\u2028"), "\"<&>é🚀\u2028\""},
		{"string that is no UTF-8", doc(12, 5, "a\xffb\xc3\""), `"a` + "\ufffd" + `b` + "\ufffd" + `\""`},
		{"string of a long length", doc(12, 0x80, 0x01, strings.Repeat("x", 128)), `"` + strings.Repeat("x", 128) + `"`},
		{"decimal", doc(15, 246, 5, 5, 2, 0x80, 0x7b, 45), `123.45`},
		{"decimal below zero", doc(15, 246, 5, 5, 2, 0x7f, 0x84, 0xd2), `-123.45`},
		{"decimal below one", doc(15, 246, 3, 2, 2, 0x80|7), `0.07`},
		{"decimal of whole groups", doc(15, 246, 10, 18, 9, 0x80, 0, 0, 1, 0, 0, 0, 2), `1.000000002`},
		{"decimal without fraction", doc(15, 246, 3, 1, 0, 0x80), `0`},
		{"date", doc(15, 10, 8, uint64((2026*13+11)<<5|21)<<41), `"2026-11-21"`},
		{"datetime", doc(15, 12, 8, uint64((2026*13+11)<<5|21)<<41|uint64(23<<12|59<<6|58)<<24|7), `"2026-11-21 23:59:58.000007"`},
		{"zero datetime", doc(15, 12, 8, uint64(0)), `"0000-00-00 00:00:00.000000"`},
		{"timestamp", doc(15, 7, 8, uint64((2026*13+11)<<5|21)<<41), `"2026-11-21 00:00:00.000000"`},
		{"time", doc(15, 11, 8, uint64(838<<12|59<<6|58)<<24|500000), `"838:59:58.500000"`},
		{"time below zero", doc(15, 11, 8, ^(uint64(1<<12)<<24|1)+1), `"-01:00:00.000001"`},
		{"zero time", doc(15, 11, 8, uint64(0)), `"00:00:00.000000"`},
		{"bit", doc(15, 16, 1, 5), `"base64:type16:BQ=="`},
		{"blob of no bytes", doc(15, 252, 0), `"base64:type252:"`},
		{"blob of a line", doc(15, 252, 57, strings.Repeat("\x00", 57)), `"base64:type252:` + strings.Repeat("A", 76) + `"`},
		{"blob of two lines", doc(15, 252, 58, strings.Repeat("\x00", 58)), `"base64:type252:` + strings.Repeat("A", 76) + `\nAA=="`},
		{"array of none", doc(2, 0, 0, 4, 0), `[]`},
		{"object of none", doc(0, 0, 0, 4, 0), `{}`},
		{"inlined values", doc(2, 3, 0, 13, 0, 5, 0xff, 0xff, 6, 0xff, 0xff, 4, 1, 0), `[-1,65535,true]`},
		{"large inlined values", doc(3, uint32(2), uint32(18), 7, uint32(math.MaxUint32), 8, uint32(math.MaxUint32)), `[-1,4294967295]`},
		{"small format with int32", doc(2, 1, 0, 11, 0, 7, 7, 0, uint32(70000)), `[70000]`},
		{"object", doc(0, 2, 0, 25, 0, 18, 0, 0, 0, 18, 0, 2, 0, 12, 20, 0, 12, 23, 0, "k\"", 2, "ab", 1, "c"), `{"":"ab","k\"":"c"}`},
		{"gaps of an update in place", doc(2, 2, 0, 18, 0, 12, 11, 0, 12, 15, 0, 99, 2, "xy", 99, 1, "z", 99), `["xy","z"]`},
		{"bytes behind the document", doc(2, 0, 0, 4, 0, 99, 99), `[]`},
		{"deepest", nested(100), strings.Repeat("[", 100) + "1" + strings.Repeat("]", 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonb.AppendText([]byte("x"), tt.doc)
			if err != nil || string(got) != "x"+tt.want {
				t.Errorf("% x: got %s, error %v; want x%s", tt.doc, got, err, tt.want)
			}
			if !json.Valid([]byte(tt.want)) {
				t.Errorf("%s is no JSON", tt.want)
			}
			for n := 1; n < len(tt.doc); n++ { // cut off anywhere, it is refused or, behind its end, the same
				if got, err := jsonb.AppendText([]byte("x"), tt.doc[:n:n]); string(got) != "x"+tt.want && (err == nil || string(got) != "x") {
					t.Errorf("% x: got %s, error %v", tt.doc[:n], got, err)
				}
			}
		})
	}
}

func TestAppendTextRefusesDamage(t *testing.T) {
	for _, tt := range []struct {
		name string
		doc  []byte
		want string // the end of the error
	}{
		{"unknown type", doc(0x0d, 1), "byte 1: there is no type 0x0d"},
		{"unknown literal", doc(4, 3), "byte 1: 3 is no literal"},
		{"not a number", doc(11, math.NaN()), "byte 1: the double NaN is no JSON number"},
		{"infinity", doc(11, math.Inf(-1)), "byte 1: the double -Inf is no JSON number"},
		{"short int64", doc(9, 1, 2, 3), "byte 1: a value of type 0x09 where 3 bytes are left"},
		{"long string", doc(12, 0xff, 0xff, 0xff, 0xff, 0x0f, "x"), "byte 1: 4294967295 bytes are announced where 1 are left"},
		{"endless length", doc(12, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), "byte 1: a length of more than five bytes"},
		{"date of 7 bytes", doc(15, 10, 7, "1234567"), "byte 1: a date or time of 7 bytes"},
		{"date beyond 9999", doc(15, 12, 8, uint64(10000*13<<5)<<41), "is no packed date"},
		{"date below zero", doc(15, 12, 8, uint64(math.MaxUint64)), "byte 1: -0x1 is no packed date"},
		{"time of 60 seconds", doc(15, 11, 8, uint64(60)<<24), "byte 1: 0x3c000000 is no packed time"},
		{"decimal of precision 82", doc(15, 246, 3, 82, 0, 0x80), "byte 1: a decimal (82,0) of 1 bytes"},
		{"decimal of too many digits", doc(15, 246, 3, 1, 0, 0x80|10), "with a group of digits that is too large"},
		{"large count", doc(3, uint32(math.MaxUint32), uint32(8)), "byte 1: an object or array of 4294967295 elements has 8 bytes only"},
		{"large size", doc(3, uint32(0), uint32(9)), "byte 1: an object or array of 9 bytes where 8 are left"},
		{"value behind the end", doc(2, 1, 0, 9, 0, 12, 10, 0, 1, "a"), "byte 5: a value at byte 11, where there is room from 8 to 10"},
		{"value in the head", doc(2, 1, 0, 9, 0, 12, 4, 0, 1, "a"), "byte 5: a value at byte 5, where there is room from 8 to 10"},
		{"array in itself", doc(2, 1, 0, 7, 0, 2, 0, 0), "byte 5: a value at byte 1, where there is room from 8 to 8"},
		{"a value twice", doc(2, 2, 0, 12, 0, 12, 10, 0, 12, 10, 0, 1, "a"), "byte 8: a value at byte 11, where there is room from 13 to 13"},
		{"keys that overlap", doc(0, 2, 0, 20, 0, 18, 0, 1, 0, 18, 0, 2, 0, 4, 0, 0, 4, 0, 0, "ab"),
			"byte 9: a key of 2 bytes at byte 19, where there is room from 20 to 21"},
		{"key behind the end", doc(0, 1, 0, 11, 0, 11, 0, 1, 0, 4, 0, 0), "byte 5: a key ends at byte 12 of an object of 11 bytes"},
		{"keys out of order", doc(0, 2, 0, 20, 0, 18, 0, 1, 0, 19, 0, 1, 0, 4, 0, 0, 4, 0, 0, "ba"), `byte 9: the key "a" stands behind "b"`},
		{"a key twice", doc(0, 2, 0, 20, 0, 18, 0, 1, 0, 19, 0, 1, 0, 4, 0, 0, 4, 0, 0, "aa"), `byte 9: the key "a" stands behind "a"`},
		{"value among the keys", doc(0, 1, 0, 15, 0, 11, 0, 2, 0, 12, 12, 0, "\x01a", 1, "x"),
			"byte 9: a value at byte 13, where there is room from 14 to 16"},
		{"too deep", nested(101), "more than 100 objects and arrays inside each other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonb.AppendText([]byte("x"), tt.doc)
			if string(got) != "x" || err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("% x: got %s, error %v; want …%s", tt.doc, got, err, tt.want)
			}
		})
	}
}

func TestAppendTextTakesNoMemoryOfItsOwn(t *testing.T) {
	b := doc(0, 2, 0, 25, 0, 18, 0, 0, 0, 18, 0, 2, 0, 12, 20, 0, 12, 23, 0, "k\"", 2, "ab", 1, "c")
	out := bytes.Repeat([]byte("x"), 100)
	if n := testing.AllocsPerRun(100, func() { _, _ = jsonb.AppendText(out[:0], b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ExampleAppendText() {
	doc := []byte{0x02, 1, 0, 7, 0, 0x05, 0x2a, 0} // a small array of one element, an int16
	text, err := jsonb.AppendText(nil, doc)
	fmt.Println(string(text), err)
	// Output: [42] <nil>
}
