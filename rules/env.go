package rules

import (
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
	convert := func(name string, to *types.Type) cel.EnvOption {
		return cel.Function(name, cel.Overload("decimal_to_"+name, []*types.Type{dec}, to,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(to) })))
	}
	return cel.NewEnv(append(functionsV1(),
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
	)...)
})

// tableEnv returns the environment in which expressions about a table are compiled.
func tableEnv(t *cdc.Table, lang *Language) (*cel.Env, error) {
	base, err := lang.extend(nil)
	if err != nil {
		return nil, err
	}
	return base.Extend(cel.CustomTypeProvider(newProvider(base.CELTypeProvider(), t)))
}

// changed is what changed('col') becomes: the two images and the column's number.
func changed(args ...ref.Val) ref.Val {
	before, after, column, both, err := bothImages(args)
	if err != nil {
		return types.WrapErr(err)
	}
	if !both {
		return types.True // the row came or went, and all of its columns with it
	}
	return types.Bool(!before.row.Equal(after.row, column))
}

// foldLiterals evaluates conversions of literals once, when the program is made: literals of columns' types are written
// as such. Nothing else is folded.
func foldLiterals(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || len(call.Args()) == 0 {
		return i, nil
	}
	switch call.Function() {
	case decimalFn, "timestamp", "duration", "days":
	default:
		return i, nil
	}
	for _, arg := range call.Args() {
		if _, ok := arg.(interpreter.InterpretableConst); !ok {
			return i, nil
		}
	}
	v := call.Eval(interpreter.EmptyActivation())
	if types.IsUnknownOrError(v) {
		return i, nil // stays what it is: an error when it is evaluated
	}
	return interpreter.NewConstValue(call.ID(), v), nil
}
