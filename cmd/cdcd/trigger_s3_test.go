package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/partner"
)

// A partner without credentials fetches with the URL that the webhook has told him; who listens on a subject is told of the same
// objects, and gets no URL.
func TestAPartnerFetchesWithTheURLAndAnotherListensOnASubject(t *testing.T) {
	y := newTrying(t)
	s3 := testenv.S3(t)
	s3.CreateBucket(t, "acme")
	t.Setenv("TEST_S3_KEY", s3.AccessKey)
	t.Setenv("TEST_S3_SECRET", s3.SecretKey)
	server, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 34, NoSigs: true, NoLog: true,
		MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { server.Shutdown(); server.WaitForShutdown() })
	if !server.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	told, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TOLD", Subjects: []string{"told.>"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(y.dir, "shop", "s3.yaml")
	text := fmt.Sprintf(`version: 1
name: shop
data: ./data-s3
source:
  %s
bus: {nats: {url: "%s", allow_unsynced: true, max_bytes: 256MiB}}
rules: [rules/*.yaml]
feeds:
  acme:
    to: s3://acme/changes
    s3: {endpoint: "%s", region: us-east-1, path_style: true, access_key_env: TEST_S3_KEY, secret_key_env: TEST_S3_SECRET}
    rotate: {rows: 2000}
    trigger:
      webhook: {url: "%s/hook", secret_file: new.key, ed25519_key_file: [ed.key], allow_insecure: true, allow_private: true, presign: 1h}
      nats: {subject: told.acme}
audit: {dir: ./audit-s3, key_file: ./audit-s3.key}
dead_letters: {dir: ./dead-s3}
console: {listen: "off"}
`, recordedSource, server.ClientURL(), s3.Endpoint, y.hook.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := y.cdcd("run", "-c", file); code != 0 {
		t.Fatalf("run: %s", out)
	}

	if len(y.got) < 3 {
		t.Fatalf("%d events", len(y.got))
	}
	for i, tr := range y.got {
		resp, err := http.Get(tr.Data.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		sum := sha256.Sum256(body)
		if err != nil || resp.StatusCode != http.StatusOK || hex.EncodeToString(sum[:]) != tr.Data.SHA256 || int64(len(body)) != tr.Data.Size {
			t.Errorf("object %d: status %s, %d bytes with sha256 %x, %v; the event says %d with %s", i+1, resp.Status, len(body), sum, err, tr.Data.Size, tr.Data.SHA256)
		}
		other, err := url.Parse(tr.Data.URL)
		if err != nil {
			t.Fatal(err)
		}
		other.Path, other.RawPath = "/acme/changes/p=00/chain.json", ""
		if resp, err = http.Get(other.String()); err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
			t.Errorf("another object with the URL of object %d: status %s", i+1, resp.Status)
		}

		m, err := told.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatalf("message %d: %v", i+1, err)
		}
		var event partner.Trigger
		err = json.Unmarshal(m.Data, &event)
		want := tr
		want.Data.URL, want.Data.Checkpoint, want.Time = "", event.Data.Checkpoint, event.Time // it is of another moment
		if err != nil || event != want || event.Data.Checkpoint == "" || m.Header.Get(nats.MsgIdHdr) != tr.ID {
			t.Errorf("message %d: %+v, %v\nwant %+v", i+1, event, err, want)
		}
	}
	if info, err := told.Info(t.Context()); err != nil || info.State.Msgs != uint64(len(y.got)) {
		t.Errorf("%+v, %v; want %d messages", info, err, len(y.got))
	}

	// The partner's verb reads the same bucket, and a URL is written nowhere.
	code, out := y.cdcd("partner", "verify", "s3://acme/changes", "--endpoint", s3.Endpoint, "--path-style", "--access-key-env", "TEST_S3_KEY", "--secret-key-env", "TEST_S3_SECRET",
		"--audit", filepath.Join(y.dir, "shop", "audit-s3"), "--audit-key", filepath.Join(y.dir, "shop", "audit-s3.key.pub"))
	if code != 0 || !strings.Contains(out, fmt.Sprintf("checked %d objects", len(y.got))) {
		t.Errorf("partner verify: %s", out)
	}
	if code, out := y.cdcd("audit", "export", "-c", file); code != 0 || strings.Contains(out, "X-Amz-Signature") {
		t.Errorf("audit export: %s", out)
	}
}
