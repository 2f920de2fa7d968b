package rules

import (
	"encoding/binary"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// This file turns the checked condition of a rule into a formula that an index asks of an event without CEL. What must
// be kept is the condition's value in all three of its cases: true, false and failed. What it is not sure about stays
// CEL: a part that is evaluated as it is, once per event for all rules that contain it.

// residual is a part of conditions that the index cannot answer by itself: a truth value that CEL computes.
type residual struct {
	number int
	key    string // its structure
	text   string // as it was written, where it was first seen
	steps  uint64 // at most
	eval   cel.Program
}

// residuals are those of one table, for all rules and operations, by their structure.
type residuals struct {
	known map[string]*residual
	last  int // the highest number given so far
}

func (rs *residuals) keep(some []*residual) {
	for _, r := range some {
		rs.known[r.key] = r
	}
}

// maxFormula bounds the parts of a formula. A condition that comes to more stays CEL as a whole.
const maxFormula = 2 * maxNodes

// lowering turns one condition into a formula.
type lowering struct {
	env     *cel.Env
	table   *cdc.Table
	op      cdc.Op
	checked *ast.AST
	source  func(ast.Expr) string // the text of a part
	shared  *residuals

	used  []*residual // that the formula asks for
	parts int
	err   error
}

// newCondition lowers a condition that was checked for an operation.
func newCondition(s *site, op cdc.Op, checked *ast.AST, source func(ast.Expr) string) (*condition, error) {
	l := &lowering{env: s.env, table: s.table, op: op, checked: checked, source: source, shared: &s.residuals}
	var f *match.Formula
	steps := l.cost(checked.Expr())
	if steps <= plainCost {
		f = l.truth(checked.Expr(), false)
	} else {
		f = l.counted()
	}
	if l.parts > maxFormula {
		l.used = nil
		f = l.leaf(l.cel(checked.Expr()), false)
	}
	c := &condition{formula: f, asks: l.used, steps: min(steps, maxCost)}
	c.reads, _ = imageReads(checked.Expr(), s.table)
	return c, l.err
}

// counted lowers a condition whose steps are counted, in such a way that it fails on exactly the events on which it
// takes too many. CEL goes through a && b && … from the left and stops at what is false: so the first of these tell, as
// far as their own cost is bounded, whether the rest runs at all.
func (l *lowering) counted() *match.Formula {
	var parts []*match.Formula
	spent := uint64(0)
	for _, e := range conjuncts(nil, l.checked.Expr()) {
		if !l.bounded(e, spent) {
			break
		}
		spent += l.cost(e)
		parts = append(parts, l.truth(e, false))
	}
	return l.join(match.And, append(parts, l.leaf(l.cel(l.checked.Expr()), false)))
}

func conjuncts(to []ast.Expr, e ast.Expr) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return append(to, e)
	}
	for _, arg := range e.AsCall().Args() {
		to = conjuncts(to, arg)
	}
	return to
}

// bounded reports whether a part need not be counted, after others that cost as much as was spent.
func (l *lowering) bounded(e ast.Expr, spent uint64) bool {
	n := l.cost(e)
	return n <= plainCost && spent+n <= plainCost
}

// cost returns the most that a part can cost.
func (l *lowering) cost(e ast.Expr) uint64 {
	estimate, err := cost.Cost(l.part(e), sizes{l.table})
	if err != nil {
		return math.MaxUint64
	}
	return estimate.Max
}

// part returns a part of the condition as an expression of its own.
func (l *lowering) part(e ast.Expr) *ast.AST {
	return ast.NewCheckedAST(ast.NewAST(e, l.checked.SourceInfo()), l.checked.TypeMap(), l.checked.ReferenceMap())
}

