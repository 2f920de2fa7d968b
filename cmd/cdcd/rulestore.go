package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/console/api"
)

const storeLong = `

The running cdcd is asked, at console.listen; without one the store is opened here.`

func newRulesPushCmd(a *app) *cobra.Command {
	var why string
	var base uint64
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "push [FILES…]",
		Short: "Publish rule files",
		Long: `Push checks rule files against the tables and publishes what they change, as a new revision of the rules. It is in force
for every change that is captured from then on.

FILES are rule files, or folders of them; without any, those that the configuration names, and rules that have gone
from them are removed. What others have published since the files were pushed or pulled stays; where they changed the same
rule, nothing is published, and the message says who it was.` + storeLong,
		Example: `  cdcd rules push --why 'threshold after the audit'
  cdcd rules push rules/orders.yaml --dry-run
  cdcd rules push --base 17`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			texts, err := a.ruleTexts(args)
			if err != nil {
				return err
			}
			ask := ruleAsk{Verb: "push", Who: whoAmI(), Why: why, DryRun: dryRun, Files: texts, All: len(args) == 0, Dir: cfg.dir(), PulledAt: pulledAt(cfg.dir())}
			if cmd.Flags().Changed("base") {
				ask.Base = &base
			}
			return a.publishRules(cmd, cfg, ask)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for those who read the history")
	cmd.Flags().Uint64Var(&base, "base", 0, "the revision that the files were made from (default: when they were pushed or pulled last)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check, and show what would change")
	return cmd
}

// publishRules asks for a publication and prints what came of it.
func (a *app) publishRules(cmd *cobra.Command, cfg *config, ask ruleAsk) error {
	var out outcome
	if err := a.askDesk(cmd.Context(), cfg, ask, &out); err != nil {
		return interrupted(cmd.Context(), err)
	}
	if err := out.Findings.Err(); err != nil {
		return err
	}
	return a.ui.result(kind(cmd), out, func(w io.Writer) {
		for _, f := range out.Findings {
			fmt.Fprintln(w, located(a, f))
		}
		for _, d := range out.Changed {
			fmt.Fprintf(w, "  %s %s\n", d.Rule, summaryOf(d))
		}
		switch {
		case len(out.Changed) == 0 && ask.Verb != "adopt":
			fmt.Fprintf(w, "nothing to publish: revision %d says the same\n", out.Revision)
		case out.DryRun:
			fmt.Fprintf(w, "%s not published: --dry-run\n", plural(len(out.Changed), "change"))
		case out.From == 0:
			fmt.Fprintf(w, "%s revision %d is published, in force from the next frame on\n", a.ui.out(green, "✓"), out.Revision)
		default:
			fmt.Fprintf(w, "%s revision %d is published, in force from frame %d on\n", a.ui.out(green, "✓"), out.Revision, out.From)
		}
		if !out.Checked && len(out.Changed) > 0 {
			a.ui.note("not checked against tables: they are not known")
		}
	})
}

func newRulesPullCmd(a *app) *cobra.Command {
	var revision uint64
	cmd := &cobra.Command{
		Use:   "pull [DIR]",
		Short: "Write the published rules to files",
		Long: `Pull writes the rules as they are in force to the files that they came from, with their comments, in the folder of the
configuration or in DIR. Rules that came from no file get one each. Other files stay as they are; what was in a file that is
written stays beside it, as FILE.before-pull.` + storeLong,
		Example: `  cdcd rules pull
  cdcd rules pull --revision 16 /tmp/as-it-was`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var st bus.RuleState
			if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "state", Revision: revision}, &st); err != nil {
				return interrupted(cmd.Context(), err)
			}
			dir := cfg.dir()
			if len(args) > 0 {
				dir = args[0]
			}
			written, err := writeRules(dir, &st)
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), written, func(w io.Writer) {
				for _, f := range written.Files {
					fmt.Fprintf(w, "  %s %s", f.File, f.What)
					if f.Kept != "" {
						fmt.Fprintf(w, "; what was there is in %s", f.Kept)
					}
					fmt.Fprintln(w)
				}
				fmt.Fprintf(w, "%s the files are those of revision %d\n", a.ui.out(green, "✓"), written.Revision)
			})
		},
	}
	cmd.Flags().Uint64Var(&revision, "revision", 0, "the revision to write (default: the newest)")
	return cmd
}

