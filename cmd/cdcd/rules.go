package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

func newRulesCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check, test, try and publish rules",
	}
	cmd.AddCommand(newRulesLintCmd(a), newRulesTestCmd(a), newRulesExplainCmd(a), newRulesFunctionsCmd(a), newRulesBacktestCmd(a))
	cmd.AddCommand(newRulesPushCmd(a), newRulesPullCmd(a), newRulesDiffCmd(a), newRulesHistoryCmd(a), newRulesRollbackCmd(a), newRulesModeCmd(a), newRulesListCmd(a),
		newRulesAdoptCmd(a), newRulesDraftsCmd(a), newRulesPublishCmd(a), newRulesRemoveCmd(a), newRulesBacktestsCmd(a))
	return cmd
}

const rulesLong = `

FILES are rule files, or folders of them; without any, those that the configuration names.
The tables are those of the database that the configuration names, or of --schema FILE:

  tables:
    shop.orders:
      columns: {id: bigint unsigned not null, total: "decimal(12,2)"}
      key: [id]`

func newRulesLintCmd(a *app) *cobra.Command {
	var schemaFile string
	var fix bool
	var f fixes
	cmd := &cobra.Command{
		Use:   "lint [FILES…]",
		Short: "Check rules against the tables they are about, and mend them",
		Long: "Check rule files: their layout, and their conditions against the tables as they are. With --fix, mistakes\n" +
			"that can be mended in one way only are mended in the files; with --warnings, what warnings suggest is done, too:\n" +
			"that changes what rules match. -o wide also says what a change must be like for each rule to be looked at." + rulesLong,
		Example: `  cdcd rules lint
  cdcd rules lint rules/ --schema schema.yaml
  cdcd rules lint --fix --dry-run
  cdcd rules lint -o wide`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !fix && (f.dry || f.warnings) {
				return usagef("--dry-run and --warnings go with --fix").WithFix("write: cdcd rules lint --fix --dry-run")
			}
			tables := sync.OnceValues(func() ([]*cdc.Table, error) { return (*linted)(nil).tables(cmd.Context(), a, schemaFile) })
			lint := func() (*linted, error) { return lintRules(cmd.Context(), a, args, schemaFile, tables) }
			if !fix {
				l, err := lint()
				if err != nil {
					return err
				}
				return l.verdict(a, kind(cmd))
			}
			done, l, err := f.mend(lint)
			if err != nil {
				return err
			}
			l.fixed, l.dry = done, f.dry
			return l.verdict(a, kind(cmd))
		},
	}
	cmd.Flags().StringVar(&schemaFile, "schema", "", "file that says what the tables look like, instead of the database")
	cmd.Flags().BoolVar(&fix, "fix", false, "mend what can be mended in one way only")
	cmd.Flags().BoolVar(&f.warnings, "warnings", false, "with --fix: also do what warnings suggest, which changes what rules match")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "with --fix: show what would be changed, and change nothing")
	return cmd
}

// lintRules reads rule files and checks them.
func lintRules(ctx context.Context, a *app, args []string, schemaFile string, known func() ([]*cdc.Table, error)) (*linted, error) {
	l, err := readRules(a, args)
	if err != nil || l.set == nil {
		return l, err
	}
	tables, err := known()
	switch {
	case err == nil:
		l.known = tables
		looked, unknown := a.lookedUpBy(ctx, schemaFile, l.set, tables)
		if unknown != nil {
			a.ui.note("look-ups are not checked: %s", unknown)
		}
		findings, _ := checkKnown(l.set, tables, looked, unknown)
		l.findings = append(l.findings, findings...)
		if cfg, err := a.anyConfig(); err == nil && cfg.file != "" && schemaFile == "" {
			l.findings = append(l.findings, partitionColumns(cfg, tables, feedNames(cfg)...)...)
		}
		l.everywhere(a.ui.wide)
		err = l.plugins(ctx, a)
	case len(l.findings) == 0:
		return nil, err
	default: // what is wrong already comes first
		a.ui.note("not checked against tables: %s", err)
		err = nil
	}
	return l, err
}

// plugins starts the plugins of the rules for trial, as publishing the rules would.
func (l *linted) plugins(ctx context.Context, a *app) error {
	if len(l.set.Filters()) == 0 {
		return nil
	}
	cfg, err := a.anyConfig()
	if err != nil {
		return err
	}
	plugins := a.pluginsAside(cfg)
	defer plugins.Close()
	pin := plugins.pinner()
	for _, r := range l.set.Filters() {
		var found rules.Findings
		pinned, err := pin(r)
		if err == nil {
			found, err = plugins.examine(ctx, pinned, l.known)
		}
		if err != nil && !errors.As(err, &found) {
			return interrupted(ctx, err)
		}
		for _, f := range found {
			if f.Code != codeNoPlugin || cfg.file != "" { // without a configuration nobody says where they are
				l.findings = append(l.findings, f)
			}
		}
	}
	return nil
}

// linted is what is known of a set of rule files.
type linted struct {
	rules    []*rules.Rule // those that can be read
	set      *rules.Set    // of these; nil when they do not go together
	findings rules.Findings
	known    []*cdc.Table // that they were checked against
	fixed    []fixed      // what was mended, or would be
	dry      bool
}

