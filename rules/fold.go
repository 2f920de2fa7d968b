package rules

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/cdcd-project/cdcd/cdc"
)

// folder puts what is known of one operation on one table into an expression: op and table are constants, an image that
// the operation does not have is null and all of its columns have changed. What follows from that by the rules of && and
// ||, by comparing constants and by the choice of ?: is gone afterwards, and only that: whatever else an expression does
// it still does, its failures too. The tree that it is given stays as it is.
type folder struct {
	*expr
	fac   ast.ExprFactory
	op    cdc.Op
	table string
}

// images are the names of the row images, in the order of pairs of things about them.
var images = [2]string{beforeVar, afterVar}

// hasImage reports whether events of an operation have before (0) or after (1).
func hasImage(op cdc.Op, image int) bool {
	if image == 0 {
		return op == cdc.OpUpdate || op == cdc.OpDelete
	}
	return op != cdc.OpDelete
}

// imageOf returns which row image an expression is, or -1.
func imageOf(e ast.Expr) int {
	if e.Kind() != ast.IdentKind {
		return -1
	}
	return slices.Index(images[:], e.AsIdent())
}

func isImage(e ast.Expr) bool { return imageOf(e) >= 0 }

// missing reports whether an expression is an image that the operation does not have.
func (f *folder) missing(e ast.Expr) bool {
	i := imageOf(e)
	return i >= 0 && !hasImage(f.op, i)
}

func (f *folder) fold(e ast.Expr) ast.Expr {
	switch e.Kind() {
	case ast.IdentKind:
		switch e.AsIdent() {
		case opVar:
			return f.fac.NewLiteral(e.ID(), types.String(f.op.String()))
		case tableVar:
			return f.fac.NewLiteral(e.ID(), types.String(f.table))
		}
	case ast.SelectKind:
		return f.selection(e)
	case ast.CallKind:
		return f.call(e)
	case ast.ListKind:
		list := e.AsList()
		if items, changed := f.all(list.Elements()); changed {
			return f.fac.NewList(e.ID(), items, list.OptionalIndices())
		}
	case ast.MapKind:
		entries := slices.Clone(e.AsMap().Entries())
		for i, entry := range entries {
			m := entry.AsMapEntry()
			entries[i] = f.fac.NewMapEntry(entry.ID(), f.fold(m.Key()), f.fold(m.Value()), m.IsOptional())
		}
		return f.fac.NewMap(e.ID(), entries)
	case ast.ComprehensionKind:
		l := e.AsComprehension()
		over, init, cond, step, result := f.fold(l.IterRange()), f.fold(l.AccuInit()), f.fold(l.LoopCondition()), f.fold(l.LoopStep()), f.fold(l.Result())
		if l.HasIterVar2() {
			return f.fac.NewComprehensionTwoVar(e.ID(), over, l.IterVar(), l.IterVar2(), l.AccuVar(), init, cond, step, result)
		}
		return f.fac.NewComprehension(e.ID(), over, l.IterVar(), l.AccuVar(), init, cond, step, result)
	}
	return e
}

func (f *folder) all(list []ast.Expr) (out []ast.Expr, changed bool) {
	out = make([]ast.Expr, len(list))
	for i, e := range list {
		out[i] = f.fold(e)
		changed = changed || out[i] != e
	}
	return out, changed
}

func (f *folder) selection(e ast.Expr) ast.Expr {
	sel := e.AsSelect()
	operand := f.fold(sel.Operand())
	switch {
	case sel.IsTestOnly() && f.missing(operand):
		return f.truth(e, false)
	case operand == sel.Operand():
		return e
	case sel.IsTestOnly():
		return f.fac.NewPresenceTest(e.ID(), operand, sel.FieldName())
	}
	return f.fac.NewSelect(e.ID(), operand, sel.FieldName())
}

func (f *folder) truth(e ast.Expr, v bool) ast.Expr {
	return f.fac.NewLiteral(e.ID(), types.Bool(v))
}

func (f *folder) call(e ast.Expr) ast.Expr {
	call := e.AsCall()
	fn := call.FunctionName()
	args, changed := f.all(call.Args())
	if call.IsMemberFunction() {
		target := f.fold(call.Target())
		if v, ok := foldText(fn, target, args); ok {
			return f.truth(e, v)
		}
		if changed || target != call.Target() {
			return f.fac.NewMemberCall(e.ID(), fn, target, args...)
		}
		return e
	}
	switch fn {
	case operators.LogicalAnd, operators.LogicalOr:
		return f.junction(e, fn, args, changed)
	case operators.LogicalNot:
		if v, ok := truthLiteral(args[0]); ok {
			return f.truth(e, !v)
		}
	case operators.Conditional:
		if v, ok := truthLiteral(args[0]); ok && v {
			return args[1]
		} else if ok {
			return args[2]
		}
	case operators.Equals, operators.NotEquals:
		if equal, ok := f.equal(args[0], args[1]); ok {
			return f.truth(e, equal == (fn == operators.Equals))
		}
	case operators.In:
		if v, ok := foldIn(args[0], args[1]); ok {
			return f.truth(e, v)
		}
	case operators.OptSelect:
		if f.missing(args[0]) {
			return f.fac.NewMemberCall(e.ID(), "none", f.fac.NewIdent(f.id(e), "optional"))
		}
	case changedFn, increasedFn:
		if f.op != cdc.OpUpdate {
			return f.truth(e, fn == changedFn)
		}
	}
	if changed {
		return f.fac.NewCall(e.ID(), fn, args...)
	}
	return e
}

