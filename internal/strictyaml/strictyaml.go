package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Config says how to read a file, which holds one document. The zero value has the codes of the configuration file.
type Config struct {
	Codes    Codes // codes put on errors; the default is CDCD-1010, CDCD-1011 and CDCD-1012
	MaxBytes int   // larger files are refused; the default is 1 MiB
}

// Codes are the error codes of one kind of file.
type Codes struct {
	Syntax string // not YAML, too large, too deep, or a YAML feature that is not allowed
	Key    string // unknown, duplicate or missing key
	Value  string // a value of the wrong type, or one that its type refuses
}

const (
	defaultMaxBytes = 1 << 20
	maxDepth        = 64 // no file of ours is deeper than ten
	maxErrors       = 50 // a hostile file must not make a hostile report
)

// Decode reads src, the content of file, into what into points to.
//
// It returns the document also when there are errors, as long as it is YAML at all, so that callers can add their own
// findings; the error is then of type [Errors], in the order of the file. What could be decoded has been decoded. An
// empty file is an empty mapping. Decode never panics on any src; it panics when into is not a pointer to a type it knows.
func Decode(file string, src []byte, into any, c Config) (*Doc, error) {
	if c.Codes == (Codes{}) {
		c.Codes = Codes{Syntax: "CDCD-1010", Key: "CDCD-1011", Value: "CDCD-1012"}
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic(fmt.Sprintf("strictyaml: into is a %T, not a pointer", into))
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	d := newDoc(file, src, c)
	if e := d.checkBytes(); e != nil {
		return d, Errors{e}
	}
	docs, e := d.parse()
	if e != nil {
		return d, Errors{e}
	}

	w := &walker{doc: d, codes: c.Codes}
	d.root = &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	if len(docs) > 0 {
		d.root = docs[0]
	}
	w.decode(d.root, target.Elem(), nil)
	if len(docs) > 1 {
		w.errs = append(w.errs, d.place(docs[1], nil, nil).Error(c.Codes.Syntax,
			"a second document begins here, but this file holds only one").Hint("remove the '---' before it"))
	}
	return d, w.errs.Err()
}

// checkBytes refuses what the scanner would refuse without telling where, and line separators that editors do not show.
func (d *Doc) checkBytes() *Error {
	if len(d.src) > d.config.MaxBytes {
		return &Error{File: d.file, Line: 1, Col: 1, Code: d.config.Codes.Syntax,
			Msg: fmt.Sprintf("the file has %d bytes; at most %d are read", len(d.src), d.config.MaxBytes)}
	}
	for i := 0; i < len(d.src); {
		r, n := utf8.DecodeRune(d.src[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return d.errorAt(i, i+1, d.config.Codes.Syntax, "the file is not UTF-8").Hint("save it as UTF-8")
		case r == '\r' && i+1 < len(d.src) && d.src[i+1] == '\n', r == '\t', r == '\n':
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return d.errorAt(i, i+n, d.config.Codes.Syntax, fmt.Sprintf("character U+%04X is not allowed here", r)).
				Hint(`remove it, or write it as \u%04x in double quotes`, r)
		}
		i += n
	}
	return nil
}

// parse returns the root node of every document.
func (d *Doc) parse() (docs []*yaml.Node, e *Error) {
	// The scanner is a translation of C that signals some of its own mistakes by panicking; a file must not be able to.
	defer func() {
		if r := recover(); r != nil {
			docs, e = nil, &Error{File: d.file, Line: 1, Col: 1, Code: d.config.Codes.Syntax, Msg: fmt.Sprintf("the file cannot be read as YAML: %v", r)}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(d.src))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, d.syntaxError(err)
		}
		if len(docs) >= 1000 {
			return nil, d.place(&doc, nil, nil).Error(d.config.Codes.Syntax, "the file has more than 1000 documents")
		}
		docs = append(docs, doc.Content...)
	}
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxHints translate the scanner's words into ours.
var syntaxHints = []struct{ part, hint string }{
	{"mapping values are not allowed", "put a value that contains ': ' in quotes, or check the indentation"},
	{"cannot start any token", "put a value that begins with @, % or a backquote in quotes"},
	{"did not find expected key", "check the indentation of this line and the next, or quote the value"},
	{"did not find expected '-' indicator", "a list ends here: check the indentation"},
	{"did not find expected ',' or ']'", "close the list with ']'"},
	{"did not find expected ',' or '}'", "close the mapping with '}'"},
	{"could not find expected ':'", "a key needs ': ' after it"},
	{"unexpected end of stream", "a quote was opened and never closed"},
	{"unknown anchor", "aliases are not allowed; quote a value that begins with '*'"},
	{"unknown escape character", `write '\\' for a backslash, or use single quotes`},
	{"tab character", "indent with spaces"},
}

func (d *Doc) syntaxError(err error) *Error {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	switch {
	case line == 0:
		line = 1
	case strings.HasPrefix(m[2], "did not find expected"):
		line++ // the library counts these lines from 0
	}
	line = min(line, len(d.lines))
	from, to := d.lineSpan(line)
	text := string(d.src[from:to])
	indent := len(text) - len(strings.TrimLeft(text, " "))
	e := d.errorAt(from+indent, to, d.config.Codes.Syntax, "not valid YAML: "+m[2])
	if tab := strings.IndexByte(text, '\t'); tab >= 0 && strings.TrimLeft(text[:tab], " ") == "" {
		return d.errorAt(from+tab, from+tab+1, d.config.Codes.Syntax, "not valid YAML: a tab in the indentation").Hint("indent with spaces")
	}
	for _, h := range syntaxHints {
		if strings.Contains(m[2], h.part) {
			return e.Hint("%s", h.hint)
		}
	}
	return e
}

// walker fills Go values from nodes and collects what is wrong.
type walker struct {
	doc   *Doc
	codes Codes
	errs  Errors

	line, col, at int // the last node's place and offset: nodes come in the order of the file, so this saves a search
}

// firstByte returns the byte that a node begins with in the file.
func (w *walker) firstByte(n *yaml.Node) byte {
	if n.Line != w.line || n.Column < w.col {
		w.line, w.col, w.at = n.Line, 1, w.doc.offset(n.Line, 1)
	}
	for ; w.col < n.Column && w.at < len(w.doc.src); w.col++ {
		_, size := utf8.DecodeRune(w.doc.src[w.at:])
		w.at += size
	}
	if w.at >= len(w.doc.src) {
		return 0
	}
	return w.doc.src[w.at]
}

func (w *walker) fail(n *yaml.Node, path []any, code, format string, args ...any) *Error {
	if len(w.errs) >= maxErrors {
		return &Error{} // finding its place would cost a hostile file nothing and us the square of its size
	}
	e := w.doc.place(n, nil, path).Error(code, fmt.Sprintf(format, args...))
	w.errs = append(w.errs, e)
	return e
}

func (w *walker) decode(n *yaml.Node, v reflect.Value, path []any) {
	if len(path) > maxDepth {
		w.fail(n, path, w.codes.Syntax, "nested more than %d levels deep", maxDepth)
		return
	}
	if !w.allowed(n, path) {
		return
	}
	if u, ok := v.Addr().Interface().(interface{ UnmarshalText([]byte) error }); ok {
		w.text(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		w.pointer(n, v, path)
	case reflect.Struct:
		w.structure(n, v, path)
	case reflect.Map:
		w.mapping(n, v, path)
	case reflect.Slice:
		w.list(n, v, path)
	case reflect.Interface:
		if x, ok := w.any(n, path); ok && x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		w.scalar(n, v, path)
	}
}

// allowed refuses the parts of YAML that make one text mean another.
func (w *walker) allowed(n *yaml.Node, path []any) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		w.fail(n, path, w.codes.Syntax, "aliases (*%s) are not allowed", n.Value).Hint("write the value out")
	case n.Anchor != "":
		w.fail(n, path, w.codes.Syntax, "anchors (&%s) are not allowed", n.Anchor).Hint("remove it, or quote a value that begins with '&'")
	case n.Style&yaml.TaggedStyle != 0, w.firstByte(n) == '!': // a lone ! leaves no trace in the node
		w.fail(n, path, w.codes.Syntax, "tags (!) are not allowed").Hint("remove it, or quote a value that begins with '!'")
	default:
		return true
	}
	return false
}

func (w *walker) pointer(n *yaml.Node, v reflect.Value, path []any) {
	t := v.Type().Elem()
	if isNull(n) && t.Kind() != reflect.Struct {
		return
	}
	p := reflect.New(t) // `embedded:` with nothing below means: there, and all defaults
	w.decode(n, p.Elem(), path)
	v.Set(p)
}

// text fills a type that parses its own text.
func (w *walker) text(n *yaml.Node, u interface{ UnmarshalText([]byte) error }, path []any) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		w.wrongType(n, path, wanted(reflect.TypeOf(u).Elem()))
		return
	}
	if err := u.UnmarshalText([]byte(n.Value)); err != nil {
		e := w.fail(n, path, w.codes.Value, "%s", err)
		var h hinted
		if errors.As(err, &h) {
			e.Msg = h.msg
			e.Hint("%s", h.hint)
		}
	}
}

