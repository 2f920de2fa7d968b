package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/wasm"
)

func TestAPluginIsInspectedAndReleasedFromTheConsoleAndTheLogSaysWhy(t *testing.T) {
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

	module := guestPlugin(t, "guest", "1.2.0", "act")
	inspect := func(module []byte, code string) api.PluginInspected {
		return sent[api.PluginInspected](t, h, http.MethodPost, "/api/v1/plugins/inspect", body{"module": module}, code)
	}
	var manifest wasm.Manifest
	if got := inspect(module, ""); !got.OK() || got.Refused != nil || got.Digest != wasm.Digest(module) || got.Bytes != len(module) || len(got.Exports) == 0 {
		t.Errorf("a plugin: %+v", got)
	} else if err := json.Unmarshal(got.Manifest, &manifest); err != nil || manifest.Name != "guest" || manifest.Version != "1.2.0" {
		t.Errorf("its manifest: %v %s", err, got.Manifest)
	}
	if got := inspect(module[:len(module)/2], ""); got.OK() || got.Refused == nil || got.Refused.Code == "" {
		t.Errorf("half of it: %+v", got)
	}
	inspect(nil, "CDCD-1050")
	inspect(make([]byte, 16<<20+1), "CDCD-1050")
	if list := asked[api.PluginList](t, h, "/api/v1/plugins"); len(list.Plugins) != 0 {
		t.Errorf("it was kept: %+v", list)
	}

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
