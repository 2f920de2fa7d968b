package rules

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
)

// program is a rule compiled for operations on one table.
type program struct {
	rule  *Rule
	match []cdc.RuleMatch // the one match, shared by all decisions
	when  *condition      // nil: every event matches
	err   error           // the rule does not fit: what every event gets
	never bool            // the condition is false whatever the event

	where   [2]*program        // of a rule on rows: its condition on before and on after; nil for an image that there is not
	changes [4][]cdc.RuleMatch // of a rule on rows: its match by was and is
}

// compile makes the programs of a rule for a table, one for each of the rule's operations. Operations for which the
// condition comes to the same share one. Findings are what is wrong and what is worth saying; where something is wrong,
// the program says so for every event.
func compile(r *Rule, s *site) (byOp [maxOps]*program, found Findings) {
	base := program{rule: r, match: []cdc.RuleMatch{{Name: r.Name, Version: r.Version}}}
	base.match[0].Show = r.Show
	if r.Mode == Active {
		base.match[0].To = r.To
	}
	found = r.showFindings(s.table, s.lints)
	if r.Where != "" {
		byOp, more := compileWhere(base, s, found)
		return byOp, append(found, more...)
	}
	var c *typer
	if r.When != "" {
		var more Findings
		c, more = typed(r, s)
		found = append(found, more...)
	}
	base.err = staleError(s.table, found)
	var trees [maxOps]ast.Expr
	for _, op := range r.On {
		if byOp[op] = &base; c == nil {
			continue
		}
		if trees[op] = c.foldFor(op); base.err != nil {
			continue
		}
		if c.emptyRead(trees[op], op) == nil {
			if same := c.sameTree(trees, op); same != 0 {
				byOp[op] = byOp[same]
				continue
			}
		}
		p := base
		found = append(found, c.program(&p, s, trees[op], op)...)
		byOp[op] = &p
	}
	if c != nil {
		found = append(found, c.emptyImages(trees, r)...)
		if base.err == nil && c.lints {
			found = append(found, c.lintOperations(r)...)
		}
	}
	return byOp, found
}

// typed parses a rule's condition and gives its literals the types of the table's columns.
func typed(r *Rule, s *site) (*typer, Findings) {
	x, e := r.parse()
	if e != nil {
		return nil, Findings{e}
	}
	c := newTyper(x, s.table)
	c.lints = s.lints
	c.check()
	return c, append(c.errs, c.warnings...)
}

// foldFor returns the condition as it is for one operation.
func (c *typer) foldFor(op cdc.Op) ast.Expr {
	f := folder{expr: c.expr, fac: c.fac, op: op, table: c.table.String()}
	return f.fold(c.tree)
}

// sameTree returns an earlier operation whose condition is that of op, or 0.
func (c *typer) sameTree(trees [maxOps]ast.Expr, op cdc.Op) cdc.Op {
	for earlier, tree := range trees[:op] {
		if tree != nil && ast.EquivExpr(tree, trees[op]) && c.emptyRead(tree, cdc.Op(earlier)) == nil {
			return cdc.Op(earlier)
		}
	}
	return 0
}

// program completes the program of a condition that was folded for an operation.
func (c *typer) program(p *program, s *site, tree ast.Expr, op cdc.Op) Findings {
	if always, ok := truthLiteral(tree); ok {
		p.never = !always
		return nil
	}
	if e := c.emptyRead(tree, op); e != nil {
		p.err = cdc.Errorf(codeEval, "'%s' is empty on %s", e.AsSelect().Operand().AsIdent(), op).
			WithFix("ask first: %s != null && …, or change 'on' of the rule", e.AsSelect().Operand().AsIdent())
		return nil // [typer.emptyImages] says it of all operations at once
	}
	checked, found := c.checked(s.env, tree)
	if found == nil {
		var err error
		if p.when, err = newCondition(s, op, checked.NativeRep(), c.source); err != nil {
			found = Findings{c.place.Error(codeType, "the condition cannot be planned: "+clip(err.Error()))}
		}
	}
	p.err = staleError(c.table, found)
	return found
}

// checked lets CEL's own checker look at a condition.
func (c *typer) checked(env *cel.Env, tree ast.Expr) (*cel.Ast, Findings) {
	checked, found := c.checkedValue(env, tree)
	if found != nil {
		return nil, found
	}
	if out := checked.OutputType(); out.Kind() != types.BoolKind && out.Kind() != types.DynKind {
		return nil, Findings{c.errorAt(c.tree, codeType, "the condition gives %s, not true or false", plainType(cel.FormatCELType(out)))}
	}
	return checked, nil
}

