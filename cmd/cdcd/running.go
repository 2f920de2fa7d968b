package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
)

// codeNotRunning: nobody answers at console.listen.
const codeNotRunning = "CDCD-1033"

// askRunning asks the cdcd that runs with cfg. The caller closes the body.
func askRunning(ctx context.Context, cfg *config, path string, limit time.Duration) (io.ReadCloser, error) {
	resp, err := callRunning(ctx, cfg, http.MethodGet, path, nil, limit)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // it explains the status, if it can
		resp.Body.Close()
		return nil, fmt.Errorf("%s%s: %s: %s", cfg.Console.Listen, path, resp.Status, text)
	}
	return resp.Body, nil
}

// callRunning sends a request to the cdcd that runs with cfg; a body is JSON. The caller closes the answer's.
func callRunning(ctx context.Context, cfg *config, method, path string, body io.Reader, limit time.Duration) (*http.Response, error) {
	listen := cfg.Console.Listen
	if listen == "" || listen == "off" {
		return nil, cdc.Errorf(codeNotRunning, "the configuration has no console.listen to ask at").
			WithFix("set console: {listen: 127.0.0.1:8480} and restart cdcd run")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+listen+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(sourceHeader, cfg.Name)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := cfg.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := (&http.Client{Timeout: limit}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, cdc.Errorf(codeNotRunning, "no cdcd answers at %s: %w", listen, err).
			WithFix("start it with `cdcd run`, or name its configuration with -c")
	}
	if resp.StatusCode == http.StatusMisdirectedRequest {
		defer resp.Body.Close()
		other, _ := io.ReadAll(io.LimitReader(resp.Body, 256)) // the code says enough
		return nil, cdc.Errorf(codeNotRunning, "the cdcd at %s is that of source %s, not of %s", listen, bytes.TrimSpace(other), cfg.Name).
			WithFix("start this one with `cdcd run` and another console.listen, or name the other's configuration with -c")
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		defer resp.Body.Close()
		return nil, notLetIn(resp)
	}
	return resp, nil
}

// notLetIn says why a running cdcd does not answer.
func notLetIn(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status says enough
	var no api.Refusal
	if json.Unmarshal(text, &no) == nil && no.Error.Code != "" {
		e := cdc.Errorf(no.Error.Code, "%s", no.Error.Message)
		if resp.StatusCode == http.StatusUnauthorized {
			return e.WithFix("export CDCD_TOKEN=…, or name a file with it: console.token_file; who runs it makes one with cdcd console token NAME")
		}
		return e.WithFix("%s", no.Error.Fix)
	}
	return cdc.Errorf("CDCD-1052", "%s", bytes.TrimSpace(text)).WithFix("use a token of that role")
}

// sourceHeader says which source a request is meant for: several cdcd may run on a machine, and by default all of their
// configurations have the same console.listen.
const sourceHeader = "Cdcd-Source"

// ofSource refuses what is meant for the cdcd of another source.
func ofSource(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if meant := r.Header.Get(sourceHeader); meant != "" && meant != name {
			http.Error(w, name, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// tellRunning has the cdcd that runs with cfg do something.
func tellRunning(ctx context.Context, cfg *config, path string, wish, answer any) error {
	text, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	resp, err := callRunning(ctx, cfg, http.MethodPost, path, bytes.NewReader(text), 2*snapshotPatience)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var no refusal
	switch {
	case resp.StatusCode == http.StatusOK:
		return json.Unmarshal(body, answer)
	case json.Unmarshal(body, &no) == nil && no.Code != "":
		return &cdc.Error{Code: no.Code, What: no.What, Fix: no.Fix}
	}
	return fmt.Errorf("%s%s: %s: %s", cfg.Console.Listen, path, resp.Status, strings.TrimSpace(string(body)))
}

// refusal is the body of an answer that is an error with a code.
type refusal struct {
	Code string `json:"code"`
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
}

// refusalOf makes the body of an answer of an error.
func refusalOf(err error) refusal {
	var coded *cdc.Error
	if errors.As(err, &coded) {
		return refusal{coded.Code, coded.What, coded.Fix}
	}
	return refusal{What: err.Error()}
}

// err returns the error that was refused with.
func (r *refusal) err() error {
	if r.Code == "" {
		return errors.New(r.What)
	}
	return &cdc.Error{Code: r.Code, What: r.What, Fix: r.Fix}
}

// unattended opens the stream for one who has not been answered by a running cdcd: unanswered says how. The embedded
// stream is of one process alone, so a cdcd that holds it and does not answer is what has to be mended.
func (a *app) unattended(ctx context.Context, cfg *config, unanswered error) (*bus.Stream, error) {
	stream, err := openBus(ctx, a, cfg, writerName(), nil)
	if bus.InUse(err) && cdc.CodeOf(unanswered) == codeNotRunning {
		return nil, cdc.Errorf(codeNotRunning, "%s, and %s", whatOf(unanswered), whatOf(err)).
			WithFix("if that is another command of cdcd, wait until it has ended; if it is a cdcd that runs, name its configuration with -c")
	}
	if bus.InUse(err) {
		return nil, unanswered
	}
	return stream, err
}

// whatOf is what an error says, without its code.
func whatOf(err error) string { return refusalOf(err).What }

// readWish reads what a request asks for. A web page cannot ask: its requests are told by their headers, and none that it
// may send to a stranger has this content type.
func readWish(w http.ResponseWriter, r *http.Request, most int64, wish any) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		http.Error(w, "send application/json", http.StatusUnsupportedMediaType)
		return false
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(wish); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// enter lets a client in, unless as many are in already as what they take from delivery allows. Who was let in leaves.
func enter(w http.ResponseWriter, in *atomic.Int64, most int64, full string) bool {
	if in.Add(1) > most {
		in.Add(-1)
		http.Error(w, full, http.StatusServiceUnavailable)
		return false
	}
	return true
}

// slowLine is a line of an answer that takes its time: progress, again and again, and at last the result, or an error with
// what there is of the result.
type slowLine[P, R any] struct {
	Progress *P       `json:"progress,omitempty"`
	Result   *R       `json:"result,omitempty"`
	Error    *refusal `json:"error,omitempty"`
}

// sayLines begins such an answer. Each line must be taken within a time.
func sayLines[P, R any](w http.ResponseWriter) func(slowLine[P, R]) {
	response := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	lines := json.NewEncoder(w)
	return func(line slowLine[P, R]) {
		_ = response.SetWriteDeadline(time.Now().Add(slowTail))
		_ = lines.Encode(line) // the client has gone away, which ends the request's context
		_ = response.Flush()
	}
}

// hearLines reads such an answer.
func hearLines[P, R any](ctx context.Context, answer io.Reader, progress func(P)) (result R, err error) {
	lines := json.NewDecoder(answer)
	for {
		var line slowLine[P, R]
		switch err := lines.Decode(&line); {
		case err != nil && ctx.Err() != nil:
			return result, ctx.Err()
		case err != nil:
			return result, cdc.Errorf(codeNotRunning, "the running cdcd has ended: %w", err)
		}
		if line.Progress != nil {
			progress(*line.Progress)
		}
		if line.Result != nil {
			result = *line.Result
		}
		if line.Error != nil {
			return result, line.Error.err()
		}
		if line.Result != nil {
			return result, nil
		}
	}
}
