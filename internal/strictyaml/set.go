package strictyaml

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrWritten is what [Place.Set] returns when a value cannot be changed without touching how others are written.
var ErrWritten = errors.New("it cannot be changed as it is written")

// Set returns the file with another value at p, which is given as JSON; null removes the key. All else stays as it is: comments,
// quotes, blank lines and the order of keys. Within lists and mappings only the parts that differ are written anew. A key that is
// not there yet is put behind those that come before it in order, or at the end of its mapping.
func (p Place) Set(value []byte, order ...string) ([]byte, error) {
	var doc yaml.Node
	if !json.Valid(value) {
		return nil, fmt.Errorf("set %s: %.100q is not JSON", p.Path(), value)
	}
	if err := yaml.Unmarshal(value, &doc); err != nil { // JSON is YAML, but for a few characters
		return nil, fmt.Errorf("set %s: %w", p.Path(), err)
	}
	want := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if len(doc.Content) == 1 {
		want = doc.Content[0]
	}
	if len(p.path) == 0 {
		return nil, fmt.Errorf("set the whole of %s: %w", p.doc.file, ErrWritten)
	}
	parent := p.doc.At(p.path[:len(p.path)-1]...)
	if !parent.Exists() {
		return nil, fmt.Errorf("set %s: there is no %s", p.Path(), parent.Path())
	}
	w := writer{doc: p.doc, order: order}
	last := p.path[len(p.path)-1]
	if _, old := child(parent.node, last); old == nil && isNull(want) {
		return p.doc.src, nil
	}
	expected := with(parent.node, last, want)
	if !w.change(parent.node, expected, indentOf(parent), within(p.doc.root, p.path[:len(p.path)-1])) {
		return nil, fmt.Errorf("set %s: %w", p.Path(), ErrWritten)
	}
	src := w.apply()
	again := newDoc(p.doc.file, src, p.doc.config)
	docs, e := again.parse()
	if e != nil || len(docs) != 1 || !alike(docs[0], rebuilt(p.doc.root, p.path[:len(p.path)-1], expected)) {
		return nil, fmt.Errorf("set %s: %w", p.Path(), ErrWritten)
	}
	return src, nil
}

// writer collects what is to be written otherwise.
type writer struct {
	doc   *Doc
	order []string
	edits []Edit
}

// change makes have, which is written at an indent, what want is. ok is false when it cannot be. flow says that it stands within
// brackets or braces.
func (w *writer) change(have, want *yaml.Node, indent int, flow bool) (ok bool) {
	if alike(have, want) {
		return true
	}
	block := have.Style&yaml.FlowStyle == 0 && !flow
	switch {
	case block && have.Kind == yaml.MappingNode && want.Kind == yaml.MappingNode && len(have.Content) > 0 && len(want.Content) > 0:
		return w.mapping(have, want)
	case block && have.Kind == yaml.SequenceNode && want.Kind == yaml.SequenceNode && len(have.Content) > 0 && len(want.Content) > 0:
		return w.sequence(have, want)
	case !block && have.Kind == yaml.MappingNode && want.Kind == yaml.MappingNode && sameKeys(have, want):
		for i := 1; i < len(have.Content); i += 2 {
			_, value := child(want, have.Content[i-1].Value)
			if !w.change(have.Content[i], value, indent, true) {
				return false
			}
		}
		return true
	}
	from, to := w.span(have, indent)
	if flow || have.Style&yaml.FlowStyle != 0 && want.Kind != yaml.ScalarNode && inline(want) {
		w.edits = append(w.edits, Edit{from, to, flowText(want)})
		return true
	}
	for from > 0 && w.doc.src[from-1] == ' ' { // to the colon or the dash, which the text brings its blank for
		from--
	}
	if from > 0 && w.doc.src[from-1] == '\n' { // a block value begins on a line of its own
		for from--; from > 0 && (w.doc.src[from-1] == ' ' || w.doc.src[from-1] == '\r'); from-- {
		}
	}
	text := w.text(want, indent, have.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0)
	if first, rest, several := strings.Cut(text, "\n"); several { // a comment behind it must not become part of it
		eol := w.lineEnd(to)
		text = first + string(w.doc.src[to:eol]) + "\n" + rest
		to = eol
	}
	w.edits = append(w.edits, Edit{from, to, text})
	return true
}

