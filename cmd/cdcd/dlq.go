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
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

func newDLQCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at changes that could not be judged, try them again, deliver them after all, or give them up",
	}
	cmd.AddCommand(newDLQListCmd(a), newDLQShowCmd(a), newDLQRetestCmd(a), newDLQRedriveCmd(a), newDLQDiscardCmd(a))
	return cmd
}

// dlqGroup is dead letters of one cause.
type dlqGroup struct {
	ID string `json:"id"`
	deadletter.Cause
	Open    int            `json:"open"`    // that nothing has become of yet
	Settled map[string]int `json:"settled"` // redriven, no_match, discarded
	Edited  int            `json:"edited"`
	First   time.Time      `json:"first"` // when the changes were committed
	Last    time.Time      `json:"last"`
	Example string         `json:"example"` // the ID of an open letter, or of any
	Error   string         `json:"error"`   // of that one
}

type dlqList struct {
	Open   int        `json:"open"`
	Groups []dlqGroup `json:"groups"`
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
			list := dlqList{Groups: []dlqGroup{}}
			groups := map[string]*dlqGroup{}
			err := a.eachLetter(cmd.Context(), feeds, func(l *letterState) error {
				c := l.Cause()
				g := groups[c.ID()]
				if g == nil {
					g = &dlqGroup{ID: c.ID(), Cause: c, Settled: map[string]int{}}
					groups[g.ID] = g
				}
				g.count(l)
				return nil
			})
			if err != nil {
				return err
			}
			for _, g := range groups {
				if list.Open += g.Open; g.Open > 0 || all {
					list.Groups = append(list.Groups, *g)
				}
			}
			slices.SortFunc(list.Groups, func(a, b dlqGroup) int {
				return cmp.Or(cmp.Compare(a.Feed, b.Feed), cmp.Compare(b.Open, a.Open), cmp.Compare(a.ID, b.ID))
			})
			return a.ui.result(kind(cmd), list, func(w io.Writer) { a.printGroups(w, list) })
		},
	}
	cmd.Flags().StringSliceVar(&feeds, "feed", nil, "only of these feeds")
	cmd.Flags().BoolVar(&all, "all", false, "also groups of which nothing is open any more")
	return cmd
}

func (g *dlqGroup) count(l *letterState) {
	at := l.Batch.Event(0).CommitTime().UTC()
	if g.First.IsZero() || at.Before(g.First) {
		g.First = at
	}
	if at.After(g.Last) {
		g.Last = at
	}
	if l.Edits > 0 {
		g.Edited++
	}
	if l.Settled == "" {
		g.Open++
	} else {
		g.Settled[l.Settled]++
	}
	if g.Example == "" || l.Settled == "" && g.Open == 1 {
		g.Example = l.ID()
		for _, f := range l.Errors {
			if f.Rule == g.Rule {
				g.Error = f.Error
				break
			}
		}
	}
}

func (a *app) printGroups(w io.Writer, list dlqList) {
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

// letterState is a letter, with what became of it.
type letterState struct {
	*deadletter.Letter
	Settled string // "": it is open
	Job     *deadletter.Job
	Edits   int
	book    *deadletter.Book
}

// eachLetter reads the dead letters of feeds; none: of all.
func (a *app) eachLetter(ctx context.Context, feeds []string, yield func(*letterState) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if err := knownFeeds(cfg, feeds); err != nil {
		return err
	}
	for _, name := range feedNames(cfg) {
		dir := filepath.Join(cfg.DeadLetters.Dir, name)
		if len(feeds) > 0 && !slices.Contains(feeds, name) {
			continue
		}
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			continue // it was never run
		}
		store, err := openFolder(dir)
		if err != nil {
			return fmt.Errorf("dead letters of feed %s: %w", name, err)
		}
		book := deadletter.NewBook(name, store)
		jobs, err := book.Jobs(ctx)
		if err != nil {
			return err
		}
		edits, err := book.Corrected(ctx)
		if err != nil {
			return err
		}
		type fate struct {
			outcome string
			job     *deadletter.Job
		}
		fates := map[uint64]fate{}
		for i := range jobs {
			for _, s := range jobs[i].Settled {
				fates[s.No] = fate{s.Outcome, &jobs[i]}
			}
		}
		if err := book.Letters(ctx, func(l *deadletter.Letter) error {
			f := fates[l.No()]
			return yield(&letterState{l, f.outcome, f.job, edits[l.No()], book})
		}); err != nil {
			return err
		}
	}
	return nil
}

func knownFeeds(cfg *config, feeds []string) error {
	for _, name := range feeds {
		if cfg.Feeds[name] == nil {
			return usagef("there is no feed '%s'", name).WithFix("the configuration has %s", strings.Join(feedNames(cfg), ", "))
		}
	}
	return nil
}

// shownLetter is a letter as dlq show prints it.
type shownLetter struct {
	ID          string               `json:"id"`
	Group       string               `json:"group"`
	Feed        string               `json:"feed"`
	Frame       uint64               `json:"frame"` // sequence in the stream
	RuleSet     string               `json:"rule_set"`
	State       string               `json:"state"` // open, redriven, no_match, discarded
	Job         string               `json:"job,omitempty"`
	By          string               `json:"by,omitempty"` // of the job
	Why         string               `json:"why,omitempty"`
	SHA256      string               `json:"sha256"`
	Errors      []deadletter.Failure `json:"errors"`
	DeliveredBy []string             `json:"delivered_by"`
	Incomplete  bool                 `json:"incomplete,omitempty"` // values were too large to be captured
	Event       json.RawMessage      `json:"event"`
	Edits       []deadletter.Edit    `json:"edits,omitempty"`
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
			shown, found, more := []shownLetter{}, map[string]bool{}, 0
			err := a.eachLetter(cmd.Context(), nil, func(l *letterState) error {
				wanted := false
				for _, name := range []string{l.ID(), l.Cause().ID()} {
					if slices.Contains(args, name) {
						found[name], wanted = true, true
					}
				}
				if !wanted {
					return nil
				}
				if len(shown) >= limit {
					more++
					return nil
				}
				one, err := showLetter(cmd.Context(), l)
				shown = append(shown, one)
				return err
			})
			if err != nil {
				return err
			}
			for _, name := range args {
				if !found[name] {
					return noLetter(name)
				}
			}
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

func showLetter(ctx context.Context, l *letterState) (shownLetter, error) {
	e := l.Batch.Event(0)
	s := shownLetter{ID: l.ID(), Group: l.Cause().ID(), Feed: l.Feed, Frame: l.Seq, RuleSet: l.RuleSet, State: cmp.Or(l.Settled, "open"), SHA256: l.SHA256,
		Errors: l.Errors, DeliveredBy: l.DeliveredBy, Incomplete: e.Incomplete(), Event: cdc.AppendEvent(nil, e)}
	if l.Job != nil {
		s.Job, s.By, s.Why = fmt.Sprintf("%s/%d", l.Feed, l.Job.No), l.Job.By, l.Job.Why
	}
	if l.Edits == 0 {
		return s, nil
	}
	var err error
	s.Edits, err = l.book.Edits(ctx, l.No())
	return s, err
}

func (a *app) printLetter(w io.Writer, s *shownLetter) {
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
	progress := func(p dlqProgress) {
		live.show("dead letters: ", fmt.Sprintf("%d looked at, %d delivered", p.Letters, p.Delivered))
	}
	r, err := askSlowly[dlqProgress, dlqResult](ctx, cfg, "/dlq", wish, progress)
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

func (a *app) printSettled(w io.Writer, r dlqResult) {
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
