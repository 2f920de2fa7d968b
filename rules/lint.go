package rules

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file says what is no mistake of types and yet hardly meant: what is always true or never, what fails where a
// document is not as expected, and what the database would compare in another way.

// lint goes over a condition that is typed and has no error.
func (c *typer) lint() {
	guards := c.guards()
	inChain := map[ast.Expr]bool{}
	ast.PreOrderVisit(c.tree, ast.NewExprVisitor(func(e ast.Expr) {
		c.lintPath(e, guards)
		if e.Kind() != ast.CallKind {
			return
		}
		switch fn := e.AsCall().FunctionName(); fn {
		case operators.LogicalAnd, operators.LogicalOr:
			for _, arg := range e.AsCall().Args() {
				c.lintConstant(arg)
				if arg.Kind() == ast.CallKind && arg.AsCall().FunctionName() == fn {
					inChain[arg] = true
				}
			}
			if !inChain[e] {
				c.lintChain(e, fn)
			}
		case operators.Conditional:
			c.lintConstant(e.AsCall().Args()[0])
		default:
			c.lintDomain(e)
			c.lintCollation(e)
			c.lintNullFails(e)
		}
	}))
}

// lintConstant warns of a truth value that is written out where a condition is expected.
func (c *typer) lintConstant(e ast.Expr) {
	if v, ok := truthLiteral(e); ok {
		c.warn(e, codeAlways, "this is always %v, and decides or says nothing", v).Hint("remove it, or what it decides about")
	}
}

// question is a comparison of a column with constants.
type question struct {
	expr   ast.Expr
	path   string // after.total
	column *cdc.Column
	op     string    // ==, !=, <, <=, >, >=; in: ==, not in: != with several constants
	consts []ref.Val // one, but for lists
}

// ask returns the question that an expression is.
func (c *typer) ask(e ast.Expr) (q question, ok bool) {
	if e.Kind() != ast.CallKind {
		return q, false
	}
	call := e.AsCall()
	fn, args := call.FunctionName(), call.Args()
	if fn == operators.LogicalNot {
		q, ok = c.ask(args[0])
		q.expr = e
		return q.negated(), ok && (q.op == operators.Equals || q.op == operators.NotEquals)
	}
	switch fn {
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In:
	default:
		return q, false
	}
	column, constant := args[0], args[1]
	if _, ok := constOf(column); ok && fn != operators.In {
		column, constant = constant, column
		fn = map[string]string{operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
			operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals, operators.Equals: fn, operators.NotEquals: fn}[fn]
	}
	if column.Kind() != ast.SelectKind || column.AsSelect().IsTestOnly() || imageOf(column.AsSelect().Operand()) < 0 {
		return q, false
	}
	q = question{expr: e, column: columnOf(c.table, column.AsSelect().FieldName()), op: fn,
		path: column.AsSelect().Operand().AsIdent() + selector(column.AsSelect().FieldName())}
	values := []ast.Expr{constant}
	if fn == operators.In {
		if constant.Kind() != ast.ListKind {
			return q, false
		}
		q.op, values = operators.Equals, constant.AsList().Elements()
	}
	for _, value := range values {
		v, ok := constOf(value)
		if !ok {
			return q, false
		}
		q.consts = append(q.consts, v)
	}
	return q, q.column != nil && len(q.consts) > 0
}

// constOf returns the value of a literal, or of a conversion of one.
func constOf(e ast.Expr) (ref.Val, bool) {
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral(), true
	}
	if e.Kind() != ast.CallKind || e.AsCall().IsMemberFunction() || len(e.AsCall().Args()) != 1 || e.AsCall().Args()[0].Kind() != ast.LiteralKind {
		return nil, false
	}
	arg := e.AsCall().Args()[0].AsLiteral()
	var v ref.Val
	switch e.AsCall().FunctionName() {
	case decimalFn:
		v = toDecimal(arg)
	case "timestamp":
		v = arg.ConvertToType(types.TimestampType)
	case operators.Negate:
		n, ok := arg.(traits.Negater)
		if !ok {
			return nil, false
		}
		v = n.Negate()
	default:
		return nil, false
	}
	return v, !types.IsError(v)
}

