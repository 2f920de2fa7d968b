package rules

import (
	"slices"
	"sync"
	"sync/atomic"

	"cel.dev/cel-go/cel"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// Decide judges one event. It is pure: the same event gets the same decision, whenever and wherever. It sets Event,
// Matches and Errors of the decision; both slices are immutable.
//
// The rules are compiled when a table is first seen, which takes some tenths of a millisecond for each that names
// it (see [Set.After]); a rule that does not fit the table as it is in the event is an error of all of the table's
// events. What an event costs afterwards depends on how many rules it comes close to, not on how many there are.
func (s *Set) Decide(e cdc.Event) cdc.Decision {
	d := cdc.Decision{Event: e}
	p := s.plans.of(e.Table()).op(e.Op())
	if p == nil {
		return d
	}
	if e.Incomplete() { // even a rule that reads nothing would deliver a row with holes
		for _, prog := range p.programs {
			d.Errors = append(d.Errors, prog.failed(errIncomplete))
		}
		return d
	}
	j := p.judge(e)
	if found := p.index.Match(e, &j.scratch, j); len(found) > 0 {
		p.decide(&d, found, j)
	}
	p.release(j)
	return d
}

var errIncomplete = cdc.Errorf(codeLarge, "the change is larger than the bus can carry and was captured without its largest values").
	WithFix("read the row again by its key from the table, or its transaction from the binlog; `cdcd errors %s` tells how", codeLarge)

// opPlan is what the rules make of one operation on one table.
type opPlan struct {
	programs []*program // in the order of the rules
	entries  []entry    // of the index, by the number of their formula
	index    *match.Index
	asks     map[int]cel.Program
	judges   sync.Pool
}

// entry is a condition of a program. Programs on rows have up to two, which follow each other.
type entry struct {
	program   *program
	condition *program
	image     int
}

func newOpPlan(t *cdc.Table, programs []*program) *opPlan {
	p := &opPlan{programs: programs, asks: map[int]cel.Program{}}
	var formulas []*match.Formula
	add := func(e entry) {
		p.entries = append(p.entries, e)
		formulas = append(formulas, e.condition.formula())
		if e.condition.when != nil {
			for _, r := range e.condition.when.asks {
				p.asks[r.number] = r.eval
			}
		}
	}
	for _, prog := range programs {
		if !prog.onRows() {
			add(entry{prog, prog, 0})
			continue
		}
		for i, condition := range prog.where {
			if condition != nil {
				add(entry{prog, condition, i})
			}
		}
	}
	p.index = match.New(t, formulas)
	return p
}

func (p *opPlan) judge(e cdc.Event) *judge {
	j, _ := p.judges.Get().(*judge)
	if j == nil {
		j = &judge{programs: p.asks}
	}
	j.event = e
	return j
}

func (p *opPlan) release(j *judge) {
	j.forget()
	p.judges.Put(j)
}

// decide puts what the index found into the decision.
func (p *opPlan) decide(d *cdc.Decision, found []match.Result, j *judge) {
	own := false // the slice is the decision's, not the program's
	for len(found) > 0 {
		n := 1
		prog := p.entries[found[0].Formula].program
		if len(found) > 1 && p.entries[found[1].Formula].program == prog {
			n = 2
		}
		m, err := p.outcome(found[:n], j)
		found = found[n:]
		switch {
		case err != nil:
			d.Errors = append(d.Errors, prog.failed(err))
		case d.Matches == nil:
			d.Matches = m
		case !own:
			d.Matches = append(append(make([]cdc.RuleMatch, 0, 2+len(found)), d.Matches...), m...)
			own = true
		default:
			d.Matches = append(d.Matches, m...)
		}
	}
}

// outcome returns the match of one program, of the conditions of which found are those that are not false.
//
// A failure on either row image is one of the rule: a row whose way into or out of the filter is not known must not be
// delivered as if it were.
func (p *opPlan) outcome(found []match.Result, j *judge) ([]cdc.RuleMatch, error) {
	prog := p.entries[found[0].Formula].program
	outcome := 0
	for _, r := range found {
		e := &p.entries[r.Formula]
		if r.Truth != match.True {
			return nil, e.program.why(e.condition, j)
		}
		outcome |= 1 << e.image
	}
	if prog.onRows() {
		return prog.changes[outcome], nil
	}
	return prog.match, nil
}

// onRows reports whether the program is of a rule with `where`.
func (p *program) onRows() bool { return p.where != [2]*program{} }

// alone judges one event, outside of a plan.
func (p *program) alone(e cdc.Event) ([]cdc.RuleMatch, error) {
	plan := newOpPlan(e.Table(), []*program{p})
	d := cdc.Decision{Event: e}
	j := plan.judge(e)
	plan.decide(&d, plan.index.Match(e, &j.scratch, j), j)
	if len(d.Errors) > 0 {
		return nil, d.Errors[0].Err
	}
	return d.Matches, nil
}

// formula returns what the program asks of an event.
func (p *program) formula() *match.Formula {
	switch {
	case p.err != nil:
		return always(match.Failed)
	case p.never:
		return always(match.False)
	case p.when == nil:
		return always(match.True)
	}
	return p.when.formula
}

// why returns why a condition of the program failed on the event.
func (p *program) why(condition *program, j *judge) error {
	if condition.err != nil {
		return condition.err
	}
	err := condition.when.failure(j)
	if p != condition {
		err = rowError(err)
	}
	return err
}

// failed makes an error of the rule. A rule that only watches must not stop or divert anything.
func (p *program) failed(err error) cdc.RuleError {
	e := cdc.RuleError{Rule: p.match[0], OnError: p.rule.OnError, Err: err}
	if p.rule.Mode == Shadow {
		e.OnError = cdc.Skip
	}
	return e
}

// site is a table as conditions are compiled for it, and what was compiled.
type site struct {
	table     *cdc.Table
	env       *cel.Env
	lints     bool // conditions are compiled for what is found in them
	residuals residuals

	mu       sync.Mutex
	programs map[string][maxOps]*program // guarded by mu: of rules, by what they are
	plains   map[string]*plain           // guarded by mu
}

func newSite(t *cdc.Table, lang *Language) (*site, error) {
	env, err := tableEnv(t, lang)
	return &site{table: t, env: env, residuals: residuals{known: map[string]*residual{}}, programs: map[string][maxOps]*program{}, plains: map[string]*plain{}}, err
}

// next returns a site of the same table for other rules, with what was compiled of those that are the same.
func (s *site) next(rs []*Rule) *site {
	n := &site{table: s.table, env: s.env, residuals: residuals{known: map[string]*residual{}, last: s.residuals.last},
		programs: make(map[string][maxOps]*program, len(rs)), plains: map[string]*plain{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		key := r.key()
		byOp, ok := s.programs[key]
		if !ok {
			continue
		}
		n.programs[key] = byOp
		for i, prog := range byOp {
			if prog == nil || i > 0 && prog == byOp[i-1] {
				continue
			}
			for _, condition := range [...]*program{prog, prog.where[0], prog.where[1]} {
				if condition != nil && condition.when != nil {
					n.residuals.keep(condition.when.asks)
				}
			}
		}
	}
	return n
}

// judged reports whether the rule is in a mode in which it judges events.
func (r *Rule) judged() bool { return r.Mode == Active || r.Mode == Shadow }

// key names all that decides in a rule.
func (r *Rule) key() string { return string(rune('0'+r.Mode)) + r.Version }

// tablePlan is what the rules make of one table.
type tablePlan struct {
	site     *site
	programs [maxOps][]*program // without those that never match

	mu  sync.Mutex
	ops [maxOps]atomic.Pointer[opPlan] // made when it is first needed, guarded by mu
}

// op returns the plan of an operation, nil if there is nothing to do.
func (p *tablePlan) op(op cdc.Op) *opPlan {
	op &= maxOps - 1
	if o := p.ops[op].Load(); o != nil || len(p.programs[op]) == 0 {
		return o
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.ops[op].Load(); o != nil {
		return o
	}
	o := newOpPlan(p.site.table, p.programs[op])
	p.ops[op].Store(o)
	return o
}

// newTablePlan compiles those of the rules that name a table and are judged.
func newTablePlan(rs []*Rule, t *cdc.Table, earlier *site) *tablePlan {
	lang := languageOf(rs)
	rs = slices.DeleteFunc(slices.Clone(rs), func(r *Rule) bool { return !r.judged() || !r.names(t) })
	var s *site
	var err error
	if earlier != nil {
		s = earlier.next(rs)
	} else {
		s, err = newSite(t, lang)
	}
	p := &tablePlan{site: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rs {
		key := r.key()
		byOp, ok := s.programs[key]
		if !ok && err == nil {
			byOp, _ = compile(r, s)
			s.programs[key] = byOp
		}
		for _, op := range r.On {
			prog := byOp[op]
			if err != nil {
				prog = &program{rule: r, match: []cdc.RuleMatch{{Name: r.Name, Version: r.Version, Show: r.Show}}, err: err}
			}
			if !prog.never {
				p.programs[op] = append(p.programs[op], prog)
			}
		}
	}
	return p
}

// plans remembers the plan of each table. Lookups take no lock.
type plans struct {
	rules []*Rule
	last  atomic.Pointer[knownTable] // mostly the next event is of the same table
	known atomic.Pointer[sync.Map]   // *cdc.Table → *knownTable

	mu      sync.Mutex
	n       int                     // guarded by mu: entries of known
	byName  map[string][]*tablePlan // guarded by mu: the definitions seen of each table
	earlier map[string][]*site      // guarded by mu: what was compiled for rules before these
}

type knownTable struct {
	table *cdc.Table
	plan  *tablePlan
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

// sites returns what was compiled for the tables that were seen, and what was handed down for others.
func (ps *plans) sites() map[string][]*site {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	out := map[string][]*site{}
	for name, sites := range ps.earlier {
		out[name] = sites
	}
	for name, plans := range ps.byName {
		out[name] = nil
		for _, p := range plans {
			out[name] = append(out[name], p.site)
		}
	}
	return out
}

func (ps *plans) of(t *cdc.Table) *tablePlan {
	if last := ps.last.Load(); last != nil && last.table == t {
		return last.plan
	}
	k, ok := ps.known.Load().Load(t)
	if !ok {
		k = ps.learn(t)
	}
	ps.last.Store(k.(*knownTable))
	return k.(*knownTable).plan
}

// learn makes a table known whose pointer has not been seen, compiling only if its definition has not either.
func (ps *plans) learn(t *cdc.Table) *knownTable {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	known := ps.known.Load()
	if k, ok := known.Load(t); ok {
		return k.(*knownTable)
	}
	name := t.String()
	i := slices.IndexFunc(ps.byName[name], func(p *tablePlan) bool { return sameTable(p.site.table, t) })
	var p *tablePlan
	if i >= 0 {
		p = ps.byName[name][i]
	} else {
		var earlier *site
		if i := slices.IndexFunc(ps.earlier[name], func(s *site) bool { return sameTable(s.table, t) }); i >= 0 {
			earlier = ps.earlier[name][i]
			ps.earlier[name] = slices.Delete(slices.Clone(ps.earlier[name]), i, i+1)
		}
		p = newTablePlan(ps.rules, t, earlier)
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
	k := &knownTable{t, p}
	known.Store(t, k)
	return k
}

// sameTable reports whether two tables look the same to rules.
func sameTable(a, b *cdc.Table) bool {
	return a.Schema == b.Schema && a.Name == b.Name && slices.EqualFunc(a.Columns, b.Columns, func(x, y cdc.Column) bool {
		return x.Name == y.Name && x.Type == y.Type && x.Kind == y.Kind && x.Nullable == y.Nullable && x.Unsigned == y.Unsigned &&
			x.Float32 == y.Float32 && x.Fsp == y.Fsp && x.Precision == y.Precision && x.Scale == y.Scale && slices.Equal(x.Members, y.Members)
	})
}
