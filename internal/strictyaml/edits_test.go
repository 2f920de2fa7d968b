package strictyaml

import (
	"strings"
	"testing"
)

func TestEditsAreWrittenInTheStyleOfTheScalar(t *testing.T) {
	for name, c := range map[string]struct{ src, old, text, want string }{
		"plain":           {"k: a = b\n", "=", "==", "k: a == b\n"},
		"plain, at end":   {"k: a b", "b", "c", "k: a c"},
		"single quoted":   {"k: 'a = ''x'''\n", "'x'", "'y'", "k: 'a = ''y'''\n"},
		"double quoted":   {"k: \"a = 'x'\"\n", "'x'", `"\y"`, `k: "a = \"\\y\""` + "\n"},
		"literal":         {"k: |\n  a =\n   b # c\n", "b # c", "[d: 1]", "k: |\n  a =\n   [d: 1]\n"},
		"folded":          {"k: >\n  a\n  = b\n", "= b", "!= b", "k: >\n  a\n  != b\n"},
		"after a mark":    {"\ufeffk: a b\n", "a", "c", "\ufeffk: c b\n"},
		"plain, comment":  {"k: a b\n", "b", "b # c", ""},
		"plain, a key":    {"k: a b\n", "b", "b: c", ""},
		"plain, a list":   {"{k: a b}\n", "b", "b, c", ""},
		"plain, no plain": {"k: a b\n", "a", "'a'", ""},
		"two lines":       {"k: a b\n", "a", "a\nb", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var into any
			doc, err := Decode("f", []byte(c.src), &into, Config{})
			if err != nil {
				t.Fatal(err)
			}
			at := doc.At("k")
			if !strings.Contains(at.Text(), c.old) {
				t.Fatalf("the text is %q", at.Text())
			}
			from := strings.Index(at.Text(), c.old)
			e, ok := at.EditAt(from, from+len(c.old), c.text)
			if ok != (c.want != "") {
				t.Fatalf("ok = %v", ok)
			}
			if !ok {
				return
			}
			f := at.Error("CDCD-0000", "x")
			f.Edits = []Edit{e}
			got, applied := Apply([]byte(c.src), Errors{f})
			if string(got) != c.want || len(applied) != 1 {
				t.Errorf("got %q, want %q", got, c.want)
			}
			want := strings.Replace(at.Text(), c.old, c.text, 1)
			doc, err = Decode("f", got, &into, Config{})
			if err != nil || doc.At("k").Text() != want {
				t.Errorf("read again: %q, %v", doc.At("k").Text(), err)
			}
		})
	}
}

func TestKeysAndListsAreEdited(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"before a key":             {"- a: 1\n  when: x\n", "- a: 1\n  on: [u]\n  when: x\n"},
		"before the first key":     {"- when: x\n  a: 1\n", "- on: [u]\n  when: x\n  a: 1\n"},
		"after CR LF":              {"- a: 1\r\n  when: x\r\n", "- a: 1\r\n  on: [u]\r\n  when: x\r\n"},
		"in braces":                {"- {a: 1, when: x}\n", "- {a: 1, on: [u], when: x}\n"},
		"a list":                   {"- {on: [i, u ], when: x}\n", "- {on: [u], when: x}\n"},
		"a list over lines":        {"- on:\n    - i\n    - u\n  when: x\n", ""},
		"a list with a comment":    {"- on: [i, # inserts\n      u]\n  when: x\n", "- on: [u]\n  when: x\n"},
		"a list with a comment at": {"- on: [i, u # updates\n      ]\n  when: x\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var into any
			doc, err := Decode("f", []byte(c.src), &into, Config{})
			if err != nil {
				t.Fatal(err)
			}
			e, ok := doc.At(0, "when").EditKey("on: [u]")
			if on := doc.At(0, "on"); on.Exists() {
				e, ok = on.EditList("[u]")
			}
			if ok != (c.want != "") {
				t.Fatalf("ok = %v: %+v", ok, e)
			}
			got, _ := Apply([]byte(c.src), Errors{{Edits: []Edit{e}}})
			if ok && string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEditsThatOverlapAreLeftForLater(t *testing.T) {
	findings := Errors{{Msg: "a", Edits: []Edit{{0, 2, "x"}, {5, 6, "y"}}}, {Msg: "b", Edits: []Edit{{1, 3, "z"}}}, {Msg: "c"},
		{Msg: "d", Edits: []Edit{{3, 4, "w"}}}, {Msg: "e", Edits: []Edit{{9, 99, "v"}}}}
	got, applied := Apply([]byte("0123456"), findings)
	var names string
	for _, f := range applied {
		names += f.Msg
	}
	if string(got) != "x2w4y6" || names != "ad" {
		t.Errorf("got %q by %s", got, names)
	}
}
