package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

const authorLong = `

Drafts belong to their author: in the console the one who signed in, here the user of this machine, or --who.`

func newRulesDraftsCmd(a *app) *cobra.Command {
	var who, save string
	var all, drop bool
	cmd := &cobra.Command{
		Use:   "drafts [NAME]",
		Short: "Show, save and throw away rules that are not published yet",
		Long: `Drafts lists the drafts of an author, and with a name shows one with what others have published since it was begun. With --save it
keeps a rule file's only rule as a draft, on top of the one that is there; with --drop it throws one away.` + authorLong + storeLong,
		Example: `  cdcd rules drafts --all
  cdcd rules drafts paid-big-order
  cdcd rules drafts paid-big-order --save draft.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			draft := api.RuleDraft{Author: who, Name: strings.Join(args, "")}
			switch {
			case draft.Name == "" && (save != "" || drop):
				return usagef("say which draft").WithFix("name the rule: cdcd rules drafts paid-big-order --save FILE")
			case draft.Name == "":
				if all {
					draft.Author = ""
				}
				var list []api.RuleDraft
				if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "drafts", Draft: &draft}, &list); err != nil {
					return interrupted(cmd.Context(), err)
				}
				return a.ui.result(kind(cmd), api.RuleDrafts{Drafts: list}, func(w io.Writer) {
					var rows [][]string
					for _, d := range list {
						rows = append(rows, []string{d.Name, d.Author, stamp(d.Saved), fmt.Sprint(d.Base), map[bool]string{true: "yes"}[d.New]})
					}
					a.ui.table(w, []string{"DRAFT", "AUTHOR", "SAVED", "BASE", "NEW"}, rows)
				})
			case drop:
				if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "drop_draft", Draft: &draft}, &draft); err != nil {
					return interrupted(cmd.Context(), err)
				}
				return a.ui.result(kind(cmd), draft, func(w io.Writer) {
					fmt.Fprintf(w, "%s draft '%s' is thrown away\n", a.ui.out(green, "✓"), draft.Name)
				})
			}
			have := draft
			err = a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "draft", Draft: &draft}, &have)
			if save != "" && (err == nil || cdc.CodeOf(err) == codeNoDraft) {
				if draft, err = a.savedDraft(cmd, cfg, have, save); err != nil {
					return interrupted(cmd.Context(), err)
				}
				return a.ui.result(kind(cmd), draft, func(w io.Writer) {
					fmt.Fprintf(w, "%s draft '%s' is saved, begun from revision %d\n", a.ui.out(green, "✓"), draft.Name, draft.Base)
				})
			}
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), have, func(w io.Writer) {
				fmt.Fprint(w, have.Text)
				if m := have.Moved; m != nil {
					fmt.Fprintf(w, "\n%s %s has %s the rule in revision %d at %s: %s\n", a.ui.out(yellow, "!"), m.Who, m.Diff.What, m.Revision, stamp(m.Time), m.Why)
				}
			})
		},
	}
	cmd.Flags().StringVar(&who, "who", whoAmI(), "the author")
	cmd.Flags().BoolVar(&all, "all", false, "the drafts of everybody")
	cmd.Flags().StringVar(&save, "save", "", "keep the rule of this file (- is standard input)")
	cmd.Flags().BoolVar(&drop, "drop", false, "throw the draft away")
	return cmd
}

// savedDraft keeps the rule of a file as a draft.
func (a *app) savedDraft(cmd *cobra.Command, cfg *config, have api.RuleDraft, file string) (api.RuleDraft, error) {
	texts, err := a.ruleTexts([]string{file})
	if err != nil {
		return have, err
	}
	rs, err := rules.Parse(texts[0].File, []byte(texts[0].Text))
	if err != nil {
		return have, err
	}
	if len(rs) != 1 {
		return have, usagef("%s has %s, and a draft is one", texts[0].File, plural(len(rs), "rule")).WithFix("put the others into files of their own")
	}
	_, each := rules.Split([]byte(texts[0].Text), rs)
	have.Text, have.Moved = each[0], nil
	if have.Version == 0 {
		var l api.RuleList
		if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "list"}, &l); err != nil {
			return have, err
		}
		have.Base = l.Revision
	}
	var saved api.RuleDraft
	err = a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "save_draft", Draft: &have}, &saved)
	return saved, err
}

func newRulesPublishCmd(a *app) *cobra.Command {
	c := console.RuleChange{Kind: "publish"}
	cmd := &cobra.Command{
		Use:   "publish NAME",
		Short: "Publish a draft",
		Long: `Publish checks a draft against the tables and publishes it; then it is thrown away. A draft that decides otherwise than what is in
force needs a back-test of its condition, at most a day old, or a reason for doing without one; both stand in the history. When somebody
else has published the rule since the draft was begun, nothing is published.` + authorLong + storeLong,
		Example: `  cdcd rules publish paid-big-order --why 'threshold after the audit' --backtest q3k7x2mfpa4c
  cdcd rules publish paid-big-order --why 'new partner' --untested 'the table has no history yet'
  cdcd rules publish paid-big-order --why 'watch it for a day' --mode shadow`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Draft = args[0]
			return a.changeRule(cmd, c)
		},
	}
	whyFlag(cmd, &c.Why)
	flags := cmd.Flags()
	flags.StringVar(&c.Author, "who", whoAmI(), "the draft's author")
	flags.StringVar(&c.Backtest, "backtest", "", "the back-test that has tried it: cdcd rules backtests")
	flags.StringVar(&c.Untested, "untested", "", "why there is no back-test")
	flags.StringVar(&c.Mode, "mode", "", "publish it in this mode: active, shadow, off or draft (default: as it is written)")
	flags.Uint64Var(&c.Base, "base", 0, "the revision to publish on top of (default: the one that the draft was begun from)")
	flags.BoolVar(&c.DryRun, "dry-run", false, "check, and show what would change")
	return cmd
}

func newRulesRemoveCmd(a *app) *cobra.Command {
	c := console.RuleChange{Kind: "remove"}
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Short:   "Take a rule away",
		Long:    "Remove publishes a revision without the rule; its history stays, and `cdcd rules rollback` brings it back." + storeLong,
		Example: "  cdcd rules remove paid-big-order --why 'the partner has left'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Rule = args[0]
			return a.changeRule(cmd, c)
		},
	}
	whyFlag(cmd, &c.Why)
	cmd.Flags().BoolVar(&c.DryRun, "dry-run", false, "check, and show what would change")
	return cmd
}

// changeRule asks for a change and prints what came of it.
func (a *app) changeRule(cmd *cobra.Command, c console.RuleChange) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	var out api.Published
	if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "publish", Who: whoAmI(), Change: &c}, &out); err != nil {
		return interrupted(cmd.Context(), err)
	}
	return a.ui.result(kind(cmd), out, func(w io.Writer) {
		for _, f := range out.Findings {
			fmt.Fprintf(w, "warning %s: %s\n", f.Code, f.Message)
		}
		for i := range out.Changed {
			fmt.Fprintf(w, "  %s %s\n", out.Changed[i].Rule, summaryOf(out.Changed[i]))
		}
		switch {
		case len(out.Changed) == 0:
			fmt.Fprintf(w, "nothing to publish: revision %d says the same\n", out.Revision)
		case out.DryRun:
			fmt.Fprintf(w, "%s not published: --dry-run\n", plural(len(out.Changed), "change"))
		case out.From == 0:
			fmt.Fprintf(w, "%s revision %d is published, in force from the next frame on\n", a.ui.out(green, "✓"), out.Revision)
		default:
			fmt.Fprintf(w, "%s revision %d is published, in force from frame %d on\n", a.ui.out(green, "✓"), out.Revision, out.From)
		}
	})
}

func newRulesBacktestsCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "backtests",
		Short:   "Show the back-tests that a running cdcd remembers",
		Long:    "Backtests lists those that were started in the console: the last 50, until that cdcd ends. `cdcd rules publish --backtest` names one.",
		Example: "  cdcd rules backtests",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var list api.Backtests
			if err := a.askDesk(cmd.Context(), cfg, ruleAsk{Verb: "backtests"}, &list); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), list, func(w io.Writer) {
				var rows [][]string
				for _, b := range list.Backtests {
					rows = append(rows, []string{b.ID, b.State, strings.Join(b.Rules, ", "), b.Who, stamp(b.Asked), grouped(b.Read), grouped(b.Matched), grouped(b.Errors)})
				}
				a.ui.table(w, []string{"BACK-TEST", "STATE", "RULES", "WHO", "ASKED", "READ", "MATCHED", "ERRORS"}, rows)
			})
		},
	}
}
