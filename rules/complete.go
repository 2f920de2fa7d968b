package rules

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Completion is what may be written at a place of a rule, and which bytes of the text it takes the place of.
type Completion struct {
	From, To int
	Items    []Item
}

// Item is one thing that may be written.
type Item struct {
	Label    string   `json:"label"`
	Kind     string   `json:"kind"`              // column, variable, function, value, table, field
	Insert   string   `json:"insert"`            // what is written
	Detail   string   `json:"detail,omitempty"`  // the type of a column, the signature of a function
	Text     string   `json:"text,omitempty"`    // what it means
	Example  string   `json:"example,omitempty"` // of a function: lowerAscii() → 'paid'
	Nullable bool     `json:"nullable,omitempty"`
	Key      bool     `json:"key,omitempty"` // it is of the primary key
	Samples  []string `json:"samples,omitempty"`
}

// Known is what completion draws on beside the rule.
type Known struct {
	Tables []*cdc.Table // all that are captured
	Looked []*cdc.Table // what look-ups may read besides
	Feeds  []string

	// About returns what people say of a column, and values that it has, as the language writes them; nil: nobody knows.
	About func(t *cdc.Table, column string) (comment string, samples []string)
}

// Complete returns what may be written at a byte of the text. The text need not be right.
func (d *RuleText) Complete(at int, k Known) Completion {
	at = min(max(at, 0), len(d.Text))
	if key, offset := d.ConditionAt(at); key != "" {
		c := d.CompleteCondition(key, offset, k)
		shift := at - offset // where the condition stands on lines of its own, what is completed is on one of them
		c.From, c.To = c.From+shift, c.To+shift
		return c
	}
	return d.completeField(at, k)
}

// CompleteCondition returns what may be written at a byte of a condition, which is when, where or having.
func (d *RuleText) CompleteCondition(key string, at int, k Known) Completion {
	text := d.Condition(key)
	at = min(max(at, 0), len(text))
	c := completer{Known: k, key: key, text: text, at: at}
	for _, t := range k.Tables {
		if d.isAbout(t) {
			c.about = append(c.about, t)
		}
	}
	if key == "having" {
		c.lookups = map[string]*cdc.Table{}
		for _, name := range d.place.At("lookup").Keys() {
			table := d.place.At("lookup", name, "table").Text()
			for _, t := range append(slices.Clip(k.Tables), k.Looked...) {
				if t.String() == table {
					c.lookups[name] = t
				}
			}
		}
	}
	return c.complete()
}

// isAbout reports whether the rule names a table, also while it has mistakes.
func (d *RuleText) isAbout(t *cdc.Table) bool {
	if d.Rule != nil {
		return d.Rule.names(t)
	}
	for i := range maxTables {
		at := d.place.At("tables", i)
		if !at.Exists() {
			break
		}
		if g, err := cdc.ParseTableGlob(at.Text()); err == nil && g.Match(t.Schema, t.Name) {
			return true
		}
	}
	return false
}

// About returns the tables that the rule names, also while it has mistakes.
func (d *RuleText) About(tables []*cdc.Table) []*cdc.Table {
	var about []*cdc.Table
	for _, t := range tables {
		if d.isAbout(t) {
			about = append(about, t)
		}
	}
	return about
}

// completer completes one condition.
type completer struct {
	Known
	key     string
	text    string
	at      int
	about   []*cdc.Table
	lookups map[string]*cdc.Table // of having
}

// token is a word, a text in quotes or a sign of a condition.
type token struct {
	kind     byte // 'w' word, '0' number, 's' text in quotes, 'u' one that has no end yet, else the sign
	from, to int
	text     string
}

var conditionToken = regexp.MustCompile("^(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*|`[^`\n]*`?|[0-9][0-9A-Za-z.]*|==|!=|<=|>=|&&|\\|\\||\\.\\?|\\[\\?|.)")

