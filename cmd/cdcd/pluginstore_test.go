package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/plugindist"
	"github.com/cdcd-project/cdcd/wasm"
)

func newTestPluginStore(t *testing.T) *pluginStore {
	cfg := &config{}
	cfg.Data, cfg.Plugins.Dir = filepath.Join(t.TempDir(), "data"), t.TempDir()
	return newPluginStore(cfg)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAVersionOfAPluginOutlivesItsFile(t *testing.T) {
	s := newTestPluginStore(t)
	write(t, s.file("score"), "one")
	one := wasm.Digest([]byte("one"))
	if p, err := s.named("score"); err != nil || p.digest != one {
		t.Fatalf("%v, %v", p, err)
	}
	if _, err := s.version("score", one, true); err != nil { // and it is kept
		t.Fatal(err)
	}
	write(t, s.file("score"), "two")
	if p, err := s.version("score", one, true); err != nil || string(p.module) != "one" {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := s.version("score", wasm.Digest([]byte("three")), true); cdc.CodeOf(err) != codeNoPlugin || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("a version that never was: %v", err)
	}
	if _, err := s.named("scoer"); cdc.CodeOf(err) != codeNoPlugin {
		t.Errorf("a name that is not there: %v", err)
	}
}

func TestADamagedVersionIsNotUsedAndIsMendedFromTheFile(t *testing.T) {
	s := newTestPluginStore(t)
	one := wasm.Digest([]byte("one"))
	write(t, s.keptFile(one), "0ne")
	if _, err := s.version("score", one, true); cdc.CodeOf(err) != codeNoPlugin || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("got %v", err)
	}
	write(t, s.file("score"), "one")
	for range 2 {
		if p, err := s.version("score", one, true); err != nil || string(p.module) != "one" {
			t.Errorf("%v, %v", p, err)
		}
		write(t, s.file("score"), "two")
	}
}