// truth lowers an expression that stands for true or false, or its negation.
//
// && and || are the minimum and the maximum of what they combine in the order false, failed, true, so De Morgan's laws
// hold of failures too: negations are pushed down to the leaves.
func (l *lowering) truth(e ast.Expr, negated bool) *match.Formula {
	if l.parts++; l.parts > maxFormula {
		return always(match.Failed)
	}
	if t, ok := l.fixed(e); ok {
		if negated {
			t = t.Not()
		}
		return always(t)
	}
	if e.Kind() == ast.CallKind {
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.LogicalNot:
			return l.truth(args[0], !negated)
		case operators.LogicalAnd, operators.LogicalOr:
			op := match.And
			if (e.AsCall().FunctionName() == operators.LogicalOr) != negated {
				op = match.Or
			}
			kids := make([]*match.Formula, len(args))
			for i, arg := range args {
				kids[i] = l.truth(arg, negated)
			}
			return l.join(op, kids)
		case operators.Conditional:
			return l.conditional(args[0], args[1], args[2], negated)
		case operators.NotEquals:
			if f := l.equality(args[0], args[1], !negated); f != nil {
				return f
			}
		case operators.Equals:
			if f := l.equality(args[0], args[1], negated); f != nil {
				return f
			}
		case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
			if f := l.ordering(e.AsCall().FunctionName(), args[0], args[1], negated); f != nil {
				return f
			}
		case operators.In:
			if f := l.in(args[0], args[1], negated); f != nil {
				return f
			}
		case changedFn:
			return l.changed(int(args[2].AsLiteral().(types.Int)), negated)
		case "startsWith", "endsWith", "contains", "matches", "equalsIgnoreCase", "startsWithIgnoreCase", "endsWithIgnoreCase", "containsIgnoreCase":
			if f := l.text(e, negated); f != nil {
				return f
			}
		}
	}
	if f := l.flag(e, negated); f != nil {
		return f
	}
	return l.leaf(l.cel(e), negated)
}

// conditional lowers c ? a : b. It is (c && a) || (!c && b), but for a failed c, which makes the whole fail even if both a
// and b are false; c && !c is false except for a failed c.
func (l *lowering) conditional(c, a, b ast.Expr, negated bool) *match.Formula {
	yes, no := l.truth(c, false), l.truth(c, true)
	return l.join(match.Or, []*match.Formula{
		l.join(match.And, []*match.Formula{yes, l.truth(a, negated)}),
		l.join(match.And, []*match.Formula{no, l.truth(b, negated)}),
		l.join(match.And, []*match.Formula{yes, no}),
	})
}

// join combines formulas. Kids of the same sort are taken in, and constants left out where they change nothing.
func (l *lowering) join(op match.Op, kids []*match.Formula) *match.Formula {
	zero, one := match.False, match.True // what decides alone, and what does nothing
	if op == match.Or {
		zero, one = one, zero
	}
	var flat []*match.Formula
	for _, k := range kids {
		switch {
		case k.Op == match.Always && k.Value == zero:
			return k
		case k.Op == match.Always && k.Value == one:
		case k.Op == op:
			flat = append(flat, k.Kids...)
		default:
			flat = append(flat, k)
		}
	}
	if l.parts += len(flat); l.parts > maxFormula {
		return always(match.Failed)
	}
	switch len(flat) {
	case 0:
		return always(one)
	case 1:
		return flat[0]
	}
	return &match.Formula{Op: op, Kids: flat}
}

func always(t match.Truth) *match.Formula { return &match.Formula{Op: match.Always, Value: t} }

func (l *lowering) leaf(a match.Atom, negated bool) *match.Formula {
	l.parts++
	return &match.Formula{Op: match.Leaf, Atom: &a, Negated: negated}
}

// fixed returns the value of an expression that comes to the same for all events of the operation: one that reads
// neither of the images nor the time.
func (l *lowering) fixed(e ast.Expr) (match.Truth, bool) {
	if v, ok := truthLiteral(e); ok {
		return truthOf(v), true
	}
	if l.readsEvent(e) {
		return match.Failed, false
	}
	v, _ := l.evaluate(e)
	b, ok := v.(types.Bool)
	return truthOf(bool(b)), ok // a failure is asked again for each event, since it has to be explained
}

func truthOf(b bool) match.Truth {
	if b {
		return match.True
	}
	return match.False
}

// readsEvent reports whether an expression depends on more than the table and the operation.
func (l *lowering) readsEvent(e ast.Expr) bool {
	found := false
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind {
			if i := imageOf(e); i >= 0 {
				found = found || hasImage(l.op, i)
			}
			found = found || e.AsIdent() == nowVar
		}
	}))
	return found
}

// evaluate returns what an expression that does not read the event comes to, an error if it fails. It gives up on those
// that take too long.
func (l *lowering) evaluate(e ast.Expr) (ref.Val, bool) {
	prog, err := l.env.PlanProgram(l.part(e), counting...)
	if err != nil {
		return nil, false
	}
	v, _, err := prog.Eval(&activation{table: types.String(l.table.String()), op: opVals[l.op]})
	if isCostLimit(err) {
		return nil, false
	}
	if err != nil {
		return types.WrapErr(err), true
	}
	return v, true
}

