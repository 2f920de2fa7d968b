package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/rules"
)

func newPluginReplayCmd(a *app) *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay --against OLD.wasm [FOLDER] [FILES…]",
		Short: "Compare what two versions of a plugin make of the same changes",
		Long: `Replay has the built module and another one judge the same changes, and shows those that they judge otherwise: the verdict, the
edits, or both; and the fuel that each took. The changes are those of the plugin's tests, or of FILES such as those that plugin record
writes; or with --stream those of the stream. It delivers nothing. Exit 1 says that there is a difference.`,
		Example: `  cdcd plugin replay --against old.wasm
  cdcd plugin replay --against plugins/fraud-score.wasm fraud-score --stream --rule paid-big-order --limit 10000`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.replayPlugin(cmd.Context(), kind(cmd), args, o)
		},
	}
	o.events.flags(cmd)
	cmd.Flags().StringVar(&o.against, "against", "", "the other module: a .wasm file")
	cmd.Flags().BoolVar(&o.stream, "stream", false, "compare on changes of the stream, see --rule, --limit and --since")
	cmd.Flags().StringVar(&o.config, "config-json", "", "configuration of the plugin on the stream; default: that of the rule's filter")
	cmd.Flags().StringVar(&o.schema, "schema", "", "file that says what the tables look like, for files that do not")
	cmd.Flags().IntVar(&o.examples, "examples", 10, "how many differences to show")
	return cmd
}

type replayOptions struct {
	events          eventsOptions
	against, config string
	schema          string
	stream          bool
	examples        int
}

func (a *app) replayPlugin(ctx context.Context, kind string, args []string, o replayOptions) error {
	if o.against == "" {
		return usagef("plugin replay needs another version to compare with").WithFix("add --against OLD.wasm")
	}
	p, names, err := splitFolder(args)
	if err != nil {
		return err
	}
	_, old, err := a.moduleOf(o.against)
	if err != nil {
		return err
	}
	var tests []pluginkit.Test
	if o.stream {
		tests, err = a.replayed(ctx, p, o)
	} else {
		tests, err = readPluginTests(p, names, o.schema)
	}
	if err != nil {
		return interrupted(ctx, err)
	}
	module, err := a.builtModule(ctx, p, false)
	if err != nil {
		return interrupted(ctx, err)
	}
	c, err := pluginkit.Replay(ctx, old, module, tests, a.engines(), max(o.examples, 0))
	if err != nil {
		return interrupted(ctx, err)
	}
	return a.ui.verdict(kind, c.Different == 0, c, func(w io.Writer) { a.printComparison(w, &c) })
}

// replayed returns changes of the stream, with the configuration of the rule that lets them through.
func (a *app) replayed(ctx context.Context, p *pluginkit.Project, o replayOptions) ([]pluginkit.Test, error) {
	wish, r, err := o.events.wish(a, p)
	if err != nil {
		return nil, err
	}
	config := json.RawMessage(o.config)
	if o.config != "" && !json.Valid(config) {
		return nil, usagef("--config-json is not JSON").WithFix(`write it like --config-json '{"threshold": 1000}'`)
	}
	if o.config == "" {
		config = configOf(r)
	}
	events, err := a.eventsOf(ctx, wish)
	if err != nil {
		return nil, err
	}
	tests := make([]pluginkit.Test, len(events))
	for i, e := range events {
		tests[i] = pluginkit.Test{Name: fmt.Sprintf("no:%d", e.No()), Event: e, Config: config}
	}
	return tests, nil
}

// configOf returns the configuration that a rule has for its plugin.
func configOf(r *rules.Rule) json.RawMessage {
	if r == nil || r.Filter == nil || len(r.Filter.Config) == 0 {
		return json.RawMessage("{}")
	}
	return r.Filter.Config
}

func (a *app) printComparison(w io.Writer, c *pluginkit.Comparison) {
	for _, d := range c.Difference {
		fmt.Fprintf(w, "%s\n  old %s\n  new %s\n", d.Event, d.Old, d.New)
	}
	if more := c.Different - len(c.Difference); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	if c.Different > 0 {
		fmt.Fprintln(w)
	}
	var rows [][]string
	for i, v := range c.Versions {
		rows = append(rows, []string{[...]string{"old", "new"}[i], v.Name, fmt.Sprint(v.Kept), fmt.Sprint(v.Failed),
			grouped(uint64(v.Fuel / int64(max(c.Events, 1)))), v.Digest[:min(len(v.Digest), 19)]})
	}
	a.ui.table(w, []string{"", "PLUGIN", "KEPT", "FAILED", "FUEL/EVENT", "DIGEST"}, rows)
	fmt.Fprintf(w, "\n%s: %d alike, %d different (%d kept besides, %d no longer)\n", plural(c.Events, "change"), c.Same, c.Different, c.Gained, c.Lost)
}
