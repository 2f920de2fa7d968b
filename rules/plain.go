package rules

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/match"
)

// This file judges events as plainly as it can be done: each condition is a CEL program of its own, without any index,
// with nothing folded and nothing shared. It is what [Set.Decide] has to agree with, and slow.

// plain is a rule's condition as CEL makes it of what is written.
type plain struct {
	eval  cel.Program
	reads [2][]int
}

// maxPlain bounds the plain programs that a table remembers.
const maxPlain = 256

// plain returns the plain program of a rule's condition, on an image if it is one on rows.
func (s *site) plain(r *Rule, op cdc.Op, image int) (*plain, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plainLocked(r, op, image)
}

func (s *site) plainLocked(r *Rule, op cdc.Op, image int) (*plain, error) {
	key := fmt.Sprint(image, r.key())
	for _, key := range [...]string{key, key + op.String()} {
		if p := s.plains[key]; p != nil {
			return p, nil
		}
	}
	x, e := r.parse()
	if e != nil {
		return nil, e
	}
	if r.Where != "" {
		x.onImage(images[image])
	}
	c := newTyper(x, s.table)
	c.check()
	if err := staleError(s.table, c.errs); err != nil {
		return nil, err
	}
	reads, _ := imageReads(c.tree, s.table)
	checked, found := c.checked(s.env, c.tree)
	if found.Err() != nil { // in a part that this operation has no use for, or else the rule has no plan
		key += op.String()
		if checked, found = c.checked(s.env, c.foldFor(op)); found.Err() != nil {
			return nil, staleError(s.table, found)
		}
	}
	var opts []cel.ProgramOption
	if estimate, err := s.env.EstimateCost(checked, sizes{s.table}); err != nil || estimate.Max > plainCost {
		opts = counting
	}
	eval, err := s.env.Program(checked, opts...)
	if err != nil {
		return nil, err
	}
	if len(s.plains) >= maxPlain {
		clear(s.plains)
	}
	p := &plain{eval: eval, reads: reads}
	s.plains[key] = p
	return p, nil
}

// judge evaluates the condition.
func (p *plain) judge(a *activation) (bool, error) {
	out, _, err := p.eval.Eval(a)
	if err != nil {
		return false, (&condition{reads: p.reads}).explain(err, a)
	}
	answer, ok := out.(types.Bool)
	if !ok {
		return false, cdc.Errorf(codeAnswer, "the condition gave %s, not true or false", clip(fmt.Sprint(out.Value())))
	}
	return bool(answer), nil
}

// DecidePlainly decides as [Set.Decide] does, but slowly: it evaluates every rule by itself. It is there to check the
// other. Of an error, the words may differ when several parts of a condition fail.
func (s *Set) DecidePlainly(e cdc.Event) cdc.Decision {
	d := cdc.Decision{Event: e}
	site := s.plans.of(e.Table()).site
	for _, r := range s.rules {
		if !r.judged() || !slices.Contains(r.On, e.Op()) || !r.names(site.table) {
			continue
		}
		prog, m, err := site.judgePlainly(r, e)
		if err != nil {
			d.Errors = append(d.Errors, prog.failed(err))
		} else {
			d.Matches = append(d.Matches, m...)
		}
	}
	return d
}

// judgePlainly returns the rule's match of an event, and its program, which has not been asked.
func (s *site) judgePlainly(r *Rule, e cdc.Event) (*program, []cdc.RuleMatch, error) {
	s.mu.Lock()
	prog := s.programs[r.key()][e.Op()&(maxOps-1)]
	s.mu.Unlock()
	switch {
	case e.Incomplete():
		return prog, nil, errIncomplete
	case prog.err != nil:
		return prog, nil, prog.err
	case r.When == "" && r.Where == "":
		return prog, prog.match, nil
	}
	var a activation
	a.see(e)
	outcome := 0
	for i := range images {
		if r.Where == "" && i == 1 || r.Where != "" && !hasImage(e.Op(), i) {
			continue
		}
		p, err := s.plain(r, e.Op(), i)
		if err != nil {
			return prog, nil, err
		}
		yes, err := p.judge(&a)
		if err != nil {
			return prog, nil, err
		}
		if yes {
			outcome |= 1 << i
		}
	}
	switch {
	case r.Where != "":
		return prog, prog.changes[outcome], nil
	case outcome != 0:
		return prog, prog.match, nil
	}
	return prog, nil, nil
}

// Mismatch is a rule that the index and CEL judge differently. That is a mistake in the index.
type Mismatch struct {
	Rule           cdc.RuleMatch
	Event          cdc.Event
	Index, Plainly string // "match", "no match" or what failed
}

