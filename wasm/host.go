package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/meter"
)

// Config says how plugins are run.
type Config struct {
	Dir         string     // of compiled modules, of nobody else's; "": nothing is kept
	Compile     Compiler   // nil: in this process, if that cannot take long
	Memory      int64      // bytes that all instances together may have; default 512 MiB
	Log         func(Line) // lines of plugins; nil: they are dropped. It is called from any goroutine that judges
	Interpreter bool       // nothing is compiled; for comparing the two engines, it is slow
	Unmetered   bool       // nothing is counted, and nothing ends what does not end by itself; for comparing with it
}

type whomKey struct{}

// For returns a context for [Plugin.Filter]: the filter's lines in the log say what it is for.
func For(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, whomKey{}, what)
}

// Level says how grave a line is.
type Level uint8

// The levels.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// String returns the level's name.
func (l Level) String() string { return [...]string{"debug", "info", "warn", "error"}[l&3] }

// Line is a line that a plugin writes to the log.
type Line struct {
	Plugin string // "name version"
	For    string // what the filter is for, as [For] has said
	Level  Level
	Text   string // printable: control characters are escaped
}

const (
	maxLine       = 1024
	defaultMemory = 512 << 20
)

// Limits are what a plugin gets. They are the operator's to say; zero fields mean the defaults.
type Limits struct {
	Memory    uint32        // pages of 64 KiB; default 512, that is 32 MiB
	Table     uint32        // entries of a table; default 100,000
	Depth     uint32        // of nested calls, in words of their frames; default 262,144
	Fuel      int64         // for one event; default 20,000,000
	BatchFuel int64         // for one call; default 200,000,000
	Start     int64         // for all that it does to begin; default 2,000,000,000
	LogLines  int           // a second; default 50
	Wall      time.Duration // for one call, of at most 256 events; default 10 s
	Failures  int           // more of the last Window events than these: it is quarantined; default 50, below zero: never
	Window    int           // default 1,000
}

