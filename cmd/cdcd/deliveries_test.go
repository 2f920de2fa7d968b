package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// A partner takes the first object, and no other until he is let. Resending is for what he was told of, and is logged.
func TestADeliveryIsToldOfOnceMore(t *testing.T) {
	var mu sync.Mutex
	open, took := false, map[string]int{}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get("webhook-id"); open || len(took) == 0 || took[id] > 0 {
			took[id]++
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hook.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(webhooksig.NewSecret(bytes.Repeat([]byte{3}, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := openDemo(t, func(c *config) {
		c.Feeds["acme"].Trigger = &triggerConfig{Webhook: &webhookConfig{URL: hook.URL, SecretFile: oneOrMore{secret}, AllowInsecure: true, AllowPrivate: true}}
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Run(t.Context()) }()
	h := p.handler()
	var all api.DeliveryList
	waitFor(t, "the second object to be refused", func() bool {
		all = asked[api.DeliveryList](t, h, "/api/v1/deliveries")
		return len(all.Deliveries) == 5 && all.Deliveries[4].Told[0].State == "told" && all.Deliveries[3].Told[0].State == "failing"
	})
	again := func(leaf int64, code string) api.Resent {
		return sent[api.Resent](t, h, http.MethodPost, fmt.Sprintf("/api/v1/deliveries/%d/resend", leaf), body{"why": "the partner lost its queue", "by": "ann"}, code)
	}
	if sent := again(all.Deliveries[4].Leaf, ""); !sent.OK() || len(sent.Sent) != 1 || !sent.Sent[0].Taken || sent.Feed != "acme" {
		t.Errorf("what was told of: %+v", sent)
	}
	if sent := again(all.Deliveries[0].Leaf, ""); sent.OK() || len(sent.Sent) != 1 || sent.Sent[0].Taken || !strings.Contains(sent.Sent[0].Error, "not been told of yet") {
		t.Errorf("what was not told of: %+v", sent)
	}
	mu.Lock()
	if len(took) != 1 {
		t.Errorf("the partner has had %v", took)
	}
	for id, n := range took {
		if n != 2 {
			t.Errorf("event %s was taken %d times", id, n)
		}
	}
	open = true
	mu.Unlock()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	log, err := audit.Read(p.cfg.Audit.Dir, p.audit.PublicKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var notes []audit.Note
	if err := log.Leaves(t.Context(), 0, func(_ int64, leaf audit.Leaf, _ []byte) error {
		if n := leaf.Note; n != nil && n.Outcome == "resent" {
			notes = append(notes, *n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || notes[0].Ordinal != 1 || notes[0].Why != "ann: the partner lost its queue" || notes[0].By != "webhook" {
		t.Errorf("noted: %+v", notes)
	}
	again(1<<40, "CDCD-1056")
	again(0, "CDCD-1056")
}
