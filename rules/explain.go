package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Outcome is what becomes of an event with one rule.
type Outcome string

// The outcomes.
const (
	Matched    Outcome = "match"
	NotMatched Outcome = "no_match"
	Failing    Outcome = "error"
	Undecided  Outcome = "undecided"   // the condition lets the event through, and the rule's plugin or its look-ups were not asked
	OtherTable Outcome = "other_table" // the rule does not name the table
	OtherOp    Outcome = "other_op"    // the rule is not for the operation
)

// Explanation says how a rule comes to its outcome on one event: for people in Summary, for programs as a tree.
type Explanation struct {
	Rule       string      `json:"rule"`
	Version    string      `json:"version"`
	Mode       string      `json:"mode"` // of a rule that is off or a draft, the outcome is what it would be
	Outcome    Outcome     `json:"outcome"`
	Change     string      `json:"change,omitempty"` // of rules with where that match: entered, stayed or left
	To         []string    `json:"to,omitempty"`     // the feeds that a match is delivered to
	Summary    string      `json:"summary"`          // one sentence, whose subject is the rule
	Error      *Problem    `json:"error,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"` // one of when; up to two of where: on the row before and on the row after
	Filter     *Judgement  `json:"filter,omitempty"`     // of the plugin, if the rule has one and the condition let the event through
	Lookups    []LookedUp  `json:"lookups,omitempty"`    // of the rule, if it matches so far
}

