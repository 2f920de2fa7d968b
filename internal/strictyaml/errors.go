package strictyaml

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Error is one finding in a file. It prints as a located message, the source line and a caret with the suggestion:
//
//	rules/paid.yaml:7:33: error CDCD-2104: orders has no column 'amont'
//	   7 |   when: op == "update" && after.amont > 100
//	     |                                 ^^^^^ did you mean 'amount'?
type Error struct {
	File       string
	Line       int    // from 1; 0 when the finding is not in a file, and File says where: "--set name"
	Col        int    // from 1, in characters
	Width      int    // characters to underline; at least 1
	Code       string // CDCD-nnnn
	Msg        string
	Suggestion string // what was probably meant, or a way to mend it; may be empty
	Snippet    string // the source line; may be empty
	Path       string // of the value: rules[0].when; empty when it is not about one
	Warning    bool   // worth saying, but not wrong
	Edits      []Edit // that do what the suggestion says; none when a person has to decide
}

// Hint sets the suggestion and returns e.
func (e *Error) Hint(format string, args ...any) *Error {
	e.Suggestion = fmt.Sprintf(format, args...)
	return e
}

// Warn makes the error a warning and returns e.
func (e *Error) Warn() *Error {
	e.Warning = true
	return e
}

// Error returns the finding as it is shown above, without a newline at the end.
func (e *Error) Error() string {
	var b strings.Builder
	severity := "error"
	if e.Warning {
		severity = "warning"
	}
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
	}
	fmt.Fprintf(&b, ": %s %s: %s", severity, e.Code, printable(e.Msg))
	if e.Snippet == "" {
		if e.Suggestion != "" {
			b.WriteString("; " + printable(e.Suggestion))
		}
		return b.String()
	}
	text, before, under := e.window()
	number := fmt.Sprintf("%4d", e.Line)
	fmt.Fprintf(&b, "\n%s | %s", number, text)
	fmt.Fprintf(&b, "\n%*s | %s%s", len(number), "", strings.Repeat(" ", before), strings.Repeat("^", under))
	if e.Suggestion != "" {
		b.WriteString(" " + printable(e.Suggestion))
	}
	return b.String()
}

// window returns the part of the source line that is shown, and in screen cells how far to indent the caret and how
// wide it is.
func (e *Error) window() (text string, before, under int) {
	const most, lead = 140, 60
	line := []rune(strings.TrimRight(e.Snippet, " \t\r"))
	for i, r := range line {
		if r == '\t' || !unicode.IsPrint(r) {
			line[i] = ' ' // the caret must stand where it points, and a file must not drive the terminal
		}
	}
	col := max(e.Col-1, 0)
	prefix, suffix := "", ""
	if len(line) > most {
		from := min(max(col-lead, 0), max(len(line)-most, 0))
		to := min(from+most, len(line))
		if from > 0 {
			prefix = "…"
		}
		if to < len(line) {
			suffix = "…"
		}
		line, col = line[from:to], col-from
	}
	at := min(col, len(line))
	end := min(at+max(e.Width, 1), len(line))
	before = cells(prefix) + cells(string(line[:at])) + (col - at)
	return prefix + string(line) + suffix, before, max(cells(string(line[at:end])), 1)
}

// printable writes control characters as escapes: a name in a file must not drive the terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) || r == '\n' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// cells returns how many screen cells a text takes: two for East Asian wide characters, none for combining marks.
func cells(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
			r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
			n += 2
		default:
			n++
		}
	}
	return n
}

// Errors are all findings of one or more files.
type Errors []*Error

// Error returns all findings, one after the other.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap lets errors.As find a single *Error.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// Sort orders the findings by file, line and column.
func (es Errors) Sort() {
	slices.SortStableFunc(es, func(a, b *Error) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
}

// Err returns the findings, sorted, as an error, or nil when all of them are warnings.
func (es Errors) Err() error {
	es.Sort()
	for _, e := range es {
		if !e.Warning {
			return es
		}
	}
	return nil
}

// Nearest returns the candidate that name is most probably a misspelling of, and whether there is one near enough:
// at most one mistake in three characters, where a mistake is a character too many, too few, wrong, or two swapped.
// Case does not count, and '-' is '_'. A name that is the beginning of a longer one, up to an underscore, is near too.
func Nearest(name string, candidates []string) (string, bool) {
	const longest = 64
	fold := strings.NewReplacer("-", "_")
	want := []rune(fold.Replace(strings.ToLower(name)))
	if len(want) == 0 || len(want) > longest {
		return "", false
	}
	best, bestDist := "", min(max(len(want)/3, 1), 3)+1
	bestSame := 0 // of two that are as near, the one that begins alike for longer
	for _, c := range candidates {
		have := []rune(fold.Replace(strings.ToLower(c)))
		if len(have) > longest || len(have)-len(want) > bestDist || len(want)-len(have) > bestDist {
			continue
		}
		d, same := distance(want, have), commonPrefix(want, have)
		if d < len(have) && (d < bestDist || d == bestDist && best != "" && same > bestSame) {
			best, bestDist, bestSame = c, d, same
		}
	}
	if best == "" && len(want) >= 4 {
		for _, c := range candidates {
			if strings.HasPrefix(fold.Replace(strings.ToLower(c)), string(want)+"_") {
				return c, true
			}
		}
	}
	return best, best != ""
}

func commonPrefix(a, b []rune) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// distance is the optimal string alignment distance (Damerau-Levenshtein without editing a swapped pair again).
func distance(a, b []rune) int {
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}