// pulled is what `rules pull` has written.
type pulled struct {
	Revision uint64       `json:"revision"`
	Files    []pulledFile `json:"files"` // that were changed
}

type pulledFile struct {
	File string `json:"file"`
	What string `json:"what"`           // written
	Kept string `json:"kept,omitempty"` // file that has what was there before
}

// keptAs is added to the name of a file that is overwritten: it may have edits that nobody has published.
const keptAs = ".before-pull"

// writeRules makes the rule files in a folder those of a state.
func writeRules(dir string, st *bus.RuleState) (pulled, error) {
	out := pulled{Revision: st.Revision.No, Files: []pulledFile{}}
	files := map[string]string{}
	placed := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(st.Layout)) {
		text := st.Layout[file].Head
		for _, name := range st.Layout[file].Rules {
			if r, ok := st.Rules[name]; ok && r.File == file {
				text += r.Text
				placed[name] = true
			}
		}
		files[file] = text
	}
	for _, name := range slices.Sorted(maps.Keys(st.Rules)) {
		r := st.Rules[name]
		if placed[name] {
			continue
		}
		if text, ok := files[r.File]; ok { // the file was laid out without it
			files[r.File] = text + r.Text
			continue
		}
		files["rules/"+name+".yaml"] = "version: 1\nrules:\n" + r.Text
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !filepath.IsLocal(filepath.FromSlash(file)) {
			return out, fmt.Errorf("rule file %q is not within the folder", file)
		}
		path := filepath.Join(dir, filepath.FromSlash(file))
		done := pulledFile{File: file, What: "written"}
		if have, err := os.ReadFile(path); err == nil && string(have) == files[file] {
			continue
		} else if err == nil {
			done.Kept = file + keptAs
			if err := os.WriteFile(path+keptAs, have, 0o644); err != nil {
				return out, err
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return out, err
		}
		if err := os.WriteFile(path, []byte(files[file]), 0o644); err != nil {
			return out, err
		}
		out.Files = append(out.Files, done)
	}
	return out, os.WriteFile(filepath.Join(dir, baseMark), fmt.Appendf(nil, "%d\n", st.Revision.No), 0o644)
}

