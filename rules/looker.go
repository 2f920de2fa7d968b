package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Looker evaluates what a rule looks up: which keys its look-ups ask for, and what becomes of a match with the rows that there
// are. It asks nobody: who does puts [Lookup.Query] with the keys of some changes to the source, and hands the rows to Take. What
// was compiled for a table is remembered. A Looker is for one goroutine.
type Looker struct {
	rule  *Rule
	sites []*lookSite // by the tables of changes
	last  *lookSite

	// of rows without the columns that only conditions read
	shown   cdc.Tables
	builder cdc.Builder
}

// NewLooker returns the Looker of a rule.
func NewLooker(r *Rule) *Looker { return &Looker{rule: r} }

// Rule returns the rule.
func (l *Looker) Rule() *Rule { return l.rule }

// Key returns the values, by the columns of its By, that the n-th look-up of the rule finds its rows by, for a change that the rule
// matches. It is nil when one of them is NULL: nothing equals that, so there is no row.
func (l *Looker) Key(e cdc.Event, n int) ([]cdc.Value, error) {
	site, err := l.site(e.Table())
	if err != nil {
		return nil, err
	}
	defer site.activation.forget()
	look := &site.looks[n]
	key := make([]cdc.Value, len(look.by))
	for i := range look.by {
		v, err := look.by[i].byOp[e.Op()&(maxOps-1)].value(site, e)
		if err != nil {
			return nil, l.within(n, "by: "+l.rule.Lookups[n].By[i].Column, err)
		}
		if v.IsNull() {
			return nil, nil
		}
		key[i] = v
	}
	return key, nil
}

// Rows are those that a look-up has brought for one change.
type Rows struct {
	Rows []cdc.Row // all of one table; none, if there are none or nobody was asked
	At   string    // see [cdc.Looked]
}

// Take returns the match with what was looked up for it, and whether it is one any more. rows are those of the rule's look-ups, as
// the source gave them for the keys of the change. The error says why the rule cannot judge the change. The match is not changed.
func (l *Looker) Take(e cdc.Event, m cdc.RuleMatch, rows []Rows) (cdc.RuleMatch, bool, error) {
	site, err := l.site(e.Table())
	if err != nil {
		return m, false, err
	}
	defer site.activation.forget()
	found := make([][]cdc.Row, len(rows))
	for n, spec := range l.rule.Lookups {
		if found[n], err = l.counting(site, e, n, rows[n].Rows); err != nil {
			return m, false, l.within(n, "where", err)
		}
		switch {
		case len(found[n]) > 0 || spec.Missing == MissingNull:
		case spec.Missing == MissingDrop:
			return m, false, nil
		default:
			return m, false, cdc.Errorf(codeMissing, "look-up %s found no row in %s", spec.Name, spec.Table).
				WithFix("write missing: null or missing: drop if there may be none")
		}
	}
	if l.rule.Having != "" {
		yes, err := site.having(e, found)
		if err != nil || !yes {
			return m, false, err
		}
	}
	m.Lookups = make([]cdc.Looked, len(rows))
	for n, spec := range l.rule.Lookups {
		m.Lookups[n] = cdc.Looked{Name: spec.Name, Many: spec.Many, At: rows[n].At}
		if m.Lookups[n].Rows, err = l.show(spec, found[n]); err != nil {
			return m, false, err
		}
	}
	return m, true, nil
}

// counting returns the rows of a look-up that count.
func (l *Looker) counting(site *lookSite, e cdc.Event, n int, rows []cdc.Row) ([]cdc.Row, error) {
	spec := l.rule.Lookups[n]
	if spec.Where != "" && len(rows) > 0 {
		satisfying, err := site.where(e, n, rows, !spec.Many)
		if err != nil {
			return nil, err
		}
		rows = satisfying
	}
	if !spec.Many && len(rows) > 1 {
		rows = rows[:1]
	}
	return rows, nil
}

