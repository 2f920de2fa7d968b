package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/webhook"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// checkItem is one thing that was looked at.
type checkItem struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"` // ok, warn or fail
	Detail  string `json:"detail"`
	Code    string `json:"code,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

func newCheckCmd(a *app) *cobra.Command {
	deep, limit := false, time.Minute
	cmd := &cobra.Command{
		Use:     "check",
		Aliases: []string{"doctor"},
		Short:   "Check the configuration, the rules, and what the servers and stores must offer",
		Long: `Check looks at everything that run depends on and prints, for each thing that is wrong, the statement or setting that
mends it. It changes nothing on the database server. It makes the stream if there is none, and in each store it leaves one
small object, cdcd-check, with which it proves that objects cannot be overwritten.

With --deep it also does, for trial, what run does: it reads the newest part of the binlog as a replica and captures it into
nothing, looks there for what cannot be captured, asks what other sessions have set, whether the server still has what
comes after the checkpoint, and how long the stream and the stores take.`,
		Example: `  cdcd check
  cdcd check --deep --limit 5m -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			c := checker{app: a, cfg: cfg, ctx: cmd.Context()}
			c.add("config.valid", "ok", "%s (%s)", cfg.file, plural(len(cfg.Feeds), "feed"))
			c.rules()
			c.source()
			c.lookups()
			c.plugins()
			c.bus()
			c.stores()
			c.triggers()
			if deep {
				c.deep(limit)
			}
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			return a.ui.verdict(kind(cmd), c.count("fail") == 0, c.items, c.print)
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "capture for trial, and measure")
	cmd.Flags().DurationVar(&limit, "limit", limit, "how long --deep may take")
	return cmd
}

type checker struct {
	*app
	cfg   *config
	ctx   context.Context
	items []checkItem
	set   *rules.Set // nil when the rules do not parse

	tables []*cdc.Table // of the source, as far as they are known
}

func (c *checker) add(name, verdict, format string, args ...any) *checkItem {
	c.items = append(c.items, checkItem{Name: name, Verdict: verdict, Detail: fmt.Sprintf(format, args...)})
	return &c.items[len(c.items)-1]
}

// failed adds an error as one item or, if it is many, as many.
func (c *checker) failed(name string, err error) {
	for _, i := range api.ErrorsOf(err) {
		verdict := "fail"
		if i.Severity == "warning" {
			verdict = "warn"
		}
		detail := i.Message
		if i.File != "" {
			detail = fmt.Sprintf("%s:%d:%d: %s", i.File, i.Line, i.Column, i.Message)
		}
		item := c.add(name, verdict, "%s", detail)
		item.Code, item.Fix = i.Code, i.Fix
		if item.Fix == "" {
			item.Fix = i.Suggestion
		}
	}
}

func (c *checker) count(verdict string) (n int) {
	for _, i := range c.items {
		if i.Verdict == verdict {
			n++
		}
	}
	return n
}

func (c *checker) rules() {
	set, err := parseRules(c.cfg)
	if err != nil {
		c.failed("rules.valid", err)
		return
	}
	c.set = set
	c.add("rules.valid", "ok", "%s", plural(len(set.Rules()), "rule"))
	if err := keyedRules(c.cfg, set, func(*rules.Rule) bool { return true }); err != nil {
		c.failed("mask.keys", err)
	}
	for _, name := range feedNames(c.cfg) {
		if _, err := openView(c.cfg, name); err != nil {
			c.failed("mask.keys", err)
		}
	}
	if unwanted := unwantedSnapshot(c.cfg, set); unwanted != nil {
		item := c.add("rules.snapshot", "warn", "%s", unwanted.What)
		item.Code, item.Fix = unwanted.Code, unwanted.Fix
	}
}

