package rules

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// condition is one that was compiled for an operation on a table.
type condition struct {
	formula *match.Formula
	asks    []*residual // that the formula contains
	reads   [2][]int    // the columns of before and of after that it names
	steps   uint64      // that it can take at most
}

// judge is what one goroutine needs to judge events: memory that is used again. It answers what CEL has to.
type judge struct {
	programs map[int]cel.Program // of residuals, by number
	scratch  match.Scratch
	event    cdc.Event
	ready    bool // the activation is that of the event
	activation
}

// Ask evaluates a residual on the event.
func (j *judge) Ask(number int) match.Truth {
	v, err := j.eval(number)
	if err != nil {
		return match.Failed
	}
	b, ok := v.(types.Bool)
	if !ok {
		return match.Failed
	}
	return truthOf(bool(b))
}

func (j *judge) eval(number int) (ref.Val, error) {
	v, _, err := j.programs[number].Eval(j.see())
	return v, err
}

// see returns the event as CEL sees it.
func (j *judge) see() *activation {
	if !j.ready {
		j.ready = true
		j.activation.see(j.event)
	}
	return &j.activation
}

// forget lets go of the event, so that a judge that waits for work keeps no frame alive.
func (j *judge) forget() {
	if j.event = (cdc.Event{}); j.ready {
		j.ready = false
		j.activation.forget()
	}
}

// failure says in plain words why the condition failed on an event.
func (c *condition) failure(j *judge) error {
	f := c.culprit(c.formula, j)
	if f.Op != match.Leaf {
		return cdc.Errorf(codeAnswer, "the condition gave something that is neither true nor false")
	}
	if f.Atom.Test != match.Opaque {
		return c.explain(c.reason(f.Atom, j.event), j.see())
	}
	v, err := j.eval(f.Atom.Number)
	switch {
	case err == nil && f == c.formula:
		return cdc.Errorf(codeAnswer, "the condition gave %s, not true or false", clip(fmt.Sprint(v.Value())))
	case err == nil:
		err = errNoOverload
	}
	return c.explain(err, j.see())
}

// culprit returns the first part of a formula that makes it fail, in the order in which it is written.
func (c *condition) culprit(f *match.Formula, j *judge) *match.Formula {
	for _, kid := range f.Kids {
		if kid.Eval(j.event, j) == match.Failed {
			return c.culprit(kid, j)
		}
	}
	return f
}

var errNoOverload = errors.New("no such overload")

// reason returns what CEL says when an atom fails.
func (c *condition) reason(a *match.Atom, e cdc.Event) error {
	rows := []cdc.Row{e.Before(), e.After()}
	if a.Test != match.Changed {
		rows = rows[a.Slot.Image:][:1]
	}
	column := &e.Table().Columns[a.Slot.Column]
	for _, row := range rows {
		switch k := row.Kind(a.Slot.Column); {
		case !row.Exists():
			return errNoImage
		case k == cdc.KindAbsent:
			return absentError{column.Name}
		case k != cdc.KindNull && k != column.Kind:
			return kindError(column, k)
		}
	}
	return errNoOverload
}

// explain says in plain words why a condition failed on an event.
func (c *condition) explain(err error, a *activation) error {
	var absent absentError
	var own *cdc.Error
	op := a.event.Op()
	switch msg := err.Error(); {
	case errors.As(err, &own):
		return own
	case errors.As(err, &absent):
		return wrap(err, codeEval, "column %s is not in the row image", absent.column).
			WithFix("set binlog_row_image=FULL on the source, or ask first: has(after%s)", selector(absent.column))
	case errors.Is(err, errNoImage) && op == cdc.OpDelete:
		return wrap(err, codeEval, "'after' is empty on delete").WithFix("ask first: after != null && …")
	case errors.Is(err, errNoImage):
		return wrap(err, codeEval, "'before' is empty on %s", op).WithFix("ask first: before != null && …")
	case isCostLimit(err):
		return wrap(err, codeCost, "the condition took more than %d steps on this event", maxCost).WithFix("make it simpler, or look at less of the row")
	case strings.HasPrefix(msg, "no such key: "):
		key := clip(strings.TrimPrefix(msg, "no such key: "))
		return wrap(err, codeEval, "the JSON document has no '%s'", key).WithFix("ask first: has(….%s), or write ….?%s.orValue('')", key, key)
	case strings.HasPrefix(msg, "unsupported index type"), strings.HasPrefix(msg, "index out of bounds"), strings.HasPrefix(msg, "invalid"):
		return wrap(err, codeEval, "the value has another shape than the condition expects: %s", clip(msg)).WithFix("ask first: type(x) == map, or size(x) > 0")
	case strings.HasPrefix(msg, "no such overload"):
		if nulls := a.nulls(c.reads); len(nulls) > 0 {
			return wrap(err, codeEval, "the condition cannot use NULL: %s", strings.Join(nulls, " and ")+isNullText(len(nulls))).
				WithFix("ask first: %s != null && …", nulls[0])
		}
		return wrap(err, codeEval, "a value is of another type than the condition expects").WithFix("look at the values in JSON columns")
	default:
		return wrap(err, codeEval, "the condition failed: %s", clip(msg))
	}
}

func isNullText(n int) string {
	if n == 1 {
		return " is NULL"
	}
	return " are NULL"
}

// nulls names those of the columns that are NULL.
func (a *activation) nulls(columns [2][]int) []string {
	var names []string
	for side, m := range [...]*image{&a.before, &a.after} {
		for _, i := range columns[side] {
			if m.row.Kind(i) == cdc.KindNull && len(names) < 5 {
				names = append(names, [...]string{beforeVar, afterVar}[side]+selector(m.row.Table().Columns[i].Name))
			}
		}
	}
	return names
}

func wrap(err error, code, format string, args ...any) *cdc.Error {
	e := cdc.Errorf(code, format, args...)
	e.Err = err
	return e
}

func isCostLimit(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
}

// activation is what CEL is told of an event.
type activation struct {
	before, after image
	op, table     ref.Val
	event         cdc.Event
}

// see makes the activation that of an event.
func (a *activation) see(e cdc.Event) {
	t := e.Table()
	a.event, a.op = e, opVals[e.Op()&(maxOps-1)]
	if a.table == nil {
		a.table = types.String(t.String())
	}
	a.before.reset(e.Before(), len(t.Columns))
	a.after.reset(e.After(), len(t.Columns))
}

func (a *activation) forget() {
	a.event = cdc.Event{}
	a.before.reset(cdc.Row{}, 0)
	a.after.reset(cdc.Row{}, 0)
}

// ResolveName returns a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case afterVar:
		if !a.after.row.Exists() {
			return types.NullValue, true
		}
		return &a.after, true
	case beforeVar:
		if !a.before.row.Exists() {
			return types.NullValue, true
		}
		return &a.before, true
	case opVar:
		return a.op, true
	case tableVar:
		return a.table, true
	case nowVar:
		return types.Timestamp{Time: a.event.CommitTime()}, true
	}
	return nil, false
}

// Parent returns nil: there is nothing around an event.
func (a *activation) Parent() interpreter.Activation { return nil }

// maxOps is a power of two above the number of operations.
const maxOps = 8

var opVals = func() (vals [maxOps]ref.Val) {
	for op := range cdc.Op(maxOps) {
		vals[op] = types.String(op.String())
	}
	return vals
}()
