package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/internal/apart"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// plugins runs the plugins of this process. Its methods may be called by several goroutines at once.
type plugins struct {
	cfg   *config
	log   *slog.Logger
	store *pluginStore
	aside bool // nothing is kept: what is judged here is not delivered

	mu     sync.Mutex // guards the rest
	host   *wasm.Host // nil until a plugin is asked for: most have none
	loaded map[string]*loadedPlugin
	closed bool
}

// loadedPlugin is a version of a plugin, ready to be started.
type loadedPlugin struct {
	ready  chan struct{} // closed when one of the next two is set
	plugin *wasm.Plugin
	err    error

	users int       // guarded by plugins.mu: filters that are open
	since time.Time // when it was asked for
}

func newPlugins(cfg *config, log *slog.Logger) *plugins {
	return &plugins{cfg: cfg, log: log, store: newPluginStore(cfg), loaded: map[string]*loadedPlugin{}}
}

// pluginsAside runs plugins for what delivers nothing: it uses what is in the folder and what is kept, and leaves nothing behind but
// what it has compiled.
func (a *app) pluginsAside(cfg *config) *plugins {
	beside := *cfg
	if cfg.file == "" { // there is no configuration
		beside = config{}
		setDefaults(reflect.ValueOf(&beside.Plugins).Elem())
	}
	if _, err := os.Stat(cfg.Data); cfg.Data == "" || err != nil { // nor has anything been run
		beside.Plugins.Compiled = a.engines().Dir
	}
	p := newPlugins(&beside, a.log)
	p.aside = true
	return p
}

// Close ends all plugins.
func (p *plugins) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.host == nil {
		return nil
	}
	return p.host.Close()
}

// newHost makes a host of plugins that are compiled in another process.
func (p *plugins) newHost() (*wasm.Host, error) {
	return wasm.NewHost(wasm.Config{
		Dir: p.cfg.Plugins.Compiled, Compile: compileApart(p.cfg), Memory: int64(p.cfg.Plugins.Memory), Log: p.logLine,
	})
}

// logLine writes what a plugin says to the log.
func (p *plugins) logLine(l wasm.Line) {
	level := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[l.Level&3]
	name, version, _ := strings.Cut(l.Plugin, " ")
	rule, feed, _ := strings.Cut(l.For, "\n")
	p.log.Log(context.Background(), level, l.Text, "event", "plugin.log", "plugin", name, "version", version, "rule", rule, "feed", feed)
}

// limitsOf returns what a plugin may use.
func (p *plugins) limitsOf(name string) wasm.Limits {
	l := p.cfg.Plugins.Limits[name]
	if l == nil {
		return wasm.Limits{}
	}
	return wasm.Limits{Memory: uint32(int64(l.Memory) >> 16), Fuel: int64(l.Fuel), BatchFuel: int64(l.BatchFuel), Start: int64(l.StartFuel),
		Wall: time.Duration(l.Wall), LogLines: l.LogLines, Failures: l.Failures, Window: l.Window}
}

var errClosed = errors.New("plugins are closed")

