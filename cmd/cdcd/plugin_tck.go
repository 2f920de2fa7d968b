package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/wasm"
	"github.com/cdcd-project/cdcd/wasm/tck"
)

func newPluginTCKCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tck FILE",
		Short: "Tell whether an SDK is right, by the plugin of the suite that is written with it",
		Long: `TCK is for who writes an SDK. FILE is a plugin that is written with it and does what wasm/tck/PLUGIN.md says; the suite has it
judge changes of all kinds, and compares what comes out with that page.`,
		Example: `  cdcd plugin tck tck.wasm`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, module, err := a.moduleOf(folderOf(args))
			if err != nil {
				return err
			}
			r, err := tck.RunWith(cmd.Context(), module, wasm.Config{Compile: a.engines().Compile})
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.verdict(kind(cmd), r.OK(), r, func(w io.Writer) {
				for _, c := range r.Cases {
					mark := a.ui.out(green, "✓")
					if len(c.Problems) > 0 {
						mark = a.ui.out(red, "✗")
					}
					fmt.Fprintf(w, "%s %s\n", mark, c.Name)
					for _, p := range c.Problems {
						fmt.Fprintf(w, "  %s\n", indent(p, "  "))
					}
				}
				failed := len(r.Failed())
				fmt.Fprintf(w, "%s: %d passed", plural(len(r.Cases), "case"), len(r.Cases)-failed)
				if failed > 0 {
					fmt.Fprintf(w, ", %d failed", failed)
				}
				fmt.Fprintln(w)
			})
		},
	}
}
