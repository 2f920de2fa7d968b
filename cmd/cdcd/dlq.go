package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

func newDLQCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at changes that could not be judged, try them again, deliver them after all, or give them up",
	}
	cmd.AddCommand(newDLQListCmd(a), newDLQShowCmd(a), newDLQRetestCmd(a), newDLQRedriveCmd(a), newDLQDiscardCmd(a))
	return cmd
}

func newDLQListCmd(a *app) *cobra.Command {
	var feeds []string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the dead letters, grouped by cause",
		Long: `List groups the dead letters by their cause: the feed, the rule that could not judge the change, its table and the code of the
error. It reads the folder of the dead letters and needs no running cdcd.`,
		Example: `  cdcd dlq list
  cdcd dlq list --feed acme --all -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			list, err := letterGroups(cmd.Context(), cfg, feeds, all)
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), list, func(w io.Writer) { a.printGroups(w, list) })
		},
	}
	cmd.Flags().StringSliceVar(&feeds, "feed", nil, "only of these feeds")
	cmd.Flags().BoolVar(&all, "all", false, "also groups of which nothing is open any more")
	return cmd
}

func (a *app) printGroups(w io.Writer, list api.DLQList) {
	if len(list.Groups) == 0 {
		fmt.Fprintln(w, "there are no dead letters")
		return
	}
	var rows [][]string
	for _, g := range list.Groups {
		var became []string
		for _, what := range slices.Sorted(maps.Keys(g.Settled)) {
			became = append(became, fmt.Sprintf("%d %s", g.Settled[what], strings.ReplaceAll(what, "_", " ")))
		}
		rows = append(rows, []string{g.ID, g.Feed, g.Rule, g.Table, cmp.Or(g.Code, "-"), fmt.Sprint(g.Open), cmp.Or(strings.Join(became, ", "), "-"),
			g.First.Format("2006-01-02 15:04:05Z"), g.Last.Format("2006-01-02 15:04:05Z"), g.Example})
	}
	a.ui.table(w, []string{"GROUP", "FEED", "RULE", "TABLE", "CODE", "OPEN", "SETTLED", "FIRST", "LAST", "EXAMPLE"}, rows)
	fmt.Fprintln(w)
	for _, g := range list.Groups {
		fmt.Fprintf(w, "%s  %s\n", g.ID, g.Error)
	}
}

func knownFeeds(cfg *config, feeds []string) error {
	for _, name := range feeds {
		if cfg.Feeds[name] == nil {
			return usagef("there is no feed '%s'", name).WithFix("the configuration has %s", strings.Join(feedNames(cfg), ", "))
		}
	}
	return nil
}

func newDLQShowCmd(a *app) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "show ID|GROUP…",
		Short: "Show dead letters: the change, and why which rule could not judge it",
		Long: `Show prints a dead letter, or those of a group: why each rule could not judge the change, its values, its corrections, and what
became of it. An ID is FEED/NUMBER. It reads the folder of the dead letters and needs no running cdcd.`,
		Example: `  cdcd dlq show acme/41334
  cdcd dlq show g1f0c2a77 --limit 3 -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			some, err := lettersNamed(cmd.Context(), cfg, args, "", 0, limit)
			if err != nil {
				return err
			}
			shown, more := some.Letters, some.More
			return a.ui.result(kind(cmd), shown, func(w io.Writer) {
				for i := range shown {
					a.printLetter(w, &shown[i])
				}
				if more > 0 {
					fmt.Fprintf(w, "and %s more: --limit %d shows them\n", plural(more, "letter"), more+limit)
				}
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "letters to show")
	return cmd
}

func (a *app) printLetter(w io.Writer, s *api.DeadLetter) {
	fmt.Fprintf(w, "%s  %s\n", a.ui.out(bold, s.ID), s.State)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("group", "%s", s.Group)
	if s.Job != "" {
		line("job", "%s by %s%s", s.Job, s.By, prefixed(": ", s.Why))
	}
	for _, f := range s.Errors {
		line("rule", "%s %s", f.Rule, f.Error)
	}
	if len(s.DeliveredBy) > 0 {
		line("delivered", "in its place, because of %s", strings.Join(s.DeliveredBy, ", "))
	}
	if s.Incomplete {
		line("incomplete", "values were too large to be captured")
	}
	line("frame", "%d", s.Frame)
	for _, e := range s.Edits {
		line("edit", "%d by %s at %s: %s", e.No, e.By, e.At.Format(time.RFC3339), e.Set)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, s.Event, "  ", "  "); err == nil {
		fmt.Fprintf(w, "  %s\n\n", pretty.String())
	}
}

func prefixed(by, s string) string {
	if s == "" {
		return ""
	}
	return by + s
}

func newDLQRetestCmd(a *app) *cobra.Command {
	var wish dlqWish
	var files string
	cmd := &cobra.Command{
		Use:   "retest [ID|GROUP…]",
		Short: "Judge dead letters again, without effect",
		Long: `Retest judges dead letters, all that are open if none are named, by the rules that could not judge them: as they are in force
now, or as they are in files. Each would match, would not match, or still fails. Nothing is delivered.`,
		Example: `  cdcd dlq retest g1f0c2a77
  cdcd dlq retest acme/41334 --rules drafts/`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			wish.Do, wish.What = "retest", args
			if files != "" {
				if wish.Rules, err = a.ruleTexts([]string{files}); err != nil {
					return err
				}
			}
			return a.settleLetters(cmd, wish, "")
		},
	}
	cmd.Flags().StringVar(&files, "rules", "", "rule file or folder to judge by, instead of the rules in force")
	cmd.Flags().StringSliceVar(&wish.Feeds, "feed", nil, "only of these feeds")
	return cmd
}

