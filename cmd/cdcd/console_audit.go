package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/audit/index"
)

// Entries implements console.Audit.
func (d *consoleDesk) Entries(ctx context.Context, q console.AuditQuery) (api.AuditList, error) {
	list := api.AuditList{Entries: []api.AuditEntry{}}
	log, out, err := d.openLog()
	if err != nil {
		return list, err
	}
	defer out()
	now, _ := log.Checkpoint()
	list.Size = now.Size
	end := now.Size
	if q.Before > 0 {
		end = min(end, q.Before)
	}
	text := []byte(strings.ToLower(q.Text))
	until := time.Now().Add(searchTakes)
	for end > 0 && len(list.Entries) < q.Limit && time.Now().Before(until) {
		begin := (end - 1) / bundleLeaves * bundleLeaves
		var found []api.AuditEntry
		err := log.Leaves(ctx, begin, func(at int64, leaf audit.Leaf, entry []byte) error {
			if at >= end {
				return errEnough
			}
			if wantsEntry(&leaf, q) && (len(text) == 0 || bytes.Contains(bytes.ToLower(entry), text)) {
				found = append(found, entryOf(at, leaf, entry))
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return list, err
		}
		last := begin
		for _, one := range slices.Backward(found) {
			if len(list.Entries) == q.Limit {
				break
			}
			list.Entries = append(list.Entries, one)
			if len(list.Entries) == q.Limit {
				last = one.Index
			}
		}
		list.Searched += end - last
		end = last
	}
	list.Before = end
	return list, nil
}

func wantsEntry(leaf *audit.Leaf, q console.AuditQuery) bool {
	e := entryOf(0, *leaf, nil)
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) && (len(q.Feeds) == 0 || slices.Contains(q.Feeds, e.Feed)) &&
		strings.Contains(strings.ToLower(e.Who), strings.ToLower(q.Who)) &&
		(q.Object == "" || leaf.Object != nil && strings.Contains(leaf.Object.Store+"/"+leaf.Object.Key, q.Object)) &&
		(q.From.IsZero() || !leaf.Time.Before(q.From)) && (q.To.IsZero() || leaf.Time.Before(q.To))
}

// entryOf writes a leaf in words.
func entryOf(at int64, leaf audit.Leaf, entry []byte) api.AuditEntry {
	e := api.AuditEntry{Index: at, Time: leaf.Time, Kind: leaf.Type, Leaf: string(entry), What: leaf.Type}
	switch {
	case leaf.Object != nil:
		e.Feed, e.What = index.FeedOf(leaf.Object.Chain), leaf.Object.Store+"/"+leaf.Object.Key
	case leaf.Rules != nil:
		e.Who, e.Why, e.What = leaf.Rules.Who, leaf.Rules.Why, fmt.Sprintf("revision %d: %s %s", leaf.Rules.Revision, leaf.Rules.Kind, short(slices.Concat(leaf.Rules.Changed, leaf.Rules.Removed)))
	case leaf.Trap != nil:
		e.Feed, e.Why, e.What = leaf.Trap.Feed, leaf.Trap.Why, fmt.Sprintf("plugin %s in rule %s at change %s of %s: %s", leaf.Trap.Plugin, leaf.Trap.Rule, leaf.Trap.Event, leaf.Trap.Table, leaf.Trap.Kind)
	case leaf.Note != nil:
		n := leaf.Note
		e.Feed, e.Who, e.Why, e.What = n.Feed, n.By, n.Why, n.ID
		if n.Chain != "" {
			e.Feed, e.What = index.FeedOf(n.Chain), fmt.Sprintf("object %d of %s", n.Ordinal, n.Chain)
		}
		if n.Outcome != "" {
			e.What += ": " + strings.ReplaceAll(n.Outcome, "_", " ")
		}
	}
	return e
}

// Checkpoint implements console.Audit.
func (d *consoleDesk) Checkpoint(context.Context) (api.AuditCheckpoint, error) {
	log, out, err := d.openLog()
	if err != nil {
		return api.AuditCheckpoint{}, err
	}
	defer out()
	return d.checkpointOf(log), nil
}

func (d *consoleDesk) checkpointOf(log *audit.Reader) api.AuditCheckpoint {
	c, signed := log.Checkpoint()
	return api.AuditCheckpoint{Origin: c.Origin, Size: c.Size, Root: fmt.Sprintf("%x", c.Root[:]), Checkpoint: string(signed), Key: strings.TrimSpace(d.p.audit.PublicKey())}
}

// Prove implements console.Audit.
func (d *consoleDesk) Prove(ctx context.Context, at int64, object string, record int) (api.AuditProof, error) {
	var out api.AuditProof
	log, done, err := d.openLog()
	if err != nil {
		return out, err
	}
	defer done()
	if object != "" {
		place := auditPlace{key: d.p.cfg.Audit.KeyFile}
		x, closeIndex := place.index()
		at, _, err = findObject(ctx, log, x, object, nil)
		closeIndex()
		if err != nil {
			return out, err
		}
	}
	now, _ := log.Checkpoint()
	if at >= now.Size {
		return out, cdc.Errorf(codeNotLogged, "there is no entry %d: the log has %d", at, now.Size).WithFix("GET /api/v1/audit has the newest ones")
	}
	p, err := log.Prove(ctx, at)
	if err != nil {
		return out, err
	}
	leaf, err := audit.ParseLeaf([]byte(p.Leaf))
	if err != nil {
		return out, err
	}
	out.Entry, out.Checkpoint, out.File = entryOf(at, leaf, []byte(p.Leaf)), d.checkpointOf(log), fmt.Sprintf("%s-%d.tlog-proof", path.Base(d.p.cfg.Name), at)
	if record > 0 {
		if leaf.Object == nil {
			return out, cdc.Errorf(codeNoRecord, "entry %d is about no object, so it has no records", at).WithFix("leave out record")
		}
		ctx, cancel := context.WithTimeout(ctx, rereadRecords)
		defer cancel()
		lines, err := readObject(ctx, d.p.app, d.p.cfg, *leaf.Object)
		if err != nil {
			return out, err
		}
		if p, err = proveRecord(p, lines, record); err != nil {
			return out, err
		}
		out.Record = &api.AuditRecord{Number: int64(record), Line: base64.StdEncoding.EncodeToString(lines[record-1]), Path: hashTexts(p.Record.Path)}
		out.File = fmt.Sprintf("%s-%d-%d.tlog-proof", path.Base(d.p.cfg.Name), at, record)
	}
	out.Path, out.Proof = hashTexts(p.Path), string(p.Bytes())
	return out, nil
}

func hashTexts(hashes []tlog.Hash) []string {
	all := []string{}
	for _, h := range hashes {
		all = append(all, base64.StdEncoding.EncodeToString(h[:]))
	}
	return all
}

// openLog opens the log for a request: as few read at once as read the stream.
func (d *consoleDesk) openLog() (*audit.Reader, func(), error) {
	out, err := d.look()
	if err != nil {
		return nil, nil, err
	}
	log, err := audit.Read(d.p.cfg.Audit.Dir, d.p.audit.PublicKey(), nil)
	if err != nil {
		out()
		return nil, nil, err
	}
	return log, out, nil
}
