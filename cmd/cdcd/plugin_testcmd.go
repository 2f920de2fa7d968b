package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/rules"
)

func newPluginTestCmd(a *app) *cobra.Command {
	var o pluginTestOptions
	cmd := &cobra.Command{
		Use:   "test [FOLDER] [FILES…]",
		Short: "Run the tests of a plugin on the built module",
		Long: `Test has the built module judge the events of the files in the folder tests, or of FILES, and compares what comes out with
what they expect. A plugin that has not been built is built first. Each event is judged compiled, interpreted and without
metering, alone and in a batch: all have to come to the same.

  tables:
    shop.orders:
      columns: {id: bigint not null, status: "enum('new','paid')", total: "decimal(12,2)"}
      key: [id]
  config: {threshold: 1000}
  max_fuel: 20000
  tests:
    - name: a large order
      event: {op: insert, after: {id: 1, status: paid, total: "1200.00"}}
      expect: {verdict: keep, set: {after.note: large}, tags: [big], reason: large, route: [fraud]}

A verdict is keep, drop, error or trap. What an expectation does not name must not be there. A column that an event does not give is
NULL, if it may be. Fuel is what judging the event alone takes; it is the same on every machine.`,
		Example: `  cdcd plugin test
  cdcd plugin test plugins/fraud-score
  cdcd plugin test --update`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.testPlugin(cmd.Context(), kind(cmd), args, o) },
	}
	o.flags(cmd)
	return cmd
}

type pluginTestOptions struct {
	schema        string
	update, build bool
}

func (o *pluginTestOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.schema, "schema", "", "file that says what the tables look like, for tests that do not")
	cmd.Flags().BoolVar(&o.update, "update", false, "have the tests expect what comes out now")
	cmd.Flags().BoolVar(&o.build, "build", false, "build the plugin first if its sources are newer")
}

// splitFolder takes the folder of a plugin from the arguments: the first one, if it is one, else this folder.
func splitFolder(args []string) (*pluginkit.Project, []string, error) {
	dir, rest := ".", args
	if len(args) > 0 {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			dir, rest = folderOf(args), args[1:]
		}
	}
	p, err := pluginkit.Open(dir)
	if err != nil && len(rest) > 0 && dir == "." { // it was meant to be a folder: this one is no plugin's
		if _, wrong := pluginkit.Open(rest[0]); wrong != nil {
			err = wrong
		}
	}
	return p, rest, err
}

func (a *app) testPlugin(ctx context.Context, kind string, args []string, o pluginTestOptions) error {
	p, names, err := splitFolder(args)
	if err != nil {
		return err
	}
	tests, err := readPluginTests(p, names, o.schema)
	if err != nil {
		return err
	}
	module, err := a.builtModule(ctx, p, o.build)
	if err != nil {
		return interrupted(ctx, err)
	}
	results, err := pluginkit.RunTests(ctx, module, tests, a.engines())
	if err != nil {
		return interrupted(ctx, err)
	}
	if o.update {
		if results, err = a.updateTests(ctx, module, tests, results); err != nil {
			return interrupted(ctx, err)
		}
	}
	r := newPluginTestResult(results)
	return a.ui.verdict(kind, r.Failed == 0, r, func(w io.Writer) { r.print(a, w) })
}

// readPluginTests reads the tests of a project, or those of the named files.
func readPluginTests(p *pluginkit.Project, names []string, schema string) ([]pluginkit.Test, error) {
	var tables []*cdc.Table
	if schema != "" {
		src, err := os.ReadFile(schema)
		if err != nil {
			return nil, cdc.Errorf("CDCD-2113", "read the schema: %w", err).WithFix("name a file: --schema schema.yaml")
		}
		if tables, err = rules.ParseSchema(schema, src); err != nil {
			return nil, err
		}
	}
	files, err := p.TestFiles(names)
	if err != nil {
		return nil, err
	}
	return pluginkit.ReadTests(files, tables)
}

