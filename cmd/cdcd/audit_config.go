package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/cdcd-project/cdcd/sinks/audit"
)

// auditConfig writes a leaf when the configuration in force is not that of the last start. Like [pipeline.auditRules], it is
// made up for at the next start when that fails.
func (p *pipeline) auditConfig(ctx context.Context) {
	before, was := p.audit.Last(audit.TypeConfig)
	digest := p.cfg.digest()
	if digest == was {
		return
	}
	// The ID is over all changes before it: a configuration that comes back is a change again, and one that is
	// offered again is not.
	id := sha256.Sum256([]byte(before + "\x00" + digest))
	err := p.audit.Note(ctx, audit.Note{Kind: audit.TypeConfig, ID: hex.EncodeToString(id[:16]), By: whoAmI(), Why: "start of cdcd " + readVersion().Version, Digest: digest, Prev: was})
	if err != nil && ctx.Err() == nil {
		p.log.Error("the change of the configuration is not in the audit log yet", "event", "audit.config_missing", "err", err)
	}
}

// digest is over the settings in force, wherever they come from, as `cdcd config show` has them: without passwords.
func (c *config) digest() string {
	settings := c.settings()
	slices.SortFunc(settings, func(a, b setting) int { return cmp.Compare(a.Key, b.Key) })
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, s := range settings {
		if err := enc.Encode([]any{s.Key, s.Value}); err != nil {
			panic(err) // settings are strings, numbers, booleans and lists of strings
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
