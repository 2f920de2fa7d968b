package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// A person is erased in three steps: it is written down, in the data folder, that it is to be; the key is destroyed; the audit log says so.
// A crash in between is made up for at the next start: what was written down is done.

// erasure is what is written down.
type erasure struct {
	personWish
	At time.Time `json:"at"`
}

func erasuresFolder(cfg *config) string { return filepath.Join(cfg.Data, "erasures") }

// erase erases a person. It may be called again at any time.
func (p *pipeline) erase(ctx context.Context, e erasure) (had bool, err error) {
	p.persons.erasing.Lock()
	defer p.persons.erasing.Unlock()
	file := filepath.Join(erasuresFolder(p.cfg), e.ID+".json")
	text, err := json.Marshal(e)
	if err == nil {
		err = durable.New().Replace(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return false, fmt.Errorf("write down who is to be erased: %w", err)
	}
	if had, err = p.persons.store.Erase(ctx, e.ID); err != nil {
		return had, err
	}
	p.persons.sealer.Forget(e.ID)
	err = p.audit.Note(ctx, audit.Note{Kind: audit.TypeErased, ID: e.ID, By: e.Who, Why: e.Reason, At: &e.At, Digest: e.ID, Key: p.persons.ring.Name()})
	if err != nil {
		return had, fmt.Errorf("the key is destroyed, but the audit log does not say so yet: erase the person once more: %w", err)
	}
	p.log.Warn("the key of a person was destroyed", "event", "person.erased", "person", e.ID, "who", e.Who, "had_key", had)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) { // it would only be done once more
		p.log.Warn("an erasure that is done stays written down", "event", "person.erased", "person", e.ID, "err", err)
	}
	return had, nil
}

// finishErasures does what was written down before the program was killed.
func (p *pipeline) finishErasures(ctx context.Context) error {
	if p.persons == nil {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := p.eraseAll(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		p.log.Error("a person who is to be erased is not yet", "event", "person.erase_retry", "err", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (p *pipeline) eraseAll(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(erasuresFolder(p.cfg), "*.json"))
	for _, file := range files {
		var e erasure
		text, unread := os.ReadFile(file)
		if errors.Is(unread, fs.ErrNotExist) {
			continue // somebody has asked for it again meanwhile, and it is done
		}
		if unread == nil {
			unread = json.Unmarshal(text, &e)
		}
		if unread == nil && e.ID != strings.TrimSuffix(filepath.Base(file), ".json") {
			unread = errors.New("it is of somebody else")
		}
		if unread == nil {
			_, unread = p.erase(ctx, e)
		}
		if unread != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", file, unread))
		}
	}
	return err
}
