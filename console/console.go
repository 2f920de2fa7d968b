package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// Config is what a console is made of.
type Config struct {
	Source  string       // name of the source that it shows
	Version string       // of the program
	Backend Backend      // who answers
	Gate    *Gate        // that it is behind; nil: none
	Logger  *slog.Logger // default: none
}

// Backend is who answers, noun by noun. What is nil is in the document, and must not be asked.
type Backend struct {
	Health   Health
	Tables   Tables
	Events   Events
	Live     Live
	Settings Settings

	Rules     Rules
	Trials    Trials
	Drafts    Drafts
	Backtests Backtests

	Deliveries  Deliveries
	DeadLetters DeadLetters
	Audit       Audit
	Plugins     Plugins
}

// Console is the handler of all of it.
type Console struct {
	cfg      Config
	api      huma.API
	mux      *http.ServeMux
	streams  streams
	reading  chan struct{} // held by who reads a filter
	document func() []byte
}

// prefix is where the API is. Its number changes when something is taken away.
const prefix = "/api/v1"

// New makes a console. It starts nothing.
func New(cfg Config) *Console {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ownErrors()
	c := &Console{cfg: cfg, mux: http.NewServeMux(), reading: make(chan struct{}, 1), streams: streams{of: map[string]int{}, jobs: map[string]api.Job{}, wake: map[chan struct{}]bool{}}}
	c.api = humago.New(c.mux, document())
	c.health()
	c.settings()
	c.session()
	c.tables()
	c.events()
	c.deliveries()
	c.deadLetters()
	c.audit()
	c.plugins()
	c.live()
	c.rules()
	c.document = sync.OnceValue(func() []byte {
		text, err := json.MarshalIndent(c.api.OpenAPI(), "", "  ")
		if err != nil {
			panic(err) // it is made of types, and a test makes it
		}
		return append(text, '\n')
	})
	c.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.document()) // the client has gone away
	})
	c.mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "", cdc.Errorf(codeNothing, "the API has no %s %s", r.Method, r.URL.Path).
			WithFix("/openapi.json says what it has"))
	})
	c.mux.Handle("/", openSite())
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		h.Set("Cache-Control", "no-store")
	}
	c.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, exchange{w, r})))
}

// OpenAPI returns the document of the API: it says the same whoever answers.
func OpenAPI() []byte { return New(Config{}).document() }

func document() huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "cdcd", Version: "1", Description: "What a running cdcd answers. Every answer is an object with kind, ok, " +
				"result and error, as the command line prints it with -o json. Changes are text: the JSON of a line of cdcd tail, whose numbers " +
				"have all their digits, which JSON.parse would lose."},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName)},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// schemaName names a type in the document. Those of package rules would be taken for others of the same name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if strings.HasSuffix(t.PkgPath(), "/rules") && t.Name() != "" {
		return "Rule" + name
	}
	return name
}

// operation is one thing that can be asked. Kind names it, and its answer.
type operation struct {
	kind    string // rules.check
	method  string
	path    string // below the API's prefix
	summary string
	text    string
	role    api.Role // who may, and everybody above
	most    int64    // bytes of the body; default 1 MiB
}

// add makes an operation part of the API. What do returns is the answer's result; an error becomes one with a status by its code. A
// result that judges has the method OK, which says whether the verdict is good.
func add[I, O any](c *Console, op operation, do func(ctx context.Context, in *I) (O, error)) {
	type reply struct{ Body api.Answer[O] }
	noun, _, _ := strings.Cut(op.kind, ".")
	huma.Register(c.api, huma.Operation{
		OperationID: op.kind, Method: op.method, Path: prefix + op.path, Summary: op.summary, Description: op.text, Tags: []string{noun},
		MaxBodyBytes: op.most, Errors: []int{http.StatusBadRequest},
		Extensions: map[string]any{"x-role": op.role.String()},
	}, func(ctx context.Context, in *I) (*reply, error) {
		if who := CallerOf(ctx); who.Role < op.role {
			return nil, failed(op.kind, cdc.Errorf(codeRole, "%s is for role %s and above; %s has role %s", op.kind, op.role, who, who.Role).
				WithFix("sign in with a token of that role"))
		}
		out, err := do(ctx, in)
		if err != nil {
			if ctx.Err() == nil && statusOf(err) == http.StatusInternalServerError {
				c.cfg.Logger.Warn("request failed", "event", "console.failed", "kind", op.kind, "err", err)
			}
			return nil, failed(op.kind, err)
		}
		answer := &reply{Body: api.Answer[O]{Kind: op.kind, OK: true, Result: out}}
		if verdict, judges := any(out).(interface{ OK() bool }); judges {
			answer.Body.OK = verdict.OK()
		}
		return answer, nil
	})
}

// nothing is the input of operations that take none.
type nothing struct{}

// Caller is who asks.
type Caller struct {
	User string
	Role api.Role
	Via  string // open: nobody is asked who he is; token, session or header
}

// String returns the name, for messages.
func (c Caller) String() string {
	if c.User == "" {
		return "whoever asks"
	}
	return fmt.Sprintf("'%s'", c.User)
}

// exchange is what few operations look at beside their input.
type exchange struct {
	w http.ResponseWriter
	r *http.Request
}

type exchangeKey struct{}

func requestOf(ctx context.Context) *http.Request      { return ctx.Value(exchangeKey{}).(exchange).r }
func writerOf(ctx context.Context) http.ResponseWriter { return ctx.Value(exchangeKey{}).(exchange).w }

// addressOf returns whose request it is, without the port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

type callerKey struct{}

// admitted is who a gate has let in, and whether it would again.
type admitted struct {
	Caller
	still func() bool
}

// CallerOf returns who asks; where nobody is asked who he is, somebody who may do everything.
func CallerOf(ctx context.Context) Caller {
	if a, ok := ctx.Value(callerKey{}).(admitted); ok {
		return a.Caller
	}
	return Caller{Role: api.Operator, Via: "open"}
}

// StillIn reports whether who asks would be let in once more: of an answer that has no end, a token may have been revoked meanwhile.
func StillIn(ctx context.Context) bool {
	a, ok := ctx.Value(callerKey{}).(admitted)
	return !ok || a.still()
}
