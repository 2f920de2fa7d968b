package fuzz

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// FuzzJSONString writes any text as a JSON string: it must be JSON, on one line, and read back as the same text but
// for what is not UTF-8.
func FuzzJSONString(f *testing.F) {
	for _, seed := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é€🚀\u2028\ufffd", "a\xffb\xc3", "\xe2\x82\"", "\xed\xa0\x80", "<&>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := cdc.AppendString([]byte("x"), s)
		if got[0] != 'x' {
			t.Fatalf("what was there became %q", got)
		}
		if got = got[1:]; !utf8.Valid(got) || strings.ContainsAny(string(got), "\n\r") {
			t.Fatalf("%q is not one line of UTF-8", got)
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if want := string([]rune(s)); back != want { // each wrong byte becomes U+FFFD
			t.Fatalf("%q reads back as %q, want %q", got, back, want)
		}
		for _, kind := range []cdc.Kind{cdc.KindDecimal, cdc.KindSet, cdc.KindBytes, cdc.KindJSON, cdc.KindEnum, cdc.KindGeometry, cdc.KindVector} {
			got := cdc.AppendJSON(nil, &cdc.Column{Kind: kind}, cdc.TextValue(kind, s))
			if !json.Valid(got) || !utf8.Valid(got) || strings.ContainsAny(string(got), "\n\r") {
				t.Fatalf("%s %q is not one line of JSON: %q", kind, s, got)
			}
		}
	})
}