// Problem is an error of a rule.
type Problem struct {
	Code string `json:"code"`
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

// Condition is what a condition gave on an event.
type Condition struct {
	Key     string   `json:"key"`             // when or where
	Image   string   `json:"image,omitempty"` // of where: before or after
	Text    string   `json:"text"`            // as it stands in the file
	Because []string `json:"because"`         // what made it so, in words: the failing parts of a condition that is false
	Step    Step     `json:"step"`            // the whole of it
}

// Truth is the value of an expression that is a condition; any may fail.
type Truth string

// The truths. A part is not needed when it fails or is left out, and the whole is the same whatever it is.
const (
	IsTrue    Truth = "true"
	IsFalse   Truth = "false"
	Fails     Truth = "failed"
	NotNeeded Truth = "not needed"
)

// Step is a sub-expression with its value. Chains of && and || are one step with many parts.
type Step struct {
	Text    string `json:"text"`              // as it stands in the file
	From    int    `json:"from"`              // bytes [From, To) of the condition's text
	To      int    `json:"to"`                //
	Truth   Truth  `json:"truth,omitempty"`   // of conditions
	Value   string `json:"value,omitempty"`   // of other expressions, as the language writes it
	Decides bool   `json:"decides,omitempty"` // it makes the condition what it is: were it otherwise, so might be the whole
	Error   string `json:"error,omitempty"`   // why it failed
	Steps   []Step `json:"steps,omitempty"`
}

// Explain says how a rule comes to its outcome on an event. The rule may be off. What its plugin makes of the event is only
// known to a set that is [Set.Asking]. CDCD-2133 says that there is no such rule.
func (s *Set) Explain(e cdc.Event, rule string) (Explanation, error) {
	i := slices.IndexFunc(s.rules, func(r *Rule) bool { return r.Name == rule })
	if i < 0 {
		return Explanation{}, s.noRule(rule)
	}
	return explainRules(s.rules[i:i+1], e, s.ask, s.source)[0], nil
}

// noRule says that there is no rule of a name.
func (s *Set) noRule(name string) error {
	err := cdc.Errorf(codeNoRule, "there is no rule '%s'", clip(name))
	names := make([]string, len(s.rules))
	for i, r := range s.rules {
		names[i] = r.Name
	}
	if near, ok := strictyaml.Nearest(name, names); ok {
		return err.WithFix("did you mean '%s'?", near)
	}
	return err
}

// ExplainAll explains every rule, in the order of the set. It takes about a millisecond for each that is for the event.
func (s *Set) ExplainAll(e cdc.Event) []Explanation { return explainRules(s.rules, e, s.ask, s.source) }

func explainRules(rs []*Rule, e cdc.Event, ask Ask, source LookUp) []Explanation {
	judged := make([]*Rule, len(rs))
	for i, r := range rs {
		if judged[i] = r; !r.judged() {
			on := *r
			on.Mode = Shadow
			judged[i] = &on
		}
	}
	d := newSet(judged).Decide(e)
	site, err := newSite(e.Table(), languageOf(rs))
	out := make([]Explanation, len(rs))
	for i, r := range rs {
		out[i] = r.explain(d)
		if x := &out[i]; x.Summary == "" {
			if err == nil && !e.Incomplete() {
				x.Conditions = r.explainConditions(e, site)
			}
			if len(x.Conditions) == 1 && x.Conditions[0].Key == "when" && x.Conditions[0].Step.Truth != x.truth() {
				x.Conditions = nil // the rule does not fit the table or the operation, and so was not evaluated
			}
			if x.Outcome == Failing && !slices.ContainsFunc(x.Conditions, func(c Condition) bool { return c.Step.Truth == Fails }) {
				x.Conditions = nil // nor was it where what it lets see does not fit
			}
			x.Summary = x.sentence(e)
			if r.Filter != nil && x.Outcome == Matched {
				m := d.Matches[slices.IndexFunc(d.Matches, func(m cdc.RuleMatch) bool { return m.Name == r.Name })]
				x.askPlugin(r, ask, m, e)
				x.Summary = x.Filter.sentence(x.Summary, x.Error)
			}
			if len(r.Lookups) > 0 && x.Outcome == Matched {
				m := d.Matches[slices.IndexFunc(d.Matches, func(m cdc.RuleMatch) bool { return m.Name == r.Name })]
				x.lookUp(r, source, m, e)
			}
			switch {
			case !r.judged():
				x.Summary += fmt.Sprintf(" (its mode is %s: it judges nothing)", r.Mode)
			case r.Mode == Shadow:
				x.Summary += " (its mode is shadow: it delivers nothing)"
			}
		}
	}
	return out
}

// explain says what was decided by the rule.
func (r *Rule) explain(d cdc.Decision) Explanation {
	e := d.Event
	x := Explanation{Rule: r.Name, Version: r.Version, Mode: r.Mode.String(), Outcome: NotMatched}
	switch t := e.Table(); {
	case !r.names(t):
		x.Outcome = OtherTable
		x.Summary = fmt.Sprintf("is for %s, and this is a change of %s", some(r.Tables, "or"), t)
		return x
	case !slices.Contains(r.On, e.Op()):
		x.Outcome = OtherOp
		x.Summary = fmt.Sprintf("is for %s, and this is %s", opWords(r.On), article(e.Op()))
		return x
	}
	for _, m := range d.Matches {
		if m.Name == r.Name {
			x.Outcome, x.Change, x.To = Matched, m.Change, m.To
		}
	}
	for _, failed := range d.Errors {
		if failed.Rule.Name == r.Name {
			x.Outcome, x.Error = Failing, problem(failed.Err)
		}
	}
	return x
}

// truth returns what a condition gave whose outcome this is.
func (x *Explanation) truth() Truth {
	return map[Outcome]Truth{Matched: IsTrue, NotMatched: IsFalse, Failing: Fails}[x.Outcome]
}

func problem(err error) *Problem {
	var own *cdc.Error
	if errors.As(err, &own) {
		return &Problem{Code: own.Code, What: own.What, Fix: own.Fix}
	}
	return &Problem{What: err.Error()}
}

// sentence says in words what became of the event.
func (x *Explanation) sentence(e cdc.Event) string {
	because := func(c Condition) string {
		if len(c.Because) == 0 {
			return ""
		}
		return " because " + some(c.Because, "and")
	}
	switch {
	case x.Outcome == Failing:
		return "fails: " + x.Error.What
	case len(x.Conditions) == 0:
		return fmt.Sprintf("has no condition, so it matches every %s of its tables", e.Op())
	case x.Conditions[0].Key == "when" && x.Outcome == Matched:
		return "matches" + because(x.Conditions[0])
	case x.Conditions[0].Key == "when":
		return "does not match" + because(x.Conditions[0])
	}
	var rows []string
	for _, c := range x.Conditions {
		text := map[string]string{beforeVar: "was", afterVar: "is"}[c.Image]
		if c.Step.Truth != IsTrue {
			text += " not"
		}
		text += " in the filter"
		if len(c.Because) > 0 {
			text += " (" + some(c.Because, "and") + ")"
		}
		rows = append(rows, text)
	}
	what := "does not match: the row "
	if x.Outcome == Matched {
		what = fmt.Sprintf("matches, the row %s: it ", x.Change)
	}
	return what + strings.Join(rows, " and ")
}

// some lists things as people do, and not more of them than they read.
func some(things []string, and string) string {
	const most = 4
	if n := len(things); n > most {
		things = append(slices.Clone(things[:most-1]), fmt.Sprintf("%d more", n-most+1))
	}
	n := len(things)
	switch n {
	case 0:
		return ""
	case 1:
		return things[0]
	}
	if slices.ContainsFunc(things, func(s string) bool { return strings.Contains(s, ", ") }) {
		return strings.Join(things[:n-1], "; ") + "; " + and + " " + things[n-1]
	}
	return strings.Join(things[:n-1], ", ") + " " + and + " " + things[n-1]
}

// explainConditions evaluates the rule's conditions with all that is in them. It returns none when there is none, or when
// it does not fit the table.
func (r *Rule) explainConditions(e cdc.Event, site *site) []Condition {
	switch {
	case r.When != "":
		if c, ok := r.explainCondition(e, site, "when", r.When, ""); ok {
			return []Condition{c}
		}
	case r.Where != "":
		var out []Condition
		for i, image := range images {
			if !hasImage(e.Op(), i) {
				continue
			}
			c, ok := r.explainCondition(e, site, "where", r.Where, image)
			if !ok {
				return nil
			}
			out = append(out, c)
		}
		return out
	}
	return nil
}

// explainCondition evaluates a condition; on is the image that a condition on a row is judged on.
func (r *Rule) explainCondition(e cdc.Event, site *site, key, text, on string) (Condition, bool) {
	t := e.Table()
	written, bad := r.parse()
	if bad != nil {
		return Condition{}, false
	}
	parsed, _ := r.parse()
	if on != "" {
		parsed.onImage(on)
	}
	c := newTyper(parsed, t)
	c.check()
	if len(c.errs) > 0 {
		return Condition{}, false
	}
	// As it stands in the file if that can be: what follows from the operation is an outcome like others.
	tree := c.tree
	checked, found := c.checked(site.env, tree)
	if found.Err() != nil {
		tree = c.foldFor(e.Op())
		if checked, found = c.checked(site.env, tree); found.Err() != nil {
			return Condition{}, false
		}
	}
	p, err := site.env.Program(checked,
		cel.CustomDecoratorV2(foldLiterals),
		cel.EvalOptions(cel.OptTrackState|cel.OptExhaustiveEval),
		cel.CostTracking(costs{}), cel.CostLimit(10*maxCost))
	if err != nil {
		return Condition{}, false
	}
	tr := tracer{c: c, a: &activation{}, on: on}
	tr.spans, tr.calls = written.spans()
	tr.a.see(e)
	_, details, _ := p.Eval(tr.a) // an error is in the state, too
	if details == nil || details.State() == nil {
		return Condition{}, false
	}
	tr.state = details.State()
	step := tr.step(tree, true)
	if step.Truth == "" {
		return Condition{}, false // too costly to look at
	}
	return Condition{Key: key, Image: on, Text: text, Because: tr.because(tree), Step: step}, true
}

// tracer tells what an evaluation gave, sub-expression by sub-expression.
type tracer struct {
	c     *typer
	a     *activation
	on    string // the image that a condition on a row is judged on
	state interpreter.EvalState
	spans map[int64][2]int // of what a person wrote; the rest was made of it
	calls map[int64]string // the functions that were written, "" for what is no call
}

// spans returns which bytes each sub-expression covers, and which function each calls.
func (x *expr) spans() (spans map[int64][2]int, calls map[int64]string) {
	spans, calls = map[int64][2]int{}, map[int64]string{}
	ast.PreOrderVisit(x.tree, ast.NewExprVisitor(func(e ast.Expr) {
		from, to := x.span(e)
		spans[e.ID()], calls[e.ID()] = x.balanced(from, to), ""
		if e.Kind() == ast.CallKind {
			calls[e.ID()] = e.AsCall().FunctionName()
		}
	}))
	return spans, calls
}

// balanced widens a span to the parentheses whose other halves are in it: they are nobody's in the tree.
func (x *expr) balanced(from, to int) [2]int {
	depth, least := 0, 0
	for i := from; i < to; i++ {
		switch c := x.text[i]; c {
		case '"', '\'', '`':
			i += stringEnd(x.text[i:], c == '`') - 1
		case '(':
			depth++
		case ')':
			depth--
			least = min(least, depth)
		}
	}
	for ; least < 0; least++ {
		from = max(strings.LastIndexByte(x.text[:from], '('), 0)
		depth++
	}
	for ; depth > 0; depth-- {
		if i := strings.IndexByte(x.text[to:], ')'); i >= 0 {
			to += i + 1
		}
	}
	return [2]int{from, to}
}

// source returns what a person wrote; ok is false when the expression was made of something else.
func (tr *tracer) source(e ast.Expr) (text string, ok bool) {
	at, ok := tr.spans[e.ID()]
	if !ok {
		return "", false
	}
	return oneLine(tr.c.text[at[0]:at[1]]), true
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// value returns what an expression gave, or nil when it was not evaluated.
func (tr *tracer) value(e ast.Expr) ref.Val {
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral()
	}
	v, _ := tr.state.Value(e.ID())
	return v
}

// truth returns what a condition gave.
func (tr *tracer) truth(e ast.Expr) Truth {
	switch v := tr.value(e).(type) {
	case types.Bool:
		if v {
			return IsTrue
		}
		return IsFalse
	case *types.Err:
		return Fails
	}
	return ""
}

// junction returns the parts of a chain of && or ||, and which truth of a part decides.
func (tr *tracer) junction(e ast.Expr) (parts []ast.Expr, decides Truth) {
	if e.Kind() != ast.CallKind {
		return nil, ""
	}
	fn := e.AsCall().FunctionName()
	switch fn {
	case operators.LogicalAnd:
		decides = IsFalse
	case operators.LogicalOr:
		decides = IsTrue
	default:
		return nil, ""
	}
	var flatten func(e ast.Expr)
	root := e
	flatten = func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == fn && (e == root || tr.chained(e, fn)) {
			for _, arg := range e.AsCall().Args() {
				flatten(arg)
			}
			return
		}
		parts = append(parts, e)
	}
	flatten(e)
	return parts, decides
}

