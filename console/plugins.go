package console

import (
	"context"
	"net/http"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// Plugins is asked for plugins.
type Plugins interface {
	Plugins(ctx context.Context) (api.PluginList, error)
	// Inspect says what a module is, or why it is no plugin. It runs nothing and keeps nothing.
	Inspect(ctx context.Context, module []byte) (api.PluginInspected, error)
	// Release has a plugin asked again that is in quarantine. The audit log has who and why.
	Release(ctx context.Context, name, by, why string) (api.PluginReleased, error)
}

// maxInspected bounds the modules that are inspected: it is less than what plugins may have, since a request is held as a whole.
const maxInspected = 16 << 20

func (c *Console) plugins() {
	add(c, operation{kind: "plugins.list", method: http.MethodGet, path: "/plugins", role: api.Viewer,
		summary: "Plugins, the rules that use them, and what they have done"},
		func(ctx context.Context, _ *nothing) (api.PluginList, error) {
			return c.cfg.Backend.Plugins.Plugins(ctx)
		})
	type inspect struct {
		Body struct {
			Module []byte `json:"module" minLength:"4" maxLength:"22369624" doc:"The .wasm file in base64; at most 16 MiB of it."`
		}
	}
	add(c, operation{kind: "plugins.inspect", method: http.MethodPost, path: "/plugins/inspect", role: api.Operator, most: 3 * maxInspected / 2,
		summary: "Say what a module is, or why it is no plugin",
		text: "It is vetted as when it is loaded, and neither run nor kept. What makes it available is a file in the folder of plugins; " +
			"`cdcd plugin pull` puts it there. ok is false when it is no plugin."},
		func(ctx context.Context, in *inspect) (api.PluginInspected, error) {
			if len(in.Body.Module) > maxInspected {
				return api.PluginInspected{}, cdc.Errorf(codeRequest, "the module has %d bytes; at most %d are inspected here", len(in.Body.Module), maxInspected).
					WithFix("`cdcd plugin inspect FILE` inspects larger ones")
			}
			return c.cfg.Backend.Plugins.Inspect(ctx, in.Body.Module)
		})
	type release struct {
		Name string `path:"name" maxLength:"200"`
		Body struct {
			Why string `json:"why" minLength:"3" maxLength:"200" doc:"Why; it goes into the audit log."`
			By  string `json:"by,omitempty" maxLength:"200" doc:"Who, where nobody is asked who he is."`
		}
	}
	add(c, operation{kind: "plugins.release", method: http.MethodPost, path: "/plugins/{name}/release", role: api.Operator,
		summary: "Ask a plugin again that is in quarantine"},
		func(ctx context.Context, in *release) (api.PluginReleased, error) {
			return c.cfg.Backend.Plugins.Release(ctx, in.Name, callerName(ctx, in.Body.By), in.Body.Why)
		})
}
