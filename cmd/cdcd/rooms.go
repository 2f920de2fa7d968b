package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/file"
	"github.com/cdcd-project/cdcd/sinks/nats"
	"github.com/cdcd-project/cdcd/sinks/s3"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// What a room needs of the configuration stands here, a function a room.

// source is what capture runs: a server's log, or binlog files.
type source interface {
	Run(ctx context.Context, from cdc.Checkpoint, next cdc.Handler) error
}

var (
	_ chain.Store = (*file.Store)(nil)
	_ chain.Store = (*nats.Store)(nil)
	_ chain.Store = (*s3.Store)(nil)
	_ audit.Store = (chain.Store)(nil)
)

// tables returns the globs of what is captured.
func (c *config) tables() []string {
	if c.Source.MySQL != nil {
		return c.Source.MySQL.Tables
	}
	return c.Source.Binlog.Tables
}

// serverConfig says how to reach the database server of source.mysql.
func serverConfig(cfg *config, env []string) (mysql.Config, error) {
	m := cfg.Source.MySQL
	password, err := m.Password(env)
	if err != nil {
		return mysql.Config{}, err
	}
	c, err := serverURL(string(m.URL))
	if err != nil {
		return mysql.Config{}, err
	}
	if c.TLS, err = mysql.TLS(m.TLS).Config(c.Addr); err != nil {
		return mysql.Config{}, err
	}
	c.Name, c.Password, c.ServerID, c.Heartbeat = cfg.Name, password, m.ServerID, heartbeat
	c.OnTruncate, c.OnUnknownXA, c.Oversize, c.HoldBytes = m.OnTruncate, m.OnUnknownXA, m.Oversize, int(m.HoldBytes)
	c.Snapshot, c.SnapshotHold = m.Snapshot == "initial", time.Duration(m.SnapshotHold)
	return c, selectInto(&c, cfg)
}

// selectInto says which tables and columns are captured, and how columns are masked.
func selectInto(c *mysql.Config, cfg *config) error {
	columns := cfg.captured()
	c.Tables, c.ExcludeTables, c.DropColumns = cfg.tables(), columns.ExcludeTables, columns.DropColumns
	masks, err := openMasks(cfg)
	if err != nil {
		return err
	}
	for _, m := range masks {
		for _, pattern := range m.columns {
			c.MaskColumns = append(c.MaskColumns, mysql.ColumnMask{Columns: pattern, Mask: m.mask})
		}
	}
	return nil
}

// serverURL reads mysql://user:password@host:3306.
func serverURL(text string) (mysql.Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return mysql.Config{}, usagef("the address of a server is written like mysql://cdcd@127.0.0.1:3306")
	}
	c := mysql.Config{Addr: u.Host, User: u.User.Username(), Name: u.Hostname(), Flavor: u.Scheme}
	if u.Port() == "" {
		c.Addr += ":3306"
	}
	c.Password, _ = u.User.Password()
	c.TLS, err = mysql.TLS{}.Config(c.Addr)
	return c, err
}

// openSource opens what capture reads.
func openSource(p *pipeline, epoch uint64) (source, error) {
	var c mysql.Config
	if p.cfg.Source.MySQL != nil {
		var err error
		if c, err = serverConfig(p.cfg, p.env); err != nil {
			return nil, err
		}
	} else {
		c = mysql.Config{Name: p.cfg.Name}
		if err := selectInto(&c, p.cfg); err != nil {
			return nil, err
		}
	}
	c.Writer, c.Epoch, c.Logger = p.writer, epoch, p.log
	if c.MaxFrame = p.stream.MaxFrame(); p.persons != nil {
		c.MaxFrame /= 4 // sealed values are longer
	}
	c.Following = func(lost error) {
		p.follow(lost == nil)
		p.trouble(lost)
	}
	c.Observe = p.source.observe
	if p.cfg.Source.MySQL != nil {
		s, err := mysql.New(c)
		if err != nil {
			return nil, err
		}
		p.server.Store(s)
		return s, nil
	}
	return mysql.Files(c, p.cfg.Source.Binlog.Files...)
}

// openBus opens the stream.
func openBus(ctx context.Context, a *app, cfg *config, writer string, observe func(bus.State)) (*bus.Stream, error) {
	c := bus.Config{Source: cfg.Name, Writer: writer, Logger: a.log, Observe: observe}
	if n := cfg.Bus.Nats; n != nil {
		c.URL, c.CredsFile, c.Replicas, c.MaxBytes, c.AllowUnsynced = string(n.URL), n.CredsFile, n.Replicas, int64(n.MaxBytes), n.AllowUnsynced
	} else {
		e := cfg.Bus.Embedded
		c.Dir, c.MaxBytes, c.Listen, c.AllowUnsynced = cfg.Data, int64(e.MaxBytes), e.Listen, e.AllowUnsynced
	}
	if m := cfg.Source.MySQL; m != nil {
		c.LookupBytes = int64(m.Lookup.KeepBytes)
	}
	s, err := bus.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	if info, err := s.Info(ctx); err == nil {
		for _, f := range info.Findings {
			a.log.Warn(f.What, "event", "stream.finding", "code", f.Code, "fix", f.Fix)
		}
	}
	return s, nil
}

// openStore opens the store that a feed delivers to. One that is an io.Closer has to be closed.
func openStore(ctx context.Context, env []string, cfg *config, name string) (chain.Store, error) {
	return openPlace(ctx, env, cfg.Name, name, cfg.Feeds[name])
}

