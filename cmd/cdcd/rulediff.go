package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// diffStates compares two states rule by rule, in the order of names.
func diffStates(a, b *bus.RuleState) ([]api.RuleDiff, error) {
	diffs := []api.RuleDiff{}
	for _, name := range slices.Sorted(maps.Keys(union(a.Rules, b.Rules))) {
		from, had := a.Rules[name]
		to, has := b.Rules[name]
		d := api.RuleDiff{Rule: name, What: "changed", From: from.Text, To: to.Text, Decides: from.Version != to.Version}
		judges := func(mode string) bool { return mode == rules.Active.String() || mode == rules.Shadow.String() }
		switch {
		case had && has && textKey(from) == textKey(to) && from.File == to.File:
			continue
		case !had:
			d.What, d.Decides = "added", judges(to.Mode)
		case !has:
			d.What, d.Decides = "removed", judges(from.Mode)
		default:
			var err error
			if d.Fields, err = diffFields(from, to); err != nil {
				return nil, err
			}
		}
		diffs = append(diffs, d)
	}
	return diffs, nil
}

// diffFields compares two texts of a rule by what they say.
func diffFields(from, to bus.StoredRule) ([]api.FieldDiff, error) {
	a, err := storedRule(from)
	if err != nil {
		return nil, err
	}
	b, err := storedRule(to)
	if err != nil {
		return nil, err
	}
	var fields []api.FieldDiff
	add := func(field, from, to string) {
		if from != to {
			fields = append(fields, api.FieldDiff{Field: field, From: from, To: to})
		}
	}
	list := func(items []string) string { return strings.Join(items, ", ") }
	add("tables", list(a.Tables), list(b.Tables))
	add("on", list(opNames(a)), list(opNames(b)))
	add("when", strings.TrimSpace(a.When), strings.TrimSpace(b.When))
	add("where", strings.TrimSpace(a.Where), strings.TrimSpace(b.Where))
	add("plugin", pluginOf(a), pluginOf(b))
	add("plugin config", filterConfig(a), filterConfig(b))
	add("fallback", fallbackOf(a), fallbackOf(b))
	add("lookup", lookupsOf(a), lookupsOf(b))
	add("having", strings.TrimSpace(a.Having), strings.TrimSpace(b.Having))
	add("select", list(a.Selected()), list(b.Selected()))
	add("mask", list(a.Masked()), list(b.Masked()))
	add("to", list(a.To), list(b.To))
	add("mode", a.Mode.String(), b.Mode.String())
	add("on_error", a.OnError.String(), b.OnError.String())
	add("description", a.Description, b.Description)
	add("owner", a.Owner, b.Owner)
	add("file", from.File, to.File)
	if len(fields) == 0 {
		fields = append(fields, api.FieldDiff{Field: "comments, layout or tests"})
	}
	return fields, nil
}

// pluginOf names the plugin of a rule and its version; "" if it has none.
func pluginOf(r *rules.Rule) string {
	switch {
	case r.Filter == nil:
		return ""
	case r.Filter.Digest == "":
		return r.Filter.Plugin
	}
	return r.Filter.Plugin + "@" + r.Filter.Digest
}

func filterConfig(r *rules.Rule) string {
	if r.Filter == nil {
		return ""
	}
	return string(r.Filter.Config)
}

func fallbackOf(r *rules.Rule) string {
	if r.Filter == nil {
		return ""
	}
	return r.Filter.Fallback.String()
}

// lookupsOf writes what a rule looks up, each on a line.
func lookupsOf(r *rules.Rule) string {
	var lines []string
	for _, l := range r.Lookups {
		lines = append(lines, l.String())
	}
	return strings.Join(lines, "\n")
}

func opNames(r *rules.Rule) []string {
	var names []string
	for _, op := range r.On {
		names = append(names, op.String())
	}
	return names
}

// summaryOf says in a line what is changed, without saying how.
func summaryOf(d api.RuleDiff) string {
	var names []string
	for _, f := range d.Fields {
		names = append(names, f.Field)
	}
	text := d.What
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if !d.Decides {
		text += " (decides the same)"
	}
	return text
}

// unified writes the change of a text as `diff -u` does, with all of its lines as context: rules are short.
func unified(d *api.RuleDiff, from, to string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s (%s)\n+++ %s (%s)\n", d.Rule, from, d.Rule, to)
	a, z := strings.SplitAfter(d.From, "\n"), strings.SplitAfter(d.To, "\n")
	a, z = slices.DeleteFunc(a, func(s string) bool { return s == "" }), slices.DeleteFunc(z, func(s string) bool { return s == "" })
	fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", min(1, len(a)), len(a), min(1, len(z)), len(z))
	line := func(sign, text string) { b.WriteString(sign + strings.TrimRight(text, "\r\n") + "\n") }
	common := commonLines(a, z)
	for i, j := 0, 0; i < len(a) || j < len(z); {
		switch {
		case i < len(a) && j < len(z) && a[i] == z[j]:
			line(" ", a[i])
			i, j = i+1, j+1
		case j >= len(z) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			line("-", a[i])
			i++
		default:
			line("+", z[j])
			j++
		}
	}
	return b.String()
}

// commonLines returns how many lines a[i:] and z[j:] have in common, in order.
func commonLines(a, z []string) [][]int {
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(z)+1)
	}
	if len(a)*len(z) > 1_000_000 {
		return n // a text of a thousand lines: all is taken out and put in again
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(z) - 1; j >= 0; j-- {
			if n[i][j] = max(n[i+1][j], n[i][j+1]); a[i] == z[j] {
				n[i][j] = n[i+1][j+1] + 1
			}
		}
	}
	return n
}
