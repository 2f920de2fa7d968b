package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/partner"
)

// trying is a cdcd that delivers a recorded binlog, and a partner beside it.
type trying struct {
	t    *testing.T
	dir  string
	keys []partner.Key // that verify events
	sign partner.Key   // that signs receipts
	hook *httptest.Server

	mu     sync.Mutex
	got    []partner.Trigger
	answer func(n int, tr partner.Trigger) int // the status; n counts the events
	n      int
}

func newTrying(t *testing.T) *trying {
	dir := t.TempDir()
	y := &trying{t: t, dir: dir}
	if code, out := y.cdcd("demo", "--once", "--data", filepath.Join(dir, "shop"), "--source", "recorded"); code != 0 {
		t.Fatalf("demo: %s", out)
	}
	private, _ := webhooksig.NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	receipts, receiptsPublic := webhooksig.NewPrivateKey(bytes.Repeat([]byte{2}, 32))
	secret := webhooksig.NewSecret(bytes.Repeat([]byte{3}, 32))
	for name, text := range map[string]string{"new.key": secret, "ed.key": private, "partner.pub": receiptsPublic} {
		if err := os.WriteFile(filepath.Join(dir, "shop", name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := partner.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := partner.ParseKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	y.keys = []partner.Key{public}
	if y.sign, err = partner.ParseKey(receipts); err != nil {
		t.Fatal(err)
	}
	y.hook = httptest.NewServer(http.HandlerFunc(y.take))
	t.Cleanup(y.hook.Close)
	return y
}

func (y *trying) take(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	tr, err := partner.VerifyTrigger(r.Header, body, time.Now(), y.keys...)
	if err != nil {
		y.t.Errorf("event: %v", err)
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.n++
	status := http.StatusOK
	if y.answer != nil {
		status = y.answer(y.n, tr)
	}
	if status == http.StatusOK {
		y.got = append(y.got, tr)
	}
	w.WriteHeader(status)
}

// cdcd runs a verb within this process.
func (y *trying) cdcd(args ...string) (code int, out string) {
	ctx, cancel := context.WithTimeout(y.t.Context(), 2*time.Minute)
	defer cancel()
	var b bytes.Buffer
	code = run(ctx, args, strings.NewReader(""), &b, &b)
	return code, b.String()
}

func (y *trying) config(source, more string) string {
	file := filepath.Join(y.dir, "shop", "trigger.yaml")
	text := fmt.Sprintf(`version: 1
name: shop
data: ./data-trigger
source:
  %s
rules: [rules/*.yaml]
feeds:
  acme:
    to: file://./told
    compress: none
    rotate: {rows: 500}
    trigger:
      webhook: {url: "%s/hook", secret_file: new.key, ed25519_key_file: [ed.key], allow_insecure: true, allow_private: true}
      %s
audit: {dir: ./audit-trigger, key_file: ./audit-trigger.key}
dead_letters: {dir: ./dead-trigger}
`, source, y.hook.URL, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		y.t.Fatal(err)
	}
	return file
}

const recordedSource = `binlog: {files: [binlog/binlog.0*], tables: [shop.*]}`

func TestAPartnerIsToldOfEachObject(t *testing.T) {
	y := newTrying(t)
	y.answer = func(n int, _ partner.Trigger) int {
		if n == 2 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	file := y.config(recordedSource, "")
	// A run of files does not end before the partner has been told of all, though it does not take an event at once.
	code, out := y.cdcd("run", "-c", file, "--set", "console.listen=off")
	if code != 0 {
		t.Fatalf("run: %s", out)
	}
	keys, err := filepath.Glob(filepath.Join(y.dir, "shop", "told", "p=00", "dt=*", "*.jsonl"))
	if err != nil || len(keys) < 10 {
		t.Fatalf("%d objects, %v\n%s", len(keys), err, out)
	}
	slices.Sort(keys)
	if len(y.got) != len(keys) {
		t.Fatalf("%d events of %d objects\n%s", len(y.got), len(keys), out)
	}
	for i, tr := range y.got {
		prev := ""
		if i > 0 {
			prev = y.got[i-1].Data.Key
		}
		if d := tr.Data; d.Ordinal != uint64(i+1) || !strings.HasSuffix(keys[i], d.Key) || d.PrevKey != prev || d.Checkpoint == "" || tr.Subject != d.Key {
			t.Errorf("event %d: %+v", i, tr)
		}
	}
	if code, out := y.cdcd("audit", "verify", "--objects", "-c", file); code != 0 || !strings.Contains(out, fmt.Sprintf("%d trigger", len(keys))) {
		t.Errorf("audit verify: %s", out)
	}
}

func TestReceiptsAreTakenOnceAndRefusedWhenWrong(t *testing.T) {
	y := newTrying(t)
	listen := fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort())
	console := fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort())
	// The server of this source is away: what is in the stream is delivered, and it goes on trying.
	file := y.config(recordedSource, "receipts: {public_key_file: partner.pub, unfetched_after: 1m}")
	if code, out := y.cdcd("run", "-c", file, "--set", "receipts.listen="+listen, "--set", "console.listen=off"); code != 0 {
		t.Fatalf("run: %s", out)
	}
	y.config(`mysql: {url: "mysql://nobody@127.0.0.1:1", tables: ["shop.*"]}`, "receipts: {public_key_file: partner.pub, unfetched_after: 1m}")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan string)
	go func() {
		var b bytes.Buffer
		run(ctx, []string{"run", "-c", file, "--set", "receipts.listen=" + listen, "--set", "console.listen=" + console}, strings.NewReader(""), &b, &b)
		ended <- b.String()
	}()
	t.Cleanup(func() {
		cancel()
		if log := <-ended; t.Failed() {
			t.Log(log)
		}
	})
	last := y.got[len(y.got)-1].Data
	good := partner.Receipt{Chain: last.Chain, Ordinal: last.Ordinal, Key: last.Key, SHA256: last.SHA256, Time: time.Now()}
	send := func(feed string, r partner.Receipt, key partner.Key, at time.Time) int {
		header, body := r.Sign(at, key)
		req, err := http.NewRequest(http.MethodPost, "http://"+listen+"/receipts/"+feed, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			resp, err := http.DefaultClient.Do(req.Clone(ctx))
			if err == nil {
				resp.Body.Close()
				return resp.StatusCode
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
	with := func(f func(r *partner.Receipt)) partner.Receipt {
		r := good
		f(&r)
		return r
	}
	for _, tt := range []struct {
		name string
		feed string
		r    partner.Receipt
		key  partner.Key
		at   time.Time
		want int
	}{
		{"another feed", "other", good, y.sign, time.Now(), 404},
		{"another key", "acme", good, signer(t, 9), time.Now(), 401},
		{"an old one", "acme", good, y.sign, time.Now().Add(-time.Hour), 401},
		{"another chain", "acme", with(func(r *partner.Receipt) { r.Chain = "shop/acme/07" }), y.sign, time.Now(), 404},
		{"no such object", "acme", with(func(r *partner.Receipt) { r.Ordinal++ }), y.sign, time.Now(), 409},
		{"another object", "acme", with(func(r *partner.Receipt) { r.SHA256 = strings.Repeat("0", 64) }), y.sign, time.Now(), 409},
		{"nonsense", "acme", partner.Receipt{}, y.sign, time.Now(), 401},
		{"an earlier object", "acme", with(func(r *partner.Receipt) {
			d := y.got[2].Data
			r.Ordinal, r.Key, r.SHA256 = d.Ordinal, d.Key, d.SHA256
		}), y.sign, time.Now(), 204},
		{"the last object", "acme", good, y.sign, time.Now(), 204},
		{"the last object again", "acme", good, y.sign, time.Now(), 204},
	} {
		if got := send(tt.feed, tt.r, tt.key, tt.at); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
		if tt.name == "nonsense" { // an alarm until the receipt of the last one
			_, out := y.cdcd("status", "-c", file, "--set", "receipts.listen="+listen, "--set", "console.listen="+console)
			if !strings.Contains(out, "receipts ✗ shop/acme/00: ") {
				t.Errorf("no alarm:\n%s", out)
			}
		}
	}
	_, out := y.cdcd("status", "-c", file, "--set", "receipts.listen="+listen, "--set", "console.listen="+console)
	if !strings.Contains(out, fmt.Sprintf("receipts ✓ shop/acme/00: fetched up to %d, 0 to go", last.Ordinal)) || !strings.Contains(out, "told of all objects") {
		t.Errorf("status:\n%s", out)
	}
	if code, out := y.cdcd("audit", "verify", "-c", file, "--set", "receipts.listen="+listen); code != 0 || !strings.Contains(out, "2 receipt") {
		t.Errorf("audit verify: %s", out)
	}

	// The partner wants no more, and then does: the running cdcd goes on.
	y.answer = func(int, partner.Trigger) int { return http.StatusGone }
	if code, out := y.cdcd("trigger", "test", "acme", "-c", file, "--set", "receipts.listen="+listen); code != 1 || !strings.Contains(out, "410 Gone") {
		t.Errorf("test: %d %s", code, out)
	}
	y.answer = nil
	if code, out := y.cdcd("trigger", "test", "acme", "-c", file, "--set", "receipts.listen="+listen); code != 0 {
		t.Errorf("test: %d %s", code, out)
	}
	if code, out := y.cdcd("trigger", "enable", "acme", "-c", file, "--set", "receipts.listen="+listen, "--set", "console.listen="+console); code != 0 ||
		!strings.Contains(out, "0 disabled triggers enabled") {
		t.Errorf("enable: %d %s", code, out)
	}
}

func signer(t *testing.T, seed byte) partner.Key {
	text, _ := webhooksig.NewPrivateKey(bytes.Repeat([]byte{seed}, 32))
	k, err := partner.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Whoever sends slowly takes nobody's turn.
func TestReceiptsThatComeSlowlyDoNotHoldUpOthers(t *testing.T) {
	ts := &triggers{p: &pipeline{app: &app{log: slog.New(slog.DiscardHandler)}}}
	server := httptest.NewServer(ts.receiptServer())
	defer server.Close()
	for range receiptsAtOnce {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /receipts/acme HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if _, err := c.Read(make([]byte, 64)); err != nil { // 100 Continue: its body is being waited for
			t.Fatal(err)
		}
	}
	resp, err := http.Post(server.URL+"/receipts/acme", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("got %s", resp.Status)
	}
}

// Dead letters that are delivered after all are in a chain of their own: the partner is told of its objects, pulls and proves them.
func TestAPartnerIsToldOfRedrivenObjects(t *testing.T) {
	y := newTrying(t)
	file := y.config(recordedSource, "")
	if code, out := y.cdcd("run", "-c", file, "--set", "console.listen=off"); code != 0 {
		t.Fatalf("run: %s", out)
	}
	before := len(y.got)
	fix := filepath.Join(y.dir, "fix.json")
	if err := os.WriteFile(fix, []byte(`{"after": {"sold_30d": 300}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := y.cdcd("dlq", "redrive", "acme/39006", "--edit", fix, "--yes", "--reason", "sales were lost", "-c", file); code != 0 || !strings.Contains(out, "matches running-low") {
		t.Fatalf("redrive: %s", out)
	}
	if code, out := y.cdcd("run", "-c", file, "--set", "console.listen=off"); code != 0 {
		t.Fatalf("run: %s", out)
	}
	if len(y.got) != before+1 {
		t.Fatalf("%d events, want one of the redriven object behind %d", len(y.got), before)
	}
	tr := y.got[before]
	d := tr.Data
	if d.Chain != "shop/acme.redriven/00" || d.Ordinal != 1 || d.Records != 1 || !strings.HasSuffix(d.Store, "/told/redriven") || d.PrevKey != "" {
		t.Errorf("event: %+v", tr)
	}
	place := "file://" + filepath.Join(y.dir, "shop", "told", "redriven")
	into := filepath.Join(y.dir, "late")
	signed := []string{"--audit", filepath.Join(y.dir, "shop", "audit-trigger"), "--audit-key", filepath.Join(y.dir, "shop", "audit-trigger.key.pub")}
	if code, out := y.cdcd(append([]string{"partner", "verify", place}, signed...)...); code != 0 {
		t.Errorf("partner verify: %s", out)
	}
	if code, out := y.cdcd(append([]string{"partner", "pull", place, "--to", into}, signed...)...); code != 0 {
		t.Errorf("partner pull: %s", out)
	}
	var lines []byte
	names, _ := filepath.Glob(filepath.Join(into, "*", "*", "*.jsonl")) // the pattern is one
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, text...)
	}
	if bytes.Count(lines, []byte("\n")) != 1 || !bytes.Contains(lines, []byte(`"redriven":{"letter":"acme/39006"`)) {
		t.Errorf("pulled %s", lines)
	}
	// What is behind the newest object that was pulled is missed, too.
	if err := os.RemoveAll(filepath.Join(y.dir, "shop", "told", "redriven", "p=00")); err != nil {
		t.Fatal(err)
	}
	if code, out := y.cdcd(append([]string{"partner", "pull", place, "--to", into}, signed...)...); code == 0 {
		t.Errorf("partner pull of a chain that was removed: %s", out)
	}
}
