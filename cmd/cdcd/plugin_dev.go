package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
)

func newPluginDevCmd(a *app) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev [FOLDER]",
		Short: "Build and test a plugin whenever it changes, and swap it into a running cdcd",
		Long: `Dev watches the folder of a plugin. Whenever a file changes it builds the plugin and runs its tests; when all of them pass, it
puts the module into the folder of plugins, from where a running cdcd takes it up between two frames. The folder is that of the
configuration (plugins.dir) or --into; without either nothing is swapped. Ctrl-C ends it.`,
		Example: `  cdcd plugin dev fraud-score
  cdcd plugin dev --into /etc/cdcd/plugins`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.dev(cmd.Context(), kind(cmd), folderOf(args), o)
			return interrupted(cmd.Context(), err)
		},
	}
	cmd.Flags().StringVar(&o.into, "into", "", "folder of plugins to put the module into; default: that of the configuration, if there is one")
	cmd.Flags().StringVar(&o.schema, "schema", "", "file that says what the tables look like, for tests that do not")
	cmd.Flags().BoolVar(&o.once, "once", false, "do it once, and end")
	return cmd
}

type devOptions struct {
	into, schema string
	once         bool
}

// devRound is what happened after a change.
type devRound struct {
	Name    string            `json:"name"`
	Changed string            `json:"changed,omitempty"` // the file
	Built   *builtPlugin      `json:"built,omitempty"`
	Tests   *pluginTestResult `json:"tests,omitempty"`
	Swapped string            `json:"swapped,omitempty"` // where the module was put
	Error   *errorInfo        `json:"error,omitempty"`
}

// devLook is how often the folder is looked at.
const devLook = 300 * time.Millisecond

func (a *app) dev(ctx context.Context, kind, dir string, o devOptions) error {
	into, err := a.pluginFolder(o.into)
	if err != nil {
		return err
	}
	if _, err := pluginkit.Open(dir); err != nil {
		return err
	}
	var seen pluginkit.Stamp
	for first := true; ; first = false {
		now, err := pluginkit.Look(dir)
		if err != nil {
			return err
		}
		changed := seen.Changed(now)
		if first {
			changed = ""
		} else if changed == "" || !now.Settled(time.Now()) { // or it is being written
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(devLook):
			}
			continue
		}
		seen = now
		r := a.devRound(ctx, dir, into, changed, o.schema)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ok := r.Error == nil && (r.Tests == nil || r.Tests.Failed == 0)
		err = a.ui.verdict(kind, ok, r, func(w io.Writer) { r.print(a, w) })
		if o.once || err != nil && err != errNegative {
			return err
		}
	}
}

// pluginFolder returns where modules are put; "" when there is no such folder.
func (a *app) pluginFolder(into string) (string, error) {
	if into != "" {
		if info, err := os.Stat(into); err != nil || !info.IsDir() {
			return "", usagef("--into %s is not a folder", into).WithFix("make it, or name the folder that plugins.dir names")
		}
		return into, nil
	}
	if _, err := os.Stat(a.configFile); err != nil {
		return "", nil
	}
	cfg, err := a.config()
	if err != nil {
		return "", err
	}
	return cfg.Plugins.Dir, nil
}

// devRound builds, tests and swaps.
func (a *app) devRound(ctx context.Context, dir, into, changed, schema string) *devRound {
	r := &devRound{Name: filepath.Base(dir), Changed: changed}
	fail := func(err error) *devRound {
		info := api.ErrorOf(err)
		r.Error = &info
		return r
	}
	p, err := pluginkit.Open(dir)
	if err != nil {
		return fail(err)
	}
	r.Name = p.Name
	built, err := a.buildPlugin(ctx, p)
	if err != nil {
		return fail(err)
	}
	r.Built = &built
	module, err := p.Module()
	if err != nil {
		return fail(err)
	}
	tests, err := readPluginTests(p, nil, schema)
	if err != nil {
		return fail(err)
	}
	results, err := pluginkit.RunTests(ctx, module, tests, a.engines())
	if err != nil {
		return fail(err)
	}
	t := newPluginTestResult(results)
	r.Tests = &t
	if t.Failed > 0 || into == "" {
		return r
	}
	file := filepath.Join(into, p.Name+".wasm")
	if err := os.MkdirAll(into, 0o755); err != nil {
		return fail(cdc.Errorf("CDCD-2553", "swap the plugin: %w", err))
	}
	if err := durable.New().Replace(file, module, 0o644); err != nil {
		return fail(cdc.Errorf("CDCD-2553", "swap the plugin: %w", err))
	}
	r.Swapped = file
	return r
}

func (r *devRound) print(a *app, w io.Writer) {
	if r.Changed != "" {
		fmt.Fprintf(w, "\n%s\n", a.ui.out(bold, "── "+r.Changed+" has changed"))
	}
	if r.Error != nil {
		fmt.Fprintf(w, "%s %s %s\n", a.ui.out(red, "✗"), r.Error.Code, indent(r.Error.Message, "  "))
		if r.Error.Fix != "" {
			fmt.Fprintf(w, "  → %s\n", r.Error.Fix)
		}
		return
	}
	fmt.Fprintf(w, "%s %s %s is built: %s\n", a.ui.out(green, "✓"), r.Built.Name, r.Built.Version, bytesText(int64(r.Built.Bytes)))
	r.Tests.print(a, w)
	if r.Swapped != "" {
		fmt.Fprintf(w, "%s it is in force: %s\n", a.ui.out(green, "✓"), r.Swapped)
	}
}
