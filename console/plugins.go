package console

import (
	"context"
	"net/http"

	"github.com/cdcd-project/cdcd/console/api"
)

// Plugins is asked for plugins.
type Plugins interface {
	Plugins(ctx context.Context) (api.PluginList, error)
	// Release has a plugin asked again that is in quarantine. The audit log has who and why.
	Release(ctx context.Context, name, by, why string) (api.PluginReleased, error)
}

func (c *Console) plugins() {
	add(c, operation{kind: "plugins.list", method: http.MethodGet, path: "/plugins", role: api.Viewer,
		summary: "Plugins, the rules that use them, and what they have done"},
		func(ctx context.Context, _ *nothing) (api.PluginList, error) {
			return c.cfg.Backend.Plugins.Plugins(ctx)
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