// junction folds && and ||: one operand may decide whatever the others do, even if they fail.
func (f *folder) junction(e ast.Expr, fn string, args []ast.Expr, changed bool) ast.Expr {
	decides := fn == operators.LogicalOr
	for i, arg := range args {
		v, ok := truthLiteral(arg)
		if ok && v == decides {
			return f.truth(e, decides)
		}
		if other := args[(i+1)%len(args)]; ok && len(args) == 2 && isTruth(other) {
			return other
		}
	}
	if changed {
		return f.fac.NewCall(e.ID(), fn, args...)
	}
	return e
}

// truthLiteral returns the value of a literal that is true or false.
func truthLiteral(e ast.Expr) (value, ok bool) {
	if e.Kind() != ast.LiteralKind {
		return false, false
	}
	v, ok := e.AsLiteral().(types.Bool)
	return bool(v), ok
}

// isTruth reports whether an expression gives true or false, or fails, but never something else.
func isTruth(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		_, ok := e.AsLiteral().(types.Bool)
		return ok
	case ast.SelectKind:
		return e.AsSelect().IsTestOnly()
	case ast.CallKind:
		call := e.AsCall()
		switch fn := call.FunctionName(); fn {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Equals, operators.NotEquals, operators.In,
			operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, changedFn, increasedFn:
			return true
		case operators.Conditional:
			return isTruth(call.Args()[1]) && isTruth(call.Args()[2])
		default:
			return call.IsMemberFunction() && methods[fn] == boolean || !call.IsMemberFunction() && functions[fn] == boolean
		}
	case ast.ComprehensionKind:
		l := e.AsComprehension()
		_, ok := truthLiteral(l.AccuInit())
		return isTruth(l.Result()) || ok && l.Result().Kind() == ast.IdentKind && l.Result().AsIdent() == l.AccuVar()
	}
	return false
}

// equal compares constants, and images with null and with each other as far as that is known.
func (f *folder) equal(a, b ast.Expr) (equal, ok bool) {
	if a.Kind() == ast.LiteralKind && b.Kind() == ast.LiteralKind {
		va, vb := a.AsLiteral(), b.AsLiteral()
		return types.Equal(va, vb) == types.True, va.Type() == vb.Type()
	}
	ia, ib := imageOf(a), imageOf(b)
	switch {
	case ia >= 0 && isNull(b):
		return f.missing(a), true
	case ib >= 0 && isNull(a):
		return f.missing(b), true
	case ia >= 0 && ib >= 0 && f.missing(a) != f.missing(b):
		return false, true
	}
	return false, false
}

// foldIn looks for a text in a list of texts.
func foldIn(x, list ast.Expr) (in, ok bool) {
	s, ok := textOf(x)
	if !ok || list.Kind() != ast.ListKind || len(list.AsList().OptionalIndices()) > 0 {
		return false, false
	}
	for _, item := range list.AsList().Elements() {
		t, ok := textOf(item)
		if !ok {
			return false, false
		}
		in = in || s == t
	}
	return in, true
}

func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// foldText asks a constant, which mostly is the name of the table, for a part of it.
func foldText(fn string, target ast.Expr, args []ast.Expr) (v, ok bool) {
	s, ok := textOf(target)
	if !ok || len(args) != 1 {
		return false, false
	}
	part, ok := textOf(args[0])
	if !ok {
		return false, false
	}
	switch fn {
	case "startsWith":
		return strings.HasPrefix(s, part), true
	case "endsWith":
		return strings.HasSuffix(s, part), true
	case "contains":
		return strings.Contains(s, part), true
	case "matches":
		re, err := regexp.Compile(part)
		return err == nil && re.MatchString(s), err == nil
	}
	return false, false
}

// imageReads returns the columns of before and after that an expression names, and the first read of each image.
func imageReads(e ast.Expr, t *cdc.Table) (columns [2][]int, first [2]ast.Expr) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind {
			return
		}
		sel := e.AsSelect()
		i := imageOf(sel.Operand())
		if i < 0 || sel.IsTestOnly() {
			return
		}
		if first[i] == nil {
			first[i] = e
		}
		if column := t.Column(sel.FieldName()); column >= 0 && !slices.Contains(columns[i], column) {
			columns[i] = append(columns[i], column)
		}
	}))
	return columns, first
}