// tokens takes a text apart up to a byte.
func tokens(text string, end int) []token {
	var out []token
	for i := 0; i < end; {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case strings.HasPrefix(text[i:], "//"):
			for i < end && text[i] != '\n' {
				i++
			}
			if i == end {
				out = append(out, token{kind: '/', from: i, to: i}) // within a comment
			}
			continue
		case c == '\'' || c == '"':
			n := stringEnd(text[i:], false)
			closed := n >= 2 && text[i+n-1] == c
			if i+n > end || i+n == end && !closed || strings.Contains(text[i:min(i+n, end)], "\n") {
				out = append(out, token{'u', i, end, text[i:end]})
				return out
			}
			out = append(out, token{'s', i, i + n, text[i : i+n]})
			i += n
			continue
		}
		m := conditionToken.FindString(text[i:])
		if m == "" {
			_, n := utf8.DecodeRuneInString(text[i:])
			m = text[i : i+n]
		}
		to := min(i+len(m), end)
		t := token{m[0], i, to, text[i:to]}
		switch {
		case isWord(m[0]) && (m[0] < '0' || m[0] > '9'), m[0] == '`':
			t.kind = 'w'
		case m[0] >= '0' && m[0] <= '9':
			t.kind = '0'
		case m == "==" || m == "!=" || m == "<=" || m == ">=":
			t.kind = '='
		case m == ".?":
			t.kind = '.'
		}
		out = append(out, t)
		i = to
	}
	return out
}

func (c *completer) complete() Completion {
	ts := tokens(c.text, c.at)
	out := Completion{From: c.at, To: c.at}
	if len(ts) == 0 {
		out.Items = c.start("")
		return out
	}
	last := ts[len(ts)-1]
	switch {
	case last.kind == '/' && last.from == last.to, last.kind == '0' && last.to == c.at:
		return out
	case last.kind == 'u': // within a text
		out.From, out.To = last.from, c.textEnd(last)
		out.Items = c.values(ts[:len(ts)-1], last.text[:1])
		prefix(&out, last.text[1:])
		return out
	}
	typed := ""
	if last.kind == 'w' && last.to == c.at {
		typed, ts = last.text, ts[:len(ts)-1]
		out.From = last.from
		for out.To < len(c.text) && isWord(c.text[out.To]) {
			out.To++
		}
	}
	if n := len(ts); n > 0 && ts[n-1].kind == '.' {
		out.Items = c.members(ts[:n-1])
	} else {
		out.Items = append(c.values(ts, ""), c.start(typed)...)
	}
	prefix(&out, typed)
	return out
}

// textEnd returns where a text ends that is written without its end: at the quote, if there is one before the line ends.
func (c *completer) textEnd(t token) int {
	line, _, _ := strings.Cut(c.text[c.at:], "\n")
	if i := strings.IndexByte(line, t.text[0]); i >= 0 && !strings.ContainsAny(line[:i], "=&|()") {
		return c.at + i + 1
	}
	return c.at
}

// prefix leaves the items that what is typed may become: first those that begin so, then those that have it in them.
func prefix(c *Completion, typed string) {
	typed = strings.ToLower(strings.Trim(typed, "`'\""))
	rank := func(i Item) int {
		label := strings.ToLower(strings.Trim(i.Label, "`'\""))
		_, column, ofRow := strings.Cut(label, ".")
		switch {
		case typed == "", strings.HasPrefix(label, typed) && !ofRow:
			return 0
		case ofRow && strings.HasPrefix(column, typed):
			return 1
		case len(typed) > 2 && strings.Contains(label, typed):
			return 2
		}
		return 3
	}
	seen := map[string]bool{}
	c.Items = slices.DeleteFunc(c.Items, func(i Item) bool {
		twice := seen[i.Label]
		seen[i.Label] = true
		return twice || rank(i) == 3
	})
	slices.SortStableFunc(c.Items, func(a, b Item) int { return rank(a) - rank(b) })
}

// start returns what an expression may begin with.
func (c *completer) start(typed string) []Item {
	var items []Item
	for _, v := range variableTexts {
		if slices.Contains(v.in, c.key) {
			items = append(items, Item{Label: v.name, Kind: "variable", Insert: v.name, Detail: v.typ, Text: v.text})
		}
	}
	for name := range c.lookups {
		items = append(items, Item{Label: name, Kind: "variable", Insert: name, Detail: c.lookups[name].String(), Text: "What was looked up."})
	}
	slices.SortStableFunc(items[len(items)-len(c.lookups):], func(a, b Item) int { return strings.Compare(a.Label, b.Label) })
	if typed != "" { // a column without its image
		image := map[string]string{"where": "row"}[c.key]
		if image == "" {
			image = afterVar
		}
		for _, item := range c.columns(c.about) {
			item.Label, item.Insert = image+"."+strings.TrimPrefix(item.Label, "."), image+selector(item.Label)
			items = append(items, item)
		}
	}
	for _, f := range reference {
		if owner, _, member := strings.Cut(f.Signatures[0], "."+f.Name+"("); member && !strings.ContainsAny(owner, " ()") || strings.HasPrefix(f.Name, ".") {
			continue
		}
		if c.key == "where" && f.Group == theChange {
			continue
		}
		if f.Name != "now" {
			items = append(items, functionItem(f))
		}
	}
	return items
}

