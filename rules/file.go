package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Finding is one thing that is wrong, or worth saying, with its place in a rule file.
type Finding = strictyaml.Error

// Findings are all findings of one or more files; as an error it prints all of them.
type Findings = strictyaml.Errors

// Mode says what becomes of a rule's matches.
type Mode uint8

// The modes.
const (
	Active Mode = iota // matches are delivered
	Shadow             // judged and counted: matches name no feed, and errors never stop or divert an event
	Off                // not judged; still checked
	Draft              // not judged, and may have mistakes: what is found in it are warnings
)

var modeNames = []string{"active", "shadow", "off", "draft"}

// String returns the mode as it stands in rule files.
func (m Mode) String() string { return modeNames[m%4] }

// Rule is one rule as it stands in a file. Rules are immutable.
type Rule struct {
	Name        string
	Description string
	Owner       string
	Tables      []string  // globs of schema.table
	On          []cdc.Op  // sorted
	When        string    // CEL on the change; "" matches every change
	Where       string    // CEL on a row, judged on before and after: the rule matches what enters, stays in and leaves this filter
	Filter      *Filter   // the plugin that judges what When lets through; nil: none
	Lookups     []*Lookup // what is looked up for what matches, in the order of the file
	Having      string    // CEL on what was looked up; "" matches whatever that is
	Show        *cdc.Show // what it lets see of what matches; nil: everything, as it is
	To          []string  // feeds, sorted
	Mode        Mode
	OnError     cdc.OnError
	Functions   int    // version of the functions that the condition uses
	Version     string // "sha256:…" over all that decides; name and file layout, comments, description, owner and tests do not

	tables []cdc.TableGlob
	lang   *Language
	calls  []string // functions of the language's own that the condition calls
	tests  []fixture
	doc    *strictyaml.Doc
	place  strictyaml.Place // of the rule
}

// ruleFile is the file as it is written.
type ruleFile struct {
	Version int        `yaml:"version,required"`
	Rules   []ruleYAML `yaml:"rules,required"`
}

type ruleYAML struct {
	Name        string                `yaml:"name,required"`
	Description string                `yaml:"description"`
	Owner       string                `yaml:"owner"`
	Tables      []string              `yaml:"tables,required"`
	On          []string              `yaml:"on"`
	When        *string               `yaml:"when"`
	Where       *string               `yaml:"where"`
	Filter      *filterYAML           `yaml:"filter"`
	Lookup      map[string]lookupYAML `yaml:"lookup"`
	Having      *string               `yaml:"having"`
	To          []string              `yaml:"to"`
	Mode        string                `yaml:"mode"`
	OnError     string                `yaml:"on_error"`
	Functions   int                   `yaml:"functions"`
	Select      []string              `yaml:"select"`
	Mask        map[string]string     `yaml:"mask"`
	Tests       []testYAML            `yaml:"tests"`
}

var codes = strictyaml.Codes{Syntax: codeSyntax, Key: codeKey, Value: codeValue}

// Limits of one rule file and of its rules: far above what people write, far below what hurts.
const (
	maxRules  = 10_000 // per file
	maxTables = 1000   // per rule
	maxTests  = 1000   // per rule
	maxWhen   = 16 << 10
)

var nameText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Parse reads a rule file: its layout and the syntax of its expressions, all that can be judged without knowing a
// table. file is for messages. The error is of type [Findings], holds everything that is wrong, in the order of the
// file; the rules that are returned with it are those that have no error.
func Parse(file string, src []byte) ([]*Rule, error) { return parse(nil, file, src) }

func parse(lang *Language, file string, src []byte) ([]*Rule, error) {
	var f ruleFile
	doc, err := strictyaml.Decode(file, src, &f, strictyaml.Config{Codes: codes, MaxBytes: 16 << 20})
	p := parser{doc: doc, lang: lang}
	if err != nil {
		p.errs = err.(strictyaml.Errors)
		p.explainYAML(src)
	}
	if f.Version != 1 && doc.At("version").Exists() && len(p.errs) == 0 {
		p.fail(doc.At("version"), codeValue, "version %d is not one that this program reads", f.Version).Hint("write 'version: 1'")
	}
	if len(f.Rules) > maxRules {
		p.fail(doc.At("rules"), codeLimit, "%d rules in one file; at most %d are read", len(f.Rules), maxRules)
		f.Rules = f.Rules[:maxRules]
	}
	var rules []*Rule
	seen := map[string]int{}
	for i := range f.Rules {
		if first, ok := seen[f.Rules[i].Name]; ok && f.Rules[i].Name != "" {
			line := doc.At("rules", first, "name").Pos().Line
			p.fail(doc.At("rules", i, "name"), codeDuplicate, "there are two rules '%s'", f.Rules[i].Name).Hint("the first is on line %d", line)
			continue
		}
		seen[f.Rules[i].Name] = i
		if r := p.rule(doc.At("rules", i), &f.Rules[i]); r != nil {
			rules = append(rules, r)
		}
	}
	return rules, p.errs.Err()
}

