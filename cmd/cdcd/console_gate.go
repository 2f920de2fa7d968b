package main

import (
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console"
	"github.com/cdcd-project/cdcd/console/api"
)

// newGate makes the gate before everything at console.listen.
func (p *pipeline) newGate(mux *http.ServeMux) *console.Gate {
	c := p.cfg.Console
	g := console.GateConfig{Source: p.cfg.Name, Open: !c.asks(), Public: public(mux), Needs: needs, Logger: p.log}
	if c.TokensFile != "" {
		g.Tokens = (&heldTokens{file: c.TokensFile}).grantsNow
	}
	if h := c.Header; h != nil {
		g.Header = console.Header{User: h.User, Role: h.Role}
		for _, text := range h.From {
			if from, err := prefixOf(text); err == nil { // it has been checked
				g.Header.From = append(g.Header.From, netip.PrefixFrom(from.Addr().Unmap(), from.Bits()))
			}
		}
	}
	return console.NewGate(g)
}

// public reports whether everybody may ask: for the page, which is no secret, whether the process lives, and to sign in. An address that
// is added to the mux is not public.
func public(mux *http.ServeMux) func(r *http.Request) bool {
	return func(r *http.Request) bool {
		switch _, pattern := mux.Handler(r); pattern {
		case "GET /healthz", "GET /readyz":
			return true
		case "/": // the console
			return !strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/api/v1/session"
		}
		return false
	}
}

// needs says which role a request needs. What the API has says it itself; these are the verbs' own addresses.
func needs(r *http.Request) api.Role {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch first {
	case "debug", "replay", "trigger", "person":
		return api.Operator
	case "snapshot":
		if r.Method != http.MethodGet {
			return api.Operator
		}
	case "backtest":
		return api.Analyst
	}
	return api.Viewer // rules, plugins and dlq look at what is asked of them
}

// may reports whether who asks has a role, and says so if not.
func may(w http.ResponseWriter, r *http.Request, role api.Role) bool {
	who := console.CallerOf(r.Context())
	if who.Role >= role {
		return true
	}
	http.Error(w, "this needs role "+role.String()+"; yours is "+who.Role.String(), http.StatusForbidden)
	return false
}

// by returns who does something: who has shown who he is, else who he says to be.
func by(r *http.Request, said string) string {
	if who := console.CallerOf(r.Context()); who.User != "" {
		return who.User
	}
	return said
}

// token returns what the command line shows to a running cdcd, "" for nothing.
func (c *config) token() (string, error) {
	if text := getenv(c.env, "CDCD_TOKEN"); text != "" {
		return text, nil
	}
	if c.Console.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.Console.TokenFile)
	if err != nil {
		return "", cdc.Errorf("CDCD-1017", "console.token_file: %w", err).WithFix("put the token that cdcd console token printed into %s", c.Console.TokenFile)
	}
	return strings.TrimSpace(string(text)), nil
}
