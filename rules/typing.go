package rules

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// This file goes over an expression before CEL's own checker does. It gives literals the types of the columns they
// meet, which the checker has no notion of, and it says what does not fit in words that name columns and SQL types. What
// it does not understand it leaves alone: the checker has the last word.

// class is the kind of type an expression has, as far as this file cares.
type class uint8

const (
	unknown class = iota // no opinion
	failed               // wrong, and already said
	dynamic              // JSON
	null                 // the literal
	boolean
	integer
	unsigned
	double
	exact // decimal
	text
	blob
	instant
	span
	list
	row
)

var classWords = [...]string{"something", "something", "JSON", "null", "a truth value", "a whole number", "an unsigned number",
	"a floating-point number", "a decimal number", "text", "binary data", "a timestamp", "a duration", "a list", "a row"}

// typ is the type of an expression.
type typ struct {
	class   class
	column  *cdc.Column // the column that it is, or whose members a list holds
	elem    class       // of a list
	table   *cdc.Table  // of a row, or of the rows of a list
	literal bool        // made of literals only, so it may take another's type
}

func (t typ) open() bool { return t.class <= dynamic }

// item is the type of a list's items.
func (t typ) item() typ {
	if t.elem == row && t.table == nil {
		return typ{} // rows of several tables
	}
	return typ{class: t.elem, column: t.column, table: t.table}
}

// typer goes over one expression for one table.
type typer struct {
	*expr
	table    *cdc.Table
	vars     []scoped // beside those of a change
	fac      ast.ExprFactory
	scope    []scoped
	errs     Findings
	warnings Findings
	depth    int
	exactly  bool // the operator being checked asks for equality
	lints    bool // say also what is hardly meant

	guarded map[string]bool // columns that are compared with null somewhere
}

type scoped struct {
	name string
	typ  typ
}

func newTyper(x *expr, t *cdc.Table) *typer {
	return &typer{expr: x, table: t, fac: ast.NewExprFactory(), guarded: map[string]bool{}}
}

// check goes over the whole expression.
func (c *typer) check() {
	c.findGuards()
	c.truth(c.tree, c.visit(c.tree))
	if c.lints && len(c.errs) == 0 {
		c.lint()
	}
}

func (c *typer) fail(e ast.Expr, code, format string, args ...any) *Finding {
	f := c.errorAt(e, code, format, args...)
	if len(c.errs) < maxFindings {
		c.errs = append(c.errs, f)
	}
	return f
}

func (c *typer) failField(e ast.Expr, code, msg string) *Finding {
	from, to := c.fieldSpan(e)
	f := c.place.ErrorAt(from, to, code, msg)
	if len(c.errs) < maxFindings {
		c.errs = append(c.errs, f)
	}
	return f
}

func (c *typer) warn(e ast.Expr, code, format string, args ...any) *Finding {
	f := c.errorAt(e, code, format, args...).Warn()
	if len(c.warnings) < maxFindings {
		c.warnings = append(c.warnings, f)
	}
	return f
}

// findGuards notes which columns the expression compares with null, so that those need no warning.
func (c *typer) findGuards() {
	ast.PostOrderVisit(c.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		if fn := call.FunctionName(); fn != operators.Equals && fn != operators.NotEquals {
			return
		}
		a, b := call.Args()[0], call.Args()[1]
		if isNull(a) {
			a, b = b, a
		}
		if isNull(b) && (a.Kind() == ast.SelectKind || a.Kind() == ast.CallKind && a.AsCall().FunctionName() == operators.Index) {
			c.guarded[c.source(a)] = true
		}
	}))
}

func isNull(e ast.Expr) bool { return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue }

// visit returns an expression's type, after giving its literals theirs.
func (c *typer) visit(e ast.Expr) typ {
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > 4*maxDepth {
		c.fail(e, codeLimit, "the expression is too deeply nested")
		return typ{class: failed}
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return literalType(e.AsLiteral())
	case ast.IdentKind:
		return c.ident(e)
	case ast.SelectKind:
		return c.selection(e)
	case ast.CallKind:
		return c.call(e)
	case ast.ListKind:
		return c.list(e)
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			c.visit(entry.AsMapEntry().Key())
			c.visit(entry.AsMapEntry().Value())
		}
		return typ{}
	case ast.StructKind:
		c.fail(e, codeName, "'%s{…}' makes an object, which rules cannot", clip(e.AsStruct().TypeName())).Hint("compare the columns one by one")
		return typ{class: failed}
	case ast.ComprehensionKind:
		return c.comprehension(e)
	}
	return typ{}
}

func literalType(v ref.Val) typ {
	t := typ{literal: true}
	switch v.(type) {
	case types.Null:
		t.class = null
	case types.Bool:
		t.class = boolean
	case types.Int:
		t.class = integer
	case types.Uint:
		t.class = unsigned
	case types.Double:
		t.class = double
	case types.String:
		t.class = text
	case types.Bytes:
		t.class = blob
	}
	return t
}

var variables = []string{beforeVar, afterVar, opVar, tableVar, nowVar}

// typeNames are identifiers too, in type(x) == string.
var typeNames = []string{"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint",
	"google.protobuf.Timestamp", "google.protobuf.Duration", "optional_type"}

func (c *typer) ident(e ast.Expr) typ {
	name := e.AsIdent()
	for i := len(c.scope) - 1; i >= 0; i-- {
		if c.scope[i].name == name {
			return c.scope[i].typ
		}
	}
	for _, v := range c.vars {
		if v.name == name {
			return v.typ
		}
	}
	switch name {
	case beforeVar, afterVar:
		return typ{class: row, table: c.table}
	case opVar:
		return typ{class: text, column: &opColumn}
	case tableVar:
		return typ{class: text}
	case nowVar:
		return typ{class: instant}
	}
	if slices.Contains(typeNames, name) {
		return typ{}
	}
	f := c.fail(e, codeName, "there is no variable '%s'", clip(name))
	lower := strings.ToLower(name)
	alias := map[string]string{"new": afterVar, "old": beforeVar, "row": afterVar, "operation": opVar, "type": opVar, "event": afterVar,
		"this": afterVar, "value": afterVar, "record": afterVar, "source": tableVar}[lower]
	switch {
	case c.table.Column(name) >= 0:
		f.Hint("did you mean the column after%s?", selector(name))
		from, to := c.span(e)
		c.editOnChange(f, from, to, afterVar+selector(name))
	case alias != "":
		f.Hint("did you mean '%s'?", alias)
		from, to := c.span(e)
		c.editOnChange(f, from, to, alias)
	case lower == "true" || lower == "false" || lower == "null":
		f.Hint("write %s in small letters", lower)
	default:
		if near, ok := strictyaml.Nearest(name, c.variables()); ok {
			f.Hint("did you mean '%s'?", near)
			from, to := c.span(e)
			c.edit(f, from, to, near)
		} else if near, ok := strictyaml.Nearest(name, columnNames(c.table)); ok {
			f.Hint("did you mean the column after%s?", selector(near))
			from, to := c.span(e)
			c.editOnChange(f, from, to, afterVar+selector(near))
		} else {
			f.Hint("there are %s; text goes in quotes: '%s'", strings.Join(c.variables(), ", "), clip(name))
		}
	}
	return typ{class: failed}
}

// variables returns the names of all variables.
func (c *typer) variables() []string {
	var names []string
	for _, v := range c.vars {
		names = append(names, v.name)
	}
	return append(names, variables...)
}

// editOnChange lets a finding write the name of an image, unless the condition is on a row.
func (c *typer) editOnChange(f *Finding, from, to int, text string) {
	if !strings.HasSuffix(c.place.Path(), "where") {
		c.edit(f, from, to, text)
	}
}

// opColumn makes op behave like an enum.
var opColumn = cdc.Column{Name: opVar, Kind: cdc.KindEnum, Members: opNames}

// selector returns how a column is selected from a row: .total, .`some column` or ['größe'].
func selector(name string) string {
	switch {
	case isName(name) && isASCII(name) && !slices.Contains(grammarWords, name):
		return "." + name
	case quotable.MatchString(name):
		return ".`" + name + "`"
	}
	return "[" + strconv.Quote(name) + "]"
}

// grammarWords cannot stand after a point without backquotes.
var grammarWords = []string{"in", "true", "false", "null"}

var quotable = regexp.MustCompile(`^[A-Za-z0-9_./ -]+$`)

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func columnNames(t *cdc.Table) []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

