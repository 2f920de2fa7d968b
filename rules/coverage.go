package rules

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Coverage says what the tests of a rule have shown of its condition.
type Coverage struct {
	Rule  string `json:"rule"`
	Tests int    `json:"tests"`
	Parts []Part `json:"parts"` // in the order of the condition, the whole first; none when there is no condition
}

// Part is a sub-expression that is true or false, with how many events of the tests made it what. The plugin of a rule is a
// part like others, the last one, if it can be asked: true is what it keeps.
type Part struct {
	Text   string `json:"text"`
	From   int    `json:"from"` // bytes [From, To) of the condition's text
	To     int    `json:"to"`
	True   int    `json:"true"`
	False  int    `json:"false"`
	Failed int    `json:"failed"`
}

// Seen returns how many of the outcomes of all parts the tests have shown, and how many there are: each part can be
// true and false. That it can fail besides is counted, but not asked for.
func (c *Coverage) Seen() (seen, of int) {
	for _, p := range c.Parts {
		of += 2
		if p.True > 0 {
			seen++
		}
		if p.False > 0 {
			seen++
		}
	}
	return seen, of
}

// Coverage runs the tests of each rule and says which parts of the conditions they have seen true, and false. Parts count
// whether the others needed them or not. Findings are warnings, one for each part that was never one of both. looked are as in
// [Set.Check].
func (s *Set) Coverage(tables []*cdc.Table, looked ...*cdc.Table) ([]Coverage, Findings) {
	var all []Coverage
	var found Findings
	for _, r := range s.rules {
		c, f := r.coverage(tables, looked, s.ask)
		all, found = append(all, c), append(found, f...)
	}
	return all, found
}

func (r *Rule) coverage(tables, looked []*cdc.Table, ask Ask) (Coverage, Findings) {
	c := Coverage{Rule: r.Name, Tests: len(r.tests), Parts: []Part{}}
	key, text := "when", r.When
	if r.Where != "" {
		key, text = "where", r.Where
	}
	asks := r.Filter != nil && ask != nil
	place := r.place.At(key)
	at := map[[2]int]int{} // index in Parts
	if x, bad := parseExpr(text, place); text != "" && bad == nil {
		for _, span := range x.conditions() {
			if _, ok := at[span]; !ok {
				at[span] = len(c.Parts)
				c.Parts = append(c.Parts, Part{Text: oneLine(text[span[0]:span[1]]), From: span[0], To: span[1]})
			}
		}
	}
	var plugin Part
	looks := r.lookParts()
	if len(c.Parts) == 0 && !asks && len(looks) == 0 {
		return c, nil
	}
	run := testRun{rule: r, tables: tables, looked: append(slices.Clip(tables), looked...), programs: map[*cdc.Table][maxOps]*program{}, ask: ask}
	sites := map[*cdc.Table]*site{}
	for i := range r.tests {
		for j := range r.tests[i].steps {
			e, fail := run.event(&r.tests[i].steps[j])
			if fail != nil {
				continue // the test's own failure says so
			}
			if sites[e.Table()] == nil {
				site, err := newSite(e.Table(), r.lang)
				if err != nil {
					continue
				}
				sites[e.Table()] = site
			}
			if !r.isFor(e.Op()) {
				continue
			}
			if asks {
				run.count(&plugin, &r.tests[i].steps[j], e)
			}
			if len(looks) > 0 {
				run.countLooks(looks, &r.tests[i], &r.tests[i].steps[j], e)
			}
			for _, cond := range r.explainConditions(e, sites[e.Table()]) {
				cond.Step.each(0, func(s *Step, _ int) {
					i, ok := at[[2]int{s.From, s.To}]
					if !ok {
						return
					}
					switch s.Truth {
					case IsTrue:
						c.Parts[i].True++
					case IsFalse:
						c.Parts[i].False++
					case Fails, NotNeeded:
						c.Parts[i].Failed++
					}
				})
			}
		}
	}
	var found Findings
	for _, p := range c.Parts {
		if never := p.never("true", "false"); never != "" {
			found = append(found, place.ErrorAt(p.From, p.To, codeUntested, fmt.Sprintf("in the tests of '%s', this is never %s", r.Name, never)).Warn())
		}
	}
	if asks {
		plugin.Text = "plugin " + r.Filter.Plugin
		c.Parts = append(c.Parts, plugin)
		if never := plugin.never("keeps", "drops"); never != "" {
			found = append(found, r.place.At("filter", "plugin").Error(codeUntested,
				fmt.Sprintf("in the tests of '%s', the plugin never %s a change", r.Name, never)).Warn())
		}
	}
	for _, p := range looks {
		c.Parts = append(c.Parts, p.Part)
		if never := p.never("true", "false"); never != "" {
			found = append(found, p.place.Error(codeUntested, fmt.Sprintf("in the tests of '%s', '%s' is never %s", r.Name, p.key, never)).Warn())
		}
	}
	return c, found
}

