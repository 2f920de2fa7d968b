package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// The program itself, for some seconds.
func TestThePartnerHasWhatWasCommitted(t *testing.T) {
	var out bytes.Buffer
	e := example{load: 12 * time.Second, every: 1500 * time.Millisecond, dir: t.TempDir(), out: &out}
	if err := e.run(t.Context()); err != nil {
		for _, who := range []string{"sender", "partner"} {
			log, _ := os.ReadFile(e.path(who, "log"))
			lines := strings.Split(string(log), "\n")
			t.Logf("log of the %s:\n%s", who, strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
		t.Fatalf("%v\n%s", err, &out)
	}
	if e.kills < 2 || !strings.Contains(out.String(), "the partner has what was committed") {
		t.Errorf("killed %d times:\n%s", e.kills, &out)
	}
	t.Log(out.String())
}