// show returns the rows with the columns that are delivered.
func (l *Looker) show(spec *Lookup, rows []cdc.Row) ([]cdc.Row, error) {
	if len(spec.reads) == 0 || len(rows) == 0 {
		return slices.Clip(rows), nil
	}
	t := *rows[0].Table()
	var columns []int
	for _, name := range spec.Columns {
		columns = append(columns, t.Column(name))
	}
	all := t.Columns
	t.Columns = nil
	for _, i := range columns {
		if i < 0 {
			return nil, fmt.Errorf("the answer of look-up %s has not all columns that were asked for", spec.Name)
		}
		t.Columns = append(t.Columns, all[i])
	}
	b := &l.builder
	b.Reset(cdc.Header{FirstPartNo: 1})
	info := cdc.EventInfo{Op: cdc.OpSnapshot, Tx: b.AddTx(cdc.Tx{Rows: uint32(len(rows)), Ends: true}), Table: b.AddTable(&t)}
	for i, row := range rows {
		info.No, info.Row, info.After = uint64(i+1), uint32(i), b.CopyColumns(row, columns)
		b.AddEvent(info)
	}
	batch, err := cdc.Open(b.Seal(cdc.Checkpoint{PartNos: []uint64{uint64(len(rows) + 1)}}), &l.shown)
	if err != nil {
		return nil, fmt.Errorf("look-up %s: %w", spec.Name, err)
	}
	out := make([]cdc.Row, batch.Len())
	for i := range out {
		out[i] = batch.Event(i).After()
	}
	return out, nil
}

// within says of an error which part of which look-up it is of.
func (l *Looker) within(n int, part string, err error) error {
	own, ok := err.(*cdc.Error)
	if !ok {
		return fmt.Errorf("look-up %s, %s: %w", l.rule.Lookups[n].Name, part, err)
	}
	c := *own
	c.What = fmt.Sprintf("look-up %s, %s: %s", l.rule.Lookups[n].Name, part, own.What)
	return &c
}

// site returns what was compiled for a table of changes.
func (l *Looker) site(t *cdc.Table) (*lookSite, error) {
	if l.last != nil && l.last.table == t {
		return l.last, nil
	}
	i := slices.IndexFunc(l.sites, func(s *lookSite) bool { return s.table == t || sameTable(s.table, t) })
	if i < 0 {
		s, err := newLookSite(l.rule, t)
		if err != nil {
			return nil, err
		}
		if len(l.sites) >= maxPointers {
			l.sites = nil
		}
		i, l.sites = len(l.sites), append(l.sites, s)
	}
	l.last = l.sites[i]
	l.last.table = t // the pointer that comes next, too
	return l.last, nil
}

// lookSite is a table of changes as the expressions of a rule's look-ups are compiled for it.
type lookSite struct {
	rule       *Rule
	table      *cdc.Table
	env        *cel.Env
	looks      []lookPlan
	havings    []*havingPlan
	activation lookActivation
}

// lookPlan is one look-up.
type lookPlan struct {
	by    []lookExpr // by part of the key
	where []*lookExpr
}

// havingPlan is `having` for some tables that were looked up.
type havingPlan struct {
	tables []*cdc.Table // nil where there was no row
	expr   lookExpr
}

func newLookSite(r *Rule, t *cdc.Table) (*lookSite, error) {
	env, err := tableEnv(t, r.lang)
	if err != nil {
		return nil, err
	}
	s := &lookSite{rule: r, table: t, env: env, looks: make([]lookPlan, len(r.Lookups))}
	for n, l := range r.Lookups {
		for _, part := range l.By {
			x, _ := s.key(n, part)
			s.looks[n].by = append(s.looks[n].by, x)
		}
	}
	return s, nil
}

// key compiles a part of a key.
func (s *lookSite) key(n int, part KeyPart) (lookExpr, Findings) {
	return s.compile(s.rule.place.At("lookup", s.rule.Lookups[n].Name, "by", part.Column), part.Expr, nil, false)
}

// where returns those of the rows of the n-th look-up that satisfy its condition, or only the first of them.
func (s *lookSite) where(e cdc.Event, n int, rows []cdc.Row, first bool) ([]cdc.Row, error) {
	t := rows[0].Table()
	look := &s.looks[n]
	i := slices.IndexFunc(look.where, func(x *lookExpr) bool { return x.vars[0].table == t || sameTable(x.vars[0].table, t) })
	if i < 0 {
		x, _ := s.condition(n, t)
		if len(look.where) >= maxDefinitions {
			look.where = nil
		}
		i, look.where = len(look.where), append(look.where, &x)
	}
	x := look.where[i]
	var out []cdc.Row
	var m image
	a := s.see(e)
	for _, row := range rows {
		m.reset(row, len(t.Columns))
		a.vars = append(a.vars[:0], boundVar{rowVar, &m})
		yes, err := x.truth(s, e)
		switch {
		case err != nil:
			return nil, err
		case yes:
			out = append(out, row)
		}
		if yes && first {
			break
		}
	}
	return out, nil
}