func (q question) negated() question {
	q.op = map[string]string{operators.Equals: operators.NotEquals, operators.NotEquals: operators.Equals, operators.Less: operators.GreaterEquals,
		operators.LessEquals: operators.Greater, operators.Greater: operators.LessEquals, operators.GreaterEquals: operators.Less}[q.op]
	return q
}

// holds reports whether a question is true of a value.
func (q question) holds(v ref.Val) bool {
	switch q.op {
	case operators.Equals:
		return slices.ContainsFunc(q.consts, func(k ref.Val) bool { return types.Equal(v, k) == types.True })
	case operators.NotEquals:
		return !slices.ContainsFunc(q.consts, func(k ref.Val) bool { return types.Equal(v, k) == types.True })
	}
	order, ok := compareVals(v, q.consts[0])
	switch q.op {
	case operators.Less:
		return ok && order < 0
	case operators.LessEquals:
		return ok && order <= 0
	case operators.Greater:
		return ok && order > 0
	}
	return ok && order >= 0
}

func compareVals(a, b ref.Val) (int, bool) {
	x, ok := a.(traits.Comparer)
	if !ok || a.Type() != b.Type() {
		return 0, false
	}
	n, ok := x.Compare(b).(types.Int)
	return int(n), ok
}

// impossible reports whether no value of the column makes all questions true. It may be wrong in one direction only: what
// it does not understand is possible.
func impossible(qs ...question) bool {
	for _, q := range qs {
		if q.op == operators.Equals {
			return !slices.ContainsFunc(q.consts, func(k ref.Val) bool {
				return !slices.ContainsFunc(qs, func(other question) bool { return !other.holds(k) })
			})
		}
	}
	for _, low := range qs {
		if low.op != operators.Greater && low.op != operators.GreaterEquals {
			continue
		}
		for _, high := range qs {
			if high.op != operators.Less && high.op != operators.LessEquals {
				continue
			}
			order, ok := compareVals(low.consts[0], high.consts[0])
			strict := low.op == operators.Greater || high.op == operators.Less
			if ok && (order > 0 || order == 0 && strict) {
				return true
			}
			if a, isInt := low.consts[0].(types.Int); isInt && low.op == operators.Greater && high.op == operators.Less && a < math.MaxInt64 && a+1 == high.consts[0] {
				return true // nothing is between 5 and 6
			}
		}
	}
	return false
}

// domain returns what is true of every value of a column but NULL, and says so in words.
func domain(column *cdc.Column) (qs []question, words string) {
	between := func(low, high ref.Val, words string) ([]question, string) {
		return []question{{op: operators.GreaterEquals, consts: []ref.Val{low}}, {op: operators.LessEquals, consts: []ref.Val{high}}}, words
	}
	declared := strings.ToLower(column.Type)
	switch column.Kind {
	case cdc.KindUint64:
		for name, bits := range integerBits {
			if strings.HasPrefix(declared, name) {
				return between(types.Uint(0), types.Uint(math.MaxUint64>>(64-bits)), fmt.Sprintf("it is from 0 to %d", uint64(math.MaxUint64)>>(64-bits)))
			}
		}
		return between(types.Uint(0), types.Uint(math.MaxUint64), "it is never negative")
	case cdc.KindInt64:
		if strings.HasPrefix(declared, "year") {
			return between(types.Int(0), types.Int(2155), "it is from 1901 to 2155, or 0")
		}
		for name, bits := range integerBits {
			if strings.HasPrefix(declared, name) {
				low, high := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
				return between(types.Int(low), types.Int(high), fmt.Sprintf("it is from %d to %d", low, high))
			}
		}
	case cdc.KindDecimal:
		if column.Precision > 0 && column.Precision >= column.Scale {
			most := strings.Repeat("9", int(column.Precision-column.Scale))
			if most == "" {
				most = "0"
			}
			if column.Scale > 0 {
				most += "." + strings.Repeat("9", int(column.Scale))
			}
			low := decimal("-" + most)
			if column.Unsigned {
				low = "0"
			}
			return between(low, decimal(most), fmt.Sprintf("it is from %s to %s", low, most))
		}
	}
	return nil, ""
}

