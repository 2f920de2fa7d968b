package console

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

func TestTheDocumentIsTheOneThatIsPublished(t *testing.T) {
	const file = "../docs/openapi.json"
	got := OpenAPI()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is not what the types say: go test ./console -run Document -update, then make ui for the page's types")
	}
}

// fixed answers with what a test wants.
type fixed struct {
	status api.Status
	events func(EventQuery) (api.EventList, error)
	event  func(no uint64, id string) (api.EventDetail, error)
	table  func(name string) (api.TableDetail, error)
}

func (f *fixed) Status(context.Context) api.Status { return f.status }
func (f *fixed) Rates() (api.Rates, time.Time) {
	return api.Rates{Captured: []float64{}, Matched: []float64{}, Failed: []float64{}, Records: []float64{}}, time.Time{}
}
func (f *fixed) Settings(context.Context) (api.Settings, error) {
	return api.Settings{Source: "shop", Settings: []api.Setting{}, Warnings: []api.Error{}}, nil
}
func (f *fixed) Tables(context.Context) (api.TableList, error) { return api.TableList{}, nil }
func (f *fixed) Table(_ context.Context, name string) (api.TableDetail, error) {
	return f.table(name)
}
func (f *fixed) Recent(_ context.Context, q EventQuery) (api.EventList, error) { return f.events(q) }
func (f *fixed) Event(_ context.Context, no uint64, id string, _ time.Time) (api.EventDetail, error) {
	return f.event(no, id)
}

func newFixed(f *fixed) *Console {
	return New(Config{Source: "shop", Backend: Backend{Health: f, Tables: f, Events: f, Settings: f}})
}

// get asks and returns status and body.
func get(t *testing.T, h http.Handler, path string) (int, string, http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String()), w.Header()
}

