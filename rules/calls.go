package rules

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/cdcd-project/cdcd/cdc"
)

// This file types the functions of our own that CEL could not: those that take the name of a column, a time zone, or
// values of any type.

// columnArg returns the number of the column that an argument names in quotes, or -1 after saying that it does not.
func (c *typer) columnArg(arg ast.Expr, fn, example string) int {
	name, ok := textOf(arg)
	if !ok {
		f := c.fail(arg, codeType, "%s() takes the name of a column in quotes", fn)
		column := "status"
		switch {
		case arg.Kind() == ast.SelectKind && isImage(arg.AsSelect().Operand()):
			column = arg.AsSelect().FieldName()
		case arg.Kind() == ast.IdentKind:
			column = arg.AsIdent()
		default:
			f.Hint("write "+example, column)
			return -1
		}
		f.Hint("write "+example, column)
		return -1
	}
	i := c.table.Column(name)
	if i >= 0 {
		return i
	}
	f := c.fail(arg, codeColumn, "%s", noColumnMsg(c.table, name))
	if short := strings.TrimPrefix(strings.TrimPrefix(name, "after."), "before."); c.table.Column(short) >= 0 {
		f.Hint("write "+example, short)
	} else {
		c.editText(f, arg, noColumn(f, c.table, name))
	}
	return -1
}

// changedCall is what changed('col') becomes.
func (c *typer) changedCall(e ast.Expr, column int) ast.Expr {
	return c.fac.NewCall(c.id(e), changedFn, c.fac.NewIdent(c.id(e), beforeVar), c.fac.NewIdent(c.id(e), afterVar),
		c.fac.NewLiteral(c.id(e), types.Int(column)))
}

// changed turns changed('col') into a call that has the two images and the column's number.
func (c *typer) changed(e ast.Expr) typ {
	args := e.AsCall().Args()
	if len(args) != 1 {
		f := c.fail(e, codeType, "changed() takes one column, not %d", len(args))
		if len(args) > 1 {
			f.Hint("write anyChanged(['a', 'b'])")
		} else {
			f.Hint("write changed('status')")
		}
		return typ{class: failed}
	}
	i := c.columnArg(args[0], changedVar, "changed('%s')")
	if i < 0 {
		return typ{class: failed}
	}
	e.SetKindCase(c.changedCall(e, i))
	return typ{class: boolean}
}

// anyChanged turns anyChanged(['a', 'b']) into changed('a') || changed('b').
func (c *typer) anyChanged(e ast.Expr) typ {
	args := e.AsCall().Args()
	if len(args) != 1 || args[0].Kind() != ast.ListKind || args[0].AsList().Size() == 0 {
		c.fail(e, codeType, "anyChanged() takes a list of columns").Hint("write anyChanged(['status', 'total'])")
		return typ{class: failed}
	}
	var calls []ast.Expr
	for _, item := range args[0].AsList().Elements() {
		i := c.columnArg(item, "anyChanged", "anyChanged(['%s'])")
		if i < 0 {
			return typ{class: failed}
		}
		calls = append(calls, c.changedCall(item, i))
	}
	for len(calls) > 1 { // in pairs, so that it is not as deep as it is long
		var pairs []ast.Expr
		for pair := range slices.Chunk(calls, 2) {
			if len(pair) == 2 {
				pair[0] = c.fac.NewCall(c.id(e), operators.LogicalOr, pair[0], pair[1])
			}
			pairs = append(pairs, pair[0])
		}
		calls = pairs
	}
	e.SetKindCase(calls[0])
	return typ{class: boolean}
}