var integerBits = map[string]int{"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}

// lintDomain warns of a comparison that comes to the same for all values that a column can have.
func (c *typer) lintDomain(e ast.Expr) {
	q, ok := c.ask(e)
	if !ok || e.AsCall().FunctionName() == operators.LogicalNot {
		return
	}
	if slices.ContainsFunc(q.consts, func(v ref.Val) bool { return v == types.NullValue }) {
		return
	}
	limits, words := domain(q.column)
	switch {
	case len(limits) > 0 && impossible(append(limits, q)...):
		c.warn(e, codeAlways, "this is never true of %s (%s): %s", q.path, sqlType(q.column), words)
	case len(limits) > 0 && impossible(append(limits, q.negated())...):
		c.warn(e, codeAlways, "this is always true of %s (%s): %s", q.path, sqlType(q.column), words)
	case q.op == operators.Equals || q.op == operators.NotEquals:
		c.lintShape(e, q)
	}
}

// lintShape warns of equality with a value that has another shape than those of the column.
func (c *typer) lintShape(e ast.Expr, q question) {
	always := map[bool]string{true: "never", false: "always"}[q.op == operators.Equals]
	for _, k := range q.consts {
		switch v := k.(type) {
		case types.String:
			m := typeLength.FindStringSubmatch(strings.ToLower(q.column.Type))
			if n := len([]rune(string(v))); q.column.Kind == cdc.KindString && m != nil && fmt.Sprint(n) != m[1] && n > atoi(m[1]) {
				c.warn(e, codeAlways, "this is %s true of %s: %s has %d characters, and the column at most %s", always, q.path, clip("'"+string(v)+"'"), n, m[1])
			}
		case decimal:
			if _, _, fraction := v.parts(); len(fraction) > int(q.column.Scale) && q.column.Kind == cdc.KindDecimal {
				c.warn(e, codeAlways, "this is %s true of %s: the column has %d digits after the point", always, q.path, q.column.Scale).
					Hint("compare with a range")
			}
		}
	}
}

func atoi(digits string) int {
	n := 0
	for _, c := range digits {
		n = min(n*10+int(c-'0'), math.MaxInt32)
	}
	return n
}

// lintChain looks at what is combined by && or by ||: questions that cannot be true together, or one of which always is,
// and what is said twice.
func (c *typer) lintChain(e ast.Expr, fn string) {
	var parts []ast.Expr
	var flatten func(e ast.Expr)
	flatten = func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == fn {
			for _, arg := range e.AsCall().Args() {
				flatten(arg)
			}
			return
		}
		parts = append(parts, e)
	}
	flatten(e)
	if len(parts) > 200 {
		return // pairs of pairs: nobody writes that by hand
	}
	asked := map[string][]question{}
	for i, part := range parts {
		if twice := slices.IndexFunc(parts[:i], func(other ast.Expr) bool { return ast.EquivExpr(part, other) }); twice >= 0 {
			c.warn(part, codeAlways, "this is said twice").Hint("remove it, or change one of the two")
			continue
		}
		q, ok := c.ask(part)
		if !ok {
			continue
		}
		if fn == operators.LogicalOr {
			q = q.negated()
		}
		for _, earlier := range asked[q.path] {
			if !impossible(earlier, q) || impossible(earlier) || impossible(q) {
				continue
			}
			c.contradiction(earlier, q, fn, len(parts) == 2)
			break
		}
		asked[q.path] = append(asked[q.path], q)
	}
}