// slot recognizes what reads a column: the column itself, or a text made of it.
func (l *lowering) slot(e ast.Expr) (match.Slot, *cdc.Column, bool) {
	switch e.Kind() {
	case ast.SelectKind:
		sel := e.AsSelect()
		if sel.IsTestOnly() || imageOf(sel.Operand()) < 0 {
			return match.Slot{}, nil, false
		}
		i := l.table.Column(sel.FieldName())
		if i < 0 {
			return match.Slot{}, nil, false
		}
		s, c := match.Slot{Image: match.Image(imageOf(sel.Operand())), Column: i}, &l.table.Columns[i]
		switch c.Kind {
		case cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
			s.Derived = match.Civil
		case cdc.KindSet, cdc.KindVector, cdc.KindJSON:
			return s, c, false
		}
		return s, c, true
	case ast.CallKind:
		call := e.AsCall()
		derived, ok := derivations[call.FunctionName()]
		if !ok || !call.IsMemberFunction() || len(call.Args()) > 0 {
			return match.Slot{}, nil, false
		}
		s, c, ok := l.slot(call.Target())
		if !ok || s.Derived != match.Itself || c.Kind != cdc.KindString && c.Kind != cdc.KindEnum {
			return match.Slot{}, nil, false
		}
		s.Derived = derived
		return s, c, true
	}
	return match.Slot{}, nil, false
}

var derivations = map[string]match.Derived{"lowerAscii": match.Lower, "upperAscii": match.Upper, "trim": match.Trimmed}

// column recognizes a column of any kind, whether or not its type is hidden from the checker.
func (l *lowering) column(e ast.Expr) (match.Slot, *cdc.Column, bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "dyn" && len(e.AsCall().Args()) == 1 {
		e = e.AsCall().Args()[0]
	}
	if e.Kind() != ast.SelectKind {
		return match.Slot{}, nil, false
	}
	s, c, _ := l.slot(e)
	s.Derived = match.Itself
	return s, c, c != nil
}

// constant returns the value of an expression that does not depend on the event, if it is one of the column's.
func (l *lowering) constant(e ast.Expr) (ref.Val, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral(), true
	case ast.CallKind:
		call := e.AsCall()
		if len(call.Args()) == 1 && call.Args()[0].Kind() == ast.LiteralKind {
			switch arg := call.Args()[0].AsLiteral(); call.FunctionName() {
			case decimalFn:
				v := toDecimal(arg)
				return v, !types.IsError(v)
			case "timestamp":
				v := arg.ConvertToType(types.TimestampType)
				return v, !types.IsError(v)
			}
		}
	}
	if l.readsEvent(e) {
		return nil, false
	}
	v, ok := l.evaluate(e)
	return v, ok && !types.IsUnknownOrError(v)
}

// value returns a constant as a value of the slot, if that means the same. Numbers of different kinds do not mix.
func value(v ref.Val, s match.Slot, c *cdc.Column) (cdc.Value, bool) {
	if s.Derived != match.Itself {
		text, ok := v.(types.String)
		return cdc.TextValue(cdc.KindString, string(text)), ok
	}
	switch v := v.(type) {
	case types.Bool:
		return cdc.BoolValue(bool(v)), c.Kind == cdc.KindBool
	case types.Int:
		return cdc.Int64Value(int64(v)), c.Kind == cdc.KindInt64
	case types.Uint:
		if c.Kind == cdc.KindBit {
			return cdc.BitValue(uint64(v)), true
		}
		return cdc.Uint64Value(uint64(v)), c.Kind == cdc.KindUint64
	case types.Double:
		return cdc.Float64Value(float64(v)), c.Kind == cdc.KindFloat64 && !math.IsNaN(float64(v))
	case decimal:
		return cdc.TextValue(cdc.KindDecimal, string(v)), c.Kind == cdc.KindDecimal
	case types.String:
		return cdc.TextValue(c.Kind, string(v)), c.Kind == cdc.KindString || c.Kind == cdc.KindEnum
	case types.Bytes:
		return cdc.TextValue(c.Kind, string(v)), c.Kind == cdc.KindBytes || c.Kind == cdc.KindGeometry
	}
	return cdc.Value{}, false
}