var variableTexts = []struct {
	name, typ, text string
	in              []string
}{
	{afterVar, "row", "The row as it is after the change; a delete has none.", []string{"when", "having"}},
	{beforeVar, "row", "The row as it was before the change; an insert and a snapshot have none.", []string{"when", "having"}},
	{"row", "row", "The row: as it was, and as it is.", []string{"where"}},
	{opVar, "text", "'insert', 'update', 'delete' or 'snapshot'.", []string{"when", "having"}},
	{tableVar, "text", "The table's name, as in 'shop.orders'.", []string{"when", "where", "having"}},
	{nowVar, "timestamp", "When the transaction of the change was committed.", []string{"when", "having"}},
	{"true", "truth value", "", []string{"when", "where", "having"}},
	{"false", "truth value", "", []string{"when", "where", "having"}},
	{"null", "null", "What a column is that has no value.", []string{"when", "where", "having"}},
}

func functionItem(f Function) Item {
	item := Item{Label: f.Name, Kind: "function", Insert: f.Name, Detail: strings.Join(f.Signatures, "\n"), Text: f.Text}
	if strings.Contains(f.Signatures[0], f.Name+"(") {
		item.Insert += "("
	}
	if strings.Contains(f.Signatures[0], f.Name+"()") {
		item.Insert += ")"
	}
	if len(f.Examples) > 0 {
		item.Example = f.Examples[0].Expression + " → " + f.Examples[0].Result
	}
	return item
}

// members returns what may stand behind a point.
func (c *completer) members(ts []token) []Item {
	path := pathBefore(ts)
	switch {
	case len(path) == 1 && c.tablesOf(path[0]) != nil:
		var items []Item
		for _, item := range c.columns(c.tablesOf(path[0])) {
			if s := selector(item.Label); strings.HasPrefix(s, ".") {
				item.Insert = s[1:]
				items = append(items, item)
			}
		}
		return items
	case len(path) == 1 && path[0] == "optional":
		return memberFunctions("optional")
	case len(path) == 2:
		if _, column := c.column(path); column != nil {
			return memberFunctions(receivers(column)...)
		}
	case len(path) == 1 && path[0] == nowVar:
		return memberFunctions("timestamp")
	case len(path) == 1 && (path[0] == opVar || path[0] == tableVar):
		return memberFunctions("text")
	case len(ts) > 0 && ts[len(ts)-1].kind == 's':
		return memberFunctions("text")
	}
	return memberFunctions("text", "list", "timestamp", "date", "datetime", "duration", "optional", "x")
}

// receivers names what the functions are called on that a column has, as their signatures call it.
func receivers(column *cdc.Column) []string {
	switch column.Kind {
	case cdc.KindDate:
		return []string{"date", "text"}
	case cdc.KindDatetime:
		return []string{"datetime", "date", "text"}
	}
	switch typeOf(column).class {
	case text:
		return []string{"text", "x"}
	case instant:
		return []string{"timestamp"}
	case list, dynamic:
		return []string{"list", "x"}
	case blob:
		return []string{"x"}
	}
	return []string{""}
}

func memberFunctions(of ...string) []Item {
	var items []Item
	for _, f := range reference {
		for _, s := range f.Signatures {
			if owner, _, member := strings.Cut(s, "."+f.Name+"("); member && slices.Contains(of, owner) || slices.Contains(of, "optional") && strings.HasPrefix(s, "optional.") && strings.HasPrefix(f.Name, "optional.") {
				item := functionItem(f)
				item.Label, item.Insert = strings.TrimPrefix(item.Label, "optional."), strings.TrimPrefix(item.Insert, "optional.")
				if _, args, _ := strings.Cut(s, f.Name+"("); strings.HasPrefix(args, ")") && !strings.HasSuffix(item.Insert, ")") {
					item.Insert += ")"
				}
				items = append(items, item)
				break
			}
		}
	}
	return items
}

