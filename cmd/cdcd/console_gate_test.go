package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestWhatAnswersIsBehindTheGate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	p := deliveredDemo(t, func(c *config) { c.Console.TokensFile = file })
	tokens := map[string]string{}
	for _, role := range []string{"viewer", "analyst", "publisher", "operator"} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), []string{"console", "token", role, "--role", role, "-c", p.cfg.file, "--set", "console.tokens_file=" + file}, nil, &out, &errOut); code != 0 {
			t.Fatalf("%d %s", code, &errOut)
		}
		tokens[role] = strings.TrimSpace(out.String())
	}
	h := p.handler()
	ask := func(method, path, body, role string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, "http://127.0.0.1:8480"+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if role != "" {
			r.Header.Set("Authorization", "Bearer "+tokens[role])
		}
		h.ServeHTTP(w, r)
		return w
	}
	for _, tt := range []struct {
		method, path, body string
		least              string // role; "" for nobody
	}{
		{"GET", "/healthz", "", ""},
		{"GET", "/", "", ""},
		{"GET", "/rules/paid-big-order", "", ""},
		{"GET", "/openapi.json", "", ""},
		{"GET", "/status", "", "viewer"},
		{"GET", "/metrics", "", "viewer"},
		{"GET", "/api/v1/overview", "", "viewer"},
		{"GET", "/api/v1/events?limit=1", "", "viewer"},
		{"GET", "/api/v1/events/no:5/deliveries", "", "viewer"},
		{"GET", "/api/v1/deliveries", "", "viewer"},
		{"GET", "/api/v1/deliveries/3", "", "viewer"},
		{"POST", "/api/v1/deliveries/3/resend", `{"why":"a test"}`, "operator"},
		{"GET", "/api/v1/dlq", "", "viewer"},
		{"GET", "/api/v1/dlq/letters?id=acme/1", "", "viewer"},
		{"POST", "/api/v1/dlq/retest", `{"what":["acme/1"]}`, "analyst"},
		{"POST", "/api/v1/dlq/redrive", `{"what":["acme/1"]}`, "operator"},
		{"POST", "/api/v1/dlq/discard", `{"what":["acme/1"]}`, "operator"},
		{"GET", "/api/v1/dlq/jobs/none", "", "viewer"},
		{"DELETE", "/api/v1/dlq/jobs/none", "", "operator"},
		{"GET", "/api/v1/audit", "", "viewer"},
		{"GET", "/api/v1/plugins", "", "viewer"},
		{"POST", "/api/v1/plugins/inspect", `{"module":"AGFzbQ=="}`, "operator"},
		{"POST", "/api/v1/plugins/none/release", `{"why":"a test"}`, "operator"},
		{"GET", "/snapshot", "", "viewer"},
		{"GET", "/event?no=5", "", "viewer"},
		{"GET", "/stream/tables?frames=1", "", "viewer"},
		{"GET", "/debug/pprof/heap", "", "operator"},
		{"POST", "/rules", `{"verb":"list"}`, "viewer"},
		{"POST", "/rules", `{"verb":"drafts","draft":{}}`, "viewer"},
		{"POST", "/rules", `{"verb":"backtests"}`, "viewer"},
		{"POST", "/rules", `{"verb":"save_draft","draft":{"author":"bob","name":"x","text":"y"}}`, "analyst"},
		{"POST", "/rules", `{"verb":"drop_draft","draft":{"author":"bob","name":"z"}}`, "analyst"},
		{"POST", "/rules", `{"verb":"mode","rule":"new-vip","mode":"off","why":"x","dry_run":true}`, "analyst"},
		{"POST", "/rules", `{"verb":"mode","rule":"new-vip","mode":"active","why":"x"}`, "publisher"},
		{"POST", "/rules", `{"verb":"adopt","adopted":"x"}`, "operator"},
		{"POST", "/rules", `{"verb":"nonsense"}`, "publisher"},
		{"POST", "/plugins", `{"verb":"list"}`, "viewer"},
		{"POST", "/plugins", `{"verb":"release","plugin":"x"}`, "operator"},
		{"POST", "/dlq", `{"do":"retest","what":["x"]}`, "analyst"},
		{"POST", "/dlq", `{"do":"retest","what":["x"],"yes":true,"why":"y"}`, "operator"},
		{"POST", "/dlq", `{"do":"nonsense","what":["x"],"yes":true,"why":"y"}`, "operator"},
		{"POST", "/dlq", `{"do":"discard","what":["x"],"why":"y"}`, "operator"},
		{"POST", "/trigger", `{}`, "operator"},
		{"POST", "/person/erase", `{}`, "operator"},
		{"POST", "/replay", `{}`, "operator"},
		{"POST", "/snapshot", `{"table":"shop.orders"}`, "operator"},
		{"POST", "/snapshot/x/cancel", `{}`, "operator"},
	} {
		t.Run(tt.method+tt.path+tt.body, func(t *testing.T) {
			rank := func(role string) int {
				return map[string]int{"": 0, "viewer": 1, "analyst": 2, "publisher": 3, "operator": 4}[role]
			}
			for _, role := range []string{"", "viewer", "analyst", "publisher", "operator"} {
				w := ask(tt.method, tt.path, tt.body, role)
				refused := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden
				if want := rank(role) < rank(tt.least); refused != want {
					t.Errorf("role %q: %d %.200s", role, w.Code, w.Body)
				}
				if role == "" && refused && w.Code != http.StatusUnauthorized {
					t.Errorf("nobody: %d", w.Code)
				}
			}
		})
	}
	// Who published is who has shown who he is.
	if w := ask("POST", "/rules", `{"verb":"mode","rule":"new-vip","mode":"shadow","why":"x","who":"somebody else"}`, "publisher"); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := ask("POST", "/rules", `{"verb":"history","rule":"new-vip"}`, "viewer"); !strings.Contains(w.Body.String(), `"who":"publisher"`) || strings.Contains(w.Body.String(), "somebody else") {
		t.Errorf("history: %s", w.Body)
	}

	// Whoever a request says to be, a draft is its caller's.
	for author, want := range map[string]string{"analyst": "y", "bob": ""} {
		if draft, _ := p.desk.draft(t.Context(), author, "x"); draft.Text != want {
			t.Errorf("%s has the draft %q, want %q", author, draft.Text, want)
		}
	}
}

