package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/console/api"
)

func newStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show lag, rates and errors of the running cdcd",
		Long: `Status asks the cdcd that runs with this configuration, at console.listen, and exits with 1 when it is not ready:
when it does not capture, or does not deliver one of its feeds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			body, err := askRunning(cmd.Context(), cfg, "/status", 10*time.Second)
			if err != nil {
				return err
			}
			defer body.Close()
			var s state
			if err := json.NewDecoder(body).Decode(&s); err != nil {
				return fmt.Errorf("status of the running cdcd: %w", err)
			}
			return a.ui.verdict(kind(cmd), s.Ready, s, func(w io.Writer) { a.printState(w, s) })
		},
	}
}

func (a *app) printState(w io.Writer, s state) {
	verdict := a.ui.out(green, "✓ ready")
	if !s.Ready {
		verdict = a.ui.out(red, "✗ not ready: ") + s.Why
	}
	fmt.Fprintf(w, "%s   source %s, writer %s\n\n", verdict, s.Source, s.Writer)
	a.printCapture(w, s.Capture)
	fmt.Fprintf(w, "stream   %d frames, %s of %s\n", s.Stream.Frames, size(s.Stream.Bytes), size(s.Stream.MaxBytes))
	if s.Stream.FullIn != nil && 2*s.Stream.Undelivered > s.Stream.MaxBytes {
		fmt.Fprintf(w, "         %s %s are not delivered by feed %s: full in %s, then capture waits\n", a.ui.out(red, "✗"), size(s.Stream.Undelivered), s.Stream.Slowest,
			(time.Duration(*s.Stream.FullIn) * time.Second).Round(time.Second))
	}
	a.printRulesState(w, s.Rules)
	if s.Lookups != nil {
		printLookups(s.Lookups, w)
	}
	for _, q := range s.Quarantined {
		fmt.Fprintf(w, "         %s plugin %s of rule %s is in quarantine in feed %s, fallback %s: %s\n", a.ui.out(red, "✗"), q.Plugin, q.Rule, q.Feed, q.Fallback, q.Why)
	}
	fmt.Fprintln(w)
	if len(s.Snapshots) > 0 {
		a.printSnapshots(w, s.Snapshots)
		fmt.Fprintln(w)
	}
	var rows [][]string
	for _, f := range s.Feeds {
		rows = append(rows, []string{f.Feed, f.To, fmt.Sprint(f.Events), fmt.Sprint(f.Matched), fmt.Sprint(f.Failed), fmt.Sprint(f.Ordinal),
			fmt.Sprint(f.Waiting), fmt.Sprintf("%.1f s", f.AgeSeconds), fmt.Sprint(f.Behind), f.Error})
	}
	a.ui.table(w, []string{"FEED", "TO", "JUDGED", "MATCHED", "FAILED", "OBJECTS", "WAITING", "AGE", "BEHIND", "ERROR"}, rows)
	for _, f := range s.Feeds {
		a.printTriggers(w, f)
	}
}

func (a *app) printRulesState(w io.Writer, r api.RulesStatus) {
	var modes []string
	for _, mode := range []string{"active", "shadow", "off", "draft"} {
		if n := r.Modes[mode]; n > 0 {
			modes = append(modes, fmt.Sprintf("%d %s", n, mode))
		}
	}
	fmt.Fprintf(w, "rules    revision %d", r.Revision)
	if r.Who != "" {
		fmt.Fprintf(w, " by %s at %s", r.Who, r.Since)
	}
	if len(modes) > 0 {
		fmt.Fprintf(w, ": %s", strings.Join(modes, ", "))
	}
	fmt.Fprintln(w)
	for _, b := range r.Broken {
		fmt.Fprintf(w, "         %s %s does not fit its table: %s\n", a.ui.out(red, "✗"), b.Rule, b.Finding)
	}
	if r.Refused != "" {
		fmt.Fprintf(w, "         %s the rule files are not in force: %s\n", a.ui.out(red, "✗"), r.Refused)
	}
}

func (a *app) printCapture(w io.Writer, c api.CaptureStatus) {
	what := fmt.Sprintf("%.1f s behind", c.LagSeconds)
	if c.BehindBytes != nil {
		what += fmt.Sprintf(" (%s)", size(*c.BehindBytes))
	}
	if c.Standby {
		what = "standing by: another cdcd captures"
	}
	fmt.Fprintf(w, "capture  %s, %s since start\n", what, plural(int(c.Rows), "row"))
	connection := a.ui.out(red, "not connected")
	if c.Connected {
		connection = "connected"
	}
	if c.Since != "" {
		connection += " since " + c.Since
	}
	if c.Disconnects > 0 {
		connection += ", lost " + plural(int(c.Disconnects), "time")
	}
	if c.File != "" {
		connection += fmt.Sprintf(", at %s:%d", c.File, c.Pos)
	}
	fmt.Fprintf(w, "source   %s\n", connection)
	if c.LookedAt != "" {
		room := "what is needed is kept: " + c.KeepsWhy
		switch {
		case c.HeadroomSeconds != nil:
			room = fmt.Sprintf("what is needed is kept for %s at least (%s)", time.Duration(*c.HeadroomSeconds)*time.Second, c.KeepsWhy)
		case c.Keeps == "unknown":
			room = "how long binlogs are kept is not known: " + c.KeepsWhy
		}
		fmt.Fprintf(w, "server   %s %s, %s; %s\n", c.Flavor, c.Version, c.Server, room)
	}
	if c.LastError != "" {
		fmt.Fprintf(w, "error    %s: %s\n", c.LastErrorAt, c.LastError)
	}
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
