package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine/backtest"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func newRulesBacktestCmd(a *app) *cobra.Command {
	var o backtestOptions
	cmd := &cobra.Command{
		Use:   "backtest [FILES…|-]",
		Short: "Try rules on the changes that have already happened",
		Long: `Backtest judges the history by the rules of the files (- is standard input) and compares the outcome with the rules that
are in force: what would be matched besides, what no longer, and what as before. It delivers nothing.

The history is the stream of the configuration; a running cdcd is asked to do it. Or it is binlog files (--binlog),
or changes as JSON, one a line, as tail and delivered objects have them (--events). Ctrl-C ends it with what was found so far.`,
		Example: `  cdcd rules backtest drafts/big-orders.yaml
  cdcd rules backtest drafts/ --since 24h --rule paid-big-order
  cdcd rules backtest - --against rules/ --binlog '/backup/binlog.0*' < draft.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.backtest(cmd.Context(), kind(cmd), args, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "", "only changes that were committed within this time before now, such as 24h or 7d, or after a date")
	flags.StringVar(&o.until, "until", "", "only changes that were committed before this date or time")
	flags.StringSliceVar(&o.rules, "rule", nil, "only these rules of the files")
	flags.StringVar(&o.against, "against", "", "rule files or folder to compare with, or none; default: those in force")
	flags.StringSliceVar(&o.binlog, "binlog", nil, "read these binlog files (globs) instead of the stream")
	flags.StringVar(&o.events, "events", "", "read changes as JSON, one a line, from this file instead of the stream")
	flags.IntVar(&o.examples, "examples", 5, "examples of each kind and rule")
	flags.StringVar(&o.schema, "schema", "", "file that says what the tables look like, instead of the database")
	return cmd
}

type backtestOptions struct {
	since, until    string
	rules           []string
	against, events string
	binlog          []string
	examples        int
	schema          string
}

// backtestWish is what is tried: what POST /backtest takes.
type backtestWish struct {
	Draft    []ruleText `json:"draft"`
	Against  []ruleText `json:"against,omitempty"` // to compare with, instead of the rules in force
	Alone    bool       `json:"alone,omitempty"`   // compare with nothing
	Rules    []string   `json:"rules,omitempty"`   // of the draft; none: all
	From     time.Time  `json:"from,omitzero"`
	To       time.Time  `json:"to,omitzero"`
	Examples int        `json:"examples,omitempty"`
}

// backtestProgress is how far a back-test of the stream is.
type backtestProgress struct {
	backtest.Progress
	LastSeq uint64 `json:"last_seq,omitempty"` // at which the history ends
}

// backtestLine is a line of its answer.
type backtestLine = slowLine[backtestProgress, backtest.Report]

func (a *app) backtest(ctx context.Context, kind string, args []string, o backtestOptions) error {
	wish, tables, err := a.backtestWish(ctx, args, o)
	if err != nil {
		return err
	}
	live := living{ui: a.ui}
	progress := func(p backtestProgress) { live.show("back-test: ", p.String()) }
	var r backtest.Report
	switch {
	case len(o.binlog) > 0 && o.events != "":
		err = usagef("--binlog and --events are two histories: name one")
	case len(o.binlog) > 0:
		r, err = a.backtestFiles(ctx, wish, o, progress)
	case o.events != "":
		r, err = a.backtestEvents(ctx, wish, tables, o.events, progress)
	default:
		r, err = a.backtestStream(ctx, wish, progress)
	}
	live.end()
	if err != nil && !r.Partial {
		return interrupted(ctx, err)
	}
	if printed := a.ui.result(kind, r, func(w io.Writer) { a.printBacktest(w, r) }); printed != nil {
		return printed
	}
	return interrupted(ctx, err)
}

func (p backtestProgress) String() string {
	text := fmt.Sprintf("%d changes, %d matched, %d errors", p.Read, p.Matched, p.Errors)
	if p.LastSeq > 0 && p.Seq > 0 {
		text += fmt.Sprintf(", frame %d of %d", p.Seq, p.LastSeq)
	}
	if !p.At.IsZero() {
		text += ", at " + p.At.UTC().Format("2006-01-02 15:04Z")
	}
	return text
}

// backtestWish reads the files that are to be tried and compared with, and refuses drafts that do not fit the tables, if
// those are known.
func (a *app) backtestWish(ctx context.Context, args []string, o backtestOptions) (wish backtestWish, tables []*cdc.Table, err error) {
	wish = backtestWish{Rules: o.rules, Alone: o.against == "none", Examples: o.examples}
	if o.examples == 0 {
		wish.Examples = -1 // none; 0 would be the default
	}
	if wish.From, err = timeOf("--since", o.since, time.Now()); err != nil {
		return wish, nil, err
	}
	if wish.To, err = timeOf("--until", o.until, time.Now()); err != nil {
		return wish, nil, err
	}
	if wish.Draft, err = a.ruleTexts(args); err != nil {
		return wish, nil, err
	}
	if o.against != "" && !wish.Alone {
		if wish.Against, err = a.ruleTexts([]string{o.against}); err != nil {
			return wish, nil, err
		}
	}
	draft, err := wish.draft()
	if err != nil {
		return wish, nil, err
	}
	l := &linted{set: draft}
	if tables, err = l.tables(ctx, a, o.schema); err != nil && o.events != "" {
		return wish, nil, err // JSON needs to be told what the columns are
	} else if err != nil {
		a.ui.note("not checked against tables: %s", err)
		return wish, nil, ctx.Err()
	}
	looked, unknown := a.lookedUpBy(ctx, o.schema, draft, tables)
	if unknown != nil {
		a.ui.note("look-ups are not checked: %s", unknown)
	}
	_, err = checkKnown(draft, tables, looked, unknown)
	return wish, tables, err
}

// draft returns the rules to be tried.
func (w *backtestWish) draft() (*rules.Set, error) {
	set, err := parseTexts(w.Draft)
	if err != nil || len(w.Rules) == 0 {
		return set, err
	}
	var chosen []*rules.Rule
	var names []string
	for _, r := range set.Rules() {
		names = append(names, r.Name)
		if slices.Contains(w.Rules, r.Name) {
			chosen = append(chosen, r)
		}
	}
	for _, name := range w.Rules {
		if !slices.Contains(names, name) {
			return nil, usagef("there is no rule '%s' in the files", name).WithFix("they have %s", strings.Join(names, ", "))
		}
	}
	return rules.New(chosen)
}

// against returns the rules that are compared with.
func (w *backtestWish) against(inForce *rules.Set) (*rules.Set, error) {
	switch {
	case w.Alone:
		return nil, nil
	case len(w.Against) > 0:
		return parseTexts(w.Against)
	}
	return inForce, nil
}

// timeOf reads a time: a span before now (24h, 7d), a date, or a date with time.
func timeOf(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	span := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		if _, err := fmt.Sscanf(days+" ", "%g ", &n); err == nil {
			span = fmt.Sprintf("%gh", 24*n)
		}
	}
	if d, err := time.ParseDuration(span); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s cannot be '%s'", flag, text).WithFix("write a span such as 24h or 7d, or a time in UTC such as 2026-11-21 or 2026-11-21T10:00:00Z")
}

// recordedAnswers is what was looked up for frames. nil: the history has none.
type recordedAnswers func(ctx context.Context, frame uint64, q *cdc.Query) (*cdc.Answer, error)

// recordedIn returns what is kept beside a stream.
func recordedIn(looks *lookups) recordedAnswers {
	return func(ctx context.Context, frame uint64, q *cdc.Query) (*cdc.Answer, error) {
		kept, err := looks.store(ctx)
		if err != nil {
			return nil, err
		}
		a, err := kept.Recorded(ctx, "*", frame, q)
		if errors.Is(err, bus.ErrNoAnswer) {
			err = backtest.ErrNotRecorded
		}
		return a, err
	}
}

// try runs a back-test over a source.
func (w *backtestWish) try(ctx context.Context, cfg *config, plugins *plugins, inForce *rules.Set, recorded recordedAnswers, progress func(backtestProgress),
	source func(context.Context, cdc.Handler) error) (backtest.Report, error) {
	defer plugins.Close()
	draft, err := w.draft()
	if err == nil {
		draft, err = plugins.pinAll(draft)
	}
	if err != nil {
		return backtest.Report{}, err
	}
	against, err := w.against(inForce)
	if err == nil && against != nil {
		against, err = plugins.pinAll(against)
	}
	if err != nil {
		return backtest.Report{}, err
	}
	feeds := map[string]backtest.Delivery{}
	for _, name := range draft.Feeds() {
		if f := cfg.Feeds[name]; f != nil {
			feeds[name] = backtest.Delivery{Every: time.Duration(f.Rotate.Every), Rows: f.Rotate.Rows, Bytes: int(f.Rotate.Bytes), Pack: func(lines []byte) int {
				packed, err := chain.Compress(f.Compress, lines)
				if err != nil {
					return len(lines)
				}
				return len(packed)
			}}
		}
	}
	return backtest.Run(ctx, backtest.Config{Draft: draft, Lookup: recorded, Active: against, Filter: plugins.engineFilter, From: w.From, To: w.To, Feeds: feeds, Examples: w.Examples,
		Progress: func(p backtest.Progress) { progress(backtestProgress{Progress: p}) }}, source)
}

// tryStream runs a back-test over the stream as it is now, and compares with the newest revision of the rules.
func (w *backtestWish) tryStream(ctx context.Context, a *app, cfg *config, stream *bus.Stream, book *ruleBook, progress func(backtestProgress)) (backtest.Report, error) {
	inForce, err := book.newest(ctx)
	if inForce == nil && err == nil {
		inForce, err = parseRules(cfg) // they will be the first revision
	}
	if err != nil && !w.Alone && len(w.Against) == 0 {
		return backtest.Report{}, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return backtest.Report{}, err
	}
	first := max(info.First, 1)
	if !w.From.IsZero() { // a change is in the stream after it was committed
		if first, err = stream.At(ctx, w.From); err != nil {
			return backtest.Report{}, err
		}
	}
	return w.try(ctx, cfg, a.pluginsAside(cfg), inForce, recordedIn(openLookups(cfg, a.env, stream, nil)), func(p backtestProgress) {
		p.LastSeq = info.Last
		progress(p)
	}, history(stream, first, info.Last))
}

// history reads a part of the stream. Several read at once, a stretch each: unpacking frames takes as long as judging them.
func history(stream *bus.Stream, first, last uint64) func(context.Context, cdc.Handler) error {
	const stretch = 128 // frames
	return func(ctx context.Context, next cdc.Handler) error {
		var taken atomic.Uint64
		g, ctx := errgroup.WithContext(ctx)
		for range runtime.GOMAXPROCS(0) {
			g.Go(func() error {
				for {
					begin := first + stretch*(taken.Add(1)-1)
					if begin > last {
						return nil
					}
					if err := stream.Read(ctx, begin, min(begin+stretch-1, last), next); err != nil {
						return err
					}
				}
			})
		}
		return g.Wait()
	}
}

// backtestStream has the running cdcd do it, and reads the stream itself when there is none.
func (a *app) backtestStream(ctx context.Context, wish backtestWish, progress func(backtestProgress)) (backtest.Report, error) {
	var r backtest.Report
	cfg, err := a.config()
	if err != nil {
		return r, err
	}
	r, unanswered := backtestRunning(ctx, cfg, wish, progress)
	if cdc.CodeOf(unanswered) != codeNotRunning {
		return r, unanswered
	}
	if !hasStream(cfg) {
		return r, cdc.Errorf("CDCD-2301", "there is no history: nothing has been captured into %s", cfg.Data).
			WithFix("run cdcd first, or name another history: --binlog FILES or --events FILE")
	}
	stream, err := a.unattended(ctx, cfg, unanswered)
	if err != nil {
		return r, err
	}
	defer stream.Close()
	store, err := stream.Rules(ctx)
	if err != nil {
		return r, err
	}
	return wish.tryStream(ctx, a, cfg, stream, newRuleBook(store), progress)
}

// backtestFiles tries binlog files.
func (a *app) backtestFiles(ctx context.Context, wish backtestWish, o backtestOptions, progress func(backtestProgress)) (backtest.Report, error) {
	cfg, inForce, err := a.optionalConfig()
	if err != nil {
		return backtest.Report{}, err
	}
	c := mysql.Config{Name: "history", Tables: []string{"*.*"}, Logger: a.log}
	if cfg.Name != "" {
		c.Name = cfg.Name
		if err := selectInto(&c, cfg); err != nil {
			return backtest.Report{}, err
		}
	}
	source, err := mysql.Files(c, o.binlog...)
	if err != nil {
		return backtest.Report{}, err
	}
	return wish.try(ctx, cfg, a.pluginsAside(cfg), inForce, nil, progress, func(ctx context.Context, next cdc.Handler) error {
		return source.Run(ctx, cdc.Checkpoint{}, next)
	})
}

// backtestEvents tries changes as JSON, one a line.
func (a *app) backtestEvents(ctx context.Context, wish backtestWish, tables []*cdc.Table, name string, progress func(backtestProgress)) (backtest.Report, error) {
	cfg, inForce, err := a.optionalConfig()
	if err != nil {
		return backtest.Report{}, err
	}
	file, err := os.Open(name)
	if err != nil {
		return backtest.Report{}, cdc.Errorf("CDCD-2134", "the events cannot be read: %w", err)
	}
	defer file.Close()
	return wish.try(ctx, cfg, a.pluginsAside(cfg), inForce, nil, progress, func(ctx context.Context, next cdc.Handler) error {
		defer context.AfterFunc(ctx, func() { file.Close() })() // a pipe may have nothing to read for long
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, cdc.MaxFrame)
		for n := 1; lines.Scan(); n++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			e, err := rules.ParseEvent(lines.Bytes(), tables)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", name, n, err)
			}
			if err := next(ctx, e.Batch()); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := lines.Err(); err != nil {
			return cdc.Errorf("CDCD-2134", "the events cannot be read: %s: %w", name, err)
		}
		return nil
	})
}

// anyConfig returns the configuration, or an empty one when there is no configuration file.
func (a *app) anyConfig() (*config, error) {
	if _, err := os.Stat(a.configFile); errors.Is(err, os.ErrNotExist) {
		return &config{}, nil
	}
	return a.config()
}

// optionalConfig returns that and its rules.
func (a *app) optionalConfig() (*config, *rules.Set, error) {
	cfg, err := a.anyConfig()
	if err != nil || cfg.file == "" {
		return cfg, nil, err
	}
	set, err := parseRules(cfg)
	return cfg, set, err
}

// backtestRunning asks the running cdcd.
func backtestRunning(ctx context.Context, cfg *config, wish backtestWish, progress func(backtestProgress)) (backtest.Report, error) {
	var r backtest.Report
	text, err := json.Marshal(wish)
	if err != nil {
		return r, err
	}
	resp, err := callRunning(ctx, cfg, http.MethodPost, "/backtest", bytes.NewReader(text), 0)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // it explains the status, if it can
		return r, fmt.Errorf("%s/backtest: %s: %s", cfg.Console.Listen, resp.Status, bytes.TrimSpace(text))
	}
	return hearLines[backtestProgress, backtest.Report](ctx, resp.Body, progress)
}

// backtest answers POST /backtest. It goes on until the history ends or who asked goes away.
func (p *pipeline) backtest(w http.ResponseWriter, r *http.Request) {
	var wish backtestWish
	if !readWish(w, r, 3*maxDraft, &wish) {
		return
	}
	wish.Examples = min(wish.Examples, 100)
	if !enter(w, &p.backtests, maxBacktests, "enough back-tests are running already") {
		return
	}
	defer p.backtests.Add(-1)
	say := sayLines[backtestProgress, backtest.Report](w)
	report, err := wish.tryStream(r.Context(), p.app, p.cfg, p.stream, p.desk.book, func(p backtestProgress) { say(backtestLine{Progress: &p}) })
	line := backtestLine{Result: &report}
	if err != nil {
		no := refusalOf(err)
		line.Error = &no
	}
	say(line)
}

// maxBacktests bounds what people may take from delivery: each uses all cores.
const maxBacktests = 1

func (a *app) printBacktest(w io.Writer, r backtest.Report) {
	if r.Partial {
		fmt.Fprintf(w, "%s what was found until %s\n\n", a.ui.out(yellow, "!"), r.Why)
	}
	if r.Read == 0 {
		fmt.Fprintln(w, "the history has no change of this time")
		return
	}
	fmt.Fprintf(w, "%s changes from %s to %s in %.1f s (%s changes/s)\n", grouped(r.Read), r.First.UTC().Format("2006-01-02 15:04:05Z"),
		r.Last.UTC().Format("2006-01-02 15:04:05Z"), r.Seconds, grouped(uint64(float64(r.Read)/max(r.Seconds, 0.001))))
	var table [][]string
	for _, rule := range r.Rules {
		row := []string{rule.Name, grouped(rule.Evaluated), grouped(rule.Matched), count(rule.Rows), grouped(rule.Errors)}
		if rule.Against == "" {
			row = append(row, "new")
		} else {
			against := fmt.Sprintf("+%s −%s =%s", grouped(rule.Added), grouped(rule.Lost), grouped(rule.Same))
			if rule.Changed > 0 {
				against += fmt.Sprintf(" ~%s", grouped(rule.Changed))
			}
			row = append(row, against)
		}
		table = append(table, row)
	}
	fmt.Fprintln(w)
	a.ui.table(w, []string{"RULE", "EVALUATED", "MATCHED", "ROWS", "ERRORS", "AGAINST NOW"}, table)
	printFilters(w, r.Rules)
	for _, rule := range r.Rules {
		for _, x := range rule.Examples {
			if x.Kind != backtest.Same {
				fmt.Fprintln(w)
				break
			}
		}
		for _, x := range rule.Examples {
			if x.Kind != backtest.Same {
				fmt.Fprintf(w, "%s %s: no %d %s\n", a.ui.out(kindStyle[x.Kind], x.Kind), rule.Name, x.No, exampleText(x))
			}
		}
	}
	if len(r.Days) > 1 {
		fmt.Fprintln(w)
		a.printDays(w, r.Days)
	}
	for _, f := range r.Feeds {
		fmt.Fprintf(w, "\nfeed %s: %s records in about %s objects, about %s", f.Feed, grouped(f.Draft.Records), grouped(f.Draft.Objects), size(int64(f.Draft.Bytes)))
		if f.Active.Records > 0 {
			fmt.Fprintf(w, " (now %s records, %s)", grouped(f.Active.Records), size(int64(f.Active.Bytes)))
		}
	}
	fmt.Fprintf(w, "\njudging took %.0f ns a change, all rules together\n\nnot simulated:\n", r.Draft.NsPerChange)
	for _, line := range r.NotSimulated {
		fmt.Fprintf(w, "  - %s\n", line)
	}
}

// printFilters says what the plugins of rules did.
func printFilters(w io.Writer, all []backtest.Rule) {
	between := "\n"
	for _, rule := range all {
		if f := rule.Filter; f != nil {
			fmt.Fprintf(w, "%s%s: of %s changes, plugin %s kept %s (%s edited), dropped %s and failed on %s\n", between, rule.Name, grouped(f.Asked), f.Plugin,
				grouped(f.Kept), grouped(f.Edited), grouped(f.Dropped), grouped(f.Failed))
			between = ""
		}
	}
}

var kindStyle = map[string]string{backtest.Added: green, backtest.Lost: red, backtest.Changed: yellow, backtest.Failed: red}

// exampleText is an example in a line.
func exampleText(x backtest.Example) string {
	var event struct {
		Op     string          `json:"op"`
		Table  string          `json:"table"`
		Key    json.RawMessage `json:"key"`
		Commit string          `json:"commit_time"`
	}
	_ = json.Unmarshal(x.Event, &event) // made by cdc.AppendEvent
	text := fmt.Sprintf("%s %s %s %s", event.Commit, event.Op, event.Table, event.Key)
	switch {
	case x.Error != "":
		text += ": " + x.Error
	case x.Kind == backtest.Changed && x.Change == x.Was:
		text += ": the plugin alters it otherwise"
	case x.Kind == backtest.Changed:
		text += fmt.Sprintf(": %s, was %s", x.Change, x.Was)
	case x.Change != "":
		text += ": " + x.Change
	}
	return text
}

// printDays draws the matches of each day.
func (a *app) printDays(w io.Writer, days []backtest.Day) {
	const width = 40
	most := uint64(1)
	for _, d := range days {
		most = max(most, d.Matched)
	}
	if skip := len(days) - 31; skip > 0 {
		fmt.Fprintf(w, "%d earlier days are in -o json\n", skip)
		days = days[skip:]
	}
	for _, d := range days {
		bar := strings.Repeat("█", int((d.Matched*width+most-1)/most))
		fmt.Fprintf(w, "%s %s %s\n", d.Day, bar+strings.Repeat(" ", width-len([]rune(bar))), grouped(d.Matched))
	}
}

func count(c backtest.Count) string {
	if c.Estimated {
		return "≈ " + grouped(c.N)
	}
	return grouped(c.N)
}

// grouped writes a number with its thousands apart.
func grouped(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