// field is one key that a struct knows.
type field struct {
	index    []int
	required bool
}

func fields(t reflect.Type, prefix []int, into map[string]field) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		if !ok || tag == "-" || !f.IsExported() {
			continue
		}
		index := append(slices.Clone(prefix), i)
		name, opts, _ := strings.Cut(tag, ",")
		if opts == "inline" {
			names = append(names, fields(f.Type, index, into)...)
			continue
		}
		into[name] = field{index, opts == "required"}
		names = append(names, name)
	}
	return names
}

func (w *walker) structure(n *yaml.Node, v reflect.Value, path []any) {
	known := map[string]field{}
	names := fields(v.Type(), nil, known)
	if isNull(n) {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	}
	if key := Shorthand(v.Type()); key != "" && n.Kind == yaml.ScalarNode {
		w.decode(n, v.FieldByIndex(known[key].index), path)
		return
	}
	if n.Kind != yaml.MappingNode {
		w.wrongType(n, path, "a mapping with the keys "+list(names))
		return
	}
	seen := w.keys(n, path, func(key, value *yaml.Node) {
		f, ok := known[key.Value]
		if !ok {
			w.unknownKey(key, path, names)
			return
		}
		w.decode(value, v.FieldByIndex(f.index), extend(path, key.Value))
	})
	for _, name := range names {
		if known[name].required && !seen[name] {
			w.fail(n, path, w.codes.Key, "%s is missing", describe(path, name)).Hint("add '%s: …'", name)
		}
	}
}