// checkedValue lets CEL's own checker look at an expression of any type.
func (c *typer) checkedValue(env *cel.Env, tree ast.Expr) (*cel.Ast, Findings) {
	// The checker writes into the tree, parts of which other operations share, and CEL lets nobody replace the root.
	root := c.ast.NativeRep().Expr()
	root.SetKindCase(c.fac.CopyExpr(tree))
	checked, issues := env.Check(c.ast)
	if len(issues.Errors()) > 0 {
		return nil, c.checkerErrors(issues)
	}
	return checked, nil
}

// emptyRead returns the first read of an image that the operation does not have.
func (c *typer) emptyRead(tree ast.Expr, op cdc.Op) ast.Expr {
	_, first := imageReads(tree, c.table)
	for i, e := range first {
		if e != nil && !hasImage(op, i) {
			return e
		}
	}
	return nil
}

// emptyImages says where the condition reads an image that some of the rule's operations do not have. What several of
// them stumble over is said once.
func (c *typer) emptyImages(trees [maxOps]ast.Expr, r *Rule) Findings {
	var found Findings
	ops := map[ast.Expr][]cdc.Op{} // by the place where they stumble
	var places []ast.Expr
	for _, op := range r.On {
		if e := c.emptyRead(trees[op], op); e != nil {
			if ops[e] == nil {
				places = append(places, e)
			}
			ops[e] = append(ops[e], op)
		}
	}
	for _, e := range places {
		i := imageOf(e.AsSelect().Operand())
		var with []string
		for _, op := range r.On {
			if hasImage(op, i) {
				with = append(with, op.String())
			}
		}
		image, other := images[i], images[1-i]
		if len(with) == 0 {
			f := c.errorAt(e, codeImage, "%s has no '%s', and the rule is for nothing else", articles(ops[e]), image)
			found = append(found, f.Hint("write %s.…, or change 'on'", other))
			continue
		}
		f := c.errorAt(e, codeImage, "'%s' is empty on %s, which this rule is for too", image, opWords(ops[e]))
		byDefault := ""
		on, list := r.place.At("on"), "["+strings.Join(with, ", ")+"]"
		edit, ok := on.EditList(list)
		if !on.Exists() {
			byDefault = " (without 'on' a rule is for insert, update and delete)"
			edit, ok = r.place.At("when").EditKey("on: " + list)
		}
		if f.Hint("write 'on: %s'%s, or ask first: %s != null && …", list, byDefault, image); ok {
			f.Edits = append(f.Edits, edit)
		}
		found = append(found, f)
	}
	return found
}

// opWords lists operations: insert, update and delete.
func opWords(ops []cdc.Op) string {
	words := make([]string, len(ops))
	for i, op := range ops {
		words[i] = op.String()
	}
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func articles(ops []cdc.Op) string {
	words := make([]string, len(ops))
	for i, op := range ops {
		words[i] = article(op)
	}
	return strings.Join(words, " or ")
}

// staleError is the error of a rule for a table that it does not fit (any more).
func staleError(t *cdc.Table, found Findings) error {
	for _, f := range found {
		if !f.Warning {
			e := cdc.Errorf(codeStale, "the rule does not fit %s as it is now: %s", t, f.Msg)
			if f.Suggestion != "" {
				e = e.WithFix("%s", f.Suggestion)
			}
			return e
		}
	}
	return nil
}

// plan makes a checked expression ready to run, as it is or with its steps counted.
func plan(env *cel.Env, checked *ast.AST, counted bool) (cel.Program, error) {
	opts := []cel.ProgramOption{
		cel.CustomDecoratorV2(foldLiterals),
		// Patterns are compiled once. Nothing else is optimized: cel.OptOptimize changes what `in` means at its edges.
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
	}
	if counted {
		opts = append(opts, counting...)
	}
	return env.PlanProgram(checked, opts...)
}

// counting has a program count its steps, and stop at too many.
var counting = []cel.ProgramOption{cel.CostTracking(costs{}), cel.CostLimit(maxCost)}

// sizes tells the estimate how large the values of a table's columns can be.
type sizes struct{ table *cdc.Table }

// EstimateCallCost knows our own functions and leaves the others to CEL's model.
func (s sizes) EstimateCallCost(function, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	switch {
	case function == changedFn:
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(costChanged)}
	case brief(function, overload):
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(costBrief), ResultSize: &cost.SizeEstimate{Min: 1, Max: 10}}
	case textFunctions[function] && target != nil:
		size := s.sizeOf(*target)
		return &cost.CallEstimate{CostEstimate: size.MultiplyByCostFactor(costPerByte).Add(cost.FixedCostEstimate(1)), ResultSize: &size}
	case caseFunctions[function] && target != nil && len(args) == 1:
		size := s.sizeOf(*target).Add(s.sizeOf(args[0]))
		return &cost.CallEstimate{CostEstimate: size.MultiplyByCostFactor(costPerLetter).Add(cost.FixedCostEstimate(1))}
	}
	return nil
}

