package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
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
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Timeout: limit}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, cdc.Errorf(codeNotRunning, "no cdcd answers at %s: %w", listen, err).
			WithFix("start it with `cdcd run`, or name its configuration with -c")
	}
	return resp, nil
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
