package main

import (
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/rules"
)

const (
	codeMemory       = "CDCD-2542" // there is no memory for a plugin
	codeUnusedLimits = "CDCD-2532" // limits are those of a plugin that no rule names
)

// footprint is how much memory an instance of a plugin has when it has begun, and how much it may have.
type footprint struct{ begin, most int64 }

// pluginNeed adds up what plugins need together. Each rule has an instance of its own in the line of each feed that it delivers to;
// their code is shared.
type pluginNeed struct {
	feeds     int // that there are: a rule that only watches may name none, and is judged for all
	instances int
	footprint
}

func (n *pluginNeed) add(r *rules.Rule, one footprint) {
	lines := len(r.To)
	if lines == 0 {
		lines = max(1, n.feeds)
	}
	n.instances += lines
	n.begin += int64(lines) * one.begin
	n.most += int64(lines) * one.most
}

// unusedLimits says which limits are those of plugins that none of the rules names: mostly a typing error, and the plugin that is meant runs
// with the defaults.
func unusedLimits(cfg *config, set *rules.Set) (unused []*cdc.Error) {
	used := map[string]bool{}
	for _, r := range set.Rules() {
		if r.Filter != nil {
			used[r.Filter.Plugin] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Plugins.Limits)) {
		if used[name] {
			continue
		}
		e := cdc.Errorf(codeUnusedLimits, "plugins.limits.%s: no rule names plugin '%s'", name, name)
		if near, ok := strictyaml.Nearest(name, slices.Sorted(maps.Keys(used))); ok {
			unused = append(unused, e.WithFix("did you mean '%s'?", near))
		} else {
			unused = append(unused, e.WithFix("correct the name, or remove the limits"))
		}
	}
	return unused
}
