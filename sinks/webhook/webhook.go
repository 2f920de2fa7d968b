package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
)

// Codes of errors that a person has to act on.
const (
	codeURL  = "CDCD-4401"
	codeKeys = "CDCD-4402"
)

// Config says whom to call. URL and Keys are required.
type Config struct {
	URL string // https://…

	// Keys returns the keys to sign with, at least one. It is called for each post, so that keys can be replaced at any time.
	Keys func() ([]webhooksig.Key, error)

	AllowInsecure bool // http:// too
	AllowPrivate  bool // addresses too that are not public

	Timeout time.Duration // of a post from the look-up of the name to the end of the answer; default 20 s
	Agent   string        // the header User-Agent; default cdcd

	Now func() time.Time // default time.Now
	TLS *tls.Config      // default: what the system trusts
}

// Hook is one partner's URL. Its methods may be called by many goroutines at once.
type Hook struct {
	cfg    Config
	client *http.Client
}

// An answer's end is read so that the connection can be used again; longer answers cost the connection.
const (
	maxAnswer  = 8 << 10
	maxHeaders = 16 << 10
)

// ErrAddress says that the URL's name points to an address that is not public.
var ErrAddress = errors.New("the address is not a public one")

// New makes a hook. It calls nobody.
func New(cfg Config) (*Hook, error) {
	u, err := url.Parse(cfg.URL)
	bad := func(why, fix string) error {
		return cdc.Errorf(codeURL, "webhook: %s", why).WithFix("%s", fix)
	}
	switch {
	case err != nil || u.Hostname() == "":
		return nil, bad("its url is not a URL", "write it like https://acme.example/hook")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, bad("its url does not begin with https://", "write it like https://acme.example/hook")
	case u.Scheme == "http" && !cfg.AllowInsecure:
		return nil, bad("its url begins with http://: what is posted could be read and altered on the way",
			"use https://, or set allow_insecure in a network that is yours")
	case u.User != nil:
		return nil, bad("its url names a user", "remove it: events are signed")
	case cfg.Keys == nil:
		return nil, cdc.Errorf(codeKeys, "webhook: there is no key to sign with").WithFix("set secret_file, secret_env or ed25519_key_file")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Agent == "" {
		cfg.Agent = "cdcd"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !cfg.AllowPrivate {
		dialer.Control = publicOnly
	}
	return &Hook{cfg, &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        cfg.TLS,
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeaders,
			MaxIdleConns:           2,
			IdleConnTimeout:        90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close lets connections go.
func (h *Hook) Close() { h.client.CloseIdleConnections() }

// String says whom it calls: scheme and host. The path may be a secret of the partner's.
func (h *Hook) String() string { return Redact(h.cfg.URL) }

// Redact leaves of a URL what may be shown.
func Redact(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "webhook"
	}
	shown := u.Scheme + "://" + u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		shown += "/…"
	}
	return shown
}

// Post posts an event, a CloudEvent in JSON, once. nil means that the partner has it.
func (h *Hook) Post(ctx context.Context, id string, body []byte) error {
	keys, err := h.cfg.Keys()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: %w", h, errors.Unwrap(err))
	}
	now := h.cfg.Now()
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", h.cfg.Agent)
	req.Header[http.CanonicalHeaderKey(webhooksig.HeaderID)] = []string{id}
	req.Header.Set(webhooksig.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhooksig.HeaderSignature, webhooksig.Sign(id, now, body, keys...))
	resp, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("post to %s: %w", h, plain(err))
	}
	defer resp.Body.Close()
	_, late := io.CopyN(io.Discard, resp.Body, maxAnswer)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		if late != nil && !errors.Is(late, io.EOF) { // the status is there, but it may not have been meant to be the last word
			return fmt.Errorf("post to %s: the answer %d broke off: %w", h, resp.StatusCode, plain(late))
		}
		return nil
	default:
		return &Refusal{Hook: h.String(), Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now)}
	}
}

// plain takes the URL out of an error of net/http.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return errTimeout
		}
		return u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errTimeout
	}
	return err
}

var errTimeout = errors.New("no whole answer in time")

// Refusal is an answer that is not 2xx.
type Refusal struct {
	Hook       string
	Status     int
	RetryAfter time.Duration // 0 when the answer does not say
}

// Error tells the status.
func (r *Refusal) Error() string {
	why := ""
	if r.Status >= 300 && r.Status < 400 {
		why = "; redirects are not followed"
	}
	return strings.TrimRight(fmt.Sprintf("post to %s: the answer is %d %s", r.Hook, r.Status, http.StatusText(r.Status)), " ") + why
}

// Gone reports whether the partner wants no more of them, ever.
func (r *Refusal) Gone() bool { return r.Status == http.StatusGone }

// Wait returns how long the partner asks to be left alone.
func (r *Refusal) Wait() time.Duration { return r.RetryAfter }

// retryAfter reads seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
