package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// frozen is an activation whose now does not come from its event.
type frozen struct {
	*activation
	now time.Time
}

func (f frozen) ResolveName(name string) (any, bool) {
	if name == nowVar {
		return types.Timestamp{Time: f.now}, true
	}
	return f.activation.ResolveName(name)
}

// TestExamplesOfTheReferenceGiveWhatTheySay evaluates every example.
func TestExamplesOfTheReferenceGiveWhatTheySay(t *testing.T) {
	give := referenceEvaluator(t)
	for _, f := range Functions() {
		if len(f.Examples) == 0 {
			t.Errorf("%s has no example", f.Name)
		}
		for _, e := range f.Examples {
			if got := give(t, e.Expression); got != e.Result {
				t.Errorf("%s\ngives %s, not %s", e.Expression, got, e.Result)
			}
		}
	}
}

// referenceEvaluator returns a function that evaluates an expression about the reference's event.
func referenceEvaluator(t testing.TB) func(t testing.TB, expression string) string {
	tables := mustTables(t, ReferenceTable)
	var line bytes.Buffer
	if err := json.Compact(&line, []byte(ReferenceEvent)); err != nil {
		t.Fatal(err)
	}
	e := readEvent(t, tables, line.String())
	env, err := tableEnv(tables[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	now, err := time.Parse(time.RFC3339, referenceNow)
	if err != nil {
		t.Fatal(err)
	}
	var seen activation
	seen.see(e)
	a := frozen{&seen, now}
	return func(t testing.TB, expression string) string {
		rs := mustParse(t, one(expression))
		x, fail := parseExpr(expression, rs[0].place.At("when"))
		if fail != nil {
			t.Fatalf("%s: %v", expression, fail)
		}
		c := newTyper(x, tables[0])
		c.visit(c.tree)
		if len(c.errs) > 0 {
			t.Fatalf("%s: %v", expression, c.errs)
		}
		x.ast.NativeRep().Expr().SetKindCase(c.foldFor(e.Op()))
		checked, issues := env.Check(x.ast)
		if issues.Err() != nil {
			t.Fatalf("%s: %v", expression, issues.Err())
		}
		program, err := env.Program(checked, cel.CustomDecoratorV2(foldLiterals))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		out, _, err := program.Eval(interpreter.Activation(a))
		if err != nil {
			return "fails: " + err.Error()
		}
		return showExample(out)
	}
}

// showExample writes a value as it stands in the reference.
func showExample(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return "'" + string(v) + "'"
	case decimal:
		return string(v)
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano)
	case traits.Lister:
		var items []string
		for i := range v.Size().(types.Int) {
			items = append(items, showExample(v.Get(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v.Value())
}

func TestTheReferenceHasEveryFunction(t *testing.T) {
	known := map[string]bool{nowVar: true, ".?": true, "in": true}
	for _, names := range []map[string]class{functions, methods} {
		for name := range names {
			known[name] = true
		}
	}
	for name := range macros {
		known[name] = true
	}
	var have []string
	for _, f := range Functions() {
		have = append(have, f.Name)
		if f.Since < 1 || f.Since > FunctionsVersion || f.Text == "" || len(f.Signatures) == 0 {
			t.Errorf("%+v", f)
		}
	}
	slices.Sort(have)
	if want := slices.Sorted(maps.Keys(known)); !slices.Equal(have, want) {
		t.Errorf("the reference has\n%v\nthere are\n%v", have, want)
	}
}

// TestVersionsOfFunctionsAreFrozen compares every overload that expressions can use, ours and CEL's, and what the
// examples give, with what version 1 had. A new version of CEL that changes something fails here: the change then belongs
// into a new version of functions, or must be undone.
func TestVersionsOfFunctionsAreFrozen(t *testing.T) {
	env, err := baseEnv()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	functions := env.Functions()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		var lines []string
		for _, o := range functions[name].OverloadDecls() {
			var args []string
			for _, arg := range o.ArgTypes() {
				args = append(args, cel.FormatCELType(arg))
			}
			target := ""
			if o.IsMemberFunction() {
				target, args = args[0]+".", args[1:]
			}
			lines = append(lines, fmt.Sprintf("%s%s(%s) → %s\n", target, name, strings.Join(args, ", "), cel.FormatCELType(o.ResultType())))
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	var names []string
	for _, m := range env.Macros() {
		names = append(names, m.MacroKey())
	}
	slices.Sort(names)
	fmt.Fprintf(&b, "macros: %s\n", strings.Join(names, ", "))
	give := referenceEvaluator(t)
	for _, f := range Functions() {
		for _, e := range f.Examples {
			fmt.Fprintf(&b, "%s = %s\n", e.Expression, give(t, e.Expression))
		}
	}
	golden(t, "testdata/functions-1.golden", b.String())
}

// TestTheReferenceIsWrittenDown keeps docs/functions.md what the table of functions says.
func TestTheReferenceIsWrittenDown(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Functions of the rule language\n\n")
	b.WriteString("This page is written by the test that runs its examples; `cdcd rules functions` prints the same. Everything here is version 1 of the\n" +
		"functions. A version never changes: a rule keeps the meaning that it had, whatever release of cdcd runs it. A rule may name its version\n" +
		"with `functions: 1`.\n\n")
	b.WriteString("The examples are about this change, committed on Saturday, 21 November 2026, 03:00 UTC:\n\n```yaml\n" + ReferenceTable + "```\n```json\n" + ReferenceEvent + "```\n")
	group := ""
	for _, f := range Functions() {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n```\n%s\n```\n\n%s\n\n", f.Name, strings.Join(f.Signatures, "\n"), f.Text)
		for _, e := range f.Examples {
			fmt.Fprintf(&b, "- `%s` → `%s`\n", e.Expression, e.Result)
		}
	}
	golden(t, "../docs/functions.md", b.String())
}

// golden compares a text with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was; run go test ./rules -update and look at the difference", file)
	}
}