// condition compiles the condition on the rows of the n-th look-up, whose table is t.
func (s *lookSite) condition(n int, t *cdc.Table) (lookExpr, Findings) {
	l := s.rule.Lookups[n]
	return s.compile(s.rule.place.At("lookup", l.Name, "where"), l.Where, []lookVar{{name: rowVar, table: t}}, true)
}

// having judges what was found.
func (s *lookSite) having(e cdc.Event, found [][]cdc.Row) (bool, error) {
	tables := make([]*cdc.Table, len(found))
	for n, rows := range found {
		if len(rows) > 0 {
			tables[n] = rows[0].Table()
		}
	}
	same := func(a, b *cdc.Table) bool { return a == b || a != nil && b != nil && sameTable(a, b) }
	i := slices.IndexFunc(s.havings, func(h *havingPlan) bool { return slices.EqualFunc(h.tables, tables, same) })
	if i < 0 {
		x, _ := s.verdict(tables)
		if len(s.havings) >= maxDefinitions {
			s.havings = nil
		}
		i, s.havings = len(s.havings), append(s.havings, &havingPlan{tables, x})
	}
	a := s.see(e)
	a.vars = a.vars[:0]
	for n, l := range s.rule.Lookups {
		var rows []ref.Val
		for _, row := range found[n] {
			m := &image{}
			m.reset(row, len(row.Table().Columns))
			rows = append(rows, m)
		}
		var v ref.Val = types.NullValue
		switch {
		case l.Many:
			v = types.NewRefValList(types.DefaultTypeAdapter, rows)
		case len(rows) > 0:
			v = rows[0]
		}
		a.vars = append(a.vars, boundVar{l.Name, v})
	}
	return s.havings[i].expr.truth(s, e)
}

// verdict compiles `having` for the tables of the rows that were found.
func (s *lookSite) verdict(tables []*cdc.Table) (lookExpr, Findings) {
	vars := make([]lookVar, len(tables))
	for n, l := range s.rule.Lookups {
		vars[n] = lookVar{l.Name, tables[n], l.Many}
	}
	return s.compile(s.rule.place.At("having"), s.rule.Having, vars, true)
}

// see makes the activation that of an event.
func (s *lookSite) see(e cdc.Event) *lookActivation {
	s.activation.see(e)
	return &s.activation
}

// lookVar is a variable of an expression beside those of a change.
type lookVar struct {
	name  string
	table *cdc.Table // of its rows; nil: there are none
	many  bool       // it is a list of rows
}

// rowsOf begins the names of the types of rows that are looked up.
const rowsOf = "row:"

// env returns an environment that has the variables, too.
func withVars(env *cel.Env, vars []lookVar) (*cel.Env, error) {
	if len(vars) == 0 {
		return env, nil
	}
	var opts []cel.EnvOption
	provider, _ := env.CELTypeProvider().(*provider)
	for _, v := range vars {
		typ := types.DynType
		if v.table != nil {
			provider = provider.and(rowsOf+v.name, v.table)
			if typ = types.NewObjectType(rowsOf + v.name); v.many {
				typ = types.NewListType(typ)
			}
		}
		opts = append(opts, cel.Variable(v.name, typ))
	}
	return env.Extend(append(opts, cel.CustomTypeProvider(provider))...)
}

// lookExpr is an expression of a look-up, compiled for changes of a table.
type lookExpr struct {
	vars []lookVar
	byOp [maxOps]*lookProgram
	typ  typ // of a part of a key
	out  *types.Type
	tree *typer
}

// lookProgram is one for an operation.
type lookProgram struct {
	eval  cel.Program
	reads [2][]int            // columns of before and after
	rows  map[string][]string // and of rows that were looked up

	image, column int // what it is, if it is nothing but a column; else image is -1

	err error // it does not fit: what every change gets
}

