package method

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// Method is how values are masked. The zero value leaves them as they are.
type Method struct {
	Name string // one of Names
	N    int    // of truncate: how many characters stay
}

// The methods' names. What comes first gives less away.
const (
	Redact   = "redact"   // every value becomes Redacted
	HMAC     = "hmac"     // equal values have equal masks, and nobody gets back to the value
	Encrypt  = "encrypt"  // who has the key gets the value back
	Year     = "year"     // of a date, its year
	Month    = "month"    // of a date, its year and month
	Truncate = "truncate" // the first characters
	Last4    = "last4"    // the last four characters of eight or more
)

// Names are the names of all methods.
var Names = []string{Redact, HMAC, Encrypt, Year, Month, Truncate, Last4}

// Redacted stands for what is not shown at all.
const Redacted = "***"

// maxTruncate is how many characters truncate may leave.
const maxTruncate = 255

var text = regexp.MustCompile(`^([a-z0-9_]+)(?:\(([^()]*)\))?$`)

// ErrUnknown is the error of a name that no method has.
var ErrUnknown = errors.New("there is no such method")

// Parse reads a method: hmac, truncate(2).
func Parse(s string) (Method, error) {
	parts := text.FindStringSubmatch(s)
	if parts == nil || !slices.Contains(Names, parts[1]) {
		return Method{}, ErrUnknown
	}
	m := Method{Name: parts[1]}
	bare := len(parts[0]) == len(parts[1])
	if m.Name != Truncate {
		if !bare {
			return Method{}, fmt.Errorf("%s takes nothing in brackets", m.Name)
		}
		return m, nil
	}
	n, err := strconv.Atoi(parts[2])
	if bare || err != nil || n < 1 || n > maxTruncate || strconv.Itoa(n) != parts[2] {
		return Method{}, fmt.Errorf("truncate says how many characters stay, 1 to %d: truncate(3)", maxTruncate)
	}
	m.N = n
	return m, nil
}

// String returns the method as it is written.
func (m Method) String() string {
	if m.Name == Truncate {
		return fmt.Sprintf("%s(%d)", m.Name, m.N)
	}
	return m.Name
}

// Keyed reports whether the method needs a key, and is none of this package's.
func (m Method) Keyed() bool { return m.Name == HMAC || m.Name == Encrypt }

// Stronger returns that of two methods that gives less away. Any method gives less away than none.
func Stronger(a, b Method) Method {
	switch ra, rb := a.rank(), b.rank(); {
	case ra < rb, ra == rb && a.N <= b.N:
		return a
	}
	return b
}

func (m Method) rank() int {
	if i := slices.Index(Names, m.Name); i >= 0 {
		return i
	}
	return len(Names)
}

// Fits says why the method cannot mask a column and what to write in its place; "" when it can.
func (m Method) Fits(c *cdc.Column) (why, fix string) {
	switch m.Name {
	case Year, Month:
		if c.Kind != cdc.KindDate && c.Kind != cdc.KindDatetime && c.Kind != cdc.KindTimestamp {
			return fmt.Sprintf("%s masks DATE, DATETIME and TIMESTAMP", m.Name), "write redact, hmac or encrypt"
		}
	case Truncate:
		if c.Kind != cdc.KindString && c.Kind != cdc.KindEnum {
			return "truncate masks text", otherwise(c)
		}
	case Last4:
		switch c.Kind {
		case cdc.KindString, cdc.KindEnum, cdc.KindInt64, cdc.KindUint64, cdc.KindDecimal:
		default:
			return "last4 masks text, whole numbers and DECIMAL", otherwise(c)
		}
	}
	return "", ""
}

func otherwise(c *cdc.Column) string {
	switch c.Kind {
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTimestamp:
		return "write month, year, redact, hmac or encrypt"
	}
	return "write redact, hmac or encrypt"
}