func tableNames(tables []*cdc.Table) []string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.String()
	}
	return names
}

func (c *typer) selection(e ast.Expr) typ {
	sel := e.AsSelect()
	operand := c.visit(sel.Operand())
	switch operand.class {
	case row:
		column := columnOf(operand.table, sel.FieldName())
		if column == nil {
			f := c.failField(e, codeColumn, noColumnMsg(operand.table, sel.FieldName()))
			if name := selector(noColumn(f, operand.table, sel.FieldName())); strings.HasPrefix(name, ".") && len(name) > 1 {
				from, to := c.fieldSpan(e)
				c.edit(f, from, to, name[1:])
			}
			return typ{class: failed}
		}
		if sel.IsTestOnly() {
			return typ{class: boolean}
		}
		return typeOf(column)
	case failed, unknown, dynamic:
		if sel.IsTestOnly() {
			return typ{class: boolean}
		}
		if operand.class == failed {
			return operand
		}
		return typ{class: dynamic}
	}
	f := c.fail(e, codeType, "%s: it has no parts", c.describe(sel.Operand(), operand))
	if operand.column != nil && operand.class == text {
		f.Hint("only JSON columns have parts")
	}
	return typ{class: failed}
}

func columnOf(t *cdc.Table, name string) *cdc.Column {
	if i := t.Column(name); i >= 0 {
		return &t.Columns[i]
	}
	return nil
}

func noColumnMsg(t *cdc.Table, name string) string {
	return fmt.Sprintf("%s has no column '%s'", t.Name, clip(name))
}

// noColumn says which column was probably meant, and returns it if no other may have been.
func noColumn(f *Finding, t *cdc.Table, name string) (near string) {
	if slices.Contains(t.Dropped, name) {
		f.Hint("the source leaves it out (drop_columns)")
		return ""
	}
	if near, ok := strictyaml.Nearest(name, columnNames(t)); ok {
		f.Hint("did you mean '%s' (%s)?", near, sqlType(columnOf(t, near)))
		if !onlyNear(name, near, columnNames(t)) {
			return ""
		}
		return near
	}
	names := columnNames(t)
	if len(names) > 12 {
		names = append(names[:12:12], "…")
	}
	f.Hint("it has %s", strings.Join(names, ", "))
	return ""
}

// onlyNear reports whether no other of the names is near, too. Else a person has to choose.
func onlyNear(name, near string, names []string) bool {
	_, other := strictyaml.Nearest(name, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == near }))
	return !other
}

// editText lets a finding replace a text that is written out.
func (c *typer) editText(f *Finding, literal ast.Expr, text string) {
	from, to := c.span(literal)
	if to <= from+1 || text == "" || strings.ContainsAny(text, "'\"\\") || !strings.ContainsAny(c.text[from:from+1], "'\"") {
		return
	}
	quote := c.text[from : from+1]
	c.edit(f, from, to, quote+text+quote)
}

// sqlType returns a column's type for people.
func sqlType(column *cdc.Column) string {
	if column.Type != "" {
		return clip(column.Type)
	}
	return column.Kind.String()
}

func typeOf(column *cdc.Column) typ {
	t := typ{column: column}
	switch column.Kind {
	case cdc.KindBool:
		t.class = boolean
	case cdc.KindInt64:
		t.class = integer
	case cdc.KindUint64, cdc.KindBit:
		t.class = unsigned
	case cdc.KindFloat64:
		t.class = double
	case cdc.KindDecimal:
		t.class = exact
	case cdc.KindString, cdc.KindEnum, cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
		t.class = text
	case cdc.KindBytes, cdc.KindGeometry:
		t.class = blob
	case cdc.KindTimestamp:
		t.class = instant
	case cdc.KindSet:
		t.class, t.elem = list, text
	case cdc.KindVector:
		t.class, t.elem = list, double
	default:
		t.class = dynamic
	}
	return t
}

func (c *typer) list(e ast.Expr) typ {
	t := typ{class: list, literal: true}
	items := e.AsList().Elements()
	kinds := make([]typ, len(items))
	model := -1 // an item that is not a literal: literals take its type
	for i, item := range items {
		kinds[i] = c.visit(item)
		t.literal = t.literal && kinds[i].literal
		if model < 0 && !kinds[i].literal && !kinds[i].open() {
			model = i
		}
	}
	for i, item := range items {
		if model >= 0 && kinds[i].literal && kinds[i].class != null {
			to := kinds[model]
			to.column = calendar(to.column, bare(to.column))
			if kinds[i] = c.coerce(item, kinds[i], items[model], to); kinds[i].class == failed {
				return typ{class: failed}
			}
		}
		switch {
		case i == 0:
			t.elem, t.table = kinds[i].class, kinds[i].table
		case t.elem != kinds[i].class || t.table != kinds[i].table:
			t.elem, t.table = unknown, nil
		}
	}
	return t
}

func (c *typer) comprehension(e ast.Expr) typ {
	loop := e.AsComprehension()
	over := c.visit(loop.IterRange())
	item := typ{}
	switch over.class {
	case list:
		item = over.item()
	case dynamic:
		item.class = dynamic
	case failed:
		item.class = failed
	case unknown:
	default:
		if loop.IterVar() != "#unused" { // macros that bind a value loop over nothing
			c.fail(loop.IterRange(), codeType, "%s: it cannot be gone through item by item", c.describe(loop.IterRange(), over)).
				Hint("exists(), all(), map() and filter() are for lists")
			item.class = failed
		}
	}
	for _, name := range [...]string{loop.IterVar(), loop.IterVar2()} {
		if slices.Contains(c.variables(), name) {
			c.fail(e, codeName, "'%s' is a variable already", name).Hint("call the item something else: list.exists(x, x == 'a')")
		}
	}
	init := c.visit(loop.AccuInit())
	init.literal, init.column = false, nil
	if init.class == list {
		init.elem = unknown
	}
	if init.class == null || init.class == integer {
		init.class = unknown
	}
	base := len(c.scope)
	c.scope = append(c.scope, scoped{loop.AccuVar(), init}, scoped{loop.IterVar(), item})
	if loop.HasIterVar2() {
		c.scope[base+1].typ = typ{}
		c.scope = append(c.scope, scoped{loop.IterVar2(), item})
	}
	c.visit(loop.LoopCondition())
	step := c.visit(loop.LoopStep())
	c.scope = c.scope[:base+1]
	result := c.visit(loop.Result())
	c.scope = c.scope[:base]
	if result.class == list && result.elem == unknown && step.class == list {
		result.elem, result.table = step.elem, step.table // what map() and filter() put into the list
	}
	return result
}

func (c *typer) call(e ast.Expr) typ {
	call := e.AsCall()
	args := call.Args()
	fn := call.FunctionName()
	if call.IsMemberFunction() {
		return c.method(e)
	}
	switch fn {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse:
		for _, arg := range args {
			c.truth(arg, c.visit(arg))
		}
		if fn == operators.LogicalNot {
			c.lintNot(e, args[0])
		}
		return typ{class: boolean}
	case operators.Conditional:
		c.truth(args[0], c.visit(args[0]))
		return c.join(e, args[1], args[2])
	case operators.Equals, operators.NotEquals:
		return c.equality(e)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return c.ordering(e)
	case operators.In:
		return c.in(e)
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		return c.arithmetic(e)
	case operators.Negate:
		t := c.visit(args[0])
		if t.class == unsigned && !t.literal {
			c.fail(e, codeType, "%s: it is never negative", c.describe(args[0], t)).Hint("write -int(%s)", c.source(args[0]))
			return typ{class: failed}
		}
		return typ{class: t.class, literal: t.literal}
	case operators.Index, operators.OptIndex:
		return c.index(e)
	case operators.OptSelect:
		return c.optionalSelection(e)
	}
	return c.function(e)
}

// truth checks that an expression stands for true or false, and makes it do so if it is a flag column.
func (c *typer) truth(e ast.Expr, t typ) {
	switch {
	case t.open() || t.class == boolean:
		return
	case t.column != nil && isFlag(t.column) && e.Kind() == ast.SelectKind:
		c.replaceFlag(e, t.column, true)
		return
	case t.class == null:
		c.fail(e, codeType, "null is neither true nor false")
		return
	}
	f := c.fail(e, codeType, "%s, not true or false", c.describe(e, t))
	switch {
	case t.literal && t.class == text:
		f.Hint("compare it with a column: after.status == %s", c.source(e))
	case t.class == integer || t.class == unsigned || t.class == double || t.class == exact:
		f.Hint("write %s != 0", c.source(e))
	case t.class == list:
		f.Hint("write size(%s) > 0, or 'a' in %s", c.source(e), c.source(e))
	case t.class == text:
		f.Hint("compare it: %s == '…'", c.source(e))
	default:
		f.Hint("compare it with something")
	}
}

