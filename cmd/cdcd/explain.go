package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

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
rule it says in a line of each rule what that makes of the event.` + eventLong,
		Example: `  cdcd rules explain paid-big-order --event no:1001
  cdcd rules explain --event 0-1-17/0
  cdcd rules explain paid-big-order --rules drafts/ --event event.json --schema schema.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ref == "" {
				return usagef("explain needs an event").WithFix("add --event no:1001, --event ID or --event FILE")
			}
			l, err := readRules(a, files)
			if err != nil {
				return err
			}
			if l.findings.Err() != nil {
				return l.findings
			}
			if len(args) == 1 && !l.has(args[0]) {
				_, err := l.set.Explain(cdc.Event{}, args[0])
				return err
			}
			e, err := a.eventOf(cmd.Context(), ref, at, func() ([]*cdc.Table, error) { return l.tables(cmd.Context(), a, schemaFile) })
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.explainAll(kind(cmd), e, l.set.ExplainAll(e))
			}
			x, err := l.set.Explain(e, args[0])
			if err != nil {
				return err
			}
			return a.ui.result(kind(cmd), x, func(w io.Writer) { fmt.Fprint(w, a.paintExplanation(x)) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ref, "event", "", eventFlag)
	flags.StringVar(&at, "at", "", "when the event's transaction was committed, or a time before, which makes finding an ID fast: 2h, 2026-11-21T10:00:00Z")
	flags.StringSliceVar(&files, "rules", nil, "rule files or folders, instead of those that the configuration names")
	flags.StringVar(&schemaFile, "schema", "", "file that says what the tables look like, instead of the database; for events from files")
	return cmd
}

func (l *linted) has(name string) bool {
	for _, r := range l.rules {
		if r.Name == name {
			return true
		}
	}
	return false
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
func (a *app) explainAll(kind string, e cdc.Event, all []rules.Explanation) error {
	return a.ui.result(kind, all, func(w io.Writer) {
		fmt.Fprintf(w, "%s %s of %s\n", e.ID(), e.Op(), e.Table())
		for _, group := range []struct {
			outcome     rules.Outcome
			sign, style string
		}{{rules.Matched, "✓", green}, {rules.Failing, "!", yellow}, {rules.NotMatched, "✗", red}} {
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
