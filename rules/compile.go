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

// program is a rule compiled for one table.
type program struct {
	rule  *Rule
	match []cdc.RuleMatch // the one match, shared by all decisions
	eval  cel.Program     // nil: the rule has no condition
	reads [2][]int        // the columns of before and of after that the condition names
	err   error           // the rule does not fit the table: what every event of it gets
}

// compile makes the program of a rule for a table. Findings are what is wrong and what is worth saying; when something
// is wrong, the program says so for every event.
func compile(r *Rule, env *cel.Env, t *cdc.Table) (*program, Findings) {
	p := &program{rule: r, match: []cdc.RuleMatch{{Name: r.Name, Version: r.Version}}}
	if r.Mode == Active {
		p.match[0].To = r.To
	}
	if r.When == "" {
		return p, nil
	}
	found := p.compileExpr(env, t)
	if errs := found.Err(); errs != nil {
		p.eval, p.err = nil, staleError(t, found)
	}
	return p, found
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

func (p *program) compileExpr(env *cel.Env, t *cdc.Table) Findings {
	x, e := parseExpr(p.rule.When, p.rule.place.At("when"))
	if e != nil {
		return Findings{e}
	}
	c := newTyper(x, t, p.rule.On)
	c.check()
	p.reads = c.columns
	found := append(c.errs, c.warnings...)
	if len(c.errs) > 0 {
		return found
	}
	checked, issues := env.Check(x.ast)
	if issues.Err() != nil {
		return append(found, c.checkerErrors(issues)...)
	}
	if out := checked.OutputType(); out.Kind() != types.BoolKind && out.Kind() != types.DynKind {
		return append(found, c.errorAt(c.tree, codeType, "the condition gives %s, not true or false", plainType(cel.FormatCELType(out))))
	}
	eval, err := plan(env, checked, t)
	if err != nil {
		return append(found, c.place.Error(codeType, "the condition cannot be planned: "+clip(err.Error())))
	}
	p.eval = eval
	return found
}

// plan makes a checked expression ready to run. If its cost has a bound, it runs as it is; else its steps are counted.
func plan(env *cel.Env, checked *cel.Ast, t *cdc.Table) (cel.Program, error) {
	opts := []cel.ProgramOption{
		cel.CustomDecoratorV2(foldLiterals),
		// Patterns are compiled once. Nothing else is optimized: cel.OptOptimize changes what `in` means at its edges.
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
	}
	estimate, err := env.EstimateCost(checked, sizes{t})
	if err != nil || estimate.Max > plainCost {
		opts = append(opts, cel.CostTracking(costs{}), cel.CostLimit(maxCost))
	}
	return env.Program(checked, opts...)
}

// sizes tells the estimate how large the values of a table's columns can be.
type sizes struct{ table *cdc.Table }

// EstimateCallCost knows our own functions and leaves the others to CEL's model.
func (s sizes) EstimateCallCost(function, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	switch {
	case function == changedFn:
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(2)}
	case textFunctions[function] && target != nil:
		size := cost.UnknownSizeEstimate()
		if computed := (*target).ComputedSize(); computed != nil {
			size = *computed
		} else if known := s.EstimateSize(*target); known != nil {
			size = *known
		}
		return &cost.CallEstimate{CostEstimate: size.MultiplyByCostFactor(costPerByte).Add(cost.FixedCostEstimate(1)), ResultSize: &size}
	}
	return nil
}

// textFunctions are those of ours that go through a text.
var textFunctions = map[string]bool{"lowerAscii": true, "upperAscii": true, "trim": true}

// costPerByte is what CEL's own model takes for going through a text.
const costPerByte = 0.1

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
	case function == changedFn:
		n = 2
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
			code, msg = codeColumn, c.noColumnMsg(fieldText.FindStringSubmatch(msg)[1])
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
	case strings.HasPrefix(s, "list("):
		return "a list"
	case strings.HasPrefix(s, "map("):
		return "a map"
	case strings.HasPrefix(s, "optional_type("):
		return "a value that may be missing (add .orValue(…))"
	}
	return s
}