// isFlag reports whether a number column is one that people keep true and false in.
func isFlag(column *cdc.Column) bool {
	declared := strings.ToLower(column.Type)
	switch column.Kind {
	case cdc.KindInt64, cdc.KindUint64:
		return column.Type == "" || strings.HasPrefix(declared, "tinyint") || strings.HasPrefix(declared, "bool")
	case cdc.KindBit:
		return column.Precision <= 1
	}
	return false
}

// replaceFlag turns a flag column into a comparison that is true when it is set (want), or when it is not: neither is
// true for NULL, as in SQL.
func (c *typer) replaceFlag(e ast.Expr, column *cdc.Column, want bool) {
	zero := ref.Val(types.Int(0))
	if column.Kind != cdc.KindInt64 {
		zero = types.Uint(0)
	}
	read := func() ast.Expr {
		sel := e.AsSelect()
		operand := c.fac.CopyExpr(sel.Operand())
		operand.RenumberIDs(func(int64) int64 { return c.id(sel.Operand()) })
		return c.fac.NewSelect(c.id(e), operand, sel.FieldName())
	}
	compare := func(op string, with ref.Val) ast.Expr {
		return c.fac.NewCall(c.id(e), op, read(), c.fac.NewLiteral(c.id(e), with))
	}
	var out ast.Expr
	switch {
	case !want:
		out = compare(operators.Equals, zero)
	case column.Nullable:
		out = c.fac.NewCall(c.id(e), operators.LogicalAnd, compare(operators.NotEquals, types.NullValue), compare(operators.NotEquals, zero))
	default:
		out = compare(operators.NotEquals, zero)
	}
	e.SetKindCase(out)
}

// equality handles == and !=.
func (c *typer) equality(e ast.Expr) typ {
	call := e.AsCall()
	a, b := call.Args()[0], call.Args()[1]
	ta, tb := c.visit(a), c.visit(b)
	if c.flagEquality(e, a, b, ta, tb) || c.flagEquality(e, b, a, tb, ta) {
		return typ{class: boolean}
	}
	c.exactly = true
	ta, tb = c.meet(e, a, b, ta, tb)
	c.exactly = false
	if ta.class == failed || tb.class == failed {
		return typ{class: boolean}
	}
	for _, side := range [...]struct {
		e, other ast.Expr
		t, ot    typ
	}{{a, b, ta, tb}, {b, a, tb, ta}} {
		if side.ot.class != null || side.t.class == null {
			continue
		}
		switch col := side.t.column; {
		case col != nil && !col.Nullable && side.e.Kind() == ast.SelectKind:
			c.fail(e, codeType, "%s is NOT NULL: it is never null", c.source(side.e)).Hint("remove the comparison; has(%s) asks whether the row image has the column", c.source(side.e))
		case side.t.class == list:
			c.wrapDyn(side.e)
		}
		return typ{class: boolean}
	}
	c.compatible(e, a, b, ta, tb)
	if call.FunctionName() == operators.NotEquals {
		if tb.literal { // two columns that differ are what != says: one of them NULL is a difference
			c.lintNull(e, a, ta)
		}
		if ta.literal {
			c.lintNull(e, b, tb)
		}
	}
	return typ{class: boolean}
}

// wrapDyn hides a list's type from the checker, which does not let lists be compared with null.
func (c *typer) wrapDyn(e ast.Expr) {
	inner := c.fac.NewUnspecifiedExpr(c.id(e))
	inner.SetKindCase(e)
	e.SetKindCase(c.fac.NewCall(c.id(e), "dyn", inner))
}

// flagEquality turns flag == true into a comparison with 0.
func (c *typer) flagEquality(e, a, b ast.Expr, ta, tb typ) bool {
	if ta.column == nil || !isFlag(ta.column) || ta.class == boolean || a.Kind() != ast.SelectKind || !tb.literal || tb.class != boolean || b.Kind() != ast.LiteralKind {
		return false
	}
	want := b.AsLiteral() == types.True
	equal := e.AsCall().FunctionName() == operators.Equals
	test := c.fac.CopyExpr(a)
	if equal {
		c.replaceFlag(test, ta.column, want)
		e.SetKindCase(test)
		return true
	}
	c.lintNull(e, a, ta)
	c.replaceFlag(test, ta.column, want)
	e.SetKindCase(c.fac.NewCall(e.ID(), operators.LogicalNot, test))
	return true
}

// lintNull warns about a comparison that is also true when a column is NULL.
func (c *typer) lintNull(e, side ast.Expr, t typ) {
	if t.column == nil || !t.column.Nullable || side.Kind() != ast.SelectKind {
		return
	}
	source := c.source(side)
	if c.guarded[source] {
		return
	}
	c.guarded[source] = true // once per column
	f := c.warn(e, codeNull, "this is also true when %s is NULL", source).
		Hint("add '&& %s != null' if NULL must not match, or '|| %s == null' to show that it should", source, source)
	from, to := c.whole(e)
	c.editAround(f, from, to, "", " && "+source+" != null")
}

// lintNot warns about the other way to write !=.
func (c *typer) lintNot(e, arg ast.Expr) {
	if arg.Kind() != ast.CallKind {
		return
	}
	call := arg.AsCall()
	if fn := call.FunctionName(); fn != operators.Equals && fn != operators.In || len(call.Args()) != 2 {
		return
	}
	left := call.Args()[0]
	if left.Kind() == ast.SelectKind && !left.AsSelect().IsTestOnly() && isImage(left.AsSelect().Operand()) && !isNull(call.Args()[1]) {
		if column := columnOf(c.table, left.AsSelect().FieldName()); column != nil {
			c.lintNull(e, left, typeOf(column))
		}
	}
}

// ordering handles <, <=, > and >=.
func (c *typer) ordering(e ast.Expr) typ {
	a, b := e.AsCall().Args()[0], e.AsCall().Args()[1]
	ta, tb := c.visit(a), c.visit(b)
	ta, tb = c.meet(e, a, b, ta, tb)
	if ta.class == failed || tb.class == failed {
		return typ{class: boolean}
	}
	for _, side := range [...]struct {
		e ast.Expr
		t typ
	}{{a, ta}, {b, tb}} {
		switch side.t.class {
		case null:
			c.fail(side.e, codeType, "nothing is larger or smaller than null").Hint("write == null or != null")
			return typ{class: boolean}
		case list, row:
			c.fail(side.e, codeType, "%s: it is neither larger nor smaller than anything", c.describe(side.e, side.t)).Hint("size(%s) is its length", c.source(side.e))
			return typ{class: boolean}
		}
		if side.t.column != nil && side.t.column.Kind == cdc.KindTime {
			c.warn(e, codeMember, "%s is compared as text: times below 00:00:00 or from 100:00:00 on are out of order", c.source(side.e))
			break
		}
		if side.t.column != nil && side.t.column.Kind == cdc.KindEnum && side.t.column != &opColumn {
			c.warn(e, codeMember, "%s is compared as text, not in the order of its members", c.source(side.e)).Hint("list the members: %s in ['a', 'b']", c.source(side.e))
			break
		}
	}
	c.compatible(e, a, b, ta, tb)
	return typ{class: boolean}
}

