package main

import (
	"context"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// Plugins implements console.Plugins.
func (d *consoleDesk) Plugins(ctx context.Context) (api.PluginList, error) {
	all, err := d.p.listPlugins(ctx)
	return api.PluginList{Plugins: all}, err
}

// Inspect implements console.Plugins.
func (d *consoleDesk) Inspect(_ context.Context, module []byte) (api.PluginInspected, error) {
	out, err := d.look()
	if err != nil {
		return api.PluginInspected{}, err
	}
	defer out()
	r, err := inspectModule("", module)
	return r.PluginInspected, err
}

// Release implements console.Plugins.
func (d *consoleDesk) Release(ctx context.Context, name, by, why string) (api.PluginReleased, error) {
	out := api.PluginReleased{Released: []api.Quarantine{}}
	lifted, err := d.p.releasePlugin(ctx, pluginAsk{Plugin: name, Who: by, Why: why})
	for _, q := range lifted {
		out.Released = append(out.Released, api.Quarantine(q))
	}
	if err == nil && len(lifted) == 0 {
		err = cdc.Errorf(codeNothing, "no plugin '%s' is in quarantine", name).WithFix("GET /api/v1/plugins says which are")
	}
	return out, err
}
