package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/person"
	"github.com/cdcd-project/cdcd/partner"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/form"
	"github.com/cdcd-project/cdcd/sinks/view"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

const codeNotArrived = "CDCD-4702" // what the source has was not delivered within the limit

func newVerifyCmd(a *app) *cobra.Command {
	v := verification{app: a, limit: 2 * time.Minute, room: maxVerifyKeys}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare what was delivered with the tables of the source",
		Long: `Verify does what a partner would do who trusts nobody: it reads all objects of each feed, checks them as cdcd partner verify does, and the
audit log, applies the records in their order, and compares the rows that this makes with those that the source has.

It judges tables of which a feed gets every change: by rules without a condition, or by one rule with where; columns as the feed
shows them. It says of each other table why it does not judge it. Rows that were there before the feed began, and that no
snapshot has delivered, are counted apart.

While cdcd runs, rows may be on their way: verify waits until what it has read is delivered. --at-rest compares what is there, for when
nobody writes any more, and needs no running cdcd.

It exits with 1 when something is missing, too many or different, and with 3 when that could not be found out.`,
		Example: `  cdcd verify
  cdcd verify --feed acme --table shop.orders
  cdcd verify --at-rest -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			result, err := v.run(cmd.Context())
			if err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), result.OK, result, func(w io.Writer) { a.printVerified(w, result) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&v.onlyFeeds, "feed", nil, "a feed to verify; may be repeated (default: all)")
	f.StringArrayVar(&v.onlyTables, "table", nil, "a table to compare, schema.table; may be repeated (default: all)")
	f.BoolVar(&v.atRest, "at-rest", false, "nobody writes, and all is delivered: wait for nothing")
	f.DurationVar(&v.limit, "limit", v.limit, "how long to wait for what is on its way")
	return cmd
}

// verification is one run of verify.
//
// Objects are read once before the tables, and again after what the tables have was delivered. What the partner had when a table was read is
// one of the states between the two, so a row that never was the same in between is different for good.
type verification struct {
	*app
	onlyFeeds, onlyTables []string
	atRest                bool
	limit                 time.Duration

	cfg    *config
	server mysql.Config
	set    *rules.Set
	dir    string // for state of partners
	room   int    // rows that may still be kept in memory
	feeds  []*verifiedFeed
}

// verifyResult is what verify found.
type verifyResult struct {
	OK    bool            `json:"ok"`
	Audit audit.Report    `json:"audit"`
	Feeds []*verifiedFeed `json:"feeds"`
}

// verifiedFeed is a feed with what was found of it.
type verifiedFeed struct {
	Feed    string          `json:"feed"`
	Objects int             `json:"objects"`
	Records int             `json:"records"`
	Bad     *partnerFinding `json:"bad"` // the first thing that is wrong with its objects
	Tables  []verifiedTable `json:"tables"`

	store    chain.Store
	puller   *partner.Puller
	view     *view.View
	set      *rules.Set // the rules that its tables are judged by
	replicas map[string]*replica
	order    []string          // of the tables
	unjudged map[string]string // why tables are not judged
}

func (v *verification) run(ctx context.Context) (result verifyResult, err error) {
	if err := v.open(ctx); err != nil {
		return result, err
	}
	defer os.RemoveAll(v.dir)
	defer v.close()
	if result.Audit, err = v.auditLog(ctx); err != nil {
		return result, err
	}
	if err := v.pull(ctx); err != nil {
		return result, err
	}
	var end mysql.LogEnd
	for _, f := range v.feeds {
		for _, table := range f.order {
			if f.Bad == nil && f.unjudged[table] == "" {
				if end, err = v.readTable(ctx, f, table); err != nil {
					return result, err
				}
			}
		}
	}
	if err := v.arrive(ctx, end); err != nil {
		return result, err
	}
	result.OK, result.Feeds = result.Audit.Bad == nil, v.feeds
	judged := false
	for _, f := range v.feeds {
		result.OK = result.OK && f.Bad == nil
		judged = judged || f.Bad != nil
		for _, table := range f.order {
			t := verifiedTable{Table: table, NotJudged: f.unjudged[table]}
			switch {
			case t.NotJudged != "":
			case f.Bad != nil:
				t.NotJudged = "its objects are not what they should be"
			default:
				t, judged = f.replicas[table].verdict(table), true
			}
			f.Tables = append(f.Tables, t)
			result.OK = result.OK && t.wrong() == 0
		}
	}
	if !judged && result.OK {
		why := "no feed delivers one of the tables"
		for _, f := range v.feeds {
			for _, t := range f.Tables {
				why = "of feed " + f.Feed + ", " + t.Table + ": " + t.NotJudged
			}
		}
		return result, cdc.Errorf("CDCD-4701", "no table can be compared: %s", why).WithFix("see `cdcd errors CDCD-4701` for what can; `cdcd audit verify --objects` checks the objects alone")
	}
	return result, nil
}

// open reads what there is to compare.
func (v *verification) open(ctx context.Context) (err error) {
	if v.cfg, err = v.config(); err != nil {
		return err
	}
	if v.cfg.Source.MySQL == nil {
		return usagef("verify compares with a database server, and the source is none").WithFix("cdcd audit verify --objects checks the objects alone")
	}
	for _, name := range v.onlyFeeds {
		if v.cfg.Feeds[name] == nil {
			return usagef("there is no feed '%s'", name).WithFix("there are: %s", strings.Join(feedNames(v.cfg), ", "))
		}
	}
	if v.server, err = serverConfig(v.cfg, v.env); err != nil {
		return err
	}
	var st bus.RuleState
	if err := v.askDesk(ctx, v.cfg, ruleAsk{Verb: "state"}, &st); err != nil {
		return err
	}
	if v.set, _, err = judgeBy(&st, nil); err != nil {
		return err
	}
	tables, err := tablesOf(ctx, v.app, v.cfg)
	if err != nil {
		return err
	}
	for _, name := range v.onlyTables {
		if !slices.ContainsFunc(tables, func(t *cdc.Table) bool { return t.String() == name }) {
			return usagef("no table %s is captured", name).WithFix("cdcd schema lists them")
		}
	}
	if v.dir, err = os.MkdirTemp("", "cdcd-verify-"); err != nil {
		return err
	}
	for _, name := range feedNames(v.cfg) {
		if len(v.onlyFeeds) > 0 && !slices.Contains(v.onlyFeeds, name) {
			continue
		}
		if err := v.openFeed(ctx, name, tables); err != nil {
			v.close()
			os.RemoveAll(v.dir)
			return fmt.Errorf("feed %s: %w", name, err)
		}
	}
	return nil
}

func (v *verification) close() {
	for _, f := range v.feeds {
		if f.puller != nil {
			f.puller.Close()
		}
		closeStore(f.store)
	}
}

// openFeed says which tables of a feed are judged, and opens its store.
func (v *verification) openFeed(ctx context.Context, name string, tables []*cdc.Table) (err error) {
	f := &verifiedFeed{Feed: name, Tables: []verifiedTable{}, replicas: map[string]*replica{}, unjudged: map[string]string{}}
	var judging []*rules.Rule
	for _, t := range tables {
		var delivering []*rules.Rule
		for _, r := range v.set.Rules() {
			if r.Mode == rules.Active && slices.Contains(r.To, name) && matchesTable(r, t) {
				delivering = append(delivering, r)
			}
		}
		if len(delivering) == 0 || len(v.onlyTables) > 0 && !slices.Contains(v.onlyTables, t.String()) {
			continue
		}
		f.order = append(f.order, t.String())
		by, why := judgedRules(delivering)
		switch cfg := v.cfg.Feeds[name]; {
		case cfg.Form.Format != "" && cfg.Form.Format != form.JSONL, cfg.Envelope != "" && cfg.Envelope != form.CDCD:
			why = "the feed has not the envelope cdcd in JSON Lines"
		case slices.ContainsFunc(t.Columns, func(c cdc.Column) bool { return person.Seals(v.cfg.persons(), t, c.Name) != "" }):
			why = "columns are sealed for persons"
		case cfg.Nats != nil && cfg.Nats.MaxAge > 0:
			why = "the feed forgets, by nats.max_age"
		case len(t.Key()) == 0:
			why = "it has no primary key"
		}
		if why != "" {
			f.unjudged[t.String()] = why
			continue
		}
		var key []string
		for _, i := range t.Key() {
			key = append(key, t.Columns[i].Name)
		}
		f.replicas[t.String()] = newReplica(key, &v.room)
		for _, r := range by {
			if !slices.Contains(judging, r) {
				judging = append(judging, r)
			}
		}
	}
	if f.set, err = rules.New(judging); err != nil {
		return err
	}
	if f.view, err = openView(v.cfg, name); err != nil {
		return err
	}
	if f.store, err = openStore(ctx, v.env, v.cfg, name); err != nil {
		return err
	}
	if f.store, err = v.reach(ctx, v.cfg, f.store); err != nil {
		return err
	}
	v.feeds = append(v.feeds, f)
	place := auditPlace{}
	if err := place.find(v.app, false); err != nil {
		return err
	}
	key, err := place.publicKey()
	if err != nil {
		return err
	}
	f.puller, err = partner.Open(partner.Config{Store: f.store, State: filepath.Join(v.dir, name+".json"), Deliver: f.deliver, Decode: decodeObject,
		Container: func(key string) (partner.Container, error) { return form.Of(key) }, LogKey: key, Log: logFolder(v.cfg.Audit.Dir)})
	return err
}

func matchesTable(r *rules.Rule, t *cdc.Table) bool {
	return slices.ContainsFunc(r.Tables, func(text string) bool {
		g, err := cdc.ParseTableGlob(text)
		return err == nil && g.Match(t.Schema, t.Name)
	})
}

// judgedRules returns those of a table's rules that say which rows the feed has, or why that cannot be said.
func judgedRules(delivering []*rules.Rule) (by []*rules.Rule, why string) {
	shows := false
	for _, r := range delivering {
		shows = shows || r.Show != nil
		reason := ""
		switch every := []cdc.Op{cdc.OpInsert, cdc.OpUpdate, cdc.OpDelete}; {
		case r.When != "":
			reason = "has a condition on changes (when)"
		case r.Filter != nil:
			reason = "has a filter"
		case len(r.Lookups) > 0:
			reason = "looks something up"
		case slices.ContainsFunc(every, func(op cdc.Op) bool { return !slices.Contains(r.On, op) }):
			reason = "does not deliver every operation"
		}
		if reason != "" {
			why = "rule " + r.Name + " " + reason
			continue
		}
		by = append(by, r)
	}
	whole := slices.ContainsFunc(by, func(r *rules.Rule) bool { return r.Where == "" })
	switch {
	case len(by) == 0:
		return nil, why
	case len(delivering) == 1:
		return by, ""
	case !whole || shows:
		return nil, "several rules deliver it"
	}
	return by, ""
}

// auditLog checks the log itself, and that the objects that it knows are there. What they hold is checked when they are read.
func (v *verification) auditLog(ctx context.Context) (report audit.Report, err error) {
	place := auditPlace{}
	if err := place.find(v.app, true); err != nil {
		return report, err
	}
	c, err := place.verifyConfig(v.app, "", nil)
	if err != nil {
		return report, err
	}
	signed, err := os.ReadFile(filepath.Join(place.dir, "checkpoint"))
	if err != nil {
		return report, cdc.Errorf("CDCD-4509", "there is no audit log in %s", place.dir).WithFix("name the folder that audit.dir says")
	}
	checkpoint, err := audit.OpenCheckpoint(signed, c.Key)
	if err != nil {
		return report, cdc.Errorf("CDCD-4504", "the log's checkpoint: %w", err).WithFix("cdcd audit verify")
	}
	c.Since = checkpoint.Size
	c.Objects = func(store string) (audit.Store, error) { return openAudited(ctx, v.app, v.cfg, store) }
	return audit.Verify(ctx, c)
}

// pull reads what is new in all feeds, until the audit log has all of it.
func (v *verification) pull(ctx context.Context) error {
	for _, f := range v.feeds {
		for deadline := time.Now().Add(v.limit); f.Bad == nil; {
			report, err := f.puller.Pull(ctx)
			f.Objects, f.Records = f.Objects+report.Objects, f.Records+report.Records
			var fault *partner.Fault
			if errors.As(err, &fault) {
				f.Bad = &partnerFinding{fault.Key, fault.Why}
				break
			}
			if err != nil {
				return fmt.Errorf("feed %s: %w", f.Feed, err)
			}
			if report.Ahead == 0 {
				break
			}
			if v.atRest || time.Now().After(deadline) {
				return cdc.Errorf("CDCD-4703", "feed %s has objects that the audit log does not have yet", f.Feed).
					WithFix("start cdcd run, which adds them, and verify again")
			}
			if err := sleepFor(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver applies the records of an object that was checked.
func (f *verifiedFeed) deliver(_ context.Context, o partner.Object, _, lines []byte) error {
	if len(f.replicas) == 0 {
		return nil
	}
	reader, err := form.Of(o.Key)
	if err != nil {
		return err
	}
	for line := range reader.Records(lines) {
		var rec verifyRecord
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("%s: %w", o.Key, err)
		}
		r := f.replicas[rec.Table]
		if r == nil || f.unjudged[rec.Table] != "" {
			continue
		}
		for _, by := range f.set.Rules() {
			for _, was := range rec.Rules {
				if by.Where != "" && was.Name == by.Name && was.Version != by.Version {
					f.unjudged[rec.Table] = "rule " + by.Name + " was another when some of the records were made"
				}
			}
		}
		if err := r.apply(&rec); err != nil {
			if cdc.CodeOf(err) != "" {
				return err
			}
			f.unjudged[rec.Table] = err.Error()
		}
	}
	return nil
}

// readTable compares the rows of a table, rendered as the feed would have them.
func (v *verification) readTable(ctx context.Context, f *verifiedFeed, table string) (mysql.LogEnd, error) {
	r := f.replicas[table]
	var delivery cdc.Delivery
	var line []byte
	end, err := mysql.ReadTable(ctx, v.server, table, func(b *cdc.Batch) error {
		for i := range b.Len() {
			e := b.Event(i)
			d := f.set.Decide(e)
			if err := f.view.Prepare(ctx, b, []cdc.Decision{d}); err != nil {
				return err
			}
			if !slices.ContainsFunc(d.Matches, func(m cdc.RuleMatch) bool { return slices.Contains(m.To, f.Feed) }) {
				continue // no row of this feed
			}
			cdc.Deliver(&delivery, f.Feed, &d)
			f.view.Apply(&delivery)
			line = cdc.AppendDelivery(line[:0], &delivery)
			var rec verifyRecord
			if err := json.Unmarshal(line, &rec); err != nil {
				return err
			}
			if err := r.compare(&rec); cdc.CodeOf(err) != "" {
				return err
			} else if err != nil {
				f.unjudged[table] = err.Error()
				return nil
			}
		}
		return nil
	})
	r.compared()
	return end, err
}

// verifyRounds is how often rows that differ are given time to arrive.
const verifyRounds = 3

// arrive waits until what the tables have was delivered, and reads that.
func (v *verification) arrive(ctx context.Context, end mysql.LogEnd) error {
	for range verifyRounds {
		waits := 0
		for _, f := range v.feeds {
			for _, r := range f.replicas {
				waits += len(r.pending)
			}
		}
		if v.atRest || waits == 0 {
			return nil
		}
		if err := v.delivered(ctx, end); err != nil {
			return err
		}
		if err := v.pull(ctx); err != nil {
			return err
		}
	}
	return nil
}

// delivered waits until all feeds have delivered what the source's log had up to a place.
func (v *verification) delivered(ctx context.Context, end mysql.LogEnd) error {
	deadline := time.Now().Add(v.limit)
	captured := uint64(0) // the stream's end when all up to the place had been read and a second had passed
	var readAt, judgedAt time.Time
	why := ""
	for {
		s, err := v.running(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		switch {
		case !s.Ready:
			why = s.Why
		case !reached(s.Capture.File, s.Capture.Pos, end):
			why = fmt.Sprintf("capture is at %s:%d of %s:%d", s.Capture.File, s.Capture.Pos, end.File, end.Pos)
		case readAt.IsZero():
			readAt = now
		case now.Sub(readAt) < time.Second:
		case captured == 0:
			captured = max(s.Stream.Last, 1)
		default:
			late := v.behind(s, captured)
			if late == "" && judgedAt.IsZero() {
				judgedAt = now
			}
			if late == "" && !v.waiting(s, now.Sub(judgedAt)) {
				return nil
			}
			why = "feed " + late + " is behind"
		}
		if now.After(deadline) {
			return cdc.Errorf(codeNotArrived, "what the source has was not delivered within %s: %s", v.limit, why).WithFix("cdcd status says what it waits for; wait longer with --limit")
		}
		if err := sleepFor(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// running asks the running cdcd how it is.
func (v *verification) running(ctx context.Context) (s state, err error) {
	body, err := askRunning(ctx, v.cfg, "/status", 10*time.Second)
	if cdc.CodeOf(err) == codeNotRunning {
		return s, cdc.Errorf(codeNotArrived, "rows differ, and no cdcd is running that could deliver them").
			WithFix("start cdcd run; or, if all was delivered and nobody writes, cdcd verify --at-rest")
	}
	if err != nil {
		return s, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("status of the running cdcd: %w", err)
	}
	return s, nil
}

// behind returns a feed that has not judged the stream up to a frame.
func (v *verification) behind(s state, upTo uint64) string {
	for _, f := range s.Feeds {
		if v.verifies(f.Feed) && s.Stream.Last-min(f.Behind, s.Stream.Last) < upTo {
			return f.Feed
		}
	}
	return ""
}

// waiting reports whether a feed has a record that is older than that and not in its store.
func (v *verification) waiting(s state, age time.Duration) bool {
	return slices.ContainsFunc(s.Feeds, func(f api.FeedStatus) bool {
		return v.verifies(f.Feed) && f.Waiting > 0 && f.AgeSeconds >= age.Seconds()
	})
}

func (v *verification) verifies(feed string) bool {
	return slices.ContainsFunc(v.feeds, func(f *verifiedFeed) bool { return f.Feed == feed })
}

// reached reports whether a place in the log is at an end, or behind it. Files have the same name and a number.
func reached(file string, pos uint64, end mysql.LogEnd) bool {
	number := func(file string) int {
		n, _ := strconv.Atoi(file[strings.LastIndexByte(file, '.')+1:])
		return n
	}
	a, b := number(file), number(end.File)
	return a > b || a == b && pos >= end.Pos
}

func sleepFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *app) printVerified(w io.Writer, r verifyResult) {
	if bad := r.Audit.Bad; bad != nil {
		fmt.Fprintf(w, "%s audit log: %s: %s: %s\n", a.ui.out(red, "✗"), bad.Check, bad.Item, bad.Why)
	} else {
		fmt.Fprintf(w, "%s audit log: %d entries as they were written\n", a.ui.out(green, "✓"), r.Audit.Entries)
	}
	for _, f := range r.Feeds {
		if f.Bad != nil {
			fmt.Fprintf(w, "%s feed %s: %s: %s\n", a.ui.out(red, "✗"), f.Feed, f.Bad.Item, f.Bad.Why)
		} else {
			fmt.Fprintf(w, "%s feed %s: %s with %s, no gap, as the audit log says\n", a.ui.out(green, "✓"), f.Feed, plural(f.Objects, "object"), plural(f.Records, "record"))
		}
		for _, t := range f.Tables {
			switch {
			case t.NotJudged != "":
				fmt.Fprintf(w, "  · %s is not judged: %s\n", t.Table, t.NotJudged)
				continue
			case t.wrong() > 0:
				fmt.Fprintf(w, "  %s %s: ", a.ui.out(red, "✗"), t.Table)
			default:
				fmt.Fprintf(w, "  %s %s: ", a.ui.out(green, "✓"), t.Table)
			}
			fmt.Fprintf(w, "%s in the source, %d delivered, %d same, %d missing, %d extra, %d different", plural(t.Rows, "row"), t.Delivered, t.Same, t.Missing, t.Extra, t.Different)
			if t.Before > 0 {
				fmt.Fprintf(w, ", %d not delivered since before the feed began", t.Before)
			}
			fmt.Fprintln(w)
			for _, keys := range []struct {
				what string
				keys []string
			}{{"missing", t.MissingKeys}, {"extra", t.ExtraKeys}, {"different", t.DifferentKeys}} {
				if len(keys.keys) > 0 {
					fmt.Fprintf(w, "    %s: %s\n", keys.what, strings.Join(keys.keys, "  "))
				}
			}
		}
	}
}