// readRules reads rule files. What is wrong in them is in the findings; errors are about reading.
func readRules(a *app, args []string) (*linted, error) {
	files, err := ruleFiles(a, args)
	if err != nil {
		return nil, err
	}
	texts, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	l := &linted{}
	if l.rules, l.findings, err = parseEach(texts); err != nil {
		return nil, err
	}
	l.set, err = rules.New(l.rules)
	var found rules.Findings
	if errors.As(err, &found) {
		l.findings = append(l.findings, found...)
	}
	return l, nil
}

// ruleFiles returns the files that the arguments name, or the configuration.
func ruleFiles(a *app, args []string) ([]string, error) {
	if len(args) == 0 {
		cfg, err := a.config()
		if err != nil {
			return nil, err
		}
		files, err := cfg.ruleFiles()
		if err == nil && len(files) == 0 {
			err = cdc.Errorf("CDCD-1020", "no file matches rules: %s", strings.Join(cfg.Rules, ", ")).
				WithFix("name the files: cdcd rules lint FILES…, or mend `rules` in %s", cfg.file)
		}
		return files, err
	}
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, cdc.Errorf("CDCD-1020", "read rules: %w", err)
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		n := len(files)
		for _, pattern := range []string{"*.yaml", "*.yml"} {
			found, _ := filepath.Glob(filepath.Join(globQuote(arg), pattern)) // the pattern is well-formed
			files = append(files, found...)
		}
		if len(files) == n {
			return nil, cdc.Errorf("CDCD-1020", "the folder %s has no rule file", arg).WithFix("rule files end in .yaml or .yml")
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

var globMeta = regexp.MustCompile(`[*?\[\\]`)

// globQuote makes a name match itself only.
func globQuote(name string) string { return globMeta.ReplaceAllString(name, `\$0`) }

// tables returns the tables that rules are checked against: those of the schema file, else those of the source.
func (l *linted) tables(ctx context.Context, a *app, schemaFile string) ([]*cdc.Table, error) {
	if schemaFile != "" {
		src, err := os.ReadFile(schemaFile)
		if err != nil {
			return nil, cdc.Errorf("CDCD-2113", "read the schema: %w", err).WithFix("name a file: --schema schema.yaml")
		}
		return rules.ParseSchema(schemaFile, src)
	}
	unknown := cdc.Errorf("CDCD-2113", "the tables of these rules are not known").
		WithFix("give --schema FILE, or -c with a configuration whose source can be reached")
	if _, err := os.Stat(a.configFile); err != nil {
		return nil, unknown
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	tables, err := tablesOf(ctx, a, cfg)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, interrupted(ctx, err)
	case err != nil:
		e := cdc.Errorf("CDCD-2113", "the tables of these rules are not known: %w", err)
		return nil, e.WithFix("%s", unknown.Fix)
	case len(tables) == 0:
		return nil, unknown
	}
	return tables, nil
}

// lintResult is the outcome of `rules lint` for machines.
type lintResult struct {
	Rules    int         `json:"rules"`
	OK       int         `json:"ok"` // rules without an error; warnings do not count
	Errors   int         `json:"errors"`
	Warnings int         `json:"warnings"`
	Findings []errorInfo `json:"findings"`
	Fixed    []fixed     `json:"fixed,omitempty"` // what --fix changed, or would change
}

func (l *linted) verdict(a *app, kind string) error {
	l.findings.Sort()
	r := l.count()
	r.Fixed = l.fixed
	return a.ui.verdict(kind, r.Errors == 0, r, func(w io.Writer) {
		for _, f := range l.fixed {
			fmt.Fprint(w, f.print(a))
		}
		if n := len(l.fixed); n > 0 {
			fmt.Fprintf(w, "%s %s\n\n", plural(n, "change"), map[bool]string{true: "not made (--dry-run)", false: "made"}[l.dry])
		}
		l.print(a, w)
		if a.ui.wide {
			l.printIndexing(a, w)
		}
		fmt.Fprint(w, plural(r.Rules, "rule"), ": ", r.OK, " ok")
		if r.Errors > 0 {
			fmt.Fprint(w, ", ", plural(r.Errors, "error"))
		}
		if r.Warnings > 0 {
			fmt.Fprint(w, ", ", plural(r.Warnings, "warning"))
		}
		fmt.Fprintln(w)
	})
}

func (l *linted) print(a *app, w io.Writer) {
	for _, f := range l.findings {
		fmt.Fprintln(w, located(a, f))
	}
}

// located returns a finding as it is printed on stdout.
func located(a *app, f *strictyaml.Error) string {
	if a.ui.colorOut && a.ui.colorErr {
		return a.ui.paintLocated(f)
	}
	return f.Error()
}

var rulePath = regexp.MustCompile(`^rules\[\d+\]`)

// count counts rules and findings. A rule is bad when an error is in it, whether it could be read or not.
func (l *linted) count() lintResult {
	r := lintResult{Findings: []errorInfo{}}
	bad := map[string]bool{}
	for _, f := range l.findings {
		r.Findings = append(r.Findings, api.ErrorOf(f))
		if f.Warning {
			r.Warnings++
			continue
		}
		r.Errors++
		if at := rulePath.FindString(f.Path); at != "" {
			bad[f.File+" "+at] = true
		}
	}
	good := 0
	for _, rule := range l.rules {
		if file, at := rule.Place(); !bad[file+" "+at] {
			good++
		}
	}
	r.Rules, r.OK = good+len(bad), good
	return r
}
