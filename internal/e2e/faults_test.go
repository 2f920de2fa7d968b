package e2e

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// The one that owns stream and chains is frozen until the other has taken over, and wakes with all that it was about to do.
func TestAFrozenOwnerThatWakesFollows(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, _ := seed(t)
	nats := startNATS(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	o := options{nats: nats.URL, store: store}
	w, a, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, o)
	b := deploy(t, db, o)
	b.start(t)
	time.Sleep(3 * time.Second)
	for _, frozen := range []*deployment{a, b, a} {
		signal(t, frozen, syscall.SIGSTOP)
		time.Sleep(5 * time.Second)
		signal(t, frozen, syscall.SIGCONT)
		time.Sleep(1500 * time.Millisecond)
		a.alive(t)
		b.alive(t)
	}
	stop()
	settle(t, w, ledger.Want{}, a, b)
	a.stop(t)
	b.stop(t)
	a.verify(t)
	b.verify(t)
}

func signal(t *testing.T, d *deployment, s syscall.Signal) {
	t.Helper()
	if err := d.process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A store that refuses in every way that stores know, carries things out without saying so, and is slow: for a while one
// request in two, and then none.
func TestWhateverAStoreAnswersNothingIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	n, random := seed(t)
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	f := beforeStore(t, store, random)
	w, d, stop := follow(t, db, ledger.Config{Seed: n, Pause: 2 * time.Millisecond}, options{store: store, s3: f.endpoint})
	for range 3 {
		f.set(true)
		time.Sleep(4 * time.Second)
		d.alive(t)
		f.set(false)
		time.Sleep(time.Second)
	}
	stop()
	settle(t, w, ledger.Want{}, d)
	d.stop(t)
	d.verify(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Logf("answers: %v", f.given)
	if len(f.given) < 4 {
		t.Errorf("the store hardly refused anything: %v", f.given)
	}
}

// faultyStore stands before a store.
type faultyStore struct {
	endpoint string

	mu     sync.Mutex // guards what follows
	random *rand.Rand
	on     bool
	given  map[string]int
}

func beforeStore(t *testing.T, store *testenv.Store, random *rand.Rand) *faultyStore {
	t.Helper()
	to, err := url.Parse(store.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := &faultyStore{random: random, given: map[string]int{}}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // the signature covers it
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch fault := f.next(); fault {
		case "":
			pass.ServeHTTP(rw, r)
		case "slow":
			time.Sleep(700 * time.Millisecond)
			pass.ServeHTTP(rw, r)
		case "lost": // done, and the connection ends
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			var status int
			var code string
			fmt.Sscan(fault, &status, &code)
			rw.Header().Set("Content-Type", "application/xml")
			rw.WriteHeader(status)
			fmt.Fprintf(rw, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>on purpose</Message></Error>", code)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	f.endpoint = server.URL
	return f
}

var answers = []string{"slow", "lost", "500 InternalError", "503 SlowDown", "503 ServiceUnavailable", "409 ConditionalRequestConflict",
	"403 RequestTimeTooSkewed", "403 AccessDenied", "429 TooManyRequests"}

func (f *faultyStore) next() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on || f.random.IntN(2) == 0 {
		return ""
	}
	fault := answers[f.random.IntN(len(answers))]
	f.given[fault]++
	return fault
}

func (f *faultyStore) set(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}
