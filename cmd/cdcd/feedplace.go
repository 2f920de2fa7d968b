package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/sinks/chain"
)

// Where a feed was delivered to last stands in a file of the data folder: when its `to` is changed, another chain begins in another place,
// with the oldest change that the stream still has or where `begin` says, and that is hardly what is always wanted. The file decides
// nothing: without it nobody is warned.

// codeMoved: a feed is to be delivered to another place than before.
const codeMoved = "CDCD-4321"

// places are where feeds are delivered to: the names of stores, by feed.
type places struct {
	mu    sync.Mutex
	known map[string]string
}

func placesFile(cfg *config) string { return filepath.Join(cfg.Data, "feeds.json") }

// readPlaces reads the file; what cannot be read is not known.
func readPlaces(cfg *config) map[string]string {
	known := map[string]string{}
	if text, err := os.ReadFile(placesFile(cfg)); err == nil && json.Unmarshal(text, &known) != nil {
		return map[string]string{}
	}
	return known
}

// moved returns the warning about a feed whose place is another one than before; nil when it is not.
func moved(cfg *config, known map[string]string, feed string, to chain.Store) *cdc.Error {
	was := known[feed]
	if was == "" || was == to.String() {
		return nil
	}
	begins := "the oldest change that the stream still has"
	if b := cfg.Feeds[feed].Begin; b != "" && b != "oldest" {
		begins = "begin: " + b
	}
	return cdc.Errorf(codeMoved, "feed %s was delivered to %s until now: in %s a new chain begins, with %s", feed, was, to, begins).
		WithFix("to go on with the old chain, copy all of it to the new place first; to begin anew, give the feed a new name, so that nobody takes one for the other")
}

// note takes down where a feed is delivered to, and warns if that was elsewhere before and nothing of the feed is there.
func (l *places) note(p *pipeline, f *feed, begun bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = readPlaces(p.cfg)
	}
	if w := moved(p.cfg, l.known, f.name, f.store); w != nil && !begun {
		p.log.Warn(w.What, "event", "feed.moved", "code", w.Code, "feed", f.name, "fix", w.Fix)
	}
	if l.known[f.name] == f.store.String() {
		return
	}
	l.known[f.name] = f.store.String()
	text, err := json.MarshalIndent(l.known, "", "  ")
	if err == nil {
		err = durable.New().Replace(placesFile(p.cfg), append(text, '\n'), 0o640)
	}
	if err != nil {
		p.log.Warn("where feeds are delivered to is not taken down", "event", "feed.place", "err", err)
	}
}