// tablesOf returns the tables of which a variable is a row; nil when it is none.
func (c *completer) tablesOf(variable string) []*cdc.Table {
	switch {
	case c.lookups[variable] != nil:
		return []*cdc.Table{c.lookups[variable]}
	case c.key == "where" && variable == "row", c.key != "where" && (variable == afterVar || variable == beforeVar):
		return append([]*cdc.Table{}, c.about...)
	}
	return nil
}

// columns returns the columns of tables, each once.
func (c *completer) columns(tables []*cdc.Table) []Item {
	items := []Item{}
	for _, t := range tables {
		for i := range t.Columns {
			column := &t.Columns[i]
			if slices.ContainsFunc(items, func(item Item) bool { return item.Label == column.Name }) {
				continue
			}
			item := Item{Label: column.Name, Kind: "column", Detail: sqlType(column), Nullable: column.Nullable, Key: column.Key > 0}
			if c.About != nil {
				item.Text, item.Samples = c.About(t, column.Name)
			}
			items = append(items, item)
		}
	}
	return items
}

// column returns the column that a path such as after.status names.
func (c *completer) column(path []string) (*cdc.Table, *cdc.Column) {
	if len(path) != 2 {
		return nil, nil
	}
	for _, t := range c.tablesOf(path[0]) {
		if column := columnOf(t, path[1]); column != nil {
			return t, column
		}
	}
	return nil, nil
}

// pathBefore returns the names joined by points that tokens end with: [after status]. One that hangs on something else is none.
func pathBefore(ts []token) []string {
	var path []string
	for n := len(ts); n > 0; n -= 2 {
		name := ""
		switch t := ts[n-1]; {
		case t.kind == 'w':
			name = strings.Trim(t.text, "`")
		case t.kind == ']' && n >= 4 && ts[n-2].kind == 's' && ts[n-3].kind == '[':
			name, n = strings.Trim(ts[n-2].text, "'\""), n-1
			path = slices.Insert(path, 0, name)
			continue
		default:
			return nil
		}
		path = slices.Insert(path, 0, name)
		if n == 1 || ts[n-2].kind != '.' {
			return path
		}
	}
	return path
}

// values returns what a column may be compared with, or a function may take, behind tokens. quote is that of a text that is begun.
func (c *completer) values(ts []token, quote string) []Item {
	n := len(ts)
	if n == 0 {
		return nil
	}
	if ts[n-1].kind == '[' && n > 1 && c.tablesOf(ts[n-2].text) != nil && ts[n-2].kind == 'w' { // after['
		return c.names(c.tablesOf(ts[n-2].text), quote)
	}
	// The names of columns that changed() and the like take.
	open := n - 1
	for open >= 0 && (ts[open].kind == 's' || ts[open].kind == ',' || ts[open].kind == '[') {
		open--
	}
	if open >= 1 && ts[open].kind == '(' && slices.Contains([]string{"changed", "anyChanged", "increasedBy", "decreasedBy"}, ts[open-1].text) && ts[n-1].kind != 's' &&
		(ts[n-1].kind != ',' || ts[open-1].text == "anyChanged") {
		return c.names(c.about, quote)
	}
	// The other side of a comparison, or an item of the list that it is in.
	cut := n - 1
	for cut >= 0 && (ts[cut].kind == 's' || ts[cut].kind == ',' || ts[cut].kind == '[' || ts[cut].kind == '0') && ts[n-1].kind != 's' {
		cut--
	}
	switch {
	case cut < 1 || ts[n-1].kind == 's' || ts[n-1].kind == '0':
		return nil
	case ts[cut].kind == 'w' && ts[cut].text == "in" && cut < n-1:
	case ts[cut].kind == '=' && cut == n-1:
	case (ts[cut].kind == '<' || ts[cut].kind == '>') && cut == n-1:
	default:
		return nil
	}
	path := pathBefore(ts[:cut])
	switch {
	case len(path) == 1 && path[0] == opVar && c.key != "where":
		return textItems(opNames, quote)
	case len(path) == 1 && path[0] == tableVar:
		return textItems(tableNames(c.about), quote)
	}
	t, column := c.column(path)
	if column == nil {
		return nil
	}
	var items []Item
	for _, m := range column.Members {
		items = append(items, textItems([]string{m}, quote)...)
	}
	if isFlag(column) || column.Kind == cdc.KindBool {
		items = append(items, Item{Label: "true", Kind: "value", Insert: "true"}, Item{Label: "false", Kind: "value", Insert: "false"})
	}
	if c.About != nil && len(items) == 0 {
		_, samples := c.About(t, column.Name)
		for _, s := range samples {
			if quote != "" && !strings.HasPrefix(s, "'") || s == "null" {
				continue
			}
			insert := s
			if quote == `"` {
				insert = `"` + strings.Trim(s, "'") + `"`
			}
			items = append(items, Item{Label: s, Kind: "value", Insert: insert, Detail: "seen in " + column.Name})
		}
	}
	if column.Nullable && quote == "" && ts[cut].kind == '=' && strings.ContainsAny(ts[cut].text, "=") && len(ts[cut].text) == 2 && ts[cut].text[0] != '<' && ts[cut].text[0] != '>' {
		items = append(items, Item{Label: "null", Kind: "value", Insert: "null"})
	}
	return items
}