// chained reports whether a junction is written as one, or made: what a function such as anyChanged() became is no part
// of the chain that it stands in.
func (tr *tracer) chained(e ast.Expr, fn string) bool {
	was, written := tr.calls[e.ID()]
	return was == fn || !written
}

// deciding returns the parts of a condition that make it what it is, and all parts.
func (tr *tracer) deciding(e ast.Expr) (deciding, parts []ast.Expr) {
	if e.Kind() != ast.CallKind {
		return nil, nil
	}
	truth := tr.truth(e)
	call := e.AsCall()
	switch parts, decides := tr.junction(e); {
	case parts != nil:
		for _, part := range parts {
			// One false part decides &&; else one that fails does; that all are true takes all of them.
			if t := tr.truth(part); t == truth || truth != decides && truth != Fails {
				deciding = append(deciding, part)
			}
		}
		return deciding, parts
	case call.FunctionName() == operators.LogicalNot:
		return call.Args(), call.Args()
	case call.FunctionName() == operators.Conditional:
		args := call.Args()
		switch tr.truth(args[0]) {
		case IsTrue:
			return args[:2:2], args
		case IsFalse:
			return []ast.Expr{args[0], args[2]}, args
		}
		return args[:1], args
	}
	return nil, nil
}

// step describes an expression. needed says whether it makes its surroundings what they are.
func (tr *tracer) step(e ast.Expr, needed bool) Step {
	text, _ := tr.source(e)
	at := tr.spans[e.ID()]
	s := Step{Text: text, From: at[0], To: at[1]}
	v := tr.value(e)
	s.Truth = tr.truth(e)
	deciding, parts := tr.deciding(e)
	if parts == nil {
		for _, operand := range tr.operands(e) {
			s.Steps = append(s.Steps, tr.step(operand, needed))
		}
	}
	for _, part := range parts {
		s.Steps = append(s.Steps, tr.steps(part, needed && slices.Contains(deciding, part))...)
	}
	switch {
	case imageOf(e) >= 0 && v == types.NullValue:
		s.Value = "no row"
	case s.Truth == "" && v != nil:
		s.Value = show(v)
	case len(s.Steps) == 0 && s.Truth != Fails:
		s.Value = tr.flag(e)
	case s.Truth == Fails && needed:
		s.Error = tr.failure(e)
	}
	s.Decides = needed && s.Truth != ""
	if s.Truth == Fails && !needed {
		s.skip()
	}
	return s
}

