package main

import (
	"cel.dev/cel-go/cel"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// celLoop evaluates one program after the other, as one does with cel-go. What it is given needs no conversion.
type celLoop []cel.Program

func celPrograms(texts []rule) (celLoop, error) {
	row := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(cel.Variable("before", row), cel.Variable("after", row), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		return nil, err
	}
	programs := make(celLoop, len(texts))
	for i, t := range texts {
		text := t.own
		if t.cel != "" {
			text = t.cel
		}
		ast, issues := env.Compile(text)
		if issues.Err() != nil {
			return nil, issues.Err()
		}
		if programs[i], err = env.Program(ast, cel.EvalOptions(cel.OptOptimize)); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

func (l celLoop) decide(row map[string]any) (matches int) {
	for _, p := range l {
		if out, _, err := p.Eval(row); err == nil && out.Value() == true {
			matches++
		}
	}
	return matches
}

func (l celLoop) count(rows []map[string]any) (matches int) {
	for _, row := range rows {
		matches += l.decide(row)
	}
	return matches
}

// orderMaps are the rows as cel-go takes them.
func orderMaps(nulls int) []map[string]any {
	out := make([]map[string]any, len(orderRows))
	for i, r := range orderRows {
		row := func(status string) map[string]any {
			m := map[string]any{"id": r.ID, "customer_id": r.CustomerID, "status": status, "total": r.Total, "country": r.Country, "email": r.Email,
				"score": r.Score, "sku": r.SKU, "created": r.Created, "quantity": r.Quantity, "weight": r.Weight,
				"bucket1": r.Bucket1, "bucket10": r.Bucket10, "bucket1000": r.Bucket1000}
			if isNull(i, nulls) {
				m["score"] = nil
			}
			return m
		}
		out[i] = map[string]any{"before": row("new"), "after": row("paid")}
	}
	return out
}

// exprLoop evaluates one program after the other on one machine, as one does with expr-lang.
type exprLoop struct {
	programs []*vm.Program
	machine  vm.VM
}

type exprRow struct {
	Before orderRow `expr:"before"`
	After  orderRow `expr:"after"`
}

func exprPrograms(texts []rule) (*exprLoop, error) {
	l := &exprLoop{}
	for _, t := range texts {
		p, err := expr.Compile(t.expr, expr.Env(exprRow{}), expr.AsBool())
		if err != nil {
			return nil, err
		}
		l.programs = append(l.programs, p)
	}
	return l, nil
}

func (l *exprLoop) decide(row any) (matches int) {
	for _, p := range l.programs {
		if out, err := l.machine.Run(p, row); err == nil && out == true {
			matches++
		}
	}
	return matches
}

func (l *exprLoop) count(rows []any) (matches int) {
	for _, row := range rows {
		matches += l.decide(row)
	}
	return matches
}

// orderStructs are the rows as expr-lang takes them.
func orderStructs(nulls int) []any {
	out := make([]any, len(orderRows))
	for i, r := range orderRows {
		if isNull(i, nulls) {
			r.Score = nil
		}
		before := r
		before.Status = "new"
		out[i] = exprRow{before, r}
	}
	return out
}