// names returns the names of columns as texts.
func (c *completer) names(tables []*cdc.Table, quote string) []Item {
	items := c.columns(tables)
	for i := range items {
		items[i].Insert = quoted(items[i].Label, quote)
	}
	return items
}

func textItems(values []string, quote string) []Item {
	var items []Item
	for _, v := range values {
		items = append(items, Item{Label: quoted(v, quote), Kind: "value", Insert: quoted(v, quote)})
	}
	return items
}

// quoted writes a text in the quotes that are begun, or in single ones.
func quoted(s, quote string) string {
	if quote == "" {
		quote = "'"
	}
	return quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote).Replace(s) + quote
}

var fieldLine = regexp.MustCompile(`^(\s*(?:- )?)([A-Za-z_]*)(:\s*)?(.*)$`)

// completeField completes the names of fields, and the values of those that have few.
func (d *RuleText) completeField(at int, k Known) Completion {
	begin := strings.LastIndexByte(d.Text[:at], '\n') + 1
	m := fieldLine.FindStringSubmatch(d.Text[begin:at])
	out := Completion{From: at, To: at}
	if m == nil || strings.Contains(d.Text[begin:at], "#") {
		return out
	}
	if m[3] == "" {
		if m[4] != "" || len(m[1]) > 6 {
			return out
		}
		out.From = at - len(m[2])
		for _, f := range fieldTexts {
			if !d.place.At(f.name).Exists() || f.name == m[2] {
				out.Items = append(out.Items, Item{Label: f.name, Kind: "field", Insert: f.name + ": ", Text: f.text})
			}
		}
		prefix(&out, m[2])
		return out
	}
	var values []string
	switch m[2] {
	case "tables", "table":
		values = tableNames(k.Tables)
		if m[2] == "table" {
			values = tableNames(append(slices.Clip(k.Tables), k.Looked...))
		}
	case "on":
		values = opNames
	case "mode":
		values = modeNames
	case "on_error":
		values = onErrorNames
	case "to":
		values = k.Feeds
	}
	typed := m[4][strings.LastIndexAny(m[4], "[ ,")+1:]
	out.From = at - len(typed)
	for _, v := range values {
		out.Items = append(out.Items, Item{Label: v, Kind: map[bool]string{true: "table", false: "value"}[strings.HasPrefix(m[2], "table")], Insert: strictyaml.Flow(cdc.AppendString(nil, v))})
	}
	prefix(&out, typed)
	return out
}

var fieldTexts = []struct{ name, text string }{
	{"name", "What the rule is called: letters, digits, '-', '_' and '.'."},
	{"description", "What it is for."},
	{"owner", "Who is asked about it."},
	{"tables", "The tables that it is about: [shop.orders], [shop.*]."},
	{"on", "The operations: [insert, update, delete, snapshot]."},
	{"when", "The condition on a change."},
	{"where", "A condition on a row, instead of when: what enters it, stays in it and leaves it is delivered."},
	{"filter", "A plugin that judges what the condition lets through."},
	{"lookup", "Rows of other tables that go with what matches."},
	{"having", "A condition on what was looked up."},
	{"mask", "What the partner sees in another form: {after.email: hmac}."},
	{"select", "The columns that are delivered; without it all."},
	{"to", "The feeds that matches are delivered to."},
	{"mode", "active, shadow, off or draft."},
	{"on_error", "What becomes of a change that the rule cannot judge: dead_letter, skip or halt."},
	{"functions", "The version of the functions."},
	{"tests", "Events with what the rule makes of them."},
}