// flag returns the value of a column that stands for itself as a condition.
func (tr *tracer) flag(e ast.Expr) string {
	reads, _ := imageReads(e, tr.c.table)
	for i, m := range [...]*image{&tr.a.before, &tr.a.after} {
		if len(reads[i]) == 1 && len(reads[1-i]) == 0 && m.row.Exists() {
			return tr.column(m, reads[i][0])
		}
	}
	return ""
}

// steps describes an expression, or what it was made of when nobody wrote it.
func (tr *tracer) steps(e ast.Expr, needed bool) []Step {
	if tr.constant(e) && tr.truth(e) == "" {
		return nil
	}
	if _, ok := tr.source(e); !ok {
		deciding, parts := tr.deciding(e)
		if parts == nil {
			parts = tr.operands(e)
		}
		var out []Step
		for _, part := range parts {
			out = append(out, tr.steps(part, needed && slices.Contains(deciding, part))...)
		}
		return out
	}
	return []Step{tr.step(e, needed)}
}

// skip marks an expression that failed, and what is in it, as not needed.
func (s *Step) skip() {
	if s.Truth == Fails {
		s.Truth, s.Error = NotNeeded, ""
	}
	for i := range s.Steps {
		s.Steps[i].skip()
	}
}

// operands returns what an expression that is no junction was computed from, as far as a person wrote it and does not
// know it already: columns, variables and calls, not literals.
func (tr *tracer) operands(e ast.Expr) []ast.Expr {
	var out []ast.Expr
	add := func(e ast.Expr) {
		switch _, written := tr.source(e); {
		case tr.constant(e):
		case imageOf(e) >= 0 && !written:
		case written && tr.spans[e.ID()] != [2]int{}:
			if !slices.ContainsFunc(out, func(o ast.Expr) bool { return tr.spans[o.ID()] == tr.spans[e.ID()] }) {
				out = append(out, e)
			}
		default:
			out = append(out, tr.operands(e)...)
		}
	}
	switch e.Kind() {
	case ast.SelectKind:
		if operand := e.AsSelect().Operand(); imageOf(operand) < 0 {
			add(operand)
		}
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			add(call.Target())
		}
		for _, arg := range call.Args() {
			add(arg)
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			add(item)
		}
	case ast.ComprehensionKind:
		add(e.AsComprehension().IterRange())
	}
	return out
}

