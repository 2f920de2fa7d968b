package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// quarantine is a version of a plugin that is not asked any more for a rule in the line of a feed. It outlives cdcd: a plugin that
// came back with each start would fail on as many changes each time.
type quarantine struct {
	Plugin   string          `json:"plugin"`
	Rule     string          `json:"rule"`
	Feed     string          `json:"feed"`
	Fallback string          `json:"fallback"`
	Why      string          `json:"why"`
	Since    time.Time       `json:"since"`
	Digest   string          `json:"digest"`
	Config   json.RawMessage `json:"config"` // of the rule's filter: with another one the plugin is another, too
}

// about reports whether both are of the same plugin for the same rule in the same line.
func (q *quarantine) about(o *quarantine) bool {
	return q.Digest == o.Digest && q.Rule == o.Rule && q.Feed == o.Feed && bytes.Equal(q.Config, o.Config)
}

// err is why the plugin is not asked.
func (q *quarantine) err() error {
	what := strings.TrimPrefix(q.Why, engine.CodeQuarantined+": ")
	return cdc.Errorf(engine.CodeQuarantined, "%s", what).
		WithFix("publish a version that is mended, or choose a fallback in the rule's filter; to have it asked again as it is: cdcd plugin release %s", q.Plugin)
}

// released is what the audit log has of its end. The same end has the same ID, however often it is begun.
func (q *quarantine) released(who, why string) audit.Note {
	text, _ := json.Marshal(q) // it has nothing that cannot be written
	id := sha256.Sum256(text)
	return audit.Note{Kind: audit.TypeReleased, ID: hex.EncodeToString(id[:16]), Feed: q.Feed, By: who, Why: why, Digest: q.Digest}
}

func quarantineOf(r *rules.Rule, feed string) quarantine {
	return quarantine{Plugin: r.Filter.Plugin, Rule: r.Name, Feed: feed, Fallback: r.Filter.Fallback.String(), Digest: r.Filter.Digest, Config: r.Filter.Config}
}

// quarantines are all of them, in a file of the data folder.
type quarantines struct {
	file string

	mu   sync.Mutex // guards what follows
	disk *durable.Disk
	all  []quarantine // sorted
}

// openQuarantines reads the file. One that cannot be read is as if there were none: a plugin that is asked again is found out again.
func openQuarantines(cfg *config, log *slog.Logger) *quarantines {
	q := &quarantines{file: filepath.Join(cfg.Data, "plugins", "quarantine.json"), disk: durable.New()}
	text, err := os.ReadFile(q.file)
	if err == nil {
		err = json.Unmarshal(text, &q.all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("plugins in quarantine are asked again: which they are cannot be read", "event", "plugin.quarantine_unreadable", "file", q.file, "err", err)
		q.all = nil
	}
	return q
}

// of returns the quarantine that one is about; nil: there is none.
func (q *quarantines) of(one quarantine) *quarantine {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.all, func(o quarantine) bool { return o.about(&one) }); i >= 0 {
		found := q.all[i]
		return &found
	}
	return nil
}

// inForce returns those of a set's rules.
func (q *quarantines) inForce(set *rules.Set) (all []quarantine) {
	if set == nil {
		return nil
	}
	for _, r := range set.Filters() {
		for _, feed := range r.To {
			if one := q.of(quarantineOf(r, feed)); one != nil {
				one.Fallback = r.Filter.Fallback.String()
				all = append(all, *one)
			}
		}
	}
	return all
}

// list returns all of them.
func (q *quarantines) list() []quarantine {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.all)
}

// add keeps one more.
func (q *quarantines) add(one quarantine) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := append(slices.DeleteFunc(slices.Clone(q.all), func(o quarantine) bool { return o.about(&one) }), one)
	slices.SortFunc(all, func(a, b quarantine) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Feed, b.Feed), strings.Compare(a.Digest, b.Digest), bytes.Compare(a.Config, b.Config))
	})
	return q.write(all)
}

// lift ends some of them, and returns which.
func (q *quarantines) lift(which func(*quarantine) bool) (lifted []quarantine, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := []quarantine{}
	for _, one := range q.all {
		if which(&one) {
			lifted = append(lifted, one)
		} else {
			rest = append(rest, one)
		}
	}
	if len(lifted) == 0 {
		return nil, nil
	}
	return lifted, q.write(rest)
}

// write makes all those that there are, once they are durable. The caller holds mu.
func (q *quarantines) write(all []quarantine) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = q.disk.MakeDir(filepath.Dir(q.file))
	}
	if err == nil {
		err = q.disk.Replace(q.file, append(text, '\n'), 0o640)
	}
	if err != nil {
		return fmt.Errorf("quarantine of plugins: %w", err)
	}
	q.all = all
	return nil
}

// release has a plugin asked again, wherever it is in quarantine.
func (q *quarantines) release(plugin string) ([]quarantine, error) {
	return q.lift(func(one *quarantine) bool { return one.Plugin == plugin })
}

func newPluginReleaseCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "release NAME",
		Short: "Have a plugin asked again that is in quarantine",
		Long: `Release ends the quarantine of a plugin, in all feeds: it is asked again, from the change on at which a feed waits. Do so when what it
failed on was not its fault, or is over. What is mended needs no release: another version or another configuration of it is asked at once.
The audit log notes it, whether cdcd runs or not. It exits with 1 when the plugin is not in quarantine.`,
		Example: `  cdcd plugin release fraud-score`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			ask := pluginAsk{Verb: "release", Plugin: args[0], Who: whoAmI()}
			lifted := []quarantine{}
			err = tellRunning(cmd.Context(), cfg, "/plugins", ask, &lifted)
			if cdc.CodeOf(err) == codeNotRunning {
				lifted, err = a.releaseAside(cmd.Context(), cfg, ask, err)
			}
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			return a.ui.verdict(kind(cmd), len(lifted) > 0, lifted, func(w io.Writer) {
				if len(lifted) == 0 {
					fmt.Fprintf(w, "plugin %s is not in quarantine\n", args[0])
				}
				for _, q := range lifted {
					fmt.Fprintf(w, "%s %s is asked again in rule %s of feed %s\n", a.ui.out(green, "✓"), q.Plugin, q.Rule, q.Feed)
				}
			})
		},
	}
}

// releaseAside is [pipeline.releasePlugin] while no cdcd runs. One that runs and only cannot be asked has the stream, so it is not
// gone behind its back.
func (a *app) releaseAside(ctx context.Context, cfg *config, ask pluginAsk, unanswered error) ([]quarantine, error) {
	all := openQuarantines(cfg, a.log)
	if !slices.ContainsFunc(all.list(), func(q quarantine) bool { return q.Plugin == ask.Plugin }) {
		return nil, nil
	}
	p, err := a.aside(ctx, cfg, unanswered)
	if err != nil {
		return nil, err
	}
	defer p.closeAside()
	p.quarantines = all
	return p.releasePlugin(ctx, ask)
}