func newRulesDiffCmd(a *app) *cobra.Command {
	var text bool
	cmd := &cobra.Command{
		Use:   "diff [REVISION] [REVISION|FILES…]",
		Short: "Compare two revisions of the rules, or one with files",
		Long: `Diff compares rule by rule: what decides otherwise, and what is only written otherwise. Without arguments it compares the
newest revision with the rule files of the configuration, with one revision that and the newest. It exits with 1 when there
are differences.` + storeLong,
		Example: `  cdcd rules diff
  cdcd rules diff 16 17 --text
  cdcd rules diff 16 rules/orders.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var diff rulesDiff
			if diff.from, diff.to, err = a.diffSides(cmd, cfg, args); err != nil {
				return interrupted(cmd.Context(), err)
			}
			if diff.Rules, err = diffStates(diff.from.state, diff.to.state); err != nil {
				return err
			}
			diff.From, diff.To = diff.from.name, diff.to.name
			return a.ui.verdict(kind(cmd), len(diff.Rules) == 0, diff, func(w io.Writer) { a.printDiff(w, &diff, text) })
		},
	}
	cmd.Flags().BoolVar(&text, "text", false, "show the texts, as diff -u does")
	return cmd
}

type rulesDiff struct {
	From  string         `json:"from"`
	To    string         `json:"to"`
	Rules []api.RuleDiff `json:"rules"`

	from, to diffSide
}

type diffSide struct {
	name  string
	state *bus.RuleState
}

// diffSides finds out what is to be compared.
func (a *app) diffSides(cmd *cobra.Command, cfg *config, args []string) (from, to diffSide, err error) {
	revision := func(no uint64) (diffSide, error) {
		var st bus.RuleState
		err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "state", Revision: no}, &st)
		return diffSide{fmt.Sprintf("revision %d", st.Revision.No), &st}, err
	}
	number := func(i int) (uint64, bool) {
		if i >= len(args) {
			return 0, false
		}
		no, err := strconv.ParseUint(args[i], 10, 64)
		return no, err == nil
	}
	first, isRevision := number(0)
	if from, err = revision(first); err != nil {
		return from, to, err
	}
	if isRevision {
		args = args[1:]
		second, also := number(0)
		if also || len(args) == 0 {
			to, err = revision(second)
			return from, to, err
		}
	}
	texts, err := a.ruleTexts(args)
	if err != nil {
		return from, to, err
	}
	plugins := a.pluginsAside(cfg)
	defer plugins.Close()
	p, _, err := pushedFiles(cfg.dir(), texts, len(args) == 0, plugins.pinner())
	if err != nil {
		return from, to, err
	}
	c, err := p.merge(from.state, from.state)
	return from, diffSide{"files", c.apply(from.state)}, err
}

func (a *app) printDiff(w io.Writer, diff *rulesDiff, text bool) {
	for i := range diff.Rules {
		d := &diff.Rules[i]
		if text {
			fmt.Fprint(w, unified(d, diff.From, diff.To))
			continue
		}
		style := yellow
		if !d.Decides {
			style = dim
		}
		fmt.Fprintf(w, "%s %s\n", a.ui.out(style, d.Rule), summaryOf(*d))
		for _, f := range d.Fields {
			if f.From+f.To != "" {
				fmt.Fprintf(w, "  %s\n    - %s\n    + %s\n", f.Field, indent(f.From, "      "), indent(f.To, "      "))
			}
		}
	}
	if text {
		return
	}
	fmt.Fprintf(w, "%s to %s: ", diff.From, diff.To)
	decides := 0
	for _, d := range diff.Rules {
		if d.Decides {
			decides++
		}
	}
	switch n := len(diff.Rules); {
	case n == 0:
		fmt.Fprintln(w, "no difference")
	default:
		fmt.Fprintf(w, "%s, of which %d may decide otherwise\n", plural(n, "difference"), decides)
	}
}

func newRulesHistoryCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history [NAME]",
		Short: "Show who changed rules, when and why",
		Long:  "History lists the revisions of the rules, newest first; with a name those that changed this rule." + storeLong,
		Example: `  cdcd rules history
  cdcd rules history paid-big-order -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var list []api.Publication
			if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "history", Rule: strings.Join(args, "")}, &list); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), list, func(w io.Writer) {
				var rows [][]string
				for _, p := range list {
					rows = append(rows, []string{fmt.Sprint(p.Revision), stamp(p.Time), p.Who, p.Kind, namesOf(&p), p.Why})
				}
				a.ui.table(w, []string{"REVISION", "WHEN", "WHO", "HOW", "RULES", "WHY"}, rows)
			})
		},
	}
}