// instants returns the last instant that a column can hold up to t, and the first from t on. They are the same if it can
// hold t. Columns hold microseconds from 1970 on, and the zero date, which is the year 1.
func instants(t types.Timestamp) (floor, ceil cdc.Value) {
	if t.Time.IsZero() {
		return cdc.TimestampValue(0), cdc.TimestampValue(0)
	}
	micros := t.Unix()*1e6 + int64(t.Nanosecond())/1000
	if micros < 1 {
		return cdc.TimestampValue(0), cdc.TimestampValue(1)
	}
	floor, ceil = cdc.TimestampValue(micros), cdc.TimestampValue(micros)
	if t.Nanosecond()%1000 != 0 {
		ceil = cdc.TimestampValue(micros + 1)
	}
	return floor, ceil
}

// equality lowers a == b. It returns nil for what is no question about one column.
func (l *lowering) equality(a, b ast.Expr, negated bool) *match.Formula {
	if f := l.sameColumn(a, b, negated); f != nil {
		return f
	}
	if _, _, ok := l.column(a); !ok {
		if _, _, ok := l.slot(a); !ok {
			a, b = b, a
		}
	}
	v, ok := l.constant(b)
	if !ok {
		return nil
	}
	if v == types.NullValue {
		// A JSON document can be null by itself, which is another thing in SQL but not here.
		if s, c, ok := l.column(a); ok && c.Kind != cdc.KindJSON {
			return l.leaf(match.Atom{Test: match.Null, Slot: s}, negated)
		}
		return nil
	}
	s, c, ok := l.slot(a)
	if !ok {
		return nil
	}
	if f := l.in1(s, c, []ref.Val{v}); f != nil {
		f.Negated = negated
		return f
	}
	return nil
}

// sameColumn lowers the comparison of a column before with itself after, for the kinds of which two values are equal
// exactly if they are the same. (Zero has a sign, decimals have zeros at the end, JSON has spaces.)
func (l *lowering) sameColumn(a, b ast.Expr, negated bool) *match.Formula {
	s, c, ok := l.column(a)
	t, _, ok2 := l.column(b)
	if !ok || !ok2 || s.Column != t.Column || s.Image == t.Image || l.op != cdc.OpUpdate {
		return nil
	}
	switch c.Kind {
	case cdc.KindBool, cdc.KindInt64, cdc.KindUint64, cdc.KindBit, cdc.KindString, cdc.KindEnum, cdc.KindBytes, cdc.KindGeometry, cdc.KindTimestamp:
		return l.leaf(match.Atom{Test: match.Changed, Slot: match.Slot{Column: s.Column}}, !negated)
	}
	return nil
}

// in1 returns the leaf that asks whether the slot is one of the values, nil if one of them is of another kind.
func (l *lowering) in1(s match.Slot, c *cdc.Column, vs []ref.Val) *match.Formula {
	consts := make([]cdc.Value, 0, len(vs))
	for _, v := range vs {
		if t, ok := v.(types.Timestamp); ok && c.Kind == cdc.KindTimestamp {
			if floor, ceil := instants(t); floor == ceil {
				consts = append(consts, floor)
			}
			continue
		}
		k, ok := value(v, s, c)
		if !ok {
			return nil
		}
		consts = append(consts, k)
	}
	if len(consts) == 1 {
		return l.leaf(match.Atom{Test: match.Equal, Slot: s, Const: consts[0]}, false)
	}
	return l.leaf(match.Atom{Test: match.In, Slot: s, Consts: consts}, false)
}

// in lowers x in […].
func (l *lowering) in(x, list ast.Expr, negated bool) *match.Formula {
	s, c, ok := l.slot(x)
	if !ok || list.Kind() != ast.ListKind || len(list.AsList().OptionalIndices()) > 0 {
		return nil
	}
	var vs []ref.Val
	null := false
	for _, item := range list.AsList().Elements() {
		switch v, ok := l.constant(item); {
		case !ok:
			return nil
		case v == types.NullValue:
			null = true
		default:
			vs = append(vs, v)
		}
	}
	f := l.in1(s, c, vs)
	if f == nil || null && s.Derived != match.Itself && s.Derived != match.Civil {
		return nil
	}
	f.Negated = negated
	if !null {
		return f
	}
	op := match.Or
	if negated {
		op = match.And
	}
	return l.join(op, []*match.Formula{f, l.leaf(match.Atom{Test: match.Null, Slot: match.Slot{Image: s.Image, Column: s.Column}}, negated)})
}

