package console

import (
	"context"
	"net/http"

	"github.com/cdcd-project/cdcd/console/api"
)

// Settings is asked what the running cdcd was told. Secrets are not in the answer.
type Settings interface {
	Settings(ctx context.Context) (api.Settings, error)
}

func (c *Console) settings() {
	add(c, operation{kind: "settings", method: http.MethodGet, path: "/settings", role: api.Viewer,
		summary: "What the running cdcd was told, and who asks"},
		func(ctx context.Context, _ *nothing) (api.Settings, error) {
			s, err := c.cfg.Backend.Settings.Settings(ctx)
			if err != nil {
				return s, err
			}
			s.Access = c.access(ctx)
			return s, nil
		})
}

// access says who asks, and how one can show who one is.
func (c *Console) access(ctx context.Context) api.Access {
	who := CallerOf(ctx)
	a := api.Access{Open: who.Via == "open", Me: api.Me{User: who.User, Role: who.Role, Via: who.Via}, How: []string{}}
	if g := c.cfg.Gate; g != nil && g.cfg.Tokens != nil {
		a.How = append(a.How, "token", "session")
	}
	if g := c.cfg.Gate; g != nil && g.cfg.Header.User != "" {
		a.How = append(a.How, "header")
	}
	return a
}

// session lets a browser show who asks without keeping the token where scripts can read it.
func (c *Console) session() {
	type token struct {
		Body struct {
			Token string `json:"token" maxLength:"200" doc:"As cdcd console token printed it."`
		}
	}
	add(c, operation{kind: "session.open", method: http.MethodPost, path: "/session", summary: "Sign in: a cookie takes the place of a token", most: 4 << 10},
		func(ctx context.Context, in *token) (api.Me, error) {
			g, r, w := c.cfg.Gate, requestOf(ctx), writerOf(ctx)
			if g == nil || g.cfg.Open {
				return c.access(ctx).Me, nil
			}
			hash := HashToken(in.Body.Token)
			grant, err := g.grant(hash)
			if err != nil {
				return api.Me{}, err
			}
			if grant == nil {
				return api.Me{}, g.wrong(r, "the token is none of this cdcd's, or does not hold any more")
			}
			if before, err := r.Cookie(g.cookie(r)); err == nil {
				g.close(before.Value)
			}
			http.SetCookie(w, g.cookieOf(r, g.open(hash), int(sessionLasts.Seconds())))
			c.cfg.Logger.Info("somebody signed in", "event", "console.session", "who", grant.Name, "role", grant.Role.String(), "address", r.RemoteAddr)
			return api.Me{User: grant.Name, Role: grant.Role, Via: "session"}, nil
		})
	add(c, operation{kind: "session.close", method: http.MethodDelete, path: "/session", summary: "Sign out"},
		func(ctx context.Context, _ *nothing) (api.Access, error) {
			if g, r := c.cfg.Gate, requestOf(ctx); g != nil {
				if cookie, err := r.Cookie(g.cookie(r)); err == nil {
					g.close(cookie.Value)
				}
				http.SetCookie(writerOf(ctx), g.cookieOf(r, "", -1))
			}
			return api.Access{How: []string{}}, nil
		})
}

// cookieOf makes the cookie of a session. Where the page came encrypted, the cookie only goes so.
func (g *Gate) cookieOf(r *http.Request, value string, lasts int) *http.Cookie {
	return &http.Cookie{Name: g.cookie(r), Value: value, Path: "/", MaxAge: lasts, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: encrypted(r)}
}
