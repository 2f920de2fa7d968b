package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Doc is a file that was read: it knows where each value stands. It is immutable and safe for concurrent use.
type Doc struct {
	file   string
	src    []byte
	lines  []int // offset of each line's first byte; the first line is lines[0]
	root   *yaml.Node
	config Config
}

// Pos is a position in a file. Line and Col count from 1; Col counts characters (code points), not bytes.
type Pos struct {
	File string
	Line int
	Col  int
}

// String returns file:line:col.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

func newDoc(file string, src []byte, c Config) *Doc {
	d := &Doc{file: file, src: src, lines: []int{0}, config: c}
	for i, b := range src {
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	return d
}

// File returns the file's name as it was given to [Decode].
func (d *Doc) File() string { return d.file }

// At returns the place of a value: At("rules", 0, "when"). Strings are keys, ints are indexes of lists. When there is
// no such value, the place is that of the nearest value around it, so errors about what is missing can be put
// somewhere; [Place.Exists] tells.
func (d *Doc) At(path ...any) Place {
	return d.place(d.root, nil, nil).At(path...)
}

// Place is the place of one value in a file.
type Place struct {
	doc     *Doc
	node    *yaml.Node // nil in an empty or unreadable file
	key     *yaml.Node // the key of node, when it is in a mapping
	path    []any
	missing bool
}

func (d *Doc) place(node, key *yaml.Node, path []any) Place {
	return Place{doc: d, node: node, key: key, path: path}
}

// At returns a place below p.
func (p Place) At(path ...any) Place {
	for _, step := range path {
		p.path = extend(p.path, step)
		if p.missing {
			continue
		}
		if key, value := child(p.node, step); value != nil {
			p.node, p.key = value, key
		} else {
			p.missing = true
		}
	}
	return p
}

func child(n *yaml.Node, step any) (key, value *yaml.Node) {
	if n == nil {
		return nil, nil
	}
	switch s := step.(type) {
	case string:
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == s && n.Content[i].Kind == yaml.ScalarNode {
					return n.Content[i], n.Content[i+1]
				}
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && s >= 0 && s < len(n.Content) {
			return nil, n.Content[s]
		}
	}
	return nil, nil
}

// Exists reports whether the value is in the file.
func (p Place) Exists() bool { return !p.missing && p.node != nil }

// Path returns the path of the value: rules[0].when.
func (p Place) Path() string { return pathString(p.path) }

// Keys returns the keys of a mapping in the order of the file; nil when the value is none.
func (p Place) Keys() []string {
	if !p.Exists() || p.node.Kind != yaml.MappingNode {
		return nil
	}
	var keys []string
	for i := 0; i+1 < len(p.node.Content); i += 2 {
		keys = append(keys, p.node.Content[i].Value)
	}
	return keys
}

// Text returns a scalar's text as YAML reads it; "" when the value is not a scalar.
func (p Place) Text() string {
	if !p.Exists() || p.node.Kind != yaml.ScalarNode {
		return ""
	}
	return p.node.Value
}

// YAML writes the value anew, in the style it stands in, with its comments.
func (p Place) YAML() string {
	if !p.Exists() {
		return ""
	}
	text, err := yaml.Marshal(p.node)
	if err != nil {
		return "" // a node that was read can be written
	}
	return string(text)
}

// Pos returns the position of the value's first character: the quote of a quoted scalar, the | or > of a block scalar.
func (p Place) Pos() Pos {
	from, _ := p.span()
	return p.doc.posOf(from)
}

// PosAt returns the position in the file of the byte at offset in [Place.Text], whatever style the scalar is written
// in: plain, quoted, literal or folded, over several lines or with escapes. An offset at the end of the text is the
// position after its last character.
func (p Place) PosAt(offset int) Pos { return p.doc.posOf(p.sourceOffset(offset)) }

// Error makes an error that underlines the value.
func (p Place) Error(code, msg string) *Error {
	from, to := p.span()
	return p.error(from, to, code, msg)
}

// KeyError makes an error that underlines the value's key, or the value when it has none.
func (p Place) KeyError(code, msg string) *Error {
	if p.key == nil || p.missing {
		return p.Error(code, msg)
	}
	from, to := p.doc.place(p.key, nil, nil).span()
	return p.error(from, to, code, msg)
}

// ErrorAt makes an error that underlines the bytes [from, to) of [Place.Text], as far as they are on one line of the
// file. An empty range is one character wide.
func (p Place) ErrorAt(from, to int, code, msg string) *Error {
	text := p.Text()
	from = min(max(from, 0), len(text))
	to = min(max(from, to), len(text))
	start, end := p.sourceSpan(from, to)
	return p.error(start, end, code, msg)
}

// sourceSpan returns the bytes of the file that the bytes [from, to) of the text are written in.
func (p Place) sourceSpan(from, to int) (start, end int) {
	text := p.Text()
	start, end = p.sourceOffset(from), p.sourceOffset(to)
	if to > from {
		// Where the last character ends, not where the next one begins: blanks of a folded line may be between them.
		_, n := utf8.DecodeLastRuneInString(text[:to])
		if at := p.sourceOffset(to - n); bytes.HasPrefix(p.doc.src[at:], []byte(text[to-n:to])) {
			end = at + n
		}
	}
	return start, end
}

// ErrorLineCol is [Place.ErrorAt] for languages that count lines from 1 and columns in code points from 0 within the
// text, as CEL does; width is in code points.
func (p Place) ErrorLineCol(line, col, width int, code, msg string) *Error {
	from := textOffset(p.Text(), line, col)
	return p.ErrorAt(from, textOffset(p.Text(), line, col+width), code, msg)
}

func textOffset(text string, line, col int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return len(text)
		}
		at += i + 1
	}
	for ; col > 0 && at < len(text) && text[at] != '\n'; col-- {
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	return at
}