// lookPart is a condition on what was looked up.
type lookPart struct {
	Part
	look  int    // of which look-up; -1: having, of all
	key   string // as rule files have it
	place strictyaml.Place
}

// lookParts returns the conditions on what the rule looks up.
func (r *Rule) lookParts() []*lookPart {
	var parts []*lookPart
	add := func(look int, key, text string, place strictyaml.Place) {
		if text != "" {
			parts = append(parts, &lookPart{Part{Text: key + ": " + oneLine(text)}, look, key, place})
		}
	}
	for n, l := range r.Lookups {
		add(n, "where of "+l.Name, l.Where, r.place.At("lookup", l.Name, "where"))
	}
	add(-1, "having", r.Having, r.place.At("having"))
	return parts
}

func (p *Part) add(yes bool, err error) {
	switch {
	case err != nil:
		p.Failed++
	case yes:
		p.True++
	default:
		p.False++
	}
}

// countLooks counts what the conditions make of the rows that a test has for a change that comes to its look-ups.
func (run *testRun) countLooks(parts []*lookPart, f *fixture, s *fixtureStep, e cdc.Event) {
	match, fail, err := run.judge(s, e)
	if fail == nil && err == nil && len(match) > 0 && run.rule.Filter != nil {
		match, fail, err = run.askPlugin("", s, e, match[0])
	}
	if fail != nil || err != nil || len(match) == 0 {
		return
	}
	rows, fail, err := run.rowsFor("", f, s, e)
	if fail != nil || err != nil { // the test's own failure says so
		return
	}
	site, err := run.looker.site(e.Table())
	if err != nil {
		return
	}
	defer site.activation.forget()
	found := make([][]cdc.Row, len(rows))
	for n, l := range run.rule.Lookups {
		for _, p := range parts {
			for i := range rows[n].Rows {
				if p.look == n {
					satisfying, err := site.where(e, n, rows[n].Rows[i:i+1], true)
					p.add(len(satisfying) > 0, err)
				}
			}
		}
		if found[n], err = run.looker.counting(site, e, n, rows[n].Rows); err != nil || len(found[n]) == 0 && l.Missing != MissingNull {
			return
		}
	}
	if p := parts[len(parts)-1]; p.look < 0 {
		p.add(site.having(e, found))
	}
}

// never says which of its two outcomes the tests have not shown; "" when they have shown both.
func (p *Part) never(yes, no string) string {
	switch {
	case p.True == 0 && p.False == 0:
		return yes + " or " + no
	case p.True == 0:
		return yes
	case p.False == 0:
		return no
	}
	return ""
}

// count asks the plugin about an event, if the condition lets it through.
func (run *testRun) count(p *Part, s *fixtureStep, e cdc.Event) {
	match, fail, err := run.judge(s, e)
	if fail != nil || err != nil || len(match) == 0 {
		return
	}
	match, fail, err = run.askPlugin("", s, e, match[0])
	switch {
	case fail != nil: // the test's own failure says so
	case err != nil:
		p.Failed++
	case len(match) > 0:
		p.True++
	default:
		p.False++
	}
}

// conditions returns the spans of an expression's parts that are conditions, as far as can be told from how it is
// written: what && and || and ! and ?: join.
func (x *expr) conditions() [][2]int {
	spans, calls := x.spans()
	var out [][2]int
	var visit func(e ast.Expr, joined string)
	visit = func(e ast.Expr, joined string) {
		fn := calls[e.ID()]
		if (fn != joined || fn == "") && e.Kind() != ast.LiteralKind {
			out = append(out, spans[e.ID()])
		}
		if e.Kind() != ast.CallKind {
			return
		}
		args := e.AsCall().Args()
		switch fn {
		case operators.LogicalAnd, operators.LogicalOr:
			for _, arg := range args {
				visit(arg, fn)
			}
		case operators.LogicalNot:
			visit(args[0], "")
		case operators.Conditional:
			for _, arg := range args {
				visit(arg, "")
			}
		}
	}
	visit(x.tree, "")
	return out
}

// isFor reports whether the rule is for an operation.
func (r *Rule) isFor(op cdc.Op) bool {
	for _, on := range r.On {
		if on == op {
			return true
		}
	}
	return false
}
