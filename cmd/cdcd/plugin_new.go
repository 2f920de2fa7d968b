package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/internal/pluginkit"
)

func newPluginNewCmd(a *app) *cobra.Command {
	var lang string
	languages := strings.Join(pluginkit.Languages(), ", ")
	cmd := &cobra.Command{
		Use:   "new --lang LANGUAGE NAME",
		Short: "Begin a plugin: a folder with an example, its tests and the SDK",
		Long: `New makes a folder with a plugin that works, tests for it, and the SDK of the language in the folder cdcd. All of it is in
this program: nothing is fetched. The folder is named like the plugin.`,
		Example: `  cdcd plugin new --lang go fraud-score
  cdcd plugin test fraud-score`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usagef("plugin new needs a name").WithFix("write: cdcd plugin new --lang go fraud-score")
			case lang == "":
				return usagef("plugin new needs a language").WithFix("add --lang with one of: %s", languages)
			}
			files, err := pluginkit.New(lang, args[0])
			if err != nil {
				return err
			}
			r := newPlugin{Folder: args[0], Files: files}
			return a.ui.result(kind(cmd), r, func(w io.Writer) {
				for _, f := range files {
					if !strings.Contains(f, "/cdcd/") {
						fmt.Fprintf(w, "%s %s\n", a.ui.out(green, "✓"), f)
					}
				}
				fmt.Fprintf(w, "\nBuild it and run its tests:\n  cdcd plugin test %s\n", args[0])
			})
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "", "language to write it in: "+languages)
	return cmd
}

// newPlugin is what plugin new has made.
type newPlugin struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"`
}
