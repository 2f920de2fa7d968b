package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/proof"
	"github.com/cdcd-project/cdcd/sinks/audit"
)

// growingLog is an audit log, and its readers at each size from 1 on.
type growingLog struct {
	key     string
	readers []*audit.Reader
}

func newGrowingLog(t *testing.T, keyFile string, leaves ...string) growingLog {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(t.Context(), audit.Config{Dir: dir, KeyFile: keyFile, Origin: "cdcd/shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g := growingLog{key: log.PublicKey()}
	for _, leaf := range leaves {
		if err := log.Note(t.Context(), audit.Note{Kind: audit.TypeReplayed, ID: leaf, By: "test"}); err != nil {
			t.Fatal(err)
		}
		r, err := audit.Read(dir, g.key, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.readers = append(g.readers, r)
	}
	return g
}

// request asks to cosign the log at a size, for a witness who has cosigned it at another one.
func (g growingLog) request(t *testing.T, old, size int) proof.Request {
	t.Helper()
	q, err := g.readers[size-1].Request(int64(old))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestAWitnessAnswersAsTheSpecificationSays(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	g := newGrowingLog(t, key, "a", "b", "c", "d")
	if err := os.Remove(audit.AnchorFile(key)); err != nil { // so that the same key can sign another history
		t.Fatal(err)
	}
	fork := newGrowingLog(t, key, "A", "B", "C", "D")
	signer, _, err := note.GenerateKey(rand.Reader, "cdcd/shop")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewSigner(signer)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	flags := witnessFlags{key: filepath.Join(dir, "w"), name: "partner.example/w", kept: filepath.Join(dir, "kept"), logKey: key + ".pub"}
	w, err := flags.open()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(witnessHandler(w, slog.New(slog.DiscardHandler)))
	defer server.Close()
	ask := func(q proof.Request) (status int, kind, body string) {
		t.Helper()
		resp, err := http.Post(server.URL+addCheckpoint, "", bytes.NewReader(q.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
	}
	with := func(q proof.Request, change func(*proof.Request)) proof.Request { change(&q); return q }
	_, forked := fork.readers[2].Checkpoint()
	for _, c := range []struct {
		name   string
		q      proof.Request
		status int
		size   string // what a conflict tells
	}{
		{"one that continues what was never cosigned", g.request(t, 1, 3), 409, "0\n"},
		{"the first", g.request(t, 0, 2), 200, ""},
		{"the first once more", g.request(t, 0, 2), 409, "2\n"},
		{"the same, continued", g.request(t, 2, 2), 200, ""},
		{"a continuation", g.request(t, 2, 3), 200, ""},
		{"an older one", g.request(t, 1, 2), 409, "3\n"},
		{"an old size beyond its own", with(g.request(t, 2, 2), func(q *proof.Request) { q.Old = 3 }), 400, ""},
		{"another history of that size", with(g.request(t, 3, 3), func(q *proof.Request) { q.Checkpoint = forked }), 409, "3\n"},
		{"another history", with(fork.request(t, 3, 4), func(*proof.Request) {}), 422, ""},
		{"a proof where there is nothing to prove", with(g.request(t, 3, 3), func(q *proof.Request) { q.Path = g.request(t, 3, 4).Path }), 422, ""},
		{"of another log", with(g.request(t, 3, 4), func(q *proof.Request) { q.Checkpoint = bytes.Replace(q.Checkpoint, []byte("shop"), []byte("shap"), 1) }), 404, ""},
		{"signed by a stranger", with(g.request(t, 3, 4), func(q *proof.Request) {
			text, _, _ := strings.Cut(string(q.Checkpoint), "\n\n")
			if q.Checkpoint, err = note.Sign(&note.Note{Text: text + "\n"}, stranger); err != nil {
				t.Fatal(err)
			}
		}), 403, ""},
		{"no request", proof.Request{}, 400, ""},
		{"a continuation after all that", g.request(t, 3, 4), 200, ""},
	} {
		status, kind, body := ask(c.q)
		if status != c.status || status == 409 && (kind != sizeType || body != c.size) {
			t.Errorf("%s: %d %s %q, want %d %q", c.name, status, kind, body, c.status, c.size)
		}
		if status != 200 {
			continue
		}
		cosigned, err := proof.AddCosignatures(c.q.Checkpoint, g.key, []byte(body), w.public)
		if err == nil {
			_, _, err = proof.Open(cosigned, g.key, w.public)
		}
		if kept, _ := os.ReadFile(w.kept); err != nil || strings.Count(body, "\n") != 1 || !bytes.Equal(kept, c.q.Checkpoint) {
			t.Errorf("%s: %v; answered %q, kept %s", c.name, err, body, kept)
		}
	}

	// Who submits need not know what was cosigned, and is told when it was another log.
	address := server.URL + addCheckpoint
	if old, lines, err := submit(t.Context(), address, g.readers[3].Request); err != nil || old != 4 || !strings.HasPrefix(string(lines), "— partner.example/w ") {
		t.Errorf("submitted: %d, %q, %v", old, lines, err)
	}
	for _, c := range []struct{ got, want string }{
		{cdc.CodeOf(second(submit(t.Context(), address, fork.readers[3].Request))), codeNotContinued},
		{cdc.CodeOf(second(submit(t.Context(), address, g.readers[2].Request))), "CDCD-4503"},
		{cdc.CodeOf(second(submit(t.Context(), address+"s", g.readers[2].Request))), codeNotCosigned},
	} {
		if c.got != c.want {
			t.Errorf("submitted: got %s, want %s", c.got, c.want)
		}
	}
}

func second(_ int64, _ []byte, err error) error { return err }

func TestAWitnessWhoIsAskedByManyAtOnceCosignsOneHistory(t *testing.T) {
	dir := t.TempDir()
	g := newGrowingLog(t, filepath.Join(dir, "key"), "a", "b", "c", "d", "e", "f", "g", "h")
	var all sync.WaitGroup
	flags := witnessFlags{key: filepath.Join(dir, "w"), name: "w", kept: filepath.Join(dir, "kept"), logKey: g.key}
	if _, err := flags.open(); err != nil {
		t.Fatal(err)
	}
	for size := range g.readers {
		q := g.request(t, 0, size+1)
		all.Go(func() {
			w, err := flags.open() // as another process would
			if err != nil {
				t.Error(err)
				return
			}
			if was, now, _, err := w.cosign(q); (err == nil) != (was.Size == 0) {
				t.Errorf("size %d after %d: %v", now.Size, was.Size, err)
			}
		})
	}
	all.Wait()
}