func TestVersionsThatNoRevisionNamesAreRemovedAfterAWhile(t *testing.T) {
	s := newTestPluginStore(t)
	for _, text := range []string{"one", "two", "three"} {
		signature := map[string][]byte{"one": []byte("signed")}[text]
		if err := s.keep(&pluginFile{module: []byte(text), digest: wasm.Digest([]byte(text)), signature: signature}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(s.kept, "README"), "mine")
	named := map[string]bool{wasm.Digest([]byte("two")): true}
	if n := s.prune(named, time.Now()); n != 0 {
		t.Errorf("%d were removed that have just been kept", n)
	}
	then := time.Now().Add(-2 * pruneAge)
	for _, text := range []string{"one", "two", "three"} {
		if err := os.Chtimes(s.keptFile(wasm.Digest([]byte(text))), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.keep(&pluginFile{module: []byte("three"), digest: wasm.Digest([]byte("three"))}); err != nil { // it is about to be published again
		t.Fatal(err)
	}
	if n := s.prune(named, time.Now()); n != 1 {
		t.Errorf("%d were removed, want 1", n)
	}
	if n := s.prune(named, time.Now().Add(2*pruneAge)); n != 1 {
		t.Errorf("%d were removed later, want 1", n)
	}
	if _, err := s.version("x", wasm.Digest([]byte("two")), true); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(s.kept)
	if err != nil || len(left) != 2 {
		t.Errorf("there are %v, %v, want one version and what is not ours", left, err)
	}
}

// signing makes a key, and returns its public half and what signs with it.
func signing(t *testing.T) (public string, sign func(name, version string, module []byte) string) {
	t.Helper()
	private, key, err := plugindist.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(key), "\n")[1], func(name, version string, module []byte) string {
		signature, err := plugindist.Sign(module, name, version, private, "")
		if err != nil {
			t.Fatal(err)
		}
		return string(signature)
	}
}

// With trusted keys, what they have not signed is not used, wherever its bytes are.
func TestOnlySignedPluginsAreUsedWhenThereAreTrustedKeys(t *testing.T) {
	ours, sign := signing(t)
	_, others := signing(t)
	one, two := guestPlugin(t, "guest", "1.0.0", "act"), guestPlugin(t, "guest", "2.0.0", "act")
	good := sign("guest", "1.0.0", one)
	for _, row := range []struct {
		name         string
		keys         []string
		file, kept   string // signatures; "": none
		folder, have []byte // modules; nil: none
		want, named  string // what is wrong with version one, and with what is in the folder
	}{
		{"signed", []string{ours}, good, "", one, nil, "", ""},
		{"not signed", []string{ours}, "", "", one, nil, "CDCD-2564: plugin guest 1.0.0: it is not signed", "it is not signed"},
		{"by somebody else", []string{ours}, others("guest", "1.0.0", one), "", one, nil, "which is none of the 1 that are trusted", "which is none of the 1"},
		{"the signature of another version", []string{ours}, good, "", two, nil, "CDCD-2508", "is not of these bytes"},
		{"as another plugin", []string{ours}, sign("other", "1.0.0", one), "", one, nil, "as something else", "as something else"},
		{"no signature at all", []string{ours}, "untrusted comment: nothing", "", one, nil, "cannot be read", "cannot be read"},
		{"no keys", nil, "", "", one, nil, "", ""},
		{"kept and signed", []string{ours}, "", good, nil, one, "", "CDCD-2508"},
		{"kept before there were keys", []string{ours}, "", "", nil, one, "it is not signed", "CDCD-2508"},
		{"kept before there were keys, and signed since", []string{ours}, good, "", one, one, "", ""},
		{"a key that is none", []string{"RWnothing"}, good, "", one, nil, "CDCD-2565", "CDCD-2565"},
	} {
		cfg := &config{}
		cfg.Data, cfg.Plugins.Dir, cfg.Plugins.TrustedKeys = filepath.Join(t.TempDir(), "data"), t.TempDir(), row.keys
		s, digest := newPluginStore(cfg), wasm.Digest(one)
		for _, f := range []struct {
			file, signature string
			module          []byte
		}{{s.file("guest"), row.file, row.folder}, {s.keptFile(digest), row.kept, row.have}} {
			if f.module != nil {
				write(t, f.file, string(f.module))
			}
			if f.signature != "" {
				write(t, f.file+plugindist.SignatureSuffix, f.signature)
			}
		}
		is := func(err error, want string) bool {
			return want == "" && err == nil || want != "" && err != nil && strings.Contains(err.Error(), want)
		}
		if _, err := s.named("guest"); !is(err, row.named) {
			t.Errorf("%s: by its name: got %v, want %s", row.name, err, row.named)
		}
		if _, err := s.version("guest", digest, true); !is(err, row.want) {
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
		if err := os.Remove(s.file("guest")); row.want != "" || err != nil {
			continue
		}
		if _, err := s.version("guest", digest, true); err != nil {
			t.Errorf("%s: it is not kept with its signature: %v", row.name, err)
		}
	}
}

// A key that is taken back counts no more, while cdcd runs.
func TestTrustedKeysAreReadAnew(t *testing.T) {
	ours, sign := signing(t)
	theirs, _ := signing(t)
	module := guestPlugin(t, "guest", "1.0.0", "act")
	cfg := &config{}
	keys := filepath.Join(t.TempDir(), "keys.pub")
	cfg.Data, cfg.Plugins.Dir, cfg.Plugins.TrustedKeys = filepath.Join(t.TempDir(), "data"), t.TempDir(), []string{keys}
	s := newPluginStore(cfg)
	write(t, s.file("guest"), string(module))
	write(t, s.file("guest")+plugindist.SignatureSuffix, sign("guest", "1.0.0", module))
	for _, row := range []struct{ key, want string }{{ours, ""}, {theirs, "CDCD-2564"}, {ours, ""}} {
		write(t, keys, row.key)
		if _, err := s.named("guest"); cdc.CodeOf(err) != row.want {
			t.Errorf("got %v, want %q", err, row.want)
		}
	}
}

func TestTheVersionsOfTheNewestRevisionsAreKept(t *testing.T) {
	stream, err := bus.Open(t.Context(), bus.Config{Source: "shop", Writer: "test", Dir: t.TempDir(), AllowUnsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	store, err := stream.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	base := cdc.Revision{}
	for i := range keptRevisions + 10 {
		one := bus.StoredRule{Name: "r", Text: "x", Version: "v", Mode: "active", Plugin: fmt.Sprint("sha256:", i+1)}
		if base, err = store.Publish(t.Context(), base, bus.Publication{Who: "test", Kind: "push", Changed: []bus.StoredRule{one}}); err != nil {
			t.Fatal(err)
		}
	}
	p := &pipeline{stream: stream, desk: &ruleDesk{book: newRuleBook(store)}}
	named, err := p.namedPlugins(t.Context())
	if err != nil || len(named) != keptRevisions+1 || !named["sha256:10"] || named["sha256:9"] || !named[fmt.Sprint("sha256:", keptRevisions+10)] {
		t.Errorf("%d versions are named, %v: %v", len(named), err, named)
	}
}
