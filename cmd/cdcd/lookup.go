package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// lookups answers what the rules of all feeds look up. Nothing is opened before the first question: most rules have none.
//
//	engine.LookUp → what is kept for the frame, or else: source → sealed for persons → kept → engine
type lookups struct {
	stream  *bus.Stream
	persons *persons                       // who seals what is found; nil: nobody
	open    func() (*mysql.Lookups, error) // nil: the source is no server
	limit   int                            // of the questions of one feed that are under way at once

	opening sync.Mutex // held while the source is opened

	mu     sync.Mutex // guards the rest; nobody is waited for while it is held
	source *mysql.Lookups
	kept   *bus.Lookups
	stats  api.LookupStatus
	times  []time.Duration // of the newest questions to the source, in a ring
	next   int
}

// lookupTimes is how many questions quantiles are of.
const lookupTimes = 1024

// openLookups returns what answers look-ups; nothing is connected to yet.
func openLookups(cfg *config, env []string, stream *bus.Stream, persons *persons) *lookups {
	l := &lookups{stream: stream, persons: persons}
	if m := cfg.Source.MySQL; m != nil {
		l.limit = max(1, m.Lookup.Connections/2)
		l.open = func() (*mysql.Lookups, error) {
			c, err := lookupServer(cfg, env)
			if err != nil {
				return nil, err
			}
			c.Observe = l.observe
			return mysql.NewLookups(c)
		}
	}
	return l
}

// lookupServer says where look-ups read.
func lookupServer(cfg *config, env []string) (mysql.LookupConfig, error) {
	source, err := serverConfig(cfg, env)
	if err != nil {
		return mysql.LookupConfig{}, err
	}
	m := &cfg.Source.MySQL.Lookup
	c := mysql.LookupConfig{Server: source, Connections: m.Connections, Timeout: time.Duration(m.Timeout), MaxBytes: int(m.MaxBytes)}
	c.Server.Tables, c.Server.ExcludeTables = nil, nil // what is looked up need not be captured
	if m.URL == "" {
		return c, nil
	}
	at, err := serverURL(string(m.URL))
	if err != nil {
		return c, err
	}
	c.Source = &source
	c.Server.Addr, c.Server.User, c.Server.Flavor = at.Addr, at.User, at.Flavor
	account := mysqlConfig{URL: m.URL, PasswordEnv: m.PasswordEnv, PasswordFile: m.PasswordFile}
	if c.Server.Password, err = account.Password(env); err != nil {
		return c, err
	}
	c.Server.TLS, err = mysql.TLS(m.TLS).Config(at.Addr)
	return c, err
}

// Close closes the connections.
func (l *lookups) Close() {
	l.mu.Lock()
	source := l.source
	l.source, l.open = nil, nil
	l.mu.Unlock()
	if source != nil {
		source.Close()
	}
}

// server returns the connections to the source.
func (l *lookups) server() (*mysql.Lookups, error) {
	l.opening.Lock()
	defer l.opening.Unlock()
	l.mu.Lock()
	source, open := l.source, l.open
	l.mu.Unlock()
	if source != nil {
		return source, nil
	}
	if open == nil {
		return nil, cdc.Errorf("CDCD-1344", "look-ups read a database server, and the source is none").WithFix("capture from the server, with source.mysql, or remove the rules' look-ups")
	}
	source, err := open()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		source.Close()
		return nil, errors.New("look-ups have ended")
	}
	l.source = source
	return source, nil
}

// store returns what keeps answers.
func (l *lookups) store(ctx context.Context) (*bus.Lookups, error) {
	l.mu.Lock()
	kept := l.kept
	l.mu.Unlock()
	if kept != nil {
		return kept, nil
	}
	kept, err := l.stream.Lookups(ctx) // several may open it at once, and any of them will do
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = kept
	return kept, nil
}

// trim forgets what was kept for frames before upTo.
func (l *lookups) trim(ctx context.Context, upTo uint64) error {
	l.mu.Lock()
	kept := l.kept
	l.mu.Unlock()
	if kept == nil {
		return nil
	}
	return kept.Trim(ctx, upTo)
}

