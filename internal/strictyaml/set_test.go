package strictyaml

import (
	"errors"
	"strings"
	"testing"
)

func TestSetChangesOneValueAndKeepsTheRest(t *testing.T) {
	const rule = `version: 1
rules:
  # sales asked for this
  - name: paid   # the short one
    tables: [shop.orders]

    when: |  # typed by the table
      // big ones
      after.total >= 1000
    lookup:
      # who
      customer: {table: shop.customers, by: {id: after.customer_id}}
      # where
      shop: {table: shop.shops, by: {id: after.shop_id}}
    mode: shadow  # for a week
    tests:
      # the usual
      - name: one
        event: {op: insert}
        expect: {match: true}
      # the other
      - name: two
        event: {op: delete}
        expect: {match: false}
  - name: next
`
	for _, tt := range []struct {
		name, src   string
		path        []any
		value, want string // want: the line that is new, before → after; "" : nothing changed
	}{
		{"a plain text, its comment stays", rule, []any{"rules", 0, "name"}, `"big"`, "  - name: paid   # the short one → - name: big   # the short one"},
		{"the same", rule, []any{"rules", 0, "mode"}, `"shadow"`, ""},
		{"a mode, its comment stays", rule, []any{"rules", 0, "mode"}, `"active"`, "mode: shadow  # for a week → mode: active  # for a week"},
		{"a text that needs quotes", rule, []any{"rules", 0, "name"}, `"12"`, `name: paid   # the short one → name: "12"   # the short one`},
		{"a list on one line", rule, []any{"rules", 0, "tables"}, `["shop.orders","shop.*"]`, "tables: [shop.orders] → tables: [shop.orders, shop.*]"},
		{"a block of lines", rule, []any{"rules", 0, "when"}, `"after.total >= 1\n  && after.status == 'paid'\n"`,
			"    when: |  # typed by the table\n      // big ones\n      after.total >= 1000\n → " +
				"    when: |\n      after.total >= 1\n        && after.status == 'paid'\n"},
		{"another key, in its place", rule, []any{"rules", 0, "owner"}, `"sales"`, "# the short one\n → # the short one\n    owner: sales\n"},
		{"a key that goes", rule, []any{"rules", 0, "mode"}, `null`, "    mode: shadow  # for a week\n → "},
		{"one of two look-ups", rule, []any{"rules", 0, "lookup"},
			`{"customer":{"table":"shop.customers","by":{"id":"after.customer_id"}},"shop":{"table":"shop.stores","by":{"id":"after.shop_id"}}}`,
			"table: shop.shops → table: shop.stores"},
		{"a look-up more", rule, []any{"rules", 0, "lookup"},
			`{"customer":{"table":"shop.customers","by":{"id":"after.customer_id"}},"shop":{"table":"shop.shops","by":{"id":"after.shop_id"}},"z":{"table":"a.b","by":{"id":"after.z"}}}`,
			"by: {id: after.shop_id}}\n → by: {id: after.shop_id}}\n      z: {table: a.b, by: {id: after.z}}\n"},
		{"the first test goes", rule, []any{"rules", 0, "tests"}, `[{"name":"two","event":{"op":"delete"},"expect":{"match":false}}]`,
			"      - name: one\n        event: {op: insert}\n        expect: {match: true}\n → "},
		{"the last test goes, with its comment", rule, []any{"rules", 0, "tests"}, `[{"name":"one","event":{"op":"insert"},"expect":{"match":true}}]`,
			"      # the other\n      - name: two\n        event: {op: delete}\n        expect: {match: false}\n → "},
		{"a test more", rule, []any{"rules", 0, "tests"},
			`[{"name":"one","event":{"op":"insert"},"expect":{"match":true}},{"name":"two","event":{"op":"delete"},"expect":{"match":false}},` +
				`{"name":"three","event":{"op":"update","before":{"id":1,"a":[1]},"after":{"id":1}},"expect":{"match":false}}]`,
			"        expect: {match: false}\n → " +
				"        expect: {match: false}\n      - name: three\n        event:\n          op: update\n          before: {id: 1, a: [1]}\n          after: {id: 1}\n        expect: {match: false}\n"},
		{"the name of a test", rule, []any{"rules", 0, "tests", 1, "name"}, `"2nd"`, "name: two → name: 2nd"},
		{"a mask where there was none", rule, []any{"rules", 0, "mask"}, `{"after.email":"hmac"}`,
			"by: {id: after.shop_id}}\n → by: {id: after.shop_id}}\n    mask: {after.email: hmac}\n"},
		{"in a rule in braces", "rules:\n  - {name: a, mode: off} # x\n", []any{"rules", 0, "name"}, `"b, c"`, "{name: a, → {name: 'b, c',"},
		{"a key in a rule in braces", "rules:\n  - {name: a, mode: off} # x\n", []any{"rules", 0, "owner"}, `"me"`, "{name: a, mode: off} → {name: a, mode: off, owner: me}"},
		{"with the line ends of Windows", "a: 1\r\nb: x\r\n", []any{"b"}, `"1\n2\n"`, "b: x\r\n → b: |\r\n  1\r\n  2\r\n"},
		{"a condition that YAML would take for something else", "when: a\n", []any{"when"}, `"!after.closed && x == 'a'"`, "when: a\n → when: |-\n  !after.closed && x == 'a'\n"},
		{"a list below its key", "to:\n- a\n- b\n", []any{"to"}, `["a","c","b"]`, "a\n → a\n- c\n"},
		{"without a line end", "a: 1", []any{"b"}, `[1]`, "a: 1 → a: 1\nb: [1]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v any
			doc, err := Decode("f", []byte(tt.src), &v, Config{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := doc.At(tt.path...).Set([]byte(tt.value), "name", "description", "owner", "tables", "when", "lookup", "mask", "mode", "tests")
			if err != nil {
				t.Fatal(err)
			}
			want := tt.src
			if before, after, ok := strings.Cut(tt.want, " → "); ok {
				want = strings.Replace(tt.src, strings.TrimPrefix(before, "  - "), strings.TrimPrefix(after, "- "), 1)
				if want == tt.src {
					t.Fatalf("the test does not find %q", before)
				}
			}
			if string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestSetRefusesWhatItCannotWrite(t *testing.T) {
	var v any
	doc, err := Decode("f", []byte("a: 1\n"), &v, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := doc.At().Set([]byte(`{}`)); !errors.Is(err, ErrWritten) {
		t.Errorf("the whole file: %v", err)
	}
	if _, err := doc.At("x", "y").Set([]byte(`1`)); err == nil {
		t.Error("a key of what is not there was set")
	}
}

func FuzzSetKeepsWhatItDoesNotChange(f *testing.F) {
	f.Add("a: 1 # x\nb: |\n  t\nc: [1, {d: e}]\n", "b", `"u"`)
	f.Add("a:\n- b: 1\n  c: 2\n", "a", `[{"b":1},{"c":3}]`)
	f.Add("{a: 1}", "a", `{"b":[]}`)
	f.Fuzz(func(t *testing.T, src, key, value string) {
		var v any
		doc, err := Decode("f", []byte(src), &v, Config{})
		if err != nil {
			return
		}
		got, err := doc.At(key).Set([]byte(value)) // that nothing else changes it checks itself
		if err != nil {
			return
		}
		var again any
		if _, err := Decode("f", got, &again, Config{}); err != nil {
			t.Fatalf("%q with %s = %s became %q: %v", src, key, value, got, err)
		}
	})
}
