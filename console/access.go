package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

const (
	codeWho   = "CDCD-1051" // who asks has not shown who he is
	codeCross = "CDCD-1057" // another site's page asks
	codeOpen  = "CDCD-1053" // others could ask, and nobody asks who they are
)

// Grant is who may do what with a token, of which only the hash is kept.
type Grant struct {
	Name    string
	Role    api.Role
	Hash    string // [HashToken]
	Expires time.Time
}

// tokenMark begins every token, so that one that has leaked can be found.
const tokenMark = "cdcd_"

// NewToken draws a token, and returns it with its hash. Nobody can guess it, so that a plain hash keeps it.
func NewToken() (token, hash string) {
	var b [32]byte
	rand.Read(b[:])
	token = tokenMark + base64.RawURLEncoding.EncodeToString(b[:])
	return token, HashToken(token)
}

// HashToken returns what is kept of a token.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Gate lets requests in: it finds out who asks, and bounds how much. What is behind it asks [CallerOf].
type Gate struct {
	cfg GateConfig

	mu       sync.Mutex // guards what follows
	sessions map[string]session
	buckets  map[string]*bucket
	running  int
}

// GateConfig says who is let in.
type GateConfig struct {
	Source string // names the cookie: several cdcd may run on a machine, and cookies do not tell ports apart
	// Open lets everybody in, as somebody who may do everything.
	Open bool
	// Tokens returns the tokens that hold now; nil: there are none.
	Tokens func() ([]Grant, error)
	Header Header
	// Public are paths that everybody may ask for.
	Public func(r *http.Request) bool
	// Needs says which role a request needs before anybody looks into it; default: viewer.
	Needs  func(r *http.Request) api.Role
	Logger *slog.Logger     // default: none
	Now    func() time.Time // default: time.Now
}

// Header is who a proxy in front says that asks. It is believed from these addresses only.
type Header struct {
	User, Role string
	From       []netip.Prefix
}

type session struct {
	hash    string // of the token that it was opened with: it holds for as long
	opened  time.Time
	lastUse time.Time
}

const (
	sessionLasts = 12 * time.Hour
	sessionIdles = 2 * time.Hour
	mostSessions = 1000

	perSecond   = 200 // requests of one address
	burst       = 600
	failCosts   = 60 // as many as so many requests does a wrong token cost
	mostBuckets = 10_000
	lookedAt    = 16  // of them, when one has to go
	mostRunning = 256 // requests that are answered at a time
	mostOfOne   = 64  // of them for one address
)

type bucket struct {
	left    float64
	at      time.Time
	running int
}

// NewGate makes a gate.
func NewGate(cfg GateConfig) *Gate {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Public == nil {
		cfg.Public = func(*http.Request) bool { return false }
	}
	if cfg.Needs == nil {
		cfg.Needs = func(*http.Request) api.Role { return api.Viewer }
	}
	return &Gate{cfg: cfg, sessions: map[string]session{}, buckets: map[string]*bucket{}}
}

// Wrap puts the gate before a handler.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := g.cfg.Public(r)
		who, err := g.who(r, true)
		if err != nil && !public {
			turnAway(w, err)
			return
		}
		switch need := g.cfg.Needs(r); {
		case public || who.Role >= need:
			still := func() bool {
				now, err := g.who(r, false)
				return err == nil && now.Role >= need
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, admitted{who, still})))
		case who.Via == "":
			turnAway(w, cdc.Errorf(codeWho, "this cdcd asks who you are").
				WithFix("sign in with a token; cdcd console token NAME makes one, and verbs take it from CDCD_TOKEN"))
		default:
			refuse(w, http.StatusForbidden, "", cdc.Errorf(codeRole, "this needs role %s; %s has role %s", need, who, who.Role).
				WithFix("sign in with a token of that role"))
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header() // what is answered has data of people, and is no page; the page says what it may do itself
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if g.foreign(r) {
			refuse(w, http.StatusForbidden, "", cdc.Errorf(codeCross, "the page of another site asks for %s", r.URL.Path))
			return
		}
		if g.cfg.Open && (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "") {
			refuse(w, http.StatusForbidden, "", cdc.Errorf(codeOpen, "a proxy stands in front, and nobody asks who comes through it").
				WithFix("set console.tokens_file, or console.header where the proxy asks"))
			return
		}
		if r.ContentLength != 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
				refuse(w, http.StatusUnsupportedMediaType, "", cdc.Errorf(codeRequest, "the body is not application/json").
					WithFix("send Content-Type: application/json"))
				return
			}
		}
		if r.URL.Path == "/healthz" { // who asks this restarts what does not answer, and strangers must not bring that about
			guarded.ServeHTTP(w, r)
			return
		}
		leave, ok := g.enter(r)
		if !ok {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "", cdc.Errorf(codeBusy, "too much is asked at the same time").WithFix("ask again in a second"))
			return
		}
		defer leave()
		guarded.ServeHTTP(w, r)
	})
}

