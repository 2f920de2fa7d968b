package console

import (
	"context"
	"net/http"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// Audit is asked for the audit log.
type Audit interface {
	// Entries returns the newest that are asked for.
	Entries(ctx context.Context, q AuditQuery) (api.AuditList, error)
	Checkpoint(ctx context.Context) (api.AuditCheckpoint, error)
	// Prove proves an entry, or a record of its object if record is not 0. The entry is named by its index, or by its object if that is not
	// empty. The error is CDCD-4510 when there is none.
	Prove(ctx context.Context, index int64, object string, record int) (api.AuditProof, error)
}

// AuditQuery says which entries.
type AuditQuery struct {
	Kinds    []string // none: all
	Feeds    []string // none: all
	Who      string   // part of a name; "": anybody
	Object   string   // part of store and key; "": any
	Text     string   // that an entry has anywhere; "": any
	From, To time.Time
	Before   int64 // entries below this one; 0: from the newest
	Limit    int
}

func (c *Console) audit() {
	type asked struct {
		Kind   []string  `query:"kind,explode" maxItems:"20"`
		Feed   []string  `query:"feed,explode" maxItems:"50"`
		Who    string    `query:"who" doc:"Part of the name of who did it." maxLength:"200"`
		Object string    `query:"object" doc:"Part of an object's store and key." maxLength:"500"`
		Text   string    `query:"q" doc:"Text that the entry has anywhere." maxLength:"200"`
		From   time.Time `query:"from" doc:"Logged from this time on."`
		To     time.Time `query:"to" doc:"Logged before this time."`
		Before int64     `query:"before" doc:"Only entries with a smaller index." minimum:"0"`
		Limit  int       `query:"limit" default:"50" minimum:"1" maximum:"500"`
	}
	add(c, operation{kind: "audit.list", method: http.MethodGet, path: "/audit", role: api.Viewer, summary: "The newest entries of the audit log",
		text: "It is searched from its end backwards, for a while: before then says where to go on."},
		func(ctx context.Context, in *asked) (api.AuditList, error) {
			return c.cfg.Backend.Audit.Entries(ctx, AuditQuery{Kinds: in.Kind, Feeds: in.Feed, Who: in.Who, Object: in.Object, Text: in.Text, From: in.From, To: in.To,
				Before: in.Before, Limit: in.Limit})
		})
	add(c, operation{kind: "audit.checkpoint", method: http.MethodGet, path: "/audit/checkpoint", role: api.Viewer,
		summary: "The newest signed checkpoint, and the log's public key"},
		func(ctx context.Context, _ *nothing) (api.AuditCheckpoint, error) {
			return c.cfg.Backend.Audit.Checkpoint(ctx)
		})
	type entry struct {
		Index  int64 `path:"index" minimum:"0"`
		Record int   `query:"record" minimum:"0" doc:"Number of a record of its object, from 1: it is proved, too."`
	}
	add(c, operation{kind: "audit.show", method: http.MethodGet, path: "/audit/entries/{index}", role: api.Viewer,
		summary: "An entry, with all that a browser needs to check that it is in the log",
		text:    "The entry of a delivery is its leaf: with record, it is proved what a partner got."},
		func(ctx context.Context, in *entry) (api.AuditProof, error) {
			return c.cfg.Backend.Audit.Prove(ctx, in.Index, "", in.Record)
		})
	type object struct {
		Object string `query:"object" required:"true" minLength:"1" maxLength:"2000" doc:"Key of an object, or store and key."`
		Record int    `query:"record" minimum:"0" doc:"Number of a record of it, from 1."`
	}
	add(c, operation{kind: "audit.prove", method: http.MethodGet, path: "/audit/proofs", role: api.Viewer, summary: "The proof that an object, or a record of it, was delivered"},
		func(ctx context.Context, in *object) (api.AuditProof, error) {
			if in.Object == "" {
				return api.AuditProof{}, cdc.Errorf(codeRequest, "nothing says which object").WithFix("name its key")
			}
			return c.cfg.Backend.Audit.Prove(ctx, -1, in.Object, in.Record)
		})
}