func (l Limits) withDefaults() Limits {
	d := meter.DefaultLimits
	or(&l.Memory, d.Pages)
	or(&l.Table, d.Table)
	or(&l.Depth, d.Depth)
	or(&l.Fuel, 20_000_000)
	or(&l.BatchFuel, 200_000_000)
	or(&l.Start, 2_000_000_000)
	or(&l.LogLines, 50)
	or(&l.Wall, 10*time.Second)
	or(&l.Failures, 50)
	or(&l.Window, 1000)
	l.Memory = min(l.Memory, 65536)
	l.BatchFuel = max(l.BatchFuel, l.Fuel)
	return l
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Host runs plugins. It may be used by many goroutines at once.
type Host struct {
	compile     Compiler
	log         func(Line)
	interpreter bool
	unmetered   bool
	budget      budget
	now         func() time.Time
	slice       int64  // fuel between two visits; 0: what suits the budget
	cache       *cache // nil: nothing is kept

	mu      sync.Mutex
	plugins map[*Plugin]bool
	closed  bool
}

// NewHost makes a host. Of its folder it makes what is not there.
func NewHost(c Config) (*Host, error) {
	or(&c.Memory, defaultMemory)
	h := &Host{compile: c.Compile, log: c.Log, interpreter: c.Interpreter, unmetered: c.Unmetered, now: time.Now, plugins: map[*Plugin]bool{}}
	h.budget.most = c.Memory
	if c.Dir != "" && !c.Interpreter {
		var err error
		if h.cache, err = openCache(c.Dir); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Close lets go of all plugins, each when its last filter has been closed.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	plugins := slices.Collect(maps.Keys(h.plugins))
	h.mu.Unlock()
	for _, p := range plugins {
		_ = p.Close()
	}
	return nil
}

// Memory returns how many bytes all instances have.
func (h *Host) Memory() int64 { return h.budget.used.Load() }

// Plugin is a module that is ready to be instantiated. It may be used by many goroutines at once.
type Plugin struct {
	host     *Host
	manifest *Manifest
	digest   string
	label    string // "name version"
	limits   Limits

	code       *code
	minPages   uint32
	variables  []string // exports that are the variables of the module
	restorable bool

	stats counters

	mu      sync.Mutex
	filters int
	closed  bool

	second   int64 // of the log lines below
	lines    int
	linesMux sync.Mutex
}

// Load vets a module, meters it and compiles it, unless it is found compiled. What is wrong with it is an error with a code: CDCD-2501 what
// it is, 2502 what it imports, 2503 its manifest, 2505 it cannot be compiled.
func (h *Host) Load(ctx context.Context, module []byte, limits Limits) (*Plugin, error) {
	began := h.now()
	m, info, err := inspect(module)
	if err != nil {
		return nil, err
	}
	limits = limits.withDefaults()
	rewrite := meter.Rewrite
	if h.unmetered {
		rewrite = meter.Bare
	}
	metered, err := rewrite(m, meter.Limits{Pages: limits.Memory, Table: limits.Table, Depth: limits.Depth})
	if err != nil {
		return nil, cdc.Errorf("CDCD-2501", "plugin %s is refused: %s", info.Manifest.Name, printable(err.Error())).
			WithFix("make it smaller, or raise its limits in the configuration (plugins.limits)")
	}
	p := &Plugin{host: h, manifest: info.Manifest, digest: info.Digest, label: info.Manifest.Name + " " + info.Manifest.Version, limits: limits,
		minPages: m.Memories[0].Min, restorable: info.Restorable}
	for i, g := range m.Globals {
		if g.Mutable {
			p.variables = append(p.variables, fmt.Sprint(meter.Variable, i))
		}
	}
	if p.code, err = h.code(ctx, m, len(module), metered, limits); err != nil {
		if cdc.CodeOf(err) != "" || ctx.Err() != nil {
			return nil, err
		}
		return nil, cdc.Errorf("CDCD-2505", "plugin %s cannot be compiled: %w", p.label, err).
			WithFix("it is not valid, or it would take too much to compile; build it again, or make its largest functions smaller")
	}
	p.stats.init(p, h.now().Sub(began))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		p.unload()
		return nil, errors.New("wasm: the host is closed")
	}
	h.plugins[p] = true
	return p, nil
}

// newRuntime makes an engine with the host's functions in it.
func (h *Host) newRuntime(ctx context.Context, pages uint32, cache wazero.CompilationCache) (wazero.Runtime, error) {
	config := wazero.NewRuntimeConfig()
	if h.interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	config = configure(config, pages)
	if cache != nil {
		config = config.WithCompilationCache(cache)
	}
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	if err := link(ctx, runtime); err != nil {
		_ = runtime.Close(ctx)
		return nil, err
	}
	return runtime, nil
}

// Manifest returns what the plugin says about itself. It must not be changed.
func (p *Plugin) Manifest() *Manifest { return p.manifest }

// Digest returns "sha256:…" of the module as it was loaded.
func (p *Plugin) Digest() string { return p.digest }

// Limits returns what the plugin gets.
func (p *Plugin) Limits() Limits { return p.limits }

// Close lets go of the plugin when its last filter has been closed.
func (p *Plugin) Close() error {
	p.host.mu.Lock()
	delete(p.host.plugins, p)
	p.host.mu.Unlock()
	p.mu.Lock()
	idle := p.filters == 0 && !p.closed
	p.closed = true
	p.mu.Unlock()
	if idle {
		p.unload()
	}
	return nil
}

func (p *Plugin) unload() { p.code.close() }

// open counts a filter.
func (p *Plugin) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("plugin %s is closed", p.label)
	}
	p.filters++
	return nil
}

func (p *Plugin) release() {
	p.mu.Lock()
	p.filters--
	idle := p.closed && p.filters == 0
	p.mu.Unlock()
	if idle {
		p.unload()
	}
}

// Filter begins the plugin with a configuration, which is checked first. Errors: CDCD-2504 the configuration, CDCD-2506 it does not begin,
// CDCD-2542 there is no memory for it.
func (p *Plugin) Filter(ctx context.Context, config json.RawMessage) (*Filter, error) {
	config, err := p.manifest.CheckConfig(config)
	if err != nil {
		return nil, err
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	i, err := p.newInstance(ctx, config)
	if err != nil {
		p.release()
		return nil, err
	}
	p.stats.instances.Add(1)
	return newFilter(p, i), nil
}

func (p *Plugin) noMemory() error {
	return cdc.Errorf("CDCD-2542", "there is no memory for plugin %s: all plugins together have %d MiB, of %d MiB they may have",
		p.label, p.host.budget.used.Load()>>20, p.host.budget.most>>20).
		WithFix("raise plugins.memory in the configuration, or use fewer plugins in fewer feeds")
}

// writeLine hands a line on, unless there were too many within the second.
func (p *Plugin) writeLine(l line, whom string) {
	second := p.host.now().Unix()
	p.linesMux.Lock()
	if second != p.second {
		p.second, p.lines = second, 0
	}
	p.lines++
	over := p.lines > p.limits.LogLines
	p.linesMux.Unlock()
	if over {
		p.stats.lost.Add(1)
		return
	}
	p.host.log(Line{Plugin: p.label, For: whom, Level: l.level, Text: l.text})
}
