package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/sinks/webhook"
)

func key(t *testing.T) webhooksig.Key {
	k, err := webhooksig.ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func hook(t *testing.T, url string, change func(c *webhook.Config)) *webhook.Hook {
	t.Helper()
	c := webhook.Config{URL: url, Keys: func() ([]webhooksig.Key, error) { return []webhooksig.Key{key(t)}, nil },
		AllowInsecure: true, AllowPrivate: true, Timeout: 2 * time.Second}
	if change != nil {
		change(&c)
	}
	h, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestWhatIsPostedCanBeVerified(t *testing.T) {
	private, _ := webhooksig.NewPrivateKey(make([]byte, 32))
	signer, err := webhooksig.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := webhooksig.ParseKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	var got webhooksig.Message
	var kind string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = webhooksig.Message{ID: r.Header.Get("webhook-id"), Timestamp: r.Header.Get("webhook-timestamp"),
			Signature: r.Header.Get("webhook-signature"), Body: body}
		kind = r.Method + " " + r.Header.Get("Content-Type")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	h := hook(t, s.URL+"/hook?token=secret", func(c *webhook.Config) {
		c.AllowInsecure = false
		c.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
		c.Keys = func() ([]webhooksig.Key, error) { return []webhooksig.Key{key(t), signer}, nil }
	})
	if err := h.Post(t.Context(), "shop/acme/00/17", []byte(`{"id":"shop/acme/00/17"}`)); err != nil {
		t.Fatal(err)
	}
	for _, k := range []webhooksig.Key{key(t), public} {
		if err := webhooksig.Verify(got, time.Now(), k); err != nil {
			t.Errorf("%+v with %v: %v", got, k, err)
		}
	}
	if kind != "POST application/cloudevents+json; charset=utf-8" || got.ID != "shop/acme/00/17" {
		t.Errorf("got %s, id %s", kind, got.ID)
	}
	if text := h.String(); strings.Contains(text, "secret") || !strings.Contains(text, "https://127.0.0.1") {
		t.Errorf("the hook calls itself %s", text)
	}
}

// What a partner's server may do, and what comes of it.
func TestPartners(t *testing.T) {
	tests := []struct {
		name    string
		partner http.HandlerFunc
		want    string        // in the error; "" for none
		wait    time.Duration // that it asks for
		gone    bool
	}{
		{"takes it", func(w http.ResponseWriter, r *http.Request) {}, "", 0, false},
		{"takes it with words", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("thank you ", 5000)) }, "", 0, false},
		{"fails", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, "500 Internal Server Error", 0, false},
		{"is too busy", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, "429 Too Many Requests", 7 * time.Second, false},
		{"is away until a date", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(503)
		}, "503 Service Unavailable", time.Hour, false},
		{"says nonsense", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "-1 fish")
			w.WriteHeader(799)
		}, "the answer is 799", 0, false},
		{"wants no more", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) }, "410 Gone", 0, true},
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/hook" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "redirects are not followed", 0, false},
		{"answers nothing", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "in time", 0, false},
		{"answers byte by byte", func(w http.ResponseWriter, r *http.Request) {
			for range 300 {
				if _, err := w.Write([]byte("x")); err != nil || r.Context().Err() != nil {
					return
				}
				http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, "in time", 0, false},
		{"reads nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) }, "", 0, false},
		{"hangs up after the body", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, _ := http.NewResponseController(w).Hijack()
			conn.Close()
		}, "EOF", 0, false},
		{"hangs up within the answer", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			conn, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthank")
			conn.Close()
		}, "broke off", 0, false},
		{"has endless headers", func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			for i := range 5000 {
				if _, err := fmt.Fprintf(conn, "X-%d: %s\r\n", i, strings.Repeat("x", 100)); err != nil {
					return
				}
			}
		}, "header", 0, false},
		{"speaks no HTTP", func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			fmt.Fprint(conn, "220 smtp.example\r\n")
			conn.Close()
		}, "malformed", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(tt.partner)
			defer s.CloseClientConnections()
			err := hook(t, s.URL+"/hook", nil).Post(t.Context(), "id", []byte("{}"))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "/hook") {
				t.Errorf("the error shows the path: %v", err)
			}
			var r *webhook.Refusal
			if errors.As(err, &r); r == nil {
				r = &webhook.Refusal{}
			}
			if off := r.Wait() - tt.wait; off > time.Second || off < -5*time.Second || r.Gone() != tt.gone {
				t.Errorf("wait %s, gone %v; want %s, %v", r.Wait(), r.Gone(), tt.wait, tt.gone)
			}
		})
	}
}

func TestWhatIsNoWebhook(t *testing.T) {
	keys := func() ([]webhooksig.Key, error) { return nil, nil }
	for _, tt := range []struct {
		c    webhook.Config
		code string
	}{
		{webhook.Config{URL: "", Keys: keys}, "CDCD-4401"},
		{webhook.Config{URL: "acme.example", Keys: keys}, "CDCD-4401"},
		{webhook.Config{URL: "http://acme.example/", Keys: keys}, "CDCD-4401"},
		{webhook.Config{URL: "ftp://acme.example/", Keys: keys, AllowInsecure: true}, "CDCD-4401"},
		{webhook.Config{URL: "https://me:secret@acme.example/", Keys: keys}, "CDCD-4401"},
		{webhook.Config{URL: "https://acme.example/"}, "CDCD-4402"},
	} {
		_, err := webhook.New(tt.c)
		if cdc.CodeOf(err) != tt.code || strings.Contains(fmt.Sprint(err), "secret@") {
			t.Errorf("%s: got %v, want %s", tt.c.URL, err, tt.code)
		}
	}
}

func TestAddressesThatAreNotPublicAreNotCalled(t *testing.T) {
	var called atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Add(1) }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "127.1",
		"169.254.169.254", "[fd00:ec2::254]", "[fe80::1%25lo]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"} {
		h := hook(t, "http://"+host+":"+port+"/", func(c *webhook.Config) { c.AllowPrivate = false })
		err := h.Post(t.Context(), "id", nil)
		var noSuchHost *net.DNSError
		if !errors.Is(err, webhook.ErrAddress) && !errors.As(err, &noSuchHost) {
			t.Errorf("%s: got %v", host, err)
		}
	}
	if called.Load() != 0 {
		t.Errorf("called %d times", called.Load())
	}
}

// A name that is looked up as a public address when it is checked and as a local one when it is called: here it is only
// looked up when it is called, and its addresses are judged one by one.
func TestANameThatPointsHereIsNotCalled(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	rebinding(t, "127.0.0.1")
	h := hook(t, "http://rebind.example:"+port+"/", func(c *webhook.Config) { c.AllowPrivate = false })
	if err := h.Post(t.Context(), "id", nil); !errors.Is(err, webhook.ErrAddress) {
		t.Errorf("got %v", err)
	}
}

// rebinding has names looked up at a server of our own, which knows one address for all.
func rebinding(t *testing.T, address string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends when the connection is closed
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(answer(buf[:n], netip.MustParseAddr(address)), from)
		}
	}()
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = was; conn.Close() })
}

// answer makes the answer to a question of DNS: an A record, or nothing for other types.
func answer(question []byte, a netip.Addr) []byte {
	end := 12
	for question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5
	isA := question[end-3] == 1
	b := append([]byte(nil), question[:end]...)
	b[2], b[3] = 0x81, 0x80
	b[7], b[9], b[11] = 0, 0, 0
	if isA {
		b[7] = 1
		four := a.As4()
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		b = append(b, four[:]...)
	}
	return b
}
