package strictyaml

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit mends a file: it replaces the bytes [From, To) of it by Text. Offsets do not count a byte order mark.
type Edit struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	Text string `json:"text"`
}

// EditAt makes the edit that replaces the bytes [from, to) of [Place.Text] by text, written as the style of the scalar
// needs it. ok is false when it cannot be written there without changing more than that.
func (p Place) EditAt(from, to int, text string) (e Edit, ok bool) {
	n := p.node
	if !p.Exists() || n.Kind != yaml.ScalarNode || from < 0 || to < from || to > len(n.Value) || strings.ContainsAny(text, "\r\n") {
		return Edit{}, false
	}
	if scalarOffsets(p.doc.src, p.doc.offset(n.Line, n.Column), n.Style, n.Value) == nil {
		return Edit{}, false
	}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
	case n.Style&yaml.SingleQuotedStyle != 0:
		text = strings.ReplaceAll(text, "'", "''")
	case n.Style&yaml.DoubleQuotedStyle != 0:
		text = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
	default: // what is plain must not become something else to YAML
		whole := n.Value[:from] + text + n.Value[to:]
		if strings.ContainsAny(text, "[]{},#:") || whole == "" || strings.ContainsAny(whole[:1], "'\"!&*|>%@`- ") || strings.HasSuffix(whole, " ") {
			return Edit{}, false
		}
	}
	start, end := p.sourceSpan(from, to)
	if next := p.sourceOffset(to); next > end && bytes.IndexByte(p.doc.src[end:next], '\n') < 0 {
		end = next // the last character is written as two
	}
	return Edit{start, end, text}, true
}

// EditKey makes the edit that puts another key with its value, such as "on: [insert]", before the key of p.
func (p Place) EditKey(text string) (e Edit, ok bool) {
	if !p.Exists() || p.key == nil || len(p.path) == 0 {
		return Edit{}, false
	}
	at := p.doc.offset(p.key.Line, p.key.Column)
	if parent := p.doc.At(p.path[:len(p.path)-1]...); parent.node.Style&yaml.FlowStyle != 0 {
		return Edit{at, at, text + ", "}, true
	}
	end := "\n"
	if i := bytes.IndexByte(p.doc.src[at:], '\n'); i > 0 && p.doc.src[at+i-1] == '\r' {
		end = "\r\n"
	}
	return Edit{at, at, text + end + strings.Repeat(" ", p.key.Column-1)}, true
}

// EditList makes the edit that replaces a list that is written in brackets.
func (p Place) EditList(text string) (e Edit, ok bool) {
	if !p.Exists() || p.node.Kind != yaml.SequenceNode || p.node.Style&yaml.FlowStyle == 0 || len(p.node.Content) == 0 {
		return Edit{}, false
	}
	from := p.doc.offset(p.node.Line, p.node.Column)
	_, last := p.doc.place(p.node.Content[len(p.node.Content)-1], nil, nil).span()
	end := bytes.IndexByte(p.doc.src[last:], ']')
	if end < 0 || len(bytes.Trim(p.doc.src[last:last+end], " \t,")) > 0 {
		return Edit{}, false
	}
	return Edit{from, last + end + 1, text}, true
}

// Apply applies the edits of findings to the file that they are about. A finding whose edits overlap with those of an
// earlier one is left out; applied are the findings whose edits were made.
func Apply(src []byte, findings Errors) (mended []byte, applied Errors) {
	bom := len(src) - len(bytes.TrimPrefix(src, []byte("\ufeff")))
	var edits []Edit
	for _, f := range findings {
		overlaps := len(f.Edits) == 0
		for _, e := range f.Edits {
			overlaps = overlaps || e.From < 0 || e.To < e.From || e.To > len(src)-bom ||
				slices.ContainsFunc(edits, func(other Edit) bool { return e.From <= other.To && other.From <= e.To })
		}
		if !overlaps {
			edits = append(edits, f.Edits...)
			applied = append(applied, f)
		}
	}
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.From, b.From) })
	at := 0
	for _, e := range edits {
		mended = append(append(mended, src[at:bom+e.From]...), e.Text...)
		at = bom + e.To
	}
	return append(mended, src[at:]...), applied
}

// Flow writes JSON as YAML on one line, with the quotes that are needed.
func Flow(text []byte) string {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil { // JSON is YAML, but for a few characters
		return string(text)
	}
	var restyle func(n *yaml.Node)
	restyle = func(n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode, yaml.SequenceNode:
			n.Style = yaml.FlowStyle
		case yaml.ScalarNode:
			n.Style = 0
		}
		for _, kid := range n.Content {
			restyle(kid)
		}
	}
	restyle(&doc)
	out, err := yaml.Marshal(doc.Content[0])
	if one := strings.TrimRight(string(out), "\n"); err == nil && !strings.Contains(one, "\n") {
		return one
	}
	return string(text)
}