// in handles x in list.
func (c *typer) in(e ast.Expr) typ {
	a, b := e.AsCall().Args()[0], e.AsCall().Args()[1]
	ta := c.visit(a)
	if b.Kind() == ast.ListKind {
		for _, item := range b.AsList().Elements() {
			ti := c.visit(item)
			if ti.class == failed && ta.class == text {
				c.mendWord(item)
			}
			if ta.class == failed || ti.class == failed || ti.class == null || ta.class == null {
				continue
			}
			c.exactly = true
			left, right := c.meet(e, a, item, ta, ti)
			c.exactly = false
			if left.class != failed && right.class != failed {
				c.compatible(e, a, item, left, right)
			}
		}
		return typ{class: boolean}
	}
	tb := c.visit(b)
	switch {
	case ta.class == failed || tb.open():
	case tb.class != list:
		f := c.fail(b, codeType, "%s: 'in' needs a list", c.describe(b, tb))
		if ta.literal && tb.class == text && !tb.literal {
			f.Hint("write %s.contains(%s), or %s == %s", c.source(b), c.source(a), c.source(b), c.source(a))
		} else {
			f.Hint("write [%s]", c.source(b))
		}
	case ta.literal && tb.elem != unknown:
		elem := typ{class: tb.elem, column: tb.column}
		if ta = c.coerce(a, ta, b, elem); ta.class != failed {
			c.compatible(e, a, b, ta, elem)
		}
	case !ta.open() && tb.elem > dynamic && ta.class != tb.elem:
		c.fail(e, codeType, "%s, but the list holds %s", c.describe(a, ta), classWords[tb.elem])
	}
	return typ{class: boolean}
}

// join handles the two branches of a condition.
func (c *typer) join(e, a, b ast.Expr) typ {
	ta, tb := c.visit(a), c.visit(b)
	switch {
	case ta.class == boolean && tb.flag():
		c.truth(b, tb)
		return typ{class: boolean}
	case tb.class == boolean && ta.flag():
		c.truth(a, ta)
		return typ{class: boolean}
	case ta.literal && !tb.literal && tb.class != null:
		ta = c.coerce(a, ta, b, tb)
	case tb.literal && !ta.literal && ta.class != null:
		tb = c.coerce(b, tb, a, ta)
	}
	switch {
	case ta.class == failed || tb.class == failed:
		return typ{class: failed}
	case ta.class == tb.class && ta.table == tb.table:
		return typ{class: ta.class, elem: ta.elem, table: ta.table, literal: ta.literal && tb.literal}
	case ta.class == list && tb.class == list: // of rows and of something else, as in the step of filter()
		return typ{class: list, elem: cmp.Or(ta.elem, tb.elem), table: cmp.Or(ta.table, tb.table)}
	case ta.class == tb.class:
		return typ{}
	case ta.open() || tb.open():
		return typ{literal: ta.literal && tb.literal}
	case ta.literal && tb.literal && ta.class != null && tb.class != null:
		return typ{literal: true} // what they meet decides
	case ta.class == null:
		return typ{class: tb.class, elem: tb.elem, table: tb.table}
	case tb.class == null:
		return typ{class: ta.class, elem: ta.elem, table: ta.table}
	}
	c.fail(e, codeType, "the two cases are of different types: %s; %s", c.describe(a, ta), c.describe(b, tb))
	return typ{class: failed}
}

// flag reports whether the type is that of a column that people keep true and false in.
func (t typ) flag() bool { return t.column != nil && t.class != boolean && isFlag(t.column) }

var arithmeticSigns = map[string]string{operators.Add: "+", operators.Subtract: "-", operators.Multiply: "*", operators.Divide: "/", operators.Modulo: "%"}

func (c *typer) arithmetic(e ast.Expr) typ {
	call := e.AsCall()
	a, b := call.Args()[0], call.Args()[1]
	ta, tb := c.visit(a), c.visit(b)
	sign := arithmeticSigns[call.FunctionName()]
	bothLiteral := ta.literal && tb.literal
	if ta.class == instant || tb.class == instant || ta.class == span || tb.class == span {
		return c.timeArithmetic(e, a, b, ta, tb, sign)
	}
	ta.column, tb.column = bare(ta.column), bare(tb.column)
	if !bothLiteral {
		ta, tb = c.meet(e, a, b, ta, tb)
	}
	if ta.class == failed || tb.class == failed {
		return typ{class: failed}
	}
	if ta.open() || tb.open() {
		return typ{literal: bothLiteral}
	}
	if ta.class == null || tb.class == null {
		c.fail(e, codeType, "null cannot be calculated with").Hint("write == null or != null")
		return typ{class: failed}
	}
	if ta.class != tb.class {
		if bothLiteral {
			return typ{literal: true}
		}
		c.mismatch(e, a, b, ta, tb)
		return typ{class: failed}
	}
	ok := false
	switch ta.class {
	case integer, unsigned:
		ok = true
	case double:
		ok = sign != "%"
	case exact:
		ok = sign == "+" || sign == "-" || sign == "*"
		if !ok {
			c.fail(e, codeType, "decimal numbers cannot be divided exactly").Hint("write double(%s) %s double(%s)", c.source(a), sign, c.source(b))
			return typ{class: failed}
		}
	case text, blob, list:
		ok = sign == "+"
	}
	if !ok {
		f := c.fail(e, codeType, "'%s' does not work here: %s; %s", sign, c.describe(a, ta), c.describe(b, tb))
		if ta.class == double {
			f.Hint("write int(%s) %s int(%s)", c.source(a), sign, c.source(b))
		}
		return typ{class: failed}
	}
	elem, table := ta.elem, ta.table
	if elem == unknown {
		elem, table = tb.elem, tb.table
	}
	return typ{class: ta.class, elem: elem, table: table, literal: bothLiteral}
}

func (c *typer) timeArithmetic(e, a, b ast.Expr, ta, tb typ, sign string) typ {
	switch {
	case ta.class == failed || tb.class == failed:
		return typ{class: failed}
	case ta.open() || tb.open():
		return typ{}
	case tb.class == text && tb.literal && b.Kind() == ast.LiteralKind, ta.class == text && ta.literal && a.Kind() == ast.LiteralKind:
		side, t := b, tb
		if ta.class == text {
			side, t = a, ta
		}
		c.fail(side, codeType, "%s; here a duration or a timestamp is needed", c.describe(side, t)).Hint("write days(30), duration('12h') or timestamp('2026-01-01T00:00:00Z')")
		return typ{class: failed}
	case ta.class == instant && tb.class == span && (sign == "+" || sign == "-"), ta.class == span && tb.class == instant && sign == "+":
		return typ{class: instant}
	case ta.class == instant && tb.class == instant && sign == "-", ta.class == span && tb.class == span && (sign == "+" || sign == "-"):
		return typ{class: span}
	}
	f := c.fail(e, codeType, "'%s' does not work here: %s; %s", sign, c.describe(a, ta), c.describe(b, tb))
	switch {
	case ta.class == integer || tb.class == integer:
		f.Hint("write days(30) or duration('12h') for a length of time")
	case calendar(ta.column, nil) != nil:
		f.Hint("write timestamp(%s, 'Europe/Berlin') %s %s", c.source(a), sign, c.source(b))
	case calendar(tb.column, nil) != nil:
		f.Hint("write %s %s timestamp(%s, 'Europe/Berlin')", c.source(a), sign, c.source(b))
	}
	return typ{class: failed}
}

func (c *typer) index(e ast.Expr) typ {
	a, b := e.AsCall().Args()[0], e.AsCall().Args()[1]
	ta, tb := c.visit(a), c.visit(b)
	switch ta.class {
	case row:
		return c.columnByName(e, a, b, ta.table)
	case list:
		if tb.class != integer && !tb.open() {
			c.fail(b, codeType, "%s; items of a list are numbered from 0", c.describe(b, tb))
			return typ{class: failed}
		}
		if e.AsCall().FunctionName() == operators.OptIndex {
			return typ{}
		}
		return ta.item()
	case text:
		c.fail(e, codeType, "%s: it has no numbered parts", c.describe(a, ta)).Hint("startsWith(), endsWith(), contains() and matches() look into texts")
		return typ{class: failed}
	case failed:
		return ta
	case dynamic:
		if e.AsCall().FunctionName() == operators.Index {
			return typ{class: dynamic}
		}
	}
	return typ{}
}

// columnByName turns after['some column'] into a selection: not every name can stand after a point.
func (c *typer) columnByName(e, operand, index ast.Expr, t *cdc.Table) typ {
	name, ok := types.String(""), false
	if index.Kind() == ast.LiteralKind {
		name, ok = index.AsLiteral().(types.String)
	}
	switch column := columnOf(t, string(name)); {
	case !ok || e.AsCall().FunctionName() != operators.Index:
		c.fail(e, codeType, "a column is named by a text in quotes").Hint("write %s.status, or %s['status']", c.source(operand), c.source(operand))
		return typ{class: failed}
	case column == nil:
		f := c.fail(index, codeColumn, "%s", noColumnMsg(t, string(name)))
		c.editText(f, index, noColumn(f, t, string(name)))
		return typ{class: failed}
	default:
		e.SetKindCase(c.fac.NewSelect(e.ID(), operand, string(name)))
		return typeOf(column)
	}
}

