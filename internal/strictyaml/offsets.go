package strictyaml

import (
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// scalarOffsets returns, for each byte of a scalar's value and for its end, the offset in src where that byte was
// written. start is the offset of the scalar's first character. Escapes map to their backslash, folded spaces and
// line breaks to the line break.
//
// The YAML library keeps only where a scalar begins, so this reads it a second time by the same rules and checks
// itself against the value on the way; nil means that it does not agree.
func scalarOffsets(src []byte, start int, style yaml.Style, value string) []int {
	r := rescan{src: src, at: start, value: value}
	switch {
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return rescanBlock(src, start, style&yaml.FoldedStyle != 0, value)
	case style&yaml.SingleQuotedStyle != 0:
		r.at++
		r.flow('\'')
	case style&yaml.DoubleQuotedStyle != 0:
		r.at++
		r.flow('"')
	default:
		r.flow(0)
	}
	return r.result()
}

// rescan reads a scalar again and keeps the place of every byte.
type rescan struct {
	src     []byte
	at      int
	value   string // what must come out
	offsets []int
	wrong   bool
}

func (r *rescan) emit(b byte, at int) {
	if len(r.offsets) >= len(r.value) || r.value[len(r.offsets)] != b {
		r.wrong = true
		return
	}
	r.offsets = append(r.offsets, at)
}

func (r *rescan) done() bool { return r.wrong || len(r.offsets) == len(r.value) }

func (r *rescan) result() []int {
	if r.wrong || len(r.offsets) != len(r.value) {
		return nil
	}
	return append(r.offsets, r.at)
}

func (r *rescan) blank() bool {
	return r.at < len(r.src) && (r.src[r.at] == ' ' || r.src[r.at] == '\t')
}

// lineBreak steps over a line break, if there is one here.
func (r *rescan) lineBreak() bool {
	switch {
	case r.at < len(r.src) && r.src[r.at] == '\n':
		r.at++
	case r.at+1 < len(r.src) && r.src[r.at] == '\r' && r.src[r.at+1] == '\n':
		r.at += 2
	default:
		return false
	}
	return true
}

// flow reads a plain (quote 0) or quoted scalar: lines are folded, one break to a space, n to n-1 breaks.
func (r *rescan) flow(quote byte) {
	for !r.done() && r.at < len(r.src) {
		c := r.src[r.at]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			r.fold(false)
		case quote == '\'' && c == '\'':
			r.emit(c, r.at) // a lone quote would have ended the scalar
			r.at += 2
		case quote == '"' && c == '\\':
			r.escape()
		default:
			r.emit(c, r.at)
			r.at++
		}
	}
	if quote == 0 || r.wrong {
		return
	}
	for r.at < len(r.src) && r.src[r.at] != quote { // what an escaped line break swallowed at the end
		r.at++
	}
}

// fold reads blanks and line breaks; escaped says that a line break was escaped just before.
func (r *rescan) fold(escaped bool) {
	var blanks, breaks []int
	broken := escaped
	for {
		at := r.at
		if r.blank() {
			r.at++
			if !broken {
				blanks = append(blanks, at)
			}
		} else if r.lineBreak() {
			broken = true
			breaks = append(breaks, at)
		} else {
			break
		}
	}
	switch {
	case !broken:
		for _, at := range blanks {
			r.emit(r.src[at], at)
		}
		return
	case escaped:
	case len(breaks) == 1:
		r.emit(' ', breaks[0])
		return
	default:
		breaks = breaks[1:]
	}
	for _, at := range breaks {
		r.emit('\n', at)
	}
}

var escapes = map[byte]rune{'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f',
	'r': '\r', 'e': 0x1b, ' ': ' ', '"': '"', '\'': '\'', '\\': '\\', '/': '/', 'N': 0x85, '_': 0xa0, 'L': 0x2028, 'P': 0x2029}

var hexDigits = map[byte]int{'x': 2, 'u': 4, 'U': 8}

func (r *rescan) escape() {
	start := r.at
	r.at++
	if r.lineBreak() {
		r.fold(true)
		return
	}
	if r.at >= len(r.src) {
		r.wrong = true
		return
	}
	c := r.src[r.at]
	r.at++
	char, digits := escapes[c], hexDigits[c]
	for ; digits > 0 && r.at < len(r.src); digits-- {
		char = char<<4 | hexDigit(r.src[r.at])
		r.at++
	}
	for _, b := range utf8.AppendRune(nil, char) {
		r.emit(b, start)
	}
}

func hexDigit(c byte) rune {
	switch {
	case c >= 'a':
		return rune(c-'a') + 10
	case c >= 'A':
		return rune(c-'A') + 10
	}
	return rune(c - '0')
}

// rescanBlock reads a literal or folded scalar. How deep it is indented is told by its first line, or by an
// indentation digit that counts from the indentation of the parent: which we do not know, so we try.
func rescanBlock(src []byte, start int, folded bool, value string) []int {
	r := rescan{src: src, at: start, value: value}
	digit := false
	for r.at < len(src) && src[r.at] != '\n' && src[r.at] != '#' {
		digit = digit || src[r.at] >= '1' && src[r.at] <= '9'
		r.at++
	}
	for r.at < len(src) && src[r.at] != '\n' {
		r.at++
	}
	if r.at < len(src) {
		r.at++
	}
	if value == "" {
		return []int{r.at}
	}
	deepest := firstIndent(src[r.at:])
	for indent := deepest; indent > 0; indent-- {
		try := r
		try.block(indent, folded)
		if m := try.result(); m != nil || !digit {
			return m
		}
	}
	return nil
}

// firstIndent returns the indentation of the first line that is not empty, or of a deeper empty line before it.
func firstIndent(src []byte) int {
	deepest, col := 0, 0
	for _, b := range src {
		switch b {
		case ' ':
			col++
			continue
		case '\r':
			continue
		}
		deepest = max(deepest, col)
		if b != '\n' {
			return deepest
		}
		col = 0
	}
	return max(deepest, col)
}

func (r *rescan) block(indent int, folded bool) {
	var lineEnd = -1           // the break that ended the previous content line
	var leadBlank bool         // the previous content line began with a blank
	var breaks []int           // the breaks of empty lines since
	atContent := func() bool { // steps over indentation and empty lines
		for {
			col := 0
			for col < indent && r.at < len(r.src) && r.src[r.at] == ' ' {
				r.at++
				col++
			}
			at := r.at
			if !r.lineBreak() {
				return col == indent && r.at < len(r.src)
			}
			breaks = append(breaks, at)
		}
	}
	for atContent() && !r.done() {
		switch {
		case lineEnd < 0:
		case folded && !leadBlank && !r.blank():
			if len(breaks) == 0 {
				r.emit(' ', lineEnd)
			}
		default:
			r.emit('\n', lineEnd)
		}
		for _, at := range breaks {
			r.emit('\n', at)
		}
		breaks, leadBlank = nil, r.blank()
		for !r.wrong && r.at < len(r.src) && !r.atBreak() {
			r.emit(r.src[r.at], r.at)
			r.at++
		}
		lineEnd = r.at
		if !r.lineBreak() {
			break
		}
		if r.done() {
			r.at = lineEnd
			return
		}
	}
	// The chomping indicator decided how many of the last breaks are in the value.
	for _, at := range append([]int{lineEnd}, breaks...) {
		if !r.done() {
			r.emit('\n', at)
		}
	}
}

func (r *rescan) atBreak() bool {
	return r.src[r.at] == '\n' || r.src[r.at] == '\r' && r.at+1 < len(r.src) && r.src[r.at+1] == '\n'
}
