package match

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
)

// Asker answers the opaque atoms of one event. An index asks each at most once per event, and only if the answer matters.
type Asker interface{ Ask(number int) Truth }

// Eval evaluates the formula on an event, word by word. It is what an index has to agree with, and slow.
func (f *Formula) Eval(e cdc.Event, ask Asker) Truth {
	switch f.Op {
	case And:
		t := True
		for _, kid := range f.Kids {
			t = min(t, kid.Eval(e, ask))
		}
		return t
	case Or:
		t := False
		for _, kid := range f.Kids {
			t = max(t, kid.Eval(e, ask))
		}
		return t
	case Leaf:
		if f.Negated {
			return f.Atom.Eval(e, ask).Not()
		}
		return f.Atom.Eval(e, ask)
	}
	return f.Value
}

// Eval evaluates the atom on an event.
func (a *Atom) Eval(e cdc.Event, ask Asker) Truth {
	row := e.After()
	if a.Slot.Image == Before {
		row = e.Before()
	}
	switch a.Test {
	case Opaque:
		return ask.Ask(a.Number)
	case Present:
		return truth(row.Kind(a.Slot.Column) != cdc.KindAbsent)
	case Changed:
		s := Slot{Column: a.Slot.Column}
		before, ok1 := s.read(e.Before())
		after, ok2 := s.read(e.After())
		if !ok1 || !ok2 {
			return Failed
		}
		return truth(before != after)
	}
	v, ok := a.Slot.read(row)
	switch {
	case !ok:
		return Failed
	case a.Test == Null:
		return truth(v.IsNull())
	case a.Test == Equal:
		return truth(equal(v, a.Const))
	case a.Test == In:
		for _, c := range a.Consts {
			if equal(v, c) {
				return True
			}
		}
		return False
	case v.IsNull():
		return Failed
	case a.Test == Prefix:
		return truth(strings.HasPrefix(v.Text(), a.Const.Text()))
	case a.Test == Suffix:
		return truth(strings.HasSuffix(v.Text(), a.Const.Text()))
	case a.Test == Contains:
		return truth(strings.Contains(v.Text(), a.Const.Text()))
	}
	order, ok := compare(v, a.Const)
	switch {
	case v.Kind() == a.Const.Kind() && (isNaN(v) || isNaN(a.Const)):
		return False
	case !ok:
		return Failed
	case a.Test == Less:
		return truth(order < 0)
	case a.Test == LessEqual:
		return truth(order <= 0)
	case a.Test == Greater:
		return truth(order > 0)
	}
	return truth(order >= 0)
}

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}

// read returns the slot's value, and whether there is one that is not broken.
func (s Slot) read(row cdc.Row) (cdc.Value, bool) {
	v := row.Value(s.Column)
	switch {
	case v.IsAbsent():
		return v, false
	case v.IsNull():
		return v, s.Derived == Itself || s.Derived == Civil
	}
	c := &row.Table().Columns[s.Column]
	if v.Kind() != c.Kind {
		return v, false
	}
	switch s.Derived {
	case Lower:
		return cdc.TextValue(cdc.KindString, string(appendLower(nil, v.Text()))), true
	case Upper:
		return cdc.TextValue(cdc.KindString, string(appendUpper(nil, v.Text()))), true
	case Trimmed:
		return cdc.TextValue(cdc.KindString, strings.TrimSpace(v.Text())), true
	case Folded:
		return cdc.TextValue(cdc.KindString, string(AppendFolded(nil, v.Text()))), true
	case Civil:
		text := cdc.AppendJSON(nil, c, v)
		return cdc.TextValue(cdc.KindString, string(text[1:len(text)-1])), true
	}
	return v, true
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendFolded appends a text in which characters that differ in case only are the same one: the first of those that
// Unicode's simple case folding takes for the same. Unicode never changes what that is for a character once it has one.
// Bytes that are no characters stay.
func AppendFolded(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError {
			dst = append(dst, s[i:i+n]...)
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += n
	}
	return dst
}

// foldRune returns the first character of those that differ from r in case only.
func foldRune(r rune) rune {
	first := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		first = min(first, f)
	}
	return first
}

func appendUpper(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// equal says whether a value that is not broken equals a constant.
func equal(v, c cdc.Value) bool {
	order, ok := compare(v, c)
	return ok && order == 0
}

// compare orders a value and a constant, if they can be: NULL, NaN and values of different kinds cannot.
func compare(v, c cdc.Value) (int, bool) {
	if v.Kind() != c.Kind() {
		return 0, false
	}
	switch v.Kind() {
	case cdc.KindBool:
		return cmp.Compare(ordinal(v.Bool()), ordinal(c.Bool())), true
	case cdc.KindInt64, cdc.KindTime:
		return cmp.Compare(v.Int64(), c.Int64()), true
	case cdc.KindTimestamp:
		return v.Time().Compare(c.Time()), true
	case cdc.KindUint64, cdc.KindBit, cdc.KindDate, cdc.KindDatetime:
		return cmp.Compare(v.Uint64(), c.Uint64()), true
	case cdc.KindFloat64:
		a, b := v.Float64(), c.Float64()
		return cmp.Compare(a, b), a == a && b == b
	case cdc.KindDecimal:
		return compareDecimals(v.Text(), c.Text()), true
	case cdc.KindString, cdc.KindEnum, cdc.KindBytes, cdc.KindGeometry:
		return strings.Compare(v.Text(), c.Text()), true
	}
	return 0, false
}

func isNaN(v cdc.Value) bool { return v.Kind() == cdc.KindFloat64 && v.Float64() != v.Float64() }

func ordinal(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareDecimals orders two decimals by value. A text that is not a decimal is read as the digits that are in it would.
func compareDecimals(a, b string) int {
	aSign, aWhole, aFraction := decimalParts(a)
	bSign, bWhole, bFraction := decimalParts(b)
	if aSign != bSign {
		return cmp.Compare(aSign, bSign)
	}
	magnitude := cmp.Compare(len(aWhole), len(bWhole))
	if magnitude == 0 {
		magnitude = strings.Compare(aWhole, bWhole)
	}
	if magnitude == 0 { // of two fractions with the same beginning, the longer is the larger
		magnitude = strings.Compare(aFraction, bFraction)
	}
	return aSign * magnitude
}

// decimalParts splits a decimal into its sign (-1, 0 or 1), its digits before the point without leading zeros, and those
// after it without trailing zeros.
func decimalParts(s string) (sign int, whole, fraction string) {
	sign = 1
	if strings.HasPrefix(s, "-") {
		sign, s = -1, s[1:]
	}
	whole, fraction, _ = strings.Cut(s, ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" && fraction == "" {
		sign = 0
	}
	return sign, whole, fraction
}
