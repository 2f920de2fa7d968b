package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// expr is a parsed expression that knows where each of its parts stands in the file.
type expr struct {
	ast    *cel.Ast
	tree   ast.Expr
	info   *ast.SourceInfo
	text   string
	bytes  []int // byte offset of each character of text, and of its end
	place  strictyaml.Place
	lang   *Language // nil: without functions of one's own
	nextID int64
}

// parseExpr parses an expression, or says in plain words why it is none.
func parseExpr(text string, place strictyaml.Place) (*expr, *Finding) {
	env, err := baseEnv()
	if err != nil {
		return nil, place.Error(codeCEL, "the expression language cannot be set up: "+err.Error())
	}
	x := &expr{text: text, place: place}
	for at := range text {
		x.bytes = append(x.bytes, at)
	}
	x.bytes = append(x.bytes, len(text))
	parsed, issues := env.Parse(text)
	if len(issues.Errors()) > 0 { // not Err, which writes all of them out, each with the whole line
		return nil, x.syntaxError(issues)
	}
	root := parsed.NativeRep().Expr()
	x.ast, x.info = parsed, parsed.NativeRep().SourceInfo()
	x.tree = ast.NewExprFactory().NewUnspecifiedExpr(root.ID()) // the parser's own is overwritten by each check
	x.tree.SetKindCase(root)
	x.nextID = ast.MaxID(parsed.NativeRep()) + 1
	return x, nil
}

// byteAt turns an offset in characters into one in bytes.
func (x *expr) byteAt(chars int32) int { return x.bytes[min(max(int(chars), 0), len(x.bytes)-1)] }

// id returns a fresh node number that stands where e stands.
func (x *expr) id(e ast.Expr) int64 {
	id := x.nextID
	x.nextID++
	if at, ok := x.info.GetOffsetRange(e.ID()); ok {
		x.info.SetOffsetRange(id, at)
	}
	return id
}

// span returns the bytes of the text that a node covers. CEL keeps the place of the operator only, so this is the union
// with what is below it.
func (x *expr) span(e ast.Expr) (from, to int) {
	at, ok := x.info.GetOffsetRange(e.ID())
	if !ok {
		return 0, len(x.text)
	}
	from, to = x.byteAt(at.Start), x.byteAt(at.Stop)
	include := func(child ast.Expr) {
		f, t := x.span(child)
		from, to = min(from, f), max(to, t)
	}
	switch e.Kind() {
	case ast.LiteralKind: // of texts, CEL's end is too far by as many characters as there are bytes more than characters
		to = min(to, x.textEnd(from, to))
	case ast.SelectKind:
		sel := e.AsSelect()
		f, t := x.span(sel.Operand())
		from = min(from, f)
		_, t = x.fieldAfter(sel.FieldName(), t)
		to = max(to, t)
		if sel.IsTestOnly() { // has(): the place is that of the parenthesis
			head := strings.TrimRight(x.text[:from], " \t\r\n")
			from, to = len(strings.TrimSuffix(head, "has")), x.closing(to, ')')
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			include(call.Target())
		}
		for _, arg := range call.Args() {
			include(arg)
		}
		if open := from; to > 0 && open < len(x.text) && isName(call.FunctionName()) {
			if !call.IsMemberFunction() { // the place is that of the parenthesis
				name := strings.TrimRight(x.text[:x.byteAt(at.Start)], " \t\r\n")
				if strings.HasSuffix(name, call.FunctionName()) {
					from = min(from, len(name)-len(call.FunctionName()))
				}
			}
			to = max(to, x.closing(to, ')'))
		}
		if call.FunctionName() == "_[_]" {
			to = max(to, x.closing(to, ']'))
		}
	case ast.ComprehensionKind: // a macro: its place is that of its parenthesis
		include(e.AsComprehension().IterRange())
		to = max(to, x.closingOf(from, x.byteAt(at.Start)))
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			include(item)
		}
		to = max(to, x.closing(to, ']'))
	}
	return from, to
}

// textEnd returns the offset behind the text in quotes at an offset, or otherwise if there is none.
func (x *expr) textEnd(at, otherwise int) int {
	rest := strings.TrimLeft(x.text[at:], " \t\r\n")
	text := strings.TrimLeft(rest, "rRbB")
	if text == "" || !strings.ContainsAny(text[:1], "'\"") {
		return otherwise
	}
	raw := strings.ContainsAny(rest[:len(rest)-len(text)], "rR")
	return len(x.text) - len(text) + stringEnd(text, raw)
}