func TestOtherNamesAreNotAnswered(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:8480": 200, "[::1]:8480": 200, "localhost:8480": 200, "LOCALHOST": 200, "10.1.2.3": 200, "console.example.com:8480": 200,
		"evil.example:8480": 421, "0.0.0.0:8480": 421, "[::]:8480": 421, "localhost.evil.example": 421, "": 421,
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		sameOrigin(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), consoleConfig{Listen: "127.0.0.1:8480", Names: []string{"Console.Example.com"}}).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestTheConsoleIsNotOpenToOthers(t *testing.T) {
	for _, tt := range []struct {
		address string
		console consoleConfig
		want    string
	}{
		{"127.0.0.1:8480", consoleConfig{}, ""},
		{"[::1]:8480", consoleConfig{}, ""},
		{"127.8.9.1:8480", consoleConfig{}, ""},
		{"0.0.0.0:8480", consoleConfig{}, "CDCD-1053"},
		{"[::]:8480", consoleConfig{}, "CDCD-1053"},
		{"10.0.0.1:8480", consoleConfig{}, "CDCD-1053"},
		{"10.0.0.1:8480", consoleConfig{TokensFile: "x"}, ""},
		{"[::]:8480", consoleConfig{Header: &consoleHeaderConfig{}}, ""},
	} {
		at, err := net.ResolveTCPAddr("tcp", tt.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := cdc.CodeOf(tt.console.guarded(at)); got != tt.want {
			t.Errorf("%s %+v: got %q, want %q", tt.address, tt.console, got, tt.want)
		}
	}
}

func TestAFileOfTokensThatIsNotRightLetsNobodyIn(t *testing.T) {
	good := `{"version":1,"tokens":[{"name":"ada","role":"viewer","hash":"sha256:` + strings.Repeat("0", 64) + `"}]}`
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"good":             {good, 0o600, ""},
		"read by others":   {good, 0o644, ""},
		"no JSON":          {"version: 1", 0o600, codeTokens},
		"a version":        {`{"version":2,"tokens":[]}`, 0o600, codeTokens},
		"a role":           {strings.Replace(good, "viewer", "root", 1), 0o600, codeTokens},
		"no role":          {strings.Replace(good, `"role":"viewer",`, "", 1), 0o600, codeTokens},
		"no hash":          {strings.Replace(good, "sha256:", "", 1), 0o600, codeTokens},
		"others may write": {good, 0o666, codeTokens},
		"group may write":  {good, 0o620, codeTokens},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tokens.json")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil {
				t.Fatal(err)
			}
			grants, err := (&heldTokens{file: file}).grantsNow()
			if cdc.CodeOf(err) != tt.want || (err == nil) != (len(grants) == 1) {
				t.Errorf("%v, %v", grants, err)
			}
		})
	}
	grants, err := (&heldTokens{file: filepath.Join(t.TempDir(), "none.json")}).grantsNow()
	if err != nil || len(grants) != 0 {
		t.Errorf("no file: %v, %v", grants, err)
	}
}
