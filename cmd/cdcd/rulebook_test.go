package main

import "testing"

func TestRuleFilesAreCalledAsSeenFromTheConfiguration(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/cdcd/rules/orders.yaml":     "rules/orders.yaml",
		"/etc/cdcd/team/a/orders.yaml":    "team/a/orders.yaml",
		"/etc/cdcd/draft.yaml":            "draft.yaml",
		"/home/anna/orders.yaml":          "rules/orders.yaml", // whose rules a pull would else have beside rules/orders.yaml, too
		"/home/anna/cdcd.yaml":            "rules/cdcd.yaml",   // which is not the configuration
		"/etc/cdcd/../other/orders.yaml":  "rules/orders.yaml",
		"/etc/cdcd/rules/../orders.yaml":  "orders.yaml",
		"/etc/cdcd-other/rules/more.yaml": "rules/more.yaml",
	} {
		if got := fileName("/etc/cdcd", file); got != want {
			t.Errorf("%s: got %s, want %s", file, got, want)
		}
	}
}
