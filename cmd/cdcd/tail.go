package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
)

func newTailCmd(a *app) *cobra.Command {
	var last uint64
	var tables []string
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show changes as they come, one JSON object a line",
		Long: `Tail asks the running cdcd, at console.listen, for the changes in its stream, whether a rule matches them or not.
It does not disturb delivery.`,
		Example: `  cdcd tail
  cdcd tail --last 20 --table shop.orders | jq .after`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			globs, err := tableGlobs(tables)
			if err != nil {
				return err
			}
			body, err := askRunning(cmd.Context(), cfg, fmt.Sprintf("/tail?last=%d", last), 0)
			if err != nil {
				return err
			}
			defer body.Close()
			lines := bufio.NewReaderSize(body, 1<<16)
			for {
				line, err := lines.ReadBytes('\n')
				if err == io.EOF {
					return cdc.Errorf(codeNotRunning, "the running cdcd has ended")
				}
				if err != nil {
					return interrupted(cmd.Context(), err)
				}
				if len(globs) > 0 && !ofTable(line, globs) {
					continue
				}
				if _, err := a.ui.stdout.Write(line); err != nil {
					return err
				}
			}
		},
	}
	cmd.Flags().Uint64Var(&last, "last", 0, "begin with about as many changes that have been")
	cmd.Flags().StringSliceVar(&tables, "table", nil, "only these tables (schema.table; globs)")
	return cmd
}

// tail streams the changes in the stream as lines, from about `last` changes back.
func (p *pipeline) tail(w http.ResponseWriter, r *http.Request) {
	back, _ := strconv.ParseUint(r.URL.Query().Get("last"), 10, 64) // not a number: none
	end, err := p.last(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	from, skipTo := end.Seq+1, uint64(0)
	if back > 0 && end.NextNo > 0 {
		skipTo = end.NextNo - min(back, end.NextNo)
		from -= min(back, end.Seq) // a frame has at least one change, mostly many
		if info, err := p.stream.Info(r.Context()); err == nil {
			from = max(from, info.First)
		}
	}
	if !enter(w, &p.tails, maxTails, "too many are looking already") {
		return
	}
	defer p.tails.Add(-1)
	response := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	_ = response.Flush() // so that the client knows that it is heard; if it has gone, Consume will end
	var line []byte
	looked := time.Now()
	ctx, gone := context.WithCancel(r.Context())
	defer gone()
	// The client's going away ends Consume; there is nobody left to tell of other errors.
	_ = p.stream.Consume(ctx, max(from, 1), func(_ context.Context, b *cdc.Batch) error {
		if time.Since(looked) > tailLooks { // a token may have been revoked
			if looked = time.Now(); !console.StillIn(ctx) {
				gone()
				return ctx.Err()
			}
		}
		for i := range b.Len() {
			e := b.Event(i)
			if e.No() < skipTo {
				continue
			}
			line = append(cdc.AppendEvent(line[:0], e), '\n')
			_ = response.SetWriteDeadline(time.Now().Add(slowTail)) // this answer has no end, but a reader must read
			if _, err := w.Write(line); err != nil {
				gone()
				return err
			}
		}
		return response.Flush()
	})
}

// Each who looks costs what is read ahead of the stream; one who does not read is let go.
const (
	maxTails = 8
	slowTail = 30 * time.Second

	tailLooks = 10 * time.Second
)

// tableGlobs reads the patterns of --table.
func tableGlobs(texts []string) ([]cdc.TableGlob, error) {
	var globs []cdc.TableGlob
	for _, text := range texts {
		g, err := cdc.ParseTableGlob(text)
		if err != nil {
			return nil, usagef("--table %s: %v", text, err)
		}
		globs = append(globs, g)
	}
	return globs, nil
}

// ofTable reports whether a line of tail is about one of the tables.
func ofTable(line []byte, globs []cdc.TableGlob) bool {
	var event struct {
		Table string `json:"table"`
	}
	if json.Unmarshal(line, &event) != nil {
		return false
	}
	schema, table, _ := strings.Cut(event.Table, ".")
	return slices.ContainsFunc(globs, func(g cdc.TableGlob) bool { return g.Match(schema, table) })
}
