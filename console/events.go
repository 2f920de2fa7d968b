package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// Events is asked for changes that are in the stream.
type Events interface {
	// Recent returns the newest changes that are asked for.
	Recent(ctx context.Context, q EventQuery) (api.EventList, error)
	// Event returns the change of a number, or of an ID; the error is CDCD-2340 when the stream does not have it.
	Event(ctx context.Context, no uint64, id string, at time.Time) (api.EventDetail, error)
}

// EventQuery says which changes.
type EventQuery struct {
	Tables []cdc.TableGlob // none: all
	Ops    []cdc.Op        // none: all
	Before uint64          // numbers below this one; 0: from the newest
	Limit  int
}

// Wants reports whether a change is asked for.
func (q *EventQuery) Wants(e cdc.Event) bool {
	t := e.Table()
	return (len(q.Ops) == 0 || slices.Contains(q.Ops, e.Op())) &&
		(len(q.Tables) == 0 || slices.ContainsFunc(q.Tables, func(g cdc.TableGlob) bool { return g.Match(t.Schema, t.Name) }))
}

func (c *Console) events() {
	type asked struct {
		Table  []string `query:"table" doc:"schema.table, with * and ?; several are separated by commas." example:"shop.orders" maxItems:"20"`
		Op     []string `query:"op" enum:"insert,update,delete,snapshot" maxItems:"4"`
		Before uint64   `query:"before" doc:"Only changes with a smaller number." maximum:"9007199254740991"`
		Limit  int      `query:"limit" default:"20" minimum:"1" maximum:"200"`
	}
	add(c, operation{kind: "events.list", method: http.MethodGet, path: "/events", role: api.Viewer,
		summary: "The newest changes in the stream, with the rules that match them",
		text:    "The newest first. Without before, and for one table, there is at least one change of each operation among them if one is known."},
		func(ctx context.Context, in *asked) (api.EventList, error) {
			q, err := eventQuery(in.Table, in.Op)
			if err != nil {
				return api.EventList{}, err
			}
			q.Before, q.Limit = in.Before, in.Limit
			return c.cfg.Backend.Events.Recent(ctx, q)
		})
	add(c, operation{kind: "events.show", method: http.MethodGet, path: "/events/{ref}", role: api.Viewer,
		summary: "A change, and what every rule says of it", text: "It is judged by the revision of the rules that was in force when it was captured."},
		func(ctx context.Context, in *EventName) (api.EventDetail, error) {
			no, id, err := in.parse()
			if err != nil {
				return api.EventDetail{}, err
			}
			return c.cfg.Backend.Events.Event(ctx, no, id, in.At)
		})
}

// EventName names a change in a path, for requests to embed.
type EventName struct {
	Ref string    `path:"ref" doc:"no:1001, or an ID; its slash is written %2F." example:"no:1001" maxLength:"400"`
	At  time.Time `query:"at" doc:"When its transaction was committed, or a time before, which makes finding an ID fast."`
}

func (n *EventName) parse() (no uint64, id string, err error) {
	text, numbered := strings.CutPrefix(n.Ref, "no:")
	if !numbered {
		if !strings.Contains(n.Ref, "/") {
			return 0, "", cdc.Errorf(codeRequest, "'%s' names no change", n.Ref).WithFix("write no:1001, or an ID such as 0-1-17%%2F0")
		}
		return 0, n.Ref, nil
	}
	if no, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, "", cdc.Errorf(codeRequest, "'%s' is not the number of a change", n.Ref).WithFix("write it like no:1001")
	}
	return no, "", nil
}

// eventQuery reads what tables and operations somebody wants.
func eventQuery(tables, ops []string) (q EventQuery, err error) {
	for _, text := range tables {
		g, err := cdc.ParseTableGlob(text)
		if err != nil {
			return q, cdc.Errorf(codeRequest, "'%s' is not schema.table: %w", text, err).WithFix("write it like shop.orders or shop.*")
		}
		q.Tables = append(q.Tables, g)
	}
	for _, text := range ops {
		op, ok := cdc.ParseOp(text)
		if !ok {
			return q, cdc.Errorf(codeRequest, "there is no operation '%s'", text).WithFix("choose of insert, update, delete and snapshot")
		}
		q.Ops = append(q.Ops, op)
	}
	return q, nil
}
