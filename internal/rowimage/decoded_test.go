package rowimage

import (
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestInstantsAgreeWithTheStandardLibrary(t *testing.T) {
	for at := time.Date(1969, 12, 31, 0, 0, 0, 1000, time.UTC); at.Year() < 2110; at = at.Add(17*time.Hour + 13*time.Second) {
		c := cdc.Civil{Year: at.Year(), Month: int(at.Month()), Day: at.Day(), Hour: at.Hour(), Minute: at.Minute(), Second: at.Second(), Micro: at.Nanosecond() / 1000}
		if got, want := instant(c), at.UnixMicro(); got != want {
			t.Fatalf("%v is %d, want %d", at, got, want)
		}
	}
}

func TestTimesAreParsed(t *testing.T) {
	for text, want := range map[string]int64{"00:00:00": 0, "-00:00:00.000001": -1, "838:59:59.999999": 3020399999999, "-838:59:59": -3020399000000, "01:02:03.5": 3723500000} {
		if got, ok := parseTime(text); !ok || got != want {
			t.Errorf("%s is %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "1", "1:2", "1:2:3:4", "1:2:3.1234567", "a:00:00", "1.5:00:00"} {
		if got, ok := parseTime(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestHTMLEscapesOfJSONAreUndone(t *testing.T) {
	for text, want := range map[string]string{
		`"\u003c\u0026\u003e"`: `"<&>"`, `"\\u003c"`: `"\\u003c"`, `"\\\u003c"`: `"\\<"`, `"\u0001"`: `"\u0001"`, `"\u2028"`: "\"\u2028\"", `"plain"`: `"plain"`, `\`: `\`, `"\n"`: `"\n"`,
	} {
		if got := string(appendUnescaped(nil, text)); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
