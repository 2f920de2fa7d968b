package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
)

// Set is a set of rules. It is immutable, but for what it remembers of the tables it has seen, and may be used by many
// goroutines at once.
type Set struct {
	rules  []*Rule
	digest string
	plans  *plans
}

// New makes a set of the rules of one or more files. Two rules of one name are an error of type [Findings].
func New(rs []*Rule) (*Set, error) {
	byName := map[string]*Rule{}
	var errs Findings
	for _, r := range rs {
		if first, ok := byName[r.Name]; ok {
			errs = append(errs, r.place.At("name").Error(codeDuplicate, fmt.Sprintf("there are two rules '%s'", r.Name)).
				Hint("the first is at %s", first.place.At("name").Pos()))
			continue
		}
		byName[r.Name] = r
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return newSet(slices.Clone(rs)), nil
}

func newSet(rs []*Rule) *Set {
	return &Set{rules: rs, digest: digestOf(rs), plans: newPlans(rs)}
}

// digestOf hashes the versions of all rules, in the order of their names: that is not the order of files and lines.
func digestOf(rs []*Rule) string {
	lines := make([]string, len(rs))
	for i, r := range rs {
		lines[i] = r.Version + " " + r.Name + "\n"
	}
	slices.Sort(lines)
	return digest("rules\n" + strings.Join(lines, ""))
}

// Digest returns "sha256:…" over all that decides in all rules. The layout of files, comments, descriptions and tests do
// not change it.
func (s *Set) Digest() string { return s.digest }

// Rules returns the rules in the order they were given, which is the order of matches. The slice must not be changed.
func (s *Set) Rules() []*Rule { return s.rules }

// Feeds returns the feeds that rules name, in order. Rules that are off count: their feeds must be configured too.
func (s *Set) Feeds() []string {
	var feeds []string
	for _, r := range s.rules {
		feeds = append(feeds, r.To...)
	}
	return sorted(feeds)
}

// Only returns the set of the rules that deliver to one of the feeds, or would if they were active, and of those that
// watch for no feed at all.
func (s *Set) Only(feeds ...string) *Set {
	var rs []*Rule
	for _, r := range s.rules {
		if r.Mode == Shadow && len(r.To) == 0 || slices.ContainsFunc(r.To, func(feed string) bool { return slices.Contains(feeds, feed) }) {
			rs = append(rs, r)
		}
	}
	return newSet(rs)
}

// Decide judges one event. It is pure: the same event gets the same decision, whenever and wherever. It sets Event,
// Matches and Errors of the decision; both slices are immutable.
//
// The rules are compiled when a table is first seen, which takes about a tenth of a millisecond for each that names
// it; a rule that does not fit the table as it is in the event is an error of all of the table's events.
func (s *Set) Decide(e cdc.Event) cdc.Decision {
	d := cdc.Decision{Event: e}
	t := e.Table()
	p := s.plans.of(t)
	programs := p.byOp[e.Op()&(maxOps-1)]
	if len(programs) == 0 {
		return d
	}
	if e.Incomplete() { // even a rule that reads nothing would deliver a row with holes
		for _, prog := range programs {
			d.Errors = append(d.Errors, prog.failed(errIncomplete))
		}
		return d
	}
	var a *activation
	for _, prog := range programs {
		if a == nil && prog.looks() {
			a = p.activation(e)
		}
		match, err := prog.judge(a)
		switch {
		case err != nil:
			d.Errors = append(d.Errors, prog.failed(err))
		case match == nil:
		case d.Matches == nil:
			d.Matches = match
		default:
			d.Matches = append(d.Matches[:len(d.Matches):len(d.Matches)], match...)
		}
	}
	if a != nil {
		p.release(a)
	}
	return d
}

var errIncomplete = cdc.Errorf(codeLarge, "the change is larger than the bus can carry and was captured without its largest values").
	WithFix("read the row again by its key from the table, or its transaction from the binlog; `cdcd errors %s` tells how", codeLarge)

// looks reports whether the program looks at the event.
func (p *program) looks() bool { return p.eval != nil || p.where != [2]*program{} }

// judge returns the program's match of an event, which is one or nil. a may be nil if the program does not look.
func (p *program) judge(a *activation) ([]cdc.RuleMatch, error) {
	if p.where != [2]*program{} {
		return p.judgeRow(a)
	}
	yes, err := p.holds(a)
	if !yes || err != nil {
		return nil, err
	}
	return p.match, nil
}

// holds evaluates the condition.
func (p *program) holds(a *activation) (bool, error) {
	if p.eval == nil {
		return p.err == nil && !p.never, p.err
	}
	out, _, err := p.eval.Eval(a)
	if err != nil {
		return false, p.explain(err, a)
	}
	answer, ok := out.(types.Bool)
	if !ok {
		return false, cdc.Errorf(codeAnswer, "the condition gave %s, not true or false", clip(fmt.Sprint(out.Value())))
	}
	return bool(answer), nil
}

// failed makes an error of the rule. A rule that only watches must not stop or divert anything.
func (p *program) failed(err error) cdc.RuleError {
	e := cdc.RuleError{Rule: p.match[0], OnError: p.rule.OnError, Err: err}
	if p.rule.Mode == Shadow {
		e.OnError = cdc.Skip
	}
	return e
}

// explain says in plain words why a condition failed on an event.
func (p *program) explain(err error, a *activation) error {
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
		if nulls := a.nulls(p.reads); len(nulls) > 0 {
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

// activation is what one evaluation knows of the event.
type activation struct {
	before, after image
	op, table     ref.Val
	event         cdc.Event
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

// tablePlan is what the rules make of one table.
type tablePlan struct {
	table *cdc.Table
	byOp  [maxOps][]*program // without those that never match
	name  ref.Val
	pool  sync.Pool // of *activation
}

var opVals = func() (vals [maxOps]ref.Val) {
	for op := range cdc.Op(maxOps) {
		vals[op] = types.String(op.String())
	}
	return vals
}()

func (p *tablePlan) activation(e cdc.Event) *activation {
	a, _ := p.pool.Get().(*activation)
	if a == nil {
		a = &activation{table: p.name}
	}
	a.event, a.op = e, opVals[e.Op()&(maxOps-1)]
	a.before.reset(e.Before(), len(p.table.Columns))
	a.after.reset(e.After(), len(p.table.Columns))
	return a
}

// release forgets the event, so that a pooled activation keeps no frame alive.
func (p *tablePlan) release(a *activation) {
	a.event = cdc.Event{}
	a.before.reset(cdc.Row{}, 0)
	a.after.reset(cdc.Row{}, 0)
	p.pool.Put(a)
}

// plans remembers the plan of each table. Lookups take no lock.
type plans struct {
	rules []*Rule
	known atomic.Pointer[sync.Map] // *cdc.Table → *tablePlan

	mu     sync.Mutex
	n      int                     // guarded by mu: entries of known
	byName map[string][]*tablePlan // guarded by mu: the definitions seen of each table
}

// Bounds of what is remembered. Batches that were opened without a [cdc.Tables] have a table pointer of their own each.
const (
	maxPointers    = 10_000
	maxDefinitions = 16 // of one table
)

func newPlans(rs []*Rule) *plans {
	p := &plans{rules: rs, byName: map[string][]*tablePlan{}}
	p.known.Store(&sync.Map{})
	return p
}

func (ps *plans) of(t *cdc.Table) *tablePlan {
	if p, ok := ps.known.Load().Load(t); ok {
		return p.(*tablePlan)
	}
	return ps.learn(t)
}

// learn returns the plan of a table whose pointer has not been seen, compiling only if its definition has not either.
func (ps *plans) learn(t *cdc.Table) *tablePlan {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	known := ps.known.Load()
	if p, ok := known.Load(t); ok {
		return p.(*tablePlan)
	}
	name := t.String()
	i := slices.IndexFunc(ps.byName[name], func(p *tablePlan) bool { return sameTable(p.table, t) })
	var p *tablePlan
	if i >= 0 {
		p = ps.byName[name][i]
	} else {
		p, _ = newTablePlan(ps.rules, t)
		if len(ps.byName[name]) >= maxDefinitions {
			ps.byName[name] = nil
		}
		if len(ps.byName) >= maxPointers {
			clear(ps.byName)
		}
		ps.byName[name] = append(ps.byName[name], p)
	}
	if ps.n >= maxPointers {
		known = &sync.Map{}
		ps.known.Store(known)
		ps.n = 0
	}
	ps.n++
	known.Store(t, p)
	return p
}

// sameTable reports whether two tables look the same to rules.
func sameTable(a, b *cdc.Table) bool {
	return a.Schema == b.Schema && a.Name == b.Name && slices.EqualFunc(a.Columns, b.Columns, func(x, y cdc.Column) bool {
		return x.Name == y.Name && x.Type == y.Type && x.Kind == y.Kind && x.Nullable == y.Nullable && x.Unsigned == y.Unsigned &&
			x.Float32 == y.Float32 && x.Fsp == y.Fsp && x.Precision == y.Precision && x.Scale == y.Scale && slices.Equal(x.Members, y.Members)
	})
}

// newTablePlan compiles the rules that name a table. Rules that are off are compiled for their findings only.
func newTablePlan(rs []*Rule, t *cdc.Table) (*tablePlan, Findings) {
	p := &tablePlan{table: t, name: types.String(t.String())}
	env, err := tableEnv(t)
	var found Findings
	for _, r := range rs {
		if !r.names(t) {
			continue
		}
		programs := [maxOps]*program{}
		if err == nil {
			var f Findings
			programs, f = compile(r, env, t)
			if r.Mode == Draft {
				for _, one := range f {
					one.Warn()
				}
			}
			found = append(found, f...)
		}
		if r.Mode == Off || r.Mode == Draft {
			continue
		}
		for _, op := range r.On {
			prog := programs[op]
			if err != nil {
				prog = &program{rule: r, match: []cdc.RuleMatch{{Name: r.Name, Version: r.Version}}, err: err}
			}
			if !prog.never {
				p.byOp[op] = append(p.byOp[op], prog)
			}
		}
	}
	return p, found
}

// names reports whether the rule names the table.
func (r *Rule) names(t *cdc.Table) bool {
	return slices.ContainsFunc(r.tables, func(g cdc.TableGlob) bool { return g.Match(t.Schema, t.Name) })
}

// Check compiles every rule against every table that it names. tables are all that the source captures. The findings
// are in the order of the files; the error is nil when they are only warnings, else it is those findings.
func (s *Set) Check(tables []*cdc.Table) (Findings, error) {
	var found Findings
	said := map[string]bool{}
	add := func(f *Finding) {
		key := fmt.Sprint(f.File, f.Line, f.Col, f.Code, f.Msg)
		if !said[key] && len(found) < 10*maxFindings { // a glob names many tables with the same mistake
			said[key] = true
			found = append(found, f)
		}
	}
	for _, t := range tables {
		_, f := newTablePlan(s.rules, t)
		for _, one := range f {
			add(one)
		}
	}
	for _, r := range s.rules {
		s.checkTables(r, tables, add)
		if f := r.unseen(); f != nil {
			add(f)
		}
	}
	found.Sort()
	return found, found.Err()
}

// checkTables says which of a rule's patterns name no table.
func (s *Set) checkTables(r *Rule, tables []*cdc.Table, add func(*Finding)) {
	for i, g := range r.tables {
		if slices.ContainsFunc(tables, func(t *cdc.Table) bool { return g.Match(t.Schema, t.Name) }) {
			continue
		}
		f := r.place.At("tables", i).Error(codeNoTable, fmt.Sprintf("no known table is called '%s'", g.String())).Warn()
		names := make([]string, len(tables))
		for j, t := range tables {
			names[j] = t.String()
		}
		if near, ok := nearest(g.String(), names); ok {
			f.Hint("did you mean '%s'?", near)
		} else {
			f.Hint("the rule matches nothing until there is one")
		}
		add(f)
	}
}
