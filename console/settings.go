package console

import (
	"context"
	"net/http"

	"github.com/cdcd-project/cdcd/console/api"
)

// Settings is asked what the running cdcd was told. Secrets are not in the answer.
type Settings interface {
	Settings(ctx context.Context) (api.Settings, error)
}

func (c *Console) settings() {
	add(c, operation{kind: "settings", method: http.MethodGet, path: "/settings", role: api.Viewer,
		summary: "What the running cdcd was told, and who asks"},
		func(ctx context.Context, _ *nothing) (api.Settings, error) {
			s, err := c.cfg.Backend.Settings.Settings(ctx)
			if err != nil {
				return s, err
			}
			s.Access = c.access(ctx)
			return s, nil
		})
}

// access says who asks, and how one can show who one is.
func (c *Console) access(ctx context.Context) api.Access {
	who := CallerOf(ctx)
	return api.Access{Open: who.Via == "open", Me: api.Me{User: who.User, Role: who.Role, Via: who.Via}, How: []string{}}
}