// closing returns the offset after the next character that is not blank, if it is c.
func (x *expr) closing(at int, c byte) int {
	rest := strings.TrimLeft(x.text[at:], " \t\r\n")
	if strings.HasPrefix(rest, string(c)) {
		return len(x.text) - len(rest) + 1
	}
	return at
}

// closingOf returns the offset behind the parenthesis that closes the one at an offset, or least when there is none.
func (x *expr) closingOf(least, open int) int {
	if open >= len(x.text) || x.text[open] != '(' {
		return least
	}
	depth := 0
	for i := open; i < len(x.text); i++ {
		switch c := x.text[i]; c {
		case '"', '\'', '`':
			i += stringEnd(x.text[i:], c == '`') - 1
		case '/':
			if strings.HasPrefix(x.text[i:], "//") {
				i += max(strings.IndexByte(x.text[i:], '\n'), 0)
			}
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return least
}

// fieldSpan returns the bytes of the name in a selection such as after.total, and of the brackets too in after['total'].
func (x *expr) fieldSpan(e ast.Expr) (from, to int) {
	_, end := x.span(e.AsSelect().Operand())
	return x.fieldAfter(e.AsSelect().FieldName(), end)
}

func (x *expr) fieldAfter(name string, operandEnd int) (from, to int) {
	from = operandEnd
	rest := x.text[from:]
	skipped := strings.TrimLeft(rest, " \t\r\n")
	if strings.HasPrefix(skipped, "[") { // after['some column']
		from += len(rest) - len(skipped)
		return from, x.closing(x.textEnd(from+1, from+1), ']')
	}
	if !strings.HasPrefix(skipped, ".") {
		return from, from
	}
	skipped = strings.TrimLeft(skipped[1:], " \t\r\n?")
	from += len(rest) - len(skipped)
	switch {
	case strings.HasPrefix(skipped, "`"+name+"`"):
		return from, from + len(name) + 2
	case strings.HasPrefix(skipped, name):
		return from, from + len(name)
	}
	return from, from
}

// errorAt makes a finding about a node.
func (x *expr) errorAt(e ast.Expr, code, format string, args ...any) *Finding {
	from, to := x.span(e)
	return x.place.ErrorAt(from, to, code, fmt.Sprintf(format, args...))
}

// source returns the text of a node.
func (x *expr) source(e ast.Expr) string {
	from, to := x.span(e)
	return x.text[min(from, to):to]
}

func isName(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != "" && s != "_"
}

// sqlWords are what people bring from SQL and other languages, with what CEL calls it.
var sqlWords = map[string]string{
	"and": "write && for 'and'", "or": "write || for 'or'", "not": "write ! for 'not'", "is": "write == null for 'is null', != null for 'is not null'",
	"like":    "write after.name.startsWith('…'), .endsWith('…') or .contains('…')",
	"between": "write after.x >= 1 && after.x <= 2", "then": "write condition ? this : that", "if": "write condition ? this : that",
	"case": "write condition ? this : that", "when": "write condition ? this : that", "where": "write the condition only",
	"select": "write the condition only", "rlike": "write after.name.matches('…')", "regexp": "write after.name.matches('…')",
	"xor": "write a != b", "div": "write /", "mod": "write %",
}

var sqlNull = regexp.MustCompile(`(?i)^is\s+(not\s+)?null\b`)

// operatorWords are those that an operator can take the place of.
var operatorWords = map[string]string{"and": "&&", "or": "||", "div": "/", "mod": "%"}

var (
	unexpected = regexp.MustCompile(`^(?:Syntax error: )?(?:mismatched input|extraneous input|no viable alternative at input|missing [^ ]+ at) '(.*?)'(?: expecting .*)?$`)
	badToken   = regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`)
	missing    = regexp.MustCompile(`^Syntax error: missing '(.*?)' at '(.*)'$`)
)

// syntaxError says what is wrong in the words of someone who has never seen a parser: about the first mistake only,
// since those after it are mostly its consequences.
func (x *expr) syntaxError(issues *cel.Issues) *Finding {
	first := issues.Errors()[0]
	for _, e := range issues.Errors()[1:] {
		if e.Location.Line() < first.Location.Line() ||
			e.Location.Line() == first.Location.Line() && e.Location.Column() < first.Location.Column() {
			first = e
		}
	}
	at := x.offset(first.Location.Line(), first.Location.Column())
	finding := func(from, to int, msg string) *Finding { return x.place.ErrorAt(from, to, codeCEL, msg) }
	rest := x.text[at:]

	if strings.Contains(first.Message, "exceeds limit") || strings.Contains(first.Message, "recursion") ||
		strings.Contains(first.Message, "exceeded") || strings.Contains(first.Message, "too many") {
		return x.place.Error(codeLimit, "the expression is too large or too deeply nested").
			Hint("at most %d parts, nested at most %d deep; split the rule into several", maxNodes, maxDepth)
	}
	if e := x.foreignToken(at); e != nil {
		return e
	}
	word := leadingWord(rest)
	switch {
	case strings.HasPrefix(first.Message, "invalid int literal"), strings.HasPrefix(first.Message, "invalid uint literal"):
		number := numberText.FindString(rest)
		return finding(at, at+len(number), number+" does not fit into a whole number").
			Hint("write %su if the column is BIGINT UNSIGNED, '%s' in quotes if it is DECIMAL", number, number)
	case strings.HasPrefix(first.Message, "reserved identifier"):
		return finding(at, at+len(word), fmt.Sprintf("'%s' is a word of the language", word)).
			Hint("if it is a column, write after.%s", word)
	case strings.Contains(first.Message, "invalid argument to has()"):
		return finding(at, at+1, "has() asks whether a row image has a column").Hint("write has(after.status)")
	case strings.Contains(first.Message, "must be a simple"):
		return finding(at, at+max(len(word), 1), "this must be a plain name").Hint("write list.exists(x, x == 'a')")
	}
	if m := missing.FindStringSubmatch(first.Message); m != nil {
		return finding(at, at+max(len(word), 1), fmt.Sprintf("a '%s' is missing here", m[1])).Hint("every ( needs its )")
	}
	if strings.TrimSpace(rest) == "" {
		end := len(strings.TrimRight(x.text, " \t\r\n"))
		return finding(max(end-1, 0), end, "the expression ends too early").Hint("something has to follow here")
	}
	if m := badToken.FindStringSubmatch(first.Message); m != nil {
		_, n := utf8.DecodeRuneInString(rest)
		return finding(at, at+n, fmt.Sprintf("'%s' is not part of the language", clip(rest[:n])))
	}
	if m := unexpected.FindStringSubmatch(first.Message); m != nil {
		shown := m[1]
		if word != "" {
			shown = word
		}
		return finding(at, at+max(len(shown), 1), fmt.Sprintf("'%s' is not expected here", clip(shown))).Hint("an operator such as && or == may be missing before it")
	}
	return finding(at, at+max(len(word), 1), strings.TrimPrefix(first.Message, "Syntax error: "))
}

// foreignToken recognises what other languages write at or just before a mistake.
func (x *expr) foreignToken(at int) *Finding {
	finding := func(from, to int, msg string) *Finding { return x.place.ErrorAt(from, to, codeCEL, msg) }
	operator := func(from, to int, right string) *Finding {
		f := finding(from, to, x.text[from:to]+" is not an operator")
		x.edit(f, from, to, right)
		return f
	}
	rest := x.text[at:]
	before := x.text[:at]
	switch {
	case strings.HasPrefix(rest, "= ") && strings.HasSuffix(before, "=="):
		return operator(at-2, at+1, "==").Hint("use == to compare")
	case strings.HasPrefix(rest, "=>"):
		return operator(at, at+2, ">=").Hint("write >=")
	case strings.HasPrefix(rest, "=<"):
		return operator(at, at+2, "<=").Hint("write <=")
	case strings.HasPrefix(rest, "=!"):
		return operator(at, at+2, "!=").Hint("write !=")
	case strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "=="):
		return operator(at, at+1, "==").Hint("use == to compare")
	case strings.HasPrefix(rest, ">") && strings.HasSuffix(before, "<"):
		return operator(at-1, at+1, "!=").Hint("write !=")
	case strings.HasPrefix(rest, "&") && !strings.HasPrefix(rest, "&&"):
		return operator(at, at+1, "&&").Hint("write &&")
	case strings.HasPrefix(rest, "|") && !strings.HasPrefix(rest, "||"):
		return operator(at, at+1, "||").Hint("write ||")
	case strings.HasPrefix(rest, "`"):
		name, _, _ := strings.Cut(rest[1:], "`")
		return finding(at, at+len(name)+2, "this name cannot stand after a point").Hint("write after['%s']", clip(name))
	case strings.HasSuffix(before, ".") && slices.Contains(grammarWords, leadingWord(rest)):
		word := leadingWord(rest)
		return finding(at, at+len(word), fmt.Sprintf("'%s' is a word of the language", word)).Hint("write after.`%s`", word)
	case strings.HasPrefix(rest, ";"):
		return finding(at, at+1, "';' does not end an expression").Hint("remove it")
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#"):
		return finding(at, at+1, "this does not begin a comment").Hint("write // for a comment")
	case strings.HasPrefix(rest, ".") && slices.Contains(grammarWords, leadingWord(rest[1:])):
		word := leadingWord(rest[1:])
		return finding(at+1, at+1+len(word), fmt.Sprintf("'%s' is a word of the language", word)).Hint("write after.`%s`", word)
	case strings.HasPrefix(rest, "“"), strings.HasPrefix(rest, "”"), strings.HasPrefix(rest, "‘"), strings.HasPrefix(rest, "’"), strings.HasPrefix(rest, "„"):
		_, n := utf8.DecodeRuneInString(rest)
		return finding(at, at+n, "this is a typographic quote").Hint("use ' or \"")
	case strings.HasPrefix(rest, "'"), strings.HasPrefix(rest, `"`):
		if strings.Contains(rest, `\`) && stringEnd(rest, false) < len(rest)+1 && closed(rest) {
			return finding(at, at+stringEnd(rest, false), "the text has an escape that does not exist").
				Hint(`write \\ for a backslash, or r'…' for a text without escapes`)
		}
		if !closed(rest) {
			return finding(at, len(strings.TrimRight(x.text, " \t\r\n")), "the text has no closing quote").Hint("add %s at its end", rest[:1])
		}
	case strings.HasPrefix(rest, ")"):
		return finding(at, at+1, "this ) has no (").Hint("remove it, or open it before")
	case strings.HasPrefix(rest, ","):
		return finding(at, at+1, "a ',' is not expected here").Hint("lists are written in brackets: x in ['a', 'b']")
	}
	words := []string{leadingWord(rest)}
	if trimmed := strings.TrimRight(before, " \t\r\n"); trimmed != before || words[0] == "" {
		words = append(words, trailingWord(trimmed))
	}
	for i, word := range words {
		hint, ok := sqlWords[strings.ToLower(word)]
		if !ok {
			continue
		}
		from := at
		if i > 0 {
			from = len(strings.TrimRight(before, " \t\r\n")) - len(word)
		}
		f := finding(from, from+len(word), fmt.Sprintf("'%s' is not an operator", word)).Hint("%s", hint)
		if right, ok := operatorWords[strings.ToLower(word)]; ok {
			x.edit(f, from, from+len(word), right)
		} else if m := sqlNull.FindStringSubmatch(x.text[from:]); m != nil {
			x.edit(f, from, from+len(m[0]), map[bool]string{true: "== null", false: "!= null"}[m[1] == ""])
		}
		return f
	}
	return nil
}

// closed reports whether the string literal that s begins with has its closing quote on the same line.
func closed(s string) bool {
	if i := strings.IndexByte(s, '\n'); i >= 0 && !strings.HasPrefix(s, s[:1]+s[:1]+s[:1]) {
		s = s[:i]
	}
	end := stringEnd(s, false)
	return end >= 2 && end <= len(s) && s[end-1] == s[0]
}

func (x *expr) offset(line, col int) int {
	at := 0
	for ; line > 1; line-- {
		i := strings.IndexByte(x.text[at:], '\n')
		if i < 0 {
			return len(x.text)
		}
		at += i + 1
	}
	for ; col > 0 && at < len(x.text); col-- {
		_, n := utf8.DecodeRuneInString(x.text[at:])
		at += n
	}
	return at
}

var numberText = regexp.MustCompile(`^-?(0[xX][0-9a-fA-F]+|[0-9]+)`)

func leadingWord(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if end < 0 {
		return s
	}
	return s[:end]
}

func trailingWord(s string) string {
	start := strings.LastIndexFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if start < 0 {
		return s
	}
	_, n := utf8.DecodeRuneInString(s[start:])
	return s[start+n:]
}
