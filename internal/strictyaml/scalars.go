package strictyaml

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as in Go: 500ms, 2s, 1h30m. It is never negative.
type Duration time.Duration

// Size is a number of bytes, written 16MiB, 64KB or 4096. It is never negative.
type Size int64

// hinted is an error of a scalar type that knows how to mend the value.
type hinted struct{ msg, hint string }

func (h hinted) Error() string { return h.msg }

// UnmarshalText parses a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	v, err := time.ParseDuration(s)
	switch {
	case err != nil && isDigits(s):
		return hinted{fmt.Sprintf("'%s' has no unit", clip(s)), fmt.Sprintf("write %ss for seconds, %sms for milliseconds", clip(s), clip(s))}
	case err != nil:
		return hinted{fmt.Sprintf("'%s' is not a duration", clip(s)), "write it like 500ms, 2s, 5m or 1h30m"}
	case v < 0:
		return hinted{fmt.Sprintf("'%s' is negative", clip(s)), "write it like 500ms, 2s, 5m or 1h30m"}
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration the way UnmarshalText reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the duration without the zero parts that time.Duration would add: 5m, not 5m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Expects says what a duration looks like, for error messages.
func (Duration) Expects() string { return "a duration such as 2s" }

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

var sizeText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$`)

// UnmarshalText parses a size: a number with or without a unit, binary (KiB, MiB, GiB, TiB) or decimal (KB, MB, GB, TB).
func (z *Size) UnmarshalText(text []byte) error {
	s := string(text)
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		return hinted{fmt.Sprintf("'%s' is not a size", clip(s)), "write it like 64KiB, 16MiB or 10GiB"}
	}
	for _, u := range units {
		if u.name != m[2] {
			continue
		}
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil && n <= math.MaxInt64/u.bytes {
			*z = Size(n * u.bytes)
			return nil
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f*float64(u.bytes) >= math.MaxInt64 {
			return hinted{fmt.Sprintf("'%s' is too large", clip(s)), ""}
		}
		*z = Size(f * float64(u.bytes))
		return nil
	}
	names := []string{"KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB", "B"}
	if near, ok := Nearest(m[2], names); ok {
		return hinted{fmt.Sprintf("'%s' is not a unit of size", clip(m[2])), fmt.Sprintf("did you mean %s%s?", m[1], near)}
	}
	return hinted{fmt.Sprintf("'%s' is not a unit of size", clip(m[2])), "use KiB, MiB, GiB or TiB"}
}

// MarshalText writes the size the way UnmarshalText reads it.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// String returns the size in the largest binary unit that divides it.
func (z Size) String() string {
	for _, u := range units[:4] {
		if z != 0 && int64(z)%u.bytes == 0 {
			return strconv.FormatInt(int64(z)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(z), 10) + "B"
}

// Expects says what a size looks like, for error messages.
func (Size) Expects() string { return "a size such as 16MiB" }

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

// plainNumber removes the digit separators that YAML allows, so that 50_000 can be written.
func plainNumber(s string) string { return strings.ReplaceAll(s, "_", "") }

var jsonNumberText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// jsonNumber returns a decimal number with exactly the digits it was written with.
func jsonNumber(s string) (json.Number, bool) {
	s = strings.TrimPrefix(plainNumber(s), "+")
	digits := strings.TrimPrefix(s, "-")
	sign := s[:len(s)-len(digits)]
	if strings.HasPrefix(digits, ".") {
		digits = "0" + digits
	}
	digits = strings.Replace(digits, ".e", ".0e", 1)
	if strings.HasSuffix(digits, ".") {
		digits += "0"
	}
	s = sign + digits
	return json.Number(s), jsonNumberText.MatchString(s)
}