func (l *lookups) observe(s mysql.LookupStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Questions++
	l.stats.Keys += uint64(s.Keys)
	l.stats.Rows += uint64(s.Rows)
	l.stats.WaitSeconds += s.Waited.Seconds()
	l.stats.Seconds += s.Took.Seconds()
	if s.Err != nil {
		if l.stats.Errors == nil {
			l.stats.Errors = map[string]uint64{}
		}
		l.stats.Errors[cmp.Or(cdc.CodeOf(s.Err), "other")]++
	}
	if len(l.times) < lookupTimes {
		l.times = append(l.times, s.Took)
	} else {
		l.times[l.next] = s.Took
		l.next = (l.next + 1) % lookupTimes
	}
}

// state returns what look-ups have done; nil when nothing was ever looked up.
func (l *lookups) state() *api.LookupStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stats.Questions+l.stats.Kept == 0 {
		return nil
	}
	s := l.stats
	s.Errors = make(map[string]uint64, len(l.stats.Errors))
	for code, n := range l.stats.Errors {
		s.Errors[code] = n
	}
	if n := len(l.times); n > 0 {
		sorted := slices.Sorted(slices.Values(l.times))
		s.P50, s.P99 = sorted[n/2].Seconds(), sorted[n*99/100].Seconds()
	}
	return &s
}

func collectLookups(s *api.LookupStatus, send func(f figure, v float64, labels ...string)) {
	send(lookupAsked, float64(s.Questions))
	send(lookupKeys, float64(s.Keys))
	send(lookupRows, float64(s.Rows))
	send(lookupKept, float64(s.Kept))
	send(lookupWait, s.WaitSeconds)
	send(lookupSeconds, s.Seconds)
	send(lookupTimeOf, s.P50, "0.5")
	send(lookupTimeOf, s.P99, "0.99")
	for code, n := range s.Errors {
		send(lookupErrors, float64(n), code)
	}
}

// print writes a line for people.
func printLookups(s *api.LookupStatus, w io.Writer) {
	failed := uint64(0)
	for _, n := range s.Errors {
		failed += n
	}
	fmt.Fprintf(w, "lookups  %d questions about %d keys, %d rows; %d answered with what was read before, %d failed; half within %.1f ms, 99%% within %.1f ms\n",
		s.Questions, s.Keys, s.Rows, s.Kept, failed, s.P50*1000, s.P99*1000)
}

// of returns what answers the look-ups of a feed.
func (l *lookups) of(feed string) *feedLookups {
	f := &feedLookups{l: l}
	f.asked = bus.Asked{Feed: feed, Source: f.source, Again: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stats.Kept++
	}}
	if l.limit > 0 {
		f.places = make(chan struct{}, l.limit)
	}
	return f
}

// feedLookups answers the look-ups of a feed. It is an [engine.Lookups].
type feedLookups struct {
	l      *lookups
	asked  bus.Asked
	places chan struct{}
}

var _ engine.Lookups = (*feedLookups)(nil)

// begin says which frame the questions from now on are about.
func (f *feedLookups) begin(b *cdc.Batch) { f.asked.Begin(b.Seq) }

// LookUp implements engine.Lookups.
func (f *feedLookups) LookUp(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	kept, err := f.l.store(ctx)
	if err != nil {
		return nil, err
	}
	return f.asked.LookUp(ctx, kept, q)
}

// Late keeps that a question was not answered in time; see engine.Lookups.
func (f *feedLookups) Late(ctx context.Context, q *cdc.Query) error {
	kept, err := f.l.store(ctx)
	if err != nil {
		return err
	}
	return f.asked.Late(ctx, kept, q)
}

// explainPatience is how long the source may take for what an explanation looks up.
const explainPatience = 15 * time.Second

// explains returns what asks the source, as it is now, for explanations.
func (l *lookups) explains(ctx context.Context) rules.LookUp {
	now := sourceLookups{l.of("")}
	return func(q *cdc.Query) (*cdc.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, explainPatience)
		defer cancel()
		return now.LookUp(ctx, q)
	}
}

