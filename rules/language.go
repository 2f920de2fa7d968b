package rules

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Type is the type of an argument or of the result of a [Func], beside the Go type of its values.
type Type uint8

// The types.
const (
	Bool      Type = iota // bool
	Int                   // int64
	Uint                  // uint64
	Double                // float64
	Decimal               // string: the digits, such as "12.50"
	Text                  // string
	Bytes                 // []byte
	Timestamp             // time.Time
	Duration              // time.Duration
)

// Func is a function of your own that rules can call.
type Func struct {
	Name   string
	Args   []Type // NULL is none of them: it fails where a function gets it, like everywhere
	Result Type

	// Version is part of the version of every rule that calls the function, and so of the digest of a set. Raise it when
	// the function gives something else than before.
	Version int

	// Call gets values of the Go types that Args say and returns one that Result says. It must give the same for the same
	// arguments, whenever and wherever, since decisions are repeated and compared; it is called by many goroutines at
	// once. An error is one of the rule.
	Call func(args []any) (any, error)
}

// Language is the language of rules with functions of your own.
type Language struct{ funcs map[string]Func }

var funcName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// NewLanguage returns the language with functions of your own. It fails when one has a name that is taken or is none.
func NewLanguage(funcs ...Func) (*Language, error) {
	l := &Language{funcs: map[string]Func{}}
	for _, f := range funcs {
		_, twice := l.funcs[f.Name]
		_, function := functions[f.Name]
		_, macro := macros[f.Name]
		switch {
		case !funcName.MatchString(f.Name):
			return nil, fmt.Errorf("rules: '%s' is not the name of a function", f.Name)
		case twice || function || macro || slices.Contains(variables, f.Name) || slices.Contains(typeNames, f.Name) || slices.Contains(grammarWords, f.Name):
			return nil, fmt.Errorf("rules: there is a '%s' already", f.Name)
		case f.Call == nil:
			return nil, fmt.Errorf("rules: function %s has no Call", f.Name)
		}
		for _, t := range append(slices.Clone(f.Args), f.Result) {
			if int(t) >= len(ownTypes) {
				return nil, fmt.Errorf("rules: function %s has a type that there is not", f.Name)
			}
		}
		l.funcs[f.Name] = f
	}
	if _, err := l.extend(nil); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return l, nil
}

// Parse reads a rule file as the function [Parse] does. Its rules and those of other languages do not go into one set.
func (l *Language) Parse(file string, src []byte) ([]*Rule, error) { return parse(l, file, src) }

// ownTypes are the types of functions, as CEL and as the typer have them.
var ownTypes = [...]struct {
	cel   *types.Type
	class class
}{Bool: {types.BoolType, boolean}, Int: {types.IntType, integer}, Uint: {types.UintType, unsigned}, Double: {types.DoubleType, double},
	Decimal: {decimalType, exact}, Text: {types.StringType, text}, Bytes: {types.BytesType, blob},
	Timestamp: {types.TimestampType, instant}, Duration: {types.DurationType, span}}

// extend returns an environment that has the functions; without one, that of all tables.
func (l *Language) extend(env *cel.Env) (*cel.Env, error) {
	if env == nil {
		var err error
		if env, err = baseEnv(); err != nil {
			return nil, err
		}
	}
	if l == nil || len(l.funcs) == 0 {
		return env, nil
	}
	var opts []cel.EnvOption
	for _, f := range l.funcs {
		args := make([]*types.Type, len(f.Args))
		for i, t := range f.Args {
			args[i] = ownTypes[t].cel
		}
		opts = append(opts, cel.Function(f.Name, cel.Overload("own_"+f.Name, args, ownTypes[f.Result].cel, cel.FunctionBinding(f.bind))))
	}
	return env.Extend(opts...)
}

// languageOf returns the language of a set's rules, which is one.
func languageOf(rs []*Rule) *Language {
	if len(rs) == 0 {
		return nil
	}
	return rs[0].lang
}

// bind is how CEL calls the function.
func (f Func) bind(args ...ref.Val) ref.Val {
	values := make([]any, len(args))
	for i, arg := range args {
		v, ok := goValue(f.Args[i], arg)
		if !ok {
			return types.MaybeNoSuchOverloadErr(arg)
		}
		values[i] = v
	}
	out, err := f.Call(values)
	if err != nil {
		return types.WrapErr(fmt.Errorf("%s(): %w", f.Name, err))
	}
	v, ok := celValue(f.Result, out)
	if !ok {
		return types.NewErr("%s() gave a %T", f.Name, out)
	}
	return v
}

func goValue(t Type, v ref.Val) (any, bool) {
	switch v := v.(type) {
	case types.Bool:
		return bool(v), t == Bool
	case types.Int:
		return int64(v), t == Int
	case types.Uint:
		return uint64(v), t == Uint
	case types.Double:
		return float64(v), t == Double
	case decimal:
		return string(v), t == Decimal
	case types.String:
		return string(v), t == Text
	case types.Bytes:
		return slices.Clone([]byte(v)), t == Bytes
	case types.Timestamp:
		return v.Time, t == Timestamp
	case types.Duration:
		return v.Duration, t == Duration
	}
	return nil, false
}

func celValue(t Type, v any) (ref.Val, bool) {
	switch v := v.(type) {
	case bool:
		return types.Bool(v), t == Bool
	case int64:
		return types.Int(v), t == Int
	case uint64:
		return types.Uint(v), t == Uint
	case float64:
		return types.Double(v), t == Double && !math.IsNaN(v)
	case string:
		if t == Decimal {
			d, err := parseDecimal(v)
			return d, err == nil
		}
		return types.String(v), t == Text
	case []byte:
		return types.Bytes(v), t == Bytes
	case time.Time:
		return types.Timestamp{Time: v.UTC()}, t == Timestamp
	case time.Duration:
		return types.Duration{Duration: v}, t == Duration
	}
	return nil, false
}

// own types a call of a function of the embedding program.
func (c *typer) own(e ast.Expr, f Func) typ {
	args := e.AsCall().Args()
	result := typ{class: ownTypes[f.Result].class}
	if len(args) != len(f.Args) {
		c.fail(e, codeType, "%s() takes %s, not %d", f.Name, values(len(f.Args)), len(args))
		return result
	}
	for i, arg := range args {
		want := typ{class: ownTypes[f.Args[i]].class}
		t := c.visit(arg)
		if t.literal && t.class != want.class {
			t = c.coerce(arg, t, e, want)
		}
		if t.class != failed && !t.open() && t.class != want.class {
			c.fail(arg, codeType, "%s; %s() takes %s here", c.describe(arg, t), f.Name, classWords[want.class])
		}
	}
	return result
}

func values(n int) string {
	if n == 1 {
		return "one value"
	}
	return strconv.Itoa(n) + " values"
}

// calls returns the functions of the embedding program that an expression calls, each as name@version.
func (l *Language) calls(x *expr) []string {
	if l == nil {
		return nil
	}
	var out []string
	ast.PreOrderVisit(x.tree, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().IsMemberFunction() {
			return
		}
		if f, ok := l.funcs[e.AsCall().FunctionName()]; ok {
			out = append(out, f.Name+"@"+strconv.Itoa(f.Version))
		}
	}))
	return sorted(out)
}

// parse parses the rule's condition.
func (r *Rule) parse() (*expr, *Finding) {
	key, text := "when", r.When
	if r.Where != "" {
		key, text = "where", r.Where
	}
	x, e := parseExpr(text, r.place.At(key))
	if e != nil {
		return nil, e
	}
	x.lang = r.lang
	return x, nil
}