// load returns a version of a plugin, "" for the one in the folder. Who takes it lets go of it with release.
func (p *plugins) load(ctx context.Context, name, digest string) (*loadedPlugin, error) {
	if digest == "" {
		file, err := p.store.named(name)
		if err != nil {
			return nil, err
		}
		digest = file.digest
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errClosed
	}
	l := p.loaded[digest]
	mine := l == nil
	if mine {
		l = &loadedPlugin{ready: make(chan struct{}), since: time.Now()}
		p.loaded[digest] = l
	}
	l.users++
	p.mu.Unlock()
	if mine {
		l.plugin, l.err = p.read(ctx, name, digest)
		close(l.ready)
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		p.release(l, digest)
		return nil, ctx.Err()
	}
	if l.err != nil {
		p.release(l, digest)
		if !mine && ctx.Err() == nil && errors.Is(l.err, context.Canceled) { // whoever began it went away
			return p.load(ctx, name, digest)
		}
		return nil, l.err
	}
	if own := l.plugin.Manifest().Name; own != name { // it was loaded under its own
		p.release(l, digest)
		return nil, misnamed(name, own)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tidy()
	return l, nil
}

// read does the work of load.
func (p *plugins) read(ctx context.Context, name, digest string) (*wasm.Plugin, error) {
	file, err := p.store.version(name, digest, !p.aside)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	switch {
	case p.closed: // meanwhile
		err = errClosed
	case p.host == nil:
		p.host, err = p.newHost()
	}
	host := p.host
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	plugin, err := host.Load(ctx, file.module, p.limitsOf(name))
	if err == nil && plugin.Manifest().Name != name {
		err = misnamed(name, plugin.Manifest().Name)
		plugin.Close()
	}
	if err != nil {
		return nil, err
	}
	return plugin, nil
}

func misnamed(name, own string) error {
	return cdc.Errorf("CDCD-2503", "plugin '%s' says in its manifest that it is '%s'", name, own).
		WithFix("name its file %s.wasm, and the plugin %s in the rules", own, own)
}

// release lets go of a plugin. A version that nobody uses stays ready as long as there is no other one of its name.
func (p *plugins) release(l *loadedPlugin, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.users--
	if l.users > 0 {
		return
	}
	if l.plugin == nil {
		if p.loaded[digest] == l {
			delete(p.loaded, digest)
		}
		return
	}
	p.tidy()
}

// tidy closes the versions that nobody uses, of plugins of which another version is used. The caller holds mu.
func (p *plugins) tidy() {
	used := map[string]bool{}
	for _, l := range p.loaded {
		if l.users > 0 && l.plugin != nil {
			used[l.plugin.Manifest().Name] = true
		}
	}
	for digest, l := range p.loaded {
		if l.users == 0 && l.plugin != nil && used[l.plugin.Manifest().Name] {
			delete(p.loaded, digest)
			l.plugin.Close()
		}
	}
}

// ready returns the plugins that are loaded, by name and then by when they were.
func (p *plugins) ready() []*loadedPlugin {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*loadedPlugin
	for _, l := range p.loaded {
		if l.plugin != nil {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *loadedPlugin) int {
		if c := strings.Compare(a.plugin.Manifest().Name, b.plugin.Manifest().Name); c != 0 {
			return c
		}
		return a.since.Compare(b.since)
	})
	return all
}

// openFilter is a plugin that was started for a rule.
type openFilter struct {
	*wasm.Filter
	plugins *plugins
	loaded  *loadedPlugin
	host    *wasm.Host
	once    sync.Once
}

var (
	_ engine.Filter = (*openFilter)(nil)
	_ io.Closer     = (*openFilter)(nil)
)

// filter starts the plugin of a rule, for a feed or, if that is "", for nobody in particular.
func (p *plugins) filter(ctx context.Context, r *rules.Rule, feed string) (*openFilter, error) {
	l, err := p.load(ctx, r.Filter.Plugin, r.Filter.Digest)
	if err != nil {
		return nil, err
	}
	f, err := l.plugin.Filter(wasm.For(ctx, r.Name+"\n"+feed), r.Filter.Config)
	if err != nil {
		p.release(l, l.plugin.Digest())
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &openFilter{Filter: f, plugins: p, loaded: l, host: p.host}, nil
}

// asks returns who puts single events to the plugins of rules. What it starts ends with ctx.
func (p *plugins) asks(ctx context.Context) rules.Ask {
	var mu sync.Mutex // guards open, and the plugins in it, which are asked one event at a time
	open := map[string]*openFilter{}
	context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range open {
			f.Close()
		}
		clear(open)
	})
	return func(r *rules.Rule, e cdc.Event) (rules.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil {
			return rules.Answer{}, err
		}
		f := open[r.Version]
		if f == nil {
			var err error
			if f, err = p.filter(ctx, r, ""); err != nil {
				return rules.Answer{}, err
			}
			open[r.Version] = f
		}
		verdicts := make([]cdc.Verdict, 1)
		err := f.Judge(ctx, []cdc.Event{e}, verdicts)
		return rules.Answer{Verdict: verdicts[0], Fuel: f.Fuel()}, err
	}
}

// pinAll pins the plugins of a set's rules that can be: of others it is said when they are asked.
func (p *plugins) pinAll(set *rules.Set) (*rules.Set, error) {
	all, pin := slices.Clone(set.Rules()), p.pinner()
	for i, r := range all {
		if r.Filter == nil || r.Filter.Digest != "" {
			continue
		}
		if pinned, err := pin(r); err == nil {
			all[i] = pinned
		}
	}
	return rules.New(all)
}