func newDLQRedriveCmd(a *app) *cobra.Command {
	var wish dlqWish
	var edit string
	var dry bool
	cmd := &cobra.Command{
		Use:   "redrive [ID|GROUP…]",
		Short: "Deliver dead letters that can be judged now",
		Long: `Redrive judges dead letters by the rules in force, as retest does, and with --yes delivers those that match. Their records go to a
chain of their own beside the feed's, in the folder redriven/, and each says that it comes late. A letter is redriven once, whatever is
killed meanwhile. Those that match no more are settled, too; those that still fail stay. A change that other rules had delivered in its
place is not delivered a second time.`,
		Example: `  cdcd dlq redrive g1f0c2a77
  cdcd dlq redrive g1f0c2a77 --yes --reason 'division by zero is mended'
  cdcd dlq redrive acme/41334 --edit fix.json --yes   # fix.json: {"after": {"sold_30d": 1}}`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wish.Do, wish.What = "redrive", args
			if dry && wish.Yes {
				return usagef("--dry-run and --yes say the opposite")
			}
			if wish.Yes && len(args) == 0 {
				return usagef("name the dead letters or groups to redrive").WithFix("`cdcd dlq list` has them")
			}
			return a.settleLetters(cmd, wish, edit)
		},
	}
	cmd.Flags().BoolVar(&wish.Yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done, as without --yes")
	cmd.Flags().StringVar(&edit, "edit", "", "file with corrected values of the one letter: {\"after\": {\"column\": value}}")
	cmd.Flags().StringVar(&wish.Why, "reason", "", "why, for the audit log; no personal data")
	cmd.Flags().StringSliceVar(&wish.Feeds, "feed", nil, "only of these feeds")
	return cmd
}

func newDLQDiscardCmd(a *app) *cobra.Command {
	var wish dlqWish
	var dry bool
	cmd := &cobra.Command{
		Use:   "discard ID|GROUP…",
		Short: "Give dead letters up",
		Long: `Discard says with --yes that nothing more is to become of dead letters. They stay where they are, and the audit log has who gave
them up and why.`,
		Example: `  cdcd dlq discard acme/41334 --reason 'a test order' --yes`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			wish.Do, wish.What = "discard", args
			if dry && wish.Yes {
				return usagef("--dry-run and --yes say the opposite")
			}
			if strings.TrimSpace(wish.Why) == "" {
				return usagef("--reason says why they are given up: the audit log keeps it")
			}
			return a.settleLetters(cmd, wish, "")
		},
	}
	cmd.Flags().BoolVar(&wish.Yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done, as without --yes")
	cmd.Flags().StringVar(&wish.Why, "reason", "", "why, for the audit log; no personal data")
	cmd.Flags().StringSliceVar(&wish.Feeds, "feed", nil, "only of these feeds")
	return cmd
}