// namesOf says which rules a publication is about.
func namesOf(p *api.Publication) string {
	names := slices.Clone(p.Changed)
	for i, digest := range p.Plugins {
		if digest != "" {
			names[i] += " (plugin " + shortVersion(digest) + ")"
		}
	}
	for _, name := range p.Removed {
		names = append(names, "-"+name)
	}
	if s := p.StandsFor; s != nil {
		names = append(names, fmt.Sprintf("stands for %s from frame %d on", s.Revision, s.From))
	}
	if more := len(names) - 3; more > 0 {
		names = append(names[:3], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func newRulesRollbackCmd(a *app) *cobra.Command {
	var why string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rollback REVISION|NAME@REVISION",
		Short: "Publish rules as they were",
		Long:  "Rollback publishes a new revision that holds what an earlier one held, all rules or one." + storeLong,
		Example: `  cdcd rules rollback 16 --why 'floods the partner'
  cdcd rules rollback paid-big-order@16 --why 'floods the partner'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, number, named := strings.Cut(args[0], "@")
			if !named {
				name, number = "", args[0]
			}
			no, err := strconv.ParseUint(number, 10, 64)
			if err != nil || no == 0 || named && name == "" {
				return usagef("'%s' is not a revision", args[0]).WithFix("write its number, 16, or that of one rule, paid-big-order@16")
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.publishRules(cmd, cfg, ruleAsk{Verb: "rollback", Who: whoAmI(), Why: why, DryRun: dryRun, Rule: name, Revision: no})
		},
	}
	whyFlag(cmd, &why)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check, and show what would change")
	return cmd
}

func whyFlag(cmd *cobra.Command, why *string) {
	cmd.Flags().StringVar(why, "why", "", "the reason, for those who read the history")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if strings.TrimSpace(*why) == "" {
			return usagef("say why, for those who read the history later").WithFix("--why 'floods the partner'")
		}
		return nil
	}
}

func newRulesModeCmd(a *app) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "mode NAME active|shadow|off|draft",
		Short: "Put a rule into another mode",
		Long: `A draft is kept and judged nowhere, and may have mistakes. A shadow rule is judged, counted and sampled, and delivers
nothing. An active rule delivers. A rule that is off is checked only.` + storeLong,
		Example: "  cdcd rules mode paid-big-order shadow --why 'watch it for a day'",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.publishRules(cmd, cfg, ruleAsk{Verb: "mode", Who: whoAmI(), Why: why, Rule: args[0], Mode: args[1]})
		},
	}
	whyFlag(cmd, &why)
	return cmd
}

func newRulesAdoptCmd(a *app) *cobra.Command {
	var why string
	var from uint64
	cmd := &cobra.Command{
		Use:   "adopt REVISION",
		Short: "Have changes judged by the rules in force instead of those of another revision",
		Long: `Adopt publishes that the rules in force stand for another revision: changes that name it are judged by them. It is for
when the store has lost that revision (cdcd errors CDCD-2311), and for when one of its rules halts the line (CDCD-5001); with
--from it is for the frames from there on alone. Nothing that was delivered changes. REVISION is written with its ID; 0
stands for changes that name none.` + storeLong,
		Example: "  cdcd rules adopt 17.9f8a0b1c2d3e4f50 --from 48213 --why 'NULL totals, mended in 18'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.publishRules(cmd, cfg, ruleAsk{Verb: "adopt", Who: whoAmI(), Why: why, Adopted: args[0], From: from})
		},
	}
	whyFlag(cmd, &why)
	cmd.Flags().Uint64Var(&from, "from", 0, "the first frame, by its sequence in the stream")
	return cmd
}

func newRulesListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [NAME]",
		Short: "Show the rules in force",
		Long: `List shows the rules of the newest revision, and what the running cdcd has seen of them since it was started: matches,
errors, and whether a rule does not fit its table any more. With a name it shows the rule's text, and the last matches if
it is a shadow rule.` + storeLong,
		Example: `  cdcd rules list
  cdcd rules list paid-big-order`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var l api.RuleList
			if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "list", Rule: strings.Join(args, "")}, &l); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), l, func(w io.Writer) { a.printRules(w, &l, len(args) > 0) })
		},
	}
}

func (a *app) printRules(w io.Writer, l *api.RuleList, one bool) {
	var rows [][]string
	for _, r := range l.Rules {
		matches, errs := "", ""
		if l.Running {
			matches, errs = fmt.Sprint(r.Matches), fmt.Sprint(r.Errors)
		}
		finding := r.Broken
		if finding == "" {
			finding = r.LastError
		}
		rows = append(rows, []string{r.Rule, r.Mode, shortVersion(r.Version), fmt.Sprint(r.Revision), r.Since.UTC().Format(time.RFC3339), r.Who, matches, errs, finding})
	}
	a.ui.table(w, []string{"RULE", "MODE", "VERSION", "REVISION", "SINCE", "WHO", "MATCHES", "ERRORS", "FINDING"}, rows)
	if one {
		for _, r := range l.Rules {
			fmt.Fprintf(w, "\n%s", r.Text)
			for i, s := range r.Samples {
				if i == 0 {
					fmt.Fprintln(w, "\nthe last matches, which were not delivered:")
				}
				fmt.Fprintf(w, "%s\n", s)
			}
		}
		return
	}
	fmt.Fprintf(w, "revision %d: %s\n", l.Revision, plural(len(l.Rules), "rule"))
}

// shortVersion returns the beginning of a digest, which is enough for people.
func shortVersion(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(len(hex), 8)]
}