// mapping changes the keys of a mapping that differ.
func (w *writer) mapping(have, want *yaml.Node) bool {
	column := have.Content[0].Column
	indent := column - 1
	kept := -1 // the last key that stays, before the one that is looked at
	for i := 0; i < len(have.Content); i += 2 {
		key, old := have.Content[i], have.Content[i+1]
		if key.Column != column {
			return false
		}
		_, value := child(want, key.Value)
		switch {
		case value != nil:
			if kept = i; old.Kind == yaml.ScalarNode && old.Value == "" && old.Style == 0 { // nothing behind the colon
				from, _ := w.doc.place(key, nil, nil).span()
				colon := from + bytes.IndexByte(w.doc.src[from:], ':') + 1
				if !alike(old, value) {
					w.edits = append(w.edits, Edit{colon, colon, w.text(value, indent, false)})
				}
				continue
			}
			if !w.change(old, value, indent, false) {
				return false
			}
		case i+2 < len(have.Content) && !w.firstOfLine(key): // behind a dash: what follows takes its place
			from, _ := w.doc.place(key, nil, nil).span()
			next, _ := w.doc.place(have.Content[i+2], nil, nil).span()
			w.edits = append(w.edits, Edit{from, next, ""})
		case !w.firstOfLine(key):
			return false
		default:
			_, to := w.span(old, indent)
			w.edits = append(w.edits, w.lines(key.Line, to))
		}
	}
	for i := 0; i < len(want.Content); i += 2 {
		key, value := want.Content[i], want.Content[i+1]
		if _, old := child(have, key.Value); old != nil {
			continue
		}
		after := w.before(have, want, key.Value)
		if after < 0 {
			after = kept
		}
		if after < 0 {
			return false
		}
		_, to := w.span(have.Content[after+1], indent)
		at := w.lineEnd(to)
		w.edits = append(w.edits, Edit{at, at, "\n" + strings.Repeat(" ", indent) + flowText(key) + ":" + w.text(value, indent, false)})
	}
	return true
}

// before returns the index of the key that stays and that a new one is put behind by the order of keys; -1: there is none.
func (w *writer) before(have, want *yaml.Node, name string) int {
	place := slices.Index(w.order, name)
	after, best := -1, -1
	for i := 0; i < len(have.Content); i += 2 {
		key := have.Content[i].Value
		rank := slices.Index(w.order, key)
		if _, stays := child(want, key); stays != nil && place >= 0 && rank >= 0 && rank < place && rank > best {
			after, best = i, rank
		}
	}
	return after
}

// sequence changes the items of a list that differ. Those at its beginning and at its end that are the same stay.
func (w *writer) sequence(have, want *yaml.Node) bool {
	dash := have.Column - 1
	a, b := have.Content, want.Content
	head := 0
	for head < min(len(a), len(b)) && alike(a[head], b[head]) {
		head++
	}
	tail := 0
	for tail < min(len(a), len(b))-head && alike(a[len(a)-1-tail], b[len(b)-1-tail]) {
		tail++
	}
	both := min(len(a), len(b)) - tail
	for i := head; i < both; i++ {
		if !w.change(a[i], b[i], dash, false) {
			return false
		}
	}
	for i := both; i < len(a)-tail; i++ {
		_, to := w.span(a[i], dash)
		line := w.dashLine(a[i], dash)
		for line > 1 && i > 0 && w.comment(line-1, dash) {
			line--
		}
		w.edits = append(w.edits, w.lines(line, to))
	}
	if len(b) > len(a) {
		at := 0
		if both > 0 {
			_, to := w.span(a[both-1], dash)
			at = w.lineEnd(to)
		} else {
			line := w.dashLine(a[0], dash)
			if line < 2 {
				return false
			}
			_, at = w.doc.lineSpan(line - 1)
		}
		text := ""
		for i := both; i < len(b)-tail; i++ {
			text += "\n" + strings.Repeat(" ", dash) + "-" + w.item(b[i], dash)
		}
		w.edits = append(w.edits, Edit{at, at, text})
	}
	return true
}

// dashLine returns the line of an item's dash, which may stand above the item.
func (w *writer) dashLine(item *yaml.Node, dash int) int {
	for line := item.Line; line > 1; line-- {
		from, to := w.doc.lineSpan(line)
		if text := w.doc.src[from:to]; len(text) > dash && text[dash] == '-' && len(bytes.TrimSpace(text[:dash])) == 0 {
			return line
		}
	}
	return item.Line
}

// comment reports whether a line is a comment at an indent.
func (w *writer) comment(line, indent int) bool {
	from, to := w.doc.lineSpan(line)
	text := w.doc.src[from:to]
	return len(text) > indent && text[indent] == '#' && len(bytes.TrimSpace(text[:indent])) == 0
}

func (w *writer) firstOfLine(n *yaml.Node) bool {
	from, _ := w.doc.lineSpan(n.Line)
	at := w.doc.offset(n.Line, n.Column)
	return len(bytes.TrimSpace(w.doc.src[from:at])) == 0
}

