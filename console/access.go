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
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

const (
	codeWho   = "CDCD-1051" // who asks has not shown who he is
	codeCross = "CDCD-1057" // another site's page asks
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
	buckets  map[netip.Addr]*bucket
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
	mostRunning = 256 // requests that are answered at a time
)

type bucket struct {
	left float64
	at   time.Time
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
	return &Gate{cfg: cfg, sessions: map[string]session{}, buckets: map[netip.Addr]*bucket{}}
}

// Wrap puts the gate before a handler.
func (g *Gate) Wrap(next http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := g.cfg.Public(r)
		who, err := g.who(r)
		if err != nil && !public {
			turnAway(w, err)
			return
		}
		switch need := g.cfg.Needs(r); {
		case public || who.Role >= need:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
		case who.Via == "":
			turnAway(w, cdc.Errorf(codeWho, "this cdcd asks who you are").
				WithFix("sign in with a token; cdcd console token NAME makes one, and verbs take it from CDCD_TOKEN"))
		default:
			refuse(w, http.StatusForbidden, "", cdc.Errorf(codeRole, "this needs role %s; %s has role %s", need, who, who.Role).
				WithFix("sign in with a token of that role"))
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			refuse(w, http.StatusForbidden, "", cdc.Errorf(codeCross, "the page of another site asks for %s", r.URL.Path))
			return
		}
		if r.ContentLength != 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
				refuse(w, http.StatusUnsupportedMediaType, "", cdc.Errorf(codeRequest, "the body is not application/json").
					WithFix("send Content-Type: application/json"))
				return
			}
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

// turnAway refuses somebody of whom it is not known who he is.
func turnAway(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="cdcd"`)
	w.Header().Set("Cache-Control", "no-store")
	refuse(w, http.StatusUnauthorized, "", err)
}

// who finds out who asks. The error is about something that was shown, and does not hold.
func (g *Gate) who(r *http.Request) (Caller, error) {
	if g.cfg.Open {
		return Caller{Role: api.Operator, Via: "open"}, nil
	}
	if text := r.Header.Get("Authorization"); text != "" {
		scheme, token, _ := strings.Cut(text, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Caller{}, g.wrong(r, "Authorization is not a bearer token")
		}
		grant, err := g.grant(HashToken(strings.TrimSpace(token)))
		if err != nil {
			return Caller{}, err
		}
		if grant == nil {
			return Caller{}, g.wrong(r, "the token is none of this cdcd's, or does not hold any more")
		}
		return Caller{User: grant.Name, Role: grant.Role, Via: "token"}, nil
	}
	if who, ok, err := g.vouched(r); ok || err != nil {
		return who, err
	}
	cookie, err := r.Cookie(g.cookie())
	if err != nil {
		return Caller{}, nil
	}
	grant, err := g.resume(cookie.Value)
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
	case len(users) > 1 || len(roles) != 1 || len(users[0]) > 200:
		return Caller{}, false, g.wrong(r, "the proxy says more than one thing of who asks")
	}
	role, ok := api.ParseRole(strings.ToLower(strings.TrimSpace(roles[0])))
	if !ok {
		return Caller{}, false, g.wrong(r, "the proxy names no role that there is")
	}
	return Caller{User: printable(users[0]), Role: role, Via: "header"}, true, nil
}

// trusted reports whether the connection is from a proxy that is believed.
func (g *Gate) trusted(r *http.Request) bool {
	from, ok := address(r)
	if !ok {
		return false
	}
	for _, p := range g.cfg.Header.From {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// address is where a connection comes from.
func address(r *http.Request) (netip.Addr, bool) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap().WithZone(""), err == nil
}

// neighbours is the address that limits are for. Who has one of IPv6 has many.
func neighbours(r *http.Request) netip.Addr {
	from, _ := address(r)
	if from.Is6() {
		if p, err := from.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return from
}

// printable takes out what could forge a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// wrong makes guessing slow.
func (g *Gate) wrong(r *http.Request, what string) error {
	g.mu.Lock()
	if b := g.buckets[neighbours(r)]; b != nil {
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

func (g *Gate) cookie() string { return "cdcd_session_" + g.cfg.Source }

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
func (g *Gate) resume(id string) (*Grant, error) {
	kept, now := HashToken(id), g.cfg.Now()
	g.mu.Lock()
	s, ok := g.sessions[kept]
	if ok && s.over(now) {
		delete(g.sessions, kept)
		ok = false
	}
	if ok {
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
	from, now := neighbours(r), g.cfg.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running >= mostRunning {
		return nil, false
	}
	b := g.buckets[from]
	if b == nil {
		if len(g.buckets) >= mostBuckets {
			for key, old := range g.buckets {
				if now.Sub(old.at) > 10*time.Second {
					delete(g.buckets, key)
				}
			}
			if len(g.buckets) >= mostBuckets {
				return nil, false
			}
		}
		b = &bucket{left: burst, at: now}
		g.buckets[from] = b
	}
	b.left = min(burst, b.left+perSecond*max(0, now.Sub(b.at).Seconds()))
	if b.at = now; b.left < 1 {
		return nil, false
	}
	b.left--
	g.running++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
	}, true
}
