package jsonb_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/internal/jsonb"
)

// difference is one in the log's form; the value is a document, nil to have none.
func difference(operation int, path string, value []byte) []byte {
	b := doc(operation, len(path), path)
	if value != nil {
		b = doc(b, len(value), value)
	}
	return b
}

func TestAppendPatched(t *testing.T) {
	const replace, insert, remove = 0, 1, 2
	var (
		before = doc(0, 2, 0, 33, 0, 18, 0, 1, 0, 19, 0, 2, 0, 12, 21, 0, 2, 23, 0, "abb", 1, "x", 2, 0, 10, 0, 5, 1, 0, 5, 2, 0)
		one    = doc(5, 1, 0)
		text   = doc(12, 3, "new")
		empty  = doc(0, 0, 0, 4, 0)
		none   = doc(2, 0, 0, 4, 0)
		odd    = doc(0, 4, 0, 37, 0, 32, 0, 0, 0, 32, 0, 1, 0, 33, 0, 1, 0, 34, 0, 3, 0, 5, 1, 0, 5, 2, 0, 5, 3, 0, 5, 4, 0, "\n", "*", "a\"b")
	)
	for _, tt := range []struct {
		name  string
		doc   []byte
		diffs []byte
		want  string // or the end of the error
	}{
		{"none", before, nil, `{"a":"x","bb":[1,2]}`},
		{"replace a member", before, difference(replace, `$.a`, one), `{"a":1,"bb":[1,2]}`},
		{"replace an element", before, difference(replace, `$.bb[1]`, text), `{"a":"x","bb":[1,"new"]}`},
		{"replace the last element", before, difference(replace, `$.bb[last]`, text), `{"a":"x","bb":[1,"new"]}`},
		{"replace the last but one", before, difference(replace, `$.bb[last-1]`, text), `{"a":"x","bb":["new",2]}`},
		{"insert the first member", before, difference(insert, `$.A`, one), `{"A":1,"a":"x","bb":[1,2]}`},
		{"insert a member between", before, difference(insert, `$.aa`, one), `{"a":"x","aa":1,"bb":[1,2]}`},
		{"insert a last member", before, difference(insert, `$."x y"`, one), `{"a":"x","bb":[1,2],"x y":1}`},
		{"insert an element", before, difference(insert, `$.bb[1]`, text), `{"a":"x","bb":[1,"new",2]}`},
		{"insert an element far behind", before, difference(insert, `$.bb[4294967295]`, text), `{"a":"x","bb":[1,2,"new"]}`},
		{"insert before the last element", before, difference(insert, `$.bb[last]`, text), `{"a":"x","bb":[1,"new",2]}`},
		{"insert before all elements", before, difference(insert, `$.bb[last-9]`, text), `{"a":"x","bb":["new",1,2]}`},
		{"remove a member", before, difference(remove, `$.a`, nil), `{"bb":[1,2]}`},
		{"remove an element", before, difference(remove, `$.bb[0]`, nil), `{"a":"x","bb":[2]}`},
		{"remove all", before, doc(difference(remove, `$.bb`, nil), difference(remove, `$.a`, nil)), `{}`},
		{"all in their order", before, doc(difference(remove, `$.bb[0]`, nil), difference(replace, `$.bb[0]`, empty),
			difference(insert, `$.bb[0].n`, none), difference(insert, `$.bb[0].n[0]`, one), difference(replace, `$.a`, []byte{})),
			`{"a":null,"bb":[{"n":[1]}]}`},
		{"what was replaced is never read", before, doc(difference(replace, `$.a`, doc(13)), difference(replace, `$.a`, one)), `{"a":1,"bb":[1,2]}`},
		{"names that need quotes", odd, doc(difference(replace, `$.""`, one), difference(replace, `$."\n"`, one), difference(replace, `$."*"`, one),
			difference(replace, `$."a\"b"`, one)), `{"":1,"\n":1,"*":1,"a\"b":1}`},
		{"a name of two code units", odd, difference(insert, `$."\ud83d\ude80"`, one), `{"":1,"\n":2,"*":3,"a\"b":4,"🚀":1}`},

		{"replace what is not there", before, difference(replace, `$.c`, one), "difference 1 of a JSON document: replace $.c: the document has no such place"},
		{"replace behind the end", before, difference(replace, `$.bb[2]`, one), "replace $.bb[2]: the document has no such place"},
		{"insert what is there", before, difference(insert, `$.a`, one), "insert $.a: the document has this member already"},
		{"remove what is not there", before, difference(remove, `$.bb[last-2]`, nil), "remove $.bb[last-2]: the document has no such place"},
		{"below what is not there", before, difference(insert, `$.c.d`, one), "insert $.c.d: the document has no such place"},
		{"a member of an array", before, difference(insert, `$.bb.d`, one), "insert $.bb.d: the document has no such place"},
		{"an element of an object", before, difference(insert, `$[0]`, one), "insert $[0]: the document has no such place"},
		{"an element of a string", before, difference(replace, `$.a[0]`, one), "replace $.a[0]: the document has no such place"},
		{"a part of null", nil, difference(insert, `$.a`, one), "insert $.a: the document has no such place"},
		{"the second of two", before, doc(difference(remove, `$.a`, nil), difference(remove, `$.a`, nil)), "difference 2 of a JSON document: remove $.a: the document has no such place"},
		{"the document itself", before, difference(replace, `$`, one), "replace $: the document as a whole is none of its parts"},
		{"no path", before, difference(replace, ``, one), "replace : the path does not start at $"},
		{"all members", before, difference(replace, `$.*`, one), `replace $.*: "*" in the path is no name`},
		{"all elements", before, difference(replace, `$.bb[*]`, one), "replace $.bb[*]: [*] in the path is no element of an array"},
		{"members anywhere", before, difference(replace, `$**.a`, one), `replace $**.a: "**.a" in the path is neither a member nor an element`},
		{"a range", before, difference(replace, `$.bb[0 to 1]`, one), "replace $.bb[0 to 1]: [0 to 1] in the path is no element of an array"},
		{"an open bracket", before, difference(replace, `$.bb[0`, one), "replace $.bb[0: the path ends in brackets"},
		{"an open name", before, difference(replace, `$."a`, one), `replace $."a: the path ends in a name`},
		{"a name that ends in a backslash", before, difference(replace, `$."a\"`, one), `replace $."a\": the path ends in a name`},
		{"an unknown escape", before, difference(replace, `$."\q"`, one), `replace $."\q": "\"\\q\"" in the path is no name`},
		{"a name that is empty", before, difference(replace, `$.`, one), `replace $.: "" in the path is no name`},
		{"unknown operation", before, doc(3), "difference 1 of a JSON document, byte 0: there is no operation 3"},
		{"no path length", before, doc(2), "byte 0: path: there is no length"},
		{"half a path length", before, doc(2, 252, 1), "byte 0: path: a length of 2 bytes where 1 are left"},
		{"a long path", before, doc(2, 9, "$.a"), "byte 0: path: 9 bytes are announced where 3 are left"},
		{"a path that is NULL", before, doc(2, 251), "byte 0: path: 251 starts no length"},
		{"a value of all lengths", before, doc(difference(remove, `$.a`, nil), doc(1, 3, "$.c", 254, uint64(1<<63))), "byte 5: value: 9223372036854775808 bytes are announced where 0 are left"},
		{"a damaged value", before, difference(replace, `$.a`, doc(13)), "damaged JSON document: byte 1: there is no type 0x0d"},
		{"a damaged document", before[:20], difference(remove, `$.a`, nil), "remove $.a: damaged JSON document: byte 1: an object or array of 33 bytes where 19 are left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jsonb.AppendPatched([]byte("x"), tt.doc, tt.diffs)
			if err == nil && string(got) != "x"+tt.want ||
				err != nil && (string(got) != "x" || !strings.HasSuffix(err.Error(), tt.want)) {
				t.Errorf("got %s, error %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestPatchedDocumentsMayNotBeTooDeep(t *testing.T) {
	var diffs []byte
	inner := doc(2, 1, 0, 11, 0, 2, 7, 0, 0, 0, 4, 0) // [[]]
	path := "$"
	for range 99 {
		path += "[0]"
		diffs = append(diffs, doc(0, 252, len(path)&255, len(path)>>8, path, len(inner), inner)...)
	}
	_, err := jsonb.AppendPatched(nil, inner, diffs)
	if err == nil || !strings.HasSuffix(err.Error(), "more than 100 objects and arrays inside each other") {
		t.Errorf("got error %v", err)
	}
	got, err := jsonb.AppendPatched(nil, inner, diffs[:len(diffs)-4-len(path)-1-len(inner)])
	if want := strings.Repeat("[", 100) + strings.Repeat("]", 100); err != nil || string(got) != want {
		t.Errorf("got %s, error %v", got, err)
	}
}

func ExampleAppendPatched() {
	doc := []byte{0x02, 1, 0, 7, 0, 0x05, 0x2a, 0}
	diffs := []byte{
		0, 4, '$', '[', '0', ']', 2, 0x04, 1, // replace $[0] by true
		1, 4, '$', '[', '1', ']', 3, 0x0c, 1, 'x', // insert "x" at $[1]
	}
	text, err := jsonb.AppendPatched(nil, doc, diffs)
	fmt.Println(string(text), err)
	// Output: [true,"x"] <nil>
}