// contradiction says that two questions about one column cannot both be true, or cannot both be false.
func (c *typer) contradiction(a, b question, fn string, alone bool) {
	if fn == operators.LogicalOr {
		f := c.warn(b.expr, codeAlways, "this or %s is always true", c.phrase(a.expr))
		if a.op == operators.Equals && b.op == operators.Equals { // negated: a != x || a != y
			f.Hint("write && for ||: %s && %s", c.phrase(a.expr), c.phrase(b.expr))
			c.editOperator(f, a.expr, b.expr, "||", "&&", alone)
		}
		return
	}
	f := c.warn(b.expr, codeAlways, "this and %s are never true together", c.phrase(a.expr))
	if a.op == operators.Equals && b.op == operators.Equals && len(a.consts) == 1 && len(b.consts) == 1 && c.plainEquality(a.expr) && c.plainEquality(b.expr) {
		text := fmt.Sprintf("%s in [%s, %s]", a.path, c.source(a.expr.AsCall().Args()[1]), c.source(b.expr.AsCall().Args()[1]))
		f.Hint("write %s", text)
		from, _ := c.whole(a.expr)
		_, to := c.whole(b.expr)
		if alone && from < to && !strings.ContainsAny(c.text[from:to], "()") {
			c.edit(f, from, to, text)
		}
	}
}

func (c *typer) plainEquality(e ast.Expr) bool {
	return e.AsCall().FunctionName() == operators.Equals && e.AsCall().Args()[0].Kind() == ast.SelectKind
}

// editOperator lets a finding replace the operator between two expressions.
func (c *typer) editOperator(f *Finding, a, b ast.Expr, old, new string, alone bool) {
	_, from := c.whole(a)
	to, _ := c.whole(b)
	if !alone || from > to {
		return
	}
	if i := strings.Index(c.text[from:to], old); i >= 0 && strings.TrimSpace(c.text[from:to]) == old {
		c.edit(f, from+i, from+i+len(old), new)
	}
}

// phrase returns what a person wrote, on one line.
func (c *typer) phrase(e ast.Expr) string {
	from, to := c.whole(e)
	return oneLine(c.text[from:to])
}

// whole returns the bytes of an expression with the parentheses whose other halves are in it.
func (c *typer) whole(e ast.Expr) (from, to int) {
	from, to = c.span(e)
	at := c.balanced(from, to)
	return at[0], at[1]
}

// guards are the paths that the condition asks for with has(), 'key' in path, or .?.
func (c *typer) guards() map[string]bool {
	guards := map[string]bool{}
	ast.PreOrderVisit(c.tree, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			if e.AsSelect().IsTestOnly() {
				guards[pathOf(e)] = true
			}
		case ast.CallKind:
			call := e.AsCall()
			if call.FunctionName() == operators.In {
				if key, ok := textOf(call.Args()[0]); ok {
					if path := pathOf(call.Args()[1]); path != "" {
						guards[path+pathSep+key] = true
					}
				}
			}
		}
	}))
	delete(guards, "")
	return guards
}

// pathSep stands between the steps of a path. Names of columns and keys may have points in them.
const pathSep = "\x00"

// pathOf returns the path of a part of a column, as of after.doc.a.b; "" for anything else.
func pathOf(e ast.Expr) string {
	switch {
	case e.Kind() == ast.SelectKind:
		if sel := e.AsSelect(); imageOf(sel.Operand()) >= 0 {
			return sel.Operand().AsIdent() + pathSep + sel.FieldName()
		} else if path := pathOf(sel.Operand()); path != "" {
			return path + pathSep + sel.FieldName()
		}
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index && len(e.AsCall().Args()) == 2:
		if key, ok := textOf(e.AsCall().Args()[1]); ok {
			if path := pathOf(e.AsCall().Args()[0]); path != "" {
				return path + pathSep + key
			}
		}
	}
	return ""
}

