package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file is about rules with `where`: a condition on a row, which is compiled twice, for the row as it was and for
// the row as it is. What an event does to the rows that satisfy it follows from the two outcomes.

// rowVar is the row that `where` is about.
const rowVar = "row"

// ofChanges are the functions that compare the two images.
var ofChanges = []string{changedVar, "anyChanged", "increasedBy", "decreasedBy"}

// whereMistakes says what cannot stand in a condition on a row: all that does not follow from the row alone. If it could,
// rows would enter and leave the filter without an event that says so.
func whereMistakes(x *expr) Findings {
	var out Findings
	ast.PreOrderVisit(x.tree, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			switch name := e.AsIdent(); name {
			case beforeVar, afterVar:
				out = append(out, x.errorAt(e, codeRow, "'where' judges a row, not a change: there is no '%s' in it", name).
					Hint("write '%s' for the row, or 'when' instead of 'where'", rowVar))
			case opVar, nowVar:
				out = append(out, x.errorAt(e, codeRow, "'where' judges a row by its columns: '%s' is not one of them", name).
					Hint("if it is a column, write %s.%s; else write 'when' instead of 'where'", rowVar, name))
			}
		case ast.CallKind:
			if name := e.AsCall().FunctionName(); slices.Contains(ofChanges, name) {
				out = append(out, x.errorAt(e, codeRow, "'where' judges a row, not a change: %s() compares two rows", name).
					Hint("write 'when' instead of 'where'; rows that come into or go out of a filter are delivered with \"change\" anyway"))
			}
		case ast.ComprehensionKind:
			loop := e.AsComprehension()
			if loop.IterVar() == rowVar || loop.IterVar2() == rowVar {
				out = append(out, x.errorAt(e, codeName, "'%s' is a variable already", rowVar).Hint("call the item something else: list.exists(x, x == 'a')"))
			}
		}
	}))
	return out
}

// onImage makes a condition on a row one on a row image.
func (x *expr) onImage(image string) {
	fac := ast.NewExprFactory()
	ast.PostOrderVisit(x.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.IdentKind && e.AsIdent() == rowVar {
			e.SetKindCase(fac.NewIdent(e.ID(), image))
		}
	}))
}

// compileWhere compiles the condition of a rule on rows for the row before and for the row after. They are judged
// together, so an operation that has one of them only takes part of what an update takes. show is what was found in what the
// rule lets see.
func compileWhere(base program, s *site, show Findings) (byOp [maxOps]*program, found Findings) {
	r := base.rule
	change := func(name string) []cdc.RuleMatch {
		m := base.match[0]
		m.Change = name
		return []cdc.RuleMatch{m}
	}
	base.changes = [4][]cdc.RuleMatch{was: change(cdc.Left), is: change(cdc.Entered), was | is: change(cdc.Stayed)}
	var conditions [2]*program
	for i, image := range images {
		if !slices.ContainsFunc(r.On, func(op cdc.Op) bool { return hasImage(op, i) }) {
			continue
		}
		x, e := r.parse()
		if e != nil {
			return byOp, Findings{e}
		}
		x.onImage(image)
		c := newTyper(x, s.table)
		c.lints = s.lints
		c.check()
		found = append(append(found, c.errs...), c.warnings...)
		conditions[i] = &program{rule: r, match: base.match}
		if len(c.errs) == 0 {
			found = append(found, c.program(conditions[i], s, c.foldFor(cdc.OpUpdate), cdc.OpUpdate)...)
		}
	}
	found = inRowWords(found)
	base.err = staleError(s.table, append(slices.Clone(show), found...))
	for _, op := range r.On {
		p := base
		for i := range images {
			if hasImage(op, i) && base.err == nil {
				p.where[i] = conditions[i]
			}
		}
		byOp[op] = &p
	}
	return byOp, found
}

// unseen warns of a filter that some operation changes without an event for the rule.
func (r *Rule) unseen() *Finding {
	if r.Where == "" {
		return nil
	}
	var missing []string
	for _, op := range []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete} {
		if !slices.Contains(r.On, op) {
			missing = append(missing, op.String())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return r.place.At("on").Error(codePartial, fmt.Sprintf("rows come into or go out of this filter by %s, and the rule is not for that", strings.Join(missing, " and "))).
		Hint("remove 'on': who keeps the rows that satisfy 'where' needs every change of them").Warn()
}

// The outcomes of the two conditions; together they number what an event does to the filter.
const (
	was = 1 << iota // the row before satisfies it
	is              // the row after does
)

var imageWord = regexp.MustCompile(`\b(before|after)([.\[])`)

// inRowWords makes findings about the two images findings about the row, each of them once.
func inRowWords(found Findings) Findings {
	var out Findings
	seen := map[string]bool{}
	for _, f := range found {
		f.Msg, f.Suggestion = imageWord.ReplaceAllString(f.Msg, rowVar+"$2"), imageWord.ReplaceAllString(f.Suggestion, rowVar+"$2")
		if key := fmt.Sprint(f.Line, f.Col, f.Code, f.Msg); !seen[key] {
			seen[key] = true
			out = append(out, f)
		}
	}
	return out
}

// rowError gives the advice of an error about an image for the row: what failed says which image it was.
func rowError(err error) error {
	own, ok := err.(*cdc.Error)
	if !ok {
		return err
	}
	c := *own
	c.Fix = imageWord.ReplaceAllString(c.Fix, rowVar+"$2")
	return &c
}
