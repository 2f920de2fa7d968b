package console

import (
	"context"
	"net/http"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
)

// Deliveries is asked for what partners have got.
type Deliveries interface {
	// Delivered returns the newest objects that are asked for. It reads objects only when records are searched for.
	Delivered(ctx context.Context, q DeliveryQuery) (api.DeliveryList, error)
	// DeliveredEvent returns those with a change, which is named as for [Events.Event]: of the query only the feeds, the page and its size count.
	DeliveredEvent(ctx context.Context, no uint64, id string, at time.Time, q DeliveryQuery) (api.DeliveryList, error)
	// Delivery returns one of them with up to limit of its records, those behind the first ones that are passed over. The error is
	// CDCD-1056 when that entry of the log is no delivery.
	Delivery(ctx context.Context, leaf int64, pass, limit int) (api.DeliveryDetail, error)
	// Resend tells whoever is told of a feed's objects of one of them once more, and logs who wished it and why.
	Resend(ctx context.Context, leaf int64, by, why string) (api.Resent, error)
}

// DeliveryQuery says which deliveries.
type DeliveryQuery struct {
	Feeds    []string  // none: all
	Object   string    // part of the key; "": any
	Rule     string    // that matched one of its records; "": any
	Table    string    // of one of its records, schema.table; "": any
	Key      []string  // of that record, value by value; none: any
	From, To time.Time // commit times of its records; zero: no limit
	Event    *EventRef // that one of its records is; nil: any
	Before   int64     // entries of the log below this one; 0: from the newest
	Limit    int
}

// EventRef is a change as deliveries are searched for it.
type EventRef struct {
	ID     string
	PartNo uint64    // 0: not known, as the stream does not have it any more
	Commit time.Time // of a change whose number is known
}

// Reads reports whether records must be read to know.
func (q *DeliveryQuery) Reads() bool {
	return q.Event != nil || q.Rule != "" || q.Table != "" || len(q.Key) > 0
}

func (c *Console) deliveries() {
	type asked struct {
		Feed   []string  `query:"feed,explode" maxItems:"50"`
		Object string    `query:"object" doc:"Part of the object's key." maxLength:"500"`
		Rule   string    `query:"rule" doc:"Name of a rule that matched a record." maxLength:"200"`
		Table  string    `query:"table" doc:"schema.table of a record." maxLength:"300" example:"shop.orders"`
		Key    []string  `query:"key,explode" doc:"Primary key of a record of the table: once for each of its columns, in their order." maxItems:"16"`
		From   time.Time `query:"from" doc:"Commit time to begin with."`
		To     time.Time `query:"to" doc:"Commit time to end before."`
		Before int64     `query:"before" doc:"Only deliveries with a smaller entry." minimum:"0"`
		Limit  int       `query:"limit" default:"20" minimum:"1" maximum:"200"`
	}
	add(c, operation{kind: "delivery.list", method: http.MethodGet, path: "/deliveries", role: api.Viewer,
		summary: "The newest objects that partners got",
		text:    "Records are searched for by rule, table and key in the objects themselves, for a while: before then says where to go on."},
		func(ctx context.Context, in *asked) (api.DeliveryList, error) {
			return c.cfg.Backend.Deliveries.Delivered(ctx, DeliveryQuery{Feeds: in.Feed, Object: in.Object, Rule: in.Rule, Table: in.Table, Key: in.Key,
				From: in.From, To: in.To, Before: in.Before, Limit: in.Limit})
		})
	type ofEvent struct {
		EventName
		Feed   []string `query:"feed,explode" maxItems:"50"`
		Before int64    `query:"before" doc:"Only deliveries with a smaller entry." minimum:"0"`
		Limit  int      `query:"limit" default:"20" minimum:"1" maximum:"200"`
	}
	add(c, operation{kind: "events.deliveries", method: http.MethodGet, path: "/events/{ref}/deliveries", role: api.Viewer,
		summary: "Where a change was delivered",
		text: "Deliveries with the change, the newest first, and its number among the records of each. A change that the stream does not have any more " +
			"is found by its ID, in all objects since at. The search goes on for a while: before then says where to go on."},
		func(ctx context.Context, in *ofEvent) (api.DeliveryList, error) {
			no, id, err := in.parse()
			if err != nil {
				return api.DeliveryList{}, err
			}
			return c.cfg.Backend.Deliveries.DeliveredEvent(ctx, no, id, in.At, DeliveryQuery{Feeds: in.Feed, Before: in.Before, Limit: in.Limit})
		})
	type one struct {
		Leaf  int64 `path:"leaf" minimum:"0"`
		Pass  int   `query:"pass" doc:"Records to pass over." minimum:"0"`
		Limit int   `query:"limit" default:"50" minimum:"1" maximum:"500"`
	}
	add(c, operation{kind: "delivery.show", method: http.MethodGet, path: "/deliveries/{leaf}", role: api.Viewer,
		summary: "A delivery with its records, as they were delivered"},
		func(ctx context.Context, in *one) (api.DeliveryDetail, error) {
			return c.cfg.Backend.Deliveries.Delivery(ctx, in.Leaf, in.Pass, in.Limit)
		})
	type resend struct {
		Leaf int64 `path:"leaf" minimum:"0"`
		Body struct {
			Why string `json:"why" minLength:"3" maxLength:"500" doc:"Why; it goes into the audit log."`
			By  string `json:"by,omitempty" maxLength:"200" doc:"Who, where nobody is asked who he is."`
		}
	}
	add(c, operation{kind: "delivery.resend", method: http.MethodPost, path: "/deliveries/{leaf}/resend", role: api.Operator,
		summary: "Tell the partner of an object once more",
		text:    "The event has the ID that it had: who has had it drops it. ok is false when somebody did not take it."},
		func(ctx context.Context, in *resend) (api.Resent, error) {
			return c.cfg.Backend.Deliveries.Resend(ctx, in.Leaf, callerName(ctx, in.Body.By), in.Body.Why)
		})
}

// callerName says who asks: who he was found to be, else who he says.
func callerName(ctx context.Context, says string) string {
	if c := CallerOf(ctx); c.User != "" {
		return c.User
	}
	if says != "" {
		return says
	}
	return "console"
}