// engineFilter is filter in the words of package engine.
func (p *plugins) engineFilter(ctx context.Context, r *rules.Rule) (engine.Filter, error) {
	f, err := p.filter(ctx, r, "")
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Close ends it, and lets go of the plugin.
func (f *openFilter) Close() error {
	err := f.Filter.Close()
	f.once.Do(func() { f.plugins.release(f.loaded, f.loaded.plugin.Digest()) })
	return err
}

// pin returns the rule with its plugin pinned to the version that is in the folder, or that its text says; its bytes are kept.
// A draft may name a plugin that is not there. What is wrong with the plugin is a finding.
func (p *plugins) pin(r *rules.Rule) (*rules.Rule, error) {
	if r.Filter == nil {
		return r, nil
	}
	digest, err := p.current(r.Filter)
	var coded *cdc.Error
	switch {
	case err == nil:
		return r.Pin(digest)
	case r.Mode == rules.Draft:
		return r, nil
	case errors.As(err, &coded):
		return nil, rules.Findings{filterFault(r, coded)}
	}
	return nil, fmt.Errorf("rule %s: %w", r.Name, err)
}

// pinner pins the rules of one set: a plugin is looked at once, so that all rules that name it get the same version, though
// somebody may replace its file meanwhile.
func (p *plugins) pinner() pinner {
	versions := map[string]string{} // by the plugin's name
	return func(r *rules.Rule) (*rules.Rule, error) {
		if r.Filter == nil || r.Filter.Digest != "" {
			return p.pin(r)
		}
		if digest, ok := versions[r.Filter.Plugin]; ok {
			return r.Pin(digest)
		}
		pinned, err := p.pin(r)
		if err == nil && pinned.Filter.Digest != "" {
			versions[r.Filter.Plugin] = pinned.Filter.Digest
		}
		return pinned, err
	}
}

// current returns the version that a filter means now, and keeps it.
func (p *plugins) current(f *rules.Filter) (digest string, err error) {
	if f.Digest != "" {
		_, err := p.store.version(f.Plugin, f.Digest, !p.aside)
		return f.Digest, err
	}
	file, err := p.store.named(f.Plugin)
	if err != nil {
		return "", err
	}
	info, err := wasm.Inspect(file.module)
	if err == nil && info.Manifest.Name != f.Plugin {
		err = misnamed(f.Plugin, info.Manifest.Name)
	}
	if err != nil {
		return "", err
	}
	if p.aside {
		return file.digest, nil
	}
	return file.digest, p.store.keep(file)
}

// examine starts the plugin of a rule, for trial, and looks whether the tables have what it needs. tables may be none.
func (p *plugins) examine(ctx context.Context, r *rules.Rule, tables []*cdc.Table) (found rules.Findings, err error) {
	found, _, err = p.try(ctx, r, tables)
	return found, err
}

// try is examine, and returns how much memory the plugin has and may have, if no other one runs here.
func (p *plugins) try(ctx context.Context, r *rules.Rule, tables []*cdc.Table) (found rules.Findings, one footprint, err error) {
	wrong := func(err error) error {
		var coded *cdc.Error
		if !errors.As(err, &coded) {
			return fmt.Errorf("rule %s: %w", r.Name, err)
		}
		found = append(found, filterFault(r, coded))
		return nil
	}
	f, err := p.filter(ctx, r, "")
	if err != nil {
		err = wrong(err)
		return found, one, err
	}
	defer f.Close()
	for _, t := range tables {
		if namesTable(r, t) && f.Check(t) != nil {
			if err := wrong(f.Check(t)); err != nil {
				return found, one, err
			}
		}
	}
	one.begin = f.host.Memory()
	one.most = max(one.begin, int64(f.loaded.plugin.Limits().Memory)<<16)
	return found, one, nil
}

// filterFault says what is wrong with the plugin of a rule where that stands in the rule's file.
func filterFault(r *rules.Rule, err *cdc.Error) *rules.Finding {
	key := "plugin"
	if err.Code == "CDCD-2504" {
		key = "config"
	}
	return r.FilterFault(key, err.Code, err.What).Hint("%s", err.Fix)
}

// namesTable reports whether a rule is about a table.
func namesTable(r *rules.Rule, t *cdc.Table) bool {
	return slices.ContainsFunc(r.Tables, func(glob string) bool { return matchesName(glob, t.String()) })
}

// compileApart compiles plugins in a child process, so that one on which the compiler runs away hurts nobody here.
func compileApart(cfg *config) wasm.Compiler {
	limits := apart.Limits{Memory: int64(cfg.Plugins.CompileMemory), Time: time.Duration(cfg.Plugins.CompileTime)}
	return func(ctx context.Context, module []byte, dir string) error {
		err := apart.Run(ctx, compileWork, []string{dir}, module, limits)
		if err == nil || ctx.Err() != nil {
			return err
		}
		e := cdc.Errorf("CDCD-2505", "the plugin cannot be compiled: %w", err)
		var failed *apart.Failed
		if errors.As(err, &failed) {
			return e.WithFix("build it again: the compiler says that it is not valid")
		}
		return e.WithFix("make its largest functions smaller; if you trust it, raise plugins.compile_time or plugins.compile_memory")
	}
}

// compileWork is the name of what the child does.
const compileWork = "compile"

// compile is what it does.
func compile(ctx context.Context, args []string, input io.Reader) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments instead of a folder", len(args))
	}
	module, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	return wasm.Compile(ctx, module, args[0])
}
