package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// Of four partners one takes calls and never answers, one does not listen, and the store of one does not answer. The fourth has all
// and is told of it meanwhile, and so have the first two, who are only not told.
func TestAPartnerThatDoesNotAnswerDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or the server does not see that the caller goes
		<-r.Context().Done()
	}))
	t.Cleanup(mute.Close)
	told := make(chan string, 10_000)
	listens := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("webhook-id") }))
	t.Cleanup(listens.Close)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	line := testenv.NewProxy(t, store.Addr)

	places := t.TempDir()
	to := func(name string) string { return filepath.Join(places, name) }
	feed := func(name, url string) string {
		return fmt.Sprintf("to: file://%s\n    trigger: {webhook: {url: %q, secret_env: HOOK, timeout: 60s, allow_insecure: true, allow_private: true}}\n", to(name), url)
	}
	const rotate = "    rotate: {every: 100ms, rows: 500}\n"
	w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, options{
		bucket: to("acme"),
		feed:   feed("acme", mute.URL),
		feeds: "  away:\n    " + feed("away", "http://"+gone(t)) + rotate + "  listens:\n    " + feed("listens", listens.URL) + rotate +
			fmt.Sprintf("  stuck:\n    to: s3://partner/changes\n    s3: {endpoint: %q, region: us-east-1, path_style: true, access_key_env: S3_KEY, secret_key_env: S3_SECRET}\n",
				"http://"+line.Addr) + rotate,
		env:   []string{"HOOK=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "S3_KEY=" + store.AccessKey, "S3_SECRET=" + store.SecretKey},
		rules: "version: 1\nrules:\n  - name: everything\n    tables: [ledger.*]\n    to: [acme, away, listens, stuck]\n",
	})
	line.Stall()
	time.Sleep(4 * time.Second)
	stop()
	settle(t, w, ledger.Want{}, d)
	for _, name := range []string{"away", "listens"} {
		await(t, d, name+" has everything", func() bool {
			lines, err := delivered(to(name))
			return err == nil && w.Check(context.Background(), ledger.Want{}, ledger.Lines(bytes.NewReader(lines))) == nil
		})
	}
	files, err := objects(to("listens"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d objects, %v", len(files), err)
	}
	heard := map[string]bool{}
	for deadline := time.After(60 * time.Second); len(heard) < len(files); {
		select {
		case id := <-told:
			heard[id] = true
		case <-deadline:
			t.Fatalf("told of %d objects, there are %d\n%s", len(heard), len(files), d.tail())
		}
	}
	line.Restore(t)
	stuck := filepath.Join(store.Dir, "partner", "changes")
	await(t, d, "the store that answers again has everything", func() bool {
		lines, err := delivered(stuck)
		return err == nil && w.Check(context.Background(), ledger.Want{}, ledger.Lines(bytes.NewReader(lines))) == nil
	})
	d.stop(t)
	d.verify(t)
}

// gone is an address where nobody listens.
func gone(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }
