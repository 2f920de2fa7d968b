package sinktest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// IgnoringConditions returns the endpoint of an S3 server with target's objects that does not know conditional writes:
// it drops If-None-Match and If-Match, and so overwrites. It takes the same keys as target and ends with the test.
func IgnoringConditions(t testing.TB, target *testenv.Store) (endpoint string) {
	t.Helper()
	credentials := aws.Credentials{AccessKeyID: target.AccessKey, SecretAccessKey: target.SecretKey}
	return proxy(t, target, func(r *http.Request) {
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Match")
		r.Header.Del("Authorization")
		err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), credentials, r,
			r.Header.Get("X-Amz-Content-Sha256"), "s3", target.Region, time.Now())
		if err != nil {
			t.Errorf("sinktest: sign: %v", err)
		}
	}, nil)
}

// Losing is an S3 server whose answers can get lost.
type Losing struct {
	Endpoint string

	left atomic.Int64
}

// LosingReplies returns a server with target's objects, which ends with the test.
func LosingReplies(t testing.TB, target *testenv.Store) *Losing {
	t.Helper()
	l := &Losing{}
	l.Endpoint = proxy(t, target, nil, func(resp *http.Response) bool {
		return resp.Request.Method == http.MethodPut && resp.StatusCode == http.StatusOK && l.left.Add(-1) >= 0
	})
	return l
}

// Lose cuts the connection instead of answering the next n puts that succeed.
func (l *Losing) Lose(n int) { l.left.Store(int64(n)) }

// proxy serves target's objects; before changes the requests, lose says which answers are lost. Both may be nil.
func proxy(t testing.TB, target *testenv.Store, before func(*http.Request), lose func(*http.Response) bool) string {
	to, err := url.Parse(target.Endpoint)
	if err != nil {
		t.Fatalf("sinktest: %v", err)
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // the signature covers it
			if before != nil {
				before(r.Out)
			}
		},
		ErrorLog: log.New(io.Discard, "", 0), // that the target was killed is no news
		ModifyResponse: func(resp *http.Response) error {
			if lose != nil && lose(resp) {
				panic(http.ErrAbortHandler) // net/http's way to cut the connection
			}
			return nil
		},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return server.URL
}
