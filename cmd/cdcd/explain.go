package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
)

func newRulesExplainCmd(a *app) *cobra.Command {
	var ref, at, schemaFile string
	var files []string
	cmd := &cobra.Command{
		Use:   "explain [RULE] --event EVENT",
		Short: "Say why a rule matches an event, or why not",
		Long: `Explain evaluates a rule on one event and prints every part of its condition with what it gave, and which of them decided. Without a
rule it says in a line of each rule what that makes of the event.` + eventLong + `

An event of the stream is judged by the revision of the rules that was in force when it was captured, which is what decided. --files judges
it by rule files instead, or by a draft from standard input (-). An event from a file names no revision: it is judged by the rule files of the
configuration, or those of --files. What rules look up is read from the source as it is now; what it has of persons is encrypted as it would be
delivered, for which a cdcd must be running.`,
		Example: `  cdcd rules explain paid-big-order --event no:1001
  cdcd rules explain --event 0-1-17/0
  cdcd rules explain paid-big-order --event no:1001 --files rules/
  cdcd rules explain paid-big-order --files drafts/ --event event.json --schema schema.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case ref == "":
				return usagef("explain needs an event").WithFix("add --event no:1001, --event ID or --event FILE")
			case ref == "-" && slices.Contains(files, "-"):
				return usagef("the event and the rules cannot both be standard input").WithFix("write one of them to a file")
			}
			x, err := a.explain(cmd.Context(), ref, at, strings.Join(args, ""), files, schemaFile)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.explainAll(kind(cmd), x)
			}
			return a.ui.result(kind(cmd), x.all[0], func(w io.Writer) {
				fmt.Fprint(w, a.paintExplanation(x.all[0].Explanation))
				if slices.ContainsFunc(x.all[0].Lookups, func(l rules.LookedUp) bool { return l.Asked }) {
					fmt.Fprintf(w, "  %s\n", a.ui.out(dim, "looked up in the source as it is now; what was delivered has what was read then"))
				}
				if by := x.by.String(); by != "" {
					fmt.Fprintf(w, "  %s\n", a.ui.out(dim, by))
				}
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ref, "event", "", eventFlag)
	flags.StringVar(&at, "at", "", "when the event's transaction was committed, or a time before, which makes finding an ID fast: 2h, 2026-11-21T10:00:00Z")
	flags.StringSliceVar(&files, "files", nil, "judge by these rule files or folders (- is standard input), instead of what was in force")
	flags.StringVar(&schemaFile, "schema", "", "file that says what the tables look like, instead of the database; for events from files")
	return cmd
}

// judgedBy says which rules an explanation is about.
type judgedBy struct {
	Revision   uint64 `json:"revision,omitempty"` // 0: files
	RevisionID string `json:"revision_id,omitempty"`
	Named      string `json:"named,omitempty"` // the revision that the event's frame names, if it is another
	Frame      uint64 `json:"frame,omitempty"` // its sequence; 0: the event is not of the stream
}

// judgedByOf says it of a revision, or with the zero one of files.
func judgedByOf(r cdc.Revision, e cdc.Event) judgedBy {
	b := e.Batch()
	by := judgedBy{Revision: r.No, RevisionID: r.ID, Frame: b.Seq}
	if b.Rules != r {
		by.Named = b.Rules.String()
	}
	return by
}

func (by judgedBy) String() string {
	switch {
	case by.Frame == 0:
		return ""
	case by.Revision == 0 && by.Named == "":
		return "judged by the files"
	case by.Revision == 0:
		return "judged by the files; its frame names revision " + by.Named
	case by.Named == "":
		return fmt.Sprintf("judged by revision %d", by.Revision)
	}
	return fmt.Sprintf("judged by revision %d, which stands for %s", by.Revision, by.Named)
}

// explained is an explanation that says which rules it is about.
type explained struct {
	rules.Explanation
	judgedBy
}

// explanations are those of one event.
type explanations struct {
	event cdc.Event
	by    judgedBy
	all   []explained
}

// explain explains one rule, or without a name all, on the event that ref names: by the files that are named, else by what
// judges it, and if nothing does by the files of the configuration.
func (a *app) explain(ctx context.Context, ref, at, rule string, files []string, schemaFile string) (*explanations, error) {
	fromFiles := len(files) > 0 || isFile(ref)
	cfg, err := a.anyConfig()
	if err != nil {
		return nil, err
	}
	plugins := a.pluginsAside(cfg)
	defer plugins.Close()
	var set *rules.Set
	if fromFiles { // mistakes in them are told at once
		texts, err := a.ruleTexts(files)
		if err != nil {
			return nil, err
		}
		if set, err = parseTexts(texts); err != nil {
			return nil, err
		}
		if set, err = plugins.pinAll(set); err != nil {
			return nil, err
		}
		if err := hasRule(set, rule); err != nil {
			return nil, err
		}
	}
	e, err := a.eventOf(ctx, ref, at, func() ([]*cdc.Table, error) { return (*linted)(nil).tables(ctx, a, schemaFile) })
	if err != nil {
		return nil, err
	}
	x := &explanations{event: e, by: judgedByOf(cdc.Revision{}, e)}
	if !fromFiles {
		var st bus.RuleState
		if st, err = a.judgedState(ctx, e); err != nil {
			return nil, err
		}
		x.by = judgedByOf(st.Revision, e)
		if set, _, err = judgeBy(&st, nil); err != nil {
			return nil, err
		}
	}
	set = set.Asking(plugins.asks(ctx))
	if len(set.LookingUp()) > 0 && cfg.Source.MySQL != nil {
		sealing, err := a.personsAside(cfg)
		if err != nil {
			return nil, err
		}
		looks := openLookups(cfg, a.env, nil, sealing)
		defer looks.Close()
		set = set.LookingIn(looks.explains(ctx))
	}
	all := []rules.Explanation{}
	if rule == "" {
		all = set.ExplainAll(e)
	} else if one, err := set.Explain(e, rule); err != nil {
		return nil, err
	} else {
		all = append(all, one)
	}
	x.all = make([]explained, len(all))
	for i := range all {
		x.all[i] = explained{all[i], x.by}
	}
	return x, nil
}

// hasRule returns an error when a set has no rule of a name; "" stands for any.
func hasRule(set *rules.Set, name string) error {
	if name == "" || slices.ContainsFunc(set.Rules(), func(r *rules.Rule) bool { return r.Name == name }) {
		return nil
	}
	_, err := set.Explain(cdc.Event{}, name) // which says what it may have been meant to be
	return err
}

// judgedState asks what judges an event of the stream.
func (a *app) judgedState(ctx context.Context, e cdc.Event) (st bus.RuleState, err error) {
	cfg, err := a.config()
	if err != nil {
		return st, err
	}
	b := e.Batch()
	err = a.askDesk(ctx, cfg, ruleAsk{Verb: "judged", Named: b.Rules.String(), Seq: b.Seq}, &st)
	return st, interrupted(ctx, err)
}

// paintExplanation colours the signs at the beginning of lines and the sentence.
func (a *app) paintExplanation(x rules.Explanation) string {
	text := x.String()
	if !a.ui.colorOut {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if i == 0 {
			lines[i] = paint(true, bold, line)
			continue
		}
		rest := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(rest)]
		for _, sign := range []struct{ sign, style string }{{"✓ ", green}, {"✗ ", red}, {"! ", yellow}, {"· ", dim}} {
			if tail, ok := strings.CutPrefix(rest, sign.sign); ok {
				lines[i] = indent + paint(true, sign.style, strings.TrimSpace(sign.sign)) + " " + tail
				if sign.style == dim {
					lines[i] = indent + paint(true, dim, rest)
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}

// explainAll prints a line for each rule: first what matched, then what failed, then what did not match.
func (a *app) explainAll(kind string, x *explanations) error {
	all := x.all
	return a.ui.result(kind, all, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s of %s", x.event.ID(), x.event.Op(), x.event.Table())
		if by := x.by.String(); by != "" {
			fmt.Fprintf(w, ", %s", by)
		}
		fmt.Fprintln(w)
		for _, group := range []struct {
			outcome     rules.Outcome
			sign, style string
		}{{rules.Matched, "✓", green}, {rules.Failing, "!", yellow}, {rules.Undecided, "?", yellow}, {rules.NotMatched, "✗", red}} {
			for _, x := range all {
				if x.Outcome == group.outcome {
					fmt.Fprintf(w, "%s %s %s\n", a.ui.out(group.style, group.sign), x.Rule, x.Summary)
				}
			}
		}
		others := 0
		for _, x := range all {
			if x.Outcome == rules.OtherTable || x.Outcome == rules.OtherOp {
				others++
			}
		}
		if others > 0 {
			fmt.Fprintf(w, "· %s for other tables or operations\n", isAre(others, "rule"))
		}
	})
}

// isAre counts things as the beginning of a sentence.
func isAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}
