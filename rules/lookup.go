package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Lookup is what a rule looks up in a table of the source for each change that it matches. It is asked for by others, such as
// package engine: [Set.Decide] decides as if there were none.
type Lookup struct {
	Name      string
	Table     string        // schema.table
	By        []KeyPart     // what the rows are found by, in the order of the columns' names
	Columns   []string      // that are delivered; nil: all
	Many      bool          // all rows that are found, else one
	Order     []cdc.Order   // nil: by the primary key
	Limit     int           // of the rows of one key that are read
	Where     string        // CEL on a row: others do not count; "": all count
	Missing   Missing       // what becomes of a change for which no row is found
	Timeout   time.Duration // of the answer
	OnTimeout OnTimeout

	reads []string // columns that conditions read beside those that are delivered
}

// KeyPart is a column of the table that is looked up, and what it has to be equal to.
type KeyPart struct {
	Column string
	Expr   string // CEL on the change
}

// Missing says what becomes of a change for which a look-up finds no row that counts.
type Missing uint8

// What may become of it.
const (
	MissingNull  Missing = iota // it is delivered, with null or []
	MissingDrop                 // the rule does not match it
	MissingError                // the rule cannot judge it
)

var missingNames = []string{"null", "drop", "error"}

// String returns the policy as it stands in rule files.
func (m Missing) String() string { return missingNames[m%3] }

// OnTimeout says what becomes of changes when a look-up is not answered in time.
type OnTimeout uint8

// What may become of them.
const (
	TimeoutWait  OnTimeout = iota // the feed waits, and it is asked again
	TimeoutNull                   // as if no row were found
	TimeoutError                  // the rule cannot judge them
)

var onTimeoutNames = []string{"wait", "null", "error"}

// String returns the policy as it stands in rule files.
func (t OnTimeout) String() string { return onTimeoutNames[t%3] }

type lookupYAML struct {
	Table     string              `yaml:"table,required"`
	By        map[string]string   `yaml:"by,required"`
	Columns   []string            `yaml:"columns"`
	Rows      string              `yaml:"rows"`
	Order     []string            `yaml:"order"`
	Limit     int                 `yaml:"limit"`
	Where     *string             `yaml:"where"`
	Missing   any                 `yaml:"missing"` // null is a policy
	Timeout   strictyaml.Duration `yaml:"timeout"`
	OnTimeout any                 `yaml:"on_timeout"`
}

// Bounds of look-ups. What one key may bring is in memory with all others of a batch.
const (
	maxLookups     = 16 // of one rule
	maxKeyParts    = 16 // as many columns as a key of the database can have
	maxLookedUp    = 1000
	manyRows       = 100 // of rows: many, and of what a row with where is searched in
	lookupTimeout  = 5 * time.Second
	shortestLookup = 10 * time.Millisecond
	longestLookup  = 5 * time.Minute
)

var (
	lookupName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	rowsNames   = []string{"one", "many"}
	notForNames = []string{beforeVar, afterVar, opVar, tableVar, nowVar, rowVar, "feed", "rules", "tags", "change", "key", "source"}
)

// lookups reads `lookup` and `having`.
func (p *parser) lookups(at strictyaml.Place, y *ruleYAML, r *Rule) {
	section := at.At("lookup")
	if len(y.Lookup) > maxLookups {
		p.fail(section, codeLimit, "%d look-ups of one rule; at most %d are read", len(y.Lookup), maxLookups)
		return
	}
	for _, name := range section.Keys() { // in the order of the file, which is that of what is delivered
		if at := section.At(name); !p.badWithin(at) {
			p.lookup(at, name, y.Lookup[name], r)
		}
	}
	if section.Exists() && len(y.Lookup) == 0 && !p.badWithin(section) {
		p.fail(section, codeValue, "'lookup' names nothing to look up").Hint("write lookup: {customer: {table: shop.customers, by: {id: after.customer_id}}}, or remove it")
	}
	p.having(at.At("having"), y, r)
}

// having reads `having`.
func (p *parser) having(having strictyaml.Place, y *ruleYAML, r *Rule) {
	switch {
	case y.Having == nil || p.badWithin(having):
	case len(y.Lookup) == 0:
		p.add(having.KeyError(codeValue, "'having' judges what was looked up, and the rule has no 'lookup'").Hint("write it into 'when'"))
	case r.Where != "":
		p.add(having.KeyError(codeValue, "a rule with 'where' cannot have a 'having'").
			Hint("rows would come into and go out of its filter without an event that says so; write 'when' instead of 'where'"))
	default:
		r.Having = *y.Having
		if x := p.expression(having, "having", r.Having, "write a condition on what was looked up, such as customer.tier == 'vip'"); x != nil {
			r.calls = sorted(append(r.calls, r.lang.calls(x)...))
			reads := x.rowReads(r.lookupNames()...)
			for _, l := range r.Lookups {
				l.read(reads[l.Name])
			}
		}
	}
}

func (r *Rule) lookupNames() []string {
	names := make([]string, len(r.Lookups))
	for i, l := range r.Lookups {
		names[i] = l.Name
	}
	return names
}

