package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/engine"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// quarantineLine is a feed's line with a plugin that breaks down when the first change says so, and is in quarantine then.
func quarantineLine(t *testing.T, plugins *plugins) *pipeline {
	t.Helper()
	plugins.cfg.Plugins.Limits = map[string]*pluginLimits{"guest": {Failures: 1}}
	log, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(t.TempDir(), "audit"), KeyFile: filepath.Join(t.TempDir(), "key"), Origin: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	return &pipeline{app: &app{log: quiet}, cfg: plugins.cfg, plugins: plugins, audit: log, quarantines: openQuarantines(plugins.cfg, quiet)}
}

// twice is two changes on which the plugin breaks down.
func twice(t *testing.T) []cdc.Event {
	t.Helper()
	b := someOrders(t, 4, 4)
	return []cdc.Event{b.Event(0), b.Event(1)}
}

func TestAQuarantineOutlivesTheProcess(t *testing.T) {
	first := testPlugins(t, time.Minute)
	put(t, first, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	put(t, first, "other", guestPlugin(t, "other", "1.0.0", "act"))
	rule := func(name, plugin, more string) *rules.Rule {
		r, err := first.pin(filterRule(t, name, plugin, more))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	judge := func(p *pipeline, feed string, r *rules.Rule, events []cdc.Event) error {
		t.Helper()
		f, err := p.feedFilter(t.Context(), feed, r)
		if err != nil {
			t.Fatal(err)
		}
		defer f.(io.Closer).Close()
		return f.Judge(t.Context(), events, make([]cdc.Verdict, len(events)))
	}
	p := quarantineLine(t, first)
	r := rule("r", "guest", "")
	if err := judge(p, "acme", r, twice(t)); cdc.CodeOf(err) != engine.CodeQuarantined {
		t.Fatalf("got %v", err)
	}
	first.Close()

	second := newPlugins(first.cfg, first.log)
	defer second.Close()
	p = quarantineLine(t, second)
	good := []cdc.Event{someOrders(t, 1).Event(0)}
	for _, row := range []struct {
		name, feed string
		rule       *rules.Rule
		want       bool
	}{
		{"the same", "acme", r, true},
		{"with another fallback", "acme", rule("r, on_error: skip", "guest, fallback: drop", ""), true},
		{"another rule", "acme", rule("s", "guest", ""), false},
		{"another feed", "bolt", r, false},
		{"another configuration", "acme", rule("r", "guest, config: {do: x}", ""), false},
		{"another plugin", "acme", rule("r", "other", ""), false},
	} {
		err := judge(p, row.feed, row.rule, good)
		if (cdc.CodeOf(err) == engine.CodeQuarantined) != row.want || !row.want && err != nil {
			t.Errorf("%s: got %v", row.name, err)
		}
		if row.want && (!strings.Contains(err.Error(), "it has failed on more than 1 of the last 1000 changes") || strings.Count(err.Error(), engine.CodeQuarantined) != 1) {
			t.Errorf("%s: it does not say why, once: %v", row.name, err)
		}
	}
	if lifted, err := p.quarantines.release("other"); err != nil || len(lifted) > 0 {
		t.Errorf("got %v, %v", lifted, err)
	}
	if lifted, err := p.releasePlugin(t.Context(), pluginAsk{Plugin: "guest", Who: "ana@desk"}); err != nil || len(lifted) != 1 || lifted[0].Rule != "r" {
		t.Errorf("got %v, %v", lifted, err)
	}
	if _, digest := p.audit.Last(audit.TypeReleased); digest != r.Filter.Digest {
		t.Errorf("the audit log does not say that it was released, but of %q", digest)
	}
	for _, p := range []*pipeline{p, quarantineLine(t, second)} {
		if err := judge(p, "acme", r, good); err != nil {
			t.Errorf("it was released: %v", err)
		}
	}
}

// Who waits for a release is judged by the same instance afterwards, with the failures of before forgotten.
func TestAPluginIsAskedAgainWhenItIsReleased(t *testing.T) {
	plugins := testPlugins(t, time.Minute)
	put(t, plugins, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	p := quarantineLine(t, plugins)
	r, err := plugins.pin(filterRule(t, "r", "guest", ""))
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.feedFilter(t.Context(), "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := make([]cdc.Verdict, 2)
	events := twice(t)
	for range 2 {
		if err := f.Judge(t.Context(), events, verdicts); cdc.CodeOf(err) != engine.CodeQuarantined {
			t.Fatalf("got %v", err)
		}
		if got := p.quarantined(); len(got) != 1 || got[0].Rule != "r" || got[0].Feed != "acme" {
			t.Errorf("got %v", got)
		}
		if _, err := p.quarantines.release("guest"); err != nil {
			t.Fatal(err)
		}
		if got := p.quarantined(); len(got) != 0 {
			t.Errorf("got %v", got)
		}
		if err := f.Judge(t.Context(), events[:1], verdicts[:1]); err != nil || verdicts[0].Err == nil {
			t.Errorf("it is not asked again: %v", err)
		}
	}
}

// A quarantine that cannot be kept is not there yet: the batch is offered again.
func TestAQuarantineIsThereWhenItIsDurable(t *testing.T) {
	plugins := testPlugins(t, time.Minute)
	put(t, plugins, "guest", guestPlugin(t, "guest", "1.0.0", "act"))
	p := quarantineLine(t, plugins)
	r, err := plugins.pin(filterRule(t, "r", "guest", ""))
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.feedFilter(t.Context(), "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	where := p.quarantines.file
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	p.quarantines.file = filepath.Join(file, "quarantine.json")
	if err := f.Judge(t.Context(), twice(t), make([]cdc.Verdict, 2)); err == nil || cdc.CodeOf(err) == engine.CodeQuarantined {
		t.Errorf("got %v", err)
	}
	p.quarantines.file = where
	if err := f.Judge(t.Context(), twice(t), make([]cdc.Verdict, 2)); cdc.CodeOf(err) != engine.CodeQuarantined {
		t.Errorf("got %v", err)
	}
	if kept := openQuarantines(plugins.cfg, p.log).list(); len(kept) != 1 {
		t.Errorf("kept are %v", kept)
	}
}

func TestQuarantinesThatCannotBeReadAreNone(t *testing.T) {
	plugins := testPlugins(t, time.Minute)
	q := openQuarantines(plugins.cfg, plugins.log)
	for _, one := range []quarantine{{Plugin: "b", Rule: "z", Digest: "1"}, {Plugin: "a", Rule: "a", Digest: "2"}, {Plugin: "b", Rule: "z", Digest: "1", Why: "newer"}} {
		one.Config = []byte(`{}`)
		if err := q.add(one); err != nil {
			t.Fatal(err)
		}
	}
	want := "a a , b z newer"
	text := func(all []quarantine) string {
		var out []string
		for _, one := range all {
			out = append(out, fmt.Sprint(one.Plugin, " ", one.Rule, " ", one.Why))
		}
		return strings.Join(out, ", ")
	}
	again := openQuarantines(plugins.cfg, plugins.log)
	if got := text(again.list()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if lifted, err := again.lift(func(one *quarantine) bool { return one.Digest == "2" }); err != nil || text(lifted) != "a a " {
		t.Errorf("got %v, %v", lifted, err)
	}
	if err := os.WriteFile(q.file, []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openQuarantines(plugins.cfg, plugins.log).list(); !reflect.DeepEqual(got, []quarantine(nil)) {
		t.Errorf("got %v", got)
	}
}
