package console

import (
	"context"
	"net/http"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
)

// Health is asked how a running cdcd is. Answers are there at once.
type Health interface {
	Status(ctx context.Context) api.Status
	// Rates are what went through of late, and when the program was started.
	Rates() (rates api.Rates, started time.Time)
}

func (c *Console) health() {
	add(c, operation{kind: "overview", method: http.MethodGet, path: "/overview", role: api.Viewer,
		summary: "How everything is, in words"},
		func(ctx context.Context, _ *nothing) (api.Overview, error) {
			return c.overviewNow(ctx), nil
		})
	add(c, operation{kind: "status", method: http.MethodGet, path: "/status", role: api.Viewer,
		summary: "How everything is, in figures", text: "ok is false while it is not ready: what cdcd status prints."},
		func(ctx context.Context, _ *nothing) (api.Status, error) {
			return c.cfg.Backend.Health.Status(ctx), nil
		})
}

func (c *Console) overviewNow(ctx context.Context) api.Overview {
	rates, started := c.cfg.Backend.Health.Rates()
	return overview(c.cfg.Backend.Health.Status(ctx), rates, started)
}