// read notes that a condition reads columns.
func (l *Lookup) read(columns []string) {
	for _, column := range columns {
		if l.Columns != nil && !slices.Contains(l.Columns, column) && !slices.Contains(l.reads, column) {
			l.reads = append(l.reads, column)
		}
	}
	slices.Sort(l.reads)
}

// Query returns what is asked of the source, but for the keys and for what it must not be older than.
func (l *Lookup) Query() cdc.Query {
	q := cdc.Query{Table: l.Table, Order: l.Order, Limit: l.Limit}
	if l.Columns != nil {
		q.Columns = slices.Concat(l.Columns, l.reads)
	}
	for _, part := range l.By {
		q.By = append(q.By, part.Column)
	}
	return q
}

// lookup reads one of them.
func (p *parser) lookup(at strictyaml.Place, name string, y lookupYAML, r *Rule) {
	l := &Lookup{Name: name, Table: y.Table, Timeout: lookupTimeout}
	switch {
	case slices.Contains(notForNames, name):
		p.add(at.KeyError(codeValue, fmt.Sprintf("a look-up cannot be called '%s': there is a '%s' already", name, name)).Hint("name it after what it finds: customer, items"))
	case !lookupName.MatchString(name), slices.Contains(grammarWords, name), slices.Contains(typeNames, name):
		p.add(at.KeyError(codeValue, fmt.Sprintf("'%s' is not the name of a look-up", clip(name))).
			Hint("a name begins with a letter and has letters, digits and '_', at most 64 of them, such as customer"))
	}
	if schema, table, ok := strings.Cut(y.Table, "."); !ok || schema == "" || table == "" || strings.ContainsAny(y.Table, "*?") {
		p.fail(at.At("table"), codeValue, "'%s' is not the name of a table", clip(y.Table)).Hint("write schema.table, as in shop.customers: one table")
	}
	p.keyParts(at.At("by"), y.By, l, r)
	if columns := at.At("columns"); columns.Exists() {
		l.Columns = y.Columns
		if len(y.Columns) == 0 {
			p.fail(columns, codeValue, "'columns' names no column").Hint("remove it to have all of them")
		}
		p.distinct(columns, y.Columns)
	}
	l.Many = p.oneOf(at.At("rows"), "number of rows", y.Rows, rowsNames) == 1
	p.order(at.At("order"), y.Order, l)
	if where := at.At("where"); y.Where != nil {
		l.Where = *y.Where
		if x := p.expression(where, "where", l.Where, "remove it, or write a condition on the rows, such as row.tier == 'vip'"); x != nil {
			r.calls = sorted(append(r.calls, r.lang.calls(x)...))
			l.read(x.rowReads(rowVar)[rowVar])
		}
	}
	p.rowLimit(at.At("limit"), y.Limit, l)
	if i := p.oneOf(at.At("missing"), "policy for what is missing", policyText(at.At("missing"), y.Missing), missingNames); i >= 0 {
		l.Missing = Missing(i)
	}
	if l.Missing == MissingDrop && r.Where != "" {
		p.fail(at.At("missing"), codeValue, "in a rule with 'where' a look-up cannot drop changes").
			Hint("rows would come into and go out of its filter without an event that says so; write 'when' instead of the rule's 'where'")
	}
	if timeout := at.At("timeout"); timeout.Exists() {
		if l.Timeout = time.Duration(y.Timeout); l.Timeout < shortestLookup || l.Timeout > longestLookup {
			p.fail(timeout, codeValue, "a look-up cannot be waited for %s", y.Timeout).Hint("write a time from %s to %s", strictyaml.Duration(shortestLookup), strictyaml.Duration(longestLookup))
		}
	}
	if i := p.oneOf(at.At("on_timeout"), "policy for what takes too long", policyText(at.At("on_timeout"), y.OnTimeout), onTimeoutNames); i >= 0 {
		l.OnTimeout = OnTimeout(i)
	}
	r.Lookups = append(r.Lookups, l)
}