// lintPath warns of a key of a JSON document that nothing asks for: it fails on documents without it.
func (c *typer) lintPath(e ast.Expr, guards map[string]bool) {
	path := pathOf(e)
	if strings.Count(path, pathSep) < 2 || guards[path] {
		return
	}
	var key string
	if e.Kind() == ast.SelectKind {
		if key = e.AsSelect().FieldName(); e.AsSelect().IsTestOnly() {
			return // has(a.b.c) needs a.b, which is looked at next
		}
	} else {
		key, _ = textOf(e.AsCall().Args()[1])
	}
	guards[path] = true // once
	for parent := path; strings.Count(parent, pathSep) >= 2; parent = parent[:strings.LastIndex(parent, pathSep)] {
		guards[parent] = true // one finding for a path, not one for each of its steps
	}
	from, to := c.whole(e)
	missing := strings.ReplaceAll(strings.SplitN(path, pathSep, 3)[2], pathSep, ".")
	f := c.place.ErrorAt(from, to, codePath, fmt.Sprintf("this fails when the document has no '%s'", clip(missing))).Warn()
	if len(c.warnings) < maxFindings {
		c.warnings = append(c.warnings, f)
	}
	source := oneLine(c.text[from:to])
	steps := strings.Split(source, ".")
	if e.Kind() != ast.SelectKind || !isName(strings.Join(steps, "")) || len(steps) < 3 {
		f.Hint("ask first: '%s' in … && …", clip(key))
		return
	}
	optional := steps[0] + "." + steps[1] + ".?" + strings.Join(steps[2:], ".?")
	if !c.comparedForEquality(e) {
		f.Hint("write %s.orValue(…), or ask first: has(%s) && …", optional, source)
		return
	}
	f.Hint("write %s.orValue(null), or ask first: has(%s) && …", optional, source)
	c.edit(f, from, to, optional+".orValue(null)")
}

// lintNullFails warns of what fails on NULL: all but == and !=.
func (c *typer) lintNullFails(e ast.Expr) {
	call := e.AsCall()
	operands := call.Args()
	comparison := false
	switch call.FunctionName() {
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		comparison = true
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
	default:
		if !call.IsMemberFunction() || methods[call.FunctionName()] == unknown {
			return
		}
		operands, comparison = append([]ast.Expr{call.Target()}, operands...), methods[call.FunctionName()] == boolean
	}
	for _, operand := range operands {
		if operand.Kind() != ast.SelectKind || operand.AsSelect().IsTestOnly() || imageOf(operand.AsSelect().Operand()) < 0 {
			continue
		}
		column, source := columnOf(c.table, operand.AsSelect().FieldName()), c.source(operand)
		if column == nil || !column.Nullable || column.Kind == cdc.KindJSON || c.guarded[source] {
			continue
		}
		c.guarded[source] = true // once per column
		f := c.warn(operand, codeNullFails, "this fails when %s is NULL", source)
		if !comparison {
			f.Hint("write coalesce(%s, …), or ask first: %s != null && …", source, source)
			if around := c.questionAround(operand); around != nil {
				from, to := c.whole(around)
				c.editAround(f, from, to, source+" != null && ", "")
			}
			continue
		}
		from, to := c.whole(e)
		f.Hint("ask first: %s != null && %s", source, oneLine(c.text[from:to]))
		c.editAround(f, from, to, source+" != null && ", "")
	}
}

// questionAround returns the comparison that an expression is part of; nil: none, or it stands where && may not, as in a list.
func (c *typer) questionAround(part ast.Expr) (found ast.Expr) {
	var look func(e, question ast.Expr)
	look = func(e, question ast.Expr) {
		if e == part {
			found = question
			return
		}
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.Equals, operators.NotEquals:
			question = e
		}
		if call.IsMemberFunction() {
			look(call.Target(), question)
		}
		for _, arg := range call.Args() {
			look(arg, question)
		}
	}
	look(c.tree, nil)
	return found
}

// editAround lets a finding put something before and after an expression, in parentheses unless it is the whole condition.
func (c *typer) editAround(f *Finding, from, to int, before, after string) {
	if strings.TrimSpace(c.text[:from]) != "" || strings.TrimSpace(c.text[to:]) != "" {
		before, after = "("+before, after+")"
	}
	edits := len(f.Edits)
	for _, insert := range []struct {
		at   int
		text string
	}{{from, before}, {to, after}} {
		if insert.text == "" {
			continue
		}
		e, ok := c.place.EditAt(insert.at, insert.at, insert.text)
		if !ok {
			f.Edits = f.Edits[:edits]
			return
		}
		f.Edits = append(f.Edits, e)
	}
}

