package rules

import (
	"fmt"
	"maps"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file says what is wrong with look-ups once the tables are known: those of the changes and those that are looked into.

// checkLookups compiles the expressions of all look-ups for every table that their rules name.
func (s *Set) checkLookups(tables, all []*cdc.Table, add func(*Finding)) error {
	for _, r := range s.rules {
		say := func(f *Finding) {
			if r.Mode == Draft {
				f.Warn()
			}
			add(f)
		}
		looked := make([]*cdc.Table, len(r.Lookups))
		known := true
		for n, l := range r.Lookups {
			if looked[n] = r.lookedUp(l, all, s.unasked, say); looked[n] == nil {
				known = false
			}
		}
		if len(r.Lookups) == 0 || !known {
			continue
		}
		for _, t := range tables {
			if !r.names(t) {
				continue
			}
			c, err := newLookCheck(r, t, looked)
			if err != nil {
				return err
			}
			for _, f := range c.check() {
				say(f)
			}
		}
	}
	s.sameNames(tables, add)
	return nil
}

// lookedUp returns the table of a look-up, after saying what it does not have; nil if there is none, or not all that is named of it.
// unasked: what is not among all may be there.
func (r *Rule) lookedUp(l *Lookup, all []*cdc.Table, unasked bool, say func(*Finding)) *cdc.Table {
	at := r.place.At("lookup", l.Name)
	i := slices.IndexFunc(all, func(t *cdc.Table) bool { return t.String() == l.Table })
	if i < 0 && unasked {
		return nil
	}
	if i < 0 {
		f := at.At("table").Error(codeNoLooked, fmt.Sprintf("no known table is called '%s'", clip(l.Table)))
		if near, ok := nearest(l.Table, tableNames(all)); ok {
			f.Hint("did you mean '%s'?", near)
		} else {
			f.Hint("it need not be captured, but the source's user must be allowed to read it")
		}
		say(f)
		return nil
	}
	t, whole := all[i], true
	column := func(name string, f *Finding) {
		if t.Column(name) < 0 {
			whole = false
			noColumn(f, t, name)
			say(f)
		}
	}
	for _, part := range l.By {
		column(part.Column, at.At("by", part.Column).KeyError(codeColumn, noColumnMsg(t, part.Column)))
	}
	for i, name := range l.Columns {
		column(name, at.At("columns", i).Error(codeColumn, noColumnMsg(t, name)))
	}
	for i, o := range l.Order {
		column(o.Column, at.At("order", i).Error(codeColumn, noColumnMsg(t, o.Column)))
	}
	if !whole {
		return nil
	}
	if !l.Many && len(l.Order) == 0 && !l.unique(t) {
		f := at.At("by").Error(codeSomeRow, fmt.Sprintf("several rows of %s may have the same %s; which of them is delivered is not said", t.Name, l.keyWords()))
		say(f.Hint("say which one is first, as in order: [-created_at], or write rows: many").Warn())
	}
	return t
}

// unique reports whether no two rows have the same key, as far as is known.
func (l *Lookup) unique(t *cdc.Table) bool {
	key := t.Key()
	return len(key) > 0 && !slices.ContainsFunc(key, func(i int) bool {
		return !slices.ContainsFunc(l.By, func(part KeyPart) bool { return part.Column == t.Columns[i].Name })
	})
}

func (l *Lookup) keyWords() string {
	var names []string
	for _, part := range l.By {
		names = append(names, part.Column)
	}
	return some(names, "and")
}

// lookCheck checks the expressions of a rule's look-ups for one table.
type lookCheck struct {
	*lookSite
	looked []*cdc.Table // by look-up
	found  Findings
}

func newLookCheck(r *Rule, t *cdc.Table, looked []*cdc.Table) (*lookCheck, error) {
	env, err := tableEnv(t, r.lang)
	if err != nil {
		return nil, err
	}
	return &lookCheck{lookSite: &lookSite{rule: r, table: t, env: env, looks: make([]lookPlan, len(r.Lookups))}, looked: looked}, nil
}

func (c *lookCheck) check() Findings {
	for n, l := range c.rule.Lookups {
		for _, part := range l.By {
			x, found := c.key(n, part)
			if c.found = append(c.found, found...); found.Err() == nil && x.tree != nil {
				c.comparable(x, &c.looked[n].Columns[c.looked[n].Column(part.Column)], c.looked[n])
			}
		}
		if l.Where != "" {
			_, found := c.condition(n, c.looked[n])
			c.found = append(c.found, found...)
		}
	}
	if c.rule.Having != "" {
		x, found := c.verdict(c.looked)
		if c.found = append(c.found, found...); found.Err() == nil && x.tree != nil {
			c.unguarded(x.tree)
		}
	}
	return c.found
}

// comparable says so when a column cannot be equal to what an expression gives: columns are never converted, but whole numbers
// of all kinds are compared as what they are.
func (c *lookCheck) comparable(x lookExpr, column *cdc.Column, t *cdc.Table) {
	tree, given, want := x.tree, x.typ, typeOf(column)
	if given.open() && given.class != failed { // the checker may know
		given.class = classOf(x.out)
	}
	has := fmt.Sprintf("%s.%s is %s (%s)", t.Name, column.Name, columnWord(column), sqlType(column))
	source := tree.source(tree.tree)
	say := func(hint string, args ...any) {
		f := tree.errorAt(tree.tree, codeType, "%s, and %s", has, tree.describe(tree.tree, given))
		if hint != "" {
			f.Hint(hint, args...)
		}
		c.found = append(c.found, f)
	}
	whole := func(k class) bool { return k == integer || k == unsigned || k == exact }
	switch civil := calendarKind(column); {
	case given.class == failed:
	case given.class == null:
		c.found = append(c.found, tree.errorAt(tree.tree, codeType, "nothing equals NULL, so no row would be found"))
	case want.class == dynamic, want.class == list, column.Kind == cdc.KindGeometry:
		f := tree.place.KeyError(codeType, fmt.Sprintf("rows cannot be found by %s.%s (%s)", t.Name, column.Name, sqlType(column)))
		c.found = append(c.found, f.Hint("name columns of a key: numbers, texts, dates"))
	case given.class == dynamic:
		say("say what it is: write %s(%s)", conversionTo(want.class), source)
	case whole(want.class) && whole(given.class), want.class == double && (whole(given.class) || given.class == double):
	case want.class != given.class && conversionTo(want.class) != "" && slices.Contains(conversions[conversionTo(want.class)], given.class):
		say("write %s(%s)", conversionTo(want.class), source+map[bool]string{true: ", 'Europe/Berlin'"}[want.class == instant])
	case given.class == boolean && isFlag(column):
		say("write 1 for true, 0 for false")
	case want.class != given.class:
		say("compare it with what is of the column's type")
	case civil && given.literal:
		if s, ok := textOf(tree.tree); ok {
			if _, hint := civilText(s, column); hint != "" {
				say("%s", hint)
			}
		}
	case civil && (given.column == nil || given.column.Kind != column.Kind):
		hint := "compare it with what is of the column's type"
		if column.Kind == cdc.KindDate {
			hint = "write date(" + source + ")"
		}
		say("%s", hint)
	case !civil && want.class == text && calendarKind(given.column):
		say("compare it with what is of the column's type")
	}
}

// columnWord says what a column holds.
func columnWord(column *cdc.Column) string {
	switch column.Kind {
	case cdc.KindDate:
		return "a date"
	case cdc.KindDatetime:
		return "a date and time"
	case cdc.KindTime:
		return "a time"
	}
	return classWords[typeOf(column).class]
}

// calendarKind reports whether a column's values are dates or times that are written as text.
func calendarKind(column *cdc.Column) bool {
	return calendar(column, nil) != nil || column != nil && column.Kind == cdc.KindTime
}

// conversionTo is the function that makes a value one of a class.
func conversionTo(k class) string {
	return map[class]string{integer: "int", unsigned: "int", double: "double", exact: "decimal", text: "string", blob: "bytes", instant: "timestamp"}[k]
}

// classOf returns the class of a type as CEL's checker names it.
func classOf(t *types.Type) class {
	name := t.String()
	name = typeParameter.ReplaceAllString(name, "$1")
	for k, word := range celClasses {
		if name == word {
			return k
		}
	}
	return dynamic
}

var celClasses = map[class]string{boolean: "bool", integer: "int", unsigned: "uint", double: "double", exact: "decimal", text: "string", blob: "bytes",
	instant: "google.protobuf.Timestamp", span: "google.protobuf.Duration"}

// unguarded warns of a condition that fails when a look-up finds no row.
func (c *lookCheck) unguarded(tree *typer) {
	guarded := map[string]bool{}
	ast.PreOrderVisit(tree.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || len(e.AsCall().Args()) != 2 {
			return
		}
		if fn := e.AsCall().FunctionName(); fn != operators.Equals && fn != operators.NotEquals {
			return
		}
		for i, arg := range e.AsCall().Args() {
			if arg.Kind() == ast.IdentKind && isNull(e.AsCall().Args()[1-i]) {
				guarded[arg.AsIdent()] = true
			}
		}
	}))
	ast.PreOrderVisit(tree.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.IdentKind {
			return
		}
		name := e.AsSelect().Operand().AsIdent()
		i := slices.IndexFunc(c.rule.Lookups, func(l *Lookup) bool { return l.Name == name })
		if i < 0 || c.rule.Lookups[i].Many || c.rule.Lookups[i].Missing != MissingNull || guarded[name] {
			return
		}
		guarded[name] = true // once
		f := tree.errorAt(e, codeNullFails, "this fails when look-up %s finds no row", name).Warn()
		c.found = append(c.found, f.Hint("write missing: drop in the look-up, or ask first: %s != null && …", name))
	}))
}