// openPlace opens where a feed of a source goes.
func openPlace(ctx context.Context, env []string, source, name string, f *feedConfig) (chain.Store, error) {
	switch {
	case strings.HasPrefix(f.To, "file://"):
		return file.Open(file.Config{URL: f.To})
	case f.toNATS():
		c := nats.Config{URL: f.To, Source: source, Feed: name}
		if n := f.Nats; n != nil {
			c.CredsFile, c.Stream, c.Replicas, c.MaxAge = n.CredsFile, n.Stream, n.Replicas, time.Duration(n.MaxAge)
		}
		return nats.Open(c)
	}
	access, secret, err := f.S3.Keys(env)
	if err != nil {
		return nil, err
	}
	c := s3.Config{URL: f.To, AccessKey: access, SecretKey: secret}
	if f.S3 != nil {
		c.Endpoint, c.Region, c.PathStyle = f.S3.Endpoint, f.S3.Region, f.S3.PathStyle
		c.Retention = f.S3.Retention.s3()
	}
	return s3.Open(ctx, c)
}

// openFolder opens a folder of this machine as a store.
func openFolder(dir string) (chain.Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return file.Open(file.Config{URL: "file://" + dir})
}

// parseRules reads the rule files and checks what can be checked without the tables.
func parseRules(cfg *config) (*rules.Set, error) {
	files, err := cfg.ruleFiles()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, cdc.Errorf("CDCD-1020", "no file matches rules: %s", strings.Join(cfg.Rules, ", ")).
			WithFix("write a rule file (cdcd init makes an example), or mend `rules` in %s", cfg.file)
	}
	texts, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	set, err := parseTexts(texts)
	if err != nil {
		return nil, err
	}
	for _, feed := range set.Feeds() {
		if _, ok := cfg.Feeds[feed]; !ok {
			return nil, unknownFeed(feed, feedNames(cfg))
		}
	}
	if err := oneTable(cfg, set); err != nil {
		return nil, err
	}
	return set, nil
}

// unknownFeed is the error about a feed that rules name and the configuration does not have.
func unknownFeed(feed string, known []string) error {
	e := cdc.Errorf("CDCD-1021", "a rule delivers to feed '%s', which the configuration does not have", feed)
	if near, ok := strictyaml.Nearest(feed, known); ok {
		return e.WithFix("did you mean '%s'?", near)
	}
	return e.WithFix("add it to feeds in the configuration; there are: %s", strings.Join(known, ", "))
}

// precheckRules says what is wrong with rule files before anything is opened. Files that were in force before were
// good then: if a table has changed since, that is said of the rule, and is no reason not to run.
func precheckRules(ctx context.Context, a *app, cfg *config, plugins *plugins) error {
	files, err := cfg.ruleFiles()
	if err != nil {
		return err
	}
	if len(files) == 0 && hasStream(cfg) {
		return nil
	}
	set, err := parseRules(cfg)
	if err != nil {
		return err
	}
	if unwanted := unwantedSnapshot(cfg, set); unwanted != nil {
		a.log.Warn(unwanted.What, "event", "rules.no_snapshot", "code", unwanted.Code, "fix", unwanted.Fix)
	}
	for _, unused := range unusedLimits(cfg, set) {
		a.log.Warn(unused.What, "event", "plugin.unused_limits", "code", unused.Code, "fix", unused.Fix)
	}
	if pushed, err := os.ReadFile(filepath.Join(cfg.Data, filesMark)); err == nil {
		texts, err := readRuleFiles(cfg)
		if err != nil {
			return err
		}
		if p, _, err := pushedFiles(cfg.dir(), texts, true, plugins.pinner()); err == nil && strings.HasPrefix(string(pushed), filesDigest(p)+"\n") {
			return nil
		}
	}
	return checkAgainstTables(ctx, a, cfg, set)
}

// hasStream reports whether there may be a stream already, and rules beside it.
func hasStream(cfg *config) bool {
	_, err := os.Stat(filepath.Join(cfg.Data, "jetstream"))
	return err == nil || cfg.Bus.Nats != nil
}

// checkAgainstTables checks rules against the tables of the server, when it can be asked now.
func checkAgainstTables(ctx context.Context, a *app, cfg *config, set *rules.Set) error {
	tables, err := tablesOf(ctx, a, cfg)
	if mysql.Unsuitable(err) {
		return err // not the server but what the configuration wants of it
	}
	if err != nil || len(tables) == 0 {
		a.log.Info("rules will be checked when the first change of a table comes", "event", "rules.unchecked", "why", err)
		return nil
	}
	_, unknown, err := a.checkSet(ctx, cfg, set, tables) // what is only worth saying is said when they are pushed
	if unknown != nil {
		a.log.Warn("look-ups of rules will be checked when they are made", "event", "rules.lookups_unchecked", "why", unknown)
	}
	return err
}

// unwantedSnapshot finds out whether rows are read that no rule lets through.
func unwantedSnapshot(cfg *config, set *rules.Set) *cdc.Error {
	wanted := func(r *rules.Rule) bool { return r.Mode == rules.Active && slices.Contains(r.On, cdc.OpSnapshot) }
	if m := cfg.Source.MySQL; m == nil || m.Snapshot != "initial" || slices.ContainsFunc(set.Rules(), wanted) {
		return nil
	}
	return cdc.Errorf("CDCD-1337", "source.mysql.snapshot is initial, but no rule takes its rows: nothing of it will be delivered").
		WithFix("on: [insert, update, delete, snapshot] in a rule, or snapshot: none")
}

// tablesOf asks the source for the tables that are captured.
func tablesOf(ctx context.Context, a *app, cfg *config) ([]*cdc.Table, error) {
	if cfg.Source.MySQL == nil {
		return nil, nil
	}
	c, err := serverConfig(cfg, a.env)
	if err != nil {
		return nil, err
	}
	tables, err := mysql.Schema(ctx, c)
	return sealedTables(cfg, tables), err
}