// increasedBy turns increasedBy('col', 10), and decreasedBy, into a call that has the two images.
func (c *typer) increasedBy(e ast.Expr, name string) typ {
	args := e.AsCall().Args()
	if len(args) != 2 {
		c.fail(e, codeType, "%s() takes a column and an amount", name).Hint("write %s('total', 10)", name)
		return typ{class: failed}
	}
	i := c.columnArg(args[0], name, name+"('%s', 10)")
	if i < 0 {
		return typ{class: failed}
	}
	column := typeOf(&c.table.Columns[i])
	switch column.class {
	case integer, unsigned, double, exact:
	default:
		c.fail(args[0], codeType, "%s; %s() is for numbers", c.describe(args[0], column), name).Hint("write changed('%s')", c.table.Columns[i].Name)
		return typ{class: failed}
	}
	amount := literalType(types.NullValue)
	if args[1].Kind() == ast.LiteralKind {
		amount = c.visit(args[1])
	}
	switch amount.class {
	case integer, unsigned, double:
	default:
		c.fail(args[1], codeType, "the amount of %s() must be a number that is written out", name).Hint("write %s('%s', 10)", name, c.table.Columns[i].Name)
		return typ{class: failed}
	}
	if !positive(args[1].AsLiteral()) {
		sign := map[string]string{"increasedBy": ">", "decreasedBy": "<"}[name]
		column := selector(c.table.Columns[i].Name)
		c.fail(args[1], codeType, "the amount of %s() must be above 0", name).Hint("write after%s %s before%s for any difference", column, sign, column)
		return typ{class: failed}
	}
	if c.coerce(args[1], amount, args[0], column).class == failed {
		c.errs[len(c.errs)-1].Hint("write an amount that the column can differ by")
		return typ{class: failed}
	}
	sign := types.IntOne
	if name == "decreasedBy" {
		sign = types.IntNegOne
	}
	call := c.changedCall(e, i).AsCall().Args()
	e.SetKindCase(c.fac.NewCall(e.ID(), increasedFn, call[0], call[1], call[2], args[1], c.fac.NewLiteral(c.id(e), sign)))
	return typ{class: boolean}
}

func positive(v ref.Val) bool {
	switch n := v.(type) {
	case types.Int:
		return n > 0
	case types.Uint:
		return n > 0
	case types.Double:
		return n > 0
	}
	return false
}

// coalesce turns coalesce(a, b) into a != null ? a : b.
func (c *typer) coalesce(e ast.Expr) typ {
	args := e.AsCall().Args()
	if len(args) < 2 {
		c.fail(e, codeType, "coalesce() takes two values or more").Hint("write coalesce(after.qty, 0)")
		return typ{class: failed}
	}
	kinds := make([]typ, len(args))
	result := typ{class: unknown, literal: true}
	var first ast.Expr
	for i, arg := range args {
		kinds[i] = c.visit(arg)
		switch {
		case kinds[i].class == failed:
			return kinds[i]
		case kinds[i].class == null:
			c.fail(arg, codeType, "null is what coalesce() replaces").Hint("remove it")
			return typ{class: failed}
		case result.literal && !kinds[i].literal:
			result, first = kinds[i], arg
			result.column = calendar(result.column, bare(result.column))
		}
	}
	if first == nil {
		result, first = kinds[0], args[0]
	}
	for i, arg := range args {
		if arg == first {
			continue
		}
		if _, kinds[i] = c.meet(e, first, arg, result, kinds[i]); kinds[i].class == failed {
			return kinds[i]
		}
		if !result.open() && !kinds[i].open() && (result.class != kinds[i].class || result.elem != kinds[i].elem) {
			c.fail(arg, codeType, "the values of coalesce() are of different types: %s; %s", c.describe(first, result), c.describe(arg, kinds[i]))
			return typ{class: failed}
		}
	}
	// What is never NULL is the last that counts.
	last := slices.IndexFunc(kinds[:len(kinds)-1], func(t typ) bool { return !t.open() && (t.column == nil || !t.column.Nullable) })
	if last < 0 {
		last = len(args) - 1
	} else {
		f := c.warn(args[last], codeAlways, "%s is never NULL, so coalesce() never comes to what follows", c.source(args[last]))
		if f.Hint("write %s", c.source(args[last])); last == 0 {
			from, to := c.whole(e)
			c.edit(f, from, to, c.source(args[0]))
		}
	}
	chosen := args[last]
	for i := last - 1; i >= 0; i-- {
		value := c.fac.CopyExpr(args[i])
		value.RenumberIDs(func(int64) int64 { return c.id(args[i]) })
		test := c.fac.NewCall(c.id(e), operators.NotEquals, args[i], c.fac.NewLiteral(c.id(e), types.NullValue))
		chosen = c.fac.NewCall(c.id(e), operators.Conditional, test, value, chosen)
	}
	e.SetKindCase(chosen)
	return typ{class: result.class, elem: result.elem, column: notNull(calendar(result.column, nil))}
}

