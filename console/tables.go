package console

import (
	"context"
	"net/http"

	"github.com/cdcd-project/cdcd/console/api"
)

// Tables is asked what tables look like.
type Tables interface {
	Tables(ctx context.Context) (api.TableList, error)
	// Table returns one of them with all of its columns; the error is CDCD-1056 when there is none of that name.
	Table(ctx context.Context, name string) (api.TableDetail, error)
}

func (c *Console) tables() {
	add(c, operation{kind: "tables.list", method: http.MethodGet, path: "/tables", role: api.Viewer,
		summary: "The tables of the databases that are captured from"},
		func(ctx context.Context, _ *nothing) (api.TableList, error) { return c.cfg.Backend.Tables.Tables(ctx) })
	type named struct {
		Table string `path:"table" doc:"schema.table; the table alone will do where there is one of that name." example:"shop.orders" maxLength:"300"`
	}
	add(c, operation{kind: "tables.show", method: http.MethodGet, path: "/tables/{table}", role: api.Viewer,
		summary: "A table with its columns, values of recent changes, and the rules about it"},
		func(ctx context.Context, in *named) (api.TableDetail, error) {
			return c.cfg.Backend.Tables.Table(ctx, in.Table)
		})
}
