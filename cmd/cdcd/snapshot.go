package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func newSnapshotCmd(a *app) *cobra.Command {
	var where string
	cmd := &cobra.Command{
		Use:   "snapshot TABLE",
		Short: "Read a table's present rows beside the changes",
		Long: `Snapshot asks the running cdcd, at console.listen, to read the rows that a table has now into the stream, as events with
op snapshot, while the changes go on. Each row comes in its right place between them, and nothing is written to the server.
The answer comes once the wish is durable: a cdcd that is killed goes on with it when it is started again.`,
		Example: `  cdcd snapshot shop.orders
  cdcd snapshot shop.orders --where "created_at >= '2026-01-01'"
  cdcd snapshot list
  cdcd snapshot pause 1f0c22ab`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var started snapshotStarted
			if err := tellRunning(cmd.Context(), cfg, "/snapshot", snapshotWish{Table: args[0], Where: where}, &started); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), started, func(w io.Writer) {
				fmt.Fprintf(w, "%s snapshot %s of %s will be read; cdcd snapshot list shows how far it is\n", a.ui.out(green, "✓"), started.ID, args[0])
			})
		},
	}
	cmd.Flags().StringVar(&where, "where", "", "only the rows for which this SQL condition is true")
	cmd.AddCommand(newSnapshotListCmd(a))
	for action, short := range map[mysql.SnapshotAction]string{
		mysql.SnapshotPause:  "Stop reading for now; what is in the stream stays there",
		mysql.SnapshotResume: "Go on with a snapshot that is paused or has failed",
		mysql.SnapshotCancel: "Give a snapshot up; what is in the stream stays there",
	} {
		cmd.AddCommand(newSnapshotActionCmd(a, action, short))
	}
	return cmd
}

func newSnapshotListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the snapshots that are being read, wait, or are paused",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			body, err := askRunning(cmd.Context(), cfg, "/snapshot", 10*time.Second)
			if err != nil {
				return err
			}
			defer body.Close()
			var jobs []api.SnapshotJob
			if err := json.NewDecoder(body).Decode(&jobs); err != nil {
				return fmt.Errorf("snapshots of the running cdcd: %w", err)
			}
			return a.ui.result(kind(cmd), jobs, func(w io.Writer) { a.printSnapshots(w, jobs) })
		},
	}
}

func newSnapshotActionCmd(a *app, action mysql.SnapshotAction, short string) *cobra.Command {
	return &cobra.Command{
		Use:   string(action) + " ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			var told snapshotStarted
			if err := tellRunning(cmd.Context(), cfg, "/snapshot/"+args[0]+"/"+string(action), struct{}{}, &told); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), told, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s snapshot %s\n", a.ui.out(green, "✓"), action, told.ID)
			})
		},
	}
}

func (a *app) printSnapshots(w io.Writer, jobs []api.SnapshotJob) {
	if len(jobs) == 0 {
		fmt.Fprintln(w, "no snapshot is under way")
		return
	}
	var rows [][]string
	for _, j := range jobs {
		table, of, rate := j.Table, "", ""
		if j.Initial && j.Left > 0 {
			table += fmt.Sprintf(" (%d of %d)", j.Tables+1, j.Tables+j.Left)
		}
		if j.Expected > 0 {
			of = fmt.Sprintf("about %d", j.Expected)
		}
		if j.Rate > 0 {
			rate = fmt.Sprintf("%.0f/s", j.Rate)
		}
		state := j.State
		if j.Holds != "" {
			state += ", changes wait (" + j.Holds + ")"
		}
		if len(j.Hidden) > 0 {
			j.Error = strings.TrimPrefix(j.Error+"; no right to read all of "+strings.Join(j.Hidden, ", "), "; ")
		}
		rows = append(rows, []string{j.ID, state, table, fmt.Sprint(j.Rows), of, rate, j.ETA, j.Error})
	}
	a.ui.table(w, []string{"SNAPSHOT", "STATE", "TABLE", "ROWS", "OF", "RATE", "ETA", "ERROR"}, rows)
}

// snapshotWish is what POST /snapshot takes.
type snapshotWish struct {
	Table string `json:"table"`
	Where string `json:"where,omitempty"`
}

// snapshotStarted is what it answers, once the wish is durable.
type snapshotStarted struct {
	ID string `json:"id"`
}

// snapshotPatience is how long a wish may take to become durable.
const snapshotPatience = 30 * time.Second

func (p *pipeline) listSnapshots(w http.ResponseWriter, _ *http.Request) {
	jobs := []api.SnapshotJob{}
	if server := p.server.Load(); server != nil {
		for _, job := range server.Snapshots() {
			jobs = append(jobs, api.SnapshotJob(job))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(jobs) // the client has gone away
}

func (p *pipeline) startSnapshot(w http.ResponseWriter, r *http.Request) {
	p.wish(w, r, func(ctx context.Context, server *mysql.Source, wish snapshotWish) (string, error) {
		schema, table, ok := strings.Cut(wish.Table, ".")
		if !ok {
			return "", usagef("%q is not of the form schema.table", wish.Table)
		}
		if p.cfg.forgetful() {
			return "", cdc.Errorf("CDCD-1336", "a snapshot needs a stream that keeps what it has acknowledged, and bus.embedded.allow_unsynced lets a power cut take that back").
				WithFix("remove allow_unsynced from the configuration and restart cdcd")
		}
		return server.StartSnapshot(ctx, schema, table, wish.Where)
	})
}

func (p *pipeline) alterSnapshot(w http.ResponseWriter, r *http.Request) {
	p.wish(w, r, func(ctx context.Context, server *mysql.Source, _ snapshotWish) (string, error) {
		id := r.PathValue("id")
		return id, server.AlterSnapshot(ctx, id, mysql.SnapshotAction(r.PathValue("action")))
	})
}

// wish does what a person asks of snapshots, and answers when that is durable.
func (p *pipeline) wish(w http.ResponseWriter, r *http.Request, do func(context.Context, *mysql.Source, snapshotWish) (string, error)) {
	var wish snapshotWish
	if !readWish(w, r, 1<<20, &wish) {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(snapshotPatience + 10*time.Second)) // later than the server's own, or the refusal would be lost
	ctx, cancel := context.WithTimeout(r.Context(), snapshotPatience)
	defer cancel()
	p.asked.Add(1) // from now on the frame that says so is waited for
	defer p.asked.Add(-1)
	var id string
	var err error
	if server := p.server.Load(); server != nil {
		id, err = do(ctx, server, wish)
	} else {
		err = cdc.Errorf("CDCD-1331", "the source is not a server, or has not been reached yet")
	}
	w.Header().Set("Content-Type", "application/json")
	if err == nil {
		_ = json.NewEncoder(w).Encode(snapshotStarted{id}) // the client has gone away
		return
	}
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(refusalOf(err))
}
