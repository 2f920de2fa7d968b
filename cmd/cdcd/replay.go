package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
)

func newReplayCmd(a *app) *cobra.Command {
	var ask replayAsk
	var yes, dry bool
	var by string
	cmd := &cobra.Command{
		Use:   "replay --into URL",
		Short: "Deliver a stretch of history once more, to a new place",
		Long: `Replay judges changes that have already happened and writes what matches to a new place, as chains of their own: INTO/FEED/. The feeds'
own objects are not touched, and nobody is told. Without --yes it only says what would be written.

The history is the stream, or binlog files (--source). --from and --to are times (2026-11-21T10:00:00Z, 24h ago as 24h), binlog positions
(binlog.000003:4711) or sequences of frames (seq:812); --to a time or position is not in it any more, --to a frame is the last one.
The same replay comes to the same objects; given again after it was interrupted, it goes on.`,
		Example: `  cdcd replay --from 24h --feed acme --into file:///tmp/yesterday
  cdcd replay --from seq:1 --rules drafts/ --into s3://bucket/drafted --yes
  cdcd replay --source '/backup/binlog.0*' --rules now --into file:///tmp/history --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry && yes {
				return usagef("--dry-run and --yes say the opposite")
			}
			return a.replay(cmd.Context(), kind(cmd), ask, by, yes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.From, "from", "", "where the history begins: a time, FILE:POSITION or seq:N")
	f.StringVar(&ask.To, "to", "", "where it ends")
	f.StringSliceVar(&ask.Feeds, "feed", nil, "only what these feeds get")
	f.StringVar(&by, "rules", "then", "what judges: then (the revision in force at the time), now, revision:N, or a rule file or folder")
	f.StringSliceVar(&ask.Source, "source", []string{"stream"}, "the history: stream, or binlog files (globs)")
	f.StringVar(&ask.Into, "into", "", "the new place: file:///folder or s3://bucket/prefix")
	f.StringVar(&ask.Lookup, "lookup", "recorded", "what look-ups find: recorded (what was read at the time), now or none")
	f.BoolVar(&yes, "yes", false, "write it")
	f.BoolVar(&dry, "dry-run", false, "only say what would be written, as without --yes")
	return cmd
}

// replay checks what is asked for, and has the running cdcd do it, or does it here.
func (a *app) replay(ctx context.Context, kind string, ask replayAsk, by string, yes bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if err := knownFeeds(cfg, ask.Feeds); err != nil {
		return err
	}
	if len(ask.Feeds) == 0 {
		ask.Feeds = feedNames(cfg)
	}
	if !oneOf(ask.Lookup, "recorded", "now", "none") {
		return badChoice("--lookup", ask.Lookup, "recorded", "now", "none")
	}
	if slices.Equal(ask.Source, []string{"stream"}) {
		ask.Source = nil
	}
	for i, glob := range ask.Source { // the running cdcd has another folder
		if ask.Source[i], err = filepath.Abs(glob); err != nil {
			return err
		}
	}
	for flag, text := range map[string]string{"--from": ask.From, "--to": ask.To} {
		at, err := parsePoint(flag, text)
		if err != nil {
			return err
		}
		if at.Seq > 0 && len(ask.Source) > 0 {
			return usagef("%s %s names a frame, and binlog files have none", flag, text)
		}
	}
	switch _, isRevision := strings.CutPrefix(by, "revision:"); {
	case by == "then" && len(ask.Source) > 0:
		ask.Rules = "now" // binlog files do not say what was in force
	case by == "then" || by == "now" || isRevision:
		ask.Rules = by
	default:
		ask.Rules = "files"
		if ask.Files, err = a.ruleTexts([]string{by}); err != nil {
			return err
		}
	}
	if ask.Into, err = replayInto(cfg, ask); err != nil {
		return err
	}
	wish := replayWish{replayAsk: ask, Yes: yes, By: whoAmI()}
	live := living{ui: a.ui}
	progress := func(p replayProgress) { live.show("replay: ", p.String()) }
	r, err := askSlowly[replayProgress, replayResult](ctx, cfg, "/replay", wish, progress)
	if cdc.CodeOf(err) == codeNotRunning {
		var p *pipeline
		if p, err = a.aside(ctx, cfg, err); err == nil {
			defer p.closeAside()
			r, err = p.replayHistory(ctx, wish, progress)
		}
	}
	live.end()
	if err != nil {
		return interrupted(ctx, err)
	}
	return a.ui.result(kind, r, func(w io.Writer) { a.printReplay(w, r) })
}

// replayInto returns the place as a store's address, and refuses those of feeds: what is replayed must not be taken for what was
// delivered.
func replayInto(cfg *config, ask replayAsk) (string, error) {
	into := strings.TrimRight(ask.Into, "/")
	switch {
	case into == "":
		return "", usagef("--into names the new place").WithFix("write file:///folder or s3://bucket/prefix")
	case strings.HasPrefix(into, "s3://"):
	case strings.Contains(into, "://") && !strings.HasPrefix(into, "file://"):
		return "", usagef("--into cannot be '%s'", ask.Into).WithFix("write file:///folder or s3://bucket/prefix")
	default:
		dir, err := filepath.Abs(filepath.FromSlash(strings.TrimPrefix(into, "file://")))
		if err != nil {
			return "", err
		}
		into = "file://" + filepath.ToSlash(dir)
	}
	for _, name := range feedNames(cfg) {
		to := strings.TrimRight(cfg.Feeds[name].To, "/")
		inside := into == to || strings.HasPrefix(into, to+"/")
		for _, feed := range ask.Feeds {
			inside = inside || into+"/"+feed == to
		}
		if inside {
			return "", cdc.Errorf("CDCD-4622", "--into %s is the place of feed %s", ask.Into, name).WithFix("name a place where nothing is delivered to")
		}
	}
	return into, nil
}

func (p replayProgress) String() string {
	text := fmt.Sprintf("%s changes of feed %s", grouped(p.Changes), p.Feed)
	if p.LastSeq > 0 {
		text += fmt.Sprintf(", frame %d of %d", p.Seq, p.LastSeq)
	}
	return text
}

func (a *app) printReplay(w io.Writer, r replayResult) {
	var rows [][]string
	for _, f := range r.Feeds {
		for _, rule := range slices.Sorted(maps.Keys(f.Rules)) {
			rows = append(rows, []string{f.Feed, rule, grouped(f.Rules[rule].Records), grouped(f.Rules[rule].Errors)})
		}
	}
	if len(rows) > 0 {
		a.ui.table(w, []string{"FEED", "RULE", "RECORDS", "ERRORS"}, rows)
		fmt.Fprintln(w)
	}
	for _, f := range r.Feeds {
		fmt.Fprintf(w, "%s: %s of %s changes, %s, %s bytes, into %s\n", f.Feed, plural(int(f.Records), "record"), grouped(f.Changes), plural(int(f.Objects), "object"),
			grouped(f.Bytes), f.Into)
		if f.Records > 0 {
			fmt.Fprintf(w, "  from %s to %s\n", f.First.Format("2006-01-02 15:04:05Z"), f.Last.Format("2006-01-02 15:04:05Z"))
		}
		if f.Failed > 0 {
			fmt.Fprintf(w, "  %s could not be judged, and are in no object\n", plural(int(f.Failed), "change"))
		}
	}
	if r.DryRun {
		fmt.Fprintln(w, "nothing was written: --yes does it")
	} else {
		fmt.Fprintln(w, "written")
	}
	if r.Resumed {
		fmt.Fprintln(w, "an earlier run had begun; the figures are of what was left")
	}
}