// compile compiles an expression for every operation of the rule. Findings are what is wrong and what is worth saying; where
// something is wrong, the program says so for every change.
func (s *lookSite) compile(at strictyaml.Place, text string, vars []lookVar, condition bool) (lookExpr, Findings) {
	x := lookExpr{vars: vars}
	env, err := withVars(s.env, vars)
	if err != nil {
		return x, Findings{at.Error(codeCEL, "the expression language cannot be set up: "+err.Error())}
	}
	var found Findings
	passes := [][]cdc.Op{s.rule.On}
	if s.rule.Where != "" && len(vars) == 0 { // in the key of a rule on rows, row is the row as it is, or was
		passes = [][]cdc.Op{nil, nil}
		for _, op := range s.rule.On {
			after := map[bool]int{true: 1}[hasImage(op, 1)]
			passes[after] = append(passes[after], op)
		}
	}
	for after, ops := range passes {
		if len(ops) == 0 {
			continue
		}
		parsed, e := parseExpr(text, at)
		if e != nil {
			return x, Findings{e}
		}
		if parsed.lang = s.rule.lang; len(passes) > 1 {
			parsed.onImage(images[after])
		}
		found = append(found, s.compileFor(&x, env, parsed, ops, condition)...)
	}
	if len(passes) > 1 {
		found = inRowWords(found)
	}
	return x, found
}

// compileFor compiles a parsed expression for some operations.
func (s *lookSite) compileFor(x *lookExpr, env *cel.Env, parsed *expr, ops []cdc.Op, condition bool) (found Findings) {
	c := newTyper(parsed, s.table)
	for _, v := range x.vars {
		t := typ{}
		switch {
		case v.table != nil && v.many:
			t = typ{class: list, elem: row, table: v.table}
		case v.table != nil:
			t = typ{class: row, table: v.table}
		}
		c.vars = append(c.vars, scoped{v.name, t})
	}
	rows := parsed.rowReads(namesOf(x.vars)...)
	c.findGuards()
	if x.typ = c.visit(c.tree); condition {
		c.truth(c.tree, x.typ)
	}
	x.tree = c
	found = append(c.errs, c.warnings...)
	broken := s.stale(x, found)
	var trees [maxOps]ast.Expr
	for _, op := range ops {
		p := &lookProgram{image: -1, rows: rows, err: broken}
		x.byOp[op] = p
		trees[op] = c.foldFor(op)
		switch e := c.emptyRead(trees[op], op); {
		case broken != nil:
		case e != nil:
			p.err = cdc.Errorf(codeEval, "'%s' is empty on %s", e.AsSelect().Operand().AsIdent(), op).
				WithFix("ask first: %s != null && …, or change 'on' of the rule", e.AsSelect().Operand().AsIdent())
		default:
			f := p.plan(x, c, env, trees[op], condition)
			found = append(found, f...)
			p.err = s.stale(x, f)
		}
	}
	only := *s.rule
	only.On = ops
	return append(found, c.emptyImages(trees, &only)...)
}

func namesOf(vars []lookVar) []string {
	names := make([]string, len(vars))
	for i, v := range vars {
		names[i] = v.name
	}
	return names
}

// stale is the error of a rule that does not fit its tables (any more).
func (s *lookSite) stale(x *lookExpr, found Findings) error {
	tables := []string{s.table.String()}
	for _, v := range x.vars {
		if v.table != nil {
			tables = append(tables, v.table.String())
		}
	}
	for _, f := range found {
		if f.Warning {
			continue
		}
		e := cdc.Errorf(codeStale, "the rule does not fit %s as it is now: %s", strings.Join(tables, " with "), f.Msg)
		if f.Suggestion != "" {
			e = e.WithFix("%s", f.Suggestion)
		}
		return e
	}
	return nil
}

// plan makes the program of a tree that was folded for an operation.
func (p *lookProgram) plan(x *lookExpr, c *typer, env *cel.Env, tree ast.Expr, condition bool) Findings {
	if sel := tree; sel.Kind() == ast.SelectKind && !sel.AsSelect().IsTestOnly() && imageOf(sel.AsSelect().Operand()) >= 0 && !condition {
		p.image, p.column = imageOf(sel.AsSelect().Operand()), c.table.Column(sel.AsSelect().FieldName())
	}
	check := c.checkedValue
	if condition {
		check = c.checked
	}
	checked, found := check(env, tree)
	if found != nil {
		return found
	}
	x.out = checked.OutputType()
	p.reads, _ = imageReads(checked.NativeRep().Expr(), c.table)
	estimate, err := env.EstimateCost(checked, sizes{c.table})
	counted := err != nil || estimate.Max > plainCost
	if p.eval, err = plan(env, checked.NativeRep(), counted); err != nil {
		return Findings{c.place.Error(codeType, "the expression cannot be planned: "+clip(err.Error()))}
	}
	return nil
}