// sameNames says where two rules of one feed call different look-ups of one change the same.
func (s *Set) sameNames(tables []*cdc.Table, add func(*Finding)) {
	known := map[string]map[string][]*Rule{} // by name, then by what is looked up: mostly that is the same
	for _, r := range s.rules {
		for _, l := range r.Lookups {
			own := l.rowsText()
			if known[l.Name] == nil {
				known[l.Name] = map[string][]*Rule{}
			}
			var other *Rule
			for _, text := range slices.Sorted(maps.Keys(known[l.Name])) {
				uses := known[l.Name][text]
				i := slices.IndexFunc(uses, func(u *Rule) bool { return text != own && u != r && u.sharesFeed(r) != "" && r.meets(u, tables) })
				if i >= 0 {
					other = uses[i]
					break
				}
			}
			if other != nil {
				f := r.place.At("lookup", l.Name).KeyError(codeTwoLooked, fmt.Sprintf("rule '%s' looks up another '%s' (%s) for feed %s, and a change may match both",
					other.Name, l.Name, other.place.At("lookup", l.Name).Pos(), other.sharesFeed(r)))
				f.Hint("call one of them something else, or make them the same")
				if r.Mode == Draft || other.Mode == Draft {
					f.Warn()
				}
				add(f)
			}
			known[l.Name][own] = append(known[l.Name][own], r)
		}
	}
}

// sharesFeed returns a feed that both rules deliver to.
func (r *Rule) sharesFeed(o *Rule) string {
	for _, feed := range r.To {
		if slices.Contains(o.To, feed) {
			return feed
		}
	}
	return ""
}

// meets reports whether there are changes that both rules are for.
func (r *Rule) meets(o *Rule, tables []*cdc.Table) bool {
	return slices.ContainsFunc(r.On, o.isFor) && slices.ContainsFunc(tables, func(t *cdc.Table) bool { return r.names(t) && o.names(t) })
}