// plugins loads the plugins that rules name, starts each with the configuration of its rule, and looks whether the tables have
// what it reads.
func (c *checker) plugins() {
	if c.set == nil {
		return
	}
	for _, e := range unusedLimits(c.cfg, c.set) {
		item := c.add("plugin.limits", "warn", "%s", e.What)
		item.Code, item.Fix = e.Code, e.Fix
	}
	if len(c.set.Filters()) == 0 {
		return
	}
	plugins := c.pluginsAside(c.cfg)
	defer plugins.Close()
	used, pin := map[string]int{}, plugins.pinner()
	need := pluginNeed{feeds: len(c.cfg.Feeds)}
	for _, r := range c.set.Filters() {
		pinned, err := pin(r)
		if err == nil {
			var found rules.Findings
			var one footprint
			if found, one, err = plugins.try(c.ctx, pinned, c.tables); err == nil {
				err = found.Err()
			}
			need.add(pinned, one)
		}
		if err != nil {
			c.failed("plugin."+r.Filter.Plugin, err)
			continue
		}
		used[pinned.Filter.Plugin+"@"+pinned.Filter.Digest]++
	}
	c.memory(need)
	for _, l := range plugins.ready() {
		m := l.plugin.Manifest()
		if n := used[m.Name+"@"+l.plugin.Digest()]; n > 0 {
			c.add("plugin."+m.Name, "ok", "%s (%s), in %s, compiled in %s", m.Version, shortVersion(l.plugin.Digest()), plural(n, "rule"), l.plugin.Stats().Load.Round(time.Millisecond))
		}
	}
}

// memory says whether all plugins together have enough memory: run would find out when the last of them begins, or grows.
func (c *checker) memory(need pluginNeed) {
	if need.begin == 0 {
		return // none of them begins
	}
	most := int64(c.cfg.Plugins.Memory)
	item := c.add("plugin.memory", "ok", "%s, of each rule one in each of its feeds: %s to begin with, and they may grow to %s, of %s for all",
		plural(need.instances, "instance"), size(need.begin), size(need.most), size(most))
	switch {
	case need.begin > most:
		item.Verdict, item.Code = "fail", codeMemory
		item.Fix = fmt.Sprintf("raise plugins.memory to %d MiB or more, or use fewer plugins in fewer feeds", (need.begin+1<<20-1)>>20)
	case need.most > most:
		item.Verdict, item.Code = "warn", codeMemory
		item.Fix = "raise plugins.memory, or lower the memory of single plugins (plugins.limits): a feed whose plugin grows when all is used up waits"
	}
}

func (c *checker) source() {
	if c.cfg.Source.Binlog != nil {
		b := c.cfg.Source.Binlog
		files := mysql.Config{Name: c.cfg.Name}
		if err := selectInto(&files, c.cfg); err != nil {
			c.failed("mask.keys", err)
			return
		}
		if _, err := mysql.Files(files, b.Files...); err != nil {
			c.failed("binlog.files", err)
			return
		}
		c.add("binlog.files", "ok", "%s", strings.Join(b.Files, ", "))
		return
	}
	if _, err := openMasks(c.cfg); err != nil {
		c.failed("mask.keys", err)
		return
	}
	if len(c.cfg.Persons) > 0 {
		if _, err := openKeyring(c.cfg); err != nil {
			c.failed("mask.keys", err)
			return
		}
	}
	for _, name := range feedNames(c.cfg) {
		if _, err := openView(c.cfg, name); err != nil {
			c.failed("mask.keys", err)
			return
		}
	}
	server, err := serverConfig(c.cfg, c.env)
	if err != nil {
		c.failed("mysql.connect", err)
		return
	}
	findings, err := mysql.Preflight(c.ctx, server)
	c.found(findings)
	if err != nil {
		if len(findings) == 0 {
			c.failed("mysql.connect", err)
		}
		return
	}
	tables, err := mysql.Schema(c.ctx, server)
	if err != nil {
		c.failed("mysql.columns", err)
		return
	}
	c.patterns(server, tables)
	c.viewPatterns(tables)
	tables = sealedTables(c.cfg, slices.Clone(tables))
	c.tables = tables
	if found := partitionColumns(c.cfg, tables, feedNames(c.cfg)...); len(found) > 0 {
		c.failed("feeds.partition_by", found)
	}
	if c.set == nil {
		return
	}
	found, unknown, err := c.checkSet(c.ctx, c.cfg, c.set, tables)
	if unknown != nil {
		c.failed("rules.lookups", unknown)
	}
	if err == nil {
		c.add("rules.types", "ok", "every rule fits its tables")
	}
	if len(found) > 0 {
		c.failed("rules.types", strictyaml.Errors(found))
	}
}