// foreign reports whether another site's page asks, or one of another port of this machine. It may link to the page, and nothing else: a frame
// or a link to what costs something would cost it without anybody's will.
func (g *Gate) foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "": // no browser; or one that does not say it, as to addresses without encryption that are not this machine's
		origin := r.Header.Get("Origin")
		from, err := url.Parse(origin)
		return origin != "" && (err != nil || from.Host != r.Host)
	}
	kind := r.Header.Get("Sec-Fetch-Dest")
	return r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Sec-Fetch-Mode") != "navigate" || kind != "" && kind != "document" || !g.cfg.Public(r)
}

// turnAway refuses somebody of whom it is not known who he is.
func turnAway(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="cdcd"`)
	w.Header().Set("Cache-Control", "no-store")
	refuse(w, http.StatusUnauthorized, "", err)
}

// who finds out who asks. The error is about something that was shown, and does not hold. A session that is only looked at grows old.
func (g *Gate) who(r *http.Request, uses bool) (Caller, error) {
	if g.cfg.Open {
		return Caller{Role: api.Operator, Via: "open"}, nil
	}
	text := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(text, " ")
	token = strings.TrimSpace(token)
	if bearer := strings.EqualFold(scheme, "Bearer"); !bearer || !strings.HasPrefix(token, tokenMark) {
		// What a proxy has asked people for it may hand on.
		if who, ok, err := g.vouched(r); ok || err != nil {
			return who, err
		}
		if text != "" && !bearer {
			return Caller{}, g.wrong(r, "Authorization is not a bearer token")
		}
	}
	if text != "" {
		grant, err := g.grant(HashToken(token))
		if err != nil {
			return Caller{}, err
		}
		if grant == nil {
			return Caller{}, g.wrong(r, "the token is none of this cdcd's, or does not hold any more")
		}
		return Caller{User: grant.Name, Role: grant.Role, Via: "token"}, nil
	}
	cookie, err := r.Cookie(g.cookie(r))
	if err != nil {
		return Caller{}, nil
	}
	grant, err := g.resume(cookie.Value, uses)
	if err != nil || grant == nil {
		return Caller{}, err
	}
	return Caller{User: grant.Name, Role: grant.Role, Via: "session"}, nil
}

// vouched is who a proxy says that asks.
func (g *Gate) vouched(r *http.Request) (Caller, bool, error) {
	h := g.cfg.Header
	if h.User == "" || !g.trusted(r) {
		return Caller{}, false, nil
	}
	users, roles := r.Header.Values(h.User), r.Header.Values(h.Role)
	switch {
	case len(users) == 0 || len(users) == 1 && users[0] == "":
		return Caller{}, false, nil
	case len(users) > 1 || len(roles) != 1 || len(users[0]) > mostName:
		return Caller{}, false, g.wrong(r, "the proxy says more than one thing of who asks")
	}
	role, ok := api.ParseRole(strings.ToLower(strings.TrimSpace(roles[0])))
	if !ok {
		return Caller{}, false, g.wrong(r, "the proxy names no role that there is")
	}
	name := printable(users[0])
	if name == "" { // nobody could be told apart from him
		return Caller{}, false, g.wrong(r, "the proxy names somebody whose name cannot be written")
	}
	return Caller{User: name, Role: role, Via: "header"}, true, nil
}

// trusted reports whether the connection is from a proxy that is believed.
func (g *Gate) trusted(r *http.Request) bool {
	from, ok := address(r)
	return ok && g.isProxy(from)
}

func (g *Gate) isProxy(at netip.Addr) bool {
	return slices.ContainsFunc(g.cfg.Header.From, func(p netip.Prefix) bool { return p.Contains(at) })
}

// address is where a connection comes from.
func address(r *http.Request) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap().WithZone(""), err == nil
}

// neighbours names those who share limits: an address. Who has one of IPv6 has many. Behind a proxy that is believed it is who it says that
// asks, or from where: all its people have one address.
func (g *Gate) neighbours(r *http.Request) string {
	from, ok := address(r)
	if ok && g.isProxy(from) {
		if users := r.Header.Values(g.cfg.Header.User); len(users) == 1 && users[0] != "" && len(users[0]) <= mostName {
			return "user " + users[0]
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops[max(0, len(hops)-10):]) {
			at, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				break
			}
			if from = at.Unmap().WithZone(""); !g.isProxy(from) {
				break
			}
		}
	}
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return from.String()
}

// mostName is how long a name may be that a proxy says.
const mostName = 200

// printable takes out what could forge a line of a log, or hide what it says.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
}

// wrong makes guessing slow.
func (g *Gate) wrong(r *http.Request, what string) error {
	g.mu.Lock()
	if b := g.buckets[g.neighbours(r)]; b != nil {
		b.left = max(b.left-failCosts, -burst) // less, and a minute would not do
	}
	g.mu.Unlock()
	g.cfg.Logger.Warn("somebody was turned away", "event", "console.denied", "address", r.RemoteAddr, "why", what)
	return cdc.Errorf(codeWho, "%s", what).WithFix("cdcd console token NAME makes a token")
}

// grant returns what a token's hash stands for, nil if for nothing. Hashes are no secrets that comparing could leak.
func (g *Gate) grant(hash string) (*Grant, error) {
	if g.cfg.Tokens == nil {
		return nil, nil
	}
	all, err := g.cfg.Tokens()
	if err != nil { // strangers are not told where it is
		g.cfg.Logger.Error("nobody gets in with a token", "event", "console.tokens", "err", err)
		return nil, cdc.Errorf(codeWho, "tokens cannot be looked up at the moment").WithFix("who runs this cdcd finds the reason in its log")
	}
	for i := range all {
		if all[i].Hash == hash && (all[i].Expires.IsZero() || g.cfg.Now().Before(all[i].Expires)) {
			return &all[i], nil
		}
	}
	return nil, nil
}

// cookie names the cookie. One that only goes encrypted has the mark by which browsers take it from this host's pages alone.
func (g *Gate) cookie(r *http.Request) string {
	name := "cdcd_session_" + g.cfg.Source
	if encrypted(r) {
		return "__Host-" + name
	}
	return name
}

// encrypted reports whether the page came encrypted. Whoever lies about it lies to himself.
func encrypted(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// open opens a session for a token, and returns what is to be kept of it in the browser.
func (g *Gate) open(hash string) string {
	id, kept := NewToken()
	now := g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, s := range g.sessions {
		if s.over(now) {
			delete(g.sessions, name)
		}
	}
	for len(g.sessions) >= mostSessions {
		oldest := ""
		for name, s := range g.sessions {
			if oldest == "" || s.lastUse.Before(g.sessions[oldest].lastUse) {
				oldest = name
			}
		}
		delete(g.sessions, oldest)
	}
	g.sessions[kept] = session{hash, now, now}
	return id
}

func (s session) over(now time.Time) bool {
	return now.Sub(s.opened) > sessionLasts || now.Sub(s.lastUse) > sessionIdles
}

// resume returns what a session's token stands for now; nil when the session is over, or the token holds no more.
func (g *Gate) resume(id string, uses bool) (*Grant, error) {
	kept, now := HashToken(id), g.cfg.Now()
	g.mu.Lock()
	s, ok := g.sessions[kept]
	if ok && s.over(now) {
		delete(g.sessions, kept)
		ok = false
	}
	if ok && uses {
		s.lastUse = now
		g.sessions[kept] = s
	}
	g.mu.Unlock()
	if !ok {
		return nil, nil
	}
	return g.grant(s.hash)
}

func (g *Gate) close(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sessions, HashToken(id))
}

// enter bounds how much is asked, of each address and in all. Who was let in leaves.
func (g *Gate) enter(r *http.Request) (leave func(), ok bool) {
	from, now := g.neighbours(r), g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running >= mostRunning {
		return nil, false
	}
	b := g.buckets[from]
	if b == nil {
		if len(g.buckets) >= mostBuckets {
			g.forget()
		}
		b = &bucket{left: burst, at: now}
		g.buckets[from] = b
	}
	b.left = min(burst, b.left+perSecond*max(0, now.Sub(b.at).Seconds()))
	if b.at = now; b.left < 1 || b.running >= mostOfOne {
		return nil, false
	}
	b.left--
	b.running++
	g.running++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		b.running--
		g.running--
	}, true
}

// forget lets go of one of those who have asked, of a few the one who may ask the most. To refuse those who come new instead would let one
// with many addresses keep everybody out.
func (g *Gate) forget() {
	goes, looked := "", 0
	for key, b := range g.buckets {
		if b.running == 0 && (goes == "" || b.left > g.buckets[goes].left) {
			goes = key
		}
		if looked++; looked == lookedAt && goes != "" {
			break
		}
	}
	delete(g.buckets, goes)
}

// charge makes a request cost as much as so many.
func (g *Gate) charge(r *http.Request, n float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := g.buckets[g.neighbours(r)]; b != nil {
		b.left -= n
	}
}