// constant reports whether an expression is made of literals only.
func (tr *tracer) constant(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.CallKind:
		call := e.AsCall()
		return (!call.IsMemberFunction() || tr.constant(call.Target())) && !strings.HasPrefix(call.FunctionName(), "@") &&
			!slices.ContainsFunc(call.Args(), func(arg ast.Expr) bool { return !tr.constant(arg) })
	case ast.ListKind:
		return !slices.ContainsFunc(e.AsList().Elements(), func(item ast.Expr) bool { return !tr.constant(item) })
	}
	return false
}

// failure says why an expression failed.
func (tr *tracer) failure(e ast.Expr) string {
	err, ok := tr.value(e).(*types.Err)
	if !ok {
		return ""
	}
	reads, _ := imageReads(e, tr.c.table)
	return plainError((&condition{reads: reads}).explain(err, tr.a))
}

// because says in words which parts made a condition what it is.
func (tr *tracer) because(e ast.Expr) []string {
	deciding, parts := tr.deciding(e)
	if parts == nil {
		return []string{tr.phrase(e)}
	}
	var all []string
	for _, part := range deciding {
		if part.Kind() != ast.LiteralKind || len(deciding) == 1 {
			all = append(all, tr.because(part)...)
		}
	}
	var out []string
	for i, phrase := range all { // "x is 1" beside "x is 1, not 2" says nothing more
		more := func(other string) bool { return strings.HasPrefix(other, phrase+", ") }
		if !slices.Contains(all[:i], phrase) && !slices.ContainsFunc(all, more) {
			out = append(out, phrase)
		}
	}
	return out
}