var orderings = map[string]match.Test{operators.Less: match.Less, operators.LessEquals: match.LessEqual,
	operators.Greater: match.Greater, operators.GreaterEquals: match.GreaterEqual}

var mirrored = map[match.Test]match.Test{match.Less: match.Greater, match.LessEqual: match.GreaterEqual,
	match.Greater: match.Less, match.GreaterEqual: match.LessEqual}

// ordering lowers a < b and its like, with the column on either side.
func (l *lowering) ordering(sign string, a, b ast.Expr, negated bool) *match.Formula {
	test := orderings[sign]
	s, c, ok := l.slot(a)
	if !ok {
		a, b, test = b, a, mirrored[test]
		if s, c, ok = l.slot(a); !ok {
			return nil
		}
	}
	v, ok := l.constant(b)
	if !ok {
		return nil
	}
	k, ok := value(v, s, c)
	if t, isTime := v.(types.Timestamp); isTime && c.Kind == cdc.KindTimestamp {
		floor, ceil := instants(t)
		if k, ok = floor, true; test == match.Less || test == match.GreaterEqual {
			k = ceil
		}
	}
	if !ok {
		return nil
	}
	return l.leaf(match.Atom{Test: test, Slot: s, Const: k}, negated)
}

// changed lowers changed('c').
func (l *lowering) changed(column int, negated bool) *match.Formula {
	if l.op != cdc.OpUpdate {
		return always(truthOf(!negated)) // the row came or went, and all of its columns with it
	}
	return l.leaf(match.Atom{Test: match.Changed, Slot: match.Slot{Column: column}}, negated)
}

// flag lowers has(after.c), and a column that is true or false itself.
func (l *lowering) flag(e ast.Expr, negated bool) *match.Formula {
	if e.Kind() != ast.SelectKind || imageOf(e.AsSelect().Operand()) < 0 {
		return nil
	}
	i := l.table.Column(e.AsSelect().FieldName())
	if i < 0 {
		return nil
	}
	s := match.Slot{Image: match.Image(imageOf(e.AsSelect().Operand())), Column: i}
	switch {
	case e.AsSelect().IsTestOnly():
		return l.leaf(match.Atom{Test: match.Present, Slot: s}, negated)
	case l.table.Columns[i].Kind == cdc.KindBool:
		// It fails on NULL, which orderings do and equality does not.
		return l.leaf(match.Atom{Test: match.GreaterEqual, Slot: s, Const: cdc.BoolValue(true)}, negated)
	}
	return nil
}

// text lowers startsWith(), endsWith() and contains(), those that ignore case, and what a pattern needs at least.
func (l *lowering) text(e ast.Expr, negated bool) *match.Formula {
	call := e.AsCall()
	if !call.IsMemberFunction() || len(call.Args()) != 1 {
		return nil
	}
	s, c, ok := l.slot(call.Target())
	if !ok || s.Derived == match.Itself && c.Kind != cdc.KindString && c.Kind != cdc.KindEnum {
		return nil
	}
	v, ok := l.constant(call.Args()[0])
	if !ok {
		return nil
	}
	arg, ok := v.(types.String)
	if !ok {
		return nil
	}
	name, ignoring := strings.CutSuffix(call.FunctionName(), "IgnoreCase")
	if ignoring {
		if s.Derived != match.Itself {
			return nil
		}
		s.Derived, arg = match.Folded, types.String(foldCase(string(arg)))
	}
	atom := match.Atom{Slot: s, Const: cdc.TextValue(cdc.KindString, string(arg))}
	switch name {
	case "equals":
		atom.Test = match.Equal
	case "startsWith":
		atom.Test = match.Prefix
	case "endsWith":
		atom.Test = match.Suffix
	case "contains":
		atom.Test = match.Contains
	default:
		return l.pattern(e, s, string(arg), negated)
	}
	return l.leaf(atom, negated)
}

// pattern lowers matches(): a text that the pattern needs tells whether to ask the pattern at all. Both fail alike.
func (l *lowering) pattern(e ast.Expr, s match.Slot, expr string, negated bool) *match.Formula {
	need, begins := required(expr)
	if need == "" {
		return nil
	}
	test := match.Contains
	if begins {
		test = match.Prefix
	}
	op := match.And
	if negated {
		op = match.Or
	}
	return l.join(op, []*match.Formula{
		l.leaf(match.Atom{Test: test, Slot: s, Const: cdc.TextValue(cdc.KindString, need)}, negated),
		l.leaf(l.cel(e), negated),
	})
}

