package rules

import (
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/cdcd-project/cdcd/cdc"
)

// Bounds of an expression. The parser's own are far higher: it has to serve generated text too.
const (
	maxNodes   = 5000 // after macros are expanded
	maxDepth   = 60
	maxLoops   = 3 // comprehensions within each other
	maxRegexp  = 2000
	maxCost    = 500_000 // steps of one evaluation, in the units of CEL's cost model: a few tenths of a second at worst
	plainCost  = 200_000 // below this bound an expression runs without being counted
	changedFn  = "@changed"
	decimalFn  = "decimal"
	beforeVar  = "before"
	afterVar   = "after"
	opVar      = "op"
	tableVar   = "table"
	nowVar     = "now"
	changedVar = "changed" // as people write it
)

// baseEnv is what the environments of all tables have in common: everything but the columns.
var baseEnv = sync.OnceValues(func() (*cel.Env, error) {
	dec := decimalType
	compare := func(name, id string) cel.EnvOption {
		return cel.Function(name, cel.Overload(id, []*types.Type{dec, dec}, types.BoolType))
	}
	combine := func(name, id string) cel.EnvOption {
		return cel.Function(name, cel.Overload(id, []*types.Type{dec, dec}, dec))
	}
	text := func(name string, f func(string) string) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("string_"+name, []*types.Type{types.StringType}, types.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				s, ok := v.(types.String)
				if !ok {
					return types.MaybeNoSuchOverloadErr(v)
				}
				return types.String(f(string(s)))
			})))
	}
	convert := func(name string, to *types.Type) cel.EnvOption {
		return cel.Function(name, cel.Overload("decimal_to_"+name, []*types.Type{dec}, to,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(to) })))
	}
	return cel.NewEnv(
		cel.OptionalTypes(),
		cel.EnableIdentifierEscapeSyntax(),
		cel.DefaultUTCTimeZone(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserExpressionSizeLimit(maxWhen),
		cel.ParserRecursionLimit(maxDepth),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxLoops)),

		cel.Variable(opVar, types.StringType),
		cel.Variable(tableVar, types.StringType),
		cel.Variable(nowVar, types.TimestampType),
		cel.Variable(beforeVar, rowType),
		cel.Variable(afterVar, rowType),
		cel.Function(changedFn, cel.Overload("changed_column", []*types.Type{types.DynType, types.DynType, types.IntType},
			types.BoolType, cel.FunctionBinding(changed))),

		cel.Function(decimalFn,
			cel.Overload("decimal_to_decimal", []*types.Type{dec}, dec, cel.UnaryBinding(toDecimal)),
			cel.Overload("string_to_decimal", []*types.Type{types.StringType}, dec, cel.UnaryBinding(toDecimal)),
			cel.Overload("int64_to_decimal", []*types.Type{types.IntType}, dec, cel.UnaryBinding(toDecimal)),
			cel.Overload("uint64_to_decimal", []*types.Type{types.UintType}, dec, cel.UnaryBinding(toDecimal))),
		convert("double", types.DoubleType),
		convert("string", types.StringType),
		compare("_<_", "less_decimal"), compare("_<=_", "less_equals_decimal"),
		compare("_>_", "greater_decimal"), compare("_>=_", "greater_equals_decimal"),
		combine("_+_", "add_decimal"), combine("_-_", "subtract_decimal"), combine("_*_", "multiply_decimal"),
		cel.Function("-_", cel.Overload("negate_decimal", []*types.Type{dec}, dec)),

		text("lowerAscii", func(s string) string { return mapASCII(s, 'A', 'Z') }),
		text("upperAscii", func(s string) string { return mapASCII(s, 'a', 'z') }),
		text("trim", strings.TrimSpace),
	)
})

// mapASCII turns the letters from lo to hi into those of the other case, and nothing else.
func mapASCII(s string, lo, hi byte) string {
	out := []byte(s)
	for i, c := range out {
		if c >= lo && c <= hi {
			out[i] = c ^ 0x20
		}
	}
	return string(out)
}

// tableEnv returns the environment in which expressions about a table are compiled.
func tableEnv(t *cdc.Table) (*cel.Env, error) {
	base, err := baseEnv()
	if err != nil {
		return nil, err
	}
	return base.Extend(cel.CustomTypeProvider(newProvider(base.CELTypeProvider(), t)))
}

// changed is what changed('col') becomes: the two images and the column's number.
func changed(args ...ref.Val) ref.Val {
	before, ok1 := args[0].(*image)
	after, ok2 := args[1].(*image)
	if !ok1 || !ok2 {
		return types.True // the row came or went, and all of its columns with it
	}
	i := int(args[2].(types.Int))
	for _, m := range [...]*image{before, after} {
		switch c, k := &m.row.Table().Columns[i], m.row.Kind(i); {
		case k == cdc.KindAbsent:
			return types.WrapErr(absentError{c.Name})
		case k != cdc.KindNull && k != c.Kind:
			return types.WrapErr(kindError(c, k))
		}
	}
	return types.Bool(!before.row.Equal(after.row, i))
}

// foldLiterals evaluates conversions of literals once, when the program is made: literals of columns' types are written
// as such. Nothing else is folded.
func foldLiterals(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || len(call.Args()) != 1 {
		return i, nil
	}
	switch call.Function() {
	case decimalFn, "timestamp", "duration":
	default:
		return i, nil
	}
	if _, ok := call.Args()[0].(interpreter.InterpretableConst); !ok {
		return i, nil
	}
	v := call.Eval(interpreter.EmptyActivation())
	if types.IsUnknownOrError(v) {
		return i, nil // stays what it is: an error when it is evaluated
	}
	return interpreter.NewConstValue(call.ID(), v), nil
}