// policyText returns a policy as text: null is one.
func policyText(at strictyaml.Place, v any) string {
	switch {
	case !at.Exists():
		return ""
	case v == nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// keyParts reads `by`.
func (p *parser) keyParts(at strictyaml.Place, y map[string]string, l *Lookup, r *Rule) {
	switch {
	case len(y) == 0 && at.Exists():
		p.fail(at, codeValue, "'by' names no column").Hint("write by: {id: after.customer_id}")
	case len(y) > maxKeyParts:
		p.fail(at, codeLimit, "%d columns in 'by'; at most %d are read", len(y), maxKeyParts)
		return
	}
	for _, column := range slices.Sorted(maps.Keys(y)) {
		if x := p.expression(at.At(column), "by", y[column], "write what the column is equal to, such as after.customer_id"); x != nil {
			r.calls = sorted(append(r.calls, r.lang.calls(x)...))
		}
		l.By = append(l.By, KeyPart{column, y[column]})
	}
}

// order reads `order`: columns, with a '-' before those that go from large to small.
func (p *parser) order(at strictyaml.Place, y []string, l *Lookup) {
	var columns []string
	for _, text := range y {
		column, desc := strings.CutPrefix(text, "-")
		columns = append(columns, column)
		l.Order = append(l.Order, cdc.Order{Column: column, Desc: desc})
	}
	if at.Exists() && len(y) == 0 {
		p.fail(at, codeValue, "'order' names no column").Hint("write order: [-created_at, id]: the newest first")
	}
	p.distinct(at, columns)
}

// distinct says which columns of a list are empty or stand there twice.
func (p *parser) distinct(at strictyaml.Place, columns []string) {
	for i, column := range columns {
		switch {
		case column == "":
			p.fail(at.At(i), codeValue, "this names no column")
		case slices.Contains(columns[:i], column):
			p.fail(at.At(i), codeDuplicate, "column '%s' is there twice", clip(column)).Hint("remove one of them")
		}
	}
}

// rowLimit reads `limit`.
func (p *parser) rowLimit(at strictyaml.Place, limit int, l *Lookup) {
	switch {
	case !at.Exists():
		l.Limit = l.defaultLimit()
	case limit < 1 || limit > maxLookedUp:
		p.fail(at, codeValue, "%d is not a number of rows that can be looked up", limit).Hint("write a number from 1 to %d", maxLookedUp)
	case limit > 1 && !l.Many && l.Where == "":
		p.fail(at, codeValue, "one row is looked up, so there is no more than one to read").Hint("remove 'limit', or write rows: many")
	default:
		l.Limit = limit
	}
}

// String writes the look-up as rule files have it, on a line, without what is as it is by default.
func (l *Lookup) String() string {
	var b strings.Builder
	var by []string
	for _, part := range l.By {
		by = append(by, part.Column+": "+oneLine(part.Expr))
	}
	fmt.Fprintf(&b, "%s: {table: %s, by: {%s}", l.Name, l.Table, strings.Join(by, ", "))
	if l.Columns != nil {
		fmt.Fprintf(&b, ", columns: [%s]", strings.Join(l.Columns, ", "))
	}
	if l.Many {
		b.WriteString(", rows: many")
	}
	var order []string
	for _, o := range l.Order {
		order = append(order, map[bool]string{true: "-"}[o.Desc]+o.Column)
	}
	if len(order) > 0 {
		fmt.Fprintf(&b, ", order: [%s]", strings.Join(order, ", "))
	}
	if l.Limit != l.defaultLimit() {
		fmt.Fprintf(&b, ", limit: %d", l.Limit)
	}
	if l.Where != "" {
		fmt.Fprintf(&b, ", where: %s", oneLine(l.Where))
	}
	if l.Missing != MissingNull {
		fmt.Fprintf(&b, ", missing: %s", l.Missing)
	}
	if l.Timeout != lookupTimeout {
		fmt.Fprintf(&b, ", timeout: %s", strictyaml.Duration(l.Timeout))
	}
	if l.OnTimeout != TimeoutWait {
		fmt.Fprintf(&b, ", on_timeout: %s", l.OnTimeout)
	}
	return b.String() + "}"
}

// defaultLimit is how many rows of a key are read when the rule does not say. One is enough if it is the first that is
// wanted, but not if it is the first that satisfies a condition.
func (l *Lookup) defaultLimit() int {
	if l.Many || l.Where != "" {
		return manyRows
	}
	return 1
}

// canonical returns the part of the rule's canonical text that is about one look-up.
func (l *Lookup) canonical(field func(name string, values ...string)) {
	field("lookup", l.Name)
	l.canonicalRows(field)
	field("missing", l.Missing.String())
	field("timeout", l.Timeout.String(), l.OnTimeout.String())
}

// canonicalRows is the part of it that decides which rows are found.
func (l *Lookup) canonicalRows(field func(name string, values ...string)) {
	field("from", l.Table)
	for _, part := range l.By {
		field("by", part.Column, canonicalExpr(part.Expr))
	}
	if l.Columns != nil {
		field("columns", l.Columns...)
	}
	rows := "one"
	if l.Many {
		rows = "many"
	}
	field("rows", rows, strconv.Itoa(l.Limit))
	for _, o := range l.Order {
		field("order", o.Column, strconv.FormatBool(o.Desc))
	}
	if l.Where != "" {
		field("row", canonicalExpr(l.Where))
	}
}

// rowsText is the same for look-ups that find the same rows of the same changes.
func (l *Lookup) rowsText() string {
	var b strings.Builder
	l.canonicalRows(fieldsTo(&b))
	return b.String()
}

// LookupTables returns the tables that rules look something up in, in order. They need not be captured.
func (s *Set) LookupTables() []string {
	var names []string
	for _, r := range s.rules {
		for _, l := range r.Lookups {
			names = append(names, l.Table)
		}
	}
	return sorted(names)
}

// LookingUp returns the rules that are judged and look something up, in the order of the set.
func (s *Set) LookingUp() []*Rule {
	var rs []*Rule
	for _, r := range s.rules {
		if len(r.Lookups) > 0 && r.judged() {
			rs = append(rs, r)
		}
	}
	return rs
}