// value evaluates a part of a key.
func (p *lookProgram) value(s *lookSite, e cdc.Event) (cdc.Value, error) {
	switch {
	case p == nil: // the rule is not for such changes, and has not matched this one
		return cdc.Value{}, fmt.Errorf("the rule is not for %ss", e.Op())
	case p.err != nil:
		return cdc.Value{}, p.err
	case p.image >= 0:
		v := [...]cdc.Row{e.Before(), e.After()}[p.image].Value(p.column)
		if v.IsAbsent() {
			return v, p.explain(absentError{s.table.Columns[p.column].Name}, s.see(e))
		}
		return v, nil
	}
	a := s.see(e)
	a.vars = a.vars[:0]
	out, _, err := p.eval.Eval(a)
	if err != nil {
		return cdc.Value{}, p.explain(err, a)
	}
	v, ok := keyValue(out)
	if !ok {
		return v, cdc.Errorf(codeAnswer, "the expression gave %s, which no column can be compared with", clip(fmt.Sprint(out.Value())))
	}
	return v, nil
}

// keyValue returns what an expression gave as what a column is compared with.
func keyValue(v ref.Val) (cdc.Value, bool) {
	switch v := v.(type) {
	case types.Null:
		return cdc.NullValue(), true
	case *types.Optional:
		if !v.HasValue() {
			return cdc.NullValue(), true
		}
		return keyValue(v.GetValue())
	case types.Bool:
		return cdc.BoolValue(bool(v)), true
	case types.Int:
		return cdc.Int64Value(int64(v)), true
	case types.Uint:
		return cdc.Uint64Value(uint64(v)), true
	case types.Double:
		return cdc.Float64Value(float64(v)), true
	case decimal:
		return cdc.TextValue(cdc.KindDecimal, string(v)), true
	case types.String:
		return cdc.TextValue(cdc.KindString, string(v)), true
	case types.Bytes:
		return cdc.TextValue(cdc.KindBytes, string(v)), true
	case types.Timestamp:
		return cdc.TimestampValue(v.UnixMicro()), true
	}
	return cdc.Value{}, false
}

// truth evaluates a condition.
func (x *lookExpr) truth(s *lookSite, e cdc.Event) (bool, error) {
	p := x.byOp[e.Op()&(maxOps-1)]
	if p == nil {
		return false, fmt.Errorf("the rule is not for %ss", e.Op())
	}
	if p.err != nil {
		return false, p.err
	}
	out, _, err := p.eval.Eval(&s.activation)
	if err != nil {
		return false, p.explain(err, &s.activation)
	}
	yes, ok := out.(types.Bool)
	if !ok {
		return false, cdc.Errorf(codeAnswer, "the condition gave %s, not true or false", clip(fmt.Sprint(out.Value())))
	}
	return bool(yes), nil
}

// explain says in plain words why an expression failed on a change and what was looked up for it.
func (p *lookProgram) explain(err error, a *lookActivation) error {
	var nulls []string
	for _, v := range a.vars {
		m, _ := v.val.(*image)
		for _, column := range p.rows[v.name] {
			if v.val == types.NullValue {
				return wrap(err, codeEval, "look-up %s found no row, and the condition reads %s%s", v.name, v.name, selector(column)).
					WithFix("ask first: %s != null && …, or write missing: drop in the look-up", v.name)
			}
			if m == nil {
				continue
			}
			if i := m.row.Table().Column(column); i >= 0 && m.row.Kind(i) == cdc.KindNull {
				nulls = append(nulls, v.name+selector(column))
			}
		}
	}
	var own *cdc.Error
	if len(nulls) > 0 && strings.HasPrefix(err.Error(), "no such overload") && !errors.As(err, &own) {
		return wrap(err, codeEval, "the condition cannot use NULL: %s", some(nulls, "and")+isNullText(len(nulls))).WithFix("ask first: %s != null && …", nulls[0])
	}
	return (&condition{reads: p.reads}).explain(err, &a.activation)
}

// lookActivation is what CEL is told of a change and of what was looked up for it.
type lookActivation struct {
	activation
	vars []boundVar
}

type boundVar struct {
	name string
	val  ref.Val
}

// ResolveName returns a variable.
func (a *lookActivation) ResolveName(name string) (any, bool) {
	for _, v := range a.vars {
		if v.name == name {
			return v.val, true
		}
	}
	return a.activation.ResolveName(name)
}

// forget lets go of the change and of what was looked up for it.
func (a *lookActivation) forget() {
	clear(a.vars)
	a.vars = a.vars[:0]
	a.activation.forget()
}

// Parent returns nil: there is nothing around a change.
func (a *lookActivation) Parent() interpreter.Activation { return nil }
