package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

func newRulesFunctionsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "functions [NAME]",
		Short: "Print the functions that conditions can use, with examples",
		Long: fmt.Sprintf("Print the functions that conditions can use: all of them, or one with its examples. These are version %d of the\n"+
			"functions. A version never changes, so that a rule keeps its meaning; it may say which one it uses: functions: %d.\n\n"+
			"The examples are about a change of this table:\n\n%s", rules.FunctionsVersion, rules.FunctionsVersion, "  "+indent(strings.TrimSpace(rules.ReferenceTable), "  ")),
		Example: `  cdcd rules functions
  cdcd rules functions changed`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, f := range rules.Functions() {
				names = append(names, f.Name+"\t"+f.Text)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f, err := findFunction(args[0])
				if err != nil {
					return err
				}
				return a.ui.result(kind(cmd), f, func(w io.Writer) { printFunction(a, w, f) })
			}
			all := rules.Functions()
			return a.ui.result(kind(cmd), all, func(w io.Writer) {
				var rows [][]string
				group := ""
				for _, f := range all {
					if f.Group != group {
						group = f.Group
						rows = append(rows, []string{strings.ToUpper(group), ""})
					}
					rows = append(rows, []string{f.Name, firstSentence(f.Text)})
				}
				a.ui.table(w, []string{"FUNCTION", "WHAT"}, rows)
			})
		},
	}
}

// firstSentence returns a text up to its first point or colon.
func firstSentence(s string) string {
	if i := strings.Index(s, ". "); i >= 0 {
		s = s[:i+1]
	}
	if i := strings.Index(s, ": "); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSuffix(s, ".")
}

func findFunction(name string) (rules.Function, error) {
	var names []string
	for _, f := range rules.Functions() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	e := usagef("there is no function '%s'", name)
	if near, ok := strictyaml.Nearest(name, names); ok {
		return rules.Function{}, e.WithFix("did you mean '%s'?", near)
	}
	return rules.Function{}, e.WithFix("`cdcd rules functions` lists them")
}

func printFunction(a *app, w io.Writer, f rules.Function) {
	for _, s := range f.Signatures {
		fmt.Fprintln(w, a.ui.out(bold, s))
	}
	fmt.Fprintf(w, "\n%s\n\n", wrap(f.Text, 100))
	width := 0
	for _, e := range f.Examples {
		width = max(width, len([]rune(e.Expression)))
	}
	for _, e := range f.Examples {
		fmt.Fprintf(w, "  %s%s  → %s\n", e.Expression, strings.Repeat(" ", width-len([]rune(e.Expression))), e.Result)
	}
}

// wrap breaks a text into lines.
func wrap(s string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(s) {
		n := len([]rune(word))
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
