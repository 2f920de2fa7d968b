package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/internal/pluginkit"
)

func newPluginBenchCmd(a *app) *cobra.Command {
	var o pluginTestOptions
	var each time.Duration
	cmd := &cobra.Command{
		Use:   "bench [FOLDER] [FILES…]",
		Short: "Measure a plugin: time and fuel for each event, size, time to start",
		Long: `Bench has the built module judge the events of its tests, or of FILES such as those that plugin record writes, over and over,
in batches of 1, 16 and 256. Fuel is the same on every machine; times are of this one.`,
		Example: `  cdcd plugin bench
  cdcd plugin bench plugins/fraud-score recorded.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if each <= 0 || each > time.Minute {
				return usagef("--time cannot be %s", each).WithFix("give more than none, and at most 1m")
			}
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
			b, err := pluginkit.RunBench(ctx, module, tests, a.engines(), each)
			if err != nil {
				return interrupted(ctx, err)
			}
			return a.ui.result(kind(cmd), b, func(w io.Writer) {
				a.ui.table(w, []string{"", ""}, [][]string{
					{"size", bytesText(int64(b.Bytes))}, {"vetted and compiled in", durationText(b.Load)},
					{"starts in", fmt.Sprintf("%s, %s fuel", durationText(b.Start), grouped(uint64(b.Fuel)))}, {"memory", bytesText(b.Memory)},
				})
				var rows [][]string
				for _, l := range b.Batches {
					rows = append(rows, []string{fmt.Sprint(l.Events), fmt.Sprintf("%.0f ns", l.Nanos), fmt.Sprintf("%.0f", l.Fuel), grouped(uint64(1e9/l.Nanos)) + "/s"})
				}
				fmt.Fprintln(w)
				a.ui.table(w, []string{"BATCH", "TIME/EVENT", "FUEL/EVENT", "EVENTS"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&o.schema, "schema", "", "file that says what the tables look like, for files that do not")
	cmd.Flags().BoolVar(&o.build, "build", false, "build the plugin first if its sources are newer")
	cmd.Flags().DurationVar(&each, "time", time.Second, "how long to measure each size of batches")
	return cmd
}