func (s sizes) sizeOf(node cost.AstNode) cost.SizeEstimate {
	if computed := node.ComputedSize(); computed != nil {
		return *computed
	}
	if known := s.EstimateSize(node); known != nil {
		return *known
	}
	return cost.UnknownSizeEstimate()
}

// textFunctions are those of ours that go through a text.
var textFunctions = map[string]bool{"lowerAscii": true, "upperAscii": true, "trim": true}

// caseFunctions are those that go through two texts letter by letter.
var caseFunctions = map[string]bool{"equalsIgnoreCase": true, "containsIgnoreCase": true, "startsWithIgnoreCase": true, "endsWithIgnoreCase": true}

// brief reports whether a function of ours takes the same time whatever it is given.
func brief(function, overload string) bool {
	return function == increasedFn || function == wallFn || function == "date" || function == "days" || overload == "civil_to_timestamp"
}

// What calls of our functions cost, for the estimate and for the count.
const (
	costChanged = 2
	costBrief   = 5
)

// costPerByte is what CEL's own model takes for going through a text; looking up the case of letters takes longer.
const (
	costPerByte   = 0.1
	costPerLetter = 0.5
)

// costs counts the steps of our own functions, and those of `in` over a list.
type costs struct{}

// CallCost returns the cost of a call, or nil for what CEL's model counts well.
func (costs) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	n := uint64(1)
	switch {
	case textFunctions[function] && len(args) == 1:
		if s, ok := args[0].(types.String); ok {
			n += uint64(float64(len(s)) * costPerByte)
		}
	case overload == overloads.InList && len(args) == 2:
		// CEL's model takes a tenth of a step for an item, but comparing one takes as long as any step.
		if list, ok := args[1].(traits.Lister); ok {
			if size, ok := list.Size().(types.Int); ok {
				n += uint64(size)
			}
		}
	case caseFunctions[function] && len(args) == 2:
		for _, arg := range args {
			if s, ok := arg.(types.String); ok {
				n += uint64(float64(len(s)) * costPerLetter)
			}
		}
	case function == changedFn:
		n = costChanged
	case brief(function, overload):
		n = costBrief
	default:
		return nil
	}
	return &n
}

// EstimateSize returns the size of a column.
func (s sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 1 && (path[0] == opVar || path[0] == tableVar) {
		return &cost.SizeEstimate{Max: 512}
	}
	if len(path) < 2 || path[0] != beforeVar && path[0] != afterVar {
		return nil
	}
	i := s.table.Column(path[1])
	if i < 0 {
		return nil
	}
	c := &s.table.Columns[i]
	switch {
	case len(path) == 2:
		return &cost.SizeEstimate{Max: maxSize(c)}
	case len(path) == 3 && path[2] == "@items" && c.Kind == cdc.KindSet:
		return &cost.SizeEstimate{Max: 255}
	}
	return nil
}

var typeLength = regexp.MustCompile(`\((\d+)\)`)

// maxSize returns how many characters, bytes or items a column's value can have.
func maxSize(c *cdc.Column) uint64 {
	switch c.Kind {
	case cdc.KindString, cdc.KindBytes:
	case cdc.KindSet:
		return 64
	case cdc.KindVector:
		return 16383
	case cdc.KindEnum:
		return 255
	case cdc.KindDecimal:
		return 70
	case cdc.KindDate, cdc.KindTime, cdc.KindDatetime:
		return 32
	case cdc.KindBool, cdc.KindInt64, cdc.KindUint64, cdc.KindFloat64, cdc.KindBit, cdc.KindTimestamp:
		return 1 // comparing them takes one step
	default:
		return math.MaxUint32
	}
	declared := strings.ToLower(c.Type)
	switch {
	case strings.HasPrefix(declared, "tiny"):
		return 255
	case strings.HasPrefix(declared, "medium"):
		return 1 << 24
	case strings.HasPrefix(declared, "long"), declared == "":
		return math.MaxUint32
	}
	if m := typeLength.FindStringSubmatch(declared); m != nil {
		if n, err := strconv.ParseUint(m[1], 10, 32); err == nil {
			return n
		}
	}
	return 1 << 16
}