// settleLetters has a wish fulfilled, by the running cdcd or here, and prints what came of it.
func (a *app) settleLetters(cmd *cobra.Command, wish dlqWish, edit string) error {
	ctx := cmd.Context()
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if err := knownFeeds(cfg, wish.Feeds); err != nil {
		return err
	}
	wish.By = whoAmI()
	if edit != "" {
		text, err := os.ReadFile(edit)
		if err == nil && !json.Valid(text) {
			err = fmt.Errorf("%s is not JSON", edit)
		}
		if err != nil {
			return cdc.Errorf("CDCD-4602", "the correction cannot be read: %w", err).WithFix(`write it like {"after": {"column": value}}`)
		}
		wish.Edit = text
	}
	live := living{ui: a.ui}
	progress := func(p api.DLQProgress) {
		live.show("dead letters: ", fmt.Sprintf("%d looked at, %d delivered", p.Letters, p.Delivered))
	}
	r, err := askSlowly[api.DLQProgress, api.DLQResult](ctx, cfg, "/dlq", wish, progress)
	if cdc.CodeOf(err) == codeNotRunning {
		var p *pipeline
		if p, err = a.aside(ctx, cfg, err); err == nil {
			defer p.closeAside()
			r, err = p.deadLetters(ctx, wish, progress)
		}
	}
	live.end()
	if err != nil {
		return interrupted(ctx, err)
	}
	return a.ui.result(kind(cmd), r, func(w io.Writer) { a.printSettled(w, r) })
}

func (a *app) printSettled(w io.Writer, r api.DLQResult) {
	if len(r.Letters) == 0 {
		fmt.Fprintln(w, "there are no such dead letters")
		return
	}
	var rows [][]string
	for _, l := range r.Letters {
		what := strings.ReplaceAll(l.Outcome, "_", " ")
		if len(l.Rules) > 0 {
			what += " " + strings.Join(l.Rules, ", ")
		}
		rows = append(rows, []string{l.ID, l.Event, l.Table, what, l.Why})
	}
	a.ui.table(w, []string{"LETTER", "EVENT", "TABLE", "OUTCOME", "WHY"}, rows)
	if r.More > 0 {
		fmt.Fprintf(w, "and %s more\n", plural(r.More, "letter"))
	}
	var counts []string
	for _, what := range slices.Sorted(maps.Keys(r.Counts)) {
		counts = append(counts, fmt.Sprintf("%d %s", r.Counts[what], strings.ReplaceAll(what, "_", " ")))
	}
	fmt.Fprintf(w, "\n%s\n", strings.Join(counts, ", "))
	switch {
	case r.Do == "retest":
	case r.DryRun:
		fmt.Fprintln(w, "nothing was done: --yes does it")
	case len(r.Jobs) == 0:
		fmt.Fprintln(w, "there was nothing to do")
	default:
		fmt.Fprintf(w, "done by %s", strings.Join(r.Jobs, ", "))
		if len(r.Into) > 0 {
			fmt.Fprintf(w, ", records in %s", strings.Join(r.Into, ", "))
		}
		fmt.Fprintln(w)
	}
}

// askSlowly asks the running cdcd for what takes its time.
func askSlowly[P, R any](ctx context.Context, cfg *config, path string, wish any, progress func(P)) (r R, err error) {
	text, err := json.Marshal(wish)
	if err != nil {
		return r, err
	}
	resp, err := callRunning(ctx, cfg, http.MethodPost, path, bytes.NewReader(text), 0)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // it explains the status, if it can
		return r, fmt.Errorf("%s%s: %s: %s", cfg.Console.Listen, path, resp.Status, bytes.TrimSpace(text))
	}
	return hearLines[P, R](ctx, resp.Body, progress)
}