// required returns the longest text that everything contains, or begins with, that a pattern matches; "" if none is known.
func required(expr string) (need string, begins bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", false
	}
	re = re.Simplify()
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	for i, p := range parts {
		for p.Op == syntax.OpCapture || p.Op == syntax.OpPlus {
			p = p.Sub[0]
		}
		// In a text that is not UTF-8 the pattern takes a wrong byte for the replacement character.
		if p.Op != syntax.OpLiteral || p.Flags&syntax.FoldCase != 0 || slices.Contains(p.Rune, utf8.RuneError) {
			continue
		}
		if text := string(p.Rune); i == 1 && parts[0].Op == syntax.OpBeginText {
			return text, true
		} else if len(text) > len(need) {
			need = text
		}
	}
	return need, false
}

// cel returns the atom that asks CEL.
func (l *lowering) cel(e ast.Expr) match.Atom {
	key := string(appendKey(nil, e))
	r := l.shared.known[key]
	if r == nil {
		prog, err := plan(l.env, l.part(e), !l.bounded(e, 0))
		if err != nil && l.err == nil {
			l.err = err
		}
		l.shared.last++
		r = &residual{number: l.shared.last, key: key, text: clip(l.source(e)), steps: l.cost(e), eval: prog}
		if err == nil {
			l.shared.known[key] = r
		}
	}
	if !slices.Contains(l.used, r) {
		l.used = append(l.used, r)
	}
	return match.Atom{Test: match.Opaque, Number: r.number}
}

// appendKey appends the structure of an expression. Two of one table with the same structure are the same: the types of
// everything in them follow from it.
func appendKey(to []byte, e ast.Expr) []byte {
	text := func(s string) { to = append(binary.AppendUvarint(to, uint64(len(s))), s...) }
	flag := func(b bool) {
		if b {
			to = append(to, 1)
		} else {
			to = append(to, 0)
		}
	}
	kids := func(es ...ast.Expr) {
		to = binary.AppendUvarint(to, uint64(len(es)))
		for _, e := range es {
			to = appendKey(to, e)
		}
	}
	to = append(to, byte(e.Kind()))
	switch e.Kind() {
	case ast.LiteralKind:
		to = appendLiteral(to, e.AsLiteral())
	case ast.IdentKind:
		text(e.AsIdent())
	case ast.SelectKind:
		text(e.AsSelect().FieldName())
		flag(e.AsSelect().IsTestOnly())
		kids(e.AsSelect().Operand())
	case ast.CallKind:
		call := e.AsCall()
		text(call.FunctionName())
		flag(call.IsMemberFunction())
		if call.IsMemberFunction() {
			kids(call.Target())
		}
		kids(call.Args()...)
	case ast.ListKind:
		kids(e.AsList().Elements()...)
		to = binary.AppendUvarint(to, uint64(len(e.AsList().OptionalIndices())))
		for _, i := range e.AsList().OptionalIndices() {
			to = binary.AppendUvarint(to, uint64(i))
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			flag(entry.AsMapEntry().IsOptional())
			kids(entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
		to = append(to, 2)
	case ast.ComprehensionKind:
		loop := e.AsComprehension()
		text(loop.IterVar())
		text(loop.IterVar2())
		text(loop.AccuVar())
		kids(loop.IterRange(), loop.AccuInit(), loop.LoopCondition(), loop.LoopStep(), loop.Result())
	}
	return to
}

func appendLiteral(to []byte, v ref.Val) []byte {
	name := v.Type().TypeName()
	to = append(binary.AppendUvarint(to, uint64(len(name))), name...)
	var s string
	switch v := v.(type) {
	case types.Bool:
		if v {
			s = "1"
		}
	case types.Int:
		return binary.LittleEndian.AppendUint64(to, uint64(v))
	case types.Uint:
		return binary.LittleEndian.AppendUint64(to, uint64(v))
	case types.Double:
		return binary.LittleEndian.AppendUint64(to, math.Float64bits(float64(v)))
	case types.String:
		s = string(v)
	case types.Bytes:
		s = string(v)
	}
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}