// String returns the mismatch for the log.
func (m Mismatch) String() string {
	return fmt.Sprintf("rule '%s' (%s) on %s: the index says %s, the condition by itself %s", m.Rule.Name, m.Rule.Version, m.Event.ID(), m.Index, m.Plainly)
}

// Verify judges the event of a decision once more, plainly, by at most n of the set's rules: by which of them depends on
// the event alone. It returns those of which the decision says something else. They are taken off the index, so that
// from then on the set judges them plainly.
func (s *Set) Verify(d cdc.Decision, n int) []Mismatch {
	e := d.Event
	plan := s.plans.of(e.Table())
	p := plan.op(e.Op())
	if p == nil || e.Incomplete() {
		return nil
	}
	var out []Mismatch
	first := int(mix(mix(e.No())) % uint64(len(p.programs)))
	for i := range min(n, len(p.programs)) {
		prog := p.programs[(first+i)%len(p.programs)]
		_, m, err := plan.site.judgePlainly(prog.rule, e)
		said, plainly := outcomeOf(d, prog.rule.Name), words(m, err)
		if said.class == plainly.class || said.class == tooCostly || plainly.class == tooCostly {
			continue // folding a condition changes how many steps it takes
		}
		out = append(out, Mismatch{Rule: prog.match[0], Event: e, Index: said.text, Plainly: plainly.text})
		plan.unindex(prog.rule)
	}
	return out
}

// outcome is what became of a rule: its class is what may not differ, its text is for people.
type outcome struct{ class, text string }

const tooCostly = "too costly"

func words(m []cdc.RuleMatch, err error) outcome {
	var own *cdc.Error
	switch {
	case errors.As(err, &own) && own.Code == codeCost:
		return outcome{tooCostly, fmt.Sprintf("that it failed (%v)", err)}
	case err != nil:
		return outcome{"failed", fmt.Sprintf("that it failed (%v)", err)}
	case len(m) == 0:
		return outcome{"no match", "no match"}
	case m[0].Change != "":
		return outcome{m[0].Change, m[0].Change}
	}
	return outcome{"match", "match"}
}

func outcomeOf(d cdc.Decision, rule string) outcome {
	for i, m := range d.Matches {
		if m.Name == rule {
			return words(d.Matches[i:i+1], nil)
		}
	}
	for _, e := range d.Errors {
		if e.Rule.Name == rule {
			return words(nil, e.Err)
		}
	}
	return words(nil, nil)
}

// Sampled reports whether an event is one of every so many: the same whenever it is asked.
func Sampled(e cdc.Event, every uint64) bool { return mix(e.No())%every == 0 }

// mix spreads numbers that follow each other.
func mix(n uint64) uint64 {
	hi, lo := bits.Mul64(n^0x9e3779b97f4a7c15, 0xd1342543de82ef95)
	return hi ^ lo
}

// unindex makes the plan judge a rule plainly from now on.
func (p *tablePlan) unindex(r *Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.site.mu.Lock()
	byOp := p.site.programs[r.key()]
	for op, prog := range byOp {
		if prog != nil {
			byOp[op] = prog.unindexed(p.site, cdc.Op(op))
		}
	}
	p.site.programs[r.key()] = byOp
	p.site.mu.Unlock()
	for op := range p.ops {
		o := p.ops[op].Load()
		if o == nil {
			continue
		}
		programs := slices.Clone(o.programs)
		for i := range programs {
			if programs[i].rule.key() == r.key() {
				programs[i] = byOp[op]
			}
		}
		p.ops[op].Store(newOpPlan(p.site.table, programs))
	}
}

// unindexed returns the program with its conditions as CEL alone.
func (p *program) unindexed(s *site, op cdc.Op) *program {
	plainly := func(of *program, image int) *program {
		if of == nil || of.when == nil && !of.never {
			return of
		}
		c := *of
		pl, err := s.plainLocked(p.rule, op, image)
		if err != nil {
			c.err = err
			return &c
		}
		s.residuals.last++
		r := &residual{number: s.residuals.last, key: fmt.Sprint("plain", s.residuals.last), eval: pl.eval}
		c.never = false
		c.when = &condition{reads: pl.reads, asks: []*residual{r},
			formula: &match.Formula{Op: match.Leaf, Atom: &match.Atom{Test: match.Opaque, Number: r.number}}}
		return &c
	}
	if !p.onRows() {
		return plainly(p, 0)
	}
	c := *p
	for i := range c.where {
		c.where[i] = plainly(c.where[i], i)
	}
	return &c
}