func (p Place) error(from, to int, code, msg string) *Error {
	e := p.doc.errorAt(from, to, code, msg)
	e.Path = p.Path()
	return e
}

// span returns the source bytes to underline for the whole value: of mappings and lists only their beginning.
func (p Place) span() (from, to int) {
	n := p.node
	if n == nil || n.Line == 0 {
		return 0, 0
	}
	from = p.doc.offset(n.Line, n.Column)
	switch n.Kind {
	case yaml.MappingNode:
		if n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0 {
			return p.doc.place(n.Content[0], nil, nil).span()
		}
		return from, from + 1
	case yaml.SequenceNode:
		return from, from + 1
	case yaml.AliasNode:
		return from, from + 1 + len(n.Value)
	}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return from, from + 1
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return from, p.sourceOffset(len(n.Value)) + 1
	}
	if n.Value == "" {
		return from, from // nothing after the colon
	}
	return from, p.sourceOffset(len(n.Value))
}

func (p Place) sourceOffset(offset int) int {
	n := p.node
	if n == nil || n.Line == 0 {
		return 0
	}
	start := p.doc.offset(n.Line, n.Column)
	if n.Kind != yaml.ScalarNode || p.missing {
		return start
	}
	m := scalarOffsets(p.doc.src, start, n.Style, n.Value)
	if m == nil {
		return start
	}
	return m[min(max(offset, 0), len(n.Value))]
}

// offset turns a line and a column of the YAML scanner into an offset.
func (d *Doc) offset(line, col int) int {
	if line < 1 || line > len(d.lines) {
		return len(d.src)
	}
	at := d.lines[line-1]
	for ; col > 1 && at < len(d.src); col-- {
		_, n := utf8.DecodeRune(d.src[at:])
		at += n
	}
	return at
}

func (d *Doc) posOf(offset int) Pos {
	offset = min(max(offset, 0), len(d.src))
	line := sort.SearchInts(d.lines, offset+1)
	return Pos{File: d.file, Line: line, Col: utf8.RuneCount(d.src[d.lines[line-1]:offset]) + 1}
}

