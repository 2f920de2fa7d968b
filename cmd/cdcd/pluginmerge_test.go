package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/rules"
	"github.com/cdcd-project/cdcd/wasm"
)

func TestTextsAndPluginsOfRulesAreMerged(t *testing.T) {
	digests := map[string]string{}
	for _, v := range []string{"1", "2", "3"} {
		digests[v] = wasm.Digest([]byte(v))
	}
	// stored is a rule with a condition and a version of the plugin; "" is none of either.
	stored := func(spec string) bus.StoredRule {
		when, version, _ := strings.Cut(spec, "/")
		filter := ""
		if version != "" {
			filter = "    filter: {plugin: guest}\n"
		}
		text := fmt.Sprintf("  - name: r\n    tables: [shop.orders]\n    when: %s\n%s    to: [acme]\n", when, filter)
		r, err := rules.ParseText("r", text)
		if err == nil && version != "" {
			r, err = r.Pin(digests[version])
		}
		if err != nil {
			t.Fatal(err)
		}
		return toStore(r, "rules/a.yaml", text)
	}
	for _, tt := range []struct{ mine, was, now, want string }{
		{"a/1", "a/1", "a/2", ""},    // promoted by others
		{"a/2", "a/1", "a/2", ""},    // and the file came later
		{"a/3", "a/1", "a/2", "a/3"}, // another file since
		{"b/1", "a/1", "a/2", "b/2"}, // a text is edited where the old file still is
		{"b/2", "a/1", "a/2", "b/2"}, // or where the new one is
		{"a/2", "a/1", "b/1", "b/2"}, // a file is replaced where the old text still is
		{"b/1", "a/1", "c/1", "conflict"},
		{"b/2", "a/1", "c/1", "conflict"},
		{"b/", "a/1", "a/2", "conflict"}, // the filter is taken out that others have replaced
		{"b/1", "a/", "a/2", "conflict"},
	} {
		mine, was, now, want := stored("after."+tt.mine), stored("after."+tt.was), stored("after."+tt.now), tt.want
		state := func(r bus.StoredRule) *bus.RuleState {
			return &bus.RuleState{Rules: map[string]bus.StoredRule{"r": r}}
		}
		p := &pushed{rules: map[string]bus.StoredRule{"r": mine}, scope: func(string) bool { return true }}
		c, err := p.merge(state(was), state(now))
		switch {
		case want == "conflict":
			if cdc.CodeOf(err) != "CDCD-2310" {
				t.Errorf("%+v: %+v, %v", tt, c.changed, err)
			}
		case err != nil || want == "" && len(c.changed) > 0 || want != "" && (len(c.changed) != 1 || c.changed[0] != stored("after."+want)):
			t.Errorf("%+v: %+v, %v", tt, c.changed, err)
		}
	}
}