// Column describes a column as it is delivered. Dates stay dates; everything else becomes text.
func (m Method) Column(c cdc.Column) cdc.Column {
	masked := cdc.Column{Name: c.Name, Kind: cdc.KindString, Nullable: c.Nullable, Key: c.Key}
	switch m.Name {
	case Redact:
		masked.Type = "char(3)"
	case HMAC:
		masked.Type = "char(64)"
	case Last4:
		masked.Type = "varchar(7)"
	case Truncate:
		masked.Type = fmt.Sprintf("varchar(%d)", m.N)
	case Year, Month:
		return c
	default:
		masked.Type = "text"
	}
	return masked
}

// Value returns what stands for a value of the column, which the method must fit and not be Keyed. A value that it does
// not fit after all, as when a table was altered, is redacted. NULL stays NULL, what is absent stays absent.
func (m Method) Value(c *cdc.Column, v cdc.Value) cdc.Value {
	if v.IsNull() || v.IsAbsent() {
		return v
	}
	if why, _ := m.Fits(&cdc.Column{Kind: v.Kind()}); why != "" {
		return cdc.TextValue(cdc.KindString, Redacted)
	}
	switch m.Name {
	case Year, Month:
		return m.date(v)
	case Truncate:
		return cdc.TextValue(cdc.KindString, first(v.Text(), m.N))
	case Last4:
		return cdc.TextValue(cdc.KindString, last4(string(cdc.AppendText(nil, c, v))))
	}
	return cdc.TextValue(cdc.KindString, Redacted)
}

// date returns the first day of a date's month or year. Parts of a date that are zero stay so.
func (m Method) date(v cdc.Value) cdc.Value {
	cut := func(c cdc.Civil) cdc.Civil {
		out := cdc.Civil{Year: c.Year, Month: min(c.Month, 1), Day: min(c.Day, 1)}
		if m.Name == Month {
			out.Month = c.Month
		}
		return out
	}
	switch v.Kind() {
	case cdc.KindDate, cdc.KindDatetime:
		return cdc.CivilValue(v.Kind(), cut(v.Civil()))
	}
	if v.Int64() == 0 { // the zero date
		return v
	}
	at := v.Time()
	return cdc.TimestampValue(midnight(cut(cdc.Civil{Year: at.Year(), Month: int(at.Month()), Day: at.Day()})))
}

// first returns the first n characters.
func first(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// last4 returns the last four characters behind stars. Of what has less than eight, nothing is shown: four would be most of it.
func last4(s string) string {
	n := utf8.RuneCountInString(s)
	if n < 8 {
		return Redacted
	}
	return Redacted + strings.TrimPrefix(s, first(s, n-4))
}

// Shows reports whether a rule lets see a column: of an image, before or after, or of a look-up.
func Shows(s *cdc.Show, of, column string) bool {
	return s == nil || len(s.Select) == 0 || slices.ContainsFunc(s.Select, func(p cdc.Path) bool { return covers(p, of, column) })
}

// Of returns how a rule masks a column; the zero value: not at all. A mask of one image is one of both: who may not see a
// value in one must not see it in the other.
func Of(s *cdc.Show, of, column string) Method {
	var out Method
	if s == nil {
		return out
	}
	for i := range s.Mask {
		p := s.Mask[i].Path
		if isImage(p.Of) && isImage(of) {
			p.Of = of
		}
		if !covers(p, of, column) {
			continue
		}
		m, err := Parse(s.Mask[i].Method)
		if err != nil {
			m = Method{Name: Redact} // a method that is not known here must not show the value
		}
		out = Stronger(out, m)
	}
	return out
}

func isImage(of string) bool { return of == "before" || of == "after" || of == "row" }

// covers reports whether a path names a column. Case does not count in the column's name, as it does not for SQL.
func covers(p cdc.Path, of, column string) bool {
	if p.Of != of && !(p.Of == "row" && isImage(of)) {
		return false
	}
	return p.Column == "*" || strings.EqualFold(p.Column, column)
}
