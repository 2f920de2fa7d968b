package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
)

// house is a console behind a gate, with a clock.
type house struct {
	gate   *Gate
	h      http.Handler
	now    time.Time
	tokens map[string]string // by name
	grants []Grant
	err    error // of reading them
}

func newHouse(header Header) *house {
	ho := &house{now: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC), tokens: map[string]string{}}
	for role := api.Viewer; role <= api.Operator; role++ {
		token, hash := NewToken()
		ho.tokens[role.String()] = token
		ho.grants = append(ho.grants, Grant{Name: "the " + role.String(), Role: role, Hash: hash})
	}
	token, hash := NewToken()
	ho.tokens["expired"] = token
	ho.grants = append(ho.grants, Grant{Name: "late", Role: api.Operator, Hash: hash, Expires: ho.now.Add(-time.Second)})
	ho.gate = NewGate(GateConfig{Source: "shop", Tokens: func() ([]Grant, error) { return ho.grants, ho.err }, Header: header,
		Public: func(r *http.Request) bool {
			return r.URL.Path == "/api/v1/session" || !strings.HasPrefix(r.URL.Path, "/api/") && r.URL.Path != "/old"
		},
		Needs: func(r *http.Request) api.Role {
			if r.URL.Path == "/old" {
				return api.Operator
			}
			return api.Viewer
		},
		Now: func() time.Time { return ho.now }})
	f := &fixed{status: api.Status{Ready: true}}
	ho.h = ho.gate.Wrap(New(Config{Source: "shop", Gate: ho.gate, Backend: Backend{Health: f, Tables: f, Events: f, Settings: f}}))
	return ho
}

// ask asks with headers, "Remote" being the address.
func (ho *house) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, "http://127.0.0.1:8480"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Remote" {
			r.RemoteAddr = header[i+1]
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	ho.h.ServeHTTP(w, r)
	return w
}

func (ho *house) bearer(name string) []string {
	return []string{"Authorization", "Bearer " + ho.tokens[name]}
}