// phrase says what a condition that is no junction found.
func (tr *tracer) phrase(e ast.Expr) string {
	text, _ := tr.source(e)
	truth := tr.truth(e)
	if truth == Fails {
		return fmt.Sprintf("%s fails (%s)", text, tr.failure(e))
	}
	yes := truth == IsTrue
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		args := call.Args()
		switch fn := call.FunctionName(); {
		case fn == changedFn:
			return tr.changePhrase(e, yes)
		case comparisons[fn].word != "" && len(args) == 2:
			return tr.comparison(fn, args[0], args[1], yes)
		case fn == operators.In && tr.constant(args[1]):
			if yes {
				return tr.is(args[0])
			}
			list, _ := tr.source(args[1])
			return fmt.Sprintf("%s, not one of %s", tr.is(args[0]), strings.Trim(list, "[]"))
		case call.IsMemberFunction() && textTests[fn] != [2]string{} && len(args) == 1 && tr.constant(args[0]):
			part, _ := tr.source(args[0])
			return fmt.Sprintf("%s, which %s %s", tr.is(call.Target()), textTests[fn][map[bool]int{true: 1}[yes]], part)
		}
	case ast.SelectKind:
		if sel := e.AsSelect(); sel.IsTestOnly() && imageOf(sel.Operand()) >= 0 {
			return fmt.Sprintf("%s is%s in the row image", tr.columnText(sel), map[bool]string{false: " not"}[yes])
		}
	case ast.LiteralKind:
		return fmt.Sprintf("it says %s", text)
	}
	return fmt.Sprintf("%s is %s%s", text, truth, tr.details(e))
}

// comparison words: what is said of a value when the comparison is false, and the comparison with its sides exchanged.
var comparisons = map[string]struct{ word, time, flipped string }{
	operators.Equals:        {"not", "", operators.Equals},
	operators.NotEquals:     {"not", "", operators.NotEquals},
	operators.Less:          {"not less than", "not before", operators.Greater},
	operators.LessEquals:    {"more than", "after", operators.GreaterEquals},
	operators.Greater:       {"not more than", "not after", operators.Less},
	operators.GreaterEquals: {"less than", "before", operators.LessEquals},
}

// isTime reports whether an expression is a point in time.
func (tr *tracer) isTime(e ast.Expr) bool {
	if _, ok := tr.value(e).(types.Timestamp); ok {
		return true
	}
	if e.Kind() != ast.SelectKind || imageOf(e.AsSelect().Operand()) < 0 {
		return false
	}
	c := columnOf(tr.c.table, e.AsSelect().FieldName())
	return c != nil && (c.Kind == cdc.KindDate || c.Kind == cdc.KindDatetime)
}

