package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// Filter is the plugin that judges what a rule's condition lets through, or every change of a rule without a condition.
// It is asked by others, such as package engine: [Set.Decide] decides as if it kept everything.
type Filter struct {
	Plugin   string          // its name
	Digest   string          // "sha256:…" of its module, part of the rule's version; "" while it is any of that name
	Config   json.RawMessage // an object, in one form however it was written: keys in order, numbers with the digits they have
	Fallback Fallback
}

// Fallback says what becomes of changes while a plugin is quarantined, because it failed on too many.
type Fallback uint8

// The fallbacks.
const (
	FallbackHalt       Fallback = iota // the feed waits
	FallbackDeadLetter                 // they are kept aside
	FallbackPass                       // they are delivered as if the plugin had kept them
	FallbackDrop                       // they are not delivered
)

var fallbackNames = []string{"halt", "dead_letter", "pass", "drop"}

// String returns the fallback as it stands in rule files.
func (f Fallback) String() string { return fallbackNames[f%4] }

type filterYAML struct {
	Plugin   string         `yaml:"plugin,required"`
	Config   map[string]any `yaml:"config"`
	Fallback string         `yaml:"fallback"`
}

var (
	pluginText = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	digestText = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// IsPluginDigest reports whether a text can be the digest of a plugin's module, "sha256:…".
func IsPluginDigest(text string) bool { return digestText.MatchString(text) }

// maxConfig bounds the configuration of a plugin, as JSON.
const maxConfig = 64 << 10

// filter reads `filter`.
func (p *parser) filter(at strictyaml.Place, y *ruleYAML, r *Rule) {
	filter := at.At("filter")
	if !filter.Exists() {
		return
	}
	if y.Where != nil {
		p.add(filter.KeyError(codeValue, "a rule with 'where' cannot have a 'filter'").
			Hint("a plugin judges changes, 'where' keeps a set of rows: rows that the plugin drops would be in neither; write 'when' instead of 'where'"))
	}
	if p.badWithin(filter) {
		return
	}
	f := &Filter{}
	var pinned bool
	f.Plugin, f.Digest, pinned = strings.Cut(y.Filter.Plugin, "@")
	switch plugin := filter.At("plugin"); {
	case !pluginText.MatchString(f.Plugin):
		p.fail(plugin, codeValue, "'%s' is not the name of a plugin", clip(f.Plugin)).
			Hint("a name has small letters, digits and '-', at most 64 of them, such as fraud-score; it stands in the plugin itself: cdcd plugin inspect")
	case pinned && !IsPluginDigest(f.Digest):
		p.fail(plugin, codeValue, "'%s' is not the digest of a plugin", clip(f.Digest)).
			Hint("write plugin: %s@sha256:… with all 64 digits, as `cdcd plugin inspect` says them, or %s alone", f.Plugin, f.Plugin)
	}
	if i := p.oneOf(filter.At("fallback"), "fallback", y.Filter.Fallback, fallbackNames); i >= 0 {
		f.Fallback = Fallback(i)
	}
	if f.Config = appendCanonical(nil, anyMap(y.Filter.Config)); len(f.Config) > maxConfig {
		p.fail(filter.At("config"), codeLimit, "the configuration has %d bytes as JSON; at most %d are read", len(f.Config), maxConfig)
	}
	r.Filter = f
}

func anyMap(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// appendCanonical appends what was read from YAML as JSON, without blanks and with the keys of objects in order. Its form
// is a contract: it is part of the version of rules.
func appendCanonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(cdc.AppendString(dst, key), ':')
			dst = appendCanonical(dst, v[key])
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, item)
		}
		return append(dst, ']')
	case string:
		return cdc.AppendString(dst, v)
	case json.Number:
		return append(dst, v...)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

// Pin returns the rule with the plugin of its filter pinned to a module, "sha256:…": a rule of another version, unless it
// is pinned to that one already. A rule whose text pins another one is an error of type *[Finding]. Rules without a filter
// stay what they are.
func (r *Rule) Pin(digest string) (*Rule, error) {
	if r.Filter == nil || r.Filter.Digest == digest {
		return r, nil
	}
	if !IsPluginDigest(digest) {
		return nil, fmt.Errorf("'%s' is not the digest of a plugin", clip(digest))
	}
	if strings.Contains(r.place.At("filter", "plugin").Text(), "@") {
		return nil, r.place.At("filter", "plugin").Error(codeValue, fmt.Sprintf("the rule pins plugin '%s' to another module than %s", r.Filter.Plugin, digest)).
			Hint("write plugin: %s@%s, or %s alone for the one that is in the folder when the rule is published", r.Filter.Plugin, digest, r.Filter.Plugin)
	}
	return r.pinned(digest), nil
}

// pinned returns the rule for another module of its plugin.
func (r *Rule) pinned(to string) *Rule {
	pinned, filter := *r, *r.Filter
	filter.Digest = to
	pinned.Filter = &filter
	pinned.Version = digest(pinned.canonical())
	return &pinned
}

// isOf reports whether the rule is what another one was made of, which may have been pinned since.
func (r *Rule) isOf(text *Rule) bool {
	if r.Filter != nil && text.Filter != nil && text.Filter.Digest == "" {
		text = text.pinned(r.Filter.Digest)
	}
	return r.Name == text.Name && r.Version == text.Version
}

// Filters returns the rules that are judged and have a filter, in the order of the set.
func (s *Set) Filters() []*Rule {
	var rs []*Rule
	for _, r := range s.rules {
		if r.Filter != nil && r.judged() {
			rs = append(rs, r)
		}
	}
	return rs
}

// FilterFault returns a finding about a key of the rule's filter, or about the plugin if that key is not there. What is wrong with it
// others find out.
func (r *Rule) FilterFault(key, code, msg string) *Finding {
	at := r.place.At("filter", key)
	if !at.Exists() {
		at = r.place.At("filter", "plugin")
	}
	return at.Error(code, msg)
}