func TestAnswersAreEnvelopesWhateverGoesWrong(t *testing.T) {
	f := &fixed{
		events: func(q EventQuery) (api.EventList, error) {
			return api.EventList{Events: []api.Event{}, Before: uint64(q.Limit), Scanned: uint64(len(q.Tables) + len(q.Ops))}, nil
		},
		event: func(no uint64, id string) (api.EventDetail, error) {
			if id == "0-1-17/0" {
				return api.EventDetail{}, errors.New("the disk is gone")
			}
			return api.EventDetail{}, cdc.Errorf("CDCD-2340", "the stream has no event no %d%s", no, id).WithFix("look elsewhere")
		},
		table: func(name string) (api.TableDetail, error) {
			return api.TableDetail{}, cdc.Errorf(codeNothing, "there is no table '%s'", name)
		},
	}
	c := newFixed(f)
	for _, tt := range []struct {
		name, path string
		status     int
		want       string // the body, or its beginning when it ends with …
	}{
		{"not ready is an answer", "/api/v1/status", 200, `{"kind":"status","ok":false,"result":{"source":"","writer":"","ready":false,…`},
		{"what is asked for is handed on", "/api/v1/events?table=shop.*,a.b&op=insert&limit=7", 200,
			`{"kind":"events.list","ok":true,"result":{"events":[],"before":7,"scanned":3},"error":null}`},
		{"a default", "/api/v1/events", 200, `{"kind":"events.list","ok":true,"result":{"events":[],"before":20,"scanned":0},"error":null}`},
		{"too many", "/api/v1/events?limit=1000", 422,
			`{"kind":"events.list","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"expected number <= 200","path":"query.limit","docs":"cdcd errors CDCD-1050"}}`},
		{"no number", "/api/v1/events?limit=x&before=y", 422, `{"kind":"events.list","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"invalid integer",…`},
		{"an operation that there is not", "/api/v1/events?op=upsert", 422, `{"kind":"events.list","ok":false,"result":null,"error":{"code":"CDCD-1050",…`},
		{"no pattern", "/api/v1/events?table=orders", 400, `{"kind":"events.list","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"'orders' is not schema.table:…`},
		{"a parameter that there is not", "/api/v1/events?tabel=shop.orders", 422, `{"kind":"events.list","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"unknown query parameter",…`},
		{"an error with a code", "/api/v1/events/no:1001", 404,
			`{"kind":"events.show","ok":false,"result":null,"error":{"code":"CDCD-2340","message":"the stream has no event no 1001","fix":"look elsewhere","docs":"cdcd errors CDCD-2340"}}`},
		{"an ID with a slash", "/api/v1/events/0-1-17%2F0", 500, `{"kind":"events.show","ok":false,"result":null,"error":{"message":"the disk is gone"}}`},
		{"no reference", "/api/v1/events/hello", 400, `{"kind":"events.show","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"'hello' names no change",…`},
		{"no number of a change", "/api/v1/events/no:-1", 400, `{"kind":"events.show","ok":false,"result":null,"error":{"code":"CDCD-1050","message":"'no:-1' is not the number of a change",…`},
		{"a table that there is not", "/api/v1/tables/shop.nothing", 404, `{"kind":"tables.show","ok":false,"result":null,"error":{"code":"CDCD-1056",…`},
		{"an address that there is not", "/api/v1/nothing", 404, `{"kind":"","ok":false,"result":null,"error":{"code":"CDCD-1056","message":"the API has no GET /api/v1/nothing",…`},
		{"another version", "/api/v2/status", 404, `{"kind":"","ok":false,"result":null,"error":{"code":"CDCD-1056",…`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body, header := get(t, c, tt.path)
			begin, cut := strings.CutSuffix(tt.want, "…")
			if status != tt.status || cut && !strings.HasPrefix(body, begin) || !cut && body != tt.want {
				t.Errorf("got %d %s\nwant %d %s", status, body, tt.status, tt.want)
			}
			if kind := header.Get("Content-Type"); kind != "application/json" || header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", header)
			}
			var envelope map[string]any
			if err := json.Unmarshal([]byte(body), &envelope); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThePageIsAtEveryAddressWithItsOwnNonce(t *testing.T) {
	c := newFixed(&fixed{})
	nonces := map[string]bool{}
	for _, path := range []string{"/", "/rules/paid-big-order", "/live?table=shop.orders", "/index.html", "/v1.2"} {
		status, body, header := get(t, c, path)
		policy := header.Get("Content-Security-Policy")
		_, nonce, _ := strings.Cut(policy, "'nonce-")
		nonce, _, _ = strings.Cut(nonce, "'")
		if status != 200 || len(nonce) < 20 || nonces[nonce] || !strings.Contains(body, nonce) || strings.Contains(body, nonceMark) ||
			!strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s\n%v", path, status, body, header)
		}
		nonces[nonce] = true
	}
	for _, path := range []string{"/assets/gone.js", "/assets/gone.css"} {
		if status, body, _ := get(t, c, path); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rules/x", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST to the page: %d", w.Code)
	}
}

func TestFilesAreKnownByTheirContent(t *testing.T) {
	text := []byte(strings.Repeat("console.log(1)\n", 100))
	f := newFile("/assets/app.js", text)
	ask := func(set map[string]string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/assets/app.js", nil)
		for k, v := range set {
			r.Header.Set(k, v)
		}
		f.serve(w, r)
		return w
	}
	plain := ask(nil)
	if plain.Code != 200 || !bytes.Equal(plain.Body.Bytes(), text) || plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("ETag") == "" {
		t.Errorf("plain: %d %v", plain.Code, plain.Header())
	}
	packed := ask(map[string]string{"Accept-Encoding": "br, gzip;q=0.8"})
	zr, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(zr)
	if err != nil || !bytes.Equal(unpacked, text) || packed.Header().Get("ETag") == plain.Header().Get("ETag") || packed.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("packed: %v %v", err, packed.Header())
	}
	for _, tt := range []struct {
		known, encodings string
		want             int
	}{
		{plain.Header().Get("ETag"), "", 304},
		{`"other", W/` + plain.Header().Get("ETag"), "", 304},
		{"*", "", 304},
		{packed.Header().Get("ETag"), "gzip", 304},
		{plain.Header().Get("ETag"), "gzip", 200},
		{packed.Header().Get("ETag"), "gzip;q=0", 200},
		{`"other"`, "", 200},
	} {
		w := ask(map[string]string{"If-None-Match": tt.known, "Accept-Encoding": tt.encodings})
		if w.Code != tt.want || w.Code == 304 && w.Body.Len() > 0 {
			t.Errorf("%s with %q: %d, want %d", tt.known, tt.encodings, w.Code, tt.want)
		}
	}
}