var (
	overloadText  = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
	fieldText     = regexp.MustCompile(`^undefined field '(.*)'$`)
	undeclared    = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	expectedText  = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'$`)
	rangeText     = regexp.MustCompile(`^expression of type '(.*)' cannot be range`)
	typeParameter = regexp.MustCompile(`wrapper\((\w+)\)`)
)

// checkerErrors turns what CEL's own checker found, after ours found nothing, into sentences.
func (c *typer) checkerErrors(issues *cel.Issues) Findings {
	nodes := map[int64]ast.Expr{}
	ast.PostOrderVisit(c.tree, ast.NewExprVisitor(func(e ast.Expr) { nodes[e.ID()] = e }))
	var out Findings
	for _, e := range issues.Errors() {
		if len(out) >= maxFindings {
			break
		}
		code, msg := codeType, e.Message
		switch {
		case overloadText.MatchString(msg):
			m := overloadText.FindStringSubmatch(msg)
			msg = fmt.Sprintf("%s does not work with %s", functionName(m[1]), plainTypes(m[2]))
		case fieldText.MatchString(msg):
			code, msg = codeColumn, noColumnMsg(c.table, fieldText.FindStringSubmatch(msg)[1])
		case undeclared.MatchString(msg):
			code, msg = codeName, fmt.Sprintf("there is nothing named '%s'", undeclared.FindStringSubmatch(msg)[1])
		case expectedText.MatchString(msg):
			m := expectedText.FindStringSubmatch(msg)
			msg = fmt.Sprintf("this is %s, but %s is needed", plainType(m[2]), plainType(m[1]))
		case rangeText.MatchString(msg):
			msg = plainType(rangeText.FindStringSubmatch(msg)[1]) + " cannot be gone through item by item"
		case strings.Contains(msg, "comprehension exceeds nesting limit"):
			code, msg = codeLimit, fmt.Sprintf("lists are gone through within each other more than %d deep", maxLoops)
		case strings.Contains(msg, "limit"):
			code = codeLimit
		}
		if node, ok := nodes[e.ExprID]; ok {
			out = append(out, c.errorAt(node, code, "%s", msg))
			continue
		}
		at := c.offset(max(e.Location.Line(), 1), max(e.Location.Column(), 0))
		out = append(out, c.place.ErrorAt(at, at+1, code, msg))
	}
	return out
}

func functionName(name string) string {
	if trimmed := strings.Trim(name, "_@"); name != trimmed {
		switch name {
		case "_?_:_":
			return "? :"
		case "_[_]":
			return "[ ]"
		}
		return "'" + strings.Trim(trimmed, "_") + "'"
	}
	return name + "()"
}

// plainTypes turns '(string, int)' or 'string.(int)' into "a text and a whole number".
func plainTypes(s string) string {
	s = strings.Replace(s, ".(", ", ", 1)
	s = strings.Trim(s, "()")
	parts := strings.Split(s, ", ")
	for i := range parts {
		parts[i] = plainType(parts[i])
	}
	return strings.Join(parts, " and ")
}

var celTypes = map[string]string{"int": "a whole number", "uint": "an unsigned number", "double": "a floating-point number", "string": "a text",
	"bool": "true or false", "bytes": "binary data", "timestamp": "a timestamp", "duration": "a duration", "google.protobuf.Timestamp": "a timestamp",
	"google.protobuf.Duration": "a duration", "null": "null", "null_type": "null", "decimal": "a decimal number", "row": "a row", "dyn": "JSON"}

func plainType(s string) string {
	s = typeParameter.ReplaceAllString(s, "$1")
	if word, ok := celTypes[s]; ok {
		return word
	}
	switch {
	case strings.HasPrefix(s, rowsOf):
		return "a row"
	case strings.HasPrefix(s, "list("):
		return "a list"
	case strings.HasPrefix(s, "map("):
		return "a map"
	case strings.HasPrefix(s, "optional_type("):
		return "a value that may be missing (add .orValue(…))"
	}
	return s
}