// lines is the edit that removes the lines from one to that of an offset.
func (w *writer) lines(line, to int) Edit {
	from, _ := w.doc.lineSpan(line)
	end := w.lineEnd(to)
	if end < len(w.doc.src) && w.doc.src[end] == '\r' {
		end++
	}
	if end < len(w.doc.src) {
		end++
	} else if from > 0 {
		from--
	}
	return Edit{from, end, ""}
}

// lineEnd returns where the line of an offset ends, before what ends it.
func (w *writer) lineEnd(at int) int {
	end := len(w.doc.src)
	if i := bytes.IndexByte(w.doc.src[at:], '\n'); i >= 0 {
		end = at + i
	}
	if end > at && w.doc.src[end-1] == '\r' {
		end--
	}
	return end
}

// span returns the bytes that a value is written in. indent is that of the key or the dash that it belongs to.
func (w *writer) span(n *yaml.Node, indent int) (from, to int) {
	from = w.doc.offset(n.Line, n.Column)
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		to = w.lineEnd(from)
		for line := n.Line + 1; line <= len(w.doc.lines); line++ {
			begin, end := w.doc.lineSpan(line)
			text := bytes.TrimLeft(w.doc.src[begin:end], " ")
			if len(text) == 0 {
				continue
			}
			if end-begin-len(text) <= indent {
				break
			}
			to = end
		}
		return from, to
	case n.Kind == yaml.ScalarNode:
		return w.doc.place(n, nil, nil).span()
	case n.Style&yaml.FlowStyle != 0:
		return from, w.closing(from)
	case len(n.Content) == 0:
		return from, from
	case n.Kind == yaml.MappingNode:
		from, _ = w.doc.place(n.Content[0], nil, nil).span()
		_, to = w.span(n.Content[len(n.Content)-1], n.Content[0].Column-1)
		return from, to
	}
	_, to = w.span(n.Content[len(n.Content)-1], n.Column-1)
	return from, to
}

// closing returns where the brackets end that begin at an offset.
func (w *writer) closing(from int) int {
	depth := 0
	src := w.doc.src
	for i := from; i < len(src); i++ {
		switch c := src[i]; {
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case c == '#' && (src[i-1] == ' ' || src[i-1] == '\n'):
			i = w.lineEnd(i)
		case (c == '\'' || c == '"') && bytes.IndexByte([]byte(" [{,:\n"), src[i-1]) >= 0: // else within a plain text
			for i++; i < len(src) && src[i] != c; i++ {
				if c == '"' && src[i] == '\\' {
					i++
				}
			}
		}
	}
	return len(src)
}

// text writes a value behind its colon, with what separates the two.
func (w *writer) text(n *yaml.Node, indent int, literal bool) string {
	pad := strings.Repeat(" ", indent+2)
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		one := flowless(n)
		quoted := one != n.Value && strings.ContainsAny(n.Value, `'"`)
		if text := strings.TrimSuffix(n.Value, "\n"); (literal || quoted || text != n.Value || strings.Contains(text, "\n")) && literally(text) {
			head := " |"
			if text == n.Value {
				head = " |-"
			}
			return head + "\n" + pad + blankless(strings.ReplaceAll(text, "\n", "\n"+pad), pad)
		}
		return " " + one
	case n.Kind == yaml.ScalarNode:
		return " " + flowText(n)
	case inline(n):
		return " " + flowText(n)
	case n.Kind == yaml.SequenceNode:
		out := ""
		for _, item := range n.Content {
			out += "\n" + pad + "-" + w.item(item, indent+2)
		}
		return out
	}
	out := ""
	for i := 0; i+1 < len(n.Content); i += 2 {
		out += "\n" + pad + flowText(n.Content[i]) + ":" + w.text(n.Content[i+1], indent+2, false)
	}
	return out
}

// item writes a value behind a dash.
func (w *writer) item(n *yaml.Node, dash int) string {
	text := w.text(n, dash, false)
	if n.Kind == yaml.MappingNode && strings.HasPrefix(text, "\n") {
		return " " + strings.TrimLeft(text, "\n ") // the first key stands beside the dash
	}
	return text
}

// blankless takes the indent off lines that have nothing else.
func blankless(text, pad string) string { return strings.ReplaceAll(text, "\n"+pad+"\n", "\n\n") }

// literally reports whether a text can be written as a block of lines.
func literally(text string) bool {
	return text != "" && !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\n") && !strings.HasSuffix(text, "\n") &&
		!strings.ContainsAny(text, "\r\t\u0085\u2028\u2029\ufeff") && !strings.Contains(text, " \n") && strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' }) < 0
}