func (c *typer) optionalSelection(e ast.Expr) typ {
	args := e.AsCall().Args()
	t := c.visit(args[0])
	if t.class != row || args[1].Kind() != ast.LiteralKind {
		if t.class == failed {
			return t
		}
		return typ{}
	}
	name, _ := args[1].AsLiteral().(types.String)
	if columnOf(t.table, string(name)) == nil {
		noColumn(c.fail(args[1], codeColumn, "%s", noColumnMsg(t.table, string(name))), t.table, string(name))
		return typ{class: failed}
	}
	return typ{}
}

// functions are the ones that are called as f(x), with the class of what they return.
var functions = map[string]class{
	"bool": boolean, "bytes": blob, "decimal": exact, "double": double, "duration": span, "dyn": dynamic, "int": integer,
	"matches": boolean, "size": integer, "string": text, "timestamp": instant, "type": unknown, "uint": unsigned,
	changedVar: boolean, "anyChanged": boolean, "increasedBy": boolean, "decreasedBy": boolean, "coalesce": unknown, "date": text, "days": span,
	"optional.of": unknown, "optional.none": unknown, "optional.ofNonZeroValue": unknown,
}

// methods are the ones that are called as x.f(y).
var methods = map[string]class{
	"contains": boolean, "endsWith": boolean, "matches": boolean, "startsWith": boolean, "size": integer,
	"lowerAscii": text, "upperAscii": text, "trim": text,
	"equalsIgnoreCase": boolean, "containsIgnoreCase": boolean, "startsWithIgnoreCase": boolean, "endsWithIgnoreCase": boolean,
	"getDate": integer, "getDayOfMonth": integer, "getDayOfWeek": integer, "getDayOfYear": integer, "getFullYear": integer, "getHours": integer,
	"getMilliseconds": integer, "getMinutes": integer, "getMonth": integer, "getSeconds": integer,
	"hasValue": boolean, "or": unknown, "orValue": unknown, "value": unknown,
}

// macros are known by name only when they are called wrongly: else the parser has replaced them.
var macros = map[string]string{"has": "write has(after.status)", "all": "write list.all(x, x > 0)", "exists": "write list.exists(x, x == 'a')",
	"exists_one": "write list.exists_one(x, x == 'a')", "map": "write list.map(x, x + 1)", "filter": "write list.filter(x, x > 0)",
	"optMap": "write value.optMap(x, x + 1)", "optFlatMap": "write value.optFlatMap(x, x.?y)"}

// foreign are functions of other languages, with what to write instead.
var foreign = map[string]string{"lower": "write after.name.lowerAscii()", "upper": "write after.name.upperAscii()", "tolower": "write after.name.lowerAscii()",
	"toupper": "write after.name.upperAscii()", "len": "write size(x)", "length": "write size(x)", "isnull": "write x == null",
	"ifnull": "write coalesce(x, 0)", "nvl": "write coalesce(x, 0)", "like": "write after.name.contains('…')", "includes": "write after.name.contains('…')", "startswith": "write startsWith",
	"endswith": "write endsWith", "now": "'now' is a variable: write it without ()",
	"today": "write date(now, 'Europe/Berlin')", "curdate": "write date(now, 'Europe/Berlin')", "datediff": "write timestamp(a, 'UTC') - timestamp(b, 'UTC') > days(3)",
	"year": "write after.at.getFullYear()", "month": "write after.at.getMonth(), from 0 for January", "dayofweek": "write after.at.getDayOfWeek(), from 0 for Sunday",
	"weekday": "write after.at.getDayOfWeek(), from 0 for Sunday", "hour": "write after.at.getHours()", "isweekend": "write after.at.getDayOfWeek() in [0, 6]",
	"interval": "write days(30), or duration('12h')", "hours": "write duration('12h')", "minutes": "write duration('30m')", "ilike": "write after.name.containsIgnoreCase('…')",
	"concat": "write a + b", "abs": "write x < 0 ? -x : x", "iif": "write condition ? this : that", "if": "write condition ? this : that",
	"touched": "write changed('a')", "number": "write double(x) or int(x)", "cast": "write double(x), int(x) or string(x)"}

func (c *typer) noFunction(e ast.Expr, name string, known map[string]class) {
	from, to := c.callSpan(e)
	f := c.place.ErrorAt(from, to, codeName, fmt.Sprintf("there is no function '%s'", clip(name)))
	c.errs = append(c.errs, f)
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	if hint, ok := macros[name]; ok {
		f.Hint("%s", hint)
	} else if hint, ok := foreign[strings.ToLower(name)]; ok {
		f.Hint("%s", hint)
	} else if near, ok := strictyaml.Nearest(name, names); ok {
		f.Hint("did you mean '%s'?", near)
		c.edit(f, from, to, near)
	} else {
		f.Hint("there are %s", strings.Join(names, ", "))
	}
}

// callSpan returns the bytes of a function's name.
func (c *typer) callSpan(e ast.Expr) (from, to int) {
	at, ok := c.info.GetOffsetRange(e.ID())
	if !ok {
		return 0, 0
	}
	head := strings.TrimRight(c.text[:c.byteAt(at.Start)], " \t\r\n")
	name := e.AsCall().FunctionName()
	if strings.HasSuffix(head, name) {
		return len(head) - len(name), len(head)
	}
	return c.span(e)
}

func (c *typer) function(e ast.Expr) typ {
	call := e.AsCall()
	name, args := call.FunctionName(), call.Args()
	if c.lang != nil {
		if f, ok := c.lang.funcs[name]; ok {
			return c.own(e, f)
		}
	}
	result, ok := functions[name]
	if !ok {
		c.noFunction(e, name, functions)
		return typ{class: failed}
	}
	switch {
	case name == changedVar:
		return c.changed(e)
	case name == "anyChanged":
		return c.anyChanged(e)
	case name == "increasedBy", name == "decreasedBy":
		return c.increasedBy(e, name)
	case name == "coalesce":
		return c.coalesce(e)
	case name == "date":
		return c.date(e)
	case name == "timestamp" && len(args) == 2:
		return c.timestampIn(e)
	}
	for i, arg := range args {
		t := c.visit(arg)
		if t.class == failed {
			return typ{class: result}
		}
		if len(args) != 1 || t.open() || i > 0 {
			continue
		}
		if !c.checkConversion(e, arg, t, name) {
			return typ{class: failed}
		}
	}
	if name == "matches" && len(args) == 2 {
		c.checkPattern(args[1])
	}
	if len(args) != 1 && name != "matches" && !strings.HasPrefix(name, "optional.") {
		c.fail(e, codeType, "%s() takes one value, not %d", name, len(args))
		return typ{class: failed}
	}
	return typ{class: result}
}

// conversions say which classes a conversion takes.
var conversions = map[string][]class{
	"bool": {boolean, text}, "bytes": {blob, text}, "decimal": {exact, text, integer, unsigned}, "double": {double, integer, unsigned, text, exact},
	"duration": {span, text}, "int": {integer, unsigned, double, text, instant}, "string": {text, boolean, integer, unsigned, double, blob, instant, span, exact},
	"timestamp": {instant, text, integer}, "days": {integer}, "uint": {unsigned, integer, double, text}, "size": {text, blob, list},
}

func (c *typer) checkConversion(e, arg ast.Expr, t typ, name string) bool {
	takes, ok := conversions[name]
	if !ok {
		return true
	}
	if !slices.Contains(takes, t.class) {
		f := c.fail(arg, codeType, "%s; %s() cannot take it", c.describe(arg, t), name)
		switch {
		case name == "decimal" && t.class == double && t.literal:
			f.Hint("write decimal('%s')", c.source(arg))
		case name == "decimal" && t.class == double:
			f.Hint("compare it as it is: %s > 1.5", c.source(arg))
		case name == "int" && t.class == exact:
			f.Hint("write int(double(%s)), or compare it as it is", c.source(arg))
		}
		return false
	}
	if name == "timestamp" && calendar(t.column, nil) != nil {
		c.fail(arg, codeType, "%s: which time it is depends on the time zone", c.describe(arg, t)).Hint("write timestamp(%s, 'Europe/Berlin')", c.source(arg))
		return false
	}
	if arg.Kind() != ast.LiteralKind {
		return true
	}
	var v ref.Val
	switch name {
	case "decimal":
		v = toDecimal(arg.AsLiteral())
	case "timestamp":
		v = arg.AsLiteral().ConvertToType(types.TimestampType)
	case "duration":
		v = arg.AsLiteral().ConvertToType(types.DurationType)
	default:
		return true
	}
	if !types.IsError(v) {
		return true
	}
	hint := map[string]string{"decimal": "write digits: decimal('12.50')", "timestamp": "write timestamp('2026-01-01T00:00:00Z')",
		"duration": "write duration('12h'), duration('30m') or duration('1h30m'); days are days(30)"}[name]
	c.fail(arg, codeType, "%s is not what %s() reads", clip(c.source(arg)), name).Hint("%s", hint)
	return false
}

