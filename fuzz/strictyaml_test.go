package fuzz

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// FuzzStrictYAML reads any text as a file of rules would be read: it must never panic, and whatever it complains about
// must be at a place that exists, and safe to print on a terminal.
func FuzzStrictYAML(f *testing.F) {
	f.Add([]byte("version: 1\nrules:\n  - name: a\n    when: |\n      after.é == 'x'\n    mask: {a.b: hmac}\n    every: 2s\n    bytes: 16MiB\n"))
	f.Add([]byte("rules: [{name: 'it''s', when: >-\n  a\n  b}]\nany: [1, 2.5, ~, {x: \"\\u00e9\"}]\n"))
	f.Add([]byte("version: &a 1\nname: *a\n<<: {x: !!str 1}\n? [a]\n: b\n"))
	f.Add([]byte("\ufeffversion: 1\r\n---\n\tname: x\r\n"))
	f.Add([]byte("rules:\n- name: \"a\\\n   b\"\n  when: |2+\n     x\n\n"))
	f.Add([]byte("rsi\tn: 1\n\"\\e[31m\": 2\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var file struct {
			Version int `yaml:"version,required"`
			Rules   []struct {
				Name  string              `yaml:"name,required"`
				When  string              `yaml:"when"`
				Mask  map[string]string   `yaml:"mask"`
				Every strictyaml.Duration `yaml:"every"`
				Bytes strictyaml.Size     `yaml:"bytes"`
			} `yaml:"rules"`
			Any any `yaml:"any"`
		}
		doc, err := strictyaml.Decode("f.yaml", src, &file, strictyaml.Config{})
		lines := strings.Count(string(src), "\n") + 1
		check := func(e *strictyaml.Error) {
			if e.Line < 1 || e.Line > lines || e.Col < 1 || e.Width < 1 {
				t.Fatalf("%d:%d+%d is no place in a file of %d lines", e.Line, e.Col, e.Width, lines)
			}
			text := e.Error()
			if !utf8.ValidString(text) {
				t.Fatalf("not UTF-8: %q", text)
			}
			for _, r := range text {
				if r != '\n' && unicode.IsControl(r) {
					t.Fatalf("control character %U in %q", r, text)
				}
			}
		}
		var errs strictyaml.Errors
		if err != nil && !errors.As(err, &errs) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, e := range errs {
			check(e)
		}
		for i, r := range file.Rules {
			when := doc.At("rules", i, "when")
			if when.Exists() && r.When != "" && when.Text() != r.When {
				t.Fatalf("decoded %q, but the document says %q", r.When, when.Text())
			}
			for at := range len(r.When) + 1 {
				check(when.ErrorAt(at, at+1, "CDCD-2104", "m"))
			}
		}
	})
}