// Shorthand returns the key that a plain value stands for where a mapping is expected: what a struct's method
// Shorthand() string says. It is "" for all other types.
func Shorthand(t reflect.Type) string {
	if s, ok := reflect.Zero(t).Interface().(interface{ Shorthand() string }); ok {
		return s.Shorthand()
	}
	return ""
}

func (w *walker) unknownKey(key *yaml.Node, path []any, names []string) {
	e := w.fail(key, extend(path, key.Value), w.codes.Key, "unknown key '%s'", clip(key.Value))
	if near, ok := Nearest(key.Value, names); ok {
		e.Hint("did you mean '%s'?", near)
	} else {
		e.Hint("known here: %s", strings.Join(names, ", "))
	}
}

// keys calls each for every key of a mapping that is a plain name and not a duplicate, and returns the keys.
func (w *walker) keys(n *yaml.Node, path []any, each func(key, value *yaml.Node)) map[string]bool {
	first := map[string]*yaml.Node{}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge":
			w.fail(key, path, w.codes.Syntax, "merge keys (<<) are not allowed").Hint("write the keys out")
		case !w.allowed(key, path):
		case key.Kind != yaml.ScalarNode || isNull(key):
			w.fail(key, path, w.codes.Key, "a key must be a name")
		case first[key.Value] != nil:
			w.fail(key, extend(path, key.Value), w.codes.Key, "key '%s' is here twice", clip(key.Value)).
				Hint("the first is on line %d", first[key.Value].Line)
		default:
			first[key.Value], seen[key.Value] = key, true
			each(key, value)
		}
	}
	return seen
}

func (w *walker) mapping(n *yaml.Node, v reflect.Value, path []any) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.wrongType(n, path, "a mapping (key: value)")
		return
	}
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	w.keys(n, path, func(key, value *yaml.Node) {
		x := reflect.New(t.Elem()).Elem()
		w.decode(value, x, extend(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(t.Key()), x)
	})
}

func (w *walker) list(n *yaml.Node, v reflect.Value, path []any) {
	if isNull(n) {
		return
	}
	if _, alone := v.Interface().(interface{ OneOrMore() }); alone && n.Kind == yaml.ScalarNode {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		w.decode(n, v.Index(0), path)
		return
	}
	if n.Kind != yaml.SequenceNode {
		e := w.wrongType(n, path, "a list")
		if n.Kind == yaml.ScalarNode && !strings.Contains(n.Value, "\n") {
			e.Hint("write [%s]", clip(n.Value))
		}
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		w.decode(item, v.Index(i), extend(path, i))
	}
}