// updateTests has tests expect what came out, where engines agree, and returns the results with that.
func (a *app) updateTests(ctx context.Context, module []byte, tests []pluginkit.Test, results []pluginkit.TestResult) ([]pluginkit.TestResult, error) {
	byFile := map[string][]int{}
	var files []string
	for i, t := range tests {
		if byFile[t.File] == nil {
			files = append(files, t.File)
		}
		byFile[t.File] = append(byFile[t.File], i)
	}
	changed := 0
	for _, file := range files {
		outcomes := map[string]pluginkit.Outcome{}
		var of []pluginkit.Test
		for _, i := range byFile[file] {
			of = append(of, tests[i])
			if t := &tests[i]; results[i].Agreed && (t.Expect == nil || !results[i].Outcome.Equal(*t.Expect)) {
				outcomes[t.Name] = results[i].Outcome
				o := results[i].Outcome
				t.Expect = &o
			}
		}
		if len(outcomes) == 0 {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, cdc.Errorf("CDCD-2554", "read tests: %w", err)
		}
		text, err := pluginkit.Update(file, src, of, outcomes)
		if err != nil {
			return nil, err
		}
		if err := rewrite(file, text); err != nil {
			return nil, cdc.Errorf("CDCD-2554", "write tests: %w", err)
		}
		changed += len(outcomes)
		a.ui.note("%s: %s updated", file, plural(len(outcomes), "expectation"))
	}
	if changed == 0 {
		return results, nil
	}
	tests, err := pluginkit.ReadTests(files, tablesOfTests(tests))
	if err != nil {
		return nil, err
	}
	return pluginkit.RunTests(ctx, module, tests, a.engines())
}

// tablesOfTests returns the tables that events are of.
func tablesOfTests(tests []pluginkit.Test) []*cdc.Table {
	var tables []*cdc.Table
	for _, t := range tests {
		if table := t.Event.Table(); !slices.ContainsFunc(tables, func(seen *cdc.Table) bool { return seen.String() == table.String() }) {
			tables = append(tables, table)
		}
	}
	return tables
}

// pluginTestResult is the outcome of `plugin test` for machines.
type pluginTestResult struct {
	Tests  int             `json:"tests"`
	Passed int             `json:"passed"`
	Failed int             `json:"failed"`
	Each   []onePluginTest `json:"each"`
}

type onePluginTest struct {
	pluginkit.TestResult
	Findings []errorInfo `json:"findings,omitempty"`
}

func newPluginTestResult(results []pluginkit.TestResult) pluginTestResult {
	r := pluginTestResult{Tests: len(results), Each: []onePluginTest{}}
	for _, t := range results {
		one := onePluginTest{TestResult: t}
		for _, f := range t.Findings {
			one.Findings = append(one.Findings, api.ErrorOf(f))
		}
		if t.Passed {
			r.Passed++
		} else {
			r.Failed++
		}
		r.Each = append(r.Each, one)
	}
	return r
}

func (r *pluginTestResult) print(a *app, w io.Writer) {
	for i := range r.Each {
		t := &r.Each[i]
		if t.Passed {
			fmt.Fprintf(w, "%s %s (%s, %s fuel)\n", a.ui.out(green, "✓"), t.Test, t.Outcome.Verdict, grouped(uint64(t.Fuel)))
			continue
		}
		fmt.Fprintf(w, "%s %s\n", a.ui.out(red, "✗"), t.Test)
		for _, f := range t.TestResult.Findings {
			fmt.Fprintf(w, "  %s\n", indent(located(a, f), "  "))
		}
		for _, line := range t.Log {
			fmt.Fprintf(w, "  log %s\n", line)
		}
	}
	fmt.Fprint(w, plural(r.Tests, "test"), ": ", r.Passed, " passed")
	if r.Failed > 0 {
		fmt.Fprint(w, ", ", r.Failed, " failed")
	}
	fmt.Fprintln(w)
}
