package main

import (
	"strings"
	"testing"
	"time"
)

func TestRetentionIsWrittenInDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "36h": 36 * time.Hour, "0d": 0, "1d": 24 * time.Hour} {
		var s span
		if err := s.UnmarshalText([]byte(text)); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(s), err)
		}
		if again, err := s.MarshalText(); err != nil || s != 0 && strings.HasSuffix(text, "d") && string(again) != text {
			t.Errorf("%s is written as %s (%v)", text, again, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "30", "99999999d", "a month"} {
		var s span
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %v", text, time.Duration(s))
		}
	}
}
