package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/pluginkit"
	"github.com/cdcd-project/cdcd/wasm"
)

func newPluginInspectCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [FILE|FOLDER|NAME]",
		Short: "Say what a module is, or why it is no plugin; run nothing",
		Long: `Inspect reads a module without running it: its manifest, what it imports and exports, its sizes, and why it is refused if it
is. A folder stands for the module that was built in it, a name for the plugin that rules name so.`,
		Example: `  cdcd plugin inspect plugins/fraud-score.wasm
  cdcd plugin inspect -o json | jq .result.manifest`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, module, err := a.moduleOf(folderOf(args))
			if err != nil {
				return err
			}
			r, err := inspectModule(file, module)
			if err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), r.OK(), r, func(w io.Writer) { r.print(a, w) })
		},
	}
}

// moduleOf reads a module: a file, that of a project, or the one that rules name so.
func (a *app) moduleOf(name string) (file string, module []byte, err error) {
	if _, err := os.Stat(name); err != nil && pluginName.MatchString(name) {
		if folder, err := a.pluginFolder(""); err == nil && folder != "" { // the plugin that rules name so
			name = filepath.Join(folder, name+".wasm")
		}
	}
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		p, err := pluginkit.Open(name)
		if err != nil {
			return "", nil, err
		}
		module, err := p.Module()
		return p.Output, module, err
	}
	if err == nil && info.Size() > maxPlugin {
		return "", nil, cdc.Errorf("CDCD-2501", "%s has %s; at most %s are read", name, bytesText(info.Size()), bytesText(maxPlugin))
	}
	if err == nil {
		module, err = os.ReadFile(name)
	}
	if err != nil {
		return "", nil, cdc.Errorf("CDCD-2553", "read the plugin: %w", err).WithFix("name a .wasm file, or the folder of a plugin")
	}
	return name, module, nil
}

// inspected is what there is to say about a module, with its manifest as it was read.
type inspected struct {
	api.PluginInspected
	manifest *wasm.Manifest
}

func inspectModule(file string, module []byte) (r inspected, err error) {
	r.File, r.Digest, r.Bytes, r.Imports, r.Exports = file, wasm.Digest(module), len(module), []string{}, []string{}
	info, refused := wasm.Inspect(module)
	if info != nil {
		r.Functions, r.Code, r.Data, r.MemoryPages, r.MaxPages = info.Functions, info.Code, info.Data, info.Memory, info.MaxMemory
		r.Imports, r.Exports, r.Restorable, r.manifest = append(r.Imports, info.Imports...), append(r.Exports, info.Exports...), info.Restorable, info.Manifest
	}
	if r.manifest != nil {
		r.Manifest, err = json.Marshal(r.manifest)
	}
	if r.Accepted = refused == nil; refused != nil {
		why := api.ErrorOf(refused)
		r.Refused = &why
	}
	return r, err
}

func (r *inspected) print(a *app, w io.Writer) {
	if r.OK() {
		fmt.Fprintf(w, "%s %s is plugin %s %s\n", a.ui.out(green, "✓"), r.File, r.manifest.Name, r.manifest.Version)
	} else {
		fmt.Fprintf(w, "%s %s is refused  %s  %s\n", a.ui.out(red, "✗"), r.File, r.Refused.Code, indent(r.Refused.Message, "  "))
		if r.Refused.Fix != "" {
			fmt.Fprintf(w, "  → %s\n", r.Refused.Fix)
		}
	}
	rows := [][]string{{"digest", r.Digest}, {"size", bytesText(int64(r.Bytes))}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if m := r.manifest; m != nil {
		add("description", m.Description)
		add("tables", strings.Join(m.Tables, ", "))
		var columns []string
		for _, c := range m.Columns {
			name := c.Name
			if c.Optional {
				name += " (optional)"
			}
			columns = append(columns, name)
		}
		add("columns", strings.Join(columns, ", "))
		add("images", m.Images)
		add("edits", strings.Join(m.Edits, ", "))
		add("metrics", strings.Join(m.Metrics, ", "))
		if m.Config != nil {
			text, err := json.Marshal(m.Config)
			if err == nil {
				add("config", string(text))
			}
		}
	}
	if r.Functions > 0 || len(r.Exports) > 0 {
		add("functions", fmt.Sprintf("%s, %s of code, %s of data", grouped(uint64(r.Functions)), bytesText(int64(r.Code)), bytesText(int64(r.Data))))
		memory := fmt.Sprintf("%s at first", bytesText(int64(r.MemoryPages)<<16))
		if r.MaxPages > 0 {
			memory += fmt.Sprintf(", at most %s by its own word", bytesText(int64(r.MaxPages)<<16))
		}
		add("memory", memory)
		if r.OK() && !r.Restorable {
			add("after a trap", "it is started anew, since it alters its tables or drops data")
		}
	}
	add("imports", strings.Join(r.Imports, ", "))
	add("exports", strings.Join(r.Exports, ", "))
	a.ui.table(w, []string{"", ""}, rows)
}