func (c *typer) method(e ast.Expr) typ {
	call := e.AsCall()
	name, args := call.FunctionName(), call.Args()
	target := call.Target()
	if target.Kind() == ast.IdentKind && target.AsIdent() == "optional" {
		for _, arg := range args {
			c.visit(arg)
		}
		return typ{}
	}
	result, ok := methods[name]
	if !ok {
		c.visit(target)
		c.noFunction(e, name, methods)
		return typ{class: failed}
	}
	t := c.visit(target)
	var types []typ
	for _, arg := range args {
		types = append(types, c.visit(arg))
	}
	if t.open() {
		return typ{class: result}
	}
	switch {
	case result == boolean && name != "hasValue", result == text:
		if t.class != text {
			f := c.fail(target, codeType, "%s; %s() is for texts", c.describe(target, t), name)
			switch {
			case t.class == list && name == "contains" && len(args) == 1:
				f.Hint("write %s in %s", c.source(args[0]), c.source(target))
			case t.class == list:
				f.Hint("write %s.exists(x, x.%s(…))", c.source(target), name)
			case slices.Contains(conversions["string"], t.class):
				f.Hint("write string(%s).%s(…)", c.source(target), name)
			}
			return typ{class: failed}
		}
		want := 1
		if result == text {
			want = 0
		}
		if len(args) != want {
			c.fail(e, codeType, "%s() takes %s, not %d", name, [...]string{"nothing", "one text"}[want], len(args))
			return typ{class: failed}
		}
		for i, arg := range args {
			if !types[i].open() && types[i].class != text {
				c.fail(arg, codeType, "%s; %s() looks for a text", c.describe(arg, types[i]), name).Hint("write %s('…')", name)
				return typ{class: failed}
			}
		}
		if name == "matches" {
			c.checkPattern(args[0])
		}
	case strings.HasPrefix(name, "get"):
		return c.getter(e, name, t)
	}
	return typ{class: result}
}

// checkPattern reads a regular expression before the data does. It must be a literal: compiling one that comes from the
// data, for every event, is work that nothing bounds.
func (c *typer) checkPattern(e ast.Expr) {
	s, ok := types.String(""), false
	if e.Kind() == ast.LiteralKind {
		s, ok = e.AsLiteral().(types.String)
	}
	if !ok {
		c.fail(e, codeType, "the pattern of matches() must be written out").Hint("write matches('^[A-Z]+$')")
		return
	}
	if _, err := regexp.Compile(string(s)); err != nil {
		c.fail(e, codeType, "the pattern cannot be read: %s", clip(strings.TrimPrefix(err.Error(), "error parsing regexp: "))).
			Hint("patterns are RE2: https://github.com/google/re2/wiki/Syntax")
	}
}

// meet lets the literal of two operands take the other's type.
func (c *typer) meet(e, a, b ast.Expr, ta, tb typ) (typ, typ) {
	switch {
	case ta.literal && !tb.literal:
		t := ta
		if ta = c.coerce(a, ta, b, tb); ta.class == failed {
			c.mendLiteral(e, a, b, t, tb)
		}
	case tb.literal && !ta.literal:
		t := tb
		if tb = c.coerce(b, tb, a, ta); tb.class == failed {
			c.mendLiteral(e, b, a, t, ta)
		}
	case ta.class == failed && tb.class == text && tb.column != nil:
		c.mendWord(a)
	case tb.class == failed && ta.class == text && ta.column != nil:
		c.mendWord(b)
	}
	return ta, tb
}

// mendLiteral lets the newest finding, which is about a literal, offer to convert what it was to take the type of.
func (c *typer) mendLiteral(e, literal, other ast.Expr, t, to typ) {
	if len(c.errs) == 0 || other.Kind() != ast.SelectKind || literal.Kind() != ast.LiteralKind || e.Kind() != ast.CallKind {
		return
	}
	f := c.errs[len(c.errs)-1]
	convert := func(fn string) {
		f.Edits = nil
		from, to := c.span(other)
		c.edit(f, from, to, fn+"("+c.text[from:to]+")")
	}
	number := t.class == integer || t.class == unsigned || t.class == double
	function, equal := e.AsCall().FunctionName(), false
	switch function {
	case operators.Equals, operators.NotEquals, operators.In:
		equal = true
	}
	switch {
	case number && !equal && to.class == text && to.column != nil && to.column.Kind == cdc.KindString: // nobody means the order of texts
		f.Hint("write double(%s) to compare numbers, or '%s' to compare texts", c.source(other), c.source(literal))
		convert("double")
	case equal:
	case t.class == double && (to.class == integer || to.class == unsigned):
		convert("double")
	case number && to.class == unsigned:
		convert("int")
	}
}

// mendWord lets the newest finding, that a name means nothing, offer to write it as a text: it is compared with one.
func (c *typer) mendWord(e ast.Expr) {
	if len(c.errs) == 0 || e.Kind() != ast.IdentKind {
		return
	}
	if f := c.errs[len(c.errs)-1]; f.Code == codeName && len(f.Edits) == 0 && strings.HasSuffix(f.Suggestion, "text goes in quotes: '"+e.AsIdent()+"'") {
		from, to := c.span(e)
		c.edit(f, from, to, "'"+c.text[from:to]+"'")
	}
}

// compatible says so when two operands cannot be compared.
func (c *typer) compatible(e, a, b ast.Expr, ta, tb typ) {
	if ta.open() || tb.open() || ta.class == null || tb.class == null || ta.class == tb.class && (ta.class != list || ta.elem == tb.elem || ta.elem <= dynamic || tb.elem <= dynamic) {
		return
	}
	c.mismatch(e, a, b, ta, tb)
}

// mismatch explains two types that do not fit, and how to write it.
func (c *typer) mismatch(e, a, b ast.Expr, ta, tb typ) {
	f := c.fail(e, codeType, "%s; %s", c.describe(a, ta), c.describe(b, tb))
	sa, sb := c.source(a), c.source(b)
	sign := " … "
	if at, ok := c.info.GetOffsetRange(e.ID()); ok {
		sign = " " + c.text[c.byteAt(at.Start):c.byteAt(at.Stop)] + " "
	}
	wrap := func(e ast.Expr, fn string) {
		from, to := c.whole(e)
		if e.Kind() == ast.SelectKind {
			c.edit(f, from, to, fn+"("+c.text[from:to]+")")
		}
	}
	convert := func(to string) { f.Hint("write %s(%s)%s%s", to, sa, sign, sb); wrap(a, to) }
	convertRight := func(to string) { f.Hint("write %s%s%s(%s)", sa, sign, to, sb); wrap(b, to) }
	switch {
	case ta.class == list && tb.class == text && sign == " == ":
		f.Hint("write %s in %s", sb, sa)
	case ta.class == text && tb.class == list:
		f.Hint("write %s in %s", sa, sb)
	case ta.class == integer && tb.class == unsigned, ta.class == unsigned && tb.class == integer:
		if ta.class == unsigned {
			convert("int")
		} else {
			convertRight("int")
		}
	case ta.class == exact && (tb.class == integer || tb.class == unsigned):
		convertRight("decimal")
	case tb.class == exact && (ta.class == integer || ta.class == unsigned):
		convert("decimal")
	case ta.class == exact && tb.class == double:
		convert("double")
	case tb.class == exact && ta.class == double:
		convertRight("double")
	case ta.class == double && (tb.class == integer || tb.class == unsigned):
		convertRight("double")
	case tb.class == double && (ta.class == integer || ta.class == unsigned):
		convert("double")
	case ta.class == text && tb.class == exact && ordered(e): // nobody means the order of texts
		convert("decimal")
	case tb.class == text && ta.class == exact && ordered(e):
		convertRight("decimal")
	case ordered(e) && (ta.class == text && (tb.class == integer || tb.class == unsigned) || tb.class == text && (ta.class == integer || ta.class == unsigned)):
		f.Hint("write double(%s)%sdouble(%s)", sa, sign, sb)
		wrap(a, "double")
		wrap(b, "double")
	case ta.class == text && tb.class == double && ordered(e):
		convert("double")
	case tb.class == text && ta.class == double && ordered(e):
		convertRight("double")
	case ta.class == text && (tb.class == integer || tb.class == unsigned || tb.class == double || tb.class == exact):
		convertRight("string")
	case tb.class == text && (ta.class == integer || ta.class == unsigned || ta.class == double || ta.class == exact):
		convert("string")
	case ta.class == text && tb.class == instant, ta.class == instant && tb.class == text:
		c.zoneHint(f, a, b, ta, tb, sign)
	default:
		f.Hint("compare values of one type")
	}
}

