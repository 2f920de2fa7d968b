package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

func newRulesTestCmd(a *app) *cobra.Command {
	var schemaFile, record, at, rule, name string
	var coverage bool
	cmd := &cobra.Command{
		Use:   "test [FILES…]",
		Short: "Run the tests that stand in rule files",
		Long: "Run the tests that stand in rule files with their rules." + rulesLong + `

With --coverage it says which parts of the conditions the tests have never seen true, or false. With --record it runs nothing, but makes a
test of an event and adds it to the rule's file, expecting what the rule decides now; the test holds the event's values.` + eventLong,
		Example: `  cdcd rules test
  cdcd rules test rules/orders.yaml --schema schema.yaml --coverage
  cdcd rules test --record no:1001 --rule paid-big-order --name "a real one"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := readRules(a, args)
			if err != nil {
				return err
			}
			if l.findings.Err() != nil {
				return l.findings
			}
			cfg, err := a.anyConfig()
			if err != nil {
				return err
			}
			plugins := a.pluginsAside(cfg)
			defer plugins.Close()
			if l.set, err = plugins.pinAll(l.set); err != nil {
				return err
			}
			l.set = l.set.Asking(plugins.asks(cmd.Context()))
			known := func() ([]*cdc.Table, error) { return l.tables(cmd.Context(), a, schemaFile) }
			if record != "" {
				e, err := a.eventOf(cmd.Context(), record, at, known)
				if err != nil {
					return err
				}
				return a.recordTest(kind(cmd), l.set, e, rule, name)
			}
			if rule != "" || name != "" || at != "" {
				return usagef("--rule, --name and --at are for --record").WithFix("add --record no:1001, --record ID or --record FILE")
			}
			tables, err := known()
			if err != nil {
				return err
			}
			looked, err := a.lookedUpBy(cmd.Context(), schemaFile, l.set, tables)
			if err != nil {
				return err
			}
			if _, err := l.set.Check(tables, looked...); err != nil {
				return err
			}
			r := newTestResult(l.set.Test(tables, looked...))
			if coverage {
				r.cover(l.set.Coverage(tables, looked...))
			}
			return a.testVerdict(kind(cmd), r)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&schemaFile, "schema", "", "file that says what the tables look like, instead of the database")
	flags.BoolVar(&coverage, "coverage", false, "say which parts of the conditions the tests have not seen true and false")
	flags.StringVar(&record, "record", "", "make a test of "+eventFlag)
	flags.StringVar(&at, "at", "", "when the event to record was committed, or a time before, which makes finding an ID fast")
	flags.StringVar(&rule, "rule", "", "the rule that --record makes a test for; needed when several are for the event")
	flags.StringVar(&name, "name", "", "name of the test that --record makes")
	return cmd
}

// testResult is the outcome of `rules test` for machines.
type testResult struct {
	Tests    int             `json:"tests"`
	Passed   int             `json:"passed"`
	Failed   int             `json:"failed"`
	Each     []oneTest       `json:"each"`
	Coverage *coverageResult `json:"coverage,omitempty"`

	results []rules.TestResult
}

type oneTest struct {
	Rule    string     `json:"rule"`
	Test    string     `json:"test"`
	Passed  bool       `json:"passed"`
	Failure *errorInfo `json:"failure,omitempty"`
}

// coverageResult says how many of the outcomes that parts of conditions can have the tests have seen.
type coverageResult struct {
	Seen     int              `json:"seen"`
	Of       int              `json:"of"`
	Percent  float64          `json:"percent"`
	Rules    []rules.Coverage `json:"rules"`
	Findings []errorInfo      `json:"findings"`

	found rules.Findings
}

func newTestResult(results []rules.TestResult) testResult {
	r := testResult{Tests: len(results), Each: []oneTest{}, results: results}
	for _, t := range results {
		one := oneTest{Rule: t.Rule, Test: t.Name, Passed: t.Passed}
		if t.Passed {
			r.Passed++
		} else {
			info := api.ErrorOf(t.Failure)
			one.Failure = &info
			r.Failed++
		}
		r.Each = append(r.Each, one)
	}
	return r
}

// cover adds what the tests have shown of the conditions.
func (r *testResult) cover(all []rules.Coverage, found rules.Findings) {
	c := &coverageResult{Rules: all, Findings: []errorInfo{}, found: found}
	for i := range all {
		seen, of := all[i].Seen()
		c.Seen, c.Of = c.Seen+seen, c.Of+of
	}
	c.Percent = percent(c.Seen, c.Of)
	for _, f := range found {
		c.Findings = append(c.Findings, api.ErrorOf(f))
	}
	r.Coverage = c
}

// percent is 100 when there is nothing to be seen.
func percent(seen, of int) float64 {
	if of == 0 {
		return 100
	}
	return float64(1000*seen/of) / 10
}

func (a *app) testVerdict(kind string, r testResult) error {
	return a.ui.verdict(kind, r.Failed == 0, r, func(w io.Writer) {
		for _, t := range r.results {
			if t.Passed {
				fmt.Fprintf(w, "%s %s: %s\n", a.ui.out(green, "✓"), t.Rule, t.Name)
				continue
			}
			fmt.Fprintf(w, "%s %s: %s\n", a.ui.out(red, "✗"), t.Rule, t.Name)
			fmt.Fprintf(w, "  %s\n", indent(located(a, t.Failure), "  "))
		}
		fmt.Fprint(w, plural(r.Tests, "test"), ": ", r.Passed, " passed")
		if r.Failed > 0 {
			fmt.Fprint(w, ", ", r.Failed, " failed")
		}
		fmt.Fprintln(w)
		if r.Coverage != nil {
			a.printCoverage(w, r.Coverage)
		}
	})
}

func (a *app) printCoverage(w io.Writer, c *coverageResult) {
	fmt.Fprintln(w)
	for _, f := range c.found {
		fmt.Fprintln(w, located(a, f))
	}
	var table [][]string
	for i := range c.Rules {
		r := &c.Rules[i]
		seen, of := r.Seen()
		shown := fmt.Sprintf("%d of %d", seen, of)
		if of == 0 {
			shown = "no condition"
		}
		table = append(table, []string{r.Rule, fmt.Sprint(r.Tests), shown, fmt.Sprintf("%.1f %%", percent(seen, of))})
	}
	table = append(table, []string{"all", "", fmt.Sprintf("%d of %d", c.Seen, c.Of), fmt.Sprintf("%.1f %%", c.Percent)})
	a.ui.table(w, []string{"RULE", "TESTS", "OUTCOMES SEEN", "COVERAGE"}, table)
}

// recorded is the outcome of `rules test --record` for machines.
type recorded struct {
	Rule string `json:"rule"`
	Test string `json:"test"`
	File string `json:"file"`
	Line int    `json:"line"`
}

// recordTest makes a test of an event and writes it to the rule's file.
func (a *app) recordTest(kind string, set *rules.Set, e cdc.Event, rule, name string) error {
	r, err := set.Record(e, rule, name, os.ReadFile)
	if err != nil {
		return err
	}
	if err := rewrite(r.File, r.Text); err != nil {
		return cdc.Errorf("CDCD-1020", "write rules: %w", err)
	}
	return a.ui.result(kind, recorded{r.Rule, r.Test, r.File, r.Line}, func(w io.Writer) {
		fmt.Fprintf(w, "%s test '%s' of rule %s is at %s:%d\n", a.ui.out(green, "✓"), r.Test, r.Rule, r.File, r.Line)
		lines := bytes.Split(r.Text, []byte("\n"))
		depth := len(lines[r.Line-1]) - len(bytes.TrimLeft(lines[r.Line-1], " "))
		for i, line := range lines[r.Line-1:] {
			if own := len(line) - len(bytes.TrimLeft(line, " ")); i > 0 && own <= depth {
				break
			}
			fmt.Fprintf(w, "  %s\n", line[min(depth, len(line)):])
		}
	})
}

// rewrite replaces a file by another text at once, so that a crash leaves one or the other.
func rewrite(name string, text []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".rules-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(info.Mode())
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what counts is the first error
	}
	return err
}