type parser struct {
	doc  *strictyaml.Doc
	lang *Language
	errs Findings
}

// maxFindings bounds a report: nobody mends a thousand mistakes at once, and a hostile file must not make us write them.
const maxFindings = 200

func (p *parser) fail(at strictyaml.Place, code, format string, args ...any) *Finding {
	e := at.Error(code, fmt.Sprintf(format, args...))
	p.add(e)
	return e
}

func (p *parser) add(e *Finding) {
	if len(p.errs) < maxFindings {
		p.errs = append(p.errs, e)
	}
}

var (
	quotedWhen = regexp.MustCompile(`^(\s*(?:- )?(when|where):\s+)(?:'[^']*'|"[^"]*")\s*[^\s#,}].*$`)
	markedWhen = regexp.MustCompile(`^(\s*(?:- )?(when|where):\s+)([!&*|>%@\x60\[{])`)
)

// explainYAML replaces what YAML says of a condition that it reads as something else by how to write it: a condition
// may well begin with a quote or a '!', which mean something to YAML.
func (p *parser) explainYAML(src []byte) {
	lines := strings.Split(string(src), "\n")
	for _, e := range p.errs {
		if e.Code != codeSyntax {
			continue
		}
		for n := max(e.Line-2, 1); n <= len(lines); n++ {
			line := strings.TrimRight(lines[n-1], "\r")
			what := ""
			m := quotedWhen.FindStringSubmatch(line)
			if m != nil {
				what = "the condition begins with a quote, so YAML takes that for a quoted text"
			} else if m = markedWhen.FindStringSubmatch(line); m != nil && n <= e.Line+1 && !strings.Contains("|>", m[3]) {
				what = fmt.Sprintf("the condition begins with '%s', which means something else to YAML", m[3])
			}
			if what == "" {
				continue
			}
			e.Line, e.Col, e.Width, e.Snippet = n, len([]rune(m[1]))+1, 1, line
			e.Msg = what
			e.Hint("write '%s: |' and the condition on the next line, indented", m[2])
			break
		}
	}
}

// rule returns the rule that y describes, or nil when it has an error.
func (p *parser) rule(at strictyaml.Place, y *ruleYAML) *Rule {
	before := len(p.errs)
	r := &Rule{Name: y.Name, Description: y.Description, Owner: y.Owner, doc: p.doc, place: at, lang: p.lang}
	if !at.At("name").Exists() || p.badWithin(at.At("name")) {
		// said by the decoder
	} else if !nameText.MatchString(y.Name) {
		p.fail(at.At("name"), codeValue, "'%s' is not a rule name", clip(y.Name)).
			Hint("use letters, digits, '-', '_' and '.', at most 128 of them, such as paid-big-order")
	}
	p.tables(at.At("tables"), y.Tables, r)
	p.condition(at, y, r)
	p.filter(at, y, r)
	p.lookups(at, y, r)
	p.show(at, y, r)
	p.ops(at.At("on"), y.On, r)
	if i := p.oneOf(at.At("mode"), "mode", y.Mode, modeNames); i >= 0 {
		r.Mode = Mode(i)
	}
	if i := p.oneOf(at.At("on_error"), "policy for errors", y.OnError, onErrorNames); i >= 0 {
		r.OnError = cdc.OnError(i)
	}
	p.functions(at.At("functions"), y.Functions, r)
	p.feeds(at, y.To, r)
	p.tests(at.At("tests"), y.Tests, r)
	if len(p.errs) > before || p.badWithin(at) {
		return nil
	}
	r.Version = digest(r.canonical())
	return r
}

// badWithin reports whether the decoder found something wrong in the value at a place.
func (p *parser) badWithin(at strictyaml.Place) bool {
	for _, e := range p.errs {
		if strings.HasPrefix(e.Path, at.Path()) {
			rest := e.Path[len(at.Path()):]
			if rest == "" || rest[0] == '.' || rest[0] == '[' {
				return true
			}
		}
	}
	return false
}

var onErrorNames = []string{"dead_letter", "skip", "halt"}

