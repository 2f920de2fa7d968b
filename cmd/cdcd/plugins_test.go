package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

// guestPlugin returns a plugin that does with a change what a column of it says (wasm/testdata/guest.c).
func guestPlugin(t testing.TB, name, version, column string) []byte {
	t.Helper()
	module, err := os.ReadFile("../../wasm/testdata/guest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	module, err = wasm.AppendManifest(module, guestManifest(name, version, column))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func guestManifest(name, version, column string) []byte {
	return fmt.Appendf(nil, `{"abi": "cdc1", "name": %q, "version": %q, "columns": [%q, {"name": "arg", "optional": true}, "note"],
		"edits": ["note"], "config": {"type": "object", "properties": {"do": {"type": "string"}}, "additionalProperties": false}}`, name, version, column)
}

func testPlugins(t testing.TB, compileTime time.Duration) *plugins {
	t.Helper()
	cfg := &config{}
	cfg.Data, cfg.Plugins.Dir = filepath.Join(t.TempDir(), "data"), t.TempDir()
	cfg.Plugins.Compiled, cfg.Plugins.CompileTime, cfg.Plugins.CompileMemory = filepath.Join(cfg.Data, "compiled"), strictyaml.Duration(compileTime), 1<<30
	p := newPlugins(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(func() { p.Close() })
	return p
}

// hostileModule is a module of one function with this body.
func hostileModule(body []byte) []byte {
	leb := func(n int) (b []byte) {
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	section := func(id byte, c []byte) []byte { return append(append([]byte{id}, leb(len(c))...), c...) }
	m := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	m = append(m, section(1, []byte{1, 0x60, 0, 0})...)
	m = append(m, section(3, []byte{1, 0})...)
	return append(m, section(10, append(append([]byte{1}, leb(len(body))...), body...))...)
}

// loops nests n loops over n variables: compiling it takes time and memory in a high power of n.
func loops(n int) []byte {
	body := []byte{1, byte(n) | 0x80, byte(n >> 7), 0x7f}
	for range n {
		body = append(body, 0x03, 0x40)
	}
	for i := range n {
		at := []byte{byte(i) | 0x80, byte(i >> 7)}
		body = append(append(append(append(append(body, 0x20), at...), 0x41, 1, 0x6a, 0x21), at...), 0x41, 1, 0x0d, 0, 0x0b)
	}
	return append(body, 0x0b)
}

func TestWhatTheCompilerRunsAwayOnHurtsNobodyHere(t *testing.T) {
	p := testPlugins(t, 1500*time.Millisecond)
	for _, tt := range []struct {
		name   string
		module []byte
		want   string
	}{
		{"loops in loops", hostileModule(loops(500)), "it took more than 1.5s of processor time|it took longer than 6s|fatal error: "},
		{"four billion imports in 13 bytes", []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 2, 5, 0xff, 0xff, 0xff, 0xff, 0x0f}, "fatal error: "},
		{"not valid", hostileModule([]byte{0, 0x6a, 0x0b}), "cannot be compiled: "},
		{"nothing", nil, "cannot be compiled: "},
	} {
		began := time.Now()
		err := compileApart(p.cfg)(t.Context(), tt.module, t.TempDir())
		took := time.Since(began)
		found := false
		for want := range strings.SplitSeq(tt.want, "|") {
			found = found || err != nil && strings.Contains(err.Error(), want)
		}
		if cdc.CodeOf(err) != "CDCD-2505" || !found || took > 20*time.Second {
			t.Errorf("%s: %v after %s", tt.name, err, took)
		}
	}
}

func put(t *testing.T, p *plugins, name string, module []byte) {
	t.Helper()
	write(t, p.store.file(name), string(module))
}

func filterRule(t *testing.T, name, plugin, more string) *rules.Rule {
	t.Helper()
	rs, err := rules.Parse("rules/orders.yaml", fmt.Appendf(nil, "version: 1\nrules:\n  - {name: %s, tables: [shop.orders], filter: {plugin: %s}, to: [acme]%s}\n", name, plugin, more))
	if err != nil {
		t.Fatal(err)
	}
	return rs[0]
}

func TestAPluginIsCompiledOnce(t *testing.T) {
	p := testPlugins(t, time.Minute)
	put(t, p, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	one, err := p.load(t.Context(), "guest", "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.load(t.Context(), "guest", one.plugin.Digest()); err != nil || again != one {
		t.Errorf("%p and %p, %v", one, again, err)
	}
	later := newPlugins(p.cfg, p.log) // another process
	later.cfg.Plugins.CompileTime = strictyaml.Duration(time.Nanosecond)
	defer later.Close()
	began := time.Now()
	if _, err := later.load(t.Context(), "guest", ""); err != nil {
		t.Errorf("what was compiled is not used: %v", err)
	}
	t.Logf("compiled in %s, from the cache in %s", one.plugin.Stats().Load, time.Since(began))
}

func TestAVersionGoesWhenNobodyUsesItAndAnotherIsUsed(t *testing.T) {
	p := testPlugins(t, time.Minute)
	r := filterRule(t, "r", "guest", "")
	start := func(version string) *openFilter {
		t.Helper()
		put(t, p, "guest", guestPlugin(t, "guest", version, "act"))
		pinned, err := p.pin(r)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.filter(t.Context(), pinned, "")
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	versions := func() (all []string) {
		for _, l := range p.ready() {
			all = append(all, l.plugin.Manifest().Version)
		}
		return all
	}
	one := start("1.0.0")
	one.Close()
	one.Close() // does nothing
	if got := fmt.Sprint(versions()); got != "[1.0.0]" {
		t.Errorf("the only version is not ready any more: %s", got)
	}
	one, two := start("1.0.0"), start("2.0.0")
	if got := fmt.Sprint(versions()); got != "[1.0.0 2.0.0]" {
		t.Errorf("both are used: %s", got)
	}
	one.Close()
	if got := fmt.Sprint(versions()); got != "[2.0.0]" {
		t.Errorf("one is used: %s", got)
	}
	two.Close()
	three := start("3.0.0")
	if got := fmt.Sprint(versions()); got != "[3.0.0]" {
		t.Errorf("one is used, after the other had gone: %s", got)
	}
	three.Close()
}

// All rules of a set get the version that was found first, though the file is replaced while they are read.
func TestTheRulesOfASetGetOneVersion(t *testing.T) {
	p := testPlugins(t, time.Minute)
	pin := p.pinner()
	var got []string
	for i, version := range []string{"1.0.0", "2.0.0"} {
		module := guestPlugin(t, "guest", version, "act")
		put(t, p, "guest", module)
		r, err := pin(filterRule(t, fmt.Sprint("r", i), "guest", ""))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Filter.Digest)
	}
	if got[0] != got[1] || got[0] != wasm.Digest(guestPlugin(t, "guest", "1.0.0", "act")) {
		t.Errorf("got %v", got)
	}
}

// Who mends rules for which there is not enough memory must not be refused because there is not.
func TestRulesThatArePublishedAreTriedBesideThoseThatRun(t *testing.T) {
	p := testPlugins(t, time.Minute)
	p.cfg.Plugins.Memory = 4 << 20 // of which an instance takes a quarter
	put(t, p, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	publish := func(others, n int, feeds string) error {
		var all []*rules.Rule
		mine := map[string]bool{}
		for i := range others + n {
			r, err := p.pin(filterRule(t, fmt.Sprint("r", i), "guest", feeds))
			if err != nil {
				t.Fatal(err)
			}
			all, mine[r.Name] = append(all, r), i >= others
		}
		set, err := rules.New(all)
		if err != nil {
			t.Fatal(err)
		}
		pub := publisher{plugins: p}
		found, err := pub.examine(t.Context(), set, mine, nil)
		if err != nil {
			t.Fatal(err)
		}
		return found.Err()
	}
	for range 3 {
		r, err := p.pin(filterRule(t, "r", "guest", ""))
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.filter(t.Context(), r, "acme")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	for _, row := range []struct {
		name      string
		others, n int
		enough    bool
	}{
		{"two are enough", 0, 2, true},
		{"five are too many", 0, 5, false},
		{"one, with those that there are, is too many", 3, 1, false},
		{"there are too many already, which what is published cannot mend", 5, 1, true},
		{"nothing is published that has one", 5, 0, true},
	} {
		err := publish(row.others, row.n, "")
		if row.enough && err != nil || !row.enough && (err == nil || !strings.Contains(err.Error(), "CDCD-2542: there is no memory for plugin guest in all feeds")) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestTheMemoryOfPluginsIsAddedUpOverRulesAndFeeds(t *testing.T) {
	need := pluginNeed{feeds: 4}
	for _, r := range []*rules.Rule{{To: []string{"a"}}, {To: []string{"a", "b", "c"}}, {Mode: rules.Shadow}} {
		need.add(r, footprint{begin: 10, most: 100})
	}
	if want := (pluginNeed{feeds: 4, instances: 8, footprint: footprint{80, 800}}); need != want {
		t.Errorf("got %+v, want %+v", need, want)
	}
	for most, want := range map[int]string{1000: "ok ", 799: "warn CDCD-2542", 79: "fail CDCD-2542"} {
		c := checker{cfg: &config{}}
		c.cfg.Plugins.Memory = strictyaml.Size(most)
		if c.memory(need); fmt.Sprint(c.items[0].Verdict, " ", c.items[0].Code) != want {
			t.Errorf("of %d: got %+v, want %s", most, c.items[0], want)
		}
	}
}

func TestLimitsOfNobodyAreWarnedOf(t *testing.T) {
	set, err := rules.New([]*rules.Rule{filterRule(t, "r", "fraud-score", ""), filterRule(t, "d", "later", ", mode: draft")})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config{}
	cfg.Plugins.Limits = map[string]*pluginLimits{"fraud-score": {}, "later": {}, "fraud-scroe": {}, "zebra": {}}
	var got []string
	for _, e := range unusedLimits(cfg, set) {
		got = append(got, e.Error()+"; "+e.Fix)
	}
	want := []string{
		"CDCD-2532: plugins.limits.fraud-scroe: no rule names plugin 'fraud-scroe'; did you mean 'fraud-score'?",
		"CDCD-2532: plugins.limits.zebra: no rule names plugin 'zebra'; correct the name, or remove the limits",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsWrongWithAPluginIsAFindingOnItsRule(t *testing.T) {
	p := testPlugins(t, time.Minute)
	put(t, p, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	put(t, p, "other", guestPlugin(t, "guest", "1.0.0", "act"))
	put(t, p, "text", []byte("hello"))
	orders := &cdc.Table{Schema: "shop", Name: "orders", Columns: []cdc.Column{{Name: "id", Kind: cdc.KindInt64, Key: 1}, {Name: "note", Kind: cdc.KindString}}}
	for _, tt := range []struct {
		rule *rules.Rule
		want string
	}{
		{filterRule(t, "r", "gest", ""), "rules/orders.yaml:3:55: error CDCD-2508: there is no plugin 'gest'"},
		{filterRule(t, "r", "gest", ", mode: draft"), ""},
		{filterRule(t, "r", "other", ""), "CDCD-2503: plugin 'other' says in its manifest that it is 'guest'"},
		{filterRule(t, "r", "text", ""), "CDCD-2501: "},
		{filterRule(t, "r", "guest@sha256:"+strings.Repeat("0", 64), ""), "CDCD-2508: plugin guest in version sha256:00000"},
		{filterRule(t, "r", "guest, config: {dont: x}", ""), "CDCD-2504: "},
		{filterRule(t, "r", "guest, config: {do: '@t, and no more'}", ""), "CDCD-2506: "},
		{filterRule(t, "r", "guest", ""), "CDCD-2507: "},
		{filterRule(t, "r", "other@"+wasm.Digest(guestPlugin(t, "guest", "1.0.0", "act")), ""), "CDCD-2503: plugin 'other' says in its manifest that it is 'guest'"}, // which runs
	} {
		pinned, err := p.pin(tt.rule)
		if err == nil && pinned.Mode != rules.Draft {
			var found rules.Findings
			if found, err = p.examine(t.Context(), pinned, []*cdc.Table{orders}); err == nil {
				err = found.Err()
			}
		}
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %s, want %s", tt.rule.Filter.Plugin, got, tt.want)
		}
	}
}

// Who asks the console asks plugins of the cdcd that delivers: what is started for him must not stay.
func TestWhatIsAskedOfAPluginByTheWayEndsWithWhoAsks(t *testing.T) {
	p := testPlugins(t, time.Minute)
	put(t, p, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	r, err := p.pin(filterRule(t, "r", "guest", ""))
	if err != nil {
		t.Fatal(err)
	}
	running := func() int { return int(p.ready()[0].plugin.Stats().Instances) }
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		ask := p.asks(ctx)
		for range 2 {
			if a, err := ask(r, someOrders(t, 1).Event(0)); err != nil || !a.Verdict.Keep {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		if n := running(); n != 1 {
			t.Errorf("%d run for one who asks", n)
		}
		cancel()
		for deadline := time.Now().Add(30 * time.Second); running() > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
		if n := running(); n != 0 {
			t.Errorf("%d run for nobody", n)
		}
		if _, err := ask(r, someOrders(t, 1).Event(0)); !errors.Is(err, context.Canceled) {
			t.Errorf("afterwards: %v", err)
		}
	}
}