// patterns looks for patterns that match nothing: mostly typing errors, with which what should stay leaves.
func (c *checker) patterns(server mysql.Config, tables []*cdc.Table) {
	captured := c.cfg.captured()
	var columns []string
	for _, t := range tables {
		for i := range t.Columns {
			columns = append(columns, t.String()+"."+t.Columns[i].Name)
		}
		for _, name := range t.Dropped {
			columns = append(columns, t.String()+"."+name)
		}
	}
	n := c.matching("drop_columns", captured.DropColumns, columns) +
		c.matching("mask_columns.hmac", captured.MaskColumns.HMAC, columns) +
		c.matching("mask_columns.encrypt", captured.MaskColumns.Encrypt, columns)
	if n > 0 {
		c.add("mysql.columns", "ok", "drop_columns and mask_columns match (%s)", plural(n, "pattern"))
	}
	if len(captured.ExcludeTables) == 0 {
		return
	}
	server.ExcludeTables, server.DropColumns, server.MaskColumns = nil, nil, nil
	all, err := mysql.Schema(c.ctx, server)
	if err != nil {
		c.failed("mysql.exclude_tables", err)
		return
	}
	var names []string
	for _, t := range all {
		names = append(names, t.String())
	}
	if n := c.matching("exclude_tables", captured.ExcludeTables, names); n > 0 {
		c.add("mysql.exclude_tables", "ok", "%s of %s left out", plural(len(all)-len(tables), "table"), plural(len(all), "table"))
	}
}

// matching warns of each pattern that matches none of the names, and returns how many do.
func (c *checker) matching(key string, patterns, names []string) (n int) {
	for _, p := range patterns {
		if slices.ContainsFunc(names, func(name string) bool { return matchesName(p, name) }) {
			n++
			continue
		}
		item := c.add(patternItem(key), "warn", "%s: %s matches nothing that is captured", key, p)
		item.Code = "CDCD-1213"
		if near, ok := strictyaml.Nearest(p, names); ok {
			item.Fix = fmt.Sprintf("did you mean '%s'?", near)
		} else {
			item.Fix = "correct the pattern, or remove it"
		}
	}
	return n
}

// patternItem names what is checked of a setting.
func patternItem(key string) string {
	if first, rest, ok := strings.Cut(key, "."); ok && (first == "feeds" || first == "persons") {
		return first + "." + strings.ReplaceAll(rest, ".", "_")
	}
	return "mysql." + strings.ReplaceAll(key, ".", "_")
}

// matchesName reports whether a pattern of tables or columns matches a name of the same form.
func matchesName(pattern, name string) bool {
	if column, err := cdc.ParseColumnGlob(pattern); err == nil {
		parts := strings.SplitN(name, ".", 3)
		return len(parts) == 3 && column.Match(parts[0], parts[1], parts[2])
	}
	table, err := cdc.ParseTableGlob(pattern)
	parts := strings.SplitN(name, ".", 2)
	return err == nil && table.Match(parts[0], parts[1])
}

