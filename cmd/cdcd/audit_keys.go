package main

import (
	"context"

	"github.com/cdcd-project/cdcd/sinks/audit"
)

// auditKeys writes a leaf for each key of masks and of persons that is used for the first time. Like [pipeline.auditRules], it
// is made up for at the next start when that fails.
func (p *pipeline) auditKeys(ctx context.Context) {
	methods := p.cfg.methods()
	if p.persons != nil {
		methods = append(methods, p.cfg.personsKeys())
	}
	for _, m := range methods {
		id, err := keyID(p.cfg, m)
		if err != nil {
			continue // nothing needs that key; where something does, it is said there
		}
		if err := p.audit.Note(ctx, audit.Note{Kind: audit.TypeKey, ID: id, Key: id, By: whoAmI()}); err != nil && ctx.Err() == nil {
			p.log.Error("that a key is used is not in the audit log yet", "event", "audit.key_missing", "key", id, "err", err)
		}
	}
}