// ordered reports whether an expression asks which of two is larger.
func ordered(e ast.Expr) bool {
	if e.Kind() != ast.CallKind {
		return false
	}
	switch e.AsCall().FunctionName() {
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return true
	}
	return false
}

// describe names an expression and its type: "after.zip is text (varchar(10))".
func (c *typer) describe(e ast.Expr, t typ) string {
	verb, word := "is", classWords[t.class]
	if col := t.column; col != nil {
		switch col.Kind {
		case cdc.KindSet:
			if word = "a list of texts"; t.class == text && e.Kind() == ast.SelectKind {
				verb, word = "holds", "texts"
			} else if t.class == text {
				word = "text"
			}
		case cdc.KindDate:
			word = "a date"
		case cdc.KindDatetime:
			word = "a date and time"
		case cdc.KindTime:
			word = "a time"
		}
	}
	if t.column != nil && t.column != &opColumn && e.Kind() == ast.SelectKind {
		return fmt.Sprintf("%s %s %s (%s)", clip(c.source(e)), verb, word, sqlType(t.column))
	}
	return fmt.Sprintf("%s %s %s", clip(c.source(e)), verb, word)
}

// bare returns a column without the peculiarities of its kind: parts of a calculation are no longer members or dates.
func bare(column *cdc.Column) *cdc.Column {
	if column == nil || column.Kind == cdc.KindString || column.Kind >= cdc.KindBool && column.Kind <= cdc.KindDecimal {
		return column
	}
	return nil
}

// coerce gives a literal, or what is made of literals only, the type of another operand. It returns the new type, or
// failed after saying why it cannot be.
func (c *typer) coerce(e ast.Expr, t typ, other ast.Expr, to typ) typ {
	if t.class == null || to.open() || t.open() && e.Kind() != ast.CallKind {
		return t
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return c.coerceLiteral(e, t, other, to)
	case ast.ListKind:
		if to.class != list || to.elem <= dynamic {
			return t
		}
		elem := typ{class: to.elem, column: to.column}
		for _, item := range e.AsList().Elements() {
			if c.coerce(item, literalOf(item), other, elem).class == failed {
				return typ{class: failed}
			}
		}
		return typ{class: list, elem: to.elem, literal: true}
	case ast.CallKind:
		if e.AsCall().FunctionName() == operators.Conditional {
			for _, arg := range e.AsCall().Args()[1:] {
				if c.coerce(arg, literalOf(arg), other, to).class == failed {
					return typ{class: failed}
				}
			}
			return typ{class: to.class, literal: true}
		}
		if to.class == instant || to.class == span || to.class == boolean || to.class == list || to.class == text && to.column != nil && to.column.Kind != cdc.KindString {
			return t
		}
		args := e.AsCall().Args()
		part := to
		part.column = bare(to.column)
		for _, arg := range args {
			if c.coerce(arg, literalOf(arg), other, part).class == failed {
				return typ{class: failed}
			}
		}
		return typ{class: to.class, literal: true}
	}
	return t
}

// literalOf is the type of a part of an expression that is made of literals only.
func literalOf(e ast.Expr) typ {
	switch e.Kind() {
	case ast.LiteralKind:
		return literalType(e.AsLiteral())
	case ast.ListKind:
		return typ{class: list, literal: true}
	}
	return typ{class: unknown, literal: true}
}

func (c *typer) coerceLiteral(e ast.Expr, t typ, other ast.Expr, to typ) typ {
	set := func(v ref.Val) typ {
		e.SetKindCase(c.fac.NewLiteral(e.ID(), v))
		return typ{class: to.class, literal: true}
	}
	call := func(fn, arg string) typ {
		e.SetKindCase(c.fac.NewCall(e.ID(), fn, c.fac.NewLiteral(c.id(e), types.String(arg))))
		return typ{class: to.class, literal: true}
	}
	bad := func(hint string, args ...any) typ {
		f := c.fail(e, codeType, "%s; %s", c.describe(other, to), c.describe(e, t))
		if hint != "" {
			f.Hint(hint, args...)
		}
		if digits := strings.Trim(c.source(e), `'"`); numberOnly.MatchString(digits) && strings.HasSuffix(f.Suggestion, "without quotes") {
			from, to := c.span(e)
			c.edit(f, from, to, digits)
		} else if strings.HasPrefix(f.Suggestion, "write '"+c.source(e)+"' to compare texts") || f.Suggestion == "write '"+c.source(e)+"' in quotes" {
			from, to := c.span(e)
			c.edit(f, from, to, "'"+c.source(e)+"'")
		}
		return typ{class: failed}
	}
	source := c.source(e)
	left := c.source(other)
	number := t.class == integer || t.class == unsigned || t.class == double
	switch v := e.AsLiteral(); to.class {
	case integer:
		switch {
		case number:
			if n, ok := wholeNumber(v); ok && n.isInt {
				return set(types.Int(n.i))
			}
			if t.class == double {
				return bad("write double(%s) to compare with fractions", left)
			}
			return bad("no value of the column is as large")
		case t.class == boolean:
			return bad("write %s != 0", left)
		case t.class == text:
			return bad("%s", unquote(source, "compare it with a number"))
		}
	case unsigned:
		switch {
		case number:
			n, ok := wholeNumber(v)
			if ok && n.isUint {
				return set(types.Uint(n.u))
			}
			if ok {
				return bad("it is never negative; write int(%s) to compare with %s", left, source)
			}
			return bad("write double(%s) to compare with fractions", left)
		case t.class == boolean:
			return bad("write %s != 0", left)
		case t.class == text:
			return bad("%s", unquote(source, "compare it with a number"))
		}
	case double:
		switch {
		case t.class == double:
			c.lintFloat(e, float64(v.(types.Double)), to)
			return t
		case t.class == integer:
			if n := int64(v.(types.Int)); int64(float64(n)) == n && n>>62 == n>>63 {
				return set(types.Double(n))
			}
			return bad("no floating-point number is exactly that; write %s.0 for the nearest", source)
		case t.class == unsigned:
			if n := uint64(v.(types.Uint)); n < 1<<63 && uint64(float64(n)) == n {
				return set(types.Double(n))
			}
			return bad("no floating-point number is exactly that")
		case t.class == text:
			return bad("%s", unquote(source, "compare it with a number"))
		}
	case exact:
		switch {
		case t.class == integer, t.class == unsigned:
			return call(decimalFn, fmt.Sprint(v.Value()))
		case t.class == double:
			if d, err := parseDecimal(plainDigits(source)); err == nil {
				return call(decimalFn, string(d))
			}
			return bad("write the digits out: 1500.00")
		case t.class == text:
			d, err := parseDecimal(string(v.(types.String)))
			if err == nil {
				return call(decimalFn, string(d))
			}
			return bad("write digits: '12.50'")
		}
	case text:
		switch {
		case t.class == text:
			return c.coerceText(e, string(v.(types.String)), other, to)
		case number && to.column != nil && to.column.Kind == cdc.KindString:
			return bad("write '%s' to compare texts, or double(%s) to compare numbers", source, left)
		case to.column != nil && to.column.Kind == cdc.KindDate:
			return bad("write it like '2026-01-31'")
		case to.column != nil && to.column.Kind == cdc.KindDatetime:
			return bad("write it like '2026-01-31T12:30:00'")
		case to.column != nil && to.column.Kind == cdc.KindTime:
			return bad("write it like '12:30:00'")
		case number, t.class == boolean:
			return bad("write '%s' in quotes", source)
		}
	case blob:
		if t.class == text {
			return set(types.Bytes(v.(types.String)))
		}
		if t.class == blob {
			return t
		}
	case instant:
		if t.class == text {
			return c.coerceInstant(e, string(v.(types.String)), other, to, call)
		}
		if number {
			return bad("write a time: '2026-01-01T00:00:00Z', or timestamp(%s) for seconds since 1970", source)
		}
	case span:
		if number {
			return bad("write days(%s) or duration('12h')", source)
		}
		if t.class == text {
			if s := string(v.(types.String)); !types.IsError(types.String(s).ConvertToType(types.DurationType)) {
				return call("duration", s)
			}
			return bad("write days(30), duration('12h') or duration('30m')")
		}
	case boolean:
		if t.class == integer {
			return bad("write %s or !%s", left, left)
		}
		if t.class == text {
			return bad("write true or false without quotes")
		}
	case list:
		if t.class == to.elem && e.Kind() == ast.LiteralKind {
			return bad("write %s in %s", source, left)
		}
	}
	if t.class == to.class {
		return t
	}
	return bad("")
}