// calendar returns a column if it is a date or a date and time, else the other.
func calendar(column, other *cdc.Column) *cdc.Column {
	if column != nil && (column.Kind == cdc.KindDate || column.Kind == cdc.KindDatetime) {
		return column
	}
	return other
}

func notNull(column *cdc.Column) *cdc.Column {
	if column == nil {
		return nil
	}
	same := *column
	same.Nullable = false
	return &same
}

// dateColumn makes what date() returns behave like a DATE.
var dateColumn = cdc.Column{Kind: cdc.KindDate, Type: "date"}

// date types date(after.at) and date(now, 'Europe/Berlin').
func (c *typer) date(e ast.Expr) typ {
	args := e.AsCall().Args()
	if len(args) != 1 && len(args) != 2 {
		c.fail(e, codeType, "date() takes a date and time, or a timestamp and a time zone").Hint("write date(after.at), or date(now, 'Europe/Berlin')")
		return typ{class: failed}
	}
	t := c.visit(args[0])
	if t.class == failed {
		return t
	}
	switch {
	case len(args) == 1 && t.class == instant:
		c.fail(e, codeType, "%s: which date it is depends on the time zone", c.describe(args[0], t)).Hint("write date(%s, 'Europe/Berlin')", c.source(args[0]))
	case len(args) == 1 && (t.open() || t.class == text && (t.literal || calendar(t.column, nil) != nil || t.column == nil || t.column.Kind == cdc.KindString)):
		return typ{class: text, column: &dateColumn}
	case len(args) == 2 && calendar(t.column, nil) != nil:
		c.fail(args[1], codeType, "%s: it has no time zone", c.describe(args[0], t)).Hint("write date(%s)", c.source(args[0]))
	case len(args) == 2 && (t.open() || t.class == instant):
		if c.zone(args[1]) {
			return typ{class: text, column: &dateColumn}
		}
	default:
		c.fail(args[0], codeType, "%s; date() cannot take it", c.describe(args[0], t)).Hint("write date(after.at), or date(now, 'Europe/Berlin')")
	}
	return typ{class: failed}
}

// timestampIn types timestamp(after.at, 'Europe/Berlin').
func (c *typer) timestampIn(e ast.Expr) typ {
	args := e.AsCall().Args()
	t := c.visit(args[0])
	switch {
	case t.class == failed:
		return t
	case t.class == instant:
		c.fail(e, codeType, "%s: it is in all time zones already", c.describe(args[0], t)).Hint("write %s", c.source(args[0]))
		return typ{class: failed}
	case !t.open() && t.class != text, t.column != nil && t.column.Kind != cdc.KindString && calendar(t.column, nil) == nil:
		c.fail(args[0], codeType, "%s; timestamp() cannot take it", c.describe(args[0], t)).Hint("write timestamp(after.at, 'Europe/Berlin')")
		return typ{class: failed}
	}
	if s, ok := textOf(args[0]); ok { // '2026-01-31 12:30' is fine where it is written out
		column := cdc.Column{Kind: cdc.KindDatetime}
		out, hint := civilText(s, &column)
		if hint != "" {
			c.fail(args[0], codeType, "%s is no date", clip(c.source(args[0]))).Hint("%s", hint)
			return typ{class: failed}
		}
		args[0].SetKindCase(c.fac.NewLiteral(args[0].ID(), types.String(out)))
	}
	if !c.zone(args[1]) {
		return typ{class: failed}
	}
	return typ{class: instant}
}