// textTests are what is said of a text when the test is false, and when it is true.
var textTests = map[string][2]string{
	"startsWith": {"does not begin with", "begins with"},
	"endsWith":   {"does not end with", "ends with"},
	"contains":   {"does not contain", "contains"},
	"matches":    {"does not match", "matches"},
}

// comparison says what two sides were.
func (tr *tracer) comparison(fn string, a, b ast.Expr, yes bool) string {
	if tr.constant(a) && !tr.constant(b) {
		a, b, fn = b, a, comparisons[fn].flipped
	}
	if !tr.constant(b) {
		return tr.is(a) + " and " + tr.is(b)
	}
	if i := imageOf(a); i >= 0 && isNull(b) {
		there := "there is no '" + images[i] + "'"
		if tr.value(a) != types.NullValue {
			there = "there is a row '" + images[i] + "'"
		}
		return there
	}
	if yes != (fn == operators.NotEquals) && fn != operators.NotEquals || !yes && fn == operators.NotEquals {
		return tr.is(a)
	}
	k, written := tr.source(b)
	if !written || isNull(b) || tr.value(a) == types.NullValue {
		return tr.is(a) // a flag; that it is NULL, or what it is, says all
	}
	word := comparisons[fn].word
	if tr.isTime(a) && comparisons[fn].time != "" {
		word = comparisons[fn].time
	}
	return fmt.Sprintf("%s, %s %s", tr.is(a), word, k)
}

// is says what an expression gave.
func (tr *tracer) is(e ast.Expr) string {
	text, ok := tr.source(e)
	if !ok && e.Kind() == ast.SelectKind {
		text = tr.columnText(e.AsSelect())
	}
	if err, ok := tr.value(e).(*types.Err); ok {
		var absent absentError
		if errors.As(err, &absent) {
			return text + " is not in the row image"
		}
		return text + " fails"
	}
	return text + " is " + show(tr.value(e))
}

// columnText returns how a column is written.
func (tr *tracer) columnText(sel ast.SelectExpr) string {
	i := imageOf(sel.Operand())
	switch {
	case tr.on != "":
		return rowVar + selector(sel.FieldName())
	case i < 0:
		return sel.FieldName()
	}
	return images[i] + selector(sel.FieldName())
}

// changePhrase says whether and how a column changed.
func (tr *tracer) changePhrase(e ast.Expr, yes bool) string {
	n, ok := e.AsCall().Args()[2].AsLiteral().(types.Int)
	if !ok {
		return ""
	}
	column := tr.c.table.Columns[n].Name
	if tr.a.event.Op() != cdc.OpUpdate {
		return fmt.Sprintf("%s counts as a change of %s", article(tr.a.event.Op()), column)
	}
	before, after := tr.column(&tr.a.before, int(n)), tr.column(&tr.a.after, int(n))
	if yes {
		return fmt.Sprintf("%s changed from %s to %s", column, before, after)
	}
	return fmt.Sprintf("%s did not change (it is %s)", column, after)
}

// column shows a column of an image.
func (tr *tracer) column(m *image, i int) string {
	if m.row.Kind(i) == cdc.KindAbsent {
		return "not in the row image"
	}
	v, err := m.get(i)
	if err != nil {
		return err.Error()
	}
	return show(v)
}

// columns returns the columns of before and of after that an expression looks at, by name or by number.
func (tr *tracer) columns(e ast.Expr) [2][]int {
	reads, _ := imageReads(e, tr.c.table)
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || !strings.HasPrefix(e.AsCall().FunctionName(), "@") || len(e.AsCall().Args()) < 3 {
			return
		}
		args := e.AsCall().Args()
		if n, ok := args[2].AsLiteral().(types.Int); ok && imageOf(args[0]) == 0 && imageOf(args[1]) == 1 {
			reads[0], reads[1] = append(reads[0], int(n)), append(reads[1], int(n))
		}
	}))
	return reads
}