func (w *walker) scalar(n *yaml.Node, v reflect.Value, path []any) {
	want := wanted(v.Type())
	if n.Kind != yaml.ScalarNode || isNull(n) {
		w.wrongType(n, path, want)
		return
	}
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	switch v.Kind() {
	case reflect.String:
		switch n.Tag {
		case "!!str", "!!timestamp":
			v.SetString(n.Value)
		default:
			w.wrongType(n, path, want).Hint("put it in quotes: \"%s\"", clip(n.Value))
		}
	case reflect.Bool:
		if n.Tag != "!!bool" {
			w.wrongType(n, path, want).Hint("write true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(plainNumber(n.Value), 10, v.Type().Bits())
		if n.Tag != "!!int" || err != nil {
			w.wrongNumber(n, path, want, quoted, err)
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		i, err := strconv.ParseUint(plainNumber(n.Value), 10, v.Type().Bits())
		if n.Tag != "!!int" || err != nil {
			w.wrongNumber(n, path, want, quoted, err)
			return
		}
		v.SetUint(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(plainNumber(n.Value), v.Type().Bits())
		if n.Tag != "!!int" && n.Tag != "!!float" || err != nil || f != f || f-f != 0 {
			w.wrongNumber(n, path, want, quoted, err)
			return
		}
		v.SetFloat(f)
	default:
		panic("strictyaml: cannot decode into " + v.Type().String())
	}
}

func (w *walker) wrongNumber(n *yaml.Node, path []any, want string, quoted bool, err error) {
	e := w.wrongType(n, path, want)
	switch {
	case errors.Is(err, strconv.ErrRange):
		e.Msg = fmt.Sprintf("%s: %s is out of range", describe(path, ""), clip(n.Value))
	case quoted && err == nil:
		e.Hint("remove the quotes")
	}
}

// any decodes without a type to go by: the shape of the value decides.
func (w *walker) any(n *yaml.Node, path []any) (any, bool) {
	if len(path) > maxDepth {
		w.fail(n, path, w.codes.Syntax, "nested more than %d levels deep", maxDepth)
		return nil, false
	}
	if !w.allowed(n, path) {
		return nil, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		w.keys(n, path, func(key, value *yaml.Node) {
			m[key.Value], _ = w.any(value, extend(path, key.Value))
		})
		return m, true
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, item := range n.Content {
			l[i], _ = w.any(item, extend(path, i))
		}
		return l, true
	}
	switch n.Tag {
	case "!!null":
		return nil, true
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case "!!str": // so says YAML of a number that no float64 can hold
		if n.Style == 0 && jsonNumberText.MatchString(n.Value) {
			return json.Number(n.Value), true
		}
	case "!!int", "!!float":
		num, ok := jsonNumber(n.Value)
		if !ok {
			w.fail(n, path, w.codes.Value, "%s is not a plain decimal number", clip(n.Value)).
				Hint("write it in decimal, or in quotes if it is text")
			return nil, false
		}
		return num, true
	}
	return n.Value, true
}

func (w *walker) wrongType(n *yaml.Node, path []any, want string) *Error {
	return w.fail(n, path, w.codes.Value, "%s: expected %s, got %s", describe(path, ""), want, found(n))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// extend returns path + key without ever sharing memory with a sibling.
func extend(path []any, key any) []any { return append(path[:len(path):len(path)], key) }

// wanted says in words what a type takes.
func wanted(t reflect.Type) string {
	if e, ok := reflect.New(t).Interface().(interface{ Expects() string }); ok {
		return e.Expects()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a string"
}

// found says in words what stands in the file.
func found(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!bool":
		return "the boolean " + clip(n.Value)
	case n.Tag == "!!int", n.Tag == "!!float":
		return "the number " + clip(n.Value)
	}
	return strconv.Quote(clip(n.Value))
}

func describe(path []any, key string) string {
	if key != "" {
		path = extend(path, key)
	}
	if len(path) == 0 {
		return "the file"
	}
	return clip(pathString(path))
}

func list(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// clip keeps a hostile or merely long value from filling the message.
func clip(s string) string {
	const most = 60
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i] + "…"
	}
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return s
}
