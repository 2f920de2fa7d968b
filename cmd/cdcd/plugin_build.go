package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/wasm"
)

func newPluginBuildCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "build [FOLDER]",
		Short: "Build a plugin: run its toolchain, put the manifest in, and vet it",
		Long: `Build runs the command that ` + "`build`" + ` in plugin.yaml names, in the folder of the plugin, puts the manifest into the module
that it makes, and vets it as cdcd run does. The toolchain has to be installed; what is missing is said.`,
		Example: `  cdcd plugin build
  cdcd plugin build plugins/fraud-score`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := pluginkit.Open(folderOf(args))
			if err != nil {
				return err
			}
			r, err := a.buildPlugin(cmd.Context(), p)
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.result(kind(cmd), r, func(w io.Writer) { r.print(a, w) })
		},
	}
}

// folderOf returns the folder that the arguments name; without any, this one.
func folderOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return filepath.Clean(args[0])
}

// builtPlugin is what plugin build has made.
type builtPlugin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	File    string `json:"file"`
	Digest  string `json:"digest"`
	Bytes   int    `json:"bytes"`
	Load    int64  `json:"load_ns"`  // vetting, metering and compiling it
	Start   int64  `json:"start_ns"` // an instance
	Fuel    int64  `json:"start_fuel"`
	Memory  int64  `json:"memory_bytes"` // of an instance
}

func (a *app) buildPlugin(ctx context.Context, p *pluginkit.Project) (builtPlugin, error) {
	if p.Build == "" {
		if _, err := p.Module(); err != nil {
			return builtPlugin{}, cdc.Errorf("CDCD-2553", "%s has no command to build it with", p.Name).
				WithFix("add build: COMMAND to %s", filepath.Join(p.Dir, pluginkit.ProjectFile))
		}
	}
	made, err := p.Make(ctx)
	if err != nil {
		return builtPlugin{}, err
	}
	info, stats, err := p.Finish(ctx, made, a.engines())
	if err != nil {
		return builtPlugin{}, err
	}
	return builtPlugin{p.Name, p.Version, p.Output, info.Digest, info.Bytes, int64(stats.Load), int64(stats.Begin), stats.BeginFuel, stats.Memory}, nil
}

func (b *builtPlugin) print(a *app, w io.Writer) {
	fmt.Fprintf(w, "%s %s %s is built: %s\n", a.ui.out(green, "✓"), b.Name, b.Version, b.File)
	a.ui.table(w, []string{"", ""}, [][]string{
		{"digest", b.Digest},
		{"size", bytesText(int64(b.Bytes))},
		{"memory", bytesText(b.Memory) + " an instance"},
		{"compiled in", durationText(b.Load)},
		{"starts in", fmt.Sprintf("%s, %s fuel", durationText(b.Start), grouped(uint64(b.Fuel)))},
	})
}

func bytesText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%s bytes", grouped(uint64(n)))
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func durationText(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

// engines says how the verbs for authors run plugins. What is compiled is kept in the user's cache, so that the next time is fast.
func (a *app) engines() pluginkit.Engines {
	limits := &config{}
	setDefaults(reflect.ValueOf(&limits.Plugins).Elem())
	limits.Plugins.CompileTime = strictyaml.Duration(5 * time.Minute) // an author's machine may be slow
	e := pluginkit.Engines{Compile: compileApart(limits)}
	cache, err := os.UserCacheDir()
	dir := filepath.Join(cache, "cdcd", "plugins")
	if err == nil && os.MkdirAll(dir, 0o700) == nil { // it is for speed only
		e.Dir = dir
	}
	return e
}

// builtModule returns the module of a project, which is built if it is not, or if it is older than its sources and anew says so.
func (a *app) builtModule(ctx context.Context, p *pluginkit.Project, anew bool) ([]byte, error) {
	module, err := p.Module()
	newer := p.Newer()
	switch {
	case cdc.CodeOf(err) == "CDCD-2553" && p.Build != "":
	case err != nil:
		return nil, err
	case newer == "":
		if info, err := wasm.Inspect(module); info != nil && info.Manifest == nil && err != nil { // the toolchain was run by hand
			break
		}
		return module, nil
	case !anew:
		a.ui.note("%s is newer than %s: cdcd plugin build", newer, filepath.Base(p.Output))
		return module, nil
	}
	a.ui.note("building %s", p.Name)
	if _, err := a.buildPlugin(ctx, p); err != nil {
		return nil, err
	}
	return p.Module()
}