// bus opens the stream as run would, unless a running cdcd has it.
func (c *checker) bus() {
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	stream, err := openBus(ctx, c.app, c.cfg, writerName(), nil)
	if bus.InUse(err) {
		c.add("bus.stream", "ok", "a running cdcd has the data folder %s", c.cfg.Data)
		return
	}
	if err != nil {
		c.failed("bus.stream", err)
		return
	}
	defer stream.Close()
	info, err := stream.Info(ctx)
	if err != nil {
		c.failed("bus.stream", err)
		return
	}
	c.add("bus.stream", "ok", "NATS %s, stream %s: %d frames, %s of %s", info.Server, info.Name, info.Messages, size(info.Bytes), size(info.MaxBytes))
	for _, f := range info.Findings {
		item := c.add("bus.durability", "warn", "%s", f.What)
		item.Code, item.Fix = f.Code, f.Fix
	}
}

// triggers reads the keys that triggers need. It tells nobody anything.
func (c *checker) triggers() {
	for _, name := range feedNames(c.cfg) {
		t := c.cfg.Feeds[name].Trigger
		if t == nil {
			continue
		}
		var told []string
		var err error
		if t.Webhook != nil {
			var hook *webhook.Hook
			if hook, err = openHook(c.app, t.Webhook); err == nil {
				told = append(told, hook.String())
			}
		}
		if t.Nats != nil {
			told = append(told, t.Nats.Subject)
		}
		if t.Receipts != nil && err == nil {
			_, err = t.Receipts.Keys()
		}
		if err != nil {
			c.failed("trigger."+name, err)
			continue
		}
		c.add("trigger."+name, "ok", "tells %s; cdcd trigger test %s tries it", cmp.Or(strings.Join(told, " and "), "nobody"), name)
	}
}

func (c *checker) stores() {
	for _, name := range feedNames(c.cfg) {
		ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
		f := c.cfg.Feeds[name]
		store, err := openStore(ctx, c.env, c.cfg, name)
		var elsewhere *cdc.Error
		if err == nil {
			elsewhere = moved(c.cfg, readPlaces(c.cfg), name, store)
			if err = checkRetention(ctx, store); err == nil {
				err = chain.Probe(ctx, store)
			}
			closeStore(store)
		}
		cancel()
		if err != nil {
			c.failed("feed."+name, err)
			continue
		}
		c.add("feed."+name, "ok", "%s takes objects, and none twice", f.To)
		if elsewhere != nil {
			item := c.add("feed."+name, "warn", "%s", elsewhere.What)
			item.Code, item.Fix = elsewhere.Code, elsewhere.Fix
		}
	}
}

func (c *checker) print(w io.Writer) {
	width := 0
	for _, i := range c.items {
		width = max(width, len(i.Name))
	}
	glyph := map[string]string{"ok": c.ui.out(green, "✓"), "warn": c.ui.out(yellow, "⚠"), "fail": c.ui.out(red, "✗")}
	for _, i := range c.items {
		code := ""
		if i.Code != "" {
			code = i.Code + "  "
		}
		fmt.Fprintf(w, "%s %-*s  %s%s\n", glyph[i.Verdict], width, i.Name, code, indent(i.Detail, strings.Repeat(" ", width+4)))
		if i.Fix != "" {
			more := ""
			if i.Code != "" {
				more = c.ui.out(dim, "   more: cdcd errors "+i.Code)
			}
			fmt.Fprintf(w, "    → %s%s\n", i.Fix, more)
		}
	}
	fmt.Fprintf(w, "Summary: %d passed · %s · %d failed\n", c.count("ok"), plural(c.count("warn"), "warning"), c.count("fail"))
}

// describeServer is what `init --from` asks a server.
func describeServer(ctx context.Context, text string) (*sourceDescription, error) {
	server, err := serverURL(text)
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(text); err == nil {
		if _, set := u.User.Password(); !set {
			server.Password = os.Getenv("CDCD_MYSQL_PASSWORD")
		}
	}
	server.Tables = []string{"*.*"}
	findings, err := mysql.Preflight(ctx, server)
	if err != nil {
		return nil, err
	}
	d := &sourceDescription{}
	for _, f := range findings {
		if f.Verdict == mysql.Fail && f.Fix != "" {
			d.Todo = append(d.Todo, f.Fix+";")
		}
	}
	d.Tables, err = mysql.Schema(ctx, server)
	return d, err
}
