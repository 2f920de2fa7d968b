package rules

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// rowReads returns the columns that an expression reads of rows, by the variable that the rows are of: those of the rows that
// variables are, or that are items of the lists that they are. No table has to be known for that.
func (x *expr) rowReads(vars ...string) map[string][]string {
	w := rowReads{vars: vars, items: map[string]string{}, columns: map[string][]string{}}
	w.visit(x.tree)
	return w.columns
}

type rowReads struct {
	vars    []string
	items   map[string]string // variables of loops, with the variable that they go through the rows of
	columns map[string][]string
}

func (w *rowReads) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.SelectKind:
		sel := e.AsSelect()
		w.read(sel.Operand(), sel.FieldName())
		w.visit(sel.Operand())
	case ast.CallKind:
		call := e.AsCall()
		if fn := call.FunctionName(); fn == operators.Index || fn == operators.OptSelect || fn == operators.OptIndex {
			if name, ok := textOf(call.Args()[1]); ok {
				w.read(call.Args()[0], name)
			}
		}
		if call.IsMemberFunction() {
			w.visit(call.Target())
		}
		for _, arg := range call.Args() {
			w.visit(arg)
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			w.visit(item)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.visit(entry.AsMapEntry().Key())
			w.visit(entry.AsMapEntry().Value())
		}
	case ast.ComprehensionKind:
		loop := e.AsComprehension()
		w.visit(loop.IterRange())
		w.within(loop, func() {
			for _, part := range [...]ast.Expr{loop.AccuInit(), loop.LoopCondition(), loop.LoopStep(), loop.Result()} {
				w.visit(part)
			}
		})
	}
}

// within does something while the variables of a loop are known.
func (w *rowReads) within(loop ast.ComprehensionExpr, do func()) {
	names := [...]string{loop.IterVar(), loop.IterVar2()}
	of := w.of(loop.IterRange())
	var was [2]string
	for i, name := range names {
		was[i] = w.items[name]
		w.items[name] = of
	}
	do()
	for i, name := range names {
		w.items[name] = was[i]
	}
}

func (w *rowReads) read(of ast.Expr, column string) {
	if name := w.of(of); name != "" && !slices.Contains(w.columns[name], column) {
		w.columns[name] = append(w.columns[name], column)
	}
}

// of returns the variable whose row, or whose rows, an expression is; "" if it is none.
func (w *rowReads) of(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		if of, ok := w.items[name]; ok && of != "" {
			return of
		}
		if slices.Contains(w.vars, name) {
			return name
		}
	case ast.CallKind:
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.Index, operators.OptIndex:
			if _, ok := textOf(call.Args()[1]); !ok {
				return w.of(call.Args()[0])
			}
		case operators.Conditional:
			if of := w.of(call.Args()[1]); of != "" {
				return of
			}
			return w.of(call.Args()[2])
		case "value", "orValue":
			if call.IsMemberFunction() {
				return w.of(call.Target())
			}
		}
	case ast.ComprehensionKind: // as of items.filter(i, i.qty > 0)
		loop := e.AsComprehension()
		of := ""
		w.within(loop, func() {
			ast.PreOrderVisit(loop.LoopStep(), ast.NewExprVisitor(func(e ast.Expr) {
				if e.Kind() == ast.ListKind && e.AsList().Size() == 1 && of == "" {
					of = w.of(e.AsList().Elements()[0])
				}
			}))
		})
		return of
	}
	return ""
}