func TestWhoMayAskWhat(t *testing.T) {
	proxy := Header{User: "X-User", Role: "X-Role", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	ho := newHouse(proxy)
	for _, tt := range []struct {
		name, path string
		header     []string
		status     int
		want       string
	}{
		{"nobody", "/api/v1/status", nil, 401, "CDCD-1051"},
		{"nobody, the page", "/rules", nil, 200, "<html"},
		{"nobody, an address that there is not", "/api/v1/nothing", nil, 401, "CDCD-1051"},
		{"nobody, another version", "/api/v9/status", nil, 401, "CDCD-1051"},
		{"a token", "/api/v1/status", ho.bearer("viewer"), 200, `"ready":true`},
		{"a token in small letters", "/api/v1/status", []string{"Authorization", "bearer " + ho.tokens["viewer"]}, 200, `"ready":true`},
		{"no token of ours", "/api/v1/status", []string{"Authorization", "Bearer cdcd_x"}, 401, "CDCD-1051"},
		{"an empty token", "/api/v1/status", []string{"Authorization", "Bearer "}, 401, "CDCD-1051"},
		{"a hash instead of a token", "/api/v1/status", []string{"Authorization", "Bearer " + ho.grants[3].Hash}, 401, "CDCD-1051"},
		{"a password", "/api/v1/status", []string{"Authorization", "Basic YTpi"}, 401, "bearer token"},
		{"an expired token", "/api/v1/status", ho.bearer("expired"), 401, "CDCD-1051"},
		{"a token in the address", "/api/v1/status?token=" + ho.tokens["operator"], nil, 401, "CDCD-1051"},
		{"a cookie that nobody has given", "/api/v1/status", []string{"Cookie", "cdcd_session_shop=cdcd_x"}, 401, "CDCD-1051"},
		{"a token as cookie", "/api/v1/status", []string{"Cookie", "cdcd_session_shop=" + ho.tokens["operator"]}, 401, "CDCD-1051"},
		{"a role that is not enough", "/old", ho.bearer("publisher"), 403, "CDCD-1052"},
		{"a role that is", "/old", ho.bearer("operator"), 200, ""},
		{"the proxy", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "analyst"}, 200, `"me":{"user":"ada","role":"analyst","via":"header"}`},
		{"somebody who plays the proxy", "/api/v1/settings", []string{"Remote", "10.0.1.9:1", "X-User", "ada", "X-Role", "operator"}, 401, "CDCD-1051"},
		{"somebody who plays him behind IPv6", "/api/v1/settings", []string{"Remote", "[::ffff:10.0.1.9]:1", "X-User", "ada", "X-Role", "operator"}, 401, "CDCD-1051"},
		{"two names", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "eve", "X-User", "ada", "X-Role", "operator"}, 401, "more than one"},
		{"two roles", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "operator", "X-Role", "viewer"}, 401, "more than one"},
		{"no role", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada"}, 401, "more than one"},
		{"a role that there is not", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "nobody"}, 401, "no role"},
		{"no name", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "", "X-Role", "operator"}, 401, "CDCD-1051"},
		{"another site's script", "/api/v1/status", append(ho.bearer("viewer"), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), 403, "CDCD-1057"},
		{"a link from another site", "/live", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200, "<html"},
		{"a frame of another site", "/live", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403, "CDCD-1057"},
		{"a link from another site to what is no page", "/old", append(ho.bearer("operator"), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 403, "CDCD-1057"},
		{"a script of another port of this machine", "/api/v1/status", append(ho.bearer("viewer"), "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"), 403, "CDCD-1057"},
		{"a script of an old browser", "/api/v1/status", append(ho.bearer("viewer"), "Origin", "http://evil.example"), 403, "CDCD-1057"},
		{"a script of nowhere", "/api/v1/status", append(ho.bearer("viewer"), "Origin", "null"), 403, "CDCD-1057"},
		{"the page in an old browser", "/api/v1/status", append(ho.bearer("viewer"), "Origin", "http://127.0.0.1:8480"), 200, `"ready":true`},
		{"the page behind a proxy that changes names", "/api/v1/status", append(ho.bearer("viewer"), "Origin", "https://cdcd.example", "Sec-Fetch-Site", "same-origin"), 200, `"ready":true`},
		{"a proxy that hands on a password", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "analyst", "Authorization", "Basic YTpi"}, 200, `"user":"ada"`},
		{"a proxy that hands on a token of its own", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "analyst", "Authorization", "Bearer eyJhbGciOi"}, 200, `"user":"ada"`},
		{"a token of ours through the proxy", "/api/v1/settings", append(ho.bearer("viewer"), "Remote", "10.0.0.9:1", "X-User", "ada", "X-Role", "operator"), 200, `"user":"the viewer"`},
		{"a password from elsewhere", "/api/v1/settings", []string{"Remote", "10.0.1.9:1", "X-User", "ada", "X-Role", "analyst", "Authorization", "Basic YTpi"}, 401, "CDCD-1051"},
		{"a name that turns the log around", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "a\u202eda\u0085\u009b", "X-Role", "viewer"}, 200, `"user":"ada"`},
		{"a name that is not seen", "/api/v1/settings", []string{"Remote", "10.0.0.9:1", "X-User", "\u202e\u200b", "X-Role", "viewer"}, 401, "CDCD-1051"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ho.now = ho.now.Add(time.Minute) // whoever was wrong before
			ho.grants[4].Expires = ho.now.Add(-time.Second)
			w := ho.ask(http.MethodGet, tt.path, "", tt.header...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if w.Code == 401 && (w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), ho.tokens["operator"])) {
				t.Errorf("headers %v, body %s", w.Header(), w.Body)
			}
		})
	}
}

