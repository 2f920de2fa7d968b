package rules

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// A rule store keeps rules one by one, as the texts that people wrote: [Split] takes a file apart, [ParseText] reads one
// text, and a file's head with the texts of its rules behind it is the file again.

const textHead = "version: 1\nrules:\n"

// Split takes a rule file apart: what stands before its first rule, and the text of each of rs, which [Parse] has read
// from it, without an error. A text is one entry of the list, with the comments above it. Where rules do not stand
// each on lines of their own, as in a flow list, they are written anew, and head is that of an empty file.
func Split(src []byte, rs []*Rule) (head string, texts []string) {
	if head, texts, ok := cut(src, rs); ok {
		return head, texts
	}
	for _, r := range rs {
		texts = append(texts, "  - "+strings.TrimRight(strings.ReplaceAll(r.place.YAML(), "\n", "\n    "), " "))
	}
	return textHead, texts
}

// cut cuts src at the lines on which rules begin.
func cut(src []byte, rs []*Rule) (head string, texts []string, ok bool) {
	lines := bytes.SplitAfter(src, []byte("\n"))
	var begins []int
	for _, r := range rs {
		at := r.place.Pos()
		line := lines[at.Line-1]
		dash := bytes.IndexByte(line, '-')
		if dash < 0 || len(bytes.TrimLeft(line[:dash], " ")) > 0 || len(line) < at.Col || len(bytes.Trim(line[dash+1:at.Col-1], " ")) > 0 {
			return "", nil, false
		}
		first := at.Line - 1
		for first > 0 && belongsBelow(lines[first-1], dash) {
			first--
		}
		begins = append(begins, first)
	}
	for i, r := range rs {
		end := len(lines)
		if i+1 < len(rs) {
			end = begins[i+1]
		}
		if begins[i] >= end {
			return "", nil, false
		}
		text := string(bytes.Join(lines[begins[i]:end], nil))
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		alone, err := ParseText(r.Name, text)
		if err != nil || !r.isOf(alone) {
			return "", nil, false
		}
		texts = append(texts, text)
	}
	if len(begins) == 0 {
		return string(src), nil, true
	}
	return string(bytes.Join(lines[:begins[0]], nil)), texts, true
}

// belongsBelow reports whether a line is empty, or a comment that is not indented more than the entry below it: one that
// is may be part of a text in the entry before.
func belongsBelow(line []byte, indent int) bool {
	text := bytes.TrimSpace(line)
	return len(text) == 0 || text[0] == '#' && bytes.IndexByte(line, '#') <= indent
}

// TextLine is the line on which a text begins in the findings about it.
const TextLine = 3 // textHead has two lines

// ParseText reads the text of one rule, as if it were alone in a file: in findings about it, the text begins on line
// [TextLine].
func ParseText(file, text string) (*Rule, error) {
	rs, err := Parse(file, []byte(textHead+text))
	if err != nil {
		return nil, err
	}
	if len(rs) != 1 {
		return nil, fmt.Errorf("%s: %d rules where one was expected", file, len(rs))
	}
	return rs[0], nil
}

// WithMode returns a rule's text with another mode, and nothing else changed.
func WithMode(text string, mode Mode) (string, error) {
	const file = "rule"
	r, err := ParseText(file, text)
	if err != nil {
		return "", err
	}
	whole := textHead + text
	var changed string
	switch at := r.place.At("mode"); {
	case at.Exists() && at.Text() != "":
		from := offsetOf(whole, at.Pos())
		to := from + len(at.Text())
		if whole[from] == '\'' || whole[from] == '"' {
			to += 2
		}
		changed = whole[:from] + mode.String() + whole[to:]
	case at.Exists():
		return "", fmt.Errorf("rule %s has an empty mode", r.Name)
	case whole[offsetOf(whole, r.place.Pos())] == '{':
		from := offsetOf(whole, r.place.Pos()) + 1
		changed = whole[:from] + "mode: " + mode.String() + ", " + whole[from:]
	default:
		name := offsetOf(whole, r.place.At("name").Pos())
		end := name + strings.IndexByte(whole[name:]+"\n", '\n')
		changed = whole[:end] + "\n" + strings.Repeat(" ", r.place.Pos().Col-1) + "mode: " + mode.String() + whole[end:]
	}
	changed = changed[len(textHead):]
	if after, err := ParseText(file, changed); err != nil {
		return "", fmt.Errorf("rule %s with mode %s: %w", r.Name, mode, err)
	} else if after.Name != r.Name || after.Mode != mode {
		return "", fmt.Errorf("the mode of rule %s cannot be changed as it is written", r.Name)
	}
	return changed, nil
}

func offsetOf(text string, at strictyaml.Pos) int {
	from := 0
	for range at.Line - 1 {
		from += strings.IndexByte(text[from:], '\n') + 1
	}
	for range at.Col - 1 {
		for from++; from < len(text) && text[from]&0xc0 == 0x80; from++ {
		}
	}
	return from
}

// ParseMode returns the mode of that name.
func ParseMode(name string) (Mode, bool) {
	for i, known := range modeNames {
		if known == name {
			return Mode(i), true
		}
	}
	return 0, false
}