func (f *feedLookups) source(ctx context.Context, q *cdc.Query) (*cdc.Answer, error) {
	server, err := f.l.server()
	if err != nil {
		return nil, err
	}
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer, err := server.LookUp(ctx, q)
	if err != nil {
		return nil, err
	}
	return f.l.persons.answer(ctx, answer)
}

// lookups says of each look-up of the rules how the server would do it.
func (c *checker) lookups() {
	if c.set == nil || c.cfg.Source.MySQL == nil || len(c.set.LookingUp()) == 0 {
		return
	}
	where, err := lookupServer(c.cfg, c.env)
	if err != nil {
		c.failed("lookup.server", err)
		return
	}
	source, err := mysql.NewLookups(where)
	if err != nil {
		c.failed("lookup.server", err)
		return
	}
	defer source.Close()
	for _, r := range c.set.LookingUp() {
		for i := range r.Lookups {
			look := r.Lookups[i]
			name, q := "lookup."+r.Name+"."+look.Name, lookupQuery(look)
			plan, err := source.Plan(c.ctx, q)
			switch {
			case err != nil:
				c.failed(name, err)
			case plan.Scans:
				w := plan.Warning(q)
				item := c.add(name, "warn", "%s", w.What)
				item.Code, item.Fix = w.Code, w.Fix
			default:
				c.add(name, "ok", "%s by index %s of %s", look.Table, plan.Index, where.Server.Addr)
			}
		}
	}
}

// lookupQuery is what a look-up asks, without keys.
func lookupQuery(look *rules.Lookup) *cdc.Query {
	q := &cdc.Query{Table: look.Table, Columns: look.Columns, Order: look.Order, Limit: max(1, look.Limit)}
	for _, part := range look.By {
		q.By = append(q.By, part.Column)
	}
	return q
}

// lookedUp returns the tables that rules look something up in and that are not among those that are captured. A table that is not there is
// not among them: the rules' check says so. An error is of the world: nobody could say what is there.
func (a *app) lookedUp(ctx context.Context, cfg *config, set *rules.Set, captured []*cdc.Table) ([]*cdc.Table, error) {
	if cfg == nil || cfg.Source.MySQL == nil {
		return nil, nil
	}
	missing := slices.DeleteFunc(set.LookupTables(), func(name string) bool {
		return slices.ContainsFunc(captured, func(t *cdc.Table) bool { return t.String() == name })
	})
	if len(missing) == 0 {
		return nil, nil
	}
	where, err := lookupServer(cfg, a.env)
	if err != nil {
		return nil, err
	}
	c := where.Server
	c.Tables = missing
	tables, err := mysql.Schema(ctx, c)
	if err != nil {
		return nil, err
	}
	return sealedTables(cfg, tables), nil
}

// checkSet checks rules against the captured tables, and those that they look something up in. When nobody can say what these are like,
// unknown says why, and all else is checked.
func (a *app) checkSet(ctx context.Context, cfg *config, set *rules.Set, captured []*cdc.Table) (found rules.Findings, unknown, err error) {
	looked, unknown := a.lookedUp(ctx, cfg, set, captured)
	found, err = checkKnown(set, captured, looked, unknown)
	return found, unknown, err
}

// checkKnown checks rules against what is known of tables; unknown says why the tables of look-ups are not.
func checkKnown(set *rules.Set, captured, looked []*cdc.Table, unknown error) (rules.Findings, error) {
	if unknown != nil {
		set = set.NotLookingUp()
	}
	return set.Check(captured, looked...)
}

// lookedUpBy is lookedUp for verbs that may be without a configuration, or were given a schema instead of it.
func (a *app) lookedUpBy(ctx context.Context, schemaFile string, set *rules.Set, captured []*cdc.Table) ([]*cdc.Table, error) {
	if schemaFile != "" || len(set.LookupTables()) == 0 {
		return nil, nil
	}
	if _, err := os.Stat(a.configFile); err != nil {
		return nil, nil
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	return a.lookedUp(ctx, cfg, set, captured)
}