// inline reports whether a list or mapping is written on one line: when it is short and not deep.
func inline(n *yaml.Node) bool {
	const wide = 110
	h := height(n)
	return h <= 1 || h == 2 && len(flowText(n)) <= wide
}

func height(n *yaml.Node) int {
	if n.Kind == yaml.ScalarNode {
		return 0
	}
	most := 0
	for _, kid := range n.Content {
		most = max(most, height(kid))
	}
	return most + 1
}

// flowText writes a value on one line, as it can stand within brackets.
func flowText(n *yaml.Node) string {
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{restyled(n)}}
	return strings.TrimSuffix(strings.TrimPrefix(marshalled(list), "["), "]")
}

// flowless writes a scalar on one line, as it can stand behind a key.
func flowless(n *yaml.Node) string { return marshalled(restyled(n)) }

func marshalled(n *yaml.Node) string {
	text, err := yaml.Marshal(n)
	if err != nil {
		return "" // what comes of it is read again
	}
	return strings.TrimRight(string(text), "\n")
}

// restyled returns a value that is written with quotes only where they are needed.
func restyled(n *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: n.Kind, Tag: n.ShortTag(), Value: n.Value}
	switch {
	case n.Kind != yaml.ScalarNode:
		out.Style = yaml.FlowStyle
	case strings.Contains(n.Value, "\n"):
		out.Style = yaml.DoubleQuotedStyle
	}
	for _, kid := range n.Content {
		out.Content = append(out.Content, restyled(kid))
	}
	return out
}

// apply makes the edits.
func (w *writer) apply() []byte {
	slices.SortStableFunc(w.edits, func(a, b Edit) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	end := "\n"
	if bytes.Contains(w.doc.src, []byte("\r\n")) {
		end = "\r\n"
	}
	var out []byte
	at := 0
	for _, e := range w.edits {
		if e.From < at {
			return nil // two that overlap: what is read again will not be what is wanted
		}
		text := strings.ReplaceAll(strings.ReplaceAll(e.Text, "\r\n", "\n"), "\n", end)
		out = append(append(out, w.doc.src[at:e.From]...), text...)
		at = e.To
	}
	return append(out, w.doc.src[at:]...)
}

// alike reports whether two values mean the same, however they are written.
func alike(a, b *yaml.Node) bool {
	if a == nil || b == nil || a.Kind != b.Kind || len(a.Content) != len(b.Content) {
		return a == b
	}
	switch a.Kind {
	case yaml.ScalarNode:
		return a.ShortTag() == b.ShortTag() && (a.Value == b.Value || isNull(a))
	case yaml.MappingNode:
		for i := 0; i < len(a.Content); i += 2 {
			if _, value := child(b, a.Content[i].Value); value == nil || !alike(a.Content[i+1], value) {
				return false
			}
		}
		return true
	}
	return slices.EqualFunc(a.Content, b.Content, alike)
}

func sameKeys(a, b *yaml.Node) bool {
	for i := 0; i < len(a.Content); i += 2 {
		if _, value := child(b, a.Content[i].Value); value == nil {
			return false
		}
	}
	return len(a.Content) == len(b.Content)
}

// with returns a copy of a mapping or list with another value at a step; null removes a key.
func with(n *yaml.Node, step any, value *yaml.Node) *yaml.Node {
	out := *n
	out.Content = slices.Clone(n.Content)
	switch s := step.(type) {
	case string:
		for i := 0; i+1 < len(out.Content); i += 2 {
			if out.Content[i].Value != s {
				continue
			}
			if isNull(value) {
				out.Content = slices.Delete(out.Content, i, i+2)
			} else {
				out.Content[i+1] = value
			}
			return &out
		}
		out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}, value)
	case int:
		if s >= 0 && s < len(out.Content) {
			out.Content[s] = value
		}
	}
	return &out
}

// rebuilt returns the tree with another value at a path.
func rebuilt(n *yaml.Node, path []any, value *yaml.Node) *yaml.Node {
	if len(path) == 0 {
		return value
	}
	_, kid := child(n, path[0])
	return with(n, path[0], rebuilt(kid, path[1:], value))
}

// within reports whether a value stands within brackets or braces.
func within(n *yaml.Node, path []any) bool {
	for _, step := range path {
		if n.Style&yaml.FlowStyle != 0 {
			return true
		}
		_, n = child(n, step)
	}
	return n.Style&yaml.FlowStyle != 0
}

// indentOf returns the indent of the key or the dash that a value belongs to.
func indentOf(p Place) int {
	if p.key != nil {
		return p.key.Column - 1
	}
	return max(p.node.Column-3, 0)
}