var opNames = []string{"insert", "update", "delete", "snapshot"}

func (p *parser) tables(at strictyaml.Place, globs []string, r *Rule) {
	if len(globs) == 0 {
		if at.Exists() && !p.badWithin(at) {
			p.fail(at, codeValue, "'tables' names no table").Hint("write the tables that the rule is about: [shop.orders] or [shop.*]")
		}
		return
	}
	if len(globs) > maxTables {
		p.fail(at, codeLimit, "%d tables; at most %d are read", len(globs), maxTables)
		return
	}
	for i, text := range globs {
		g, err := cdc.ParseTableGlob(text)
		if err != nil {
			e := p.fail(at.At(i), codeValue, "'%s' does not name tables: %s", clip(text), err)
			e.Hint("write schema.table; * stands for any characters, ? for one")
			continue
		}
		r.tables = append(r.tables, g)
	}
	r.Tables = sorted(globs)
}

func (p *parser) ops(at strictyaml.Place, names []string, r *Rule) {
	if !at.Exists() {
		r.On = []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete}
		if r.Where != "" { // rows that are there already are in the filter, too
			r.On = append(r.On, cdc.OpSnapshot)
		}
		return
	}
	if len(names) == 0 && !p.badWithin(at) {
		p.fail(at, codeValue, "'on' names no operation").Hint("write on: [insert, update, delete], or remove it")
	}
	for i, name := range names {
		if j := p.oneOf(at.At(i), "operation", name, opNames); j >= 0 {
			r.On = append(r.On, cdc.Op(j+1))
		}
	}
	slices.Sort(r.On)
	r.On = slices.Compact(r.On)
}

// oneOf returns the index of name in names, 0 when there is no name, and -1 after saying that there is no such thing.
func (p *parser) oneOf(at strictyaml.Place, what, name string, names []string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	if !at.Exists() {
		return 0
	}
	e := p.fail(at, codeValue, "'%s' is not a known %s", clip(name), what)
	if near, ok := strictyaml.Nearest(name, names); ok {
		e.Hint("did you mean '%s'?", near)
	} else if near, ok := aliases[strings.ToLower(name)]; ok && slices.Contains(names, near) {
		e.Hint("did you mean '%s'?", near)
	} else {
		e.Hint("one of %s", strings.Join(names, ", "))
	}
	return -1
}

// aliases are what other tools call the same thing.
var aliases = map[string]string{"c": "insert", "u": "update", "d": "delete", "r": "snapshot", "create": "insert", "created": "insert",
	"remove": "delete", "removed": "delete", "read": "snapshot", "change": "update", "modify": "update", "enabled": "active",
	"disabled": "off", "test": "shadow", "dry-run": "shadow", "dry_run": "shadow", "paused": "off", "on": "active", "quarantine": "dead_letter",
	"dlq": "dead_letter", "ignore": "skip", "stop": "halt", "fail": "halt", "abort": "halt"}

// condition reads `when` or `where`.
func (p *parser) condition(at strictyaml.Place, y *ruleYAML, r *Rule) {
	when, where := at.At("when"), at.At("where")
	if y.When != nil && y.Where != nil {
		p.add(where.KeyError(codeValue, "a rule has 'when' or 'where', not both").Hint("'when' judges a change, 'where' a row; make two rules of it"))
	}
	if y.When != nil && !p.badWithin(when) {
		r.When = *y.When
		if x := p.expression(when, "when", r.When, "remove it to match every change, or write a condition such as after.status == 'paid'"); x != nil {
			r.calls = r.lang.calls(x)
		}
	}
	if y.Where != nil && !p.badWithin(where) {
		r.Where = *y.Where
		if x := p.expression(where, "where", r.Where, "write a condition on a row, such as row.tier == 'vip'"); x != nil {
			for _, f := range whereMistakes(x) {
				p.add(f)
			}
			r.calls = r.lang.calls(x)
		}
	}
}

// expression parses one, or says what is wrong with it and returns nil.
func (p *parser) expression(at strictyaml.Place, key, text, whenEmpty string) *expr {
	switch {
	case strings.TrimSpace(text) == "":
		p.fail(at, codeValue, "'%s' is empty", key).Hint("%s", whenEmpty)
		return nil
	case len(text) > maxWhen:
		p.fail(at, codeLimit, "the condition has %d characters; at most %d are read", len(text), maxWhen)
		return nil
	}
	x, e := parseExpr(text, at)
	if e != nil {
		p.add(e)
	}
	return x
}