func unquote(source, hint string) string {
	if digits := strings.Trim(source, `'"`); numberOnly.MatchString(digits) {
		return "write " + digits + " without quotes"
	}
	return hint
}

var numberOnly = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// plainDigits turns a floating-point literal as it is written into decimal digits; without an exponent nothing is lost.
func plainDigits(source string) string {
	if strings.HasPrefix(source, ".") {
		return "0" + source
	}
	if strings.HasPrefix(source, "-.") {
		return "-0" + source[1:]
	}
	if strings.ContainsAny(source, "eE") {
		if f, err := strconv.ParseFloat(source, 64); err == nil {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	return source
}

// whole is a whole number that a literal stands for.
type whole struct {
	i             int64
	u             uint64
	isInt, isUint bool
}

func wholeNumber(v ref.Val) (whole, bool) {
	switch n := v.(type) {
	case types.Int:
		return whole{int64(n), uint64(n), true, n >= 0}, true
	case types.Uint:
		return whole{int64(n), uint64(n), n < 1<<63, true}, true
	case types.Double:
		if i := int64(n); n > -1<<53 && n < 1<<53 && types.Double(i) == n {
			return whole{i, uint64(i), true, i >= 0}, true
		}
	}
	return whole{}, false
}

// lintFloat warns about == with a number that a FLOAT column cannot hold.
func (c *typer) lintFloat(e ast.Expr, f float64, to typ) {
	if c.exactly && to.column != nil && to.column.Float32 && float64(float32(f)) != f {
		c.warn(e, codeMember, "a FLOAT holds about 7 digits, so it never equals %s exactly", c.source(e)).Hint("compare with a range")
	}
}

// coerceText checks a text against the members of an enum or set, and gives a date or time the column's form.
func (c *typer) coerceText(e ast.Expr, s string, other ast.Expr, to typ) typ {
	same := typ{class: text, literal: true}
	if to.column == nil {
		return same
	}
	replace := func(s string) typ {
		e.SetKindCase(c.fac.NewLiteral(e.ID(), types.String(s)))
		return same
	}
	switch to.column.Kind {
	case cdc.KindEnum, cdc.KindSet:
		c.lintMember(e, s, to.column)
	case cdc.KindDate, cdc.KindDatetime, cdc.KindTime:
		out, hint := civilText(s, to.column)
		if hint != "" {
			c.fail(e, codeType, "%s; %s is none", c.describe(other, to), c.source(e)).Hint("%s", hint)
			return typ{class: failed}
		}
		return replace(out)
	}
	return same
}

func (c *typer) lintMember(e ast.Expr, s string, column *cdc.Column) {
	if len(column.Members) == 0 || slices.Contains(column.Members, s) || s == "" && column.Kind == cdc.KindEnum && column != &opColumn {
		return
	}
	if column == &opColumn {
		f := c.fail(e, codeType, "op is never '%s'", clip(s))
		if near, ok := strictyaml.Nearest(s, opNames); ok {
			f.Hint("did you mean '%s'?", near)
			c.editText(f, e, near)
		} else if near, ok := aliases[strings.ToLower(s)]; ok && slices.Contains(opNames, near) {
			f.Hint("did you mean '%s'?", near)
			c.editText(f, e, near)
		} else {
			f.Hint("it is one of '%s'", strings.Join(opNames, "', '"))
		}
		return
	}
	f := c.warn(e, codeMember, "%s is never '%s'", column.Name, clip(s))
	if near, ok := strictyaml.Nearest(s, column.Members); ok {
		if f.Hint("did you mean '%s'?", near); onlyNear(s, near, column.Members) {
			c.editText(f, e, near)
		}
	} else {
		f.Hint("it is one of '%s'", clip(strings.Join(column.Members, "', '")))
	}
}

var (
	dateText     = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
	datetimeText = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?(\.\d{1,6})?)?$`)
	timeText     = regexp.MustCompile(`^(-?\d{2,3}:\d{2})(:\d{2})?(\.\d{1,6})?$`)
	zonedText    = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}[T ].*(Z|[+-]\d{2}:?\d{2})$`)
)

// civilText returns a date or time as the column's values are delivered, so that comparing texts compares times; or a
// hint why it is none.
func civilText(s string, column *cdc.Column) (out, hint string) {
	if column.Kind == cdc.KindTime {
		m := timeText.FindStringSubmatch(s)
		if m == nil {
			return "", "write it like '12:30:00'"
		}
		return m[1] + orZero(m[2]) + fraction(m[3], column.Fsp), ""
	}
	if zonedText.MatchString(s) {
		return "", "the column has no time zone: write it without one"
	}
	m := datetimeText.FindStringSubmatch(s)
	if m == nil || column.Kind == cdc.KindDate && !dateText.MatchString(s) {
		if column.Kind == cdc.KindDate {
			return "", "write it like '2026-01-31'"
		}
		return "", "write it like '2026-01-31T12:30:00'"
	}
	if !isDay(m[1]) {
		return "", "there is no such day"
	}
	if column.Kind == cdc.KindDate {
		return s, ""
	}
	clock := m[2]
	if clock == "" {
		clock = "00:00"
	}
	if _, err := time.Parse("15:04:05", clock+orZero(m[3])); err != nil {
		return "", "there is no such time"
	}
	return m[1] + "T" + clock + orZero(m[3]) + fraction(m[4], column.Fsp), ""
}

func orZero(seconds string) string {
	if seconds == "" {
		return ":00"
	}
	return seconds
}

// fraction pads a fraction to the column's digits. Longer ones stay: they are between two values of the column, as text
// and as time.
func fraction(s string, fsp uint8) string {
	if s == "" && fsp == 0 {
		return ""
	}
	if s == "" {
		s = "."
	}
	for len(s) < int(fsp)+1 {
		s += "0"
	}
	return s
}

// isDay reports whether a date is one that MySQL can hold: days of the calendar, and zero dates.
func isDay(s string) bool {
	if strings.HasSuffix(s, "-00") || strings.Contains(s, "-00-") {
		month, _ := strconv.Atoi(s[5:7])
		day, _ := strconv.Atoi(s[8:10])
		return month <= 12 && day <= 31
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil || strings.HasPrefix(s, "0000")
}

// coerceInstant turns a text into a timestamp.
func (c *typer) coerceInstant(e ast.Expr, s string, other ast.Expr, to typ, call func(fn, arg string) typ) typ {
	if strings.HasPrefix(s, "0000-00-00") {
		return call("timestamp", "0001-01-01T00:00:00Z")
	}
	if v := types.String(s).ConvertToType(types.TimestampType); !types.IsError(v) {
		return call("timestamp", s)
	}
	f := c.fail(e, codeType, "%s; %s is none", c.describe(other, to), clip(c.source(e)))
	if m := datetimeText.FindStringSubmatch(s); m != nil {
		clock := m[2]
		if clock == "" {
			clock = "00:00"
		}
		f.Hint("write the time zone too: '%sT%s%s%sZ' is UTC", m[1], clock, orZero(m[3]), m[4])
	} else {
		f.Hint("write it like '2026-01-01T00:00:00Z'")
	}
	return typ{class: failed}
}

func nearest(name string, candidates []string) (string, bool) {
	return strictyaml.Nearest(name, candidates)
}
