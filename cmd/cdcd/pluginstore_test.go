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
	one := digestOf([]byte("one"))
	if _, digest, err := s.named("score"); err != nil || digest != one {
		t.Fatalf("%s, %v", digest, err)
	}
	if _, err := s.version("score", one, true); err != nil { // and it is kept
		t.Fatal(err)
	}
	write(t, s.file("score"), "two")
	if module, err := s.version("score", one, true); err != nil || string(module) != "one" {
		t.Errorf("%q, %v", module, err)
	}
	if _, err := s.version("score", digestOf([]byte("three")), true); cdc.CodeOf(err) != codeNoPlugin || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("a version that never was: %v", err)
	}
	if _, _, err := s.named("scoer"); cdc.CodeOf(err) != codeNoPlugin {
		t.Errorf("a name that is not there: %v", err)
	}
}

func TestADamagedVersionIsNotUsedAndIsMendedFromTheFile(t *testing.T) {
	s := newTestPluginStore(t)
	one := digestOf([]byte("one"))
	write(t, s.keptFile(one), "0ne")
	if _, err := s.version("score", one, true); cdc.CodeOf(err) != codeNoPlugin || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("got %v", err)
	}
	write(t, s.file("score"), "one")
	for range 2 {
		if module, err := s.version("score", one, true); err != nil || string(module) != "one" {
			t.Errorf("%q, %v", module, err)
		}
		write(t, s.file("score"), "two")
	}
}

func TestVersionsThatNoRevisionNamesAreRemovedAfterAWhile(t *testing.T) {
	s := newTestPluginStore(t)
	for _, text := range []string{"one", "two", "three"} {
		if err := s.keep([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(s.kept, "README"), "mine")
	named := map[string]bool{digestOf([]byte("two")): true}
	if n := s.prune(named, time.Now()); n != 0 {
		t.Errorf("%d were removed that have just been kept", n)
	}
	then := time.Now().Add(-2 * pruneAge)
	for _, text := range []string{"one", "two", "three"} {
		if err := os.Chtimes(s.keptFile(digestOf([]byte(text))), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.keep([]byte("three")); err != nil { // it is about to be published again
		t.Fatal(err)
	}
	if n := s.prune(named, time.Now()); n != 1 {
		t.Errorf("%d were removed, want 1", n)
	}
	if n := s.prune(named, time.Now().Add(2*pruneAge)); n != 1 {
		t.Errorf("%d were removed later, want 1", n)
	}
	if _, err := s.version("x", digestOf([]byte("two")), true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.kept, "README")); err != nil {
		t.Error(err)
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