// comparedForEquality reports whether an expression is an operand of ==, or of in: those take null for no match.
func (c *typer) comparedForEquality(e ast.Expr) bool {
	found := false
	ast.PreOrderVisit(c.tree, ast.NewExprVisitor(func(parent ast.Expr) {
		if parent.Kind() == ast.CallKind {
			call := parent.AsCall()
			fn, args := call.FunctionName(), call.Args()
			found = found || fn == operators.Equals && (args[0].ID() == e.ID() || args[1].ID() == e.ID()) || fn == operators.In && args[0].ID() == e.ID()
		}
	}))
	return found
}

// lintCollation notes that a column is compared byte by byte although the database ignores case.
func (c *typer) lintCollation(e ast.Expr) {
	q, ok := c.ask(e)
	if !ok || q.column.Kind != cdc.KindString || !ignoresCase(q.column) || !slices.ContainsFunc(q.consts, hasLetters) {
		return
	}
	f := c.warn(e, codeCase, "the database ignores case in %s.%s, rules do not", c.table, q.column.Name)
	fn, args := e.AsCall().FunctionName(), e.AsCall().Args()
	if fn != operators.Equals || args[0].Kind() != ast.SelectKind {
		f.Hint("if its values differ in case, write %s.equalsIgnoreCase('…')", q.path)
		return
	}
	f.Hint("if its values differ in case, write %s.equalsIgnoreCase(%s)", q.path, c.source(args[1]))
	if !q.column.Nullable { // NULL would fail there
		from, to := c.whole(e)
		c.edit(f, from, to, fmt.Sprintf("%s.equalsIgnoreCase(%s)", c.source(args[0]), c.source(args[1])))
	}
}

func hasLetters(v ref.Val) bool {
	s, ok := v.(types.String)
	return ok && strings.ContainsFunc(string(s), unicode.IsLetter)
}

// ignoresCase reports whether the column's collation takes upper and lower case for the same.
func ignoresCase(column *cdc.Column) bool {
	if m := collateText.FindStringSubmatch(strings.ToLower(column.Type)); m != nil {
		return strings.HasSuffix(m[1], "_ci")
	}
	switch id := column.Collation; {
	case id == 0:
		return false
	case id >= 2048: // of MariaDB, by the Unicode Collation Algorithm 14.0: in pairs
		return id%2 == 0
	default:
		_, sensitive := slices.BinarySearch(caseSensitive, id)
		return !sensitive
	}
}

// lintOperations warns of what the operations of the rule decide already, each of which has its tree in trees.
func (c *typer) lintOperations(r *Rule) Findings {
	before := len(c.warnings)
	ast.PreOrderVisit(c.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if !aboutOperation(e) {
			return
		}
		seen := map[bool]bool{}
		for _, op := range r.On {
			f := folder{expr: c.expr, fac: c.fac, op: op, table: c.table.String()}
			v, ok := truthLiteral(f.fold(e))
			if !ok {
				return
			}
			seen[v] = true
		}
		if len(seen) == 1 {
			c.warn(e, codeAlways, "this is always %v: the rule is for %s", seen[true], opWords(r.On)).Hint("remove it, or change 'on'")
		}
	}))
	found := c.warnings[before:]
	c.warnings = c.warnings[:before]
	return found
}

// aboutOperation reports whether an expression asks for the operation, or for what follows from it.
func aboutOperation(e ast.Expr) bool {
	switch e.Kind() {
	case ast.SelectKind:
		return e.AsSelect().IsTestOnly() && imageOf(e.AsSelect().Operand()) >= 0
	case ast.CallKind:
		call := e.AsCall()
		switch call.FunctionName() {
		case changedFn, increasedFn:
			return true
		case operators.Equals, operators.NotEquals:
			return slices.ContainsFunc(call.Args(), isOp) || slices.ContainsFunc(call.Args(), isNull) && slices.ContainsFunc(call.Args(), isImage)
		case operators.In:
			return isOp(call.Args()[0])
		}
	}
	return false
}

func isOp(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == opVar }

// edit lets a finding replace bytes of the condition, if the file can take it.
func (x *expr) edit(f *Finding, from, to int, text string) {
	if e, ok := x.place.EditAt(from, to, text); ok {
		f.Edits = append(f.Edits, e)
	}
}