func TestASessionTakesThePlaceOfAToken(t *testing.T) {
	ho := newHouse(Header{})
	open := func(token string) *httptest.ResponseRecorder {
		body, _ := json.Marshal(map[string]string{"token": token})
		return ho.ask(http.MethodPost, "/api/v1/session", string(body))
	}
	if w := open("cdcd_wrong"); w.Code != 401 || len(w.Result().Cookies()) > 0 {
		t.Errorf("a wrong token: %d %s", w.Code, w.Body)
	}
	if w := open(ho.tokens["expired"]); w.Code != 401 {
		t.Errorf("an expired one: %d %s", w.Code, w.Body)
	}
	w := open(ho.tokens["analyst"])
	cookies := w.Result().Cookies()
	if w.Code != 200 || len(cookies) != 1 || !strings.Contains(w.Body.String(), `"user":"the analyst","role":"analyst"`) {
		t.Fatalf("%d %s %v", w.Code, w.Body, cookies)
	}
	cookie := cookies[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Name != "cdcd_session_shop" || strings.Contains(cookie.Value, ho.tokens["analyst"]) {
		t.Errorf("cookie %+v", cookie)
	}
	me := func() int {
		return ho.ask(http.MethodGet, "/api/v1/settings", "", "Cookie", cookie.Name+"="+cookie.Value).Code
	}
	steps := []struct {
		name string
		do   func()
		want int
	}{
		{"at once", func() {}, 200},
		{"after an hour", func() { ho.now = ho.now.Add(time.Hour) }, 200},
		{"when the tokens cannot be read", func() { ho.err = errors.New("the disk is gone") }, 401},
		{"when they can", func() { ho.err = nil }, 200},
		{"when the token was revoked", func() { ho.grants[1].Hash = "sha256:other" }, 401},
		{"when it holds again", func() { ho.grants[1].Hash = HashToken(ho.tokens["analyst"]) }, 200},
		{"when nothing was done for long", func() { ho.now = ho.now.Add(sessionIdles + time.Second) }, 401},
	}
	for _, step := range steps {
		if step.do(); me() != step.want {
			t.Errorf("%s: want %d", step.name, step.want)
		}
	}
	// It ends with the day, however much is done.
	cookie = open(ho.tokens["analyst"]).Result().Cookies()[0]
	for range 11 {
		if ho.now = ho.now.Add(time.Hour); me() != 200 {
			t.Error("it ended too early")
		}
	}
	if ho.now = ho.now.Add(time.Hour + time.Second); me() != 401 {
		t.Error("it does not end")
	}
	// And when its owner leaves.
	cookie = open(ho.tokens["analyst"]).Result().Cookies()[0]
	if w := ho.ask(http.MethodDelete, "/api/v1/session", "", "Cookie", cookie.Name+"="+cookie.Value); w.Code != 200 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("leaving: %d %s", w.Code, w.Body)
	}
	if me() != 401 {
		t.Error("it is there after leaving")
	}
	ho.gate.mu.Lock()
	defer ho.gate.mu.Unlock()
	for kept := range ho.gate.sessions {
		if !strings.HasPrefix(kept, "sha256:") {
			t.Errorf("kept %s", kept)
		}
	}
}

func TestBodiesAreJSONOrNothing(t *testing.T) {
	ho := newHouse(Header{})
	for kind, want := range map[string]int{"application/json": 401, "application/json; charset=utf-8": 401, "text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415, "multipart/form-data; boundary=x": 415} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8480/api/v1/session", strings.NewReader(`{"token":"x"}`))
		r.Header.Set("Content-Type", kind)
		if ho.h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
	for body, want := range map[string]int{`{"token":"` + strings.Repeat("x", 5<<10) + `"}`: 413, `{"token":1}`: 422, `{}`: 422, `{"token":"x","role":"operator"}`: 422, `[`: 400} {
		if w := ho.ask(http.MethodPost, "/api/v1/session", body); w.Code != want || !strings.Contains(w.Body.String(), "CDCD-1050") {
			t.Errorf("%.40s: %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
}

func TestGuessingIsSlow(t *testing.T) {
	ho := newHouse(Header{})
	refused := 0
	for range 100 {
		if w := ho.ask(http.MethodGet, "/api/v1/status", "", "Remote", "10.9.9.9:1", "Authorization", "Bearer cdcd_guess"); w.Code == 429 {
			refused++
		}
	}
	if refused < 85 {
		t.Errorf("%d of 100 guesses were not looked at", refused)
	}
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", append(ho.bearer("viewer"), "Remote", "10.9.9.10:1")...); w.Code != 200 {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", append(ho.bearer("viewer"), "Remote", "10.9.9.9:1")...); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a right one of the same address: %d %s", w.Code, w.Body)
	}
	ho.now = ho.now.Add(time.Minute)
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", append(ho.bearer("viewer"), "Remote", "10.9.9.9:1")...); w.Code != 200 {
		t.Errorf("a minute later: %d %s", w.Code, w.Body)
	}
}

func TestPeopleBehindAProxyShareNoLimits(t *testing.T) {
	ho := newHouse(Header{User: "X-User", Role: "X-Role", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}})
	for range 100 {
		ho.ask(http.MethodGet, "/api/v1/status", "", "Remote", "10.0.0.9:1", "X-Forwarded-For", "1.1.1.1, 192.0.2.7, 10.0.0.3", "Authorization", "Bearer cdcd_guess")
		ho.ask(http.MethodGet, "/api/v1/status", "", "Remote", "10.0.0.9:1", "X-User", "eve", "X-Role", "nobody")
	}
	for _, tt := range []struct {
		name   string
		header []string
		status int
	}{
		{"who guesses", []string{"X-Forwarded-For", "2.2.2.2, 192.0.2.7"}, 429},
		{"who guesses, with another name", []string{"X-User", "eve", "X-Role", "viewer"}, 429},
		{"another", []string{"X-Forwarded-For", "192.0.2.7, 192.0.2.8", "Authorization", "Bearer " + ho.tokens["viewer"]}, 200},
		{"another with a name", []string{"X-User", "ada", "X-Role", "viewer"}, 200},
		{"the proxy itself", []string{"Authorization", "Bearer " + ho.tokens["viewer"]}, 200},
	} {
		if w := ho.ask(http.MethodGet, "/api/v1/status", "", append(tt.header, "Remote", "10.0.0.9:1")...); w.Code != tt.status {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
	}
}