// zone checks that an argument is a time zone that is written out: which ones there are must not depend on the data.
func (c *typer) zone(arg ast.Expr) bool {
	name, ok := textOf(arg)
	if !ok {
		c.fail(arg, codeType, "the time zone must be written out").Hint("write 'Europe/Berlin', 'UTC' or '+02:00'")
		return false
	}
	if _, err := loadZone(name); err != nil {
		f := c.fail(arg, codeType, "%s", err)
		if place, ok := zoneAliases[strings.ToUpper(name)]; ok {
			f.Hint("did you mean '%s'?", place)
		} else if near, ok := nearest(name, commonZones); ok {
			f.Hint("did you mean '%s'?", near)
		} else {
			f.Hint("write a place of the tz database such as 'Europe/Berlin', 'UTC' or '+02:00'")
		}
		return false
	}
	return true
}

// zoneAliases are what people call time zones.
var zoneAliases = map[string]string{"CEST": "Europe/Berlin", "BERLIN": "Europe/Berlin", "LONDON": "Europe/London", "BST": "Europe/London", "EDT": "America/New_York",
	"PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "CST": "America/Chicago", "CDT": "America/Chicago", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo",
	"Z": "UTC", "LOCAL": "UTC", "": "UTC"}

// commonZones are some that people misspell.
var commonZones = []string{"Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Madrid", "Europe/Rome", "Europe/Vienna", "Europe/Zurich",
	"Europe/Amsterdam", "Europe/Warsaw", "Europe/Moscow", "Europe/Istanbul", "America/New_York", "America/Chicago", "America/Denver",
	"America/Los_Angeles", "America/Toronto", "America/Sao_Paulo", "America/Mexico_City", "Asia/Tokyo", "Asia/Shanghai", "Asia/Hong_Kong",
	"Asia/Singapore", "Asia/Kolkata", "Asia/Dubai", "Australia/Sydney", "Africa/Johannesburg", "Pacific/Auckland"}

// getter types x.getDayOfWeek('Europe/Berlin') and its like. Of a date the parts are those that are written in it. A
// zone is applied by a function of ours, since CEL's own reads the time zone from disk for every event.
func (c *typer) getter(e ast.Expr, name string, t typ) typ {
	call := e.AsCall()
	target, args := call.Target(), call.Args()
	civil := calendar(t.column, nil)
	switch {
	case t.class == text && civil != nil && len(args) > 0:
		c.fail(args[0], codeType, "%s: it has no time zone", c.describe(target, t)).Hint("write %s.%s()", c.source(target), name)
		return typ{class: failed}
	case t.class == text && civil != nil:
		target = c.fac.NewCall(c.id(target), "timestamp", target, c.fac.NewLiteral(c.id(target), types.String("UTC")))
		e.SetKindCase(c.fac.NewMemberCall(e.ID(), name, target))
	case t.class != instant && t.class != span:
		f := c.fail(target, codeType, "%s; %s() is for timestamps", c.describe(target, t), name)
		if t.column != nil && t.column.Kind == cdc.KindTime {
			f.Hint("it is a text: compare it with '12:30:00'")
		}
		return typ{class: failed}
	case t.class == instant && len(args) == 1:
		if !c.zone(args[0]) {
			return typ{class: failed}
		}
		e.SetKindCase(c.fac.NewMemberCall(e.ID(), name, c.fac.NewCall(c.id(target), wallFn, target, args[0])))
	}
	return typ{class: integer}
}

// zoneHint says how a date is compared with a timestamp.
func (c *typer) zoneHint(f *Finding, a, b ast.Expr, ta, tb typ, sign string) {
	switch {
	case ta.class == text && ta.column != nil && ta.column.Kind == cdc.KindDate:
		f.Hint("write %s%sdate(%s, 'Europe/Berlin')", c.source(a), sign, c.source(b))
	case tb.class == text && tb.column != nil && tb.column.Kind == cdc.KindDate:
		f.Hint("write date(%s, 'Europe/Berlin')%s%s", c.source(a), sign, c.source(b))
	case ta.class == text:
		f.Hint("write timestamp(%s, 'Europe/Berlin')%s%s", c.source(a), sign, c.source(b))
	default:
		f.Hint("write %s%stimestamp(%s, 'Europe/Berlin')", c.source(a), sign, c.source(b))
	}
}
