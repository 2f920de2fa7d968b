package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

func TestAPluginIsReleasedFromTheConsoleAndTheLogSaysWhy(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()
	if list := asked[api.PluginList](t, h, "/api/v1/plugins"); list.Plugins == nil || len(list.Plugins) != 0 {
		t.Errorf("got %+v", list)
	}
	release := func(b body, code string) api.PluginReleased {
		return sent[api.PluginReleased](t, h, http.MethodPost, "/api/v1/plugins/fraud/release", b, code)
	}
	release(body{"why": "it was mended"}, "CDCD-1056")
	release(body{"why": ""}, "CDCD-1050")

	q := quarantine{Plugin: "fraud", Rule: "paid-big-order", Feed: "acme", Fallback: "dead_letter", Why: "51 of 1000 failed", Since: time.Now().UTC(),
		Digest: "sha256:" + strings.Repeat("ab", 32)}
	if err := p.quarantines.add(q); err != nil {
		t.Fatal(err)
	}
	if got := release(body{"why": "it was mended", "by": "ann"}, ""); len(got.Released) != 1 || got.Released[0].Rule != "paid-big-order" {
		t.Errorf("got %+v", got)
	}
	all := asked[api.AuditList](t, h, "/api/v1/audit?kind="+audit.TypeReleased)
	if len(all.Entries) != 1 || all.Entries[0].Who != "ann" || all.Entries[0].Why != "it was mended" || all.Entries[0].Feed != "acme" {
		t.Errorf("logged: %+v", all)
	}
	if left := p.quarantines.list(); len(left) != 0 {
		t.Errorf("still in quarantine: %+v", left)
	}
}
