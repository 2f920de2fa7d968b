package cdc

import "testing"

func TestARevisionIsReadAsItWasWritten(t *testing.T) {
	for _, text := range []string{"", "1.0123456789abcdef", "18446744073709551615.ffffffffffffffff"} {
		r, err := ParseRevision(text)
		if err != nil || r.String() != text {
			t.Errorf("%q: got %q, %v", text, r, err)
		}
	}
	for _, text := range []string{"1", "0.0123456789abcdef", "01.0123456789abcdef", "+1.0123456789abcdef", "1.0123456789abcde", "1.0123456789ABCDEF", ".0123456789abcdef", "1.0123456789abcdef0"} {
		if r, err := ParseRevision(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, r)
		}
	}
}