// details names the columns that an expression looked at.
func (tr *tracer) details(e ast.Expr) string {
	reads := tr.columns(e)
	var parts []string
	for i, m := range [...]*image{&tr.a.before, &tr.a.after} {
		for _, n := range reads[i] {
			name := images[i]
			if tr.on != "" {
				name = rowVar
			}
			parts = append(parts, name+selector(tr.c.table.Columns[n].Name)+" is "+tr.column(m, n))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + some(parts, "and") + ")"
}

// show writes a value as the language does, or shorter.
func show(v ref.Val) string {
	switch v := v.(type) {
	case nil:
		return "not evaluated"
	case types.Null:
		return "NULL"
	case types.String:
		return "'" + clip(string(v)) + "'"
	case types.Bytes:
		return fmt.Sprintf("%d bytes", len(v))
	case types.Timestamp:
		return v.Time.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	case types.Duration:
		return v.Duration.String()
	case decimal:
		return string(v)
	case *image:
		return "a row"
	case *types.Err:
		return "failed"
	case *types.Optional:
		if !v.HasValue() {
			return "nothing"
		}
		return show(v.GetValue())
	}
	text := v.ConvertToType(types.StringType)
	if s, ok := text.(types.String); ok {
		return clip(string(s))
	}
	return showParts(v)
}

// showParts writes lists and JSON objects.
func showParts(v ref.Val) string {
	const most = 8
	var parts []string
	switch v := v.(type) {
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True && len(parts) <= most; {
			parts = append(parts, show(it.Next()))
		}
		if len(parts) > most {
			parts[most] = "…"
		}
		return clip("[" + strings.Join(parts, ", ") + "]")
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			parts = append(parts, fmt.Sprintf("%v: %s", key.Value(), show(v.Get(key))))
		}
		slices.Sort(parts)
		return clip("{" + strings.Join(parts, ", ") + "}")
	}
	return clip(fmt.Sprint(v.Value()))
}

// String returns the explanation as people read it: the sentence, then the steps.
func (x Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", x.Rule, x.Summary)
	if x.Error != nil && x.Error.Fix != "" {
		fmt.Fprintf(&b, "  → %s\n", x.Error.Fix)
	}
	for _, c := range x.Conditions {
		fmt.Fprintf(&b, "  %s", c.Key)
		if c.Image != "" {
			fmt.Fprintf(&b, ", row is '%s'", c.Image)
		}
		b.WriteByte('\n')
		width := 0
		c.Step.each(2, func(s *Step, depth int) { width = max(width, 2*depth+2+utf8.RuneCountInString(s.label())) })
		c.Step.each(2, func(s *Step, depth int) {
			line := strings.Repeat("  ", depth) + s.glyph() + " " + s.label()
			switch {
			case s.Value != "":
				line += strings.Repeat(" ", max(width-utf8.RuneCountInString(line), 0)) + "  " + s.Value
			case s.Error != "" && len(s.Steps) == 0 || s.Error != "" && s.leaf():
				line += strings.Repeat(" ", max(width-utf8.RuneCountInString(line), 0)) + "  " + s.Error
			}
			if s.Decides && s.leaf() {
				line += strings.Repeat(" ", max(width-utf8.RuneCountInString(line), 0)) + "  ← decides"
			}
			b.WriteString(line)
			b.WriteByte('\n')
		})
	}
	if x.Filter != nil {
		b.WriteString(x.Filter.lines())
	}
	b.WriteString(x.lookupLines())
	return b.String()
}

// each calls f for the step and all that are in it.
func (s *Step) each(depth int, f func(s *Step, depth int)) {
	f(s, depth)
	for i := range s.Steps {
		s.Steps[i].each(depth+1, f)
	}
}

// leaf reports whether no condition is in the step.
func (s *Step) leaf() bool {
	return !slices.ContainsFunc(s.Steps, func(s Step) bool { return s.Truth != "" || !s.leaf() })
}

func (s *Step) glyph() string {
	return map[Truth]string{IsTrue: "✓", IsFalse: "✗", Fails: "!", NotNeeded: "·", "": " "}[s.Truth]
}

// label is the step's text, as far as it fits a line.
func (s *Step) label() string {
	const most = 90
	if r := []rune(s.Text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s.Text
}