// functions reads the version of the functions. Without one it is 1, the only one that there was when it did not exist.
func (p *parser) functions(at strictyaml.Place, version int, r *Rule) {
	r.Functions = 1
	if !at.Exists() || p.badWithin(at) {
		return
	}
	if version < 1 || version > FunctionsVersion {
		p.fail(at, codeValue, "version %d of the functions is not one that this program knows", version).Hint("write 'functions: %d', or remove it", FunctionsVersion)
		return
	}
	r.Functions = version
}

func (p *parser) feeds(at strictyaml.Place, to []string, r *Rule) {
	for i, feed := range to {
		if !nameText.MatchString(feed) {
			p.fail(at.At("to", i), codeValue, "'%s' is not the name of a feed", clip(feed)).Hint("write a name from 'feeds' of the configuration")
		}
	}
	r.To = sorted(to)
	if len(to) == 0 && r.Mode == Active && !p.badWithin(at.At("to")) && !p.badWithin(at.At("mode")) {
		e := at.At("name").Error(codeKey, fmt.Sprintf("rule '%s' is active but 'to' names no feed", clip(r.Name)))
		p.add(e.Hint("add 'to: [<feed>]', or 'mode: shadow' to only count its matches"))
	}
}

// canonical returns the text that the rule's version is the hash of. Its form is a contract: changing it changes the
// version of every rule.
func (r *Rule) canonical() string {
	var b strings.Builder
	field := fieldsTo(&b)
	ops := make([]string, len(r.On))
	for i, op := range r.On {
		ops[i] = op.String()
	}
	field("rule", r.Name)
	field("tables", r.Tables...)
	field("on", ops...)
	field("when", canonicalExpr(r.When))
	if r.Where != "" {
		field("where", canonicalExpr(r.Where))
	}
	if f := r.Filter; f != nil {
		field("filter", f.Plugin, f.Digest, string(f.Config), f.Fallback.String())
	}
	for _, l := range r.Lookups {
		l.canonical(field)
	}
	if r.Having != "" {
		field("having", canonicalExpr(r.Having))
	}
	r.canonicalShow(field)
	field("to", r.To...)
	field("mode", r.Mode.String())
	field("on_error", r.OnError.String())
	if r.Functions != 1 {
		field("functions", strconv.Itoa(r.Functions))
	}
	if len(r.calls) > 0 {
		field("calls", r.calls...)
	}
	return b.String()
}

// fieldsTo returns what writes a line of canonical text.
func fieldsTo(b *strings.Builder) func(name string, values ...string) {
	return func(name string, values ...string) {
		b.WriteString(name)
		for _, v := range values {
			b.WriteByte(' ')
			b.WriteString(strconv.Quote(v))
		}
		b.WriteByte('\n')
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// sorted returns the distinct strings of list in order.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// clip keeps a hostile or merely long value from filling a message.
func clip(s string) string {
	const most = 60
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i] + "…"
	}
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return s
}

// canonicalExpr returns an expression's tokens with one blank between them, so without comments and layout. It knows as
// much of CEL as tells blanks inside strings from those between tokens.
func canonicalExpr(src string) string {
	var tokens []string
	for i := 0; i < len(src); {
		c, n := src[i], 1
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
			continue
		case strings.HasPrefix(src[i:], "//"):
			for i < len(src) && src[i] != '\n' {
				i++
			}
			continue
		case c == '"' || c == '\'' || c == '`':
			n = stringEnd(src[i:], c == '`')
		case isWord(c):
			for i+n < len(src) && isWord(src[i+n]) {
				n++
			}
			if end := i + n; end < len(src) && (src[end] == '"' || src[end] == '\'') {
				if prefix := strings.ToLower(src[i:end]); strings.Trim(prefix, "br") == "" && n <= 2 {
					n += stringEnd(src[end:], strings.Contains(prefix, "r"))
				}
			}
		}
		tokens = append(tokens, src[i:i+n])
		i += n
	}
	return strings.Join(tokens, " ")
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

// stringEnd returns the length of the string literal that s begins with.
func stringEnd(s string, raw bool) int {
	quote := s[:1]
	if strings.HasPrefix(s, strings.Repeat(quote, 3)) && quote != "`" {
		quote = s[:3]
	}
	for i := len(quote); i < len(s); i++ {
		if s[i] == '\\' && !raw {
			i++
			continue
		}
		if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return len(s)
}

// Place returns the file that the rule stands in and its path there, such as rules[2]: what the findings about it have
// as File and the beginning of Path.
func (r *Rule) Place() (file, path string) { return r.doc.File(), r.place.Path() }