// lineSpan returns the bytes of a line without its end.
func (d *Doc) lineSpan(line int) (from, to int) {
	from, to = d.lines[line-1], len(d.src)
	if line < len(d.lines) {
		to = d.lines[line] - 1
	}
	if to > from && d.src[to-1] == '\r' {
		to--
	}
	return from, to
}

func (d *Doc) errorAt(from, to int, code, msg string) *Error {
	pos := d.posOf(from)
	start, end := d.lineSpan(pos.Line)
	from = min(from, len(d.src))
	width := 1
	if to = min(to, end); to > from {
		width = utf8.RuneCount(d.src[from:to])
	}
	return &Error{File: d.file, Line: pos.Line, Col: pos.Col, Width: width, Code: code, Msg: msg,
		Snippet: string(d.src[start:end])}
}

// pathString writes a path as rules[0].when; keys that are not plain names are quoted.
func pathString(path []any) string {
	var b strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		case string:
			switch {
			case s == "" || strings.ContainsAny(s, ".[]\"' \n"):
				fmt.Fprintf(&b, "[%s]", strconv.Quote(s))
			case b.Len() > 0:
				b.WriteString("." + s)
			default:
				b.WriteString(s)
			}
		}
	}
	return b.String()
}

// Within returns which bytes of [Place.Text] a finding underlines; ok is false when it does not stand in this value.
func (p Place) Within(e *Error) (from, to int, ok bool) {
	if e.Path != p.Path() || !p.Exists() || p.node.Kind != yaml.ScalarNode {
		return 0, 0, false
	}
	m := scalarOffsets(p.doc.src, p.doc.offset(p.node.Line, p.node.Column), p.node.Style, p.node.Value)
	start := p.doc.offset(e.Line, e.Col)
	if len(m) == 0 || start < m[0] || start > m[len(m)-1] {
		return 0, 0, false
	}
	from = sort.SearchInts(m, start)
	to = sort.SearchInts(m, p.doc.offset(e.Line, e.Col+e.Width))
	return min(from, len(m)-1), min(max(from, to), len(m)-1), true
}

// OffsetIn returns which byte of [Place.Text] stands at a byte of the file; ok is false when it does not stand in this value.
func (p Place) OffsetIn(at int) (offset int, ok bool) {
	if !p.Exists() || p.node.Kind != yaml.ScalarNode {
		return 0, false
	}
	m := scalarOffsets(p.doc.src, p.doc.offset(p.node.Line, p.node.Column), p.node.Style, p.node.Value)
	if len(m) == 0 || at < m[0] || at > m[len(m)-1] {
		return 0, false
	}
	return sort.SearchInts(m, at), true
}

// Span returns the bytes of the file that a finding underlines.
func (d *Doc) Span(e *Error) (from, to int) {
	return d.offset(e.Line, e.Col), d.offset(e.Line, e.Col+e.Width)
}

// JSON writes the value as JSON: numbers with all their digits, keys in the order of the file. What JSON has no form for is an error.
func (p Place) JSON() ([]byte, error) {
	if !p.Exists() {
		return nil, fmt.Errorf("there is no %s", p.Path())
	}
	return appendJSON(nil, p.node, 0)
}

func appendJSON(to []byte, n *yaml.Node, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("it is too deep")
	}
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		to = append(to, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendText(to, n.Content[i].Value), ':')
			if to, err = appendJSON(to, n.Content[i+1], depth+1); err != nil {
				return nil, err
			}
		}
		return append(to, '}'), nil
	case yaml.SequenceNode:
		to = append(to, '[')
		for i, item := range n.Content {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = appendJSON(to, item, depth+1); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	case yaml.ScalarNode:
		switch tag := n.ShortTag(); {
		case tag == "!!null":
			return append(to, "null"...), nil
		case tag == "!!bool" && (n.Value == "true" || n.Value == "false"), (tag == "!!int" || tag == "!!float") && json.Valid([]byte(n.Value)):
			return append(to, n.Value...), nil
		}
		return appendText(to, n.Value), nil
	}
	return nil, errors.New("it is no value")
}

func appendText(to []byte, s string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be
	return append(to, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