func TestNobodyKeepsOthersOut(t *testing.T) {
	g := NewGate(GateConfig{Open: true})
	request := func(remote string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		return r
	}
	for range mostRunning { // requests that are never done
		g.enter(request("10.0.0.1:1"))
	}
	if g.running != mostOfOne {
		t.Errorf("%d of one address are answered at a time", g.running)
	}
	for i := range mostBuckets + 10 { // one with many addresses
		leave, ok := g.enter(request(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)}), 1).String()))
		if !ok {
			t.Fatalf("address %d is kept out", i)
		}
		leave()
	}
	if _, ok := g.enter(request("10.0.0.1:1")); ok {
		t.Error("what runs was forgotten")
	}
	for g.running < mostRunning {
		g.enter(request(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, byte(g.running)}), 1).String()))
	}
	w := httptest.NewRecorder()
	g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != 200 {
		t.Errorf("whether it lives is not said while much is asked: %d", w.Code)
	}
}

func TestAnOpenConsoleAnswersNoProxy(t *testing.T) {
	h := NewGate(GateConfig{Open: true}).Wrap(newFixed(&fixed{}))
	for name, want := range map[string]int{"X-Forwarded-For": 403, "Forwarded": 403, "X-Other": 200} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8480/api/v1/settings", nil)
		r.Header.Set(name, "for=192.0.2.1")
		if h.ServeHTTP(w, r); w.Code != want || want == 403 && !strings.Contains(w.Body.String(), "CDCD-1053") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestWhatIsAnsweredIsKeptNowhereAndShownInNoFrame(t *testing.T) {
	ho := newHouse(Header{})
	for _, path := range []string{"/old", "/api/v1/status", "/api/v1/nothing", "/", "/openapi.json"} {
		h := ho.ask(http.MethodGet, path, "", ho.bearer("operator")...).Header()
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "base-uri 'none'") {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestALookAtASessionIsNoUseOfIt(t *testing.T) {
	ho := newHouse(Header{})
	body, _ := json.Marshal(map[string]string{"token": ho.tokens["viewer"]})
	open := func(header ...string) *http.Cookie {
		return ho.ask(http.MethodPost, "/api/v1/session", string(body), header...).Result().Cookies()[0]
	}
	cookie := open()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/stream", nil)
	r.AddCookie(cookie)
	for range 3 {
		ho.now = ho.now.Add(sessionIdles/2 - time.Second)
		if who, err := ho.gate.who(r, false); ho.now.Before(time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)) != (who.Role == api.Viewer) {
			t.Errorf("%v: %v, %v", ho.now, who, err)
		}
	}
	// Who signs in once more has one session, and encrypted one that pages of other hosts cannot plant.
	first := open()
	second := open("Cookie", first.String())
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", "Cookie", first.Name+"="+first.Value); w.Code != 401 {
		t.Errorf("the first session: %d", w.Code)
	}
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", "Cookie", second.Name+"="+second.Value); w.Code != 200 {
		t.Errorf("the second: %d", w.Code)
	}
	third := open("X-Forwarded-Proto", "https")
	if third.Name != "__Host-cdcd_session_shop" || !third.Secure || third.Path != "/" || third.Domain != "" {
		t.Errorf("got %+v", third)
	}
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", "X-Forwarded-Proto", "https", "Cookie", third.Name+"="+third.Value); w.Code != 200 {
		t.Errorf("encrypted: %d", w.Code)
	}
	if w := ho.ask(http.MethodGet, "/api/v1/status", "", "X-Forwarded-Proto", "https", "Cookie", second.Name+"="+second.Value); w.Code != 401 {
		t.Errorf("one that could have been planted: %d", w.Code)
	}
}

func TestWhatIsRememberedOfStrangersIsBounded(t *testing.T) {
	g := NewGate(GateConfig{Open: true})
	for i := range mostBuckets + 100 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1).String()
		if leave, ok := g.enter(r); ok {
			leave()
		}
	}
	if len(g.buckets) > mostBuckets || g.running != 0 {
		t.Errorf("%d buckets, %d running", len(g.buckets), g.running)
	}
	for range mostSessions + 50 {
		g.open("sha256:x")
	}
	if len(g.sessions) > mostSessions {
		t.Errorf("%d sessions", len(g.sessions))
	}
}
