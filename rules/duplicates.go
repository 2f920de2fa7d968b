package rules

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// duplicates says which rules ask the same as an earlier one: about the same tables and operations, and with a condition
// that differs at most in layout and in the order of what && and || combine.
func (s *Set) duplicates(add func(*Finding)) {
	first := map[string]*Rule{}
	for _, r := range s.rules {
		if !r.judged() {
			continue
		}
		asks := r.asks()
		earlier, ok := first[asks]
		if !ok {
			first[asks] = r
			continue
		}
		f := r.place.At("name").Error(codeSame, fmt.Sprintf("rule '%s' asks the same as '%s' (%s)", r.Name, earlier.Name, earlier.place.At("name").Pos())).Warn()
		if slices.Equal(r.To, earlier.To) {
			f.Hint("remove one of them")
		} else {
			f.Hint("if that is meant, one rule can have the feeds of both: to: [%s]", strings.Join(sorted(append(slices.Clone(earlier.To), r.To...)), ", "))
		}
		add(f)
	}
}

// asks names what a rule asks of an event.
func (r *Rule) asks() string {
	ops := make([]string, len(r.On))
	for i, op := range r.On {
		ops[i] = op.String()
	}
	filter := ""
	if f := r.Filter; f != nil {
		filter = strings.Join([]string{f.Plugin, f.Digest, string(f.Config)}, "\x00")
	}
	var looked strings.Builder
	for _, l := range r.Lookups {
		l.canonical(fieldsTo(&looked))
	}
	r.canonicalShow(fieldsTo(&looked))
	return strings.Join([]string{strings.Join(r.Tables, "\x00"), strings.Join(ops, "\x00"), r.ordered("when", r.When), r.ordered("where", r.Where), filter,
		looked.String(), r.ordered("having", r.Having)}, "\x01")
}

// ordered returns a condition with the operands of && and || in order.
func (r *Rule) ordered(key, text string) string {
	if text == "" {
		return ""
	}
	x, e := parseExpr(text, r.place.At(key))
	if e != nil {
		return canonicalExpr(text)
	}
	return x.ordered(x.tree)
}

func (x *expr) ordered(e ast.Expr) string {
	if e.Kind() == ast.CallKind {
		if fn := e.AsCall().FunctionName(); fn == operators.LogicalAnd || fn == operators.LogicalOr {
			parts := x.operands(nil, fn, e)
			return "(" + strings.Join(sorted(parts), " "+fn+" ") + ")"
		}
	}
	from, to := x.span(e)
	at := x.balanced(from, to)
	return canonicalExpr(x.text[at[0]:at[1]])
}

func (x *expr) operands(to []string, fn string, e ast.Expr) []string {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == fn {
		for _, arg := range e.AsCall().Args() {
			to = x.operands(to, fn, arg)
		}
		return to
	}
	return append(to, x.ordered(e))
}
